//! What a steady scrape costs: run by hand with optimization, as figures mean nothing without.

use std::fmt::Write as _;
use std::sync::Arc;

use base::clock;
use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use signals::Options;
use wire::exposition::Format;

use super::job;
use crate::samples::Samples;
use crate::scrape::commit::{Answer, Kept, Scrape, Whose};
use crate::scrape::page::PageFormat;
use crate::scrape::relabel::LabelSet;

const SERIES: usize = 2_000;
const ROUNDS: i64 = 500;

fn page(round: i64) -> Bytes {
    let mut text = String::new();
    for (at, number) in (0..SERIES).zip(0_i64..) {
        let value = match at % 3 {
            0 => 5.0,
            1 => (round * 7) as f64,
            _ => ((round * 31 + number) % 977) as f64 / 8.0,
        };
        let name = [
            "app_requests_total",
            "app_bytes_total",
            "app_temperature_celsius",
        ][at % 3];
        writeln!(
            text,
            "{name}{{path=\"/api/v1/{at}\",code=\"200\",method=\"get\"}} {value}"
        )
        .expect("written");
    }
    text.into()
}

fn cpu_microseconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

#[test]
#[ignore = "prints figures; run it with --release"]
#[expect(clippy::print_stdout, reason = "figures are for people")]
fn a_steady_scrape_is_cheap() {
    let folder = tempfile::tempdir().expect("a folder");
    let samples = Samples::default();
    let opened = samples.open(folder.path(), Options::default());
    opened.expect("a store");
    let (job, mut kept) = (job(""), Kept::default());
    let labels: LabelSet = [("job", "job"), ("instance", "localhost:9100")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let begun = crate::samples::now_ms() - ROUNDS * 1_000;
    let mut spent = 0.0;
    for round in 0..ROUNDS {
        let time = begun + round * 1_000;
        let scrape = Scrape {
            answer: Answer::Page {
                body: page(round),
                is_packed: false,
                format: PageFormat::Lines(Format::Text),
            },
            time,
            begun: clock::now(),
        };
        let whose = Whose {
            job: &Arc::clone(&job),
            labels: &labels,
            timeout_seconds: 10.0,
        };
        let before = cpu_microseconds();
        let outcome = kept.commit((&*samples.store(), time), whose, &scrape);
        if round > 10 {
            spent += cpu_microseconds() - before;
        }
        assert_eq!((outcome.error, outcome.kept), (None, SERIES));
    }
    let count = (ROUNDS - 11) as f64 * (SERIES + 5) as f64;
    println!("{:.3} us of CPU a sample, without the flush", spent / count);
}

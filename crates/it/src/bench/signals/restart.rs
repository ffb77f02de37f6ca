//! How long a start takes with a long log: 20,000 series, each second, as a process leaves them that was
//! killed. Our library writes it, and the program starts on it.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use signals::disk::RealDisk;
use signals::{Entry, Labels, METRIC_NAME, Options, Store, Value as Measured};

use super::servers::{Server, launch};
use super::{Size, folder_bytes, round};
use crate::proc;

/// Series.
const SERIES: usize = 20_000;
/// Time between two samples of a series, in milliseconds.
const STEP_MS: i64 = 1_000;
/// Rounds between two looks at the size of the log.
const LOOK_EVERY: i64 = 50;

/// Writes a log of so many bytes, starts, and asks for a sample of it.
pub(super) async fn measure(size: Size) -> Value {
    let launch = launch("scrape_configs: []\n");
    let folder = launch.path("data/signals");
    std::fs::create_dir_all(&folder).unwrap();
    let samples = write(&folder, size.log_bytes);
    let bytes = folder_bytes(&folder.join("wal"));
    let begun = Instant::now();
    let program = launch.start().await;
    let ready = begun.elapsed().as_secs_f64();
    let server = Server::ours(program);
    let query = "count(last_over_time(bench_log_total[3h]))";
    let found = server.ask("/api/v1/query", &[("query", query)]).await;
    let answered = begun.elapsed().as_secs_f64();
    let count = found["result"][0]["value"][1].as_str();
    assert_eq!(count, Some(SERIES.to_string().as_str()), "{found}");
    json!({
        "samples": samples,
        "log_bytes": bytes,
        "ready_s": round(ready),
        "answer_s": round(answered),
        "cpu_s": round(proc::cpu_seconds(server.pid()).unwrap_or(f64::NAN)),
        "rss_mib": round(server.rss_mib()),
    })
}

/// The store is left as it is when a process is killed: nothing is closed in order.
fn write(folder: &std::path::Path, bytes: u64) -> usize {
    let (store, _) = Store::open(Arc::new(RealDisk::new(folder)), Options::default()).unwrap();
    let labels: Vec<Labels> = (0..SERIES).map(labels).collect();
    let mut ids = vec![None; SERIES];
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(since.as_millis()).unwrap();
    // Nothing of it is old enough to become a segment meanwhile.
    let first = now - 2 * 3_600_000;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut totals = vec![0_u64; SERIES];
    let mut step = 0;
    while step % LOOK_EVERY != 0 || folder_bytes(&folder.join("wal")) < bytes {
        let timestamp = first + step * STEP_MS;
        for total in &mut totals {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            *total += random % 1_000;
        }
        let series = labels.iter().zip(&ids).zip(&totals);
        let batch: Vec<Entry<'_>> = series
            .map(|((labels, id), total)| Entry {
                id: *id,
                labels,
                timestamp,
                start: 0,
                value: Measured::Float(*total as f64 / 8.0),
            })
            .collect();
        ids = store.append(&batch, now).unwrap().ids;
        step += 1;
    }
    usize::try_from(step).unwrap() * SERIES
}

fn labels(series: usize) -> Labels {
    let instance = format!("10.3.0.{}:9100", series / 1000);
    let path = format!("/api/v1/things/{series}");
    Labels::new([
        (METRIC_NAME, "bench_log_total"),
        ("instance", &instance),
        ("job", "bench"),
        ("path", &path),
    ])
    .unwrap()
}

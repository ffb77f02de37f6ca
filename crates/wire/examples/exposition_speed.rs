//! Prints how long a page of 300 series takes to read, join and write. Run it in release.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use wire::exposition::{Format, Limits, Page, merge};

/// 300 series in about 30 KB: gauges and counters with three labels, and some histograms.
fn body() -> Bytes {
    let mut text = String::new();
    for family in 0..20 {
        let name = format!("gateway_requests_by_kind_{family}_total");
        text.push_str(&format!(
            "# HELP {name} Number of requests of one kind.\n# TYPE {name} counter\n"
        ));
        for series in 0..9 {
            text.push_str(&format!(
                "{name}{{instance=\"10.1.2.{series}:9090\",method=\"GET\",path=\"/api/v1/items\"}} {}\n",
                series * 1234
            ));
        }
    }
    for family in 0..10 {
        let name = format!("gateway_duration_seconds_{family}");
        text.push_str(&format!(
            "# HELP {name} How long it took.\n# TYPE {name} histogram\n"
        ));
        for le in 0..10 {
            text.push_str(&format!(
                "{name}_bucket{{instance=\"10.1.2.3:9090\",method=\"GET\",le=\"0.{le}\"}} {le}\n"
            ));
        }
        text.push_str(&format!(
            "{name}_sum{{instance=\"10.1.2.3:9090\",method=\"GET\"}} 1.5e3\n"
        ));
        text.push_str(&format!(
            "{name}_count{{instance=\"10.1.2.3:9090\",method=\"GET\"}} 10\n"
        ));
    }
    Bytes::from(text)
}

#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement for a person"
)]
fn measure<T>(what: &str, mut run: impl FnMut() -> T) {
    let mut best = f64::INFINITY;
    for _ in 0..2000 {
        let start = Instant::now();
        black_box(run());
        best = best.min(start.elapsed().as_secs_f64() * 1e6);
    }
    println!("{what}: {best:.1} µs");
}

fn main() {
    let body = body();
    let parse = || Page::parse(black_box(body.clone()), Format::Text, Limits::default());
    let Ok(page) = parse() else { return };
    measure(
        &format!("read {} bytes, {} series", body.len(), page.series()),
        parse,
    );
    measure("write as it came", || page.render(Format::Text));
    measure("write as OpenMetrics", || page.render(Format::OpenMetrics));
    measure("join with itself and write", || {
        merge(vec![page.clone(), page.clone()]).render(Format::Text)
    });
    measure("push a gauge", || {
        let mut page = page.clone();
        page.push_gauge("gateway_part_up", "Part is up.", &[([("part", "db")], 1.0)]);
        page.render(Format::Text)
    });
}

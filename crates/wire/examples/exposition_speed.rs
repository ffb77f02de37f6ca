//! Prints how long a page of 300 series takes to read, join and write. Run it in release.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use wire::exposition::{Format, Limits, Page, merge};

/// 300 series in about 30 KB: gauges and counters with three labels, and some histograms.
fn body() -> Bytes {
    let mut lines = Vec::new();
    for family in 0..20 {
        let name = format!("gateway_requests_by_kind_{family}_total");
        lines.push(format!("# HELP {name} Number of requests of one kind."));
        lines.push(format!("# TYPE {name} counter"));
        for series in 0..9 {
            let labels =
                format!("instance=\"10.1.2.{series}:9090\",method=\"GET\",path=\"/api/v1/items\"");
            lines.push(format!("{name}{{{labels}}} {}", series * 1234));
        }
    }
    for family in 0..10 {
        let name = format!("gateway_duration_seconds_{family}");
        let labels = "instance=\"10.1.2.3:9090\",method=\"GET\"";
        lines.push(format!("# HELP {name} How long it took."));
        lines.push(format!("# TYPE {name} histogram"));
        for le in 0..10 {
            lines.push(format!("{name}_bucket{{{labels},le=\"0.{le}\"}} {le}"));
        }
        lines.push(format!("{name}_sum{{{labels}}} 1.5e3"));
        lines.push(format!("{name}_count{{{labels}}} 10"));
    }
    lines.push(String::new());
    Bytes::from(lines.join("\n"))
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

//! The bars of lines, the verdicts and the table.

use std::fmt::Write;

use serde_json::Value;

use crate::bench::report::Verdict;

/// Judges what was measured.
pub fn judge(report: &Value) -> Vec<Verdict> {
    let way = |name: &str| {
        let mut ways = report["ways"].as_array().into_iter().flatten();
        ways.find(|way| way["way"] == name)
    };
    let of = |name: &str, pointer: &str| way(name)?.pointer(pointer)?.as_f64();
    let interactive = |pointer: &str| of("interactive lane", pointer);
    let worst = |name: &str, key: &str| {
        let cost = |streams: &str| of(name, &format!("/download_{streams}/{key}"));
        Some(cost("1")?.max(cost("16")?))
    };
    let verdict = |goal, measured: Option<f64>, is_met: &dyn Fn(f64) -> bool| Verdict {
        goal,
        measured: measured.unwrap_or(f64::NAN),
        is_met: measured.map(is_met),
    };
    let at_most = |goal, measured, limit: f64| verdict(goal, measured, &|found| found <= limit);
    let stuck = interactive("/latency_beside_stuck/p99_us")
        .zip(interactive("/idle_latency/p99_us"))
        .map(|(beside, idle)| (beside - idle) / 1e3);
    let link = |which: &str| report["link"][which]["p50_ms"].as_f64();
    let shared = link("beside_upload").zip(link("alone"));
    let per_gigabyte = "cpu_seconds_per_gigabyte";
    vec![
        at_most(
            "interactive lane, at most 1.7 CPU s/GB",
            worst("interactive lane", per_gigabyte),
            1.7,
        ),
        at_most(
            "bulk lane, at most 1.0 CPU s/GB",
            worst("bulk lane", per_gigabyte),
            1.0,
        ),
        verdict(
            "interactive lane, at least 8000 connections a second at 16 parallel",
            interactive("/rate/connections_per_second"),
            &|found| found >= 8000.0,
        ),
        at_most(
            "interactive lane, connect and echo p50 at most 300 us when idle",
            interactive("/idle_latency/p50_us"),
            300.0,
        ),
        at_most(
            "interactive lane, connect and echo p50 at most 5000 us under 4 downloads on the same lane",
            interactive("/latency_under_bulk/p50_us"),
            5_000.0,
        ),
        at_most(
            "8 readers that never read, at most 5 ms added to others' p99",
            stuck,
            5.0,
        ),
        at_most(
            "interactive lane, at most 10 kB per idle connection and process",
            interactive("/idle_connection/kib_in_largest_process").map(|kib| kib * 1.024),
            10.0,
        ),
        at_most(
            "20 Mbit/s and 20 ms shared with an upload, echo at most twice an unshared one's",
            shared.map(|(beside, alone)| beside / alone),
            2.0,
        ),
    ]
}

/// The columns: title, where the number is, digits, and whether a ratio to direct says something.
const COLUMNS: [(&str, &str, usize); 14] = [
    ("1 str MB/s", "/download_1/megabytes_per_second", 0),
    ("CPU s/GB", "/download_1/cpu_seconds_per_gigabyte", 2),
    ("16 str MB/s", "/download_16/megabytes_per_second", 0),
    ("CPU s/GB", "/download_16/cpu_seconds_per_gigabyte", 2),
    ("conn/s", "/rate/connections_per_second", 0),
    ("CPU us/conn", "/rate/cpu_us_per_connection", 0),
    ("idle p50 us", "/idle_latency/p50_us", 0),
    ("p99 us", "/idle_latency/p99_us", 0),
    ("bulk p50 us", "/latency_under_bulk/p50_us", 0),
    ("p99 us", "/latency_under_bulk/p99_us", 0),
    ("stuck p99 us", "/latency_beside_stuck/p99_us", 0),
    ("KiB/idle", "/idle_connection/kib_in_largest_process", 1),
    ("HTTP req/s", "/http/requests_per_second", 0),
    ("CPU us/req", "/http/cpu_us_per_request", 1),
];

/// Columns whose ratio to the direct way is shown, too.
const RATIOS: [(&str, &str); 5] = [
    ("1 stream", "/download_1/megabytes_per_second"),
    ("16 streams", "/download_16/megabytes_per_second"),
    ("conn/s", "/rate/connections_per_second"),
    ("idle p50", "/idle_latency/p50_us"),
    ("HTTP req/s", "/http/requests_per_second"),
];

/// Everything for people.
pub fn table(report: &Value) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{}", line.trim_end()).unwrap();
    let ways = report["ways"].as_array().cloned().unwrap_or_default();
    let number = |way: &Value, pointer: &str| way.pointer(pointer).and_then(Value::as_f64);
    let name = |way: &Value| way["way"].as_str().unwrap_or_default().to_owned();
    let cell = |value: Option<f64>, digits: usize, width: usize| match value {
        Some(value) => format!("{value:>width$.digits$}"),
        None => format!("{:>width$}", "-"),
    };
    let titles = COLUMNS.map(|(title, _, _)| format!("{title:>13}")).concat();
    line(format!("{:<17}{titles}", ""));
    for way in &ways {
        let cells = COLUMNS.map(|(_, pointer, digits)| cell(number(way, pointer), digits, 13));
        line(format!("{:<17}{}", name(way), cells.concat()));
    }
    if let Some(direct) = ways.iter().find(|way| way["way"] == "direct") {
        let titles = RATIOS.map(|(title, _)| format!("{title:>13}")).concat();
        line(format!("{:<17}{titles}", "against direct"));
        for way in &ways {
            let ratio = |pointer| Some(number(way, pointer)? / number(direct, pointer)?);
            let cells = RATIOS.map(|(_, pointer)| cell(ratio(pointer), 2, 13));
            line(format!("{:<17}{}", name(way), cells.concat()));
        }
    }
    for way in &ways {
        if let Some(latency) = way.get("latency_under_bulk_lane") {
            line(format!(
                "{}, echo while the downloads use the bulk lane: {latency}",
                name(way)
            ));
        }
    }
    line(format!(
        "an echo on a link of 20 Mbit/s and 20 ms: {}",
        report["link"]
    ));
    text
}

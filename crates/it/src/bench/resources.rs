//! What the program costs: a thousand targets, a large page, doing nothing, starting.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::keep::Keep;
use super::upstream::{LARGE_SERIES, Upstream};
use crate::proc;
use crate::program::{Launch, Program};

/// Targets of the load.
const TARGETS: usize = 1000;
/// How often each is scraped.
const INTERVAL: Duration = Duration::from_secs(15);
/// How long the program rests before it counts as idle.
const REST: Duration = Duration::from_secs(3);

/// Scrapes a thousand targets every 15 seconds, each over a connection of its own as Prometheus
/// does, in real time, after one round that is not measured.
pub fn thousand_targets(program: &Program, seconds: u64) -> Value {
    let mut targets: Vec<Keep> = (0..TARGETS)
        .map(|number| Keep::open(program.gateway, &format!("/metrics/t{number}"), "").unwrap())
        .collect();
    for target in &mut targets {
        target.ask().unwrap();
    }
    let pause = INTERVAL / u32::try_from(TARGETS).unwrap_or(1);
    let cpu = || proc::cpu_seconds(program.pid()).unwrap_or(0.0);
    let (begun, before) = (Instant::now(), cpu());
    let mut scrapes = 0_u32;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let number = usize::try_from(scrapes).unwrap_or(0) % TARGETS;
        targets[number].ask().unwrap();
        scrapes += 1;
        let next = begun + pause * scrapes;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let elapsed = begun.elapsed().as_secs_f64();
    json!({
        "targets": TARGETS,
        "interval_s": INTERVAL.as_secs(),
        "seconds": elapsed.round(),
        "scrapes": scrapes,
        "cpu_percent_of_one_core": round((cpu() - before) / elapsed * 100.0),
        "rss_kib": program.rss_kib(),
    })
}

/// Fetches the large page and looks at the memory before, at the peak and after. The program has
/// scraped another target before, so that its own code and its connections are not counted.
pub fn large_page(program: &Program, upstream: &Upstream) -> Value {
    let mut small = Keep::open(program.gateway, "/metrics/t1", "").unwrap();
    for _ in 0..20 {
        small.ask().unwrap();
    }
    let mut large = Keep::open(program.gateway, "/metrics/t0", "").unwrap();
    let pid = program.pid();
    let before = program.rss_kib();
    let has_peak = proc::reset_peak(pid);
    let first = large.ask().unwrap();
    let peak = proc::status_kib(pid, "VmHWM").filter(|_| has_peak);
    let added = |peak: u64| Some(peak.saturating_sub(before?));
    let mut times: Vec<Duration> = (0..20).map(|_| large.ask().unwrap()).collect();
    times.sort();
    json!({
        "series": LARGE_SERIES,
        "page_kib": upstream.large_bytes / 1024,
        "answer_kib": large.body().len() / 1024,
        "rss_before_kib": before,
        "rss_peak_kib": peak,
        "rss_peak_added_in_pages": peak.and_then(added)
            .map(|added| round(added as f64 * 1024.0 / upstream.large_bytes as f64)),
        "rss_after_kib": program.rss_kib(),
        "first_ms": round(first.as_secs_f64() * 1e3),
        "median_ms": round(times[times.len() / 2].as_secs_f64() * 1e3),
    })
}

/// Resident memory after a rest, KiB.
pub fn idle(program: &Program) -> Value {
    std::thread::sleep(REST);
    json!({"rss_kib": program.rss_kib()})
}

/// Milliseconds from exec until `/readyz` answers 200, median of `starts`.
pub fn time_to_ready(configuration: &str, starts: usize) -> Value {
    let mut times: Vec<f64> = (0..starts).map(|_| one_start(configuration)).collect();
    times.sort_by(f64::total_cmp);
    let last = times.last().copied().unwrap_or(0.0);
    json!({"median_ms": round(times[times.len() / 2]), "max_ms": round(last), "starts": starts})
}

/// One start and its end.
fn one_start(configuration: &str) -> f64 {
    let launch = Launch::new(configuration);
    let listeners = launch.path("data/listeners.json");
    let begun = Instant::now();
    let program = launch.spawn();
    let elapsed = loop {
        assert!(begun.elapsed() < Duration::from_secs(20), "not ready");
        if is_ready(&listeners) {
            break begun.elapsed();
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    drop(program);
    elapsed.as_secs_f64() * 1e3
}

/// Whether the listeners are known and `/readyz` answers 200.
fn is_ready(listeners: &std::path::Path) -> bool {
    let text = std::fs::read_to_string(listeners).unwrap_or_default();
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let address = value["main"].as_str().and_then(|text| text.parse().ok());
    let keep = address.and_then(|address| Keep::open(address, "/readyz", "").ok());
    keep.is_some_and(|mut keep| keep.ask().is_ok())
}

/// Two digits.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

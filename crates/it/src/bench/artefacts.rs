//! Artefacts: how fast parts come as krkn sends them, beside nginx's WebDAV on the same disk; what one huge
//! object takes of memory; how long lists take when there is much; and how long the last byte waits for its
//! answer.

mod dav;
mod huge;
mod line;
mod lists;
mod parts;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::report::Verdict;
use crate::artefacts::{Store, section};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Rounds in which the ways take turns with parts.
    pub rounds: usize,
    /// Bytes of each of the eight parts.
    pub part_bytes: u64,
    /// Bytes of one part after whose last byte the answer is waited for.
    pub waited_bytes: u64,
    /// Bytes of the one object.
    pub huge_bytes: u64,
    /// Runs of one group.
    pub runs: u64,
    /// Objects of one run.
    pub objects: u64,
}

impl Size {
    /// What the published numbers are made with.
    pub const FULL: Self = Self {
        rounds: 10,
        part_bytes: 25_000_000,
        waited_bytes: 500_000_000,
        huge_bytes: 8_000_000_000,
        runs: 10_000,
        objects: 100_000,
    };
    /// A quick look, not for publication.
    pub const QUICK: Self = Self {
        rounds: 2,
        part_bytes: 25_000_000,
        waited_bytes: 100_000_000,
        huge_bytes: 1_000_000_000,
        runs: 1_000,
        objects: 2_000,
    };
    /// Only that everything can be measured.
    pub const TINY: Self = Self {
        rounds: 1,
        part_bytes: 100_000,
        waited_bytes: 1_000_000,
        huge_bytes: 2_000_000,
        runs: 20,
        objects: 30,
    };
}

/// Bytes of the pattern that all bodies repeat: no power of two, so that pieces begin everywhere in it.
const PATTERN_BYTES: usize = 25_000_000;

/// Measures everything; `nginx` is the program that is compared with.
pub async fn measure(size: Size, nginx: Option<&str>) -> Value {
    let store = Store::start(section(json!({}))).await;
    let pattern = pattern();
    let disk = disk_of(store.program.directory.path());
    let parts = parts::measure(size, &store, nginx, &pattern).await;
    eprintln!("parts: {parts}");
    let waited = parts::last_byte(size, &store, &pattern).await;
    eprintln!("last byte: {waited}");
    let huge = huge::measure(size, &store, &pattern).await;
    eprintln!("one object: {huge}");
    let lists = lists::measure(size, &store);
    eprintln!("lists: {lists}");
    json!({"disk": disk, "parts": parts, "last_byte": waited, "huge": huge, "lists": lists})
}

/// Bytes that no disk makes smaller.
fn pattern() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(PATTERN_BYTES);
    while bytes.len() < PATTERN_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(PATTERN_BYTES);
    bytes
}

/// What kind of file system it is: where there is no disk behind it, nothing waits for one.
fn disk_of(folder: &Path) -> String {
    let kind = rustix::fs::statfs(folder).map_or(0, |about| about.f_type);
    match kind {
        0xef53 => "ext4".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        0x9123_683e => "btrfs".to_owned(),
        0x0102_1994 => "tmpfs: NO DISK".to_owned(),
        kind => format!("{kind:#x}"),
    }
}

/// Compares with what was promised.
pub fn judge(report: &Value) -> Vec<Verdict> {
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64);
    let mut verdicts = Vec::new();
    let mut judge = |goal, measured: Option<f64>, is_met: &dyn Fn(f64) -> Option<bool>| {
        verdicts.push(Verdict {
            goal,
            measured: measured.unwrap_or(f64::NAN),
            is_met: measured.and_then(is_met),
        });
    };
    // Whichever is lower: without a peer only the absolute one can be met.
    let at_least = |peer: Option<f64>| {
        move |ours: f64| match peer {
            Some(peer) => Some(ours >= (0.8 * peer).min(400.0)),
            None => (ours >= 400.0).then_some(true),
        }
    };
    let ours = number("/parts/landline/mb_per_second");
    judge(
        "200 MB in parts, MB/s: 400, or 0.8 times nginx with fsync",
        ours,
        &at_least(number("/parts/nginx_synced/mb_per_second")),
    );
    judge(
        "200 MB in parts, MB/s: 400, or 0.8 times nginx, which leaves the disk to the kernel",
        ours,
        &at_least(number("/parts/nginx/mb_per_second")),
    );
    let at_most = |limit: f64| move |measured: f64| Some(measured <= limit);
    judge(
        "answer after the last byte of a large part, at most 5 s",
        number("/last_byte/worst_s"),
        &at_most(5.0),
    );
    judge(
        "one huge object, resident memory, below 61440 KiB",
        number("/huge/peak_kib"),
        &at_most(61_440.0),
    );
    judge(
        "runs of a group, worst page, at most 50 ms",
        number("/lists/runs/worst_ms"),
        &at_most(50.0),
    );
    judge(
        "objects of a run, worst page of 1,000 of S3's list, at most 50 ms",
        number("/lists/objects/worst_ms"),
        &at_most(50.0),
    );
    judge(
        "objects of a run, worst page of 1,000 of /v1, at most 50 ms",
        number("/lists/objects_by_v1/worst_ms"),
        &at_most(50.0),
    );
    verdicts
}

/// For people.
pub fn table(report: &Value) -> String {
    let mut text = String::new();
    let disk = report["disk"].as_str().unwrap_or_default();
    writeln!(text, "file system: {disk}").unwrap();
    let parts = &report["parts"];
    for way in ["landline", "nginx_synced", "nginx"] {
        let row = &parts[way];
        let cell = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
        writeln!(
            text,
            "{way:<14}{:>8.0} MB/s (slowest round {:.0}, fastest {:.0}) {:>6.2} CPU s/GB",
            cell("mb_per_second"),
            cell("slowest"),
            cell("fastest"),
            cell("cpu_s_per_gb")
        )
        .unwrap();
    }
    writeln!(
        text,
        "nginx_synced: each file is flushed by the client when nginx has answered; nginx: nobody \
         waits for the disk. Neither hashes."
    )
    .unwrap();
    for key in ["ratio_to_nginx_synced", "ratio_to_nginx"] {
        writeln!(text, "{key}: {}", parts[key]).unwrap();
    }
    for key in ["last_byte", "huge", "lists"] {
        let part = serde_json::to_string_pretty(&report[key]).unwrap_or_default();
        writeln!(text, "{key}: {part}").unwrap();
    }
    text
}

/// Seconds with hundredths of a millisecond: an answer may come within one.
fn round_seconds(value: f64) -> f64 {
    (value * 1e5).round() / 1e5
}

/// Two digits.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

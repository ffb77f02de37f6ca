//! One huge object in and out: what it takes of memory.

use std::time::Instant;

use serde_json::{Value, json};

use super::line::Line;
use super::{Size, parts, round, round_seconds};
use crate::artefacts::Store;
use crate::proc;

/// What stays free on the disk.
const KEPT_FREE: u64 = 3_000_000_000;

/// Puts and gets it, and removes it.
pub(super) async fn measure(size: Size, store: &Store, pattern: &[u8]) -> Value {
    let bytes = size.huge_bytes;
    let disk = rustix::fs::statvfs(store.program.directory.path()).unwrap();
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < bytes + KEPT_FREE {
        eprintln!("SKIPPED: an object of {bytes} bytes: {free} are free on the disk");
        return Value::Null;
    }
    let link = parts::links(store, "huge/1", "part").await.remove(0);
    let pid = store.program.pid();
    let before = store.program.rss_kib();
    assert!(
        proc::reset_peak(pid),
        "the peak of memory can't be forgotten"
    );
    let begun = Instant::now();
    let mut line = Line::open(store.address).unwrap();
    let answer = line.put(&link, (pattern, bytes)).unwrap();
    assert_eq!(answer.status, 200);
    let put = begun.elapsed().as_secs_f64();
    let peak_put = proc::status_kib(pid, "VmHWM");
    proc::reset_peak(pid);
    let begun = Instant::now();
    // Without a link: programs of this machine may read.
    let path = "/artefacts/huge/1/part-00.tar";
    line.compare(path, (pattern, bytes)).unwrap();
    let get = begun.elapsed().as_secs_f64();
    let peak_get = proc::status_kib(pid, "VmHWM");
    parts::remove(store, "/artefacts/huge/1/", 1);
    let rate = |seconds: f64| round(bytes as f64 / 1e6 / seconds);
    json!({
        "bytes": bytes,
        "put_mb_per_second": rate(put),
        "answer_after_last_byte_s": round_seconds(answer.waited.as_secs_f64()),
        "get_mb_per_second": rate(get),
        "rss_before_kib": before,
        "peak_put_kib": peak_put,
        "peak_get_kib": peak_get,
        "peak_kib": peak_put.max(peak_get),
    })
}

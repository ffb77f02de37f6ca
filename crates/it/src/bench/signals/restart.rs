//! How long a start takes with a long log: 20,000 series with noise, which takes about ten bytes a
//! sample, in a process that is killed.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::servers::Server;
use super::writes::{Kind, SERIES, send_while};
use super::{Size, folder_bytes, round};

/// Fills the log, kills, starts, and asks for what is in it.
pub(super) async fn measure(size: Size) -> Value {
    let mut server = Server::landline("scrape_configs: []\n").await;
    let log = server.folder().join("data/signals/wal");
    let is_short = || folder_bytes(&log) < size.log_bytes;
    let samples = send_while(&server, Kind::Noise, is_short).await;
    let bytes = folder_bytes(&log);
    let program = server.program().unwrap();
    program.signal(Signal::KILL);
    program.wait_exit(Duration::from_mins(1)).await;
    let begun = Instant::now();
    program.restart();
    program.ready().await;
    let ready = begun.elapsed().as_secs_f64();
    server.authority = server.program().unwrap().main.to_string();
    let found = server.ask("/api/v1/status/tsdb", &[]).await;
    let answered = begun.elapsed().as_secs_f64();
    let count = found["headStats"]["numSeries"].as_u64();
    assert_eq!(count, Some(SERIES as u64), "{found}");
    json!({
        "samples": samples,
        "log_bytes": bytes,
        "ready_s": round(ready),
        "answer_s": round(answered),
        "cpu_s": round(server.cpu()),
        "rss_mib": round(server.rss_mib()),
    })
}

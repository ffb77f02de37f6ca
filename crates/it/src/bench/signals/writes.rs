//! Remote write 1.0: 20,000 series of five labels, 1,000 samples a request, over four connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use wire::remote_write::{Encoder, Points, Sample, Version};
use wire::snappy;

use super::round;
use super::servers::Server;
use crate::client::Connection;

/// Series over all connections.
const SERIES: usize = 20_000;
/// Samples of a request.
const AT_ONCE: usize = 1_000;
/// Connections.
const CONNECTIONS: usize = 4;
/// Time between two samples of a series, in milliseconds.
const STEP_MS: i64 = 1_000;

/// Sends for so long; what each sample took.
pub(super) async fn measure(server: &Server, seconds: u64, run: &str) -> Value {
    let sent = AtomicU64::new(0);
    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds);
    let before = server.cpu();
    let first = now_ms() - 40 * 60 * 1_000;
    let one = |connection: usize| send(server, (connection, run), first, (end, &sent));
    futures_util::future::join_all((0..CONNECTIONS).map(one)).await;
    let took = begun.elapsed().as_secs_f64();
    let cpu = server.cpu() - before;
    let sent = sent.load(Ordering::Relaxed) as f64;
    json!({
        "samples": sent,
        "per_second": (sent / took).round(),
        "cpu_us_per_sample": round(cpu * 1e6 / sent),
        "per_cpu_second": (sent / cpu).round(),
        "rss_mib": round(server.rss_mib()),
    })
}

async fn send(
    server: &Server,
    (connection, run): (usize, &str),
    first: i64,
    (end, sent): (Instant, &AtomicU64),
) {
    let mut http = Connection::open(&server.authority).await.unwrap();
    let own = SERIES / CONNECTIONS;
    let version = Version::One;
    let headers = [
        ("content-type", version.content_type()),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", version.number()),
    ];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ (connection as u64) << 17;
    let mut step = 0;
    while Instant::now() < end {
        let timestamp = first + step * STEP_MS;
        for part in (0..own).step_by(AT_ONCE) {
            let mut encoder = Encoder::new(version);
            for series in part..part + AT_ONCE {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let value = step as f64 * 10.0 + (random % 10) as f64;
                let (instance, pod) = (
                    format!("10.0.{connection}.{}:9100", series / 100),
                    format!("pod-{series:05}"),
                );
                let labels = [
                    ("__name__", "bench_writes_total"),
                    ("instance", &instance),
                    ("job", "bench"),
                    ("pod", &pod),
                    ("run", run),
                ];
                let labels = labels.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
                let sample = Sample {
                    value,
                    timestamp,
                    start: 0,
                };
                let points = Points {
                    samples: &[sample],
                    ..Points::default()
                };
                encoder.series(labels, &points);
            }
            let body = snappy::pack(&encoder.finish()).unwrap();
            let reply = http
                .send_bytes(("POST", "/api/v1/write"), &headers, body.into())
                .await
                .unwrap();
            assert!(reply.status < 300, "{}: {}", server.name, reply.text());
            sent.fetch_add(AT_ONCE as u64, Ordering::Relaxed);
        }
        step += 1;
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

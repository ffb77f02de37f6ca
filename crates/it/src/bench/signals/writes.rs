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
pub(super) const SERIES: usize = 20_000;
/// Samples of a request.
const AT_ONCE: usize = 1_000;
/// Connections.
const CONNECTIONS: usize = 4;
/// Time between two samples of a series, in milliseconds.
const STEP_MS: i64 = 1_000;

/// What the samples are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Whole numbers that grow.
    Counters,
    /// Doubles of which no bit is like that of another.
    Noise,
}

/// Sends for so long; what each sample took.
pub(super) async fn measure(server: &Server, seconds: u64) -> Value {
    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds);
    let before = server.cpu();
    let sent = send_while(server, Kind::Counters, || Instant::now() < end).await;
    let took = begun.elapsed().as_secs_f64();
    let cpu = server.cpu() - before;
    let sent = sent as f64;
    json!({
        "samples": sent,
        "per_second": (sent / took).round(),
        "cpu_us_per_sample": round(cpu * 1e6 / sent),
        "per_cpu_second": (sent / cpu).round(),
        "rss_mib": round(server.rss_mib()),
    })
}

/// Sends rounds of all series as long as wanted; gives how many samples.
pub(super) async fn send_while(server: &Server, kind: Kind, wanted: impl Fn() -> bool) -> u64 {
    let sent = AtomicU64::new(0);
    // Nothing may be ahead of the clock, or old enough to go into a segment.
    let minutes = match kind {
        Kind::Counters => 40,
        Kind::Noise => 110,
    };
    let first = now_ms() - minutes * 60 * 1_000;
    let one = |connection: usize| send(server, (connection, kind), first, (&wanted, &sent));
    futures_util::future::join_all((0..CONNECTIONS).map(one)).await;
    sent.into_inner()
}

async fn send(
    server: &Server,
    (connection, kind): (usize, Kind),
    first: i64,
    (wanted, sent): (&impl Fn() -> bool, &AtomicU64),
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
    while wanted() {
        let timestamp = first + step * STEP_MS;
        for part in (0..own).step_by(AT_ONCE) {
            let mut encoder = Encoder::new(version);
            for series in part..part + AT_ONCE {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let value = match kind {
                    Kind::Counters => step as f64 * 10.0 + (random % 10) as f64,
                    Kind::Noise => f64::from_bits(random >> 12 | 1023 << 52),
                };
                let (instance, pod) = (
                    format!("10.0.{connection}.{}:9100", series / 100),
                    format!("pod-{series:05}"),
                );
                let labels = [
                    ("__name__", "bench_writes_total"),
                    ("instance", &instance),
                    ("job", "bench"),
                    ("pod", &pod),
                    ("run", "1"),
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

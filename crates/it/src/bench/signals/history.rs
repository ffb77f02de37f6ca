//! A day of 100 series at 15 s, and questions about all of it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use wire::remote_write::{Encoder, Points, Sample, Version};
use wire::snappy;

use super::servers::Server;
use super::{Question, ask};
use crate::client::Connection;

/// Series.
const SERIES: i64 = 100;
/// Groups of which sums are asked for.
const GROUPS: i64 = 10;
/// Hours of them.
const HOURS: i64 = 24;
/// Time between two samples, in milliseconds.
const STEP_MS: i64 = 15_000;
/// Samples of each series in a request.
const AT_ONCE: i64 = 240;
/// How long before now it ends, in milliseconds: what is written next comes after it.
const ENDS_BEFORE_MS: i64 = 3_600_000;

/// Writes it, and asks for rates over all of it.
pub(super) async fn measure(server: &Server, runs: usize) -> Value {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let end = i64::try_from(since.as_millis()).unwrap() - ENDS_BEFORE_MS;
    let begin = end - HOURS * 3_600_000;
    write(server, begin, end).await;
    let times = Some((begin as f64 / 1e3, end as f64 / 1e3, 60.0));
    let sum = Question {
        query: "sum by (group) (rate(bench_history_total[5m]))",
        times,
    };
    let each = Question {
        query: "rate(bench_history_total[5m])",
        times,
    };
    json!({
        "series": SERIES,
        "samples": SERIES * HOURS * 3_600_000 / STEP_MS,
        "sum": ask(server, &sum, runs).await,
        "each": ask(server, &each, runs).await,
    })
}

async fn write(server: &Server, begin: i64, end: i64) {
    let mut http = Connection::open(&server.authority).await.unwrap();
    let version = Version::One;
    let headers = [
        ("content-type", version.content_type()),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", version.number()),
    ];
    let mut from = begin;
    while from < end {
        let until = (from + AT_ONCE * STEP_MS).min(end);
        let mut encoder = Encoder::new(version);
        for series in 0..SERIES {
            let samples: Vec<Sample> = (0..(until - from) / STEP_MS)
                .map(|step| from + step * STEP_MS)
                .map(|timestamp| Sample {
                    value: ((timestamp - begin) / STEP_MS * (3 + series % 7)) as f64,
                    timestamp,
                    start: 0,
                })
                .collect();
            let instance = format!("10.1.0.{series}:9100");
            let group = (series % GROUPS).to_string();
            let labels = [
                ("__name__", "bench_history_total"),
                ("group", group.as_str()),
                ("instance", instance.as_str()),
                ("job", "history"),
            ];
            let points = Points {
                samples: &samples,
                ..Points::default()
            };
            let labels = labels.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            encoder.series(labels, &points);
        }
        let body = snappy::pack(&encoder.finish()).unwrap();
        let reply = http
            .send_bytes(("POST", "/api/v1/write"), &headers, body.into())
            .await
            .unwrap();
        assert!(reply.status < 300, "{}: {}", server.name, reply.text());
        from = until;
    }
}

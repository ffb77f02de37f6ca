//! A million series, of which some are replaced again and again, as deployments do: memory, and how long
//! questions about labels take.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use wire::remote_write::{Encoder, Points, Sample, Version};
use wire::snappy;

use super::servers::Server;
use super::{Size, round};
use crate::client::Connection;

/// Series of a request.
const AT_ONCE: usize = 5_000;
/// Time between two rounds, in milliseconds.
const STEP_MS: usize = 15_000;
/// Rounds; after each but the last one a tenth of the series is replaced.
const ROUNDS: usize = 6;
/// Questions about labels, with what is common among clients: all names, the values of labels with few
/// and with many values, and those of a selection.
const QUESTIONS: [(&str, &str, &str); 5] = [
    ("all label names", "/api/v1/labels", ""),
    ("20 namespaces", "/api/v1/label/namespace/values", ""),
    ("1,000 instances", "/api/v1/label/instance/values", ""),
    (
        "names of metrics of one instance",
        "/api/v1/label/__name__/values",
        "{instance=\"10.2.0.7:9100\"}",
    ),
    (
        "pods of one instance",
        "/api/v1/label/pod/values",
        "{instance=\"10.2.0.7:9100\"}",
    ),
];

/// Writes them and asks.
pub(super) async fn measure(server: &Server, size: Size) -> Value {
    let before = server.cpu();
    let mut http = Connection::open(&server.authority).await.unwrap();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let first = i64::try_from(since.as_millis()).unwrap() - 10 * 60_000;
    for (round, timestamp) in (0..ROUNDS).zip((first..).step_by(STEP_MS)) {
        for part in (0..size.series).step_by(AT_ONCE) {
            write(&mut http, (part, size.series), round, timestamp).await;
        }
    }
    let cpu = server.cpu() - before;
    let mut asked = json!({});
    for (name, path, matcher) in QUESTIONS {
        asked[name] = ask(server, (path, matcher), size.runs).await;
    }
    let slowest = asked.as_object().unwrap().values();
    let slowest = slowest.filter_map(|asked| asked["p50_ms"].as_f64());
    json!({
        "series": size.series,
        "replaced": size.series / 10 * (ROUNDS - 1),
        "cpu_us_per_sample": round(cpu * 1e6 / (size.series * ROUNDS) as f64),
        "rss_mib": round(server.rss_mib()),
        "slowest_p50_ms": slowest.fold(0.0, f64::max),
        "labels": asked,
    })
}

/// Series from `part` on at one time. In each round another tenth of the pods is a new one.
async fn write(http: &mut Connection, (part, all): (usize, usize), round: usize, timestamp: i64) {
    let version = Version::One;
    let headers = [
        ("content-type", version.content_type()),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", version.number()),
    ];
    let mut encoder = Encoder::new(version);
    for series in part..(part + AT_ONCE).min(all) {
        let instance = format!("10.2.{}.{}:9100", series % 1000 / 250, series % 250);
        let namespace = format!("namespace-{}", series % 20);
        let generation = (round + 9 - series / 20 % 10) / 10 * 100 + series / 20 % 10;
        let pod = format!("pod-{series:07}-{generation:03}");
        let name = format!("app_metric_{}_total", series / 1000 % 200);
        let labels = [
            ("__name__", name.as_str()),
            ("container", "main"),
            ("instance", &instance),
            ("job", "pods"),
            ("namespace", &namespace),
            ("pod", &pod),
        ];
        let labels = labels.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let sample = Sample {
            value: (series % 1000 + round * 7) as f64,
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
    assert!(reply.status < 300, "{}", reply.text());
}

async fn ask(server: &Server, (path, matcher): (&str, &str), runs: usize) -> Value {
    let mut parameters = Vec::new();
    if !matcher.is_empty() {
        parameters.push(("match[]", matcher));
    }
    let found = server.ask(path, &parameters).await;
    let before = server.cpu();
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let begun = Instant::now();
        server.ask(path, &parameters).await;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    json!({
        "values": found.as_array().map_or(0, Vec::len),
        "cpu_ms": round((server.cpu() - before) * 1e3 / runs as f64),
        "p50_ms": round(times[times.len() / 2]),
    })
}

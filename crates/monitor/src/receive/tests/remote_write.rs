//! Remote write of both versions, good and bad.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use signals::Options;
use wire::exposition::Kind;
use wire::histogram::{Histogram, Span};
use wire::remote_write::{Encoder, Exemplar, HistogramSample, Metadata, Points, Sample, Version};
use wire::snappy;

use super::*;

const BOTH: [Version; 2] = [Version::One, Version::Two];

type Labeled<'a> = &'a [(&'a str, &'a str)];

fn bytes(labels: Labeled<'_>) -> impl Iterator<Item = (&[u8], &[u8])> {
    let labels = labels.iter();
    labels.map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

fn sample(timestamp: i64, value: f64) -> Sample {
    Sample {
        value,
        timestamp,
        start: 0,
    }
}

/// A request with one sample a series.
fn request(version: Version, series: &[(Labeled<'_>, i64, f64)]) -> Request<Body> {
    let mut encoder = Encoder::new(version);
    for (labels, timestamp, value) in series {
        let points = Points {
            samples: &[sample(*timestamp, *value)],
            ..Points::default()
        };
        encoder.series(bytes(labels), &points);
    }
    packed(version, &encoder.finish())
}

fn packed(version: Version, message: &[u8]) -> Request<Body> {
    Request::post("/api/v1/write")
        .header("content-encoding", "snappy")
        .header("content-type", version.content_type())
        .header("x-prometheus-remote-write-version", version.number())
        .body(Body::from(snappy::pack(message).unwrap()))
        .unwrap()
}

const UP: Labeled<'_> = &[("__name__", "up"), ("job", "node")];

#[tokio::test]
async fn receive_takes_both_versions() {
    for version in BOTH {
        let bench = Bench::new();
        let now = now_ms();
        for round in 0..3 {
            let down: Labeled<'_> = &[("__name__", "down")];
            let series = [(UP, now + round, 1.0), (down, now + round, 2.0)];
            let answer = bench.ask(request(version, &series)).await;
            assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
            assert_eq!(answer.text(), "");
            let written = answer.header("x-prometheus-remote-write-samples-written");
            assert_eq!(written, (version == Version::Two).then_some("2"));
        }
        let expected = [(now, 1.0), (now + 1, 1.0), (now + 2, 1.0)];
        assert_eq!(bench.floats("up").await, expected);
        assert_eq!(
            bench.read("up").await[0].0,
            r#"{__name__="up", job="node"}"#
        );
        let page = bench.own_metrics();
        let counted = r#"landline_received_total{protocol="remote_write",kind="sample"} 6"#;
        assert!(page.contains(counted), "{page}");
    }
}

#[tokio::test]
async fn receive_keeps_what_is_answered_over_a_restart() {
    let bench = Bench::new();
    let now = now_ms();
    let answer = bench.ask(request(Version::One, &[(UP, now, 7.0)])).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let folder = bench.folder;
    drop((bench.samples, bench.receiver, bench.router));
    let samples = Samples::default();
    let opened = samples.open(&folder.path().join("signals"), Options::default());
    assert_eq!(opened.unwrap().replayed, 1);
}

#[tokio::test]
async fn receive_takes_histograms_exemplars_metadata_and_starts() {
    for version in BOTH {
        let bench = Bench::new();
        let now = now_ms();
        let start = if version == Version::Two { now - 50 } else { 0 };
        let histogram = Histogram {
            schema: 3,
            count: 3.0,
            sum: 4.5,
            positive_spans: vec![Span {
                offset: 2,
                length: 2,
            }],
            positive: vec![1.0, 2.0],
            ..Histogram::default()
        };
        let metadata = Metadata {
            kind: Kind::Histogram,
            help: b"How long.",
            unit: b"seconds",
        };
        let points = Points {
            samples: &[Sample {
                start,
                ..sample(now - 1, 1.0)
            }],
            histograms: &[HistogramSample {
                histogram,
                timestamp: now,
                start,
            }],
            exemplars: &[Exemplar {
                labels: vec![(b"trace_id", b"abc")],
                value: 0.5,
                timestamp: now,
            }],
            metadata: Some(metadata),
        };
        let mut encoder = Encoder::new(version);
        encoder.series(bytes(&[("__name__", "wait_seconds")]), &points);
        encoder.metadata("wait_seconds", &metadata);
        let answer = bench.ask(packed(version, &encoder.finish())).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
        if version == Version::Two {
            for kind in ["samples", "histograms", "exemplars"] {
                let name = format!("x-prometheus-remote-write-{kind}-written");
                assert_eq!(answer.header(&name), Some("1"), "{kind}");
            }
        }
        let (_, samples) = bench.read("wait_seconds").await.remove(0);
        let floats: Vec<_> = samples.floats.iter().collect();
        assert_eq!(floats, [(now - 1, 1.0, start)]);
        let (time, began, histogram) = &samples.histograms[0];
        assert_eq!((*time, *began), (now, start));
        assert_eq!(histogram.positive, [1.0, 2.0]);
        assert_eq!((histogram.schema, histogram.count), (3, 3.0));
        let exemplars = bench.store(|store| store.exemplars(&[], 0, i64::MAX)).await;
        assert_eq!(exemplars[0].labels.get("trace_id"), "abc");
        let known = bench.store(Store::metadata).await;
        let known = known.get("wait_seconds").unwrap();
        assert_eq!(
            (known.kind.as_str(), known.help.as_str()),
            ("histogram", "How long.")
        );
    }
}

#[tokio::test]
async fn receive_stores_the_good_and_names_the_bad() {
    for version in BOTH {
        let bench = Bench::new();
        let now = now_ms();
        let first = bench.ask(request(version, &[(UP, now, 1.0)])).await;
        assert_eq!(first.status, StatusCode::NO_CONTENT);
        let twice: Labeled<'_> = &[("__name__", "t"), ("a", "1"), ("a", "2")];
        let nameless: Labeled<'_> = &[("job", "x")];
        let empty: Labeled<'_> = &[("", "x"), ("__name__", "e")];
        let good: Labeled<'_> = &[("__name__", "good")];
        let late: Labeled<'_> = &[("__name__", "late")];
        let early: Labeled<'_> = &[("__name__", "early")];
        let series = [
            (UP, now, 2.0),
            (twice, now, 1.0),
            (nameless, now, 1.0),
            (empty, now, 1.0),
            (late, now - 7_200_000, 1.0),
            (early, now + 7_200_000, 1.0),
            (good, now, 5.0),
        ];
        let answer = bench.ask(request(version, &series)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let text = answer.text();
        assert!(text.starts_with("6 samples were not taken"), "{text}");
        for part in [
            "duplicate sample",
            "\"a\" is given twice",
            "no label __name__",
            "a label has no name",
            "too old",
            "too far in the future",
            "{__name__=\"late\"} at ",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(bench.floats("good").await, [(now, 5.0)]);
        assert_eq!(bench.floats("up").await, [(now, 1.0)]);
        let page = bench.own_metrics();
        let counted =
            r#"landline_received_refused_total{protocol="remote_write",reason="labels"} 3"#;
        assert!(page.contains(counted), "{page}");
    }
}

#[tokio::test]
async fn receive_refuses_labels_that_are_no_text() {
    let bench = Bench::new();
    let mut encoder = Encoder::new(Version::One);
    let labels: [(&[u8], &[u8]); 2] = [(b"__name__", b"up"), (b"x", b"\xff")];
    let points = Points {
        samples: &[sample(now_ms(), 1.0)],
        ..Points::default()
    };
    encoder.series(labels, &points);
    let answer = bench.ask(packed(Version::One, &encoder.finish())).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("not UTF-8"), "{answer:?}");
    assert!(bench.read("up").await.is_empty());
}

#[tokio::test]
async fn receive_takes_the_same_again() {
    let bench = Bench::new();
    let now = now_ms();
    for _ in 0..2 {
        let answer = bench.ask(request(Version::Two, &[(UP, now, 1.0)])).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        let written = answer.header("x-prometheus-remote-write-samples-written");
        assert_eq!(written, Some("1"));
    }
    assert_eq!(bench.floats("up").await, [(now, 1.0)]);
}

#[tokio::test]
async fn receive_keeps_each_bit_of_a_value() {
    let odd = [
        signals::STALE,
        0x7ff8_0000_0000_0001,
        (-0.0_f64).to_bits(),
        f64::NEG_INFINITY.to_bits(),
        1,
    ];
    for version in BOTH {
        let bench = Bench::new();
        let now = now_ms();
        for (at, bits) in (0..).zip(odd) {
            let value = f64::from_bits(bits);
            let answer = bench.ask(request(version, &[(UP, now + at, value)])).await;
            assert_eq!(answer.status, StatusCode::NO_CONTENT);
        }
        let kept = bench.floats("up").await.into_iter();
        let kept: Vec<u64> = kept.map(|(_, value)| value.to_bits()).collect();
        assert_eq!(kept, odd);
    }
}

#[tokio::test]
async fn receive_sorts_labels_and_leaves_out_empty_ones() {
    let bench = Bench::new();
    let now = now_ms();
    let ways: [Labeled<'_>; 3] = [
        &[("job", "node"), ("__name__", "up")],
        &[("__name__", "up"), ("empty", ""), ("job", "node")],
        UP,
    ];
    for (at, labels) in (0..).zip(ways) {
        let answer = bench
            .ask(request(Version::One, &[(labels, now + at, 1.0)]))
            .await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(bench.floats("up").await.len(), 3, "it is one series");
}

#[tokio::test]
async fn receive_refuses_what_it_does_not_read() {
    let bench = Bench::new();
    let ask = async |content_type: &str, encoding: &str, body: Vec<u8>| {
        let request = Request::post("/api/v1/write")
            .header("content-encoding", encoding)
            .header("content-type", content_type);
        bench.ask(request.body(Body::from(body)).unwrap()).await
    };
    let protobuf = Version::One.content_type();
    let empty = snappy::pack(b"").unwrap();
    let cases = [
        (protobuf, "snappy", empty.clone(), StatusCode::NO_CONTENT),
        (
            protobuf,
            "gzip",
            empty.clone(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (
            "application/json",
            "snappy",
            empty.clone(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (
            "application/x-protobuf;proto=io.other.Request",
            "snappy",
            empty,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (
            protobuf,
            "snappy",
            b"nonsense".to_vec(),
            StatusCode::BAD_REQUEST,
        ),
        (
            protobuf,
            "snappy",
            snappy::pack(b"\x0a\x05").unwrap(),
            StatusCode::BAD_REQUEST,
        ),
    ];
    for (content_type, encoding, body, status) in cases {
        let answer = ask(content_type, encoding, body).await;
        assert_eq!(
            answer.status, status,
            "{content_type} {encoding} {answer:?}"
        );
    }
}

#[tokio::test]
async fn receive_bounds_bodies_packed_and_not() {
    let config = ReceiveConfig {
        body_bytes_max: 20_000,
        unpacked_bytes_max: 40_000,
    };
    let bench = Bench::with(config, Options::default());
    let zeros = snappy::pack(&vec![0; 50_000]).unwrap();
    assert!(zeros.len() < config.body_bytes_max);
    for body in [zeros, vec![0; 20_001]] {
        let request = Request::post("/api/v1/write")
            .body(Body::from(body))
            .unwrap();
        let answer = bench.ask(request).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{answer:?}");
    }
}

#[tokio::test]
async fn receive_asks_to_send_again_when_the_store_is_full() {
    let options = Options {
        head_bytes_max: 1,
        ..Options::default()
    };
    let bench = Bench::with(ReceiveConfig::default(), options);
    let now = now_ms();
    let answers = [
        bench.ask(request(Version::One, &[(UP, now, 1.0)])).await,
        bench
            .ask(request(Version::One, &[(UP, now + 1, 1.0)]))
            .await,
    ];
    let last = &answers[1];
    assert_eq!(last.status, StatusCode::SERVICE_UNAVAILABLE, "{answers:?}");
    assert_eq!(last.header("retry-after"), Some("5"));
    let page = bench.own_metrics();
    let counted =
        r#"landline_received_requests_refused_total{protocol="remote_write",reason="store"} 1"#;
    assert!(page.contains(counted), "{page}");
}

#[tokio::test]
async fn receive_outlives_ids_that_the_store_forgot() {
    let bench = Bench::new();
    let now = now_ms();
    let answer = bench
        .ask(request(Version::One, &[(UP, now - 10_000, 1.0)]))
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    // The head forgets everything; another series may come before the known one.
    bench.store(Store::flush_all).await.unwrap();
    let other: Labeled<'_> = &[("__name__", "other")];
    let series = [(other, now, 3.0), (UP, now, 2.0)];
    let answer = bench.ask(request(Version::One, &series)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    assert_eq!(bench.floats("up").await, [(now - 10_000, 1.0), (now, 2.0)]);
    assert_eq!(bench.floats("other").await, [(now, 3.0)]);
}

/// A request with a sample of each of many series.
fn round(version: Version, instances: &[String], timestamp: i64, value: f64) -> Request<Body> {
    let mut encoder = Encoder::new(version);
    for instance in instances {
        let labels = [
            ("__name__", "http_requests_total"),
            ("code", "200"),
            ("instance", instance),
            ("job", "shop"),
            ("method", "GET"),
        ];
        let points = Points {
            samples: &[sample(timestamp, value)],
            ..Points::default()
        };
        encoder.series(bytes(&labels), &points);
    }
    packed(version, &encoder.finish())
}

/// Prints what a sample costs of a processor; with optimization this means something.
#[tokio::test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "it is run to be read")]
async fn receive_cost() {
    let bench = Bench::new();
    let instances: Vec<String> = (0..2_000).map(|at| format!("instance-{at}")).collect();
    let begin = now_ms() - 3_000_000;
    for (version, begin) in [(Version::One, begin), (Version::Two, begin + 500_000)] {
        let requests = (0..200_u32).map(|at| {
            let timestamp = begin + i64::from(at) * 1_000;
            round(version, &instances, timestamp, f64::from(at * 7))
        });
        let requests: Vec<_> = requests.collect();
        let before = cpu_seconds();
        for request in requests {
            let answer = bench.ask(request).await;
            assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
        }
        let spent = cpu_seconds() - before;
        println!("{version:?}: {:.3} us a sample", spent / 400_000.0 * 1e6);
    }
}

fn cpu_seconds() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(spent).unwrap().as_secs_f64()
}

//! Samples as another Prometheus reads them.

use http::Request;
use signals::{Entry, Histogram, Labels, Span, Value};
use wire::remote_read::{self, Comparison, Matcher, Query, results};
use wire::remote_write::Item;
use wire::snappy;

use super::*;

fn ask(request: &remote_read::Request<'_>) -> Request<Body> {
    Request::post("/api/v1/read")
        .header("content-encoding", "snappy")
        .header("content-type", remote_read::MEDIA_TYPE)
        .body(Body::from(snappy::pack(&request.write()).unwrap()))
        .unwrap()
}

fn query<'a>(comparison: Comparison, name: &'a str, value: &'a str) -> Query<'a> {
    Query {
        start: 0,
        end: i64::MAX,
        matchers: vec![Matcher {
            comparison,
            name,
            value,
        }],
    }
}

/// Two series with two numbers each, one with a histogram.
async fn filled(now: i64) -> Bench {
    let bench = Bench::new();
    let fill = move |store: &Store| {
        let up = |job| Labels::new([("__name__", "up"), ("job", job)]).unwrap();
        let sizes = Labels::new([("__name__", "sizes")]).unwrap();
        let (one, two) = (up("one"), up("two"));
        let entry = |labels, timestamp, value| Entry {
            id: None,
            labels,
            timestamp,
            start: 0,
            value,
        };
        let span = Span {
            offset: 1,
            length: 2,
        };
        let histogram = Histogram {
            schema: 2,
            count: 3.0,
            sum: 5.0,
            positive_spans: vec![span],
            positive: vec![1.0, 2.0],
            ..Histogram::default()
        };
        let batch = [
            entry(&one, now - 10, Value::Float(1.0)),
            entry(&one, now, Value::Float(2.0)),
            entry(&two, now - 10, Value::Float(3.0)),
            entry(&two, now, Value::Float(f64::from_bits(signals::STALE))),
            entry(&sizes, now, Value::Histogram(histogram.into())),
        ];
        store.append(&batch, now).unwrap()
    };
    assert_eq!(bench.store(fill).await.refused, 0);
    bench
}

/// Each series as a line: its values of labels, then its samples.
fn lines(request: &wire::remote_write::Request<'_>, now: i64) -> Vec<String> {
    let line = |series: wire::remote_write::Series<'_>| {
        let mut pairs = Vec::new();
        series.labels(&mut pairs).unwrap();
        let mut line: Vec<String> = pairs
            .iter()
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect();
        for item in series.items() {
            line.push(match item.unwrap() {
                Item::Sample(sample) if sample.value.to_bits() == signals::STALE => {
                    format!("{}:stale", sample.timestamp - now)
                }
                Item::Sample(sample) => format!("{}:{}", sample.timestamp - now, sample.value),
                Item::Histogram(sample) => format!("{:?}", sample.histogram.positive),
                Item::Exemplar(exemplar) => format!("{exemplar:?}"),
            });
        }
        line.join(" ")
    };
    request
        .series()
        .map(|series| line(series.unwrap()))
        .collect()
}

#[tokio::test]
async fn remote_read_gives_a_result_for_each_query() {
    let now = now_ms();
    let bench = filled(now).await;
    let narrow = Query {
        start: now,
        end: now,
        ..query(Comparison::NotEqual, "job", "two")
    };
    let request = remote_read::Request {
        queries: vec![
            query(Comparison::Matches, "job", "o.*|t.o"),
            narrow,
            query(Comparison::Equal, "job", "three"),
        ],
        takes_samples: true,
    };
    let answer = bench.ask(ask(&request)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-protobuf")
    );
    assert_eq!(answer.header("content-encoding"), Some("snappy"));
    let message = snappy::unpack(&answer.body, 1 << 20).unwrap();
    let results = results(&message).unwrap();
    let shown: Vec<_> = results.iter().map(|result| lines(result, now)).collect();
    let expected = [
        vec!["up one -10:1 0:2", "up two -10:3 0:stale"],
        vec!["sizes [1.0, 2.0]", "up one 0:2"],
        vec![],
    ];
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn remote_read_shows_what_may_be_seen() {
    let bench = filled(now_ms()).await;
    let request = remote_read::Request {
        queries: vec![query(Comparison::Equal, "__name__", "up")],
        takes_samples: true,
    };
    let mut asked = ask(&request);
    let viewer = Viewer::new(|labels| labels.get("job") == "two");
    asked.extensions_mut().insert(viewer);
    let answer = bench.ask(asked).await;
    let message = snappy::unpack(&answer.body, 1 << 20).unwrap();
    let results = results(&message).unwrap();
    assert_eq!(lines(&results[0], 0).len(), 1);
    assert!(lines(&results[0], 0)[0].starts_with("up two"));
}

#[tokio::test]
async fn remote_read_says_what_it_does_not_do() {
    let bench = filled(now_ms()).await;
    let unknown =
        Request::post("/api/v1/read").body(Body::from(snappy::pack(b"\x10\x07").unwrap()));
    let answer = bench.ask(unknown.unwrap()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("STREAMED_XOR_CHUNKS"), "{answer:?}");
    let broken = remote_read::Request {
        queries: vec![query(Comparison::Matches, "job", "(")],
        takes_samples: true,
    };
    let answer = bench.ask(ask(&broken)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("\"job\""), "{answer:?}");
    let plain = Request::post("/api/v1/read")
        .body(Body::from("plain"))
        .unwrap();
    assert_eq!(bench.ask(plain).await.status, StatusCode::BAD_REQUEST);
}

fn streamed(queries: Vec<Query<'_>>) -> remote_read::Request<'_> {
    remote_read::Request {
        queries,
        takes_samples: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_read_streams_chunks() {
    let now = now_ms();
    let bench = filled(now).await;
    let long = move |store: &Store| {
        let labels = Labels::new([("__name__", "long")]).unwrap();
        let entries = (0..3_000).map(|step: i32| Entry {
            id: None,
            labels: &labels,
            timestamp: now - 3_000_000 + i64::from(step) * 1_000,
            start: 0,
            value: Value::Float(f64::from(step).sin()),
        });
        store.append(&entries.collect::<Vec<_>>(), now).unwrap();
    };
    bench.store(long).await;
    let request = streamed(vec![
        query(Comparison::Matches, "__name__", ".+"),
        query(Comparison::Equal, "job", "one"),
        query(Comparison::Equal, "job", "none"),
    ]);
    let answer = bench.ask(ask(&request)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let kind = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    assert_eq!(answer.header("content-type"), Some(kind));
    assert_eq!(answer.header("content-encoding"), None);
    let found = remote_read::chunks::read(&answer.body).unwrap();
    let shown = |series: &remote_read::chunks::StreamedSeries<'_>| {
        let values: Vec<&str> = series.labels.iter().map(|(_, value)| *value).collect();
        format!(
            "{} {} {}",
            series.query,
            values.join(" "),
            series.samples.len()
        )
    };
    let shown: Vec<String> = found.iter().map(shown).collect();
    let expected = [
        "0 long 3000",
        "0 sizes 1",
        "0 up one 2",
        "0 up two 2",
        "1 up one 2",
    ];
    assert_eq!(shown, expected);
    for (step, (time, sample)) in (0..).zip(&found[0].samples) {
        let value = wire::tsdb::chunk::Sample::Float(f64::from(step).sin());
        assert_eq!(
            (*time, sample),
            (now - 3_000_000 + i64::from(step) * 1_000, &value)
        );
    }
    let wire::tsdb::chunk::Sample::Histogram(histogram) = &found[1].samples[0].1 else {
        panic!("{found:?}");
    };
    assert_eq!(
        (histogram.count, &*histogram.positive),
        (3.0, &[1.0, 2.0][..])
    );
    // What is wrong is known before the answer begins.
    let broken = streamed(vec![query(Comparison::Matches, "job", "(")]);
    let answer = bench.ask(ask(&broken)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let nothing = bench.ask(ask(&streamed(Vec::new()))).await;
    assert_eq!((nothing.status, nothing.body.len()), (StatusCode::OK, 0));
}

/// A reader that stops reading does not keep the store from being closed, and learns that it has not got
/// everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_chunks_is_cut_off_when_the_store_is_closed() {
    let now = now_ms();
    let bench = filled(now).await;
    let much = move |store: &Store| {
        for number in 0..100 {
            let number = number.to_string();
            let labels = Labels::new([("__name__", "much"), ("number", &number)]).unwrap();
            let entries = (0..2_000).map(|step: i32| Entry {
                id: None,
                labels: &labels,
                timestamp: now - 2_000 + i64::from(step),
                start: 0,
                value: Value::Float(f64::from(step).sin()),
            });
            store.append(&entries.collect::<Vec<_>>(), now).unwrap();
        }
    };
    bench.store(much).await;
    let request = streamed(vec![query(Comparison::Equal, "__name__", "much")]);
    let mut request = ask(&request);
    request.extensions_mut().insert(Viewer::of_everything());
    request.extensions_mut().insert(Peer {
        address: SocketAddr::from(([127, 0, 0, 1], 9)),
        is_tls: false,
    });
    let response = bench.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let begun = base::clock::now();
    bench.samples.close().await.unwrap();
    let took = base::clock::now().duration_since(begun);
    assert!(took < std::time::Duration::from_secs(1), "{took:?}");
    assert!(read_body(response.into_body(), 64 << 20).await.is_err());
}

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
    let streamed = remote_read::Request {
        queries: vec![],
        takes_samples: false,
    };
    let answer = bench.ask(ask(&streamed)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("SAMPLES"), "{answer:?}");
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

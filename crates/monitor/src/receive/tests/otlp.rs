//! Metrics of OpenTelemetry, as its exporters send them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use wire::protobuf::Writer;

use super::*;

const MEDIA_TYPE: &str = "application/x-protobuf";

fn attribute(out: &mut Writer, number: u32, name: &str, value: &str) {
    out.message(number, |out| {
        out.text(1, name);
        out.message(2, |out| out.text(1, value));
    });
}

fn nanoseconds(ms: i64) -> u64 {
    u64::try_from(ms).unwrap() * 1_000_000
}

/// A point of a number.
fn number(out: &mut Writer, now: i64, value: f64) {
    out.message(1, |out| {
        attribute(out, 7, "http.method", "GET");
        out.fixed64(2, nanoseconds(now - 60_000));
        out.fixed64(3, nanoseconds(now));
        out.double_always(4, value);
    });
}

/// A metric with the data under a field number.
fn metric(
    out: &mut Writer,
    (name, unit): (&str, &str),
    field: u32,
    data: impl FnOnce(&mut Writer),
) {
    out.message(2, |out| {
        out.text(1, name);
        out.text(2, "Says something.");
        out.text(3, unit);
        out.message(field, data);
    });
}

fn request(metrics: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    out.message(1, |out| {
        out.message(1, |out| {
            attribute(out, 1, "service.name", "shop");
            attribute(out, 1, "service.namespace", "eu");
            attribute(out, 1, "service.instance.id", "i-1");
            attribute(out, 1, "host.name", "web-1");
        });
        out.message(2, metrics);
    });
    out.finish()
}

fn post(body: Vec<u8>) -> Request<Body> {
    Request::post("/api/v1/otlp/v1/metrics")
        .header("content-type", MEDIA_TYPE)
        .body(Body::from(body))
        .unwrap()
}

/// All series of a metric with their last value.
async fn values(bench: &Bench, metric: &str) -> Vec<(String, f64)> {
    let all = bench.read(metric).await.into_iter();
    let values = all.map(|(labels, samples)| (labels, *samples.floats.values.last().unwrap()));
    values.collect()
}

/// The last value of the only series of a metric.
async fn only(bench: &Bench, metric: &str) -> String {
    let values = values(bench, metric).await;
    assert_eq!(values.len(), 1, "{values:?}");
    values[0].1.to_string()
}

#[tokio::test]
async fn otlp_numbers_become_series_of_prometheus() {
    let bench = Bench::new();
    let now = now_ms();
    let body = request(|out| {
        metric(out, ("http.requests", "1"), 7, |out| {
            number(out, now, 5.0);
            out.unsigned(2, 2);
            out.unsigned(3, 1);
        });
        metric(out, ("cpu.temperature", "Cel"), 5, |out| {
            number(out, now, 40.5);
        });
    });
    let answer = bench.ask(post(body)).await;
    assert_eq!(
        (answer.status, answer.body.len()),
        (StatusCode::OK, 0),
        "{answer:?}"
    );
    assert_eq!(answer.header("content-type"), Some(MEDIA_TYPE));
    let series = |name: &str| {
        format!("{{__name__={name:?}, http_method=\"GET\", instance=\"i-1\", job=\"eu/shop\"}}")
    };
    let requests = bench.read("http_requests_total").await;
    let (labels, samples) = &requests[0];
    assert_eq!(*labels, series("http_requests_total"));
    let samples: Vec<_> = samples.floats.iter().collect();
    assert_eq!(samples, [(now, 5.0, now - 60_000)]);
    let gauge = "cpu_temperature_celsius";
    assert_eq!(values(&bench, gauge).await, [(series(gauge), 40.5)]);
    let info = r#"{__name__="target_info", host_name="web-1", instance="i-1", job="eu/shop"}"#;
    assert_eq!(
        values(&bench, "target_info").await,
        [(info.to_owned(), 1.0)]
    );
    let known = bench.store(Store::metadata).await;
    assert_eq!(known.get("http_requests_total").unwrap().kind, "counter");
    let page = bench.own_metrics();
    let counted = r#"landline_received_total{protocol="otlp",kind="sample"} 3"#;
    assert!(page.contains(counted), "{page}");
}

#[tokio::test]
async fn otlp_histograms_become_buckets_and_native_ones() {
    let bench = Bench::new();
    let answer = bench.ask(post(distributions(now_ms()))).await;
    assert_eq!(
        (answer.status, answer.body.len()),
        (StatusCode::OK, 0),
        "{answer:?}"
    );
    let buckets: Vec<f64> = values(&bench, "wait_seconds_bucket")
        .await
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    // In the order of their labels: +Inf, 0.5, 1.
    assert_eq!(buckets, [6.0, 1.0, 3.0]);
    assert_eq!(only(&bench, "wait_seconds_sum").await, "9.5");
    assert_eq!(only(&bench, "wait_seconds_count").await, "6");
    let exemplars = bench.store(|store| store.exemplars(&[], 0, i64::MAX)).await;
    assert_eq!(exemplars.len(), 1);
    assert_eq!(exemplars[0].series.get("le"), "1");
    assert_eq!(exemplars[0].labels.get("trace_id"), "ab".repeat(16));
    let (_, samples) = bench.read("size_bytes").await.remove(0);
    let (_, _, histogram) = &samples.histograms[0];
    assert_eq!((histogram.schema, histogram.zero_count), (2, 1.0));
    assert_eq!(histogram.positive_spans[0].offset, 4);
    assert_eq!(histogram.positive, [1.0, 3.0]);
    assert_eq!(only(&bench, "delay_milliseconds_count").await, "2");
    assert_eq!(only(&bench, "delay_milliseconds").await, "3");
    let (labels, _) = values(&bench, "delay_milliseconds").await.remove(0);
    assert!(labels.contains(r#"quantile="0.5""#), "{labels}");
}

/// A histogram, an exponential one and a summary.
fn distributions(now: i64) -> Vec<u8> {
    request(|out| {
        metric(out, ("wait", "s"), 9, |out| {
            out.message(1, |out| {
                out.fixed64(3, nanoseconds(now));
                out.fixed64(4, 6);
                out.double(5, 9.5);
                for count in [1, 2, 3] {
                    out.fixed64(6, count);
                }
                out.doubles(7, &[0.5, 1.0]);
                out.message(8, |out| {
                    out.fixed64(2, nanoseconds(now));
                    out.double(3, 0.75);
                    out.bytes(5, &[0xab; 16]);
                });
            });
            out.unsigned(2, 2);
        });
        metric(out, ("size", "By"), 10, |out| {
            out.message(1, |out| {
                out.fixed64(3, nanoseconds(now));
                out.fixed64(4, 5);
                out.double(5, 9.5);
                out.zigzag(6, 2);
                out.fixed64(7, 1);
                out.message(8, |out| {
                    out.zigzag(1, 3);
                    out.varints(2, [1, 3].into_iter());
                });
            });
            out.unsigned(2, 2);
        });
        metric(out, ("delay", "ms"), 11, |out| {
            out.message(1, |out| {
                out.fixed64(3, nanoseconds(now));
                out.fixed64(4, 2);
                out.double(5, 7.0);
                out.message(6, |out| {
                    out.double(1, 0.5);
                    out.double(2, 3.0);
                });
            });
        });
    })
}

#[tokio::test]
async fn otlp_differences_are_refused_and_the_rest_is_kept() {
    let bench = Bench::new();
    let now = now_ms();
    let body = request(|out| {
        metric(out, ("difference", ""), 7, |out| {
            number(out, now, 5.0);
            out.unsigned(2, 1);
            out.unsigned(3, 1);
        });
        metric(out, ("good", ""), 5, |out| number(out, now, 1.0));
        metric(out, ("old", ""), 5, |out| number(out, 1_000_000, 1.0));
    });
    let answer = bench.ask(post(body)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.contains("delta temporality is not kept"), "{text}");
    assert!(text.contains("difference_total"), "{text}");
    assert!(text.contains("too old"), "{text}");
    // Field 1, a message of two bytes of length, then field 1: two points.
    assert_eq!(answer.body[3..5], [0x08, 2], "{answer:?}");
    assert_eq!(values(&bench, "good").await.len(), 1);
    assert!(bench.read("difference_total").await.is_empty());
}

#[tokio::test]
async fn otlp_is_taken_as_json() {
    let bench = Bench::new();
    let ask = async |body: String| {
        let request = Request::post("/api/v1/otlp/v1/metrics")
            .header("content-type", "application/json")
            .body(Body::from(body));
        bench.ask(request.unwrap()).await
    };
    let now = now_ms();
    let metrics = format!(
        r#"{{"name": "a", "gauge": {{"dataPoints": [
            {{"asInt": "5", "timeUnixNano": "{now}000000"}}, {{"asInt": "6", "timeUnixNano": "1"}}
        ]}}}}"#
    );
    let scopes = format!(r#"[{{"metrics": [{metrics}]}}]"#);
    let body = format!(r#"{{"resourceMetrics": [{{"scopeMetrics": {scopes}}}]}}"#);
    let answer = ask(body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let told = r#""rejectedDataPoints":"1""#;
    assert!(answer.text().contains(told), "{answer:?}");
    assert_eq!(only(&bench, "a").await, "5");
    let answer = ask("{".to_owned()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("not JSON"), "{answer:?}");
}

#[tokio::test]
async fn otlp_series_end_where_there_is_no_value() {
    let bench = Bench::new();
    let now = now_ms();
    let body = request(|out| {
        metric(out, ("a", ""), 5, |out| {
            out.message(1, |out| {
                out.fixed64(3, nanoseconds(now));
                out.unsigned(8, 1);
            });
        });
    });
    let answer = bench.ask(post(body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(values(&bench, "a").await[0].1.to_bits(), signals::STALE);
}

#[tokio::test]
async fn otlp_is_taken_with_gzip_and_refused_as_anything_else() {
    let bench = Bench::new();
    let now = now_ms();
    let body = request(|out| {
        metric(out, ("a", ""), 5, |out| number(out, now, 1.0));
    });
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&body).unwrap();
    let packed = encoder.finish().unwrap();
    let ask = async |content_type: &str, encoding: &str, body: &[u8]| {
        let request = Request::post("/api/v1/otlp/v1/metrics")
            .header("content-type", content_type)
            .header("content-encoding", encoding)
            .body(Body::from(body.to_vec()));
        bench.ask(request.unwrap()).await.status
    };
    assert_eq!(ask(MEDIA_TYPE, "gzip", &packed).await, StatusCode::OK);
    assert_eq!(values(&bench, "a").await.len(), 1);
    let unsupported = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    assert_eq!(ask("text/plain", "identity", b"{}").await, unsupported);
    assert_eq!(ask(MEDIA_TYPE, "zstd", &packed).await, unsupported);
    assert_eq!(
        ask(MEDIA_TYPE, "gzip", &body).await,
        StatusCode::BAD_REQUEST
    );
    let cut = &packed[..packed.len() / 2];
    assert!(ask(MEDIA_TYPE, "gzip", cut).await.is_client_error());
    assert_eq!(
        ask(MEDIA_TYPE, "identity", b"\x0a\x05").await,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn otlp_that_would_take_too_much_memory_is_refused() {
    let now = now_ms();
    let long = "x".repeat(1_000);
    // 10,000 series with 60 kB of labels each, in a request of less than 200 kB.
    let body = request(|out| {
        let histogram = |out: &mut Writer| {
            out.unsigned(2, 2);
            out.message(1, |out| {
                for number in 0..60 {
                    attribute(out, 9, &format!("a{number}"), &long);
                }
                out.fixed64(3, nanoseconds(now));
                out.fixed64(4, 0);
                for bound in 0..9_999 {
                    out.double_always(7, f64::from(bound));
                }
            });
        };
        metric(out, ("took", "s"), 9, histogram);
        metric(out, ("free", "By"), 5, |out| number(out, now, 7.0));
    });
    assert!(body.len() < 200_000, "{}", body.len());
    let bench = Bench::new();
    let answer = bench.ask(post(body)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{answer:?}");
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.contains("send fewer samples at a time"), "{text}");
    let series = bench.store(|store| {
        let all = store.select(&[], i64::MIN, i64::MAX).unwrap();
        all.labels().count()
    });
    assert_eq!(series.await, 0);
    let refused =
        r#"landline_received_requests_refused_total{protocol="otlp",reason="too_large"} 1"#;
    assert!(bench.own_metrics().contains(refused));
}

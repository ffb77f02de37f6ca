//! Pages by the schema, and pages that make no sense.

use proptest::prelude::*;

use super::{CONTENT_TYPE, Families, Kind, Malformed, Metric, Value, is_announced};
use crate::histogram::Span;
use crate::protobuf::Writer;

fn label(out: &mut Writer, name: &str, value: &str) {
    out.message(1, |out| {
        out.text(1, name);
        out.text(2, value);
    });
}

/// A page of one family with one metric.
fn page(name: &str, kind: u64, metric: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    out.delimited(|out| {
        out.text(1, name);
        out.text(2, "Help.");
        out.unsigned(3, kind);
        out.message(4, metric);
        out.text(5, "seconds");
    });
    out.finish()
}

/// The only metric of a page.
fn only(page: &[u8]) -> Result<(Kind, Metric<'_>), Malformed> {
    let mut families = Families::new(page);
    let family = families.next().unwrap()?;
    let mut metrics = family.metrics();
    let metric = metrics.next().unwrap()?;
    assert!(metrics.next().is_none() && families.next().is_none());
    Ok((family.kind, metric))
}

#[test]
fn exposition_protobuf_is_read_by_its_schema() {
    let page = b"\x1a\x0a\x02up\x18\x01\x22\x12\x0a\x06\x0a\x01a\x12\x01b\
        \x12\x04\x0d\0\0\0\0\x30\x05";
    assert_eq!(only(&page[..]).unwrap_err(), Malformed::Cut);
    // Name "up", gauge, a metric with a label a="b", value 1, time 5 and a field that nobody knows.
    let page = b"\x1f\x0a\x02up\x18\x01\x22\x17\x0a\x06\x0a\x01a\x12\x01b\
        \x12\x09\x09\0\0\0\0\0\0\xf0\x3f\x30\x05\x40\x01";
    let (kind, metric) = only(&page[..]).unwrap();
    assert_eq!((kind, metric.timestamp), (Kind::Gauge, Some(5)));
    assert_eq!(metric.value, Value::Number(1.0));
    let mut labels = vec![("old", "")];
    metric.labels(&mut labels).unwrap();
    assert_eq!(labels, [("a", "b")]);
    assert_eq!(metric.label_bytes, b"\x0a\x06\x0a\x01a\x12\x01b");
}

#[test]
fn exposition_protobuf_reads_counters_and_summaries() {
    let page = page("a_total", 0, |out| {
        out.message(3, |out| {
            out.double(1, 7.0);
            out.message(2, |out| {
                label(out, "trace_id", "x");
                out.double(2, 0.5);
                out.message(3, |out| {
                    out.signed(1, 2);
                    out.signed(2, 5_000_000);
                });
            });
            out.message(3, |out| out.signed(1, 9));
        });
    });
    let (kind, metric) = only(&page).unwrap();
    assert_eq!(kind, Kind::Counter);
    let Value::Counter {
        value,
        start,
        exemplar,
    } = metric.value
    else {
        panic!("{metric:?}");
    };
    assert_eq!((value.to_string().as_str(), start), ("7", 9_000));
    let exemplar = exemplar.unwrap();
    assert_eq!(exemplar.labels, [("trace_id", "x")]);
    assert_eq!(exemplar.timestamp, Some(2_005));
    let page = self::page("s", 2, |out| {
        out.message(4, |out| {
            out.unsigned(1, 3);
            out.double(2, 1.5);
            out.message(3, |out| {
                out.double(1, 0.5);
                out.double(2, 0.25);
            });
        });
    });
    let expected = Value::Summary {
        count: 3,
        sum: 1.5,
        quantiles: vec![(0.5, 0.25)],
        start: 0,
    };
    assert_eq!(only(&page).unwrap().1.value, expected);
}

#[test]
fn exposition_protobuf_reads_both_kinds_of_histograms() {
    let page = page("h", 4, |out| {
        out.message(7, |out| {
            out.unsigned(1, 3);
            out.double(2, 4.5);
            out.message(3, |out| {
                out.unsigned(1, 2);
                out.double(2, 1.0);
            });
            out.zigzag(5, 3);
            out.double(6, 1e-128);
            out.unsigned_always(7, 1);
            out.message(12, |out| {
                out.zigzag(1, -1);
                out.unsigned(2, 2);
            });
            out.varints(13, [2, 0].into_iter());
        });
    });
    let (kind, metric) = only(&page).unwrap();
    assert_eq!(kind, Kind::Histogram);
    let Value::Histogram(histogram) = metric.value else {
        panic!("{metric:?}");
    };
    assert_eq!(histogram.buckets.len(), 1);
    let native = histogram.native.unwrap();
    assert_eq!(native.check(), Ok(()));
    assert_eq!((native.schema, native.is_float), (3, false));
    let span = Span {
        offset: -1,
        length: 2,
    };
    assert_eq!(native.positive_spans, [span]);
    assert_eq!(native.positive, [1.0, 1.0]);
}

#[test]
fn exposition_protobuf_tells_native_histograms_by_a_sign() {
    let classic = page("h", 4, |out| out.message(7, |out| out.unsigned(1, 3)));
    let Value::Histogram(histogram) = only(&classic).unwrap().1.value else {
        panic!("no histogram");
    };
    assert_eq!(histogram.native, None);
    let empty = page("h", 4, |out| {
        out.message(7, |out| {
            // Zeros of the other kind of counts mean nothing.
            out.double_always(4, 0.0);
            out.message(12, |_| {});
        });
    });
    let Value::Histogram(histogram) = only(&empty).unwrap().1.value else {
        panic!("no histogram");
    };
    let native = histogram.native.unwrap();
    assert!(native.positive_spans.is_empty() && !native.is_float);
    let float = page("h", 4, |out| {
        out.message(7, |out| {
            out.double(4, 2.5);
            out.double(8, 2.5);
        });
    });
    let Value::Histogram(histogram) = only(&float).unwrap().1.value else {
        panic!("no histogram");
    };
    assert!(histogram.native.unwrap().is_float);
}

#[test]
fn exposition_protobuf_names_what_is_wrong() {
    let nameless = page("", 1, |out| out.message(2, |_| {}));
    assert!(matches!(only(&nameless), Err(Malformed::Meaning(_))));
    let valueless = page("a", 1, |out| label(out, "a", "b"));
    assert!(matches!(only(&valueless), Err(Malformed::Meaning(_))));
    let whole = page("a", 1, |out| out.message(2, |_| {}));
    let cut = &whole[..whole.len() - 1];
    assert_eq!(only(cut).unwrap_err(), Malformed::Cut);
}

#[test]
fn exposition_protobuf_is_known_by_its_content_type() {
    let compact = CONTENT_TYPE.replace(' ', "");
    for announced in [CONTENT_TYPE, &compact] {
        assert!(is_announced(announced), "{announced}");
    }
    for other in [
        "text/plain",
        "application/vnd.google.protobuf",
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text",
    ] {
        assert!(!is_announced(other), "{other}");
    }
}

proptest! {
    #[test]
    fn exposition_protobuf_reading_ends(page: Vec<u8>) {
        crate::fuzz::exposition_protobuf(&page);
    }
}

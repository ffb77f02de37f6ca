//! Requests by their schema, byte by byte, and requests that survive.

use proptest::prelude::*;

use super::{Encoder, Exemplar, HistogramSample, Item, Metadata, Points, Request, Sample, Version};
use crate::exposition::Kind;
use crate::histogram::{Histogram, Span};
use crate::protobuf::Malformed;

/// A series with all that was in it.
#[derive(Debug, PartialEq)]
struct Whole<'a> {
    labels: Vec<(&'a [u8], &'a [u8])>,
    items: Vec<Item<'a>>,
    metadata: Option<Metadata<'a>>,
}

fn wholes<'a>(request: &'a Request<'a>) -> Result<Vec<Whole<'a>>, Malformed> {
    let whole = |series: Result<super::Series<'a>, Malformed>| {
        let series = series?;
        let mut labels = Vec::new();
        series.labels(&mut labels)?;
        Ok(Whole {
            labels,
            items: series.items().collect::<Result<_, _>>()?,
            metadata: series.metadata()?,
        })
    };
    request.series().map(whole).collect()
}

const UP: (&[u8], &[u8]) = (b"__name__", b"up");

#[test]
fn remote_write_one_is_read_by_its_schema() {
    let label = b"\x0a\x0e\x0a\x08__name__\x12\x02up";
    let sample = b"\x12\x0c\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\xe8\x07";
    let mut series = vec![0x0a, 0x1e];
    series.extend(label);
    series.extend(sample);
    // Metadata: gauge, "up", help "Up.".
    series.extend(b"\x1a\x0b\x08\x02\x12\x02up\x22\x03Up.");
    let request = Request::read(Version::One, &series).unwrap();
    let expected = Whole {
        labels: vec![UP],
        items: vec![Item::Sample(Sample {
            value: 1.0,
            timestamp: 1000,
            start: 0,
        })],
        metadata: None,
    };
    assert_eq!(wholes(&request), Ok(vec![expected]));
    let metadata: Vec<_> = request.metadata().map(Result::unwrap).collect();
    let expected = Metadata {
        kind: Kind::Gauge,
        help: b"Up.",
        unit: b"",
    };
    assert_eq!(metadata, [(&b"up"[..], expected)]);
}

#[test]
fn remote_write_two_is_read_by_its_schema() {
    // Symbols "", "__name__", "up", "Up."; references 1, 2; a sample with value, time and start;
    // metadata of a counter with help; the time of creation for samples that say no start.
    let request = b"\x22\x00\x22\x08__name__\x22\x02up\x22\x03Up.\
        \x2a\x2b\x0a\x02\x01\x02\
        \x12\x0f\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\xe8\x07\x18\xf4\x03\
        \x12\x0c\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\xe9\x07\
        \x2a\x04\x08\x01\x18\x03\x30\x64";
    let request = Request::read(Version::Two, request).unwrap();
    let sample = |timestamp, start| {
        Item::Sample(Sample {
            value: 1.0,
            timestamp,
            start,
        })
    };
    let expected = Whole {
        labels: vec![UP],
        items: vec![sample(1000, 500), sample(1001, 100)],
        metadata: Some(Metadata {
            kind: Kind::Counter,
            help: b"Up.",
            unit: b"",
        }),
    };
    assert_eq!(wholes(&request), Ok(vec![expected]));
}

#[test]
fn remote_write_takes_fields_in_any_order() {
    // The sample stands between two labels, and the references are not packed.
    let request = b"\x0a\x1a\x0a\x06\x0a\x01a\x12\x01b\x12\x04\x10\x01\x18\x02\
        \x12\x02\x10\x07\x0a\x06\x0a\x01c\x12\x01d";
    let request = Request::read(Version::One, request).unwrap();
    let series = wholes(&request).unwrap();
    assert_eq!(series[0].labels, [(&b"a"[..], &b"b"[..]), (b"c", b"d")]);
    assert_eq!(series[0].items.len(), 2);
    let request = b"\x2a\x06\x08\x01\x08\x02\x12\x00\x22\x00\x22\x01a\x22\x01b";
    let request = Request::read(Version::Two, request).unwrap();
    let series = wholes(&request).unwrap();
    assert_eq!(series[0].labels, [(&b"a"[..], &b"b"[..])]);
    assert_eq!(series[0].items.len(), 1);
}

#[test]
fn remote_write_two_names_what_is_wrong() {
    let cases: [(&[u8], Malformed); 3] = [
        (b"\x22\x00\x2a\x04\x0a\x02\x00\x05", Malformed::Symbol(5)),
        (
            b"\x22\x00\x2a\x03\x0a\x01\x00",
            Malformed::Meaning("a label has a name and no value"),
        ),
        (b"\x22\x00\x2a\x04\x0a\x05\x00\x00", Malformed::Cut),
    ];
    for (bytes, expected) in cases {
        let request = Request::read(Version::Two, bytes).unwrap();
        assert_eq!(wholes(&request), Err(expected), "{bytes:?}");
    }
    let first = Request::read(Version::Two, b"\x22\x01a");
    assert!(matches!(first, Err(Malformed::Meaning(_))));
}

#[test]
fn remote_write_bounds_labels_and_symbols() {
    let labels = vec![(&b"a"[..], &b"b"[..]); super::LABELS_MAX + 1];
    for version in [Version::One, Version::Two] {
        let mut encoder = Encoder::new(version);
        encoder.series(labels.iter().copied(), &Points::default());
        let bytes = encoder.finish();
        let request = Request::read(version, &bytes).unwrap();
        assert_eq!(wholes(&request), Err(Malformed::Many(1, super::LABELS_MAX)));
    }
    let symbols = [0x22, 0].repeat(super::SYMBOLS_MAX + 1);
    let error = Request::read(Version::Two, &symbols).unwrap_err();
    assert_eq!(error, Malformed::Many(4, super::SYMBOLS_MAX));
}

#[test]
fn remote_write_is_chosen_by_the_content_type() {
    let cases = [
        (None, Some(Version::One)),
        (Some(""), Some(Version::One)),
        (Some("application/x-protobuf"), Some(Version::One)),
        (
            Some("application/x-protobuf; charset=utf-8"),
            Some(Version::One),
        ),
        (
            Some("application/x-protobuf;proto=prometheus.WriteRequest"),
            Some(Version::One),
        ),
        (Some(Version::Two.content_type()), Some(Version::Two)),
        (
            Some("Application/X-Protobuf; Proto=\"io.prometheus.write.v2.Request\""),
            Some(Version::Two),
        ),
        (Some("application/x-protobuf;proto=io.other.Request"), None),
        (Some("application/json"), None),
    ];
    for (header, version) in cases {
        assert_eq!(Version::from_content_type(header), version, "{header:?}");
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    "[a-z]{0,4}".prop_map(String::into_bytes)
}

fn texts() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    proptest::collection::vec((text(), text()), 0..5)
}

fn pairs(texts: &[(Vec<u8>, Vec<u8>)]) -> Vec<(&[u8], &[u8])> {
    let pairs = texts.iter();
    pairs.map(|(name, value)| (&name[..], &value[..])).collect()
}

proptest! {
    #[test]
    fn remote_write_survives(
        all in proptest::collection::vec((texts(), texts(), any::<i64>(), 0..3_usize), 0..5),
        is_two: bool,
        value in proptest::num::f64::NORMAL,
    ) {
        let version = if is_two { Version::Two } else { Version::One };
        let start = if is_two { 77 } else { 0 };
        let mut encoder = Encoder::new(version);
        let mut expected = Vec::new();
        for (labels, exemplar, timestamp, count) in &all {
            let (labels, timestamp) = (pairs(labels), *timestamp);
            let samples = vec![Sample { value, timestamp, start }; *count];
            let histograms = vec![HistogramSample {
                histogram: Histogram {
                    count: 3.0,
                    sum: value,
                    positive_spans: vec![Span { offset: -1, length: 1 }],
                    positive: vec![3.0],
                    ..Histogram::default()
                },
                timestamp,
                start,
            }; *count];
            let exemplars = vec![Exemplar { labels: pairs(exemplar), value, timestamp }; *count];
            let metadata = is_two.then_some(Metadata {
                kind: Kind::Summary,
                help: b"Help.",
                unit: b"s",
            });
            let points = Points {
                samples: &samples,
                histograms: &histograms,
                exemplars: &exemplars,
                metadata,
            };
            encoder.series(labels.iter().copied(), &points);
            let histograms = histograms.into_iter().map(|it| Item::Histogram(Box::new(it)));
            let items = samples.into_iter().map(Item::Sample);
            let items = items.chain(histograms).chain(exemplars.into_iter().map(Item::Exemplar));
            expected.push(Whole { labels, items: items.collect(), metadata });
        }
        let bytes = encoder.finish();
        let request = Request::read(version, &bytes).unwrap();
        prop_assert_eq!(wholes(&request), Ok(expected));
    }

    #[test]
    fn remote_write_reading_ends(bytes: Vec<u8>) {
        crate::fuzz::remote_write(&bytes);
    }
}

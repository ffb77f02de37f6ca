//! Pages by hand, and any bytes. What Prometheus wrote is read by the tests of who imports.

use proptest::prelude::*;

use super::super::chunk::Sample;
use super::super::tombstones::Tombstone;
use super::super::{TsdbError, checksum};
use super::{Event, PAGE_BYTES, Records, read};
use crate::exposition::Kind;
use crate::histogram::{ResetHint, Span};
use crate::snappy;

/// A part of a record with its header.
fn part(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(&checksum(data).to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// The records of pages, and why it ended.
fn records(pages: &[Vec<u8>]) -> (Vec<Vec<u8>>, Result<(), TsdbError>) {
    let mut records = Records::default();
    let mut found = Vec::new();
    let mut base = 0;
    for page in pages {
        let result = records.page(page, base, &mut |record| {
            found.push(record.to_vec());
            Ok(())
        });
        if result.is_err() {
            return (found, result);
        }
        base += page.len();
    }
    (found, Ok(()))
}

/// What a record says, in words.
fn said(record: &[u8]) -> Result<Vec<String>, TsdbError> {
    let mut found = Vec::new();
    read(record, &mut |event| found.push(format!("{event:?}")))?;
    Ok(found)
}

#[test]
fn records_go_over_pages() {
    let mut first = part(1, b"\x01one");
    first.extend(part(2, b"\x02tw"));
    first.resize(PAGE_BYTES, 0);
    let mut second = part(3, b"o t");
    second.extend(part(4, b"wo"));
    second.extend(part(1, b"three"));
    let (found, ended) = records(&[first.clone(), second.clone()]);
    assert_eq!(ended, Ok(()));
    assert_eq!(found, [&b"\x01one"[..], b"\x02two two", b"three"]);
    // What is not whole is told by its place, and what was before it stays.
    let at = second.len() - 2;
    second.truncate(at);
    let (found, ended) = records(&[first.clone(), second.clone()]);
    assert_eq!(found.len(), 2);
    let place = PAGE_BYTES + 10 + 9;
    let what = "a part of a record";
    assert_eq!(ended, Err(TsdbError::Shape { what, at: place }));
    second[9] ^= 1;
    let (found, ended) = records(&[first.clone(), second]);
    assert_eq!(found.len(), 1);
    let at = PAGE_BYTES;
    assert_eq!(ended, Err(TsdbError::Checksum { what, at }));
    // A record can't end that has not begun, nor begin twice.
    assert!(records(&[part(4, b"x")]).1.is_err());
    assert!(
        records(&[[part(2, b"x"), part(1, b"x")].concat()])
            .1
            .is_err()
    );
    assert!(records(&[part(5, b"x")]).1.is_err());
    assert!(records(&[vec![0, 0, 1]]).1.is_err());
}

#[test]
fn records_may_be_packed() {
    let plain = b"many many many many words".to_vec();
    let snappy = snappy::pack(&plain).unwrap();
    // By the program zstd.
    let zstd = b"\x28\xb5\x2f\xfd\x24\x19\x85\0\0\x50many words\x01\0\xe8\x8a\x16\x8d\x13\xfa\xb5";
    let page = [part(1 | 8, &snappy), part(1 | 16, zstd)].concat();
    let (found, ended) = records(&[page]);
    assert_eq!(ended, Ok(()));
    assert_eq!(found, [plain.clone(), plain]);
    assert!(records(&[part(1 | 8, b"\xff\xff\xff\xff\x0fx")]).1.is_err());
    assert!(records(&[part(1 | 16, b"nothing")]).1.is_err());
}

#[test]
fn every_record_is_read() {
    let base = [3_u64.to_be_bytes(), 1_000_u64.to_be_bytes()].concat();
    let number = 2.5_f64.to_bits().to_be_bytes();
    let series = [&[1][..], &3_u64.to_be_bytes(), b"\x01\x01a\x02bc"].concat();
    let event = Event::Series {
        reference: 3,
        labels: vec![("a", "bc")],
    };
    assert_eq!(said(&series).unwrap(), [format!("{event:?}")]);
    let sample = |reference, time| {
        let sample = Sample::Float(2.5);
        let event = Event::Sample {
            reference,
            time,
            sample,
        };
        format!("{event:?}")
    };
    // Numbers and times with a sign: 0 and 0, then one less and five more.
    let samples = [&[2][..], &base, &[0, 0], &number, &[1, 10], &number].concat();
    assert_eq!(
        said(&samples).unwrap(),
        [sample(3, 1_000), sample(2, 1_005)]
    );
    assert_eq!(said(&[2]).unwrap(), [""; 0]);
    // The later form: from the one before, with starts.
    let later = [
        &[11][..],
        &[6, 20, 0],
        &number,
        &[2, 4, 2, 6],
        &number,
        &[2, 6, 1],
        &number,
    ];
    let expected = [sample(3, 10), sample(4, 12), sample(5, 13)];
    assert_eq!(said(&later.concat()).unwrap(), expected);
    let deleted = [&[3][..], &3_u64.to_be_bytes(), &[2, 4]].concat();
    let event = Event::Deleted(Tombstone {
        reference: 3,
        start: 1,
        end: 2,
    });
    assert_eq!(said(&deleted).unwrap(), [format!("{event:?}")]);
    let exemplar = [&[4][..], &base, &[0, 0], &number, b"\x01\x01t\x011"].concat();
    let event = Event::Exemplar {
        reference: 3,
        time: 1_000,
        value: 2.5,
        labels: vec![("t", "1")],
    };
    assert_eq!(said(&exemplar).unwrap(), [format!("{event:?}")]);
    let metadata = b"\x06\x03\x01\x03\x04TYPE\x01x\x04UNIT\x01s\x04HELP\x02It";
    let event = Event::Metadata {
        reference: 3,
        kind: Kind::Counter,
        help: "It",
        unit: "s",
    };
    assert_eq!(said(metadata).unwrap(), [format!("{event:?}")]);
    assert_eq!(said(b"\x05anything").unwrap(), [""; 0]);
    assert_eq!(said(b"\x63").unwrap(), ["Unknown(99)"]);
    assert!(said(b"").is_err());
    assert!(said(&samples[..samples.len() - 1]).is_err());
}

#[test]
fn histograms_have_both_forms() {
    let base = [3_u64.to_be_bytes(), 1_000_u64.to_be_bytes()].concat();
    let number = |value: f64| value.to_bits().to_be_bytes();
    let (threshold, sum) = (number(0.001), number(7.5));
    // Schema 1, two buckets of 4 and 6 from index -1 on; a negative one of 1.
    let shape = [1, 1, 2, 1, 0, 1];
    let whole: [&[u8]; 9] = [
        &[7],
        &base,
        &[0, 0, 2, 2],
        &threshold,
        &[5, 16],
        &sum,
        &shape,
        &[2, 8, 4],
        &[1, 2],
    ];
    let found = histogram(&whole.concat());
    assert_eq!(found.reset_hint, ResetHint::NotReset);
    assert_eq!((found.schema, found.is_float), (1, false));
    assert_eq!((found.zero_count, found.count, found.sum), (5.0, 16.0, 7.5));
    let span = |offset, length| Span { offset, length };
    assert_eq!(found.positive_spans, [span(-1, 2)]);
    assert_eq!(found.negative_spans, [span(0, 1)]);
    assert_eq!(found.positive, [4.0, 6.0]);
    assert_eq!(found.negative, [1.0]);
    // Given bounds, and fractions.
    let (count, bucket) = (number(1.5), number(0.5));
    let fractions: [&[u8]; 10] = [
        &[10],
        &base,
        &[0, 0, 0, 105],
        &number(0.0),
        &number(0.0),
        &count,
        &sum,
        &[1, 0, 1, 0, 1],
        &bucket,
        &[0, 1],
    ];
    let found = histogram(&[&fractions.concat()[..], &number(0.25)].concat());
    assert_eq!(
        (found.schema, found.is_float, found.count),
        (-53, true, 1.5)
    );
    assert_eq!(found.positive, [0.5]);
    assert_eq!(found.custom_bounds, [0.25]);
}

fn histogram(record: &[u8]) -> crate::histogram::Histogram {
    let mut found = Vec::new();
    read(record, &mut |event| {
        if let Event::Sample {
            sample: Sample::Histogram(histogram),
            ..
        } = event
        {
            found.push(histogram);
        }
    })
    .unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

proptest! {
    #[test]
    fn any_record_ends(kind in 0_u8..15, data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut seen = 0_usize;
        read(&[&[kind], &data[..]].concat(), &mut |_| seen += 1).ok();
        prop_assert!(seen <= data.len() + 1);
    }

    #[test]
    fn any_page_ends(data in proptest::collection::vec(any::<u8>(), 0..300), kind: u8) {
        let page = part(kind, &data);
        let (found, _) = records(&[page, data]);
        prop_assert!(found.len() < 300);
    }
}

//! What Prometheus wrote is read by the tests of who imports; here: bytes by hand, and any bytes.

use proptest::prelude::*;

use super::chunk::{self, Sample};
use super::{TsdbError, encode, index, tombstones};
use crate::histogram::{Histogram, ResetHint, Span};

/// A chunk with its length and its checksum.
fn whole(encoding: u8, data: &[u8]) -> Vec<u8> {
    let mut body = vec![encoding];
    body.extend_from_slice(data);
    let mut bytes = vec![u8::try_from(data.len()).unwrap()];
    bytes.extend_from_slice(&body);
    bytes.extend_from_slice(&super::checksum(&body).to_be_bytes());
    bytes
}

fn samples(bytes: &[u8]) -> Result<Vec<(i64, f64)>, TsdbError> {
    let mut found = Vec::new();
    chunk::read(bytes, &mut |time, sample| {
        if let Sample::Float(value) = sample {
            found.push((time, value));
        }
    })?;
    Ok(found)
}

#[test]
fn three_samples_by_hand() {
    let mut data = vec![0, 3];
    // 1000 with a sign, and 1.5.
    data.extend_from_slice(&[0xd0, 0x0f]);
    data.extend_from_slice(&1.5_f64.to_bits().to_be_bytes());
    // 15, and the same value; then the same distance, and again the same value: 0, 0 0.
    data.extend_from_slice(&[15, 0b0000_0000]);
    let bytes = whole(1, &data);
    assert_eq!(chunk::length(&bytes), Some(bytes.len()));
    let expected = [(1000, 1.5), (1015, 1.5), (1030, 1.5)];
    assert_eq!(samples(&bytes).unwrap(), expected);
}

/// A file of Prometheus 2.42: whole counts, fractions, and one that ends in a marker of
/// staleness.
const HISTOGRAMS: &str = "\
    85bd40dd010000007702000400749ca7bb8ca327f0000d100b8fdf47d9a3cc5009e55c0218b234dc\
    28f911487c88b87d77487c09c5fc8e9bb4efa77272ec93161f0af80bb3fbf44df91170faee90afc8\
    8c9fc05dc4503a70277869f8fbf470f91cfb2ff5c59ff7e89100ad3b80a7ad1cf9116bfaee90c2fd\
    77487d7748fc88b780e1faba0ba10103000300f246578c63fc00034402e41ee08069913aed5d6aa0\
    8002a7e94b617cf4808a362f3092ba72802b5020a017908a804590e32e67fab6801cfe2025bacc1d\
    f0270ba77f90f38a2366fe3af5fca5b16d90311ebd6c522186287a5bab6c325bb146039775eb3cf3\
    a7615e335d5ac82eba23539ad711050ec2b48bf1cd82c824122bacd3ab5dc8d135401481c6506ceb\
    3480eec498aa7a70c8229a71b0ca567a7a14444a864202000300ff3fd33333333333338c627f0000\
    d100b907b87af83d770804800071b4b99a5c28f8138af91d28f91170d3a67d1cf60cf136fc05dc58\
    c5dff67a399dad5bf7f0fad33f";

/// Time, the hint, and all numbers of each histogram of the file.
fn histograms() -> Vec<(i64, Histogram)> {
    let digits = HISTOGRAMS.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let bytes: Vec<u8> = digits.map(byte).collect();
    chunk::check_header(&bytes).unwrap();
    let mut found = Vec::new();
    let mut rest = &bytes[chunk::HEADER_BYTES..];
    while let Some(length) = chunk::length(rest) {
        chunk::read(rest, &mut |time, sample| match sample {
            Sample::Histogram(histogram) => found.push((time, histogram)),
            Sample::Float(value) => panic!("{value}"),
        })
        .unwrap();
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
    found
}

#[test]
fn histograms_of_prometheus() {
    let found = histograms();
    let times: Vec<i64> = found
        .iter()
        .map(|(time, _)| time - 1_795_320_500_000)
        .collect();
    let expected = [
        77_000, 82_003, 87_003, 92_002, 82_000, 86_997, 92_002, 82_000, 87_002, 92_002,
    ];
    assert_eq!(times, expected);
    let span = |offset, length| Span { offset, length };
    let whole = Histogram {
        schema: 3,
        reset_hint: ResetHint::NotReset,
        zero_threshold: f64::from_bits(0x37f0_0000_0000_0000),
        zero_count: 3_001.0,
        count: 496_147.0,
        sum: 107.660_841_524_347_09,
        positive_spans: vec![span(-5, 3), span(2, 1)],
        negative_spans: vec![span(0, 2)],
        positive: vec![70_010.0, 50.0, 73_080.0, 140_005.0],
        negative: vec![210_001.0, 0.0],
        ..Histogram::default()
    };
    assert_eq!(found[3].1, whole);
    assert_eq!(found[0].1.reset_hint, ResetHint::Unknown);
    let fractions = &found[6].1;
    assert!(fractions.is_float);
    assert_eq!(
        fractions.positive,
        [12.878_229_244_935_833, 21.624_536_236_477_34]
    );
    assert_eq!(fractions.negative, [16.101_528_712_272_845]);
    let stale = &found[9].1;
    assert_eq!(stale.sum.to_bits(), 0x7ff0_0000_0000_0002);
    assert!(stale.positive.is_empty() && stale.positive_spans.is_empty());
}

#[test]
fn what_is_wrong_is_said() {
    let bytes = whole(1, &[0, 0]);
    assert_eq!(samples(&bytes).unwrap(), []);
    let mut flipped = bytes.clone();
    flipped[2] ^= 1;
    let error = samples(&flipped).unwrap_err();
    assert!(matches!(error, TsdbError::Checksum { .. }), "{error}");
    assert_eq!(samples(&whole(9, &[])), Err(TsdbError::Encoding(9)));
    assert!(samples(&whole(1, &[0, 2, 0])).is_err());
    assert!(index::Index::read(b"").is_err());
    assert!(chunk::check_header(&[0x85, 0xbd, 0x40, 0xdd, 2]).is_err());
    assert!(tombstones::read(b"\x01\x30\xba\x30\x01").is_err());
    let mut none = b"\x01\x30\xba\x30\x01".to_vec();
    none.extend_from_slice(&super::checksum(b"").to_be_bytes());
    assert_eq!(tombstones::read(&none).unwrap(), []);
}

proptest! {
    #[test]
    fn any_chunk_ends(encoding in 1_u8..4, data in proptest::collection::vec(any::<u8>(), 0..120)) {
        let mut seen = 0_usize;
        chunk::read(&whole(encoding, &data), &mut |_, _| seen += 1).ok();
        prop_assert!(u16::try_from(seen).is_ok());
    }

    #[test]
    fn any_index_ends(mut bytes in proptest::collection::vec(any::<u8>(), 60..400), places in any::<[u8; 6]>()) {
        bytes.splice(..5, [0xba, 0xaa, 0xd7, 0, 2]);
        let at = bytes.len() - 52;
        let mut contents: Vec<u8> = places.iter().flat_map(|place| u64::from(*place).to_be_bytes()).collect();
        contents.extend_from_slice(&super::checksum(&contents).to_be_bytes());
        bytes.splice(at.., contents);
        if let Ok(index) = index::Index::read(&bytes) {
            let count = index.series().count();
            prop_assert!(count <= bytes.len());
        }
    }
}

/// The samples of chunks without a frame.
fn of_data(encoding: u8, data: &[u8]) -> Vec<(i64, Sample)> {
    let mut found = Vec::new();
    chunk::read_data(encoding, data, &mut |time, sample| {
        found.push((time, sample));
    })
    .unwrap();
    found
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        begin in any::<i32>(),
        steps in proptest::collection::vec((0..40_000_i64, prop_oneof![Just(1.0), any::<f64>(), -9.0..9.0_f64]), 0..120),
    ) {
        let mut time = i64::from(begin) * 1000;
        let samples: Vec<(i64, f64)> = steps.into_iter().map(|(step, value)| {
            time += step * step;
            (time, value)
        }).collect();
        let read = of_data(encode::FLOATS, &encode::floats(&samples));
        let bits = |value: f64| value.to_bits();
        let read: Vec<(i64, u64)> = read.into_iter().map(|(time, sample)| match sample {
            Sample::Float(value) => (time, bits(value)),
            Sample::Histogram(histogram) => panic!("{histogram:?}"),
        }).collect();
        let samples: Vec<(i64, u64)> = samples.into_iter().map(|(time, value)| (time, bits(value))).collect();
        prop_assert_eq!(read, samples);
    }
}

/// The same bytes as by hand above.
#[test]
fn three_samples_are_written_as_by_hand() {
    let written = encode::floats(&[(1000, 1.5), (1015, 1.5), (1030, 1.5)]);
    let mut data = vec![0, 3, 0xd0, 0x0f];
    data.extend_from_slice(&1.5_f64.to_bits().to_be_bytes());
    data.extend_from_slice(&[15, 0]);
    assert_eq!(written, data);
}

#[test]
fn histograms_are_written_one_by_one() {
    let given = Histogram {
        schema: -53,
        count: 9.0,
        sum: 2.5,
        positive_spans: vec![Span {
            offset: 1,
            length: 2,
        }],
        positive: vec![4.0, 5.0],
        custom_bounds: vec![0.001, 7e300, f64::MAX],
        ..Histogram::default()
    };
    let ended = Histogram {
        sum: f64::from_bits(0x7ff0_0000_0000_0002),
        ..Histogram::default()
    };
    let all = histograms()
        .into_iter()
        .chain([(-5, given), (i64::MAX, ended)]);
    for (time, mut histogram) in all {
        let read = of_data(encode::HISTOGRAM, &encode::histogram(time, &histogram));
        // Prometheus tells fractions of them.
        histogram.is_float = true;
        let [(at, Sample::Histogram(read))] = &read[..] else {
            panic!("{read:?}");
        };
        assert_eq!((*at, read.sum.to_bits()), (time, histogram.sum.to_bits()));
        let no_sum = |histogram: &Histogram| Histogram {
            sum: 0.0,
            ..histogram.clone()
        };
        assert_eq!(no_sum(read), no_sum(&histogram));
    }
}

//! Histograms by their schema, and those that make no sense.

use proptest::prelude::*;

use super::{Histogram, HistogramError, REMOTE, ResetHint, Span, read, write};
use crate::protobuf::Writer;

fn whole() -> Histogram {
    Histogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 2.0,
        count: 12.0,
        sum: 18.4,
        positive_spans: vec![
            Span {
                offset: 0,
                length: 2,
            },
            Span {
                offset: 1,
                length: 2,
            },
        ],
        positive: vec![1.0, 2.0, 1.0, 1.0],
        negative_spans: vec![Span {
            offset: -3,
            length: 2,
        }],
        negative: vec![3.0, 2.0],
        ..Histogram::default()
    }
}

#[test]
fn histogram_has_the_bytes_of_the_schema() {
    let histogram = Histogram {
        schema: -1,
        count: 3.0,
        sum: 1.0,
        positive_spans: vec![Span {
            offset: -2,
            length: 2,
        }],
        positive: vec![2.0, 1.0],
        reset_hint: ResetHint::NotReset,
        ..Histogram::default()
    };
    let mut expected = vec![0x08, 3, 0x19];
    expected.extend(1.0_f64.to_le_bytes());
    // Schema, whole zero count, positive span {-2, 2}, differences {2, -1}, hint.
    expected.extend([
        0x20, 1, 0x30, 0, 0x5a, 4, 0x08, 3, 0x10, 2, 0x62, 2, 4, 1, 0x70, 2,
    ]);
    let mut writer = Writer::default();
    write(&histogram, &REMOTE, &mut writer);
    assert_eq!(writer.finish(), expected);
    assert_eq!(read(&expected, &REMOTE, |_| Ok(())), Ok(histogram));
}

#[test]
fn histogram_checks_what_fits_together() {
    assert_eq!(whole().check(), Ok(()));
    let changed = |change: fn(&mut Histogram)| {
        let mut histogram = whole();
        change(&mut histogram);
        histogram.check()
    };
    assert_eq!(changed(|it| it.schema = 9), Err(HistogramError::Schema(9)));
    let missing = HistogramError::Buckets {
        needed: 4,
        given: 3,
    };
    assert_eq!(changed(|it| it.positive.truncate(3)), Err(missing));
    assert_eq!(
        changed(|it| it.positive_spans[1].offset = -1),
        Err(HistogramError::Offset)
    );
    assert_eq!(
        changed(|it| it.negative[0] = -1.0),
        Err(HistogramError::Count)
    );
    assert_eq!(changed(|it| it.count = 10.0), Err(HistogramError::Sum));
    assert_eq!(
        changed(|it| it.custom_bounds = vec![1.0]),
        Err(HistogramError::Mixed)
    );
}

#[test]
fn histogram_with_given_bounds_is_checked() {
    let custom = |bounds: &[f64], spans: &[(i32, u32)], counts: &[f64]| Histogram {
        schema: super::CUSTOM_BOUNDS_SCHEMA,
        count: counts.iter().sum(),
        positive_spans: spans
            .iter()
            .map(|(offset, length)| Span {
                offset: *offset,
                length: *length,
            })
            .collect(),
        positive: counts.to_vec(),
        custom_bounds: bounds.to_vec(),
        ..Histogram::default()
    };
    assert_eq!(
        custom(&[1.0, 2.0], &[(0, 3)], &[1.0, 2.0, 3.0]).check(),
        Ok(())
    );
    let error = Err(HistogramError::Bounds);
    assert_eq!(custom(&[1.0], &[(0, 3)], &[1.0, 2.0, 3.0]).check(), error);
    assert_eq!(custom(&[2.0, 1.0], &[(0, 1)], &[1.0]).check(), error);
    assert_eq!(custom(&[1.0], &[(-1, 1)], &[1.0]).check(), error);
    let mut zero = custom(&[1.0], &[(0, 1)], &[1.0]);
    zero.zero_threshold = 0.5;
    assert_eq!(zero.check(), Err(HistogramError::Mixed));
}

proptest! {
    #[test]
    fn histogram_survives(
        is_float: bool,
        counts in proptest::collection::vec(0..1_000_000_u32, 0..20),
        offset in -100..100_i32,
        sum: f64,
    ) {
        let half = if is_float { 0.5 } else { 0.0 };
        let counts: Vec<f64> = counts.iter().map(|count| f64::from(*count) + half).collect();
        let length = u32::try_from(counts.len()).unwrap();
        let histogram = Histogram {
            is_float,
            count: counts.iter().sum::<f64>(),
            sum: if sum.is_nan() { 0.0 } else { sum },
            positive_spans: vec![Span { offset, length }],
            positive: counts,
            ..Histogram::default()
        };
        let mut writer = Writer::default();
        write(&histogram, &REMOTE, &mut writer);
        prop_assert_eq!(read(&writer.finish(), &REMOTE, |_| Ok(())), Ok(histogram));
    }
}

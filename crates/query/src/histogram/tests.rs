//! Histograms: joining, resolution, resets, quantiles, text.

use super::*;

fn buckets(counts: &[f64]) -> Vec<Bucket> {
    let filled = counts.iter().zip(0..).filter(|(count, _)| **count != 0.0);
    filled
        .map(|(count, index)| Bucket {
            index,
            count: *count,
        })
        .collect()
}

fn histogram(schema: i32, counts: &[f64]) -> Histogram {
    let count: f64 = counts.iter().sum();
    Histogram {
        schema,
        count,
        sum: count,
        positive: buckets(counts),
        ..Histogram::default()
    }
}

fn custom(bounds: &[f64], counts: &[f64]) -> Histogram {
    Histogram {
        custom_values: bounds.into(),
        ..histogram(CUSTOM_BUCKETS, counts)
    }
}

#[test]
fn the_coarser_resolution_is_common() {
    let mut sum = histogram(0, &[0.0, 1.0, 1.0]);
    sum.add(&histogram(-1, &[0.0, 3.0])).unwrap();
    assert_eq!(sum, histogram(-1, &[0.0, 5.0]));
}

#[test]
fn only_common_bounds_stay() {
    let mut sum = custom(&[1.0, 2.0], &[1.0, 2.0, 3.0]);
    let joined = sum.add(&custom(&[2.0, 3.0], &[1.0, 1.0, 1.0])).unwrap();
    assert!(joined.has_reconciled_bounds);
    assert_eq!(sum, custom(&[2.0], &[4.0, 5.0]));
    assert_eq!(sum.add(&histogram(0, &[1.0])), Err(Incompatible));
}

#[test]
fn a_fall_in_one_bucket_is_a_reset() {
    let before = histogram(0, &[1.0, 2.0, 1.0]);
    assert!(histogram(0, &[1.0, 1.0, 3.0]).is_reset_since(&before));
    assert!(!histogram(0, &[1.0, 2.0, 3.0]).is_reset_since(&before));
    assert!(
        histogram(1, &[1.0, 2.0, 3.0]).is_reset_since(&before),
        "finer"
    );
}

#[test]
fn a_wider_zero_bucket_swallows_what_it_reaches() {
    let mut wide = histogram(0, &[1.0, 1.0]);
    wide.widen_zero(0.6);
    assert_eq!(wide.zero_threshold.to_bits(), 1.0f64.to_bits());
    assert_eq!(wide.zero_count.to_bits(), 1.0f64.to_bits());
    assert_eq!(
        wide.positive,
        vec![Bucket {
            index: 1,
            count: 1.0
        }]
    );
}

#[test]
fn quantile_and_fraction_are_inverse() {
    let filled = histogram(0, &[2.0, 3.0, 0.0, 1.0, 4.0]);
    for share in [0.1, 0.4, 0.5, 0.9] {
        let back = filled.fraction(f64::NEG_INFINITY, filled.quantile(share));
        assert!((back - share).abs() < 1e-12, "{share}: {back}");
    }
}

#[test]
fn is_written_with_bounds() {
    let mut filled = histogram(0, &[1.0, 2.0]);
    filled.negative = buckets(&[1.0]);
    filled.zero_count = 2.0;
    filled.zero_threshold = 0.001;
    let expected = "{count:3, sum:3, [-1,-0.5):1, [-0.001,0.001]:2, (0.5,1]:1, (1,2]:2}";
    assert_eq!(filled.to_string(), expected);
}

//! Exponential buckets as spans.

use wire::histogram::Span;

use super::{Value, buckets, native};

fn span(offset: i32, length: u32) -> Span {
    Span { offset, length }
}

#[test]
fn otlp_buckets_become_spans_without_long_gaps() {
    let (spans, counts) = buckets(&(3, vec![1, 0, 0, 2, 0, 0, 0, 3]), 0);
    assert_eq!(spans, [span(4, 4), span(3, 1)]);
    assert_eq!(counts, [1.0, 0.0, 0.0, 2.0, 3.0]);
    assert_eq!(buckets(&(-2, vec![5]), 0).0, [span(-1, 1)]);
    assert_eq!(buckets(&(0, vec![0, 0]), 0), (vec![], vec![]));
}

#[test]
fn otlp_buckets_are_joined_two_by_two() {
    // Of indexes -3..=2 pairs are (-4, -3), (-2, -1), (0, 1), (2, 3).
    let (spans, counts) = buckets(&(-3, vec![1, 2, 3, 4, 5, 6]), 1);
    assert_eq!(spans, [span(-1, 4)]);
    assert_eq!(counts, [1.0, 5.0, 9.0, 6.0]);
}

#[test]
fn otlp_histograms_that_are_too_fine_lose_resolution() {
    let value = |scale| Value::Exponential {
        scale,
        count: 10,
        sum: Some(1.0),
        zero_threshold: 0.0,
        zero_count: 0,
        positive: (0, vec![1, 2, 3, 4]),
        negative: (0, vec![]),
    };
    let histogram = native(&value(10)).unwrap();
    assert_eq!(histogram.schema, 8);
    assert_eq!(histogram.positive, [10.0]);
    assert_eq!(histogram.positive_spans, [span(1, 1)]);
    assert_eq!(histogram.check(), Ok(()));
    assert_eq!(native(&value(3)).unwrap().positive, [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(native(&value(-5)), None);
}

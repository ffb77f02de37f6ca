//! Classic histograms: buckets that are series of their own, each counting all that is below its
//! bound.

use crate::histogram::{Interpolation, Span, rank_between};
use crate::number;

/// A difference between neighbours that is smaller, relative to them, comes from rounding.
const ROUNDING: f64 = 1e-12;

/// The bound of a bucket, from its label.
pub(super) fn bound(text: &str) -> Option<f64> {
    number::parse(text)
}

/// Buckets by their bounds, each counting all that is below.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Buckets(Vec<(f64, f64)>);

impl Buckets {
    /// Buckets of bounds and counts in any order; those with the same bound are one.
    pub(super) fn new(mut buckets: Vec<(f64, f64)>) -> Buckets {
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        buckets.dedup_by(|later, kept| {
            let is_same = later.0.total_cmp(&kept.0).is_eq();
            if is_same {
                kept.1 += later.1;
            }
            is_same
        });
        Buckets(buckets)
    }

    /// Whether everything is counted at least in the last bucket.
    fn is_complete(&self) -> bool {
        self.0
            .last()
            .is_some_and(|(bound, _)| *bound == f64::INFINITY)
    }

    /// Counts that never fall, and whether they had to be mended by more than rounding.
    fn rising(&self) -> (Vec<(f64, f64)>, bool) {
        let mut rising = self.0.clone();
        let mut was_mended = false;
        let mut before = rising.first().map_or(0.0, |(_, count)| *count);
        for (_, count) in rising.iter_mut().skip(1) {
            if is_almost(before, *count) {
                *count = before;
            } else if *count < before {
                *count = before;
                was_mended = true;
            }
            before = *count;
        }
        (rising, was_mended)
    }

    /// The value that a share of the observations lies below, and whether counts had to be mended.
    pub(super) fn quantile(&self, share: f64) -> (f64, bool) {
        if share.is_nan() {
            return (f64::NAN, false);
        }
        if share < 0.0 {
            return (f64::NEG_INFINITY, false);
        }
        if share > 1.0 {
            return (f64::INFINITY, false);
        }
        if !self.is_complete() {
            return (f64::NAN, false);
        }
        let (rising, was_mended) = self.rising();
        (quantile(&rising, share).unwrap_or(f64::NAN), was_mended)
    }

    /// The share of observations between two values.
    pub(super) fn fraction(&self, lower: f64, upper: f64) -> f64 {
        if !self.is_complete() || lower.is_nan() || upper.is_nan() {
            return f64::NAN;
        }
        let (rising, _) = self.rising();
        let total = rising.last().map_or(0.0, |(_, count)| *count);
        if total == 0.0 || total.is_nan() {
            return f64::NAN;
        }
        if lower >= upper {
            return 0.0;
        }
        let mut before = (f64::NEG_INFINITY, 0.0);
        let mut spans = Vec::with_capacity(rising.len());
        for (bound, count) in rising {
            let is_first = before.0 == f64::NEG_INFINITY;
            let span = Span {
                lower: if is_first && bound > 0.0 {
                    0.0
                } else {
                    before.0
                },
                upper: bound,
                count: count - before.1,
            };
            spans.push((span, Interpolation::Linear));
            before = (bound, count);
        }
        rank_between(&spans, (lower, upper), total) / total
    }
}

fn quantile(rising: &[(f64, f64)], share: f64) -> Option<f64> {
    let [.., before_last, last] = rising else {
        return None;
    };
    let observations = last.1;
    if observations == 0.0 || observations.is_nan() {
        return None;
    }
    let mut rank = share * observations;
    let finite = rising.get(..rising.len() - 1)?;
    let at = finite.partition_point(|(_, count)| *count < rank);
    let Some((bound, count)) = finite.get(at) else {
        return Some(before_last.0);
    };
    let Some((start, below)) = at.checked_sub(1).and_then(|before| rising.get(before)) else {
        return Some(if *bound <= 0.0 {
            *bound
        } else {
            bound * (rank / count)
        });
    };
    rank -= below;
    Some(start + (bound - start) * (rank / (count - below)))
}

fn is_almost(one: f64, other: f64) -> bool {
    let sum = one.abs() + other.abs();
    one.to_bits() == other.to_bits() || (one - other).abs() / sum.min(f64::MAX) < ROUNDING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mends_counts_that_fall() {
        let buckets = Buckets::new(vec![
            (1.0, 10.0),
            (0.1, 20.0),
            (f64::INFINITY, 80.0),
            (10.0, 50.0),
        ]);
        let (value, was_mended) = buckets.quantile(0.25);
        assert!(was_mended);
        assert!((value - 0.1).abs() < 1e-12, "{value}");
    }

    #[test]
    fn needs_a_bucket_for_everything() {
        assert!(Buckets::new(vec![(1.0, 10.0)]).quantile(0.5).0.is_nan());
    }
}

//! What a histogram says of its observations: quantiles, the share between two values, variance.

use super::{Histogram, Span};
use crate::sum::Sum;

/// How observations are thought to lie in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interpolation {
    /// Evenly.
    Linear,
    /// Evenly by their logarithm.
    Exponential,
}

impl Histogram {
    fn interpolation(&self, span: &Span) -> Interpolation {
        if self.has_custom_buckets() || span.lower <= 0.0 && span.upper >= 0.0 {
            Interpolation::Linear
        } else {
            Interpolation::Exponential
        }
    }

    /// Narrows a bucket around zero to the side on which there are observations.
    fn biased(&self, mut span: Span) -> Span {
        if self.has_custom_buckets() {
            if span.lower == f64::NEG_INFINITY && span.upper > 0.0 {
                span.lower = 0.0;
            }
        } else if span.lower < 0.0 && span.upper > 0.0 {
            if self.negative.is_empty() && !self.positive.is_empty() {
                span.lower = 0.0;
            } else if self.positive.is_empty() && !self.negative.is_empty() {
                span.upper = 0.0;
            }
        }
        span
    }

    /// The value that a share of the observations lies below. NaN without observations, infinite
    /// for shares outside of 0 to 1.
    pub fn quantile(&self, share: f64) -> f64 {
        if share < 0.0 {
            return f64::NEG_INFINITY;
        }
        if share > 1.0 {
            return f64::INFINITY;
        }
        if self.count == 0.0 || share.is_nan() {
            return f64::NAN;
        }
        // Observations that are no numbers are in `count` only and stand behind all others.
        let is_forward = self.sum.is_nan() || share < 0.5;
        let wanted = if is_forward { share } else { 1.0 - share } * self.count;
        let mut spans = self.spans();
        if !is_forward {
            spans.reverse();
        }
        let mut seen = 0.0;
        let mut found = None;
        for span in spans {
            seen += span.count;
            found = Some(span);
            if seen >= wanted {
                break;
            }
        }
        let Some(found) = found else {
            return f64::NAN;
        };
        let span = self.biased(found);
        if self.has_custom_buckets() {
            if span.lower == f64::NEG_INFINITY {
                return span.upper;
            }
            if span.upper == f64::INFINITY {
                return span.lower;
            }
        }
        let seen = seen.min(self.count);
        if seen < wanted {
            return if self.sum.is_nan() {
                f64::NAN
            } else {
                span.upper
            };
        }
        let inside = if is_forward {
            wanted - (seen - span.count)
        } else {
            seen - wanted
        };
        self.inside(&span, inside / span.count)
    }

    /// The value at a share of a bucket's observations.
    fn inside(&self, span: &Span, share: f64) -> f64 {
        if self.interpolation(span) == Interpolation::Linear {
            return span.lower + (span.upper - span.lower) * share;
        }
        let (lower, upper) = (span.lower.abs().log2(), span.upper.abs().log2());
        if span.lower > 0.0 {
            (lower + (upper - lower) * share).exp2()
        } else {
            -(upper + (lower - upper) * (1.0 - share)).exp2()
        }
    }

    /// The share of observations between two values. NaN without observations.
    pub fn fraction(&self, lower: f64, upper: f64) -> f64 {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return f64::NAN;
        }
        if lower >= upper {
            return 0.0;
        }
        let spans: Vec<(Span, Interpolation)> = self
            .spans()
            .into_iter()
            .map(|span| (self.biased(span), self.interpolation(&span)))
            .collect();
        let total = if self.sum.is_nan() {
            spans.iter().map(|(span, _)| span.count).sum()
        } else {
            self.count
        };
        rank_between(&spans, (lower, upper), total) / self.count
    }

    /// The variance, with each observation in the middle of its bucket.
    pub fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let mut variance = Sum::default();
        for span in self.spans() {
            let value = if self.has_custom_buckets() {
                f64::midpoint(span.upper, span.lower)
            } else if span.lower <= 0.0 && span.upper >= 0.0 {
                0.0
            } else {
                (span.upper * span.lower).sqrt().copysign(span.upper)
            };
            let distance = value - mean;
            variance.add(span.count * distance * distance);
        }
        variance.total() / self.count
    }
}

/// How many of the observations lie between two values, the lower being less than the upper.
/// Buckets rise. A bucket without a finite bound has none inside.
pub(crate) fn rank_between(
    spans: &[(Span, Interpolation)],
    (lower, upper): (f64, f64),
    total: f64,
) -> f64 {
    rank(spans, upper, total) - rank(spans, lower, total)
}

/// How many observations lie below a value.
fn rank(spans: &[(Span, Interpolation)], value: f64, total: f64) -> f64 {
    let mut below = 0.0;
    for (span, interpolation) in spans {
        if span.lower >= value {
            return f64::min(below, total);
        }
        if span.upper > value {
            let share = match interpolation {
                _ if span.lower == f64::NEG_INFINITY => 1.0,
                _ if span.upper == f64::INFINITY => 0.0,
                Interpolation::Linear => (value - span.lower) / (span.upper - span.lower),
                Interpolation::Exponential => exponential_share(span, value),
            };
            return f64::min(below + span.count * share, total);
        }
        below += span.count;
    }
    total
}

/// Which share of an exponential bucket lies below a value in it.
pub(super) fn exponential_share(span: &Span, value: f64) -> f64 {
    let (lower, upper) = (span.lower.abs().log2(), span.upper.abs().log2());
    let value_log = value.abs().log2();
    if value > 0.0 {
        (value_log - lower) / (upper - lower)
    } else {
        1.0 - (value_log - upper) / (lower - upper)
    }
}

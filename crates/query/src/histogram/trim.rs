//! The part of a histogram below or above a value. What is left of a bucket is interpolated, and
//! the sum is estimated anew from the middles of what is left.

use super::quantile::exponential_share;
use super::{Bucket, Histogram, ResetHint, Span};

/// Where a histogram is cut, and which side stays.
#[derive(Debug, Clone, Copy)]
struct Cut {
    value: f64,
    keeps_lower: bool,
}

/// What is left of a bucket: observations, and the value in their middle.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Left {
    count: f64,
    middle: f64,
}

const NOTHING: Left = Left {
    count: 0.0,
    middle: 0.0,
};

impl Histogram {
    /// The observations up to a value.
    #[must_use]
    pub fn trimmed_above(&self, value: f64) -> Histogram {
        self.cut(Cut {
            value,
            keeps_lower: true,
        })
    }

    /// The observations from a value on.
    #[must_use]
    pub fn trimmed_below(&self, value: f64) -> Histogram {
        self.cut(Cut {
            value,
            keeps_lower: false,
        })
    }

    fn cut(&self, cut: Cut) -> Histogram {
        let everything = if cut.keeps_lower {
            f64::INFINITY
        } else {
            f64::NEG_INFINITY
        };
        if cut.value.to_bits() == everything.to_bits() {
            return self.clone();
        }
        let mut left = Histogram {
            count: 0.0,
            sum: 0.0,
            zero_count: 0.0,
            positive: Vec::new(),
            negative: Vec::new(),
            ..self.clone()
        };
        if cut.value.is_infinite() {
            return left;
        }
        let mut is_whole = true;
        let mut keep = |whole: f64, kept: Left| {
            is_whole &= whole.to_bits() == kept.count.to_bits();
            left.count += kept.count;
            left.sum += kept.count * kept.middle;
            kept.count
        };
        let mut negative = Vec::with_capacity(self.negative.len());
        for bucket in &self.negative {
            let span = Span {
                lower: -self.bound(bucket.index),
                upper: -self.bound(bucket.index.saturating_sub(1)),
                count: bucket.count,
            };
            let count = keep(bucket.count, exponential(&span, cut));
            negative.push(Bucket { count, ..*bucket });
        }
        let zero_count = keep(self.zero_count, linear(&self.zero_span(), cut));
        let mut positive = Vec::with_capacity(self.positive.len());
        for bucket in &self.positive {
            let span = Span {
                lower: self.bound(bucket.index.saturating_sub(1)),
                upper: self.bound(bucket.index),
                count: bucket.count,
            };
            let kept = if self.has_custom_buckets() {
                custom(span, cut)
            } else {
                exponential(&span, cut)
            };
            let count = keep(bucket.count, kept);
            positive.push(Bucket { count, ..*bucket });
        }
        if is_whole {
            return self.clone();
        }
        left.zero_count = zero_count;
        left.negative = negative;
        left.positive = positive;
        left.compact();
        left
    }

    /// The zero bucket; where all other observations are on one side, it reaches to that side only.
    fn zero_span(&self) -> Span {
        let is_positive = self.negative.is_empty() && !self.positive.is_empty();
        let is_negative = self.positive.is_empty() && !self.negative.is_empty();
        let side = |is_empty: bool, bound: f64| if is_empty { 0.0 } else { bound };
        Span {
            lower: side(is_positive, -self.zero_threshold),
            upper: side(is_negative, self.zero_threshold),
            count: self.zero_count,
        }
    }

    /// Marks that the histogram is no counter any more.
    pub(crate) fn make_gauge(&mut self) {
        self.reset_hint = ResetHint::Gauge;
    }
}

/// The part of a span that stays, and its share; none when nothing stays.
fn kept(span: &Span, cut: Cut, share_below: impl Fn(f64) -> f64) -> Option<(f64, f64, f64)> {
    let (lower, upper) = (span.lower, span.upper);
    if cut.keeps_lower {
        if upper <= cut.value {
            Some((lower, upper, 1.0))
        } else if lower < cut.value {
            Some((lower, cut.value, share_below(cut.value)))
        } else {
            None
        }
    } else if lower >= cut.value {
        Some((lower, upper, 1.0))
    } else if upper > cut.value {
        Some((cut.value, upper, 1.0 - share_below(cut.value)))
    } else {
        None
    }
}

fn linear(span: &Span, cut: Cut) -> Left {
    let share = |value: f64| (value - span.lower) / (span.upper - span.lower);
    kept(span, cut, share).map_or(NOTHING, |(lower, upper, share)| Left {
        count: share * span.count,
        middle: f64::midpoint(lower, upper),
    })
}

fn exponential(span: &Span, cut: Cut) -> Left {
    let share = |value: f64| exponential_share(span, value);
    kept(span, cut, share).map_or(NOTHING, |(lower, upper, share)| Left {
        count: share * span.count,
        middle: (lower * upper).sqrt().copysign(upper),
    })
}

/// A bucket with given bounds. One without a finite bound cannot be interpolated: it stays with all
/// that is in it, as near to the cut as it can be, or goes.
fn custom(mut span: Span, cut: Cut) -> Left {
    let whole = |middle: f64| Left {
        count: span.count,
        middle,
    };
    if span.lower == f64::NEG_INFINITY && span.upper == f64::INFINITY {
        return NOTHING;
    }
    if span.upper == f64::INFINITY {
        return if cut.keeps_lower {
            NOTHING
        } else {
            whole(span.lower.max(cut.value))
        };
    }
    if span.lower == f64::NEG_INFINITY {
        if span.upper > 0.0 && (cut.keeps_lower || cut.value >= 0.0) {
            span.lower = 0.0;
        } else {
            return if cut.keeps_lower {
                whole(span.upper.min(cut.value))
            } else {
                NOTHING
            };
        }
    }
    linear(&span, cut)
}

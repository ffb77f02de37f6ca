//! Native histograms: sparse buckets whose bounds follow from a schema (powers of two), or that are
//! given (schema -53), with floats as counts.

mod arithmetic;
mod mean;
mod quantile;
mod reset;
mod text;
mod trim;

use std::sync::Arc;

pub use self::arithmetic::{Incompatible, Joined};
pub(crate) use self::mean::Accumulator;
pub(crate) use self::quantile::{Interpolation, rank_between};

/// The schema of histograms whose bounds are given.
pub const CUSTOM_BUCKETS: i32 = -53;
/// The finest schema of exponential buckets.
pub const SCHEMA_MAX: i32 = 8;
/// The coarsest schema of exponential buckets.
pub const SCHEMA_MIN: i32 = -4;

/// What is known of a counter's fall before a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetHint {
    /// Nothing: it has to be looked for.
    #[default]
    Unknown,
    /// The counter fell between the sample before and this one.
    Reset,
    /// It did not.
    NotReset,
    /// This is no counter.
    Gauge,
}

/// A bucket that is not empty, by its index in the schema.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// With an exponential schema the bucket ends at `2^(index / 2^schema)`, with given bounds at
    /// the bound of that number.
    pub index: i32,
    /// Observations in it.
    pub count: f64,
}

/// A histogram of floats.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    /// The resolution: [`SCHEMA_MIN`] to [`SCHEMA_MAX`], or [`CUSTOM_BUCKETS`].
    pub schema: i32,
    /// All observations.
    pub count: f64,
    /// The sum of all observations.
    pub sum: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// The zero bucket's width on each side of zero.
    pub zero_threshold: f64,
    /// Buckets of positive observations, by index.
    pub positive: Vec<Bucket>,
    /// Buckets of negative observations, by index, mirrored.
    pub negative: Vec<Bucket>,
    /// The bounds that are given, rising and finite.
    pub custom_values: Arc<[f64]>,
    /// What is known of a fall before it.
    pub reset_hint: ResetHint,
}

/// The span of a bucket and what is in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Where it begins.
    pub lower: f64,
    /// Where it ends.
    pub upper: f64,
    /// Observations in it.
    pub count: f64,
}

impl Histogram {
    /// Whether the bounds are given instead of following from the schema.
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS
    }

    /// Whether this only marks that a series has ended.
    pub fn is_stale(&self) -> bool {
        crate::source::is_stale(self.sum)
    }

    /// Buckets that are not empty, from the lowest to the highest.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::with_capacity(self.positive.len() + self.negative.len() + 1);
        for bucket in self.negative.iter().rev() {
            spans.push(Span {
                lower: -self.bound(bucket.index),
                upper: -self.bound(bucket.index.saturating_sub(1)),
                count: bucket.count,
            });
        }
        if self.zero_count != 0.0 {
            spans.push(Span {
                lower: -self.zero_threshold,
                upper: self.zero_threshold,
                count: self.zero_count,
            });
        }
        for bucket in &self.positive {
            spans.push(Span {
                lower: self.bound(bucket.index.saturating_sub(1)),
                upper: self.bound(bucket.index),
                count: bucket.count,
            });
        }
        spans.retain(|span| span.count != 0.0);
        // A bucket next to zero does not reach into the zero bucket.
        for span in &mut spans {
            if self.zero_threshold > 0.0 && !self.has_custom_buckets() {
                if span.lower > 0.0 && span.lower < self.zero_threshold {
                    span.lower = self.zero_threshold.min(span.upper);
                }
                if span.upper < 0.0 && span.upper > -self.zero_threshold {
                    span.upper = (-self.zero_threshold).max(span.lower);
                }
            }
        }
        spans
    }

    /// The upper bound of a positive bucket.
    pub(crate) fn bound(&self, index: i32) -> f64 {
        if self.has_custom_buckets() {
            return match usize::try_from(index) {
                Ok(at) => self.custom_values.get(at).copied().unwrap_or(f64::INFINITY),
                Err(_) => f64::NEG_INFINITY,
            };
        }
        let exponent = f64::from(index) * (-f64::from(self.schema)).exp2();
        let bound = exponent.exp2();
        if bound.is_infinite() && exponent <= 1024.0 {
            f64::MAX
        } else {
            bound
        }
    }

    /// Removes buckets without observations.
    pub(crate) fn compact(&mut self) {
        self.positive.retain(|bucket| bucket.count != 0.0);
        self.negative.retain(|bucket| bucket.count != 0.0);
    }
}

/// Histograms are equal when they say the same of all observations; what is known of resets does
/// not matter.
impl PartialEq for Histogram {
    fn eq(&self, other: &Histogram) -> bool {
        fn filled(buckets: &[Bucket]) -> impl Iterator<Item = &Bucket> {
            buckets.iter().filter(|bucket| bucket.count != 0.0)
        }
        let same = |one: f64, two: f64| one.to_bits() == two.to_bits() || one == two;
        self.schema == other.schema
            && same(self.count, other.count)
            && same(self.sum, other.sum)
            && same(self.zero_count, other.zero_count)
            && same(self.zero_threshold, other.zero_threshold)
            && self.custom_values == other.custom_values
            && filled(&self.positive).eq(filled(&other.positive))
            && filled(&self.negative).eq(filled(&other.negative))
    }
}

#[cfg(test)]
mod tests;

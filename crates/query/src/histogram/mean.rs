//! Sums and means of many histograms, with the rounding error of each number carried along.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Bucket, Histogram, Incompatible, SCHEMA_MAX};
use crate::sum::Sum;

/// Adds up histograms.
#[derive(Debug, Clone)]
pub(crate) struct Accumulator {
    /// Schema, bounds, zero bucket and hint of the sum; its counts are in the fields below.
    shape: Histogram,
    has_reconciled_bounds: bool,
    count: Sum,
    sum: Sum,
    zero_count: Sum,
    positive: BTreeMap<i32, Sum>,
    negative: BTreeMap<i32, Sum>,
}

impl Accumulator {
    /// The sum of one histogram, times a factor.
    pub(crate) fn new(first: &Histogram, factor: f64) -> Accumulator {
        let shape = Histogram {
            schema: first.schema.min(SCHEMA_MAX),
            zero_threshold: first.zero_threshold,
            custom_values: Arc::clone(&first.custom_values),
            reset_hint: first.reset_hint,
            ..Histogram::default()
        };
        let mut made = Accumulator {
            shape,
            has_reconciled_bounds: false,
            count: Sum::default(),
            sum: Sum::default(),
            zero_count: Sum::default(),
            positive: BTreeMap::new(),
            negative: BTreeMap::new(),
        };
        made.add_counts(first, factor);
        made
    }

    /// Adds a histogram, times a factor.
    ///
    /// # Errors
    /// When only one of them has given bounds.
    pub(crate) fn add(&mut self, other: &Histogram, factor: f64) -> Result<(), Incompatible> {
        let is_same_shape = other.schema == self.shape.schema
            && other.zero_threshold.to_bits() == self.shape.zero_threshold.to_bits()
            && other.custom_values == self.shape.custom_values;
        if is_same_shape {
            self.shape.adjust_hint(other.reset_hint);
            self.add_counts(other, factor);
            return Ok(());
        }
        let mut own = self.total();
        let mut other = other.clone();
        let has_reconciled_bounds = own.align(&mut other)? || self.has_reconciled_bounds;
        own.adjust_hint(other.reset_hint);
        *self = Accumulator::new(&own, 1.0);
        self.has_reconciled_bounds = has_reconciled_bounds;
        self.add_counts(&other, factor);
        Ok(())
    }

    fn add_counts(&mut self, other: &Histogram, factor: f64) {
        self.count.add(other.count * factor);
        self.sum.add(other.sum * factor);
        self.zero_count.add(other.zero_count * factor);
        for (own, buckets) in [
            (&mut self.positive, &other.positive),
            (&mut self.negative, &other.negative),
        ] {
            for bucket in buckets {
                own.entry(bucket.index)
                    .or_default()
                    .add(bucket.count * factor);
            }
        }
    }

    /// Whether given bounds differed, so that only common ones are left.
    pub(crate) fn has_reconciled_bounds(&self) -> bool {
        self.has_reconciled_bounds
    }

    /// The sum so far.
    pub(crate) fn total(&self) -> Histogram {
        let buckets = |from: &BTreeMap<i32, Sum>| {
            from.iter()
                .map(|(index, sum)| Bucket {
                    index: *index,
                    count: sum.total(),
                })
                .filter(|bucket| bucket.count != 0.0)
                .collect()
        };
        Histogram {
            count: self.count.total(),
            sum: self.sum.total(),
            zero_count: self.zero_count.total(),
            positive: buckets(&self.positive),
            negative: buckets(&self.negative),
            ..self.shape.clone()
        }
    }

    /// Whether any number of the sum is beyond what a float holds.
    pub(crate) fn has_overflowed(&self) -> bool {
        [self.count, self.sum, self.zero_count]
            .iter()
            .chain(self.positive.values())
            .chain(self.negative.values())
            .any(|sum| sum.sum.is_infinite())
    }
}

//! Sums, differences and multiples of histograms, and the steps that make two of them comparable:
//! a common resolution, a common zero bucket, common bounds.

use std::sync::Arc;

use super::{Bucket, Histogram, ResetHint};

/// Two histograms of which one has exponential and the other given bounds.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("exponential and custom buckets cannot be joined")]
pub struct Incompatible;

/// What happened while two histograms were joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Joined {
    /// Their bounds were given and different: only common ones are left.
    pub has_reconciled_bounds: bool,
    /// One says that the counter fell, the other that it did not.
    pub has_reset_conflict: bool,
}

impl Histogram {
    /// Adds the other's observations.
    ///
    /// # Errors
    /// When only one of the two has given bounds.
    pub fn add(&mut self, other: &Histogram) -> Result<Joined, Incompatible> {
        self.join(other, 1.0)
    }

    /// Takes away the other's observations.
    ///
    /// # Errors
    /// When only one of the two has given bounds.
    pub fn subtract(&mut self, other: &Histogram) -> Result<Joined, Incompatible> {
        self.join(other, -1.0)
    }

    fn join(&mut self, other: &Histogram, factor: f64) -> Result<Joined, Incompatible> {
        let mut other = other.clone();
        let has_reconciled_bounds = self.align(&mut other)?;
        let joined = Joined {
            has_reconciled_bounds,
            has_reset_conflict: self.adjust_hint(other.reset_hint),
        };
        self.count += factor * other.count;
        self.sum += factor * other.sum;
        self.zero_count += factor * other.zero_count;
        merge(&mut self.positive, &other.positive, factor);
        merge(&mut self.negative, &other.negative, factor);
        self.compact();
        Ok(joined)
    }

    /// Multiplies everything that counts.
    pub fn scale(&mut self, factor: f64) {
        self.map_counts(|count| count * factor);
        if factor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// Divides everything that counts. By zero nothing can be told of the buckets.
    pub fn divide(&mut self, divisor: f64) {
        self.map_counts(|count| count / divisor);
        if divisor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
        if divisor == 0.0 {
            self.positive.clear();
            self.negative.clear();
        }
    }

    fn map_counts(&mut self, change: impl Fn(f64) -> f64) {
        self.count = change(self.count);
        self.sum = change(self.sum);
        self.zero_count = change(self.zero_count);
        for bucket in self.positive.iter_mut().chain(&mut self.negative) {
            bucket.count = change(bucket.count);
        }
    }

    /// Brings both to the same buckets. Whether given bounds differed.
    pub(super) fn align(&mut self, other: &mut Histogram) -> Result<bool, Incompatible> {
        if self.has_custom_buckets() != other.has_custom_buckets() {
            return Err(Incompatible);
        }
        if self.has_custom_buckets() {
            let differs = self.custom_values != other.custom_values;
            if differs {
                let common = common_bounds(&self.custom_values, &other.custom_values);
                self.rebound(&common);
                other.rebound(&common);
            }
            return Ok(differs);
        }
        self.reconcile_zero(other);
        let schema = self.schema.min(other.schema);
        self.reduce_to(schema);
        other.reduce_to(schema);
        Ok(false)
    }

    /// Widens the zero buckets until both are equally wide and end at the same bound.
    fn reconcile_zero(&mut self, other: &mut Histogram) {
        // Each turn widens one of them; a bucket can be swallowed once.
        let turns = self.positive.len() + self.negative.len() + other.positive.len();
        for _ in 0..=turns + other.negative.len() {
            if self.zero_threshold < other.zero_threshold {
                self.widen_zero(other.zero_threshold);
            } else if other.zero_threshold < self.zero_threshold {
                other.widen_zero(self.zero_threshold);
            } else {
                return;
            }
        }
    }

    /// Widens the zero bucket at least to the threshold: a filled bucket that reaches across it is
    /// swallowed whole, and widens it further.
    pub(super) fn widen_zero(&mut self, threshold: f64) {
        let mut threshold = threshold;
        loop {
            let reached = [&self.positive, &self.negative]
                .into_iter()
                .flatten()
                .filter(|bucket| bucket.count != 0.0)
                .filter(|bucket| self.bound(bucket.index.saturating_sub(1)) < threshold)
                .map(|bucket| self.bound(bucket.index))
                .fold(threshold, f64::max);
            if reached <= threshold {
                break;
            }
            threshold = reached;
        }
        let limit = threshold;
        let bounds: Vec<i32> = [&self.positive, &self.negative]
            .into_iter()
            .flatten()
            .filter(|bucket| self.bound(bucket.index) <= limit)
            .map(|bucket| bucket.index)
            .collect();
        let swallowed: f64 = [&self.positive, &self.negative]
            .into_iter()
            .flatten()
            .filter(|bucket| bounds.contains(&bucket.index))
            .map(|bucket| bucket.count)
            .sum();
        self.zero_count += swallowed;
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|bucket| !bounds.contains(&bucket.index));
        }
        self.zero_threshold = threshold;
    }

    /// Lowers the resolution of exponential buckets; a lower one stays.
    pub(crate) fn reduce_to(&mut self, schema: i32) {
        if self.has_custom_buckets() || schema >= self.schema {
            return;
        }
        let halvings = (self.schema - schema).clamp(0, 31);
        for side in [&mut self.positive, &mut self.negative] {
            let mut reduced: Vec<Bucket> = Vec::with_capacity(side.len());
            for bucket in side.iter() {
                let index = (bucket.index.saturating_sub(1) >> halvings).saturating_add(1);
                match reduced.last_mut().filter(|last| last.index == index) {
                    Some(last) => last.count += bucket.count,
                    None => reduced.push(Bucket {
                        index,
                        count: bucket.count,
                    }),
                }
            }
            *side = reduced;
        }
        self.schema = schema;
    }

    /// Moves observations into buckets with fewer bounds, all of which it has.
    pub(super) fn rebound(&mut self, bounds: &Arc<[f64]>) {
        let mut moved: Vec<Bucket> = Vec::with_capacity(self.positive.len());
        for bucket in &self.positive {
            let upper = self.bound(bucket.index);
            let index = bounds.partition_point(|bound| *bound < upper);
            let index = i32::try_from(index).unwrap_or(i32::MAX);
            match moved.last_mut().filter(|last| last.index == index) {
                Some(last) => last.count += bucket.count,
                None => moved.push(Bucket {
                    index,
                    count: bucket.count,
                }),
            }
        }
        self.positive = moved;
        self.custom_values = Arc::clone(bounds);
    }

    /// Joins what both know of resets. Whether they contradict one another.
    pub(super) fn adjust_hint(&mut self, other: ResetHint) -> bool {
        use ResetHint::{Gauge, Unknown};
        let own = self.reset_hint;
        let (hint, has_conflict) = match (own, other) {
            (own, other) if own == other => (own, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            _ => (Unknown, true),
        };
        self.reset_hint = hint;
        has_conflict
    }
}

/// Bounds that both have; both rise.
pub(super) fn common_bounds(one: &[f64], other: &[f64]) -> Arc<[f64]> {
    one.iter()
        .filter(|bound| other.binary_search_by(|own| own.total_cmp(bound)).is_ok())
        .copied()
        .collect()
}

/// Adds buckets, times a factor, to others; both are by index.
fn merge(into: &mut Vec<Bucket>, from: &[Bucket], factor: f64) {
    let mut merged = Vec::with_capacity(into.len() + from.len());
    let mut own = into.iter().copied().peekable();
    for bucket in from {
        while let Some(before) = own.next_if(|own| own.index < bucket.index) {
            merged.push(before);
        }
        let count = own
            .next_if(|own| own.index == bucket.index)
            .map_or(0.0, |own| own.count);
        merged.push(Bucket {
            index: bucket.index,
            count: count + factor * bucket.count,
        });
    }
    merged.extend(own);
    *into = merged;
}

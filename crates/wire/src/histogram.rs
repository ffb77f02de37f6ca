//! Native histograms as values: what remote write, remote read, OTLP and the protobuf exposition tell of
//! the same thing. Counts are absolute here; the formats with whole counts tell differences.

mod fields;

pub(crate) use fields::{Numbering, REMOTE, read, write};

/// The schema of histograms whose bounds are given.
pub const CUSTOM_BOUNDS_SCHEMA: i32 = -53;
/// Schemas of exponential buckets: a factor of 65,536 to one of 1.0027.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

/// Buckets that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Distance from the end of the span before, or the index of the first bucket.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

/// What a histogram says about being counted anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetHint {
    /// It has to be found out.
    #[default]
    Unknown,
    /// Counted anew with this sample.
    Reset,
    /// Surely not.
    NotReset,
    /// A gauge, which is never counted anew.
    Gauge,
}

/// One native histogram.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// Resolution: buckets grow by `2^(2^-schema)`; -53 is for given bounds.
    pub schema: i32,
    /// Whether the counts may be fractions.
    pub is_float: bool,
    /// What is known about being counted anew.
    pub reset_hint: ResetHint,
    /// Width of the bucket around zero.
    pub zero_threshold: f64,
    /// Observations in the bucket around zero.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Their sum. With the bits of the staleness marker the series ends here.
    pub sum: f64,
    /// Where the positive buckets are.
    pub positive_spans: Vec<Span>,
    /// Where the negative buckets are.
    pub negative_spans: Vec<Span>,
    /// Counts of the positive buckets.
    pub positive: Vec<f64>,
    /// Counts of the negative buckets.
    pub negative: Vec<f64>,
    /// Upper bounds when they are given instead of computed.
    pub custom_bounds: Vec<f64>,
}

/// Why a histogram makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HistogramError {
    /// No known resolution.
    #[error("histogram schema {0} is not known; -4 to 8 and -53 are")]
    Schema(i32),
    /// Spans and counts tell of different numbers of buckets.
    #[error("the histogram's spans need {needed} buckets, and it has {given}")]
    Buckets {
        /// By the spans.
        needed: u64,
        /// Counts that came.
        given: usize,
    },
    /// A span other than the first begins inside the one before.
    #[error("a span of the histogram has a negative offset")]
    Offset,
    /// A count below zero, or none.
    #[error("a count of the histogram is negative or no number")]
    Count,
    /// More in the buckets than altogether.
    #[error("the histogram's buckets hold more observations than it counts")]
    Sum,
    /// Something that only the other kind of buckets has.
    #[error("a histogram with given bounds has a zero bucket or negative buckets")]
    Mixed,
    /// Given bounds that do not grow, or not as many as the buckets need.
    #[error("the given bounds of the histogram do not grow, or are too few")]
    Bounds,
}

impl Histogram {
    /// Whether it ends its series.
    pub fn is_stale(&self, marker_bits: u64) -> bool {
        self.sum.to_bits() == marker_bits
    }

    /// Says whether spans, counts and bounds fit together.
    pub fn check(&self) -> Result<(), HistogramError> {
        let is_custom = self.schema == CUSTOM_BOUNDS_SCHEMA;
        if !is_custom && !SCHEMAS.contains(&self.schema) {
            return Err(HistogramError::Schema(self.schema));
        }
        check_side(&self.positive_spans, &self.positive)?;
        check_side(&self.negative_spans, &self.negative)?;
        if is_custom {
            self.check_custom()?;
        } else if !self.custom_bounds.is_empty() {
            return Err(HistogramError::Mixed);
        }
        let is_gauge = self.reset_hint == ResetHint::Gauge;
        let mut counts = [self.zero_count, self.count].into_iter();
        if counts.any(f64::is_nan) || (!is_gauge && (self.zero_count < 0.0 || self.count < 0.0)) {
            return Err(HistogramError::Count);
        }
        let all: f64 = self.positive.iter().chain(&self.negative).sum();
        // Whole counts are exact, and what is no number counts without being in a bucket.
        if !self.is_float && all + self.zero_count > self.count {
            return Err(HistogramError::Sum);
        }
        Ok(())
    }

    fn check_custom(&self) -> Result<(), HistogramError> {
        let is_zeroless = self.zero_count == 0.0 && self.zero_threshold == 0.0;
        if !is_zeroless || !self.negative.is_empty() || !self.negative_spans.is_empty() {
            return Err(HistogramError::Mixed);
        }
        let grow = |pair: &[f64]| matches!(pair, [before, after] if before < after);
        let mut spans = self.positive_spans.iter();
        let starts_below = spans.next().is_some_and(|span| span.offset < 0);
        let reach: i64 = self.positive_spans.iter().copied().map(reach).sum();
        let bounds = i64::try_from(self.custom_bounds.len()).unwrap_or(i64::MAX);
        let is_in_order = self.custom_bounds.windows(2).all(grow);
        // The last bucket needs no bound.
        if starts_below || !is_in_order || reach > bounds.saturating_add(1) {
            return Err(HistogramError::Bounds);
        }
        Ok(())
    }
}

fn reach(span: Span) -> i64 {
    i64::from(span.offset) + i64::from(span.length)
}

fn check_side(spans: &[Span], counts: &[f64]) -> Result<(), HistogramError> {
    let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if u64::try_from(counts.len()) != Ok(needed) {
        return Err(HistogramError::Buckets {
            needed,
            given: counts.len(),
        });
    }
    if spans.iter().skip(1).any(|span| span.offset < 0) {
        return Err(HistogramError::Offset);
    }
    if counts.iter().any(|count| count.is_nan() || *count < 0.0) {
        return Err(HistogramError::Count);
    }
    Ok(())
}

#[cfg(test)]
mod tests;

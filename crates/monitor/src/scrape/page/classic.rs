//! Classic histograms that a job wants as native ones with the same bounds: the lines of one are
//! gathered, as far as they follow one another, and become one sample.

use std::sync::Arc;

use query::number;
use signals::{METRIC_NAME, Value};
use wire::exposition::{Kind, SampleLine};
use wire::histogram::{CUSTOM_BOUNDS_SCHEMA, Histogram, Span};

use super::{PageError, Reader};
use crate::receive::convert;
use crate::scrape::cache::Place;
use crate::scrape::relabel::LabelSet;

/// The label with the upper bound of a bucket.
const BOUND: &str = "le";
/// No line begins with it, and no series of a page in protocol buffers.
const KEY_BEGIN: [u8; 2] = [0, 0xff];
/// Stands in no text.
const KEY_SEPARATOR: u8 = 0xff;
/// Buckets of a histogram.
const BUCKETS_MAX: usize = 10_000;

/// What a line is to its histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Part {
    /// Observations up to a bound.
    Bucket(f64),
    /// All of them.
    Count,
    /// Their sum.
    Sum,
}

/// A line of a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Member {
    /// The series of the histogram.
    pub(crate) histogram: Place,
    pub(crate) part: Part,
}

/// The lines of a histogram so far.
#[derive(Debug)]
pub(super) struct Gathered {
    histogram: Place,
    timestamp: Option<i64>,
    classic: Classic,
}

/// A classic histogram.
#[derive(Debug, Default)]
pub(super) struct Classic {
    /// Upper bounds, and observations up to them.
    pub(super) buckets: Vec<(f64, f64)>,
    pub(super) count: Option<f64>,
    pub(super) sum: f64,
}

impl Classic {
    fn take(&mut self, part: Part, value: f64) {
        match part {
            Part::Bucket(bound) if self.buckets.len() < BUCKETS_MAX => {
                self.buckets.push((bound, value));
            }
            Part::Bucket(_) => {}
            Part::Count => self.count = Some(value),
            Part::Sum => self.sum = value,
        }
    }

    /// The native one; nothing when the numbers make no histogram.
    pub(super) fn native(mut self) -> Option<Histogram> {
        self.buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        self.buckets
            .dedup_by(|one, other| one.0.total_cmp(&other.0).is_eq());
        let last = self.buckets.last().copied();
        let count = self.count.or(last.map(|(_, count)| count)).unwrap_or(0.0);
        if last.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let mut below = 0.0;
        let mut positive = Vec::with_capacity(self.buckets.len());
        for (_, up_to) in &self.buckets {
            positive.push(up_to - below);
            below = *up_to;
        }
        // The last bucket has everything; it has no bound.
        if below.to_bits() != count.to_bits() {
            return None;
        }
        self.buckets.pop();
        let is_float = positive.iter().chain([&count]).any(|it| it.fract() != 0.0);
        let histogram = Histogram {
            schema: CUSTOM_BOUNDS_SCHEMA,
            is_float,
            count,
            sum: self.sum,
            positive_spans: vec![Span {
                offset: 0,
                length: u32::try_from(positive.len()).ok()?,
            }],
            positive,
            custom_bounds: self.buckets.iter().map(|(bound, _)| *bound).collect(),
            ..Histogram::default()
        };
        histogram.check().ok().map(|()| histogram)
    }
}

impl Reader<'_> {
    /// Whether lines are gathered here.
    pub(super) fn converts(&self) -> bool {
        self.job.histograms.convert_classic && self.kind == Kind::Histogram
    }

    /// What a line is to the histogram that the last TYPE line told of, if anything.
    pub(super) fn member(&mut self, series: &[u8]) -> Result<Option<Member>, PageError> {
        let read = super::read_series(series)?;
        let bound = read.labels.iter().find(|(name, _)| name == BOUND);
        let bound = bound.and_then(|(_, value)| number::parse(value));
        let suffix = read.name.strip_prefix(&*self.family);
        let part = match (suffix, bound) {
            (Some("_bucket"), Some(bound)) if !bound.is_nan() => Part::Bucket(bound),
            (Some("_count"), _) => Part::Count,
            (Some("_sum"), _) => Part::Sum,
            _ => return Ok(None),
        };
        let labels = read.labels.into_iter();
        let labels = labels.map(|(name, value)| (name.into_owned(), value.into_owned()));
        let mut own: LabelSet = labels.filter(|(name, _)| name != BOUND).collect();
        own.insert(METRIC_NAME.to_owned(), self.family.clone());
        let mut key = KEY_BEGIN.to_vec();
        for text in own.iter().flat_map(|(name, value)| [name, value]) {
            key.extend(text.as_bytes());
            key.push(KEY_SEPARATOR);
        }
        let histogram = match self.pages.cache.find(&key) {
            Some(place) => place,
            None => {
                let labels = self.stored(own)?;
                self.pages.cache.add(&key, labels)
            }
        };
        Ok(Some(Member { histogram, part }))
    }

    /// Takes a line of a histogram; one of another ends what was gathered.
    pub(super) fn gather(
        &mut self,
        member: Member,
        sample: &SampleLine<'_>,
    ) -> Result<(), PageError> {
        let is_same = |gathered: &Gathered| gathered.histogram == member.histogram;
        if !self.gathered.as_ref().is_some_and(is_same) {
            self.end_histogram()?;
        }
        let gathered = self.gathered.get_or_insert_with(|| Gathered {
            histogram: member.histogram,
            timestamp: sample.timestamp,
            classic: Classic::default(),
        });
        gathered.classic.take(member.part, sample.value);
        Ok(())
    }

    /// Makes a sample of what was gathered.
    pub(super) fn end_histogram(&mut self) -> Result<(), PageError> {
        let Some(gathered) = self.gathered.take() else {
            return Ok(());
        };
        let Some(native) = gathered.classic.native() else {
            return Ok(());
        };
        let value = self.given_bounds(native)?;
        self.pages.cache.turn_aside();
        self.push(gathered.histogram, gathered.timestamp, value);
        self.pages.cache.turn_back();
        Ok(())
    }

    /// A value of the store, if it has not more buckets than the job allows.
    pub(super) fn given_bounds(&self, native: Histogram) -> Result<Value, PageError> {
        let limit = usize::try_from(self.job.histograms.bucket_limit).unwrap_or(usize::MAX);
        if limit > 0 && native.positive.len() > limit {
            let message = format!(
                "histogram `{}`: native_histogram_bucket_limit exceeded",
                self.family.escape_debug()
            );
            return Err(PageError::Series(message));
        }
        Ok(Value::Histogram(Arc::new(convert::histogram(native))))
    }
}

#[cfg(test)]
mod tests;

//! Joins store and queries: the store's series and samples as a query wants them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base::client::chain;
use base::clock;
use query::histogram::{Bucket, Histogram, ResetHint};
use query::labels::Labels;
use query::matcher::{Comparison, Matcher};
use query::source::{HistogramSample, Selection, SeriesData, Source, SourceError};
use signals::{SeriesSamples, Store, StoreError};

use super::tally::Tally;
use crate::viewer::Viewer;

/// What reading ends with when nobody waits for it any more.
const OVER: &str = "it took too long, or nobody waits for it any more";

/// The store as a query of somebody sees it.
#[derive(Clone, Copy)]
pub struct Snapshot<'a> {
    store: &'a Store,
    viewer: &'a Viewer,
    tally: &'a Tally,
    /// Asked now and then whether to go on no further.
    is_over: &'a dyn Fn() -> bool,
}

impl fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut snapshot = f.debug_struct("Snapshot");
        snapshot
            .field("viewer", self.viewer)
            .finish_non_exhaustive()
    }
}

/// Series that are read before it is asked whether to go on.
const ASKED_EVERY: usize = 64;

impl<'a> Snapshot<'a> {
    /// The series that `viewer` may see; what is read is told to `tally`. Reading ends with an error
    /// when `is_over` says so.
    pub fn new(
        store: &'a Store,
        (viewer, tally): (&'a Viewer, &'a Tally),
        is_over: &'a dyn Fn() -> bool,
    ) -> Self {
        Self {
            store,
            viewer,
            tally,
            is_over,
        }
    }

    pub(crate) fn read(&self, wanted: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        let mut found = Vec::new();
        self.visit(wanted, &mut |one| {
            found.push(SeriesData {
                labels: one.labels.clone(),
                timestamps: Arc::clone(&one.timestamps),
                values: taken(&mut one.values),
                starts: taken(&mut one.starts),
                histograms: std::mem::take(&mut one.histograms),
            });
            true
        })?;
        Ok(found)
    }

    /// Shows each series until `see` says that it is enough. What is left in it is memory for the next.
    fn visit(
        &self,
        wanted: &Selection<'_>,
        see: &mut dyn FnMut(&mut SeriesData) -> bool,
    ) -> Result<(), SourceError> {
        let matchers = matchers(wanted.matchers).map_err(SourceError::Read)?;
        let start = wanted.after_ms.saturating_add(1);
        let mut selection = self
            .store
            .select(&matchers, start, wanted.until_ms)
            .map_err(|error| read_error(&error))?;
        if selection.len() > wanted.series_max {
            return Err(SourceError::TooManySeries(wanted.series_max));
        }
        let labels: Vec<Labels> = selection.labels().map(labels).collect();
        let mut samples = SeriesSamples::default();
        let mut shown = SeriesData {
            labels: Labels::none(),
            timestamps: Arc::default(),
            values: Vec::new(),
            starts: Vec::new(),
            histograms: Vec::new(),
        };
        let mut shared: Arc<Vec<i64>> = Arc::default();
        let mut count = 0_usize;
        for (at, labels) in labels.into_iter().enumerate() {
            if at % ASKED_EVERY == 0 && (self.is_over)() {
                return Err(SourceError::Read(OVER.to_owned()));
            }
            if !self.viewer.sees(&labels) {
                continue;
            }
            selection
                .read(at, &mut samples)
                .map_err(|error| read_error(&error))?;
            count += samples.floats.times.len() + samples.histograms.len();
            if count > wanted.samples_max {
                return Err(SourceError::TooManySamples(wanted.samples_max));
            }
            if samples.is_empty() {
                continue;
            }
            // The series of a target stand side by side and have the same times.
            if *shared != samples.floats.times {
                shared = Arc::new(samples.floats.times.clone());
            }
            shown.labels = labels;
            shown.timestamps = Arc::clone(&shared);
            std::mem::swap(&mut shown.values, &mut samples.floats.values);
            std::mem::swap(&mut shown.starts, &mut samples.floats.starts);
            shown.histograms.clear();
            let histograms = samples.histograms.iter().map(histogram_sample);
            shown.histograms.extend(histograms);
            if !see(&mut shown) {
                break;
            }
        }
        Ok(())
    }
}

/// The list itself when it is mostly full, else a copy: a whole chunk was read for a single sample.
fn taken<T: Clone>(list: &mut Vec<T>) -> Vec<T> {
    if list.capacity() <= list.len() * 2 {
        std::mem::take(list)
    } else {
        list.clone()
    }
}

impl Source for Snapshot<'_> {
    fn select(&self, wanted: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        let begun = clock::now();
        let found = self.read(wanted)?;
        let took = clock::now().duration_since(begun);
        let samples = found.iter().map(SeriesData::len).sum();
        self.tally.add(wanted, (found.len(), samples), took);
        Ok(found)
    }

    fn each(
        &self,
        wanted: &Selection<'_>,
        see: &mut dyn FnMut(&mut SeriesData) -> bool,
    ) -> Result<(), SourceError> {
        let mut read = (0, 0);
        let mut took = Duration::ZERO;
        let mut since = clock::now();
        let visited = self.visit(wanted, &mut |one| {
            read = (read.0 + 1, read.1 + one.len());
            took += clock::now().duration_since(since);
            let goes_on = see(one);
            since = clock::now();
            goes_on
        });
        took += clock::now().duration_since(since);
        self.tally.add(wanted, read, took);
        visited
    }
}

fn read_error(error: &StoreError) -> SourceError {
    SourceError::Read(chain(error))
}

/// A query's matchers as the store's.
///
/// # Errors
/// Why the store does not take a regular expression.
pub fn matchers(matchers: &[Matcher]) -> Result<Vec<signals::Matcher>, String> {
    let matcher = |matcher: &Matcher| {
        let operator = match matcher.comparison {
            Comparison::Equal => signals::Operator::Equal,
            Comparison::NotEqual => signals::Operator::NotEqual,
            Comparison::Matches => signals::Operator::Matches,
            Comparison::NotMatches => signals::Operator::MatchesNot,
        };
        signals::Matcher::new(&matcher.name, operator, matcher.pattern())
            .map_err(|error| error.to_string())
    };
    matchers.iter().map(matcher).collect()
}

/// The store's labels as a query's.
pub fn labels(labels: &signals::Labels) -> Labels {
    Labels::new(labels.iter())
}

fn histogram_sample(
    (timestamp, start, histogram): &(i64, i64, Arc<signals::Histogram>),
) -> HistogramSample {
    HistogramSample {
        timestamp: *timestamp,
        start: *start,
        histogram: Arc::new(histogram_of(histogram)),
    }
}

/// A stored histogram as a query's: buckets by index instead of spans.
pub fn histogram_of(histogram: &signals::Histogram) -> Histogram {
    Histogram {
        schema: histogram.schema,
        count: histogram.count,
        sum: histogram.sum,
        zero_count: histogram.zero_count,
        zero_threshold: histogram.zero_threshold,
        positive: buckets(&histogram.positive_spans, &histogram.positive),
        negative: buckets(&histogram.negative_spans, &histogram.negative),
        custom_values: histogram.custom_bounds.as_slice().into(),
        reset_hint: match histogram.reset_hint {
            signals::ResetHint::Unknown => ResetHint::Unknown,
            signals::ResetHint::Reset => ResetHint::Reset,
            signals::ResetHint::NotReset => ResetHint::NotReset,
            signals::ResetHint::Gauge => ResetHint::Gauge,
        },
    }
}

fn buckets(spans: &[signals::Span], counts: &[f64]) -> Vec<Bucket> {
    let mut counts = counts.iter();
    let mut buckets = Vec::with_capacity(counts.len());
    let mut index = 0_i32;
    for span in spans {
        index = index.saturating_add(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            if *count != 0.0 {
                buckets.push(Bucket {
                    index,
                    count: *count,
                });
            }
            index = index.saturating_add(1);
        }
    }
    buckets
}

//! Selectors: what is loaded of the source, and which sample of a series holds at a time.

use std::sync::Arc;

use super::series::Series;
use super::{Evaluation, Evaluator, Grid};
use crate::histogram::{Histogram, ResetHint};
use crate::promql::annotations::for_metric;
use crate::promql::ast::{Edges, Selector};
use crate::source::{HistogramSample, Selection, SeriesData, SourceError, is_stale};

/// The reference times of a selector over a grid: the steps or a fixed time, less the offset.
#[derive(Debug, Clone, Copy)]
pub(super) struct References {
    grid: Grid,
    at_ms: Option<i64>,
    offset_ms: i64,
}

impl References {
    pub(super) fn new(grid: Grid, (at_ms, offset_ms): (Option<i64>, i64)) -> References {
        References {
            grid,
            at_ms,
            offset_ms,
        }
    }

    pub(super) fn time(&self, step: usize) -> i64 {
        let time = self.at_ms.unwrap_or_else(|| self.grid.time(step));
        time.saturating_sub(self.offset_ms)
    }

    pub(super) fn first(&self) -> i64 {
        self.time(0)
    }

    pub(super) fn last(&self) -> i64 {
        self.time(self.grid.count.saturating_sub(1))
    }

    pub(super) fn grid(&self) -> Grid {
        self.grid
    }
}

/// The sample that holds at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newest<'a> {
    pub(super) timestamp: i64,
    /// Since when it counts, 0 where unknown.
    pub(super) start: i64,
    pub(super) value: Held<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Held<'a> {
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

/// Walks over a series with rising times.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    data: &'a SeriesData,
    /// Floats up to the time.
    floats: usize,
    /// Histograms up to the time.
    histograms: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(data: &'a SeriesData) -> Cursor<'a> {
        Cursor {
            data,
            floats: 0,
            histograms: 0,
        }
    }

    /// The newest sample after a time, up to another that is not before the last one asked for.
    pub(super) fn newest(&mut self, after: i64, until: i64) -> Option<Newest<'a>> {
        let data = self.data;
        let rest = data.timestamps.get(self.floats..).unwrap_or_default();
        self.floats += count_until(rest, |timestamp| *timestamp <= until);
        let rest = data.histograms.get(self.histograms..).unwrap_or_default();
        self.histograms += count_until(rest, |sample| sample.timestamp <= until);
        let float = self.floats.checked_sub(1).and_then(|last| {
            let timestamp = *data.timestamps.get(last)?;
            Some(Newest {
                timestamp,
                start: data.starts.get(last).copied().unwrap_or(0),
                value: Held::Float(*data.values.get(last)?),
            })
        });
        let histogram = self.histograms.checked_sub(1).and_then(|last| {
            let sample = data.histograms.get(last)?;
            Some(Newest {
                timestamp: sample.timestamp,
                start: sample.start,
                value: Held::Histogram(&sample.histogram),
            })
        });
        let newest = match (float, histogram) {
            (Some(float), Some(histogram)) if histogram.timestamp > float.timestamp => histogram,
            (Some(float), _) => float,
            (None, histogram) => histogram?,
        };
        let has_ended = match newest.value {
            Held::Float(value) => is_stale(value),
            Held::Histogram(histogram) => histogram.is_stale(),
        };
        (newest.timestamp > after && !has_ended).then_some(newest)
    }
}

/// How many at the begin fit: few, mostly, so that they are walked over first.
fn count_until<T>(samples: &[T], fits: impl Fn(&T) -> bool) -> usize {
    const WALK: usize = 8;
    let head = samples.get(..WALK).unwrap_or(samples);
    match head.iter().position(|sample| !fits(sample)) {
        Some(count) => count,
        None => samples.partition_point(fits),
    }
}

impl Evaluator<'_> {
    /// Loads the series of a selector, by labels.
    pub(super) fn load(
        &self,
        selector: &Selector,
        after_ms: i64,
        until_ms: i64,
    ) -> Evaluation<Vec<SeriesData>> {
        let mut series = Vec::new();
        self.visit(selector, (after_ms, until_ms), |one| {
            series.push(one.clone());
            Ok(())
        })?;
        series.sort_by(|one, other| one.labels.cmp(&other.labels));
        Ok(series)
    }

    /// Shows the series of a selector one after the other, in the order of the store. Who is done with one
    /// before the next needs memory for one only.
    pub(super) fn visit(
        &self,
        selector: &Selector,
        (after_ms, until_ms): (i64, i64),
        mut see: impl FnMut(&mut SeriesData) -> Evaluation<()>,
    ) -> Evaluation<()> {
        let options = self.context.options;
        self.work(super::WORK_MAX)?;
        let selection = Selection {
            matchers: &selector.matchers,
            after_ms,
            until_ms,
            series_max: options.series_max,
            samples_max: options.samples_max,
        };
        let wants_counts = self.state.borrow().wants_counts;
        let mut failed = None;
        let mut count = 0;
        self.context.source.each(&selection, &mut |one| {
            count += 1;
            if count > options.series_max {
                failed = Some(SourceError::TooManySeries(options.series_max).into());
                return false;
            }
            if wants_counts {
                tell_resets(&mut one.histograms);
            }
            let seen = self.hold(one.len()).and_then(|()| see(one));
            failed = seen.err();
            failed.is_none()
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Loads what a selector of single samples needs.
    pub(super) fn load_instants(
        &self,
        selector: &Selector,
        grid: Grid,
    ) -> Evaluation<(Vec<SeriesData>, References)> {
        let (references, (after, until)) = self.instants(selector, grid)?;
        Ok((self.load(selector, after, until)?, references))
    }

    /// The times of the steps, and after which and up to which time a selector of single samples needs
    /// samples for them.
    fn instants(&self, selector: &Selector, grid: Grid) -> Evaluation<(References, (i64, i64))> {
        let references = References::new(grid, self.moment(&selector.moment)?);
        let lookback = self.context.options.lookback_ms;
        let after = references.first().saturating_sub(lookback);
        let until = match selector.edges {
            Edges::Smoothed => references.last().saturating_add(lookback),
            _ => references.last(),
        };
        Ok((references, (after, until)))
    }

    /// The newest sample of each series at each step.
    pub(super) fn instant_vector(
        &self,
        selector: &Selector,
        position: usize,
        grid: Grid,
    ) -> Evaluation<Vec<Series>> {
        let (references, span) = self.instants(selector, grid)?;
        let lookback = self.context.options.lookback_ms;
        let mut vector = Vec::new();
        self.visit(selector, span, |data| {
            self.hold(grid.count)?;
            self.work(grid.count)?;
            let series = if selector.edges == Edges::Smoothed {
                self.smoothed(data, references, position)
            } else {
                newest_series(data, references, lookback)
            };
            if !series.is_empty() {
                vector.push(series);
            }
            Ok(())
        })?;
        vector.sort_by(|one, other| one.labels.cmp(&other.labels));
        Ok(vector)
    }

    pub(super) fn warn_mixed(&self, position: usize, metric: &str) {
        let metric = for_metric(metric);
        let message = format!("encountered a mix of histograms and floats{metric}");
        self.warn(position, &message);
    }

    pub(super) fn warn_mixed_schemas(&self, position: usize, metric: &str) {
        let metric = for_metric(metric);
        let message = format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas{metric}"
        );
        self.warn(position, &message);
    }
}

/// Says of each histogram whether the counter fell before it, where the store did not.
fn tell_resets(samples: &mut [HistogramSample]) {
    let mut before: Option<Arc<Histogram>> = None;
    for sample in samples {
        if let Some(before) = &before
            && sample.histogram.reset_hint == ResetHint::Unknown
        {
            let hint = if sample.histogram.is_reset_since(before) {
                ResetHint::Reset
            } else {
                ResetHint::NotReset
            };
            Arc::make_mut(&mut sample.histogram).reset_hint = hint;
        }
        before = Some(Arc::clone(&sample.histogram));
    }
}

fn newest_series(data: &SeriesData, references: References, lookback: i64) -> Series {
    let steps = references.grid().count;
    let mut series = Series::empty(data.labels.clone(), steps);
    let mut cursor = Cursor::new(data);
    for step in 0..steps {
        let until = references.time(step);
        let newest = cursor.newest(until.saturating_sub(lookback), until);
        match newest.map(|newest| newest.value) {
            Some(Held::Float(value)) => series.set_float(step, value),
            Some(Held::Histogram(histogram)) => {
                series.set_histogram(step, Arc::clone(histogram));
            }
            None => {}
        }
    }
    series
}

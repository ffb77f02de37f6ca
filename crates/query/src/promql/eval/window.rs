//! Ranges: the samples of each series in a window that moves with the steps, of a selector or of a
//! subquery.

use std::sync::Arc;

use super::select::References;
use super::series::{Cell, Series};
use super::{Evaluation, Evaluator, Grid, WORK_MAX, bare, fail, names};
use crate::histogram::{Histogram, ResetHint};
use crate::promql::ast::{Edges, Expression, Node, Selector, Subquery};
use crate::promql::value::{MatrixSeries, Sample};
use crate::source::{HistogramSample, SeriesData, is_stale};

/// All that windows move over.
#[derive(Debug)]
pub(super) struct Input<'a> {
    ranges: Ranges<'a>,
    pub(super) references: References,
    pub(super) range_ms: i64,
    pub(super) edges: Edges,
    /// Where the range stands in the text.
    pub(super) position: usize,
    /// How far samples beyond the edges count.
    pub(super) lookback_ms: i64,
    /// Windows shall know where counters fall.
    pub(super) wants_falls: bool,
}

/// The series that windows move over.
#[derive(Debug)]
enum Ranges<'a> {
    /// Those of the store, with samples after one time and up to another, in milliseconds since 1970.
    /// They are read when they are wanted, one by one.
    Stored(&'a Selector, (i64, i64)),
    /// Those of a subquery.
    Evaluated(Vec<RangeSeries>),
}

/// A series of a subquery.
#[derive(Debug)]
struct RangeSeries {
    data: SeriesData,
    drop_name: bool,
}

/// What is in a window at a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) step: usize,
    /// The time of the step.
    pub(super) now_ms: i64,
    /// Samples are after this time.
    pub(super) start_ms: i64,
    /// The last time that is in it.
    pub(super) end_ms: i64,
    pub(super) timestamps: &'a [i64],
    pub(super) values: &'a [f64],
    /// As many as values, or none.
    pub(super) starts: &'a [i64],
    /// The values right before lower ones, with the places of these in the series; where asked for, and
    /// only of series without starts.
    pub(super) falls: &'a [(usize, f64)],
    pub(super) histograms: &'a [HistogramSample],
    /// The metric's name.
    pub(super) metric: &'a str,
}

impl Window<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.histograms.is_empty()
    }

    pub(super) fn is_mixed(&self) -> bool {
        !self.values.is_empty() && !self.histograms.is_empty()
    }

    pub(super) fn range_seconds(&self) -> f64 {
        (self.end_ms - self.start_ms) as f64 / 1000.0
    }
}

impl Evaluator<'_> {
    /// What an expression of a range loads or evaluates.
    pub(super) fn window_input<'a>(
        &self,
        expression: &'a Expression,
        grid: Grid,
    ) -> Evaluation<Input<'a>> {
        let expression = bare(expression);
        let position = expression.span.start;
        match &expression.node {
            Node::Matrix(selector, range) => {
                let range_ms = self.positive(range)?;
                self.selected(selector, range_ms, position, grid)
            }
            Node::Subquery(subquery) => self.subquery(subquery, position, grid),
            _ => fail("expected a range vector"),
        }
    }

    fn selected<'a>(
        &self,
        selector: &'a Selector,
        range_ms: i64,
        position: usize,
        grid: Grid,
    ) -> Evaluation<Input<'a>> {
        let references = References::new(grid, self.moment(&selector.moment)?);
        let lookback_ms = self.context.options.lookback_ms;
        let mut after = references.first().saturating_sub(range_ms);
        let mut until = references.last();
        if selector.edges != Edges::Plain {
            after = after.saturating_sub(lookback_ms);
        }
        if selector.edges == Edges::Smoothed {
            until = until.saturating_add(lookback_ms);
        }
        Ok(Input {
            ranges: Ranges::Stored(selector, (after, until)),
            references,
            range_ms,
            edges: selector.edges,
            position,
            lookback_ms,
            wants_falls: false,
        })
    }

    /// Evaluates once over all that the windows of all steps want.
    fn subquery<'a>(
        &self,
        subquery: &Subquery,
        position: usize,
        grid: Grid,
    ) -> Evaluation<Input<'a>> {
        let range_ms = self.positive(&subquery.range)?;
        let step_ms = match &subquery.step {
            Some(step) => self.positive(step)?,
            None => self.context.options.subquery_step_ms,
        };
        let references = References::new(grid, self.moment(&subquery.moment)?);
        let after = references.first().saturating_sub(range_ms);
        // Steps are multiples, whenever the query is asked.
        let first = after
            .div_euclid(step_ms)
            .saturating_add(1)
            .saturating_mul(step_ms);
        let inner = Grid::between(first, references.last(), step_ms);
        let samples_max = self.context.options.samples_max;
        if inner.count > samples_max {
            return Err(crate::promql::engine::QueryError::TooManySamples(
                samples_max,
            ));
        }
        let evaluated = if inner.count == 0 {
            Vec::new()
        } else {
            self.wanting(false, || self.eval_vector(&subquery.inner, inner))?
        };
        let mut series = Vec::with_capacity(evaluated.len());
        for one in evaluated {
            self.hold(one.len())?;
            series.push(ranged(&one, inner));
        }
        Ok(Input {
            ranges: Ranges::Evaluated(series),
            references,
            range_ms,
            edges: Edges::Plain,
            position,
            lookback_ms: 0,
            wants_falls: false,
        })
    }

    /// Shows each series, and whether its metric's name is to be dropped, in the order of their labels
    /// or of the store.
    pub(super) fn each_range(
        &self,
        input: &Input<'_>,
        mut see: impl FnMut(&SeriesData, bool) -> Evaluation<()>,
    ) -> Evaluation<()> {
        match &input.ranges {
            Ranges::Stored(selector, span) => self.visit(selector, *span, |data| {
                remove_ends(data);
                see(data, false)
            }),
            Ranges::Evaluated(series) => {
                let mut series = series.iter();
                series.try_for_each(|one| see(&one.data, one.drop_name))
            }
        }
    }

    /// Room for the places of windows, which counts like that for as many results.
    pub(super) fn places(&self, input: &Input<'_>) -> Evaluation<Places> {
        self.hold(input.references.grid().count)?;
        Ok(Places::default())
    }

    /// Calls a function with each window that is not empty, and collects what it gives, by labels.
    pub(super) fn over_windows(
        &self,
        input: &Input<'_>,
        drop_name: bool,
        mut function: impl FnMut(&Window<'_>) -> Option<Sample>,
    ) -> Evaluation<Vec<Series>> {
        let steps = input.references.grid().count;
        let mut results = Vec::new();
        let mut places = self.places(input)?;
        self.each_range(input, |data, drops_name| {
            self.hold(steps)?;
            let mut series = Series::empty(data.labels.clone(), steps);
            series.drop_name = drop_name || drops_name;
            let mut is_filled = false;
            let mut work = 0;
            input.each_window(data, &mut places, |window| {
                if window.is_empty() {
                    return Ok(());
                }
                if let Some(sample) = function(window) {
                    is_filled = true;
                    series.set(window.step, sample);
                }
                work += window.values.len() + window.histograms.len();
                if work < WORK_MAX / 4 {
                    return Ok(());
                }
                self.work(std::mem::take(&mut work))
            })?;
            self.work(work)?;
            if is_filled {
                results.push(series);
            }
            Ok(())
        })?;
        if matches!(input.ranges, Ranges::Stored(..)) {
            results.sort_by(|one, other| one.labels.cmp(&other.labels));
        }
        Ok(results)
    }

    /// The samples themselves, of the first step.
    pub(super) fn matrix(&self, input: &Input<'_>) -> Evaluation<Vec<MatrixSeries>> {
        let mut matrix: Vec<MatrixSeries> = Vec::new();
        let mut places = self.places(input)?;
        self.each_range(input, |data, drops_name| {
            let labels = if drops_name {
                data.labels.without_metadata()
            } else {
                data.labels.clone()
            };
            let mut found = None;
            input.each_window(data, &mut places, |window| {
                if window.step == 0 && !window.is_empty() {
                    let floats = window.timestamps.iter().zip(window.values);
                    let histograms = window.histograms.iter();
                    found = Some(MatrixSeries {
                        labels: labels.clone(),
                        floats: floats.map(|(time, value)| (*time, *value)).collect(),
                        histograms: histograms
                            .map(|sample| (sample.timestamp, Arc::clone(&sample.histogram)))
                            .collect(),
                    });
                }
                Ok(())
            })?;
            matrix.extend(found);
            Ok(())
        })?;
        matrix.sort_by(|one, other| one.labels.cmp(&other.labels));
        let is_double =
            |pair: &[MatrixSeries]| matches!(pair, [one, other] if one.labels == other.labels);
        if matrix.windows(2).any(is_double) {
            return fail(names::SAME_LABELS);
        }
        Ok(matrix)
    }
}

impl Input<'_> {
    /// Calls a function with the window of each step, until it fails. `places` are those of the series
    /// before.
    pub(super) fn each_window(
        &self,
        data: &SeriesData,
        places: &mut Places,
        mut function: impl FnMut(&Window<'_>) -> Evaluation<()>,
    ) -> Evaluation<()> {
        let metric = data.labels.get(crate::labels::METRIC_NAME);
        let all_falls = if self.wants_falls && data.starts.is_empty() {
            falls(&data.values)
        } else {
            Vec::new()
        };
        let mut falls = Bounds::default();
        let mut histograms = Bounds::default();
        for (step, floats) in places.of(self, &data.timestamps).iter().enumerate() {
            let end_ms = self.references.time(step);
            let start_ms = end_ms.saturating_sub(self.range_ms);
            if !data.histograms.is_empty() {
                let reach = self.reach(start_ms, end_ms);
                histograms.advance(&data.histograms, |sample| sample.timestamp, reach);
            }
            let range = floats.first..floats.end;
            // Both values of a fall are in the window.
            falls.slide(
                &all_falls,
                |fall| fall.0 < range.end,
                |fall| fall.0 <= range.start,
            );
            function(&Window {
                step,
                now_ms: self.references.grid().time(step),
                start_ms,
                end_ms,
                timestamps: data.timestamps.get(range.clone()).unwrap_or_default(),
                values: data.values.get(range.clone()).unwrap_or_default(),
                starts: data.starts.get(range).unwrap_or_default(),
                falls: all_falls.get(falls.first..falls.end).unwrap_or_default(),
                histograms: data
                    .histograms
                    .get(histograms.first..histograms.end)
                    .unwrap_or_default(),
                metric,
            })?;
        }
        Ok(())
    }

    /// From when to when samples are looked at.
    fn reach(&self, start_ms: i64, end_ms: i64) -> (i64, i64) {
        let lookback = self.lookback_ms;
        match self.edges {
            Edges::Plain => (start_ms, end_ms),
            Edges::Anchored => (start_ms.saturating_sub(lookback), end_ms),
            Edges::Smoothed => (
                start_ms.saturating_sub(lookback),
                end_ms.saturating_add(lookback),
            ),
        }
    }
}

/// Where the floats of each window are. The series of a target share their times, so that these are
/// walked over once for all of them.
#[derive(Debug, Default)]
pub(super) struct Places {
    times: Arc<Vec<i64>>,
    /// By step; none before the first series.
    bounds: Vec<Bounds>,
}

impl Places {
    fn of(&mut self, input: &Input<'_>, times: &Arc<Vec<i64>>) -> &[Bounds] {
        if !Arc::ptr_eq(&self.times, times) || self.bounds.is_empty() {
            let steps = input.references.grid().count;
            self.times = Arc::clone(times);
            self.bounds.clear();
            self.bounds.reserve_exact(steps);
            let mut bounds = Bounds::default();
            for step in 0..steps {
                let end_ms = input.references.time(step);
                let reach = input.reach(end_ms.saturating_sub(input.range_ms), end_ms);
                bounds.advance(times, |time| *time, reach);
                self.bounds.push(bounds);
            }
        }
        &self.bounds
    }
}

/// The part of a series that is in a window.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    first: usize,
    end: usize,
}

impl Bounds {
    /// Moves on to a window that is not before the last one.
    fn advance<T>(&mut self, samples: &[T], time: impl Fn(&T) -> i64, (after, until): (i64, i64)) {
        self.slide(
            samples,
            |next| time(next) <= until,
            |oldest| time(oldest) <= after,
        );
    }

    /// Takes what is in by now, and leaves what is out.
    fn slide<T>(&mut self, all: &[T], is_in: impl Fn(&T) -> bool, is_out: impl Fn(&T) -> bool) {
        while all.get(self.end).is_some_and(&is_in) {
            self.end += 1;
        }
        while self.first < self.end && all.get(self.first).is_some_and(&is_out) {
            self.first += 1;
        }
    }
}

/// Where a counter falls: the place of the lower value, and the value before it.
fn falls(values: &[f64]) -> Vec<(usize, f64)> {
    let following = values.get(1..).unwrap_or_default();
    let pairs = values.iter().zip(following).enumerate();
    pairs
        .filter(|(_, (before, now))| now < before)
        .map(|(place, (before, _))| (place + 1, *before))
        .collect()
}

/// Ranges do not see the markers of ends.
fn remove_ends(data: &mut SeriesData) {
    if data.values.iter().any(|value| is_stale(*value)) {
        let keeps: Vec<bool> = data.values.iter().map(|value| !is_stale(*value)).collect();
        let kept = |at: &(usize, &i64)| keeps.get(at.0).copied().unwrap_or(true);
        let numbered = data.timestamps.iter().enumerate().filter(kept);
        let timestamps = numbered.map(|(_, timestamp)| *timestamp).collect();
        let numbered = data.starts.iter().enumerate().filter(kept);
        data.starts = numbered.map(|(_, start)| *start).collect();
        data.timestamps = Arc::new(timestamps);
        data.values.retain(|value| !is_stale(*value));
    }
    data.histograms
        .retain(|sample| !sample.histogram.is_stale());
}

/// A column as samples at their times.
fn ranged(series: &Series, grid: Grid) -> RangeSeries {
    let mut timestamps = Vec::new();
    let mut values = Vec::new();
    let mut histograms = Vec::new();
    for (timestamp, cell) in grid.times().zip(series.cells()) {
        match cell {
            Cell::Nothing => {}
            Cell::Float(value) => {
                timestamps.push(timestamp);
                values.push(value);
            }
            Cell::Histogram(histogram) => histograms.push(HistogramSample {
                timestamp,
                start: 0,
                histogram: unhinted(histogram),
            }),
        }
    }
    RangeSeries {
        data: SeriesData {
            labels: series.labels.clone(),
            timestamps: Arc::new(timestamps),
            values,
            starts: Vec::new(),
            histograms,
        },
        drop_name: series.drop_name,
    }
}

/// What a histogram says of the one before it does not hold when that one was left out.
fn unhinted(histogram: &Arc<Histogram>) -> Arc<Histogram> {
    match histogram.reset_hint {
        ResetHint::Gauge | ResetHint::Unknown => Arc::clone(histogram),
        ResetHint::Reset | ResetHint::NotReset => Arc::new(Histogram {
            reset_hint: ResetHint::Unknown,
            ..Histogram::clone(histogram)
        }),
    }
}

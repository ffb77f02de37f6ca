//! `rate`, `increase`, `delta`, `irate`, `idelta`: how much a series changes in a window, with
//! resets of counters mended and the ends extrapolated.

use std::sync::Arc;

use super::series::Series;
use super::window::{Input, Window};
use super::{Evaluation, Evaluator};
use crate::histogram::{Histogram, ResetHint};
use crate::promql::ast::Edges;
use crate::promql::value::Sample;
use crate::source::HistogramSample;

/// What is wanted of a change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    /// Falls are resets.
    pub(super) is_counter: bool,
    /// Per second.
    pub(super) is_rate: bool,
}

/// A sample's time and since when it counts, 0 where unknown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    pub(super) timestamp: i64,
    pub(super) start: i64,
}

/// Whether a counter began anew between two samples, by the times since when they count.
pub(super) fn has_begun_anew(before: Begun, now: Begun) -> bool {
    let is_delta =
        now.start == before.timestamp && before.start != 0 && before.start < before.timestamp;
    now.start != 0 && now.start < now.timestamp && (now.start > before.timestamp || is_delta)
}

/// Whether a sample counts since a time in the middle of the one before.
fn overlaps(before: Begun, now: Begun) -> bool {
    now.start != 0 && now.start < before.timestamp && now.start != before.start
}

impl<'a> Window<'a> {
    /// The times of one float.
    pub(super) fn begun_at(&self, at: usize) -> Option<Begun> {
        Some(Begun {
            timestamp: *self.timestamps.get(at)?,
            start: self.starts.get(at).copied().unwrap_or(0),
        })
    }

    /// Times of the floats.
    pub(super) fn begun(&self) -> impl Iterator<Item = Begun> + use<'a> {
        let starts = self.starts.iter().copied().chain(std::iter::repeat(0));
        let timestamps = self.timestamps.iter();
        timestamps.zip(starts).map(|(timestamp, start)| Begun {
            timestamp: *timestamp,
            start,
        })
    }
}

pub(super) fn begun(sample: &HistogramSample) -> Begun {
    Begun {
        timestamp: sample.timestamp,
        start: sample.start,
    }
}

/// Adds to a list of notes, which are given once per series and not once per step.
#[derive(Debug, Default)]
pub(super) struct Notes {
    list: Vec<(Note, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    Mixed,
    MixedSchemas,
    NotCounter,
    NotGauge,
    Reconciled(&'static str),
    ResetConflict(&'static str),
    Overlap,
    IgnoredHistograms,
}

impl Notes {
    pub(super) fn add(&mut self, note: Note, metric: &str) {
        let is_known = self
            .list
            .iter()
            .any(|(own, of)| *own == note && of == metric);
        if !is_known {
            self.list.push((note, metric.to_owned()));
        }
    }
}

impl Evaluator<'_> {
    /// Tells the user what was noted.
    pub(super) fn note(&self, notes: Notes, position: usize) {
        for (note, metric) in notes.list {
            let quoted = crate::quote::quoted(metric.as_bytes());
            let metric_part = crate::promql::annotations::for_metric(&metric);
            match note {
                Note::Mixed => self.warn_mixed(position, &metric),
                Note::MixedSchemas => self.warn_mixed_schemas(position, &metric),
                Note::NotCounter => {
                    let message =
                        format!("this native histogram metric is not a counter: {quoted}");
                    self.warn(position, &message);
                }
                Note::NotGauge => {
                    let message = format!("this native histogram metric is not a gauge: {quoted}");
                    self.warn(position, &message);
                }
                Note::Reconciled(step) => {
                    let message =
                        format!("mismatched custom buckets were reconciled during {step}");
                    self.inform(position, &message);
                }
                Note::ResetConflict(step) => {
                    let message = format!("conflicting counter resets during histogram {step}");
                    self.warn(position, &message);
                }
                Note::Overlap => {
                    let message = format!(
                        "sample has start time that overlaps with previous sample timestamp for metric {quoted}"
                    );
                    self.warn(position, &message);
                }
                Note::IgnoredHistograms => {
                    let message = format!(
                        "ignored histograms in a range containing both floats and histograms{metric_part}"
                    );
                    self.inform(position, &message);
                }
            }
        }
    }

    /// The change of each series in each window.
    pub(super) fn change(&self, input: &Input<'_>, change: Change) -> Evaluation<Vec<Series>> {
        let mut notes = Notes::default();
        let mut shape = Shape::default();
        let results = self.over_windows(input, true, |window| match input.edges {
            Edges::Plain => extrapolated(window, change, &mut shape, &mut notes),
            edges => super::extended::change(window, change, edges, &mut notes),
        })?;
        self.note(notes, input.position);
        if change.is_counter {
            for series in &results {
                self.check_counter(series, input.position);
            }
        }
        Ok(results)
    }

    /// Counters have names that say so, or a type.
    fn check_counter(&self, series: &Series, position: usize) {
        let name = series.labels.get(crate::labels::METRIC_NAME);
        let kind = series.labels.get(crate::labels::METRIC_TYPE);
        if name.is_empty() || series.has_histograms() {
            return;
        }
        let suffixes = ["_total", "_sum", "_count", "_bucket"];
        if kind.is_empty() {
            if !suffixes.iter().any(|suffix| name.ends_with(suffix)) {
                let quoted = crate::quote::quoted(name.as_bytes());
                let message = format!(
                    "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {quoted}"
                );
                self.inform(position, &message);
            }
        } else if !matches!(kind, "counter" | "histogram") {
            let quoted = crate::quote::quoted(name.as_bytes());
            let kind = crate::quote::quoted(kind.as_bytes());
            let message = format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {kind}: {quoted}"
            );
            self.inform(position, &message);
        }
    }

    /// The change between the last two samples of each window.
    pub(super) fn instant_change(
        &self,
        input: &Input<'_>,
        is_rate: bool,
    ) -> Evaluation<Vec<Series>> {
        let mut notes = Notes::default();
        let results = self.over_windows(input, true, |window| {
            last_change(window, is_rate, &mut notes)
        })?;
        self.note(notes, input.position);
        Ok(results)
    }
}

/// The ends of what was seen in a window, from which the window's own ends are guessed.
struct Seen {
    first_ms: i64,
    last_ms: i64,
    count: usize,
    /// The time at which the counter is known to have been zero, if that is in the window.
    zero_ms: Option<i64>,
    /// How long before the first sample the counter would have been zero, as a share of the span
    /// that was seen.
    zero_share: Option<f64>,
}

/// How samples lie in a window, in seconds. Targets are scraped regularly, so that this is mostly the same
/// from step to step, and the divisions are spared.
#[derive(Debug, Default)]
struct Shape {
    /// In milliseconds: from the window's start to the first sample, to the last one, to the end; and
    /// the count.
    of: (i64, i64, i64, usize),
    /// From the first sample to the last.
    sampled: f64,
    /// How far the series is thought to reach beyond the first sample and the last.
    to_start: f64,
    to_end: f64,
    /// The whole window.
    range: f64,
}

impl Shape {
    fn set(&mut self, window: &Window<'_>, seen: &Seen) {
        let before = seen.first_ms - window.start_ms;
        let span = seen.last_ms - seen.first_ms;
        let after = window.end_ms - seen.last_ms;
        let of = (before, span, after, seen.count);
        // There is none of no samples.
        if self.of == of {
            return;
        }
        let sampled = seconds(span);
        let between = if seen.count > 1 {
            sampled / (seen.count - 1) as f64
        } else {
            0.0
        };
        // A series that ends within little more than a sample's distance is thought to go on.
        let threshold = between * 1.1;
        let reach = |distance: i64| match seconds(distance) {
            far if far >= threshold => between / 2.0,
            near => near,
        };
        *self = Self {
            of,
            sampled,
            to_start: reach(before),
            to_end: reach(after),
            range: window.range_seconds(),
        };
    }

    /// By which factor the change that was seen is smaller than that of the whole window.
    #[expect(
        clippy::inline_always,
        reason = "a call puts `seen` into memory and waits for it: a sixth of a rate"
    )]
    #[inline(always)]
    fn factor(&mut self, window: &Window<'_>, seen: &Seen) -> f64 {
        self.set(window, seen);
        if let Some(zero_ms) = seen.zero_ms {
            let known = seconds(seen.last_ms - zero_ms);
            return (known + self.to_end) / known;
        }
        let mut to_start = self.to_start;
        if let Some(share) = seen.zero_share {
            to_start = to_start.min(self.sampled * share);
        }
        (self.sampled + to_start + self.to_end) / self.sampled
    }
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn extrapolated(
    window: &Window<'_>,
    change: Change,
    shape: &mut Shape,
    notes: &mut Notes,
) -> Option<Sample> {
    if window.is_mixed() {
        notes.add(Note::Mixed, window.metric);
        return None;
    }
    if window.values.is_empty() {
        extrapolated_histogram(window, change, shape, notes)
    } else {
        extrapolated_float(window, change, shape, notes).map(Sample::Float)
    }
}

fn extrapolated_float(
    window: &Window<'_>,
    change: Change,
    shape: &mut Shape,
    notes: &mut Notes,
) -> Option<f64> {
    let (first, last) = (*window.values.first()?, *window.values.last()?);
    let zero_ms = zero_time(window.begun_at(0)?, window).filter(|_| change.is_counter);
    if window.values.len() < 2 && zero_ms.is_none() {
        return None;
    }
    let mut result = last - first;
    if change.is_counter {
        result += resets(window, notes);
    }
    if zero_ms.is_some() {
        result += first;
    }
    let zero_share = (change.is_counter && result > 0.0 && first >= 0.0).then(|| first / result);
    let mut factor = shape.factor(
        window,
        &Seen {
            first_ms: *window.timestamps.first()?,
            last_ms: *window.timestamps.last()?,
            count: window.values.len(),
            zero_ms,
            zero_share,
        },
    );
    if change.is_rate {
        factor /= shape.range;
    }
    Some(result * factor)
}

/// When the counter was zero, if that is known and in the window.
fn zero_time(first: Begun, window: &Window<'_>) -> Option<i64> {
    let is_inside =
        first.start != 0 && first.start > window.start_ms && first.start < first.timestamp;
    is_inside.then_some(first.start)
}

/// What a counter lost in resets.
fn resets(window: &Window<'_>, notes: &mut Notes) -> f64 {
    if window.starts.is_empty() {
        return window.falls.iter().fold(0.0, |lost, fall| lost + fall.1);
    }
    let mut lost = 0.0;
    let following = window.values.get(1..).unwrap_or_default();
    let times = window.begun().zip(window.begun().skip(1));
    for ((before, now), (earlier, later)) in window.values.iter().zip(following).zip(times) {
        if now < before || has_begun_anew(earlier, later) {
            lost += before;
        }
        if overlaps(earlier, later) {
            notes.add(Note::Overlap, window.metric);
        }
    }
    lost
}

fn extrapolated_histogram(
    window: &Window<'_>,
    change: Change,
    shape: &mut Shape,
    notes: &mut Notes,
) -> Option<Sample> {
    let samples = window.histograms;
    let first = samples.first()?;
    let last = samples.last()?;
    let zero_ms = zero_time(begun(first), window).filter(|_| change.is_counter);
    if samples.len() < 2 && zero_ms.is_none() {
        return None;
    }
    let mut result = histogram_change(window, change.is_counter, notes)?;
    if zero_ms.is_some() {
        result.add(&first.histogram).ok()?;
    }
    let count = first.histogram.count;
    let zero_share =
        (change.is_counter && result.count > 0.0 && count >= 0.0).then(|| count / result.count);
    let mut factor = shape.factor(
        window,
        &Seen {
            first_ms: first.timestamp,
            last_ms: last.timestamp,
            count: samples.len(),
            zero_ms,
            zero_share,
        },
    );
    if change.is_rate {
        factor /= shape.range;
    }
    result.scale(factor);
    result.make_gauge();
    Some(Sample::Histogram(Arc::new(result)))
}

/// The difference between the last and the first histogram, with resets mended.
fn histogram_change(window: &Window<'_>, is_counter: bool, notes: &mut Notes) -> Option<Histogram> {
    let samples = window.histograms;
    let first = samples.first()?;
    let last = &samples.last()?.histogram;
    let is_gauge = |histogram: &Histogram| histogram.reset_hint == ResetHint::Gauge;
    let gauges = samples.iter().filter(|sample| is_gauge(&sample.histogram));
    if is_counter && gauges.count() > 0 {
        notes.add(Note::NotCounter, window.metric);
    }
    let are_gauges = is_gauge(&first.histogram) && is_gauge(last);
    if !is_counter && !are_gauges {
        notes.add(Note::NotGauge, window.metric);
    }
    // The first one's buckets do not matter when the counter falls right behind it.
    let mut base = Arc::clone(&first.histogram);
    if let Some(second) = samples.get(1)
        && is_counter
        && is_reset(first, second)
    {
        base = Arc::new(Histogram {
            schema: second.histogram.schema,
            custom_values: Arc::clone(&second.histogram.custom_values),
            zero_threshold: second.histogram.zero_threshold,
            ..Histogram::default()
        });
    }
    let is_custom = base.has_custom_buckets();
    let inner = samples.get(1..).unwrap_or_default();
    let is_other = |sample: &HistogramSample| sample.histogram.has_custom_buckets() != is_custom;
    if last.has_custom_buckets() != is_custom || is_counter && inner.iter().any(is_other) {
        notes.add(Note::MixedSchemas, window.metric);
        return None;
    }
    let mut result = Histogram::clone(last);
    if is_counter {
        let schemas = inner.iter().map(|sample| sample.histogram.schema);
        result.reduce_to(schemas.min().unwrap_or(result.schema).min(base.schema));
    }
    if result.subtract(&base).ok()?.has_reconciled_bounds {
        notes.add(Note::Reconciled("subtraction"), window.metric);
    }
    if is_counter {
        mend(&mut result, window, &base, notes)?;
    }
    result.make_gauge();
    Some(result)
}

/// Adds what a counter of histograms lost in resets.
fn mend(
    result: &mut Histogram,
    window: &Window<'_>,
    base: &Arc<Histogram>,
    notes: &mut Notes,
) -> Option<()> {
    let samples = window.histograms;
    let pairs = samples.iter().zip(samples.get(1..).unwrap_or_default());
    for (place, (before, now)) in pairs.enumerate() {
        if overlaps(begun(before), begun(now)) {
            notes.add(Note::Overlap, window.metric);
        }
        if !is_reset(before, now) {
            continue;
        }
        let lost = if place == 0 { base } else { &before.histogram };
        if result.add(lost).ok()?.has_reconciled_bounds {
            notes.add(Note::Reconciled("addition"), window.metric);
        }
    }
    Some(())
}

/// Whether a counter began anew between two histograms.
pub(super) fn is_reset(before: &HistogramSample, now: &HistogramSample) -> bool {
    now.histogram.is_reset_since(&before.histogram) || has_begun_anew(begun(before), begun(now))
}

/// A float or histogram of a window, by time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Point<'a> {
    Float(f64, Begun),
    Histogram(&'a HistogramSample),
}

impl Point<'_> {
    pub(super) fn begun(&self) -> Begun {
        match self {
            Point::Float(_, begun) => *begun,
            Point::Histogram(sample) => begun(sample),
        }
    }
}

impl<'a> Window<'a> {
    /// Floats and histograms, by time.
    pub(super) fn points(&self) -> Vec<Point<'a>> {
        let floats = self.values.iter().zip(self.begun());
        let floats = floats.map(|(value, begun)| Point::Float(*value, begun));
        let mut points: Vec<Point<'a>> = floats.collect();
        if !self.histograms.is_empty() {
            points.extend(self.histograms.iter().map(Point::Histogram));
            points.sort_by_key(|point| point.begun().timestamp);
        }
        points
    }
}

/// The last two samples; with floats alone they need not be looked for.
fn last_two<'a>(window: &Window<'a>) -> Option<[Point<'a>; 2]> {
    if !window.histograms.is_empty() {
        let mut points = window.points();
        let now = points.pop()?;
        return Some([points.pop()?, now]);
    }
    let at = window.values.len().checked_sub(2)?;
    let point = |at: usize| Some(Point::Float(*window.values.get(at)?, window.begun_at(at)?));
    Some([point(at)?, point(at + 1)?])
}

fn last_change(window: &Window<'_>, is_rate: bool, notes: &mut Notes) -> Option<Sample> {
    let [before, now] = &last_two(window)?;
    let seconds = (now.begun().timestamp - before.begun().timestamp) as f64 / 1000.0;
    if seconds <= 0.0 {
        return None;
    }
    let divisor = if is_rate { seconds } else { 1.0 };
    match (before, now) {
        (Point::Float(earlier, begun), Point::Float(later, begun_later)) => {
            let is_reset = later < earlier || has_begun_anew(*begun, *begun_later);
            let change = if is_rate && is_reset {
                *later
            } else {
                later - earlier
            };
            Some(Sample::Float(change / divisor))
        }
        (Point::Histogram(earlier), Point::Histogram(later)) => {
            let mut result = histogram_step(earlier, later, is_rate, (notes, window.metric))?;
            result.divide(divisor);
            Some(Sample::Histogram(Arc::new(result)))
        }
        _ => {
            notes.add(Note::Mixed, window.metric);
            None
        }
    }
}

/// The change from one histogram to the next.
fn histogram_step(
    before: &HistogramSample,
    now: &HistogramSample,
    is_rate: bool,
    (notes, metric): (&mut Notes, &str),
) -> Option<Histogram> {
    let hints = [before.histogram.reset_hint, now.histogram.reset_hint];
    if is_rate && hints.contains(&ResetHint::Gauge) {
        notes.add(Note::NotCounter, metric);
    }
    if !is_rate && hints != [ResetHint::Gauge; 2] {
        notes.add(Note::NotGauge, metric);
    }
    let mut result = Histogram::clone(&now.histogram);
    if !(is_rate && is_reset(before, now)) {
        let Ok(joined) = result.subtract(&before.histogram) else {
            notes.add(Note::MixedSchemas, metric);
            return None;
        };
        if joined.has_reconciled_bounds {
            notes.add(Note::Reconciled("subtraction"), metric);
        }
    }
    result.make_gauge();
    Some(result)
}

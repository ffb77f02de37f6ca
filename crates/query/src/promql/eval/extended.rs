//! `anchored` and `smoothed`: changes between values at the very ends of a window, taken from the
//! sample before it or interpolated between the samples round it.

use std::sync::Arc;

use super::Evaluator;
use super::rate::{Change, Note, Notes};
use super::select::References;
use super::series::Series;
use super::window::Window;
use crate::histogram::{Histogram, ResetHint};
use crate::promql::ast::{Call, Edges, Node};
use crate::promql::value::Sample;
use crate::source::{HistogramSample, SeriesData, is_stale};

/// Functions over anchored ranges.
const ANCHORED: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
/// Functions over smoothed ranges.
const SMOOTHED: [&str; 3] = ["delta", "increase", "rate"];

/// Whether a function can work on the edges of its range; otherwise why not.
pub(super) fn check_edges(call: &Call) -> Result<(), String> {
    for argument in &call.arguments {
        let Node::Matrix(selector, _) = &super::bare(argument).node else {
            continue;
        };
        let (word, functions): (&str, &[&str]) = match selector.edges {
            Edges::Plain => continue,
            Edges::Anchored => ("anchored", &ANCHORED),
            Edges::Smoothed => ("smoothed", &SMOOTHED),
        };
        let name = call.function.name;
        if !functions.contains(&name) {
            let functions = functions.join(", ");
            return Err(format!(
                "{word} modifier can only be used with: {functions} - not with {name}"
            ));
        }
    }
    Ok(())
}

/// Which samples stand at the ends of a window.
struct Ends {
    first: usize,
    last: usize,
}

/// The first and the last sample that matter; none when none is in the window or none reaches it.
fn ends(
    times: impl Fn(usize) -> Option<i64>,
    count: usize,
    window: &Window<'_>,
    edges: Edges,
) -> Option<Ends> {
    let behind_start =
        (0..count).find(|at| times(*at).is_some_and(|time| time > window.start_ms))?;
    let mut last = count - 1;
    if edges == Edges::Smoothed {
        let reaches = |at: &usize| times(*at).is_some_and(|time| time >= window.end_ms);
        last = (0..last).find(reaches).unwrap_or(last);
    }
    let first = behind_start.saturating_sub(1);
    (times(first)? <= window.end_ms && first <= last).then_some(Ends { first, last })
}

/// The change over a window with values at its ends.
pub(super) fn change(
    window: &Window<'_>,
    change: Change,
    edges: Edges,
    notes: &mut Notes,
) -> Option<Sample> {
    if window.is_mixed() {
        notes.add(Note::Mixed, window.metric);
        return None;
    }
    let divisor = if change.is_rate {
        window.range_seconds()
    } else {
        1.0
    };
    if window.values.is_empty() {
        let mut result = histogram_change(window, change.is_counter, edges, notes)?;
        result.divide(divisor);
        result.make_gauge();
        return Some(Sample::Histogram(Arc::new(result)));
    }
    let result = float_change(window, change.is_counter, edges)?;
    Some(Sample::Float(result / divisor))
}

/// A float at a time between two samples. A counter that falls between them rises from zero.
fn between(one: (i64, f64), two: (i64, f64), time: i64, is_counter: bool) -> f64 {
    let from = if is_counter && two.1 < one.1 {
        0.0
    } else {
        one.1
    };
    from + (two.1 - from) * (time - one.0) as f64 / (two.0 - one.0) as f64
}

fn float_change(window: &Window<'_>, is_counter: bool, edges: Edges) -> Option<f64> {
    let count = window.timestamps.len();
    let time = |at: usize| window.timestamps.get(at).copied();
    let Ends { mut first, last } = ends(time, count, window, edges)?;
    let sample = |at: usize| Some((time(at)?, *window.values.get(at)?));
    let is_smoothed = edges == Edges::Smoothed;
    let (left, right) = (sample(first)?, sample(last)?);
    let left_value = match sample(first + 1) {
        Some(next) if is_smoothed && left.0 < window.start_ms => {
            between(left, next, window.start_ms, is_counter)
        }
        _ => left.1,
    };
    let right_value = match last.checked_sub(1).and_then(sample) {
        Some(before) if is_smoothed && right.0 > window.end_ms => {
            between(before, right, window.end_ms, is_counter)
        }
        _ => right.1,
    };
    let mut result = right_value - left_value;
    if !is_counter {
        return Some(result);
    }
    if left.0 <= window.start_ms {
        first += 1;
    }
    let end = if right.0 >= window.end_ms {
        last
    } else {
        last + 1
    };
    let mut before = left_value;
    let inner = window.values.get(first..end).unwrap_or_default();
    for value in inner.iter().chain([&right_value]) {
        if *value < before {
            result += before;
        }
        before = *value;
    }
    Some(result)
}

/// Where a histogram at an end or inside of a window comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The sample of this number.
    Sample(usize),
    /// Between this one and the next.
    Between(usize),
}

fn histogram_change(
    window: &Window<'_>,
    is_counter: bool,
    edges: Edges,
    notes: &mut Notes,
) -> Option<Histogram> {
    let samples = window.histograms;
    let time = |at: usize| samples.get(at).map(|sample| sample.timestamp);
    let Ends { first, last } = ends(time, samples.len(), window, edges)?;
    let used = samples.get(first..=last)?;
    let is_custom = used.first()?.histogram.has_custom_buckets();
    if used
        .iter()
        .any(|sample| sample.histogram.has_custom_buckets() != is_custom)
    {
        notes.add(Note::MixedSchemas, window.metric);
        return None;
    }
    let is_gauge = |sample: &HistogramSample| sample.histogram.reset_hint == ResetHint::Gauge;
    if is_counter && used.iter().any(is_gauge) {
        notes.add(Note::NotCounter, window.metric);
    }
    let are_gauges = used.first().is_some_and(is_gauge) && used.last().is_some_and(is_gauge);
    if !is_counter && !are_gauges {
        notes.add(Note::NotGauge, window.metric);
    }
    let is_smoothed = edges == Edges::Smoothed;
    let mut chain: Vec<(Origin, Histogram)> = Vec::with_capacity(used.len() + 2);
    let left = samples.get(first)?;
    let is_between = is_smoothed && left.timestamp < window.start_ms && samples.len() > first + 1;
    if is_between {
        let value = histogram_between(left, samples.get(first + 1)?, window.start_ms, is_counter)?;
        chain.push((Origin::Between(first), value));
    } else {
        chain.push((Origin::Sample(first), Histogram::clone(&left.histogram)));
    }
    for at in first + 1..last {
        let inner = samples.get(at)?;
        chain.push((Origin::Sample(at), Histogram::clone(&inner.histogram)));
    }
    let right = samples.get(last)?;
    if is_smoothed && right.timestamp > window.end_ms && last > 0 {
        let before = samples.get(last - 1)?;
        let value = histogram_between(before, right, window.end_ms, is_counter)?;
        chain.push((Origin::Between(last - 1), value));
    } else {
        chain.push((Origin::Sample(last), Histogram::clone(&right.histogram)));
    }
    difference(&chain, samples, is_counter)
}

/// The last histogram of a chain less the first, with resets between neighbours mended.
fn difference(
    chain: &[(Origin, Histogram)],
    samples: &[HistogramSample],
    is_counter: bool,
) -> Option<Histogram> {
    let (_, first) = chain.first()?;
    let (_, last) = chain.last()?;
    let mut result = last.clone();
    result.subtract(first).ok()?;
    if !is_counter {
        return Some(result);
    }
    for pair in chain.windows(2) {
        let [(from, before), (to, _)] = pair else {
            continue;
        };
        // What is interpolated from a sample on has its reset in it already.
        let fell = match (from, to) {
            (Origin::Sample(one), Origin::Sample(two)) if one != two => Some((*one, *two)),
            (Origin::Sample(one), Origin::Between(two)) if one == two => Some((*one, one + 1)),
            _ => None,
        };
        if let Some((one, two)) = fell
            && samples
                .get(two)?
                .histogram
                .is_reset_since(&samples.get(one)?.histogram)
        {
            result.add(before).ok()?;
        }
    }
    Some(result)
}

/// A histogram at a time between two samples.
fn histogram_between(
    one: &HistogramSample,
    two: &HistogramSample,
    time: i64,
    is_counter: bool,
) -> Option<Histogram> {
    let share = (time - one.timestamp) as f64 / (two.timestamp - one.timestamp) as f64;
    let mut result = Histogram::clone(&two.histogram);
    if is_counter && two.histogram.is_reset_since(&one.histogram) {
        result.scale(share);
        return Some(result);
    }
    result.subtract(&one.histogram).ok()?;
    result.scale(share);
    result.add(&one.histogram).ok()?;
    result.reset_hint = one.histogram.reset_hint;
    Some(result)
}

impl Evaluator<'_> {
    /// A series whose values at each step are interpolated between the samples round it.
    pub(super) fn smoothed(
        &self,
        data: &SeriesData,
        references: References,
        position: usize,
    ) -> Series {
        let steps = references.grid().count;
        let lookback = self.context.options.lookback_ms;
        let mut series = Series::empty(data.labels.clone(), steps);
        let metric = data.labels.get(crate::labels::METRIC_NAME);
        let floats = data
            .timestamps
            .iter()
            .copied()
            .zip(data.values.iter().copied());
        let floats: Vec<(i64, f64)> = floats.filter(|(_, value)| !is_stale(*value)).collect();
        let histograms = data.histograms.iter();
        let histograms: Vec<&HistogramSample> = histograms
            .filter(|sample| !sample.histogram.is_stale())
            .collect();
        let (mut is_mixed, mut has_mixed_schemas) = (false, false);
        for step in 0..steps {
            let time = references.time(step);
            let (after, until) = (time.saturating_sub(lookback), time.saturating_add(lookback));
            let floats = near(&floats, |(timestamp, _)| *timestamp, (after, until));
            let histograms = near(&histograms, |sample| sample.timestamp, (after, until));
            if !floats.is_empty() && !histograms.is_empty() {
                is_mixed = true;
            } else if let Some(value) = float_at(floats, time) {
                series.set_float(step, value);
            } else {
                match histogram_at(histograms, time) {
                    Ok(Some(histogram)) => series.set_histogram(step, Arc::new(histogram)),
                    Ok(None) => {}
                    Err(()) => has_mixed_schemas = true,
                }
            }
        }
        if is_mixed {
            self.warn_mixed(position, metric);
        }
        if has_mixed_schemas {
            self.warn_mixed_schemas(position, metric);
        }
        series
    }
}

/// The samples after a time, up to another.
fn near<T>(samples: &[T], time: impl Fn(&T) -> i64, (after, until): (i64, i64)) -> &[T] {
    let first = samples.partition_point(|sample| time(sample) <= after);
    let end = samples.partition_point(|sample| time(sample) <= until);
    samples.get(first..end).unwrap_or_default()
}

fn float_at(samples: &[(i64, f64)], time: i64) -> Option<f64> {
    let next = samples.partition_point(|(timestamp, _)| *timestamp < time);
    let before = next.checked_sub(1).and_then(|at| samples.get(at));
    match (before, samples.get(next)) {
        (_, Some((timestamp, value))) if *timestamp == time => Some(*value),
        (Some(one), Some(two)) => Some(between(*one, *two, time, false)),
        (Some((_, value)), None) => Some(*value),
        (None, _) => None,
    }
}

/// An error when the two samples round the time have other kinds of buckets.
fn histogram_at(samples: &[&HistogramSample], time: i64) -> Result<Option<Histogram>, ()> {
    let next = samples.partition_point(|sample| sample.timestamp < time);
    let before = next.checked_sub(1).and_then(|at| samples.get(at));
    match (before, samples.get(next)) {
        (_, Some(exact)) if exact.timestamp == time => Ok(Some(Histogram::clone(&exact.histogram))),
        (Some(one), Some(two)) => {
            let is_counter = two.histogram.reset_hint != ResetHint::Gauge;
            if one.histogram.has_custom_buckets() != two.histogram.has_custom_buckets() {
                return Err(());
            }
            Ok(histogram_between(one, two, time, is_counter))
        }
        (Some(one), None) => Ok(Some(Histogram::clone(&one.histogram))),
        (None, _) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_falls_between_rises_from_zero() {
        assert!((between((0, 10.0), (10, 4.0), 5, true) - 2.0).abs() < 1e-12);
        assert!((between((0, 10.0), (10, 4.0), 5, false) - 7.0).abs() < 1e-12);
    }

    #[test]
    fn a_fixed_range_is_the_same_at_each_step() {
        let parsed = crate::promql::parser::parse("rate(x[1m] @ 5 smoothed)").unwrap();
        assert!(crate::promql::eval::is_invariant(&parsed));
    }
}

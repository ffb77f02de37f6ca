//! Functions over the samples of a window: `*_over_time`, `changes`, `resets`.

use std::sync::Arc;

use super::rate::{Begun, Note, Notes, Point, has_begun_anew, is_reset};
use super::series::Series;
use super::window::{Input, Window};
use super::{Evaluation, Evaluator};
use crate::histogram::{Accumulator, Histogram, ResetHint};
use crate::promql::ast::Edges;
use crate::promql::value::Sample;
use crate::sum::Sum;

pub(super) fn sum(values: &[f64]) -> f64 {
    let mut sum = Sum::default();
    for value in values {
        sum.add(*value);
    }
    sum.total()
}

/// The mean, also where the sum is beyond what a float holds.
pub(super) fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let mut total = Sum::default();
    let mut count = 0.0;
    let mut is_finite = true;
    for value in values.clone() {
        total.add(value);
        is_finite &= value.is_finite();
        count += 1.0;
    }
    if total.sum.is_finite() {
        return total.sum / count + total.lost / count;
    }
    if !is_finite {
        return total.total() / count;
    }
    let mut parts = Sum::default();
    for value in values {
        parts.add(value / count);
    }
    parts.total()
}

/// The variance, by the method that Welford found, with rounding mended.
pub(super) fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let mut count = 0.0;
    let mut mean = Sum::default();
    let mut squares = Sum::default();
    for value in values {
        count += 1.0;
        let distance = value - (mean.sum + mean.lost);
        mean.add(distance / count);
        squares.add(distance * (value - (mean.sum + mean.lost)));
    }
    (squares.sum + squares.lost) / count
}

/// The value below which a share of others lies; they are sorted, NaN first.
pub(super) fn quantile_sorted(share: f64, sorted: &[f64]) -> f64 {
    if sorted.is_empty() || share.is_nan() {
        return f64::NAN;
    }
    if share < 0.0 {
        return f64::NEG_INFINITY;
    }
    if share > 1.0 {
        return f64::INFINITY;
    }
    let rank = share * (sorted.len() - 1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to the length"
    )]
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(sorted.len() - 1);
    let weight = rank - rank.floor();
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    at(lower) * (1.0 - weight) + at(upper) * weight
}

/// Sorts floats, NaN first.
pub(super) fn sort_floats(values: &mut [f64]) {
    values.sort_by(|one, other| {
        let is_number = (!one.is_nan()).cmp(&!other.is_nan());
        is_number.then(one.total_cmp(other))
    });
}

fn extreme(values: &[f64], is_better: impl Fn(f64, f64) -> bool) -> Option<usize> {
    let mut best = 0;
    let mut held = *values.first()?;
    for (place, value) in values.iter().enumerate().skip(1) {
        if is_better(*value, held) || held.is_nan() {
            best = place;
            held = *value;
        }
    }
    Some(best)
}

impl Evaluator<'_> {
    /// A function of floats; histograms beside them are ignored, with a hint.
    pub(super) fn floats_over_time(
        &self,
        input: &Input<'_>,
        mut function: impl FnMut(&Window<'_>) -> Option<f64>,
    ) -> Evaluation<Vec<Series>> {
        let mut notes = Notes::default();
        let results = self.over_windows(input, true, |window| {
            if window.values.is_empty() {
                return None;
            }
            if !window.histograms.is_empty() {
                notes.add(Note::IgnoredHistograms, window.metric);
            }
            function(window).map(Sample::Float)
        })?;
        self.note(notes, input.position);
        Ok(results)
    }

    /// `sum_over_time` and `avg_over_time`.
    pub(super) fn total_over_time(
        &self,
        input: &Input<'_>,
        is_mean: bool,
    ) -> Evaluation<Vec<Series>> {
        let mut notes = Notes::default();
        let results = self.over_windows(input, true, |window| {
            if window.is_mixed() {
                notes.add(Note::Mixed, window.metric);
                return None;
            }
            if !window.values.is_empty() {
                let total = if is_mean {
                    mean(window.values.iter().copied())
                } else {
                    sum(window.values)
                };
                return Some(Sample::Float(total));
            }
            let histograms = window.histograms.iter().map(|sample| &sample.histogram);
            total(&histograms, is_mean, (&mut notes, window.metric))
        })?;
        self.note(notes, input.position);
        Ok(results)
    }

    /// Functions of one window that need no more than it.
    pub(super) fn simple_over_time(
        &self,
        name: &str,
        input: &Input<'_>,
    ) -> Evaluation<Vec<Series>> {
        let seconds = |milliseconds: i64| milliseconds as f64 / 1000.0;
        let least = |one: f64, held: f64| one < held;
        let most = |one: f64, held: f64| one > held;
        let value = |window: &Window<'_>, place: Option<usize>| {
            place.and_then(|at| window.values.get(at).copied())
        };
        let time = |window: &Window<'_>, place: Option<usize>| {
            place
                .and_then(|at| window.timestamps.get(at))
                .map(|time| seconds(*time))
        };
        // The last of equal values counts for times.
        let least_or_same = |one: f64, held: f64| one <= held;
        let most_or_same = |one: f64, held: f64| one >= held;
        match name {
            "min_over_time" => {
                self.floats_over_time(input, |window| value(window, extreme(window.values, least)))
            }
            "max_over_time" => {
                self.floats_over_time(input, |window| value(window, extreme(window.values, most)))
            }
            "ts_of_min_over_time" => self.floats_over_time(input, |window| {
                time(window, extreme(window.values, least_or_same))
            }),
            "ts_of_max_over_time" => self.floats_over_time(input, |window| {
                time(window, extreme(window.values, most_or_same))
            }),
            "stddev_over_time" => self.floats_over_time(input, |window| {
                Some(variance(window.values.iter().copied()).sqrt())
            }),
            "stdvar_over_time" => self.floats_over_time(input, |window| {
                Some(variance(window.values.iter().copied()))
            }),
            "mad_over_time" => {
                let mut sorted = Vec::new();
                self.floats_over_time(input, |window| Some(deviation(window.values, &mut sorted)))
            }
            "count_over_time" => self.over_windows(input, true, |window| {
                let count = window.values.len() + window.histograms.len();
                Some(Sample::Float(count as f64))
            }),
            "present_over_time" => self.over_windows(input, true, |_| Some(Sample::Float(1.0))),
            "first_over_time" => {
                self.over_windows(input, false, |window| end(window, false, sample))
            }
            "last_over_time" => self.over_windows(input, false, |window| end(window, true, sample)),
            "ts_of_first_over_time" => {
                self.over_windows(input, true, |window| end(window, false, timestamp))
            }
            "ts_of_last_over_time" => {
                self.over_windows(input, true, |window| end(window, true, timestamp))
            }
            "changes" => {
                let edges = input.edges;
                self.over_windows(input, true, |window| pairs(window, edges, has_changed))
            }
            _ => {
                let edges = input.edges;
                self.over_windows(input, true, |window| pairs(window, edges, has_reset))
            }
        }
    }
}

/// The sum or mean of histograms.
pub(super) fn total<'h>(
    histograms: &(impl Iterator<Item = &'h Arc<Histogram>> + Clone),
    is_mean: bool,
    (notes, metric): (&mut Notes, &str),
) -> Option<Sample> {
    let all = |factor: f64| {
        let mut rest = histograms.clone();
        let mut total = Accumulator::new(rest.next()?, factor);
        let is_mixed = rest.any(|histogram| total.add(histogram, factor).is_err());
        Some((total, is_mixed))
    };
    let count = histograms.clone().count() as f64;
    let (mut added, is_mixed) = all(1.0)?;
    if is_mixed {
        notes.add(Note::MixedSchemas, metric);
        return None;
    }
    if added.has_reconciled_bounds() {
        notes.add(Note::Reconciled("aggregation"), metric);
    }
    let says = |hint| {
        histograms
            .clone()
            .any(|histogram| histogram.reset_hint == hint)
    };
    if says(ResetHint::Reset) && says(ResetHint::NotReset) {
        notes.add(Note::ResetConflict("aggregation"), metric);
    }
    // A sum beyond what a float holds has a mean all the same.
    let has_overflowed = is_mean && added.has_overflowed();
    if has_overflowed {
        added = all(1.0 / count)?.0;
    }
    let mut total = added.total();
    if is_mean && !has_overflowed {
        total.divide(count);
    }
    Some(Sample::Histogram(Arc::new(total)))
}

/// The middle distance from the middle value; `sorted` is room to work in.
fn deviation(values: &[f64], sorted: &mut Vec<f64>) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    sorted.clear();
    sorted.extend(values);
    sort_floats(sorted);
    let median = quantile_sorted(0.5, sorted);
    for value in sorted.iter_mut() {
        *value = (*value - median).abs();
    }
    sort_floats(sorted);
    quantile_sorted(0.5, sorted)
}

/// Something of the first or last sample of a window.
fn end(window: &Window<'_>, is_last: bool, take: fn(&Point<'_>) -> Sample) -> Option<Sample> {
    let pick = |count: usize| {
        if is_last {
            count.checked_sub(1)
        } else {
            Some(0)
        }
    };
    let float = pick(window.values.len()).and_then(|at| {
        let value = *window.values.get(at)?;
        Some(Point::Float(value, window.begun_at(at)?))
    });
    let histogram = pick(window.histograms.len())
        .and_then(|at| window.histograms.get(at))
        .map(Point::Histogram);
    let point = match (float, histogram) {
        (Some(float), Some(histogram)) => {
            let is_float_later = float.begun().timestamp > histogram.begun().timestamp;
            if is_float_later == is_last {
                float
            } else {
                histogram
            }
        }
        (float, histogram) => float.or(histogram)?,
    };
    Some(take(&point))
}

fn sample(point: &Point<'_>) -> Sample {
    match point {
        Point::Float(value, _) => Sample::Float(*value),
        Point::Histogram(sample) => Sample::Histogram(Arc::clone(&sample.histogram)),
    }
}

fn timestamp(point: &Point<'_>) -> Sample {
    Sample::Float(point.begun().timestamp as f64 / 1000.0)
}

/// Counts neighbours of which something holds.
fn pairs(
    window: &Window<'_>,
    edges: Edges,
    holds: fn(&Point<'_>, &Point<'_>) -> bool,
) -> Option<Sample> {
    if window.histograms.is_empty() && window.starts.is_empty() && edges == Edges::Plain {
        return Some(Sample::Float(float_pairs(window, holds)));
    }
    let points = window.points();
    let mut counted = points.as_slice();
    if edges == Edges::Anchored {
        // The last sample before the window stands at its begin.
        let inside = points.partition_point(|point| point.begun().timestamp <= window.start_ms);
        if inside == points.len() {
            return None;
        }
        counted = points.get(inside.saturating_sub(1)..).unwrap_or_default();
    }
    let following = counted.get(1..).unwrap_or_default();
    let pairs = counted.iter().zip(following);
    let count = pairs.filter(|(before, now)| holds(before, now)).count();
    Some(Sample::Float(count as f64))
}

/// The same of floats alone, which need not be put in order.
fn float_pairs(window: &Window<'_>, holds: fn(&Point<'_>, &Point<'_>) -> bool) -> f64 {
    let unknown = Begun {
        timestamp: 0,
        start: 0,
    };
    let following = window.values.get(1..).unwrap_or_default();
    let pairs = window.values.iter().zip(following).filter(|(before, now)| {
        let (before, now) = (
            Point::Float(**before, unknown),
            Point::Float(**now, unknown),
        );
        holds(&before, &now)
    });
    pairs.count() as f64
}

#[expect(clippy::float_cmp, reason = "any other value is a change")]
fn has_changed(before: &Point<'_>, now: &Point<'_>) -> bool {
    match (before, now) {
        (Point::Float(one, _), Point::Float(two, _)) => {
            one != two && !(one.is_nan() && two.is_nan())
        }
        (Point::Histogram(one), Point::Histogram(two)) => one.histogram != two.histogram,
        _ => true,
    }
}

fn has_reset(before: &Point<'_>, now: &Point<'_>) -> bool {
    match (before, now) {
        (Point::Float(one, earlier), Point::Float(two, later)) => {
            two < one || has_begun_anew(*earlier, *later)
        }
        (Point::Histogram(one), Point::Histogram(two)) => is_reset(one, two),
        _ => true,
    }
}

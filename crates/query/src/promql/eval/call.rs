//! Which function does what.

use super::series::{Cell, Series};
use super::window::Input;
use super::{Evaluated, Evaluation, Evaluator, Grid, fail, over_time, trend};
use crate::labels::Labels;
use crate::promql::ast::{Call, Expression, Type};

impl Evaluator<'_> {
    pub(super) fn call(&self, call: &Call, position: usize, grid: Grid) -> Evaluation<Evaluated> {
        if let Err(reason) = super::extended::check_edges(call) {
            return fail(reason);
        }
        if call.function.returns == Type::Scalar {
            return self.scalar_call(call, grid).map(Evaluated::Scalar);
        }
        let is_over_range = call.function.arguments.contains(&Type::Matrix);
        let series = if is_over_range {
            self.range_call(call, grid)?
        } else {
            self.vector_call(call, position, grid)?
        };
        Ok(Evaluated::Vector(series))
    }

    /// Functions that give a number per step.
    fn scalar_call(&self, call: &Call, grid: Grid) -> Evaluation<Vec<f64>> {
        let seconds = |milliseconds: i64| milliseconds as f64 / 1000.0;
        let times = self.times;
        let constant = match call.function.name {
            "pi" => std::f64::consts::PI,
            "start" => seconds(times.start_ms),
            "end" => seconds(times.end_ms),
            "step" => seconds(times.step_ms),
            "range" => seconds(times.end_ms.saturating_sub(times.start_ms)),
            "time" => return Ok(grid.times().map(seconds).collect()),
            "scalar" => return self.scalar(argument(call, 0)?, grid),
            name => {
                let one = self.eval_scalar(argument(call, 0)?, grid)?;
                let other = self.eval_scalar(argument(call, 1)?, grid)?;
                let is_least = name == "min_of";
                let choose = |(one, other): (f64, f64)| match (one, other) {
                    _ if one.is_nan() || other.is_nan() => f64::NAN,
                    _ if is_least => one.min(other),
                    _ => one.max(other),
                };
                return Ok(one.into_iter().zip(other).map(choose).collect());
            }
        };
        Ok(vec![constant; grid.count])
    }

    /// The one float of each step, or NaN.
    fn scalar(&self, argument: &Expression, grid: Grid) -> Evaluation<Vec<f64>> {
        let vector = self.eval_vector(argument, grid)?;
        let one = |step: usize| {
            let floats = vector.iter().filter_map(|series| match series.cell(step) {
                Cell::Float(value) => Some(value),
                _ => None,
            });
            let mut floats = floats.take(2);
            match (floats.next(), floats.next()) {
                (Some(value), None) => value,
                _ => f64::NAN,
            }
        };
        Ok((0..grid.count).map(one).collect())
    }

    /// Functions over ranges.
    fn range_call(&self, call: &Call, grid: Grid) -> Evaluation<Vec<Series>> {
        let at = usize::from(call.function.arguments.first() != Some(&Type::Matrix));
        let range = argument(call, at)?;
        let mut input = self.window_input(range, grid)?;
        input.wants_falls = matches!(call.function.name, "rate" | "increase");
        let change = |is_counter, is_rate| super::rate::Change {
            is_counter,
            is_rate,
        };
        match call.function.name {
            "rate" => self.change(&input, change(true, true)),
            "increase" => self.change(&input, change(true, false)),
            "delta" => self.change(&input, change(false, false)),
            "irate" => self.instant_change(&input, true),
            "idelta" => self.instant_change(&input, false),
            "sum_over_time" => self.total_over_time(&input, false),
            "avg_over_time" => self.total_over_time(&input, true),
            "absent_over_time" => self.absent_over_time(range, &input),
            "deriv" => self.floats_over_time(&input, |window| {
                let first = *window.timestamps.first()?;
                trend::line(window, first).map(|(slope, _)| slope)
            }),
            "predict_linear" => {
                let ahead = self.eval_scalar(argument(call, 1)?, grid)?;
                self.floats_over_time(&input, |window| {
                    let ahead = ahead.get(window.step)?;
                    let (slope, now) = trend::line(window, window.now_ms)?;
                    Some(slope * ahead + now)
                })
            }
            "double_exponential_smoothing" => self.smoothing(call, &input, grid),
            "quantile_over_time" => self.quantile_over_time(call, &input, grid),
            name => self.simple_over_time(name, &input),
        }
    }

    fn absent_over_time(&self, range: &Expression, input: &Input<'_>) -> Evaluation<Vec<Series>> {
        let steps = input.references.grid().count;
        let mut values = vec![1.0; steps];
        let mut places = self.places(input)?;
        self.each_range(input, |data, _| {
            input.each_window(data, &mut places, |window| {
                if !window.is_empty()
                    && let Some(value) = values.get_mut(window.step)
                {
                    *value = super::series::ABSENT;
                }
                Ok(())
            })
        })?;
        let labels = super::instant::absent_labels(range);
        Ok(vec![Series::floats(labels, values)])
    }

    fn smoothing(&self, call: &Call, input: &Input<'_>, grid: Grid) -> Evaluation<Vec<Series>> {
        let values = self.eval_scalar(argument(call, 1)?, grid)?;
        let trends = self.eval_scalar(argument(call, 2)?, grid)?;
        for (factors, name) in [(&values, "smoothing"), (&trends, "trend")] {
            let is_wrong = |factor: &&f64| !(**factor > 0.0 && **factor < 1.0);
            if let Some(wrong) = factors.iter().find(is_wrong) {
                return fail(format!(
                    "invalid {name} factor. Expected: 0 < factor < 1, got: {wrong}"
                ));
            }
        }
        self.floats_over_time(input, |window| {
            let value = values.get(window.step)?;
            let trend = trends.get(window.step)?;
            trend::smoothed(window.values, *value, *trend)
        })
    }

    fn quantile_over_time(
        &self,
        call: &Call,
        input: &Input<'_>,
        grid: Grid,
    ) -> Evaluation<Vec<Series>> {
        let shares = self.eval_scalar(argument(call, 0)?, grid)?;
        self.check_shares(&shares, argument(call, 0)?.span.start);
        let mut sorted = Vec::new();
        self.floats_over_time(input, |window| {
            sorted.clear();
            sorted.extend(window.values);
            over_time::sort_floats(&mut sorted);
            Some(over_time::quantile_sorted(
                *shares.get(window.step)?,
                &sorted,
            ))
        })
    }

    /// Warns of quantiles that are none.
    pub(super) fn check_shares(&self, shares: &[f64], position: usize) {
        let mut told = None;
        for share in shares {
            // The same number once more needs no text.
            if !(0.0..=1.0).contains(share)
                && told.replace(share.to_bits()) != Some(share.to_bits())
            {
                let share = crate::number::Short(*share);
                let message = format!("quantile value should be between 0 and 1, got {share}");
                self.warn(position, &message);
            }
        }
    }

    /// Functions of the values of each step.
    fn vector_call(&self, call: &Call, position: usize, grid: Grid) -> Evaluation<Vec<Series>> {
        match call.function.name {
            "vector" => {
                let values = self.eval_scalar(argument(call, 0)?, grid)?;
                Ok(vec![Series::floats(Labels::none(), values)])
            }
            "absent" => self.absent(argument(call, 0)?, grid),
            "timestamp" | "start_timestamp" => self.timestamps(call, grid),
            "label_replace" => self.label_replace(call, grid),
            "label_join" => self.label_join(call, grid),
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => {
                self.sort(call, position, grid)
            }
            "histogram_quantile" => self.histogram_quantile(call, grid),
            "histogram_quantiles" => self.histogram_quantiles(call, grid),
            "histogram_fraction" => self.histogram_fraction(call, grid),
            "histogram_avg" | "histogram_count" | "histogram_sum" | "histogram_stddev"
            | "histogram_stdvar" => self.histogram_value(call, grid),
            "info" => self.info(call, grid),
            "day_of_month" | "day_of_week" | "day_of_year" | "days_in_month" | "hour"
            | "minute" | "month" | "year" => self.date(call, grid),
            "round" | "clamp" | "clamp_min" | "clamp_max" => self.bounded(call, grid),
            name => {
                let Some(function) = super::math::function(name) else {
                    return fail(format!("function {name:?} is not evaluated"));
                };
                let mut series = self.eval_vector(argument(call, 0)?, grid)?;
                self.map(&mut series, function)?;
                Ok(series)
            }
        }
    }
}

/// An argument, by its place.
pub(super) fn argument(call: &Call, place: usize) -> Evaluation<&Expression> {
    match call.arguments.get(place) {
        Some(argument) => Ok(argument),
        None => fail(format!("{} lacks an argument", call.function.name)),
    }
}

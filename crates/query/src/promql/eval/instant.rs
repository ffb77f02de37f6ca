//! Functions that look at the samples behind a vector, or at its absence: `timestamp`, `absent`,
//! `sort…`.

use std::cmp::Ordering;

use super::call::argument;
use super::select::Cursor;
use super::series::{ABSENT, Cell, Series};
use super::{Evaluation, Evaluator, Grid, bare, selector_of, text_of};
use crate::labels::{Labels, METRIC_NAME};
use crate::matcher::Comparison;
use crate::promql::ast::{Call, Edges, Expression, Node};

impl Evaluator<'_> {
    /// When the samples of a selector are from, or since when they count. What is computed is from
    /// its step, and its start is not known.
    pub(super) fn timestamps(&self, call: &Call, grid: Grid) -> Evaluation<Vec<Series>> {
        let inner = argument(call, 0)?;
        let wants_start = call.function.name == "start_timestamp";
        let seconds = |milliseconds: i64| milliseconds as f64 / 1000.0;
        let selector = selector_of(inner).filter(|selector| selector.edges != Edges::Smoothed);
        let Some(selector) = selector else {
            if wants_start {
                return Ok(Vec::new());
            }
            let mut vector = self.eval_vector(inner, grid)?;
            for series in &mut vector {
                let mut times = Series::empty(series.labels.clone(), grid.count);
                for (step, time) in grid.times().enumerate() {
                    if series.cell(step).is_some() {
                        times.set_float(step, seconds(time));
                    }
                }
                times.drop_name = true;
                *series = times;
            }
            return Ok(vector);
        };
        let (loaded, references) = self.load_instants(selector, grid)?;
        let lookback = self.context.options.lookback_ms;
        let mut vector = Vec::with_capacity(loaded.len());
        for data in loaded {
            self.work(grid.count)?;
            let mut series = Series::empty(data.labels.clone(), grid.count);
            series.drop_name = true;
            let mut cursor = Cursor::new(&data);
            for step in 0..grid.count {
                let until = references.time(step);
                if let Some(newest) = cursor.newest(until.saturating_sub(lookback), until) {
                    let time = if wants_start {
                        newest.start
                    } else {
                        newest.timestamp
                    };
                    series.set_float(step, seconds(time));
                }
            }
            if !series.is_empty() {
                vector.push(series);
            }
        }
        Ok(vector)
    }

    /// 1 where there is nothing.
    pub(super) fn absent(&self, inner: &Expression, grid: Grid) -> Evaluation<Vec<Series>> {
        let vector = self.eval_vector(inner, grid)?;
        let value = |step: usize| {
            if vector.iter().any(|series| series.cell(step).is_some()) {
                ABSENT
            } else {
                1.0
            }
        };
        let values = (0..grid.count).map(value).collect();
        Ok(vec![Series::floats(absent_labels(inner), values)])
    }

    /// Sorts the series of an instant query; over a range there is no order.
    pub(super) fn sort(&self, call: &Call, position: usize, grid: Grid) -> Evaluation<Vec<Series>> {
        let mut series = self.eval_vector(argument(call, 0)?, grid)?;
        if self.times.start_ms != self.times.end_ms {
            let message =
                "sort is ineffective for range queries since results are always ordered by labels";
            self.warn(position, message);
            return Ok(series);
        }
        let name = call.function.name;
        let is_falling = name.ends_with("_desc");
        if name.starts_with("sort_by_label") {
            let labels = call.arguments.get(1..).unwrap_or_default();
            let labels: Vec<String> = labels
                .iter()
                .map(|label| String::from_utf8_lossy(text_of(label)).into_owned())
                .collect();
            series.sort_by(|one, other| {
                let order = by_labels(&one.labels, &other.labels, &labels);
                if is_falling { order.reverse() } else { order }
            });
            return Ok(series);
        }
        for one in &mut series {
            one.drop_histograms();
        }
        series.retain(|one| !one.is_empty());
        let value = |series: &Series| match series.cell(0) {
            Cell::Float(value) => value,
            _ => f64::NAN,
        };
        series.sort_by(|one, other| {
            let (one, other) = (value(one), value(other));
            // What is no number comes last in both directions.
            one.is_nan().cmp(&other.is_nan()).then_with(|| {
                let order = one.partial_cmp(&other).unwrap_or(Ordering::Equal);
                if is_falling { order.reverse() } else { order }
            })
        });
        Ok(series)
    }
}

/// The labels that a selector demands, each by one value: those that a missing series would have.
pub(super) fn absent_labels(expression: &Expression) -> Labels {
    let (Node::Vector(selector) | Node::Matrix(selector, _)) = &bare(expression).node else {
        return Labels::none();
    };
    let matchers = &selector.matchers;
    let is_alone = |name: &str| matchers.iter().filter(|own| own.name == name).count() == 1;
    let wanted = matchers.iter().filter(|matcher| {
        matcher.name != METRIC_NAME
            && matcher.comparison == Comparison::Equal
            && is_alone(&matcher.name)
    });
    Labels::new(wanted.map(|matcher| (&matcher.name, &matcher.value)))
}

fn by_labels(one: &Labels, other: &Labels, labels: &[String]) -> Ordering {
    for label in labels {
        let order = natural(one.get(label), other.get(label));
        if order != Ordering::Equal {
            return order;
        }
    }
    one.cmp(other)
}

/// Compares texts so that numbers in them count as numbers.
fn natural(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        let (Some(left), Some(right)) = (next_piece(one), next_piece(other)) else {
            return one.len().cmp(&other.len());
        };
        let order = match (left.1, right.1) {
            (true, true) => {
                let (left, right) = (
                    left.0.trim_start_matches('0'),
                    right.0.trim_start_matches('0'),
                );
                left.len().cmp(&right.len()).then_with(|| left.cmp(right))
            }
            _ => left.0.cmp(right.0),
        };
        if order != Ordering::Equal {
            return order;
        }
        one = one.get(left.0.len()..).unwrap_or_default();
        other = other.get(right.0.len()..).unwrap_or_default();
    }
}

/// The digits or other characters at the begin, and whether they are digits.
fn next_piece(text: &str) -> Option<(&str, bool)> {
    let is_number = text.chars().next()?.is_ascii_digit();
    let end = text.find(|letter: char| letter.is_ascii_digit() != is_number);
    Some((text.get(..end.unwrap_or(text.len()))?, is_number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts_count_as_numbers() {
        let sorted = [
            "", "1.2.3", "1.11.3", "1.111.3", "4m5", "4m600", "4m1000", "a",
        ];
        for (place, one) in sorted.iter().enumerate() {
            for other in sorted.iter().skip(place + 1) {
                assert_eq!(natural(one, other), Ordering::Less, "{one} {other}");
            }
        }
    }
}

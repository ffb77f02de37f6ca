//! Aggregations: series of a group become one, or are counted by their values.

use std::collections::HashMap;
use std::sync::Arc;

use super::choose::choose;
use super::over_time;
use super::rate::Notes;
use super::series::{Cell, Series, is_absent};
use super::{Evaluation, Evaluator, Grid, fail, text_of};
use crate::histogram::Histogram;
use crate::labels::{Groups, Labels, Projection};
use crate::number::Plain;
use crate::promql::ast::{Aggregate, Aggregation};
use crate::promql::value::Sample;
use crate::sum::Sum;

/// Series that are aggregated together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) labels: Labels,
    pub(super) drop_name: bool,
    pub(super) members: Vec<Series>,
}

impl Group {
    /// The floats of all members at a step.
    fn floats(&self, step: usize) -> impl Iterator<Item = f64> + Clone {
        self.members.iter().filter_map(move |series| {
            let value = series.values.get(step).copied();
            value.filter(|value| !is_absent(*value))
        })
    }

    /// The histograms of all members at a step.
    fn histograms(&self, step: usize) -> impl Iterator<Item = &Arc<Histogram>> + Clone {
        self.members
            .iter()
            .filter_map(move |series| match series.cell(step) {
                Cell::Histogram(histogram) => Some(histogram),
                _ => None,
            })
    }

    fn has_histograms(&self) -> bool {
        self.members.iter().any(Series::has_histograms)
    }

    fn result(&self, steps: usize) -> Series {
        let mut result = Series::empty(self.labels.clone(), steps);
        result.drop_name = self.drop_name;
        result
    }
}

/// The labels by which series are grouped.
fn projection(aggregate: &Aggregate) -> Projection {
    if aggregate.is_without {
        Projection::without(&aggregate.labels)
    } else {
        Projection::on(&aggregate.labels)
    }
}

fn grouped(vector: Vec<Series>, projection: &Projection) -> Vec<Group> {
    let mut numbers = Groups::new(projection);
    let mut groups: Vec<Group> = Vec::new();
    for series in vector {
        let (number, is_new) = numbers.number(&series.labels);
        if is_new {
            groups.push(Group {
                labels: projection.apply(&series.labels),
                drop_name: false,
                members: Vec::new(),
            });
        }
        if let Some(group) = groups.get_mut(number) {
            group.drop_name |= series.drop_name;
            group.members.push(series);
        }
    }
    groups
}

impl Evaluator<'_> {
    pub(super) fn aggregate(
        &self,
        aggregate: &Aggregate,
        position: usize,
        grid: Grid,
    ) -> Evaluation<Vec<Series>> {
        let operation = aggregate.operation;
        let inner = aggregate.inner.span.start;
        if operation == Aggregation::CountValues {
            return self.count_values(aggregate, grid);
        }
        let mut parameters = Vec::new();
        if let Some(parameter) = &aggregate.parameter {
            parameters = self.eval_scalar(parameter, grid)?;
            self.check_parameters(operation, &parameters, parameter.span.start)?;
        }
        let vector = self.eval_vector(&aggregate.inner, grid)?;
        self.work(vector.len().saturating_mul(grid.count))?;
        let groups = grouped(vector, &projection(aggregate));
        if matches!(
            operation,
            Aggregation::Topk
                | Aggregation::Bottomk
                | Aggregation::Limitk
                | Aggregation::LimitRatio
        ) {
            let chosen = choose(operation, groups, &parameters, grid);
            if chosen.has_ignored {
                self.inform_ignored(operation, position);
            }
            return Ok(chosen.series);
        }
        self.hold(groups.len().saturating_mul(grid.count))?;
        let mut results = Vec::with_capacity(groups.len());
        for group in groups {
            self.work(group.members.len().saturating_mul(grid.count))?;
            let result = match operation {
                Aggregation::Sum | Aggregation::Avg => {
                    self.total(&group, operation == Aggregation::Avg, grid, inner)
                }
                Aggregation::Count | Aggregation::Group => count(&group, operation, grid),
                _ => {
                    if group.has_histograms() {
                        self.inform_ignored(operation, inner);
                    }
                    floats(&group, operation, &parameters, grid)
                }
            };
            if !result.is_empty() {
                results.push(result);
            }
        }
        Ok(results)
    }

    fn inform_ignored(&self, operation: Aggregation, position: usize) {
        let message = format!("ignored histogram in {} aggregation", operation.name());
        self.inform(position, &message);
    }

    fn check_parameters(
        &self,
        operation: Aggregation,
        parameters: &[f64],
        position: usize,
    ) -> Evaluation<()> {
        let has_nan = parameters.iter().any(|parameter| parameter.is_nan());
        match operation {
            Aggregation::Quantile => self.check_shares(parameters, position),
            Aggregation::LimitRatio if has_nan => return fail("Ratio value is NaN"),
            Aggregation::LimitRatio => {
                for ratio in parameters {
                    if !(-1.0..=1.0).contains(ratio) {
                        let capped = Plain(ratio.clamp(-1.0, 1.0));
                        let ratio = Plain(*ratio);
                        let message = format!(
                            "ratio value should be between -1 and 1, got {ratio}, capping to {capped}"
                        );
                        self.warn(position, &message);
                    }
                }
            }
            _ if has_nan => return fail("Parameter value is NaN"),
            _ => {}
        }
        Ok(())
    }

    /// Sums or means, of floats or of histograms; a step with both has none.
    fn total(&self, group: &Group, is_mean: bool, grid: Grid, position: usize) -> Series {
        let mut result = group.result(grid.count);
        let mut sums = vec![Sum::default(); grid.count];
        let mut counts = vec![0.0; grid.count];
        for series in &group.members {
            let cells = sums.iter_mut().zip(&mut counts).zip(&series.values);
            for ((sum, count), value) in cells {
                if !is_absent(*value) {
                    sum.add(*value);
                    *count += 1.0;
                }
            }
        }
        for (step, (sum, count)) in sums.iter().zip(&counts).enumerate() {
            if *count == 0.0 {
                continue;
            }
            let value = if !is_mean {
                sum.total()
            } else if sum.sum.is_finite() {
                sum.sum / count + sum.lost / count
            } else {
                over_time::mean(group.floats(step))
            };
            result.set_float(step, value);
        }
        if group.has_histograms() {
            let mut notes = Notes::default();
            let mut is_mixed = false;
            for step in 0..grid.count {
                if group.histograms(step).next().is_none() {
                    continue;
                }
                if counts.get(step).is_some_and(|count| *count > 0.0) {
                    result.clear(step);
                    is_mixed = true;
                    continue;
                }
                let total = over_time::total(&group.histograms(step), is_mean, (&mut notes, ""));
                if let Some(sample) = total {
                    result.set(step, sample);
                }
            }
            self.note(notes, position);
            if is_mixed {
                let message = "encountered a mix of histograms and floats for aggregation";
                self.warn(position, message);
            }
        }
        result
    }

    /// Series with the number of members that have a value, which becomes a label.
    fn count_values(&self, aggregate: &Aggregate, grid: Grid) -> Evaluation<Vec<Series>> {
        let name = aggregate.parameter.as_ref().map_or(&[][..], text_of);
        let name = match std::str::from_utf8(name) {
            Ok(name) if !name.is_empty() => name,
            _ => {
                let name = crate::quote::quoted(name);
                return fail(format!("invalid label name {name}"));
            }
        };
        let vector = self.eval_vector(&aggregate.inner, grid)?;
        let mut kept = aggregate.clone();
        if !aggregate.is_without {
            kept.labels.push(name.to_owned());
        }
        let projection = projection(&kept);
        let mut counted: Vec<Series> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        for series in vector {
            self.work(grid.count)?;
            for (step, cell) in series.cells().enumerate() {
                let value = match cell {
                    Cell::Float(value) => Plain(value).to_string(),
                    Cell::Histogram(histogram) => histogram.to_string(),
                    Cell::Nothing => continue,
                };
                let labels = projection.apply(&series.labels).with(name, &value);
                let next = counted.len();
                let place = *places.entry(labels.clone()).or_insert(next);
                if place == next {
                    self.hold(grid.count)?;
                    counted.push(Series::empty(labels, grid.count));
                }
                if let Some(count) = counted.get_mut(place) {
                    count.drop_name |= series.drop_name;
                    let before = match count.cell(step) {
                        Cell::Float(before) => before,
                        _ => 0.0,
                    };
                    count.set_float(step, before + 1.0);
                }
            }
        }
        Ok(counted)
    }
}

fn count(group: &Group, operation: Aggregation, grid: Grid) -> Series {
    let mut result = group.result(grid.count);
    let mut counts = vec![0.0; grid.count];
    for series in &group.members {
        for (count, cell) in counts.iter_mut().zip(series.cells()) {
            if cell.is_some() {
                *count += 1.0;
            }
        }
    }
    for (step, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        let value = if operation == Aggregation::Group {
            1.0
        } else {
            *count
        };
        result.set(step, Sample::Float(value));
    }
    result
}

/// Aggregations of floats only.
fn floats(group: &Group, operation: Aggregation, parameters: &[f64], grid: Grid) -> Series {
    let mut result = group.result(grid.count);
    for step in 0..grid.count {
        let mut values = group.floats(step).peekable();
        if values.peek().is_none() {
            continue;
        }
        let value = match operation {
            // What is no number gives way to any number.
            Aggregation::Min => values.fold(f64::NAN, f64::min),
            Aggregation::Max => values.fold(f64::NAN, f64::max),
            Aggregation::Stddev => over_time::variance(values).sqrt(),
            Aggregation::Stdvar => over_time::variance(values),
            _ => {
                let mut sorted: Vec<f64> = values.collect();
                over_time::sort_floats(&mut sorted);
                let share = parameters.get(step).copied().unwrap_or(f64::NAN);
                over_time::quantile_sorted(share, &sorted)
            }
        };
        result.set_float(step, value);
    }
    result
}

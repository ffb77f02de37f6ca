//! Aggregations that keep some series of each group as they are: `topk`, `bottomk`, `limitk`,
//! `limit_ratio`. Which ones may change with each step.

use std::cmp::Ordering;

use super::Grid;
use super::aggregate::Group;
use super::series::{Cell, Series};
use crate::promql::ast::Aggregation;

/// What was kept.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) series: Vec<Series>,
    /// Histograms had no place among floats.
    pub(super) has_ignored: bool,
}

/// Keeps some series of each group.
pub(super) fn choose(
    operation: Aggregation,
    groups: Vec<Group>,
    parameters: &[f64],
    grid: Grid,
) -> Chosen {
    let mut chosen = Chosen::default();
    for group in groups {
        choose_in(operation, &group.members, (parameters, grid), &mut chosen);
    }
    chosen
}

fn choose_in(
    operation: Aggregation,
    members: &[Series],
    (parameters, grid): (&[f64], Grid),
    chosen: &mut Chosen,
) {
    let empty = |series: &Series| {
        let mut kept = Series::empty(series.labels.clone(), series.len());
        kept.drop_name = series.drop_name;
        kept
    };
    let mut kept: Vec<Series> = members.iter().map(empty).collect();
    let mut order = Vec::new();
    for step in 0..grid.count {
        let parameter = parameters.get(step).copied().unwrap_or(0.0);
        order = match operation {
            Aggregation::Limitk => first(members, step, parameter),
            Aggregation::LimitRatio => sampled(members, step, parameter),
            _ => {
                let is_histogram =
                    |series: &Series| matches!(series.cell(step), Cell::Histogram(_));
                chosen.has_ignored |= members.iter().any(is_histogram);
                extremes(members, step, parameter, operation == Aggregation::Topk)
            }
        };
        for number in &order {
            if let (Some(kept), Some(member)) = (kept.get_mut(*number), members.get(*number)) {
                kept.copy(step, member.cell(step));
            }
        }
    }
    // At one time the order says which is the largest; over a range there is none.
    if grid.count == 1 {
        let take = |number: usize| {
            let series = kept.get_mut(number)?;
            let nothing = Series::empty(series.labels.clone(), 0);
            Some(std::mem::replace(series, nothing))
        };
        chosen.series.extend(order.into_iter().filter_map(take));
    } else {
        let filled = kept.into_iter().filter(|series| !series.is_empty());
        chosen.series.extend(filled);
    }
}

/// A number of series.
fn limit(parameter: f64, most: usize) -> usize {
    if parameter < 1.0 {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least one, and a cast of more than fits gives the largest"
    )]
    let limit = parameter as usize;
    limit.min(most)
}

fn first(members: &[Series], step: usize, parameter: f64) -> Vec<usize> {
    let present = members.iter().enumerate();
    let present = present.filter(|(_, series)| series.cell(step).is_some());
    let limit = limit(parameter, members.len());
    present.take(limit).map(|(number, _)| number).collect()
}

/// Series by their hashes, so that a ratio and its complement share none and leave none out.
fn sampled(members: &[Series], step: usize, ratio: f64) -> Vec<usize> {
    let is_sampled = |series: &Series| {
        let place = series.labels.stable_hash() as f64 / u64::MAX as f64;
        if ratio >= 1.0 || ratio <= -1.0 {
            true
        } else if ratio >= 0.0 {
            place < ratio
        } else {
            place >= 1.0 + ratio
        }
    };
    let members = members.iter().enumerate();
    let members = members.filter(|(_, series)| series.cell(step).is_some() && is_sampled(series));
    members.map(|(number, _)| number).collect()
}

/// The largest or smallest floats, NaN behind all numbers.
fn extremes(members: &[Series], step: usize, parameter: f64, wants_largest: bool) -> Vec<usize> {
    let floats = members.iter().enumerate();
    let mut floats: Vec<(usize, f64)> = floats
        .filter_map(|(number, series)| match series.cell(step) {
            Cell::Float(value) => Some((number, value)),
            _ => None,
        })
        .collect();
    let limit = limit(parameter, floats.len());
    let order = |one: &(usize, f64), other: &(usize, f64)| {
        one.1.is_nan().cmp(&other.1.is_nan()).then_with(|| {
            let order = one.1.partial_cmp(&other.1).unwrap_or(Ordering::Equal);
            let order = if wants_largest {
                order.reverse()
            } else {
                order
            };
            order.then(one.0.cmp(&other.0))
        })
    };
    if limit == 0 {
        return Vec::new();
    }
    if limit < floats.len() {
        floats.select_nth_unstable_by(limit - 1, order);
        floats.truncate(limit);
    }
    floats.sort_by(order);
    floats.into_iter().map(|(number, _)| number).collect()
}

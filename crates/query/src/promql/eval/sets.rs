//! `and`, `or` and `unless`: series by whether the other side has their match at a step.

use super::series::Series;
use super::{Evaluation, Evaluator, Grid, fail};
use crate::labels::{Groups, Projection};
use crate::promql::ast::{Binary, Matching, Operator};

/// The labels by which series of both sides match.
pub(super) fn projection(matching: &Matching) -> Projection {
    if matching.is_on {
        Projection::on(&matching.labels)
    } else {
        Projection::without(&matching.labels)
    }
}

/// Groups of series, and at which steps a group has something.
struct Presence<'a> {
    groups: Groups<'a>,
    /// Per group, per step.
    steps: Vec<Vec<bool>>,
}

impl<'a> Presence<'a> {
    fn of(series: &[Series], projection: &'a Projection, count: usize) -> Presence<'a> {
        let mut presence = Presence {
            groups: Groups::new(projection),
            steps: Vec::new(),
        };
        for one in series {
            let (group, is_new) = presence.groups.number(&one.labels);
            if is_new {
                presence.steps.push(vec![false; count]);
            }
            if let Some(steps) = presence.steps.get_mut(group) {
                for (is_present, cell) in steps.iter_mut().zip(one.cells()) {
                    *is_present |= cell.is_some();
                }
            }
        }
        presence
    }

    /// Removes what of a series stands at steps where its group is, or is not, present.
    fn keep(&mut self, series: &mut Series, where_present: bool) {
        let (group, is_new) = self.groups.number(&series.labels);
        if is_new {
            self.steps.push(vec![false; series.len()]);
        }
        let Some(steps) = self.steps.get(group) else {
            return;
        };
        for (step, is_present) in steps.iter().enumerate() {
            if *is_present != where_present {
                series.clear(step);
            }
        }
    }
}

impl Evaluator<'_> {
    pub(super) fn set(
        &self,
        binary: &Binary,
        mut left: Vec<Series>,
        mut right: Vec<Series>,
        grid: Grid,
    ) -> Evaluation<Vec<Series>> {
        let projection = projection(&binary.matching);
        self.work(grid.count.saturating_mul(left.len() + right.len()))?;
        if binary.operator == Operator::Or {
            let mut presence = Presence::of(&left, &projection, grid.count);
            for series in &mut right {
                presence.keep(series, false);
            }
            right.retain(|series| !series.is_empty());
            left.append(&mut right);
            // What is on the left was removed from the right, so that nothing overlaps.
            return match super::series::joined(left) {
                Some(joined) => Ok(joined),
                None => fail(super::names::SAME_LABELS),
            };
        }
        let mut presence = Presence::of(&right, &projection, grid.count);
        for series in &mut left {
            presence.keep(series, binary.operator == Operator::And);
        }
        left.retain(|series| !series.is_empty());
        Ok(left)
    }
}

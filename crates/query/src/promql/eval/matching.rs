//! Operators between series of two sides: which series find one another, at which step, and what
//! their result is called.

use std::collections::HashMap;

use super::binary::{Joined, Seen, float_comparison, float_function, operate};
use super::series::{ABSENT, Cell, Series, is_absent, joined};
use super::sets::projection;
use super::{Evaluation, Evaluator, Grid, fail};
use crate::labels::{Groups, Labels, Projection, is_metadata};
use crate::promql::ast::{Binary, Many, Operator};

/// The two sides: on one of them only one series of a group may have something at a step.
struct Sides {
    many: Vec<Series>,
    one: Vec<Series>,
    /// Whether the side with many is written on the right.
    is_swapped: bool,
    fill_many: Option<f64>,
    fill_one: Option<f64>,
}

/// The series of a group, by their numbers.
#[derive(Debug, Default, Clone)]
struct Group {
    many: Vec<usize>,
    one: Vec<usize>,
}

/// What a result is made of: a series of each side, none where a number stands for it.
type Pair = (Option<usize>, Option<usize>);

/// Collects results by what they are made of.
struct Results<'a> {
    evaluator: &'a Evaluator<'a>,
    binary: &'a Binary,
    sides: &'a Sides,
    projection: &'a Projection,
    series: Vec<Series>,
    places: HashMap<Pair, usize>,
    seen: Seen,
    steps: usize,
}

impl Evaluator<'_> {
    pub(super) fn matched(
        &self,
        binary: &Binary,
        position: usize,
        (left, right): (Vec<Series>, Vec<Series>),
        grid: Grid,
    ) -> Evaluation<Vec<Series>> {
        let matching = &binary.matching;
        let is_swapped = matching.many == Many::Right;
        let (many, one) = if is_swapped {
            (right, left)
        } else {
            (left, right)
        };
        // Which side a value is for is said as if the many stood on the left.
        let sides = Sides {
            many,
            one,
            is_swapped,
            fill_many: matching.fill_left,
            fill_one: matching.fill_right,
        };
        let projection = projection(matching);
        let groups = groups(&sides, &projection);
        let mut results = Results {
            evaluator: self,
            binary,
            sides: &sides,
            projection: &projection,
            series: Vec::new(),
            places: HashMap::new(),
            seen: Seen::default(),
            steps: grid.count,
        };
        // A step at which one side has nothing at all has no result, and no error.
        let active = active_steps(&sides, grid.count);
        for group in &groups {
            self.work(
                grid.count
                    .saturating_mul(group.many.len() + group.one.len()),
            )?;
            results.group(group, &active)?;
        }
        let seen = results.seen;
        let series = results.finish()?;
        self.tell(&seen, binary.operator, position);
        Ok(series)
    }
}

fn groups(sides: &Sides, projection: &Projection) -> Vec<Group> {
    let mut numbers = Groups::new(projection);
    let mut groups: Vec<Group> = Vec::new();
    for (is_many, side) in [(true, &sides.many), (false, &sides.one)] {
        for (place, series) in side.iter().enumerate() {
            let (number, is_new) = numbers.number(&series.labels);
            if is_new {
                groups.push(Group::default());
            }
            if let Some(group) = groups.get_mut(number) {
                let list = if is_many {
                    &mut group.many
                } else {
                    &mut group.one
                };
                list.push(place);
            }
        }
    }
    groups
}

fn active_steps(sides: &Sides, count: usize) -> Vec<bool> {
    let mut many = vec![sides.fill_many.is_some(); count];
    let mut one = vec![sides.fill_one.is_some(); count];
    for (present, side) in [(&mut many, &sides.many), (&mut one, &sides.one)] {
        for series in side {
            for (is_present, cell) in present.iter_mut().zip(series.cells()) {
                *is_present |= cell.is_some();
            }
        }
    }
    many.iter()
        .zip(one)
        .map(|(many, one)| *many && one)
        .collect()
}

impl Results<'_> {
    fn group(&mut self, group: &Group, active: &[bool]) -> Evaluation<()> {
        let has_fill = self.sides.fill_many.is_some() || self.sides.fill_one.is_some();
        // With one series on the one side and no doubt about the other nothing can go wrong at any
        // step.
        let is_clear = self.binary.matching.many != Many::None || group.many.len() == 1;
        if let [one] = group.one.as_slice()
            && !has_fill
            && is_clear
            && self.are_plain(group)
        {
            for many in &group.many {
                self.evaluator.hold(self.steps)?;
                self.fast(*many, *one);
            }
            return Ok(());
        }
        let mut room = Group::default();
        for (step, _) in active.iter().enumerate().filter(|(_, active)| **active) {
            self.step(group, step, &mut room)?;
        }
        Ok(())
    }

    /// Whether there are floats only, and an operator for them.
    fn are_plain(&self, group: &Group) -> bool {
        let has_histograms = |side: &[Series], numbers: &[usize]| {
            let mut series = numbers.iter().filter_map(|number| side.get(*number));
            series.any(Series::has_histograms)
        };
        let operator = self.binary.operator;
        !matches!(operator, Operator::TrimAbove | Operator::TrimBelow)
            && !has_histograms(&self.sides.many, &group.many)
            && !has_histograms(&self.sides.one, &group.one)
    }

    /// Two series of floats, column by column.
    fn fast(&mut self, many: usize, one: usize) {
        let (Some(left), Some(right)) = (self.sides.many.get(many), self.sides.one.get(one)) else {
            return;
        };
        let operator = self.binary.operator;
        let is_swapped = self.sides.is_swapped;
        let returns_bool = self.binary.returns_bool;
        let holds = float_comparison(operator);
        let function = float_function(operator);
        let is_comparison = operator.is_comparison();
        let value = |(many, one): (&f64, &f64)| {
            if is_absent(*many) || is_absent(*one) {
                return ABSENT;
            }
            let (left, right) = if is_swapped {
                (*one, *many)
            } else {
                (*many, *one)
            };
            if !is_comparison {
                return function(left, right);
            }
            match (holds(left, right), returns_bool) {
                (holds, true) => f64::from(u8::from(holds)),
                (true, false) => left,
                (false, false) => ABSENT,
            }
        };
        let values: Vec<f64> = left.values.iter().zip(&right.values).map(value).collect();
        let mut series = Series::floats(self.labels((Some(many), Some(one))), values);
        series.drop_name = self.drops_name((Some(many), Some(one)));
        self.series.push(series);
    }

    /// All pairs of a group at a step; `now` is room for those series that have something.
    fn step(&mut self, group: &Group, step: usize, now: &mut Group) -> Evaluation<()> {
        let sides = self.sides;
        let present = |side: &[Series], numbers: &[usize], now: &mut Vec<usize>| {
            let is_present = |number: &usize| {
                let series = side.get(*number);
                series.is_some_and(|series| series.cell(step).is_some())
            };
            now.clear();
            now.extend(numbers.iter().copied().filter(is_present));
        };
        present(&sides.many, &group.many, &mut now.many);
        present(&sides.one, &group.one, &mut now.one);
        if let [first, second, ..] = now.one.as_slice() {
            return self.duplicate(*first, *second);
        }
        let one = now.one.first().copied();
        if one.is_none() && sides.fill_one.is_none() {
            return Ok(());
        }
        if self.binary.matching.many == Many::None && now.many.len() > 1 {
            return fail(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
            );
        }
        if now.many.is_empty() && one.is_some() && sides.fill_many.is_some() {
            self.join((None, one), step)?;
        }
        for number in &now.many {
            self.join((Some(*number), one), step)?;
        }
        Ok(())
    }

    /// Two series on the side with one.
    fn duplicate(&self, first: usize, second: usize) -> Evaluation<()> {
        let labels = |number: usize| {
            let series = self.sides.one.get(number);
            series.map_or_else(Labels::none, |series| series.labels.clone())
        };
        let mut both = [labels(first), labels(second)];
        both.sort();
        let [one, other] = both;
        let group = self.projection.apply(&one);
        let side = if self.sides.is_swapped {
            "left"
        } else {
            "right"
        };
        fail(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{one}, {other}];many-to-many matching not allowed: matching labels must be unique on one side"
        ))
    }

    /// The result of a pair at a step.
    fn join(&mut self, pair: Pair, step: usize) -> Evaluation<()> {
        let sides = self.sides;
        let (Some(many), Some(one)) = (
            cell(&sides.many, pair.0, sides.fill_many, step),
            cell(&sides.one, pair.1, sides.fill_one, step),
        ) else {
            return Ok(());
        };
        let (left, right) = if sides.is_swapped {
            (one, many)
        } else {
            (many, one)
        };
        let result = operate(self.binary.operator, left, right, &mut self.seen);
        let returns_bool = self.binary.returns_bool;
        let Some(series) = self.result(pair)? else {
            return Ok(());
        };
        match result {
            Joined::Value(sample) => series.set(step, sample),
            Joined::Holds(holds) if returns_bool => {
                series.set_float(step, f64::from(u8::from(holds)));
            }
            Joined::Holds(true) => series.copy(step, left),
            Joined::Holds(false) | Joined::Incompatible => {}
        }
        Ok(())
    }

    /// The result series of a pair.
    fn result(&mut self, pair: Pair) -> Evaluation<Option<&mut Series>> {
        let next = self.series.len();
        let place = *self.places.entry(pair).or_insert(next);
        if place == next {
            self.evaluator.hold(self.steps)?;
            let mut series = Series::empty(self.labels(pair), self.steps);
            series.drop_name = self.drops_name(pair);
            self.series.push(series);
        }
        Ok(self.series.get_mut(place))
    }

    fn drops_name(&self, (many, one): Pair) -> bool {
        let drops = |side: &[Series], number: Option<usize>| {
            let series = number.and_then(|number| side.get(number));
            series.is_some_and(|series| series.drop_name)
        };
        // The name is the left side's, if it is kept at all.
        let is_dropped = if self.sides.is_swapped {
            drops(&self.sides.many, many)
        } else {
            drops(&self.sides.many, many) || many.is_none() && drops(&self.sides.one, one)
        };
        is_dropped || self.binary.returns_bool
    }

    /// What the result of a pair is called.
    fn labels(&self, (many, one): Pair) -> Labels {
        let labels = |side: &[Series], number: Option<usize>| {
            let series = number.and_then(|number| side.get(number));
            series.map(|series| series.labels.clone())
        };
        let one_labels = labels(&self.sides.one, one);
        let many_labels = labels(&self.sides.many, many);
        // Of a missing series the labels are known by which it would have matched.
        let group = |other: &Option<Labels>| {
            let other = other.as_ref();
            other.map_or_else(Labels::none, |other| self.projection.apply(other))
        };
        let mut result = many_labels.clone().unwrap_or_else(|| group(&one_labels));
        let matching = &self.binary.matching;
        if self.binary.operator.changes_meaning() {
            result = result.filtered(|name| !is_metadata(name));
        }
        if matching.many == Many::None {
            let is_named = |name: &str| matching.labels.iter().any(|own| own == name);
            result = result.filtered(|name| is_named(name) == matching.is_on);
        }
        let one_labels = one_labels.unwrap_or_else(|| group(&many_labels));
        for name in &matching.include {
            result = result.with(name, one_labels.get(name));
        }
        result
    }

    fn finish(self) -> Evaluation<Vec<Series>> {
        let mut series = self.series;
        series.retain(|one| !one.is_empty());
        match joined(series) {
            Some(joined) => Ok(joined),
            None if self.binary.matching.many == Many::None => fail(super::names::SAME_LABELS),
            None => fail("multiple matches for labels: grouping labels must ensure unique matches"),
        }
    }
}

/// What a series has at a step, or the number that stands for a missing one.
fn cell(
    side: &[Series],
    number: Option<usize>,
    fill: Option<f64>,
    step: usize,
) -> Option<Cell<'_>> {
    match number {
        Some(number) => Some(side.get(number)?.cell(step)),
        None => fill.map(Cell::Float),
    }
}

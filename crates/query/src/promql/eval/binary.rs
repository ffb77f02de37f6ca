//! Operators: between numbers, between series and a number, and what one does to two samples.

use std::sync::Arc;

use super::series::{ABSENT, Cell, Series, is_absent};
use super::{Evaluated, Evaluation, Evaluator, Grid, fail};
use crate::histogram::Histogram;
use crate::promql::ast::{Binary, Expression, Node, Operator};
use crate::promql::value::Sample;

/// What an operator makes of two samples.
#[derive(Debug)]
pub(super) enum Joined {
    /// A value.
    Value(Sample),
    /// A comparison: whether it holds.
    Holds(bool),
    /// There is no such operation for these samples.
    Incompatible,
}

/// What joining histograms has shown.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Seen {
    /// The kinds of two samples that cannot be joined.
    pub(super) incompatible: Option<(&'static str, &'static str)>,
    pub(super) is_reconciled: bool,
    pub(super) has_conflict: bool,
    pub(super) has_mixed_schemas: bool,
}

/// The function of two floats; comparisons give 1 and 0.
pub(super) fn float_function(operator: Operator) -> fn(f64, f64) -> f64 {
    match operator {
        Operator::Add => |left, right| left + right,
        Operator::Subtract => |left, right| left - right,
        Operator::Multiply => |left, right| left * right,
        Operator::Divide => |left, right| left / right,
        Operator::Modulo => |left, right| left % right,
        Operator::Power => f64::powf,
        Operator::Atan2 => f64::atan2,
        _ => |_, _| f64::NAN,
    }
}

#[expect(clippy::float_cmp, reason = "the language's operators compare exactly")]
pub(super) fn float_comparison(operator: Operator) -> fn(f64, f64) -> bool {
    match operator {
        Operator::Equal => |left, right| left == right,
        Operator::NotEqual => |left, right| left != right,
        Operator::Less => |left, right| left < right,
        Operator::LessOrEqual => |left, right| left <= right,
        Operator::Greater => |left, right| left > right,
        _ => |left, right| left >= right,
    }
}

/// What an operator makes of two samples.
pub(super) fn operate(
    operator: Operator,
    left: Cell<'_>,
    right: Cell<'_>,
    seen: &mut Seen,
) -> Joined {
    let result = match (left, right) {
        (Cell::Float(left), Cell::Float(right)) if operator.is_comparison() => {
            Joined::Holds(float_comparison(operator)(left, right))
        }
        (Cell::Float(left), Cell::Float(right))
            if !matches!(operator, Operator::TrimAbove | Operator::TrimBelow) =>
        {
            Joined::Value(Sample::Float(float_function(operator)(left, right)))
        }
        (Cell::Float(factor), Cell::Histogram(histogram)) if operator == Operator::Multiply => {
            changed(histogram, |histogram| histogram.scale(factor))
        }
        (Cell::Histogram(histogram), Cell::Float(number)) => match operator {
            Operator::Multiply => changed(histogram, |histogram| histogram.scale(number)),
            Operator::Divide => changed(histogram, |histogram| histogram.divide(number)),
            Operator::TrimAbove => changed(histogram, |histogram| {
                *histogram = histogram.trimmed_above(number);
            }),
            Operator::TrimBelow => changed(histogram, |histogram| {
                *histogram = histogram.trimmed_below(number);
            }),
            _ => Joined::Incompatible,
        },
        (Cell::Histogram(left), Cell::Histogram(right)) => joined(operator, left, right, seen),
        _ => Joined::Incompatible,
    };
    let kind = |cell: Cell<'_>| match cell {
        Cell::Histogram(_) => "histogram",
        _ => "float",
    };
    if matches!(result, Joined::Incompatible) && !seen.has_mixed_schemas {
        seen.incompatible = Some((kind(left), kind(right)));
    }
    result
}

fn changed(histogram: &Histogram, change: impl FnOnce(&mut Histogram)) -> Joined {
    let mut histogram = histogram.clone();
    change(&mut histogram);
    Joined::Value(Sample::Histogram(Arc::new(histogram)))
}

fn joined(operator: Operator, left: &Histogram, right: &Histogram, seen: &mut Seen) -> Joined {
    let mut result = left.clone();
    let outcome = match operator {
        Operator::Add => result.add(right),
        Operator::Subtract => {
            let outcome = result.subtract(right);
            result.make_gauge();
            outcome
        }
        Operator::Equal => return Joined::Holds(left == right),
        Operator::NotEqual => return Joined::Holds(left != right),
        _ => return Joined::Incompatible,
    };
    match outcome {
        Ok(joined) => {
            seen.is_reconciled |= joined.has_reconciled_bounds;
            seen.has_conflict |= joined.has_reset_conflict;
            Joined::Value(Sample::Histogram(Arc::new(result)))
        }
        Err(_) => {
            seen.has_mixed_schemas = true;
            Joined::Incompatible
        }
    }
}

impl Evaluator<'_> {
    /// Operators one behind the other, as long as each stands on the left of the next: a long chain
    /// needs no deep stack.
    pub(super) fn chain(&self, expression: &Expression, grid: Grid) -> Evaluation<Evaluated> {
        let mut chain = Vec::new();
        let mut first = expression;
        while let Node::Binary(binary) = &first.node {
            chain.push((binary, first.span.start));
            first = &binary.left;
        }
        let mut value = self.eval(first, grid)?;
        for (binary, position) in chain.into_iter().rev() {
            value = self.binary(binary, position, value, grid)?;
        }
        Ok(value)
    }

    fn binary(
        &self,
        binary: &Binary,
        position: usize,
        left: Evaluated,
        grid: Grid,
    ) -> Evaluation<Evaluated> {
        let right = self.eval(&binary.right, grid)?;
        self.work(grid.count)?;
        match (left, right) {
            (Evaluated::Scalar(left), Evaluated::Scalar(right)) => {
                let values = left.into_iter().zip(right);
                let operator = binary.operator;
                let values = if operator.is_comparison() {
                    let holds = float_comparison(operator);
                    let number = |(left, right)| f64::from(u8::from(holds(left, right)));
                    values.map(number).collect()
                } else {
                    let function = float_function(operator);
                    values.map(|(left, right)| function(left, right)).collect()
                };
                Ok(Evaluated::Scalar(values))
            }
            (Evaluated::Vector(vector), Evaluated::Scalar(numbers)) => self
                .with_numbers(binary, position, vector, (&numbers, false))
                .map(Evaluated::Vector),
            (Evaluated::Scalar(numbers), Evaluated::Vector(vector)) => self
                .with_numbers(binary, position, vector, (&numbers, true))
                .map(Evaluated::Vector),
            (Evaluated::Vector(left), Evaluated::Vector(right)) => {
                let series = if binary.operator.is_set() {
                    self.set(binary, left, right, grid)?
                } else {
                    self.matched(binary, position, (left, right), grid)?
                };
                Ok(Evaluated::Vector(series))
            }
            _ => fail("binary expression must contain only scalar and instant vector types"),
        }
    }

    /// Series with a number per step; `is_left` says that the numbers stand on the left.
    fn with_numbers(
        &self,
        binary: &Binary,
        position: usize,
        mut vector: Vec<Series>,
        (numbers, is_left): (&[f64], bool),
    ) -> Evaluation<Vec<Series>> {
        let operator = binary.operator;
        let mut seen = Seen::default();
        for series in &mut vector {
            self.work(series.len())?;
            series.drop_name |= operator.changes_meaning() || binary.returns_bool;
            if series.has_histograms() {
                *series = mixed_with_numbers(binary, series, (numbers, is_left), &mut seen);
                continue;
            }
            let values = series.values.iter_mut().zip(numbers);
            let values = values.filter(|(value, _)| !is_absent(**value));
            let order = |value: f64, number: f64| {
                if is_left {
                    (number, value)
                } else {
                    (value, number)
                }
            };
            if operator.is_comparison() {
                let holds = float_comparison(operator);
                for (value, number) in values {
                    let (left, right) = order(*value, *number);
                    let holds = holds(left, right);
                    if binary.returns_bool {
                        *value = f64::from(u8::from(holds));
                    } else if !holds {
                        *value = ABSENT;
                    }
                }
            } else if matches!(operator, Operator::TrimAbove | Operator::TrimBelow) {
                for (value, _) in values {
                    *value = ABSENT;
                    seen.incompatible = Some(("float", "float"));
                }
            } else {
                let function = float_function(operator);
                for (value, number) in values {
                    let (left, right) = order(*value, *number);
                    *value = function(left, right);
                }
            }
        }
        vector.retain(|series| !series.is_empty());
        self.tell(&seen, operator, position);
        Ok(vector)
    }

    /// Tells the user what joining samples has shown.
    pub(super) fn tell(&self, seen: &Seen, operator: Operator, position: usize) {
        let step = if operator == Operator::Add {
            "addition"
        } else {
            "subtraction"
        };
        if let Some((left, right)) = seen.incompatible {
            let operator = operator.text();
            let message = format!(
                "incompatible sample types encountered for binary operator {operator:?}: {left} {operator} {right}"
            );
            self.inform(position, &message);
        }
        if seen.is_reconciled {
            let message = format!("mismatched custom buckets were reconciled during {step}");
            self.inform(position, &message);
        }
        if seen.has_conflict {
            let message = format!("conflicting counter resets during histogram {step}");
            self.warn(position, &message);
        }
        if seen.has_mixed_schemas {
            self.warn_mixed_schemas(position, "");
        }
    }
}

fn mixed_with_numbers(
    binary: &Binary,
    series: &Series,
    (numbers, is_left): (&[f64], bool),
    seen: &mut Seen,
) -> Series {
    let mut result = Series::empty(series.labels.clone(), series.len());
    result.drop_name = series.drop_name;
    for (step, (cell, number)) in series.cells().zip(numbers).enumerate() {
        if !cell.is_some() {
            continue;
        }
        let number = Cell::Float(*number);
        let (left, right) = if is_left {
            (number, cell)
        } else {
            (cell, number)
        };
        match operate(binary.operator, left, right, seen) {
            Joined::Value(sample) => result.set(step, sample),
            Joined::Holds(holds) if binary.returns_bool => {
                result.set_float(step, f64::from(u8::from(holds)));
            }
            Joined::Holds(true) => result.copy(step, cell),
            Joined::Holds(false) | Joined::Incompatible => {}
        }
    }
    result
}

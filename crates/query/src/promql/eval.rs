//! Evaluation: each part of an expression over all steps at once, one column of values per series.

mod aggregate;
mod binary;
mod call;
mod choose;
mod classic;
mod dates;
mod extended;
mod histograms;
mod info;
mod instant;
mod matching;
mod math;
mod names;
mod over_time;
mod rate;
mod relabel;
mod select;
mod series;
mod sets;
mod trend;
mod window;

use std::cell::RefCell;

use self::series::Series;
use super::annotations::Annotations;
use super::ast::{At, Duration, Expression, Moment, Node, Type};
use super::engine::{Context, Interruption, Outcome, QueryError, STEPS_MAX};
use super::parser::type_of;
use super::value::{Sample, Value};

/// The query's own times, in milliseconds; what `start()` and `step()` mean, also in subqueries.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "units stand last")]
pub(super) struct Times {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) step_ms: i64,
}

/// Times at which something is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    start_ms: i64,
    step_ms: i64,
    /// How many there are.
    pub(super) count: usize,
}

impl Grid {
    /// From one time to another.
    pub(super) fn between(start_ms: i64, end_ms: i64, step_ms: i64) -> Grid {
        let steps = end_ms.saturating_sub(start_ms) / step_ms.max(1);
        let count = if end_ms < start_ms {
            0
        } else {
            usize::try_from(steps).unwrap_or(usize::MAX - 1) + 1
        };
        Grid {
            start_ms,
            step_ms,
            count,
        }
    }

    fn one(time_ms: i64) -> Grid {
        Grid {
            start_ms: time_ms,
            step_ms: 1,
            count: 1,
        }
    }

    fn time(&self, step: usize) -> i64 {
        let steps = i64::try_from(step).unwrap_or(i64::MAX);
        self.start_ms
            .saturating_add(self.step_ms.saturating_mul(steps))
    }

    fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |step| self.time(step))
    }
}

/// What a part of an expression gives over a grid.
#[derive(Debug, Clone)]
enum Evaluated {
    /// A number per step.
    Scalar(Vec<f64>),
    Text(Vec<u8>),
    Vector(Vec<Series>),
}

/// What changes while a query runs.
#[derive(Debug, Default)]
struct State {
    annotations: Annotations,
    samples: usize,
    /// Work since it was last asked whether to stop.
    work: usize,
    /// Whether only counts and sums of histograms are wanted. Then resets are told from sample to
    /// sample, and not only as the store knows them.
    wants_counts: bool,
}

/// After so many values it is asked whether to stop.
const WORK_MAX: usize = 1 << 16;

type Evaluation<T> = Result<T, QueryError>;

pub(super) struct Evaluator<'a> {
    text: &'a str,
    context: Context<'a>,
    times: Times,
    state: RefCell<State>,
}

/// An error of evaluation.
fn fail<T>(message: impl Into<String>) -> Evaluation<T> {
    Err(QueryError::Execution(message.into()))
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(text: &'a str, context: Context<'a>, times: Times) -> Evaluator<'a> {
        Evaluator {
            text,
            context,
            times,
            state: RefCell::default(),
        }
    }

    pub(super) fn finish(self, value: Value) -> Outcome {
        let state = self.state.into_inner();
        Outcome {
            value,
            annotations: state.annotations,
            samples: state.samples,
        }
    }

    fn warn(&self, at: usize, message: &str) {
        let mut state = self.state.borrow_mut();
        state.annotations.warn(self.text, at, message);
    }

    fn inform(&self, at: usize, message: &str) {
        let mut state = self.state.borrow_mut();
        state.annotations.inform(self.text, at, message);
    }

    /// Evaluates a part of which only counts and sums of histograms are wanted, or all of them.
    fn wanting<T>(
        &self,
        wants_counts: bool,
        evaluate: impl FnOnce() -> Evaluation<T>,
    ) -> Evaluation<T> {
        let before = self.state.borrow().wants_counts;
        self.state.borrow_mut().wants_counts = wants_counts;
        let result = evaluate();
        self.state.borrow_mut().wants_counts = before;
        result
    }

    /// Counts samples that are held from now on.
    fn hold(&self, samples: usize) -> Evaluation<()> {
        let mut state = self.state.borrow_mut();
        state.samples = state.samples.saturating_add(samples);
        if state.samples > self.context.options.samples_max {
            return Err(QueryError::TooManySamples(self.context.options.samples_max));
        }
        Ok(())
    }

    /// Counts work, and asks now and then whether to stop.
    fn work(&self, values: usize) -> Evaluation<()> {
        let mut state = self.state.borrow_mut();
        state.work = state.work.saturating_add(values.max(1));
        if state.work < WORK_MAX {
            return Ok(());
        }
        state.work = 0;
        match (self.context.interrupt)() {
            None => Ok(()),
            Some(Interruption::Timeout) => Err(QueryError::Timeout),
            Some(Interruption::Canceled) => Err(QueryError::Canceled),
        }
    }

    /// Milliseconds of a duration.
    fn duration(&self, duration: &Duration) -> Evaluation<i64> {
        match duration {
            Duration::Literal(milliseconds) => Ok(*milliseconds),
            Duration::Computed(node, _) => {
                let range = self.times.end_ms.saturating_sub(self.times.start_ms);
                node.milliseconds(self.times.step_ms, range)
                    .map_err(QueryError::Execution)
            }
        }
    }

    /// Milliseconds of a range or step, which is more than nothing.
    fn positive(&self, duration: &Duration) -> Evaluation<i64> {
        let milliseconds = self.duration(duration)?;
        if milliseconds > 0 {
            return Ok(milliseconds);
        }
        fail("duration must be greater than 0")
    }

    /// The fixed time of a selector and its offset.
    fn moment(&self, moment: &Moment) -> Evaluation<(Option<i64>, i64)> {
        let at = moment.at.map(|at| match at {
            At::Time(milliseconds) => milliseconds,
            At::Start => self.times.start_ms,
            At::End => self.times.end_ms,
        });
        let offset = moment.offset.as_ref().map(|offset| self.duration(offset));
        Ok((at, offset.transpose()?.unwrap_or(0)))
    }

    /// Evaluates at one time.
    pub(super) fn instant(&self, expression: &Expression, time_ms: i64) -> Evaluation<Value> {
        let grid = Grid::one(time_ms);
        if type_of(expression) == Type::Matrix {
            let input = self.window_input(expression, grid)?;
            return self.matrix(&input).map(Value::Matrix);
        }
        Ok(match self.eval(expression, grid)? {
            Evaluated::Scalar(values) => {
                Value::Scalar(time_ms, values.first().copied().unwrap_or(f64::NAN))
            }
            Evaluated::Text(text) => {
                Value::Text(time_ms, String::from_utf8_lossy(&text).into_owned())
            }
            Evaluated::Vector(series) => Value::Vector(names::vector(series, time_ms)?),
        })
    }

    /// Evaluates over a grid.
    pub(super) fn range(&self, expression: &Expression, grid: Grid) -> Evaluation<Value> {
        let series = match self.eval(expression, grid)? {
            Evaluated::Scalar(values) => {
                vec![Series::floats(crate::labels::Labels::none(), values)]
            }
            Evaluated::Vector(series) => series,
            Evaluated::Text(_) => return fail("a string has no range"),
        };
        Ok(Value::Matrix(names::matrix(series, grid)?))
    }

    /// Evaluates a part over a grid.
    fn eval(&self, expression: &Expression, grid: Grid) -> Evaluation<Evaluated> {
        // Within a subquery there may be any number of steps, also for plain numbers.
        if grid.count > STEPS_MAX {
            self.hold(grid.count)?;
        }
        let is_literal = matches!(expression.node, Node::Number(_) | Node::Text(_));
        if grid.count > 1 && !is_literal && is_invariant(expression) {
            let once = self.eval_node(expression, Grid::one(grid.start_ms))?;
            return self.repeat(once, grid.count);
        }
        self.eval_node(expression, grid)
    }

    fn eval_node(&self, expression: &Expression, grid: Grid) -> Evaluation<Evaluated> {
        match &expression.node {
            Node::Number(number) => Ok(Evaluated::Scalar(vec![number.value; grid.count])),
            Node::Text(text) => Ok(Evaluated::Text(text.clone())),
            Node::Vector(selector) => {
                let series = self.instant_vector(selector, expression.span.start, grid)?;
                Ok(Evaluated::Vector(series))
            }
            Node::Matrix(..) | Node::Subquery(_) => fail("a range has no single value"),
            Node::Parenthesized(inner) => self.eval(inner, grid),
            Node::Unary { negates, inner } => {
                let value = self.eval(inner, grid)?;
                if *negates {
                    self.negate(value)
                } else {
                    Ok(value)
                }
            }
            Node::Binary(_) => self.chain(expression, grid),
            Node::Call(call) => self.call(call, expression.span.start, grid),
            Node::Aggregate(aggregate) => self
                .aggregate(aggregate, expression.span.start, grid)
                .map(Evaluated::Vector),
        }
    }

    fn negate(&self, value: Evaluated) -> Evaluation<Evaluated> {
        match value {
            Evaluated::Scalar(values) => Ok(Evaluated::Scalar(
                values.into_iter().map(|value| -value).collect(),
            )),
            Evaluated::Vector(mut series) => {
                for one in &mut series {
                    self.work(one.len())?;
                    one.drop_name = true;
                    one.map_floats(|value| -value);
                    one.map_histograms(|histogram| histogram.scale(-1.0));
                }
                Ok(Evaluated::Vector(series))
            }
            Evaluated::Text(_) => fail("a string has no sign"),
        }
    }

    /// What is the same at each step, at each step.
    fn repeat(&self, once: Evaluated, count: usize) -> Evaluation<Evaluated> {
        Ok(match once {
            Evaluated::Scalar(values) => {
                let value = values.first().copied().unwrap_or(f64::NAN);
                Evaluated::Scalar(vec![value; count])
            }
            Evaluated::Vector(series) => {
                self.hold(series.len().saturating_mul(count))?;
                let repeated = series.iter().map(|one| one.repeated(count));
                Evaluated::Vector(repeated.collect())
            }
            text @ Evaluated::Text(_) => text,
        })
    }

    fn eval_vector(&self, expression: &Expression, grid: Grid) -> Evaluation<Vec<Series>> {
        match self.eval(expression, grid)? {
            Evaluated::Vector(series) => Ok(series),
            _ => fail("expected an instant vector"),
        }
    }

    fn eval_scalar(&self, expression: &Expression, grid: Grid) -> Evaluation<Vec<f64>> {
        match self.eval(expression, grid)? {
            Evaluated::Scalar(values) => Ok(values),
            _ => fail("expected a scalar"),
        }
    }
}

/// The text of an expression that is one, with brackets round it or without.
fn text_of(expression: &Expression) -> &[u8] {
    match &expression.node {
        Node::Text(text) => text,
        Node::Parenthesized(inner) => text_of(inner),
        _ => &[],
    }
}

/// Functions that depend on when they are evaluated, whatever their arguments are.
const TIMELY: [&str; 12] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "start_timestamp",
    "time",
    "timestamp",
    "year",
];

/// Whether an expression is the same at each step.
fn is_invariant(expression: &Expression) -> bool {
    match &expression.node {
        Node::Number(_) | Node::Text(_) => true,
        Node::Vector(selector) | Node::Matrix(selector, _) => selector.moment.at.is_some(),
        Node::Subquery(subquery) => subquery.moment.at.is_some(),
        Node::Unary { inner, .. } | Node::Parenthesized(inner) => is_invariant(inner),
        Node::Binary(binary) => is_invariant(&binary.left) && is_invariant(&binary.right),
        Node::Call(call) if call.function.name == "info" => {
            call.arguments.first().is_some_and(is_invariant)
        }
        Node::Call(call) => {
            !TIMELY.contains(&call.function.name) && call.arguments.iter().all(is_invariant)
        }
        Node::Aggregate(aggregate) => {
            is_invariant(&aggregate.inner) && aggregate.parameter.as_ref().is_none_or(is_invariant)
        }
    }
}

/// A selector that stands in brackets or by itself.
fn selector_of(expression: &Expression) -> Option<&super::ast::Selector> {
    match &expression.node {
        Node::Vector(selector) => Some(selector),
        Node::Parenthesized(inner) => selector_of(inner),
        _ => None,
    }
}

/// An expression without brackets round it.
fn bare(expression: &Expression) -> &Expression {
    match &expression.node {
        Node::Parenthesized(inner) => bare(inner),
        _ => expression,
    }
}

impl From<f64> for Sample {
    fn from(value: f64) -> Sample {
        Sample::Float(value)
    }
}

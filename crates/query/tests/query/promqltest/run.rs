//! Runs the commands of a file against a door to queries, and collects what is not as expected.

use query::labels::Labels;
use query::promql::engine::{Outcome, QueryError};
use query::promql::value::{Sample, Value, VectorSample};

use super::compare;
use super::pinned::pinned;
use super::script::{Command, Eval, Kind, Load, When};

/// Where commands are sent.
pub(crate) trait Door {
    /// Forgets all series.
    fn clear(&mut self);
    /// Stores series.
    fn load(&mut self, load: &Load);
    /// Evaluates at a time.
    fn instant(&self, text: &str, time_ms: i64) -> Result<Outcome, QueryError>;
    /// Evaluates from a time to another, with a step.
    fn range(&self, text: &str, times: (i64, i64, i64)) -> Result<Outcome, QueryError>;
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) line: usize,
    pub(crate) expression: String,
    pub(crate) reason: String,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) evaluations: usize,
    pub(crate) failures: Vec<Failure>,
}

/// Runs all commands.
pub(crate) fn run(commands: &[Command], door: &mut dyn Door) -> Report {
    let mut report = Report::default();
    for command in commands {
        match &command.kind {
            Kind::Clear => door.clear(),
            Kind::Load(load) => door.load(load),
            Kind::Eval(eval) => {
                report.evaluations += 1;
                if let Err(reason) = evaluate(eval, door) {
                    report.failures.push(Failure {
                        line: command.line,
                        expression: eval.expression.clone(),
                        reason,
                    });
                }
            }
        }
    }
    report
}

fn evaluate(eval: &Eval, door: &dyn Door) -> Result<(), String> {
    match eval.when {
        When::Instant(time) => {
            let outcome = door.instant(&eval.expression, time);
            let Some(outcome) = compare::failure(eval, outcome)? else {
                return Ok(());
            };
            compare::annotations(eval, &outcome.annotations)?;
            compare::instant(eval, &outcome.value)?;
            again_as_range(eval, time, &outcome.value, door)
                .map_err(|reason| format!("as a range: {reason}"))?;
            again_pinned(eval, time, door)
        }
        When::Range { start, end, step } => {
            let outcome = door.range(&eval.expression, (start, end, step));
            let Some(outcome) = compare::failure(eval, outcome)? else {
                return Ok(());
            };
            compare::annotations(eval, &outcome.annotations)?;
            compare::range(eval, &outcome.value, (start, step))?;
            again_as_instants(eval, (start, end, step), &outcome.value, door)
        }
    }
}

/// Functions that mean something else over a range.
const OF_THE_QUERY: [&str; 4] = ["range()", "step()", "start()", "end()"];

fn depends_on_query(expression: &str) -> bool {
    let expression = expression.to_ascii_lowercase();
    OF_THE_QUERY.iter().any(|word| expression.contains(word))
}

/// Each step of a range must be what the instant is.
fn again_as_instants(
    eval: &Eval,
    (start, end, step): (i64, i64, i64),
    value: &Value,
    door: &dyn Door,
) -> Result<(), String> {
    if depends_on_query(&eval.expression) {
        return Ok(());
    }
    let mut time = start;
    while time <= end {
        let outcome = door.instant(&eval.expression, time);
        let outcome = outcome.map_err(|error| format!("at {time}: {error}"))?;
        let mut instants = match outcome.value {
            Value::Vector(vector) => vector,
            Value::Scalar(_, number) => vec![VectorSample {
                labels: Labels::none(),
                timestamp_ms: time,
                sample: Sample::Float(number),
            }],
            other => return Err(format!("no vector: {other:?}")),
        };
        instants.sort_by(|one, other| one.labels.cmp(&other.labels));
        let steps = at(value, time)?;
        if !compare::are_same(&steps, &instants) {
            return Err(format!(
                "at {time}: {steps:?}\n    as an instant {instants:?}"
            ));
        }
        time += step;
    }
    Ok(())
}

/// What series of a range have at a time.
fn at(value: &Value, time: i64) -> Result<Vec<VectorSample>, String> {
    let Value::Matrix(matrix) = value else {
        return Err("no matrix".to_owned());
    };
    let mut vector = Vec::new();
    for series in matrix {
        let float = series.floats.iter().find(|(at, _)| *at == time);
        let histogram = series.histograms.iter().find(|(at, _)| *at == time);
        let float = float.map(|(_, value)| Sample::Float(*value));
        let histogram = histogram.map(|(_, value)| Sample::Histogram(value.clone()));
        vector.extend(float.or(histogram).map(|sample| VectorSample {
            labels: series.labels.clone(),
            timestamp_ms: time,
            sample,
        }));
    }
    Ok(vector)
}

/// With its time written behind its selectors a query says the same before and after that time.
fn again_pinned(eval: &Eval, time: i64, door: &dyn Door) -> Result<(), String> {
    const AWAY: i64 = 600_000;
    let Some(text) = pinned(&eval.expression, time) else {
        return Ok(());
    };
    for elsewhere in [-AWAY, time + AWAY] {
        let outcome = door.instant(&text, elsewhere);
        let checked = outcome
            .map_err(|error| error.to_string())
            .and_then(|outcome| compare::instant(eval, &outcome.value));
        checked.map_err(|reason| format!("{text} at {elsewhere}: {reason}"))?;
    }
    Ok(())
}

/// The middle step of a range must be what the instant is.
fn again_as_range(eval: &Eval, time: i64, value: &Value, door: &dyn Door) -> Result<(), String> {
    const MINUTE: i64 = 60_000;
    let depends = depends_on_query(&eval.expression);
    let has_range = matches!(value, Value::Scalar(..) | Value::Vector(_));
    if depends || eval.expected.is_ordered || !has_range {
        return Ok(());
    }
    let outcome = door
        .range(&eval.expression, (time - MINUTE, time + MINUTE, MINUTE))
        .map_err(|error| error.to_string())?;
    let vector = at(&outcome.value, time)?;
    if let (
        Value::Scalar(..),
        [
            VectorSample {
                sample: Sample::Float(number),
                ..
            },
        ],
    ) = (value, vector.as_slice())
    {
        return compare::instant(eval, &Value::Scalar(time, *number));
    }
    compare::instant(eval, &Value::Vector(vector))
}

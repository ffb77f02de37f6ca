//! The door to evaluation: a query's text, when, from where, within which limits.

use super::annotations::Annotations;
use super::ast::{Expression, Type};
use super::eval::{Evaluator, Grid, Times};
use super::parser::{ParseError, parse, type_of};
use super::value::Value;
use crate::source::{Source, SourceError};

/// How far back a selector looks when nothing else is said: five minutes.
const LOOKBACK_MS: i64 = 300_000;
/// The step of subqueries that name none: a minute.
const SUBQUERY_STEP_MS: i64 = 60_000;
/// Samples that one query may hold at once.
const SAMPLES_MAX: usize = 50_000_000;
/// Series that one selector may select.
const SERIES_MAX: usize = 1_000_000;
/// Steps of one range query.
pub const STEPS_MAX: usize = 11_000;

/// What holds for all queries of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// How far back a selector looks for a sample, in milliseconds. One exactly so old is not seen.
    pub lookback_ms: i64,
    /// The step of subqueries that name none, in milliseconds.
    pub subquery_step_ms: i64,
    /// Samples that a query may load and make.
    pub samples_max: usize,
    /// Series that a selector may select.
    pub series_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            lookback_ms: LOOKBACK_MS,
            subquery_step_ms: SUBQUERY_STEP_MS,
            samples_max: SAMPLES_MAX,
            series_max: SERIES_MAX,
        }
    }
}

/// Why a query has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// It has taken too long.
    Timeout,
    /// Nobody waits for it any more.
    Canceled,
}

/// Asked now and then while a query runs.
pub type Interrupt<'a> = &'a dyn Fn() -> Option<Interruption>;

/// Why a query has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Its text is none.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// What it was asked with makes no sense.
    #[error("{0}")]
    Parameter(String),
    /// It cannot be evaluated over these series.
    #[error("{0}")]
    Execution(String),
    /// It wants too much.
    #[error("query processing would load too many samples into memory: more than {0}")]
    TooManySamples(usize),
    /// The store gave no samples.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It has taken too long.
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// Nobody waits for it any more.
    #[error("query was canceled in expression evaluation")]
    Canceled,
}

impl QueryError {
    /// What the HTTP API v1 calls this kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            QueryError::Parse(_) | QueryError::Parameter(_) => "bad_data",
            QueryError::Execution(_) | QueryError::TooManySamples(_) => "execution",
            QueryError::Source(SourceError::Read(_)) => "internal",
            QueryError::Source(_) => "execution",
            QueryError::Timeout => "timeout",
            QueryError::Canceled => "canceled",
        }
    }
}

/// A query that has been read.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    text: String,
    expression: Expression,
}

/// What a query gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The value.
    pub value: Value,
    /// What its author should know.
    pub annotations: Annotations,
    /// Samples that were loaded and made on the way.
    pub samples: usize,
}

/// From where samples come, and within which limits.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The store.
    pub source: &'a dyn Source,
    /// Limits and defaults.
    pub options: &'a Options,
    /// Whether to stop.
    pub interrupt: Interrupt<'a>,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut context = f.debug_struct("Context");
        context
            .field("options", self.options)
            .finish_non_exhaustive()
    }
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// What is wrong with it, with its place.
    pub fn parse(text: &str) -> Result<Query, ParseError> {
        Ok(Query {
            text: text.to_owned(),
            expression: parse(text)?,
        })
    }

    /// What was read.
    pub fn expression(&self) -> &Expression {
        &self.expression
    }

    /// Evaluates at one time, in milliseconds since 1970.
    ///
    /// # Errors
    /// Why there is no result.
    pub fn instant(&self, context: Context<'_>, time_ms: i64) -> Result<Outcome, QueryError> {
        let times = Times {
            start_ms: time_ms,
            end_ms: time_ms,
            step_ms: 0,
        };
        let evaluator = Evaluator::new(&self.text, context, times);
        let value = evaluator.instant(&self.expression, time_ms)?;
        Ok(evaluator.finish(value))
    }

    /// Evaluates at each step from one time to another, in milliseconds since 1970.
    ///
    /// # Errors
    /// Why there is no result.
    pub fn range(
        &self,
        context: Context<'_>,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<Outcome, QueryError> {
        let refuse = |message: String| Err(QueryError::Parameter(message));
        if step_ms <= 0 {
            return refuse("zero or negative query resolution step widths are not accepted. Try a positive integer".to_owned());
        }
        if end_ms < start_ms {
            return refuse("end timestamp must not be before start time".to_owned());
        }
        let kind = type_of(&self.expression);
        if !matches!(kind, Type::Scalar | Type::Vector) {
            let name = kind.name();
            return refuse(format!(
                "invalid expression type {name:?} for range query, must be Scalar or instant Vector"
            ));
        }
        let grid = Grid::between(start_ms, end_ms, step_ms);
        if grid.count > STEPS_MAX {
            return refuse(format!(
                "exceeded maximum resolution of {STEPS_MAX} points per timeseries. Try decreasing the query resolution (?step=XX)"
            ));
        }
        let times = Times {
            start_ms,
            end_ms,
            step_ms,
        };
        let evaluator = Evaluator::new(&self.text, context, times);
        let value = evaluator.range(&self.expression, grid)?;
        Ok(evaluator.finish(value))
    }
}

//! The tree of an expression. Every part knows where in the text it stands.

use super::functions::Signature;
use crate::matcher::Matcher;

/// Bytes of the text, from the first to behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

/// What an expression gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// One number per time.
    Scalar,
    /// A text.
    Text,
    /// Series with a sample per time.
    Vector,
    /// Series with the samples of a range per time.
    Matrix,
}

impl Type {
    /// The name that users know.
    pub fn name(self) -> &'static str {
        match self {
            Type::Scalar => "scalar",
            Type::Text => "string",
            Type::Vector => "instant vector",
            Type::Matrix => "range vector",
        }
    }
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub node: Node,
    /// A measure of how deep expressions stand within one another, this one included.
    pub(crate) height: u32,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A number.
    Number(Number),
    /// A text; bytes, because escapes may give what is no UTF-8.
    Text(Vec<u8>),
    /// The newest sample of series.
    Vector(Selector),
    /// The samples of a range of series.
    Matrix(Selector, Duration),
    /// An expression, evaluated over a range.
    Subquery(Box<Subquery>),
    /// `-x`, or `+x` when it does not negate.
    Unary {
        /// Whether the sign is a minus.
        negates: bool,
        /// What it stands before.
        inner: Box<Expression>,
    },
    /// `(x)`
    Parenthesized(Box<Expression>),
    /// Two expressions with an operator.
    Binary(Box<Binary>),
    /// A function with its arguments.
    Call(Call),
    /// An aggregation over labels.
    Aggregate(Box<Aggregate>),
}

/// A number as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    /// Its value; of a length of time the seconds.
    pub value: f64,
    /// Whether it is written as a length of time, such as `1h30m`.
    pub is_duration: bool,
}

impl Number {
    /// One that is written as a number.
    pub(crate) fn plain(value: f64) -> Number {
        Number {
            value,
            is_duration: false,
        }
    }

    /// One that is written as a length of time.
    pub(crate) fn duration(milliseconds: i64) -> Number {
        Number {
            value: milliseconds as f64 / 1000.0,
            is_duration: true,
        }
    }
}

/// Which series, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// All hold; one on the metric's name among them if a name is written.
    pub matchers: Vec<Matcher>,
    /// The name that is written outside of the braces or stands in them by itself.
    pub name: Option<String>,
    /// When.
    pub moment: Moment,
    /// What happens at the ends of a range.
    pub edges: Edges,
}

/// What happens at the ends of a range, and between samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edges {
    /// Only samples in the range count.
    #[default]
    Plain,
    /// The last sample before the range stands at its begin.
    Anchored,
    /// Values at both ends are interpolated.
    Smoothed,
}

/// `@` and `offset` of a selector or subquery.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moment {
    /// The fixed time.
    pub at: Option<At>,
    /// How much earlier; negative is later.
    pub offset: Option<Duration>,
}

/// A fixed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// In milliseconds since 1970.
    Time(i64),
    /// The query's first step.
    Start,
    /// The query's last step.
    End,
}

/// A length of time.
#[derive(Debug, Clone, PartialEq)]
pub enum Duration {
    /// In milliseconds.
    Literal(i64),
    /// One that is computed, perhaps of the query's step or range.
    Computed(Box<DurationNode>, Span),
}

/// An expression of a length of time, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationNode {
    /// A number of seconds.
    Number(Number),
    /// The query's step.
    Step,
    /// From the query's first step to its last.
    Range,
    /// `-x`
    Negated(Box<DurationNode>),
    /// `(x)`
    Parenthesized(Box<DurationNode>),
    /// Two with an operator.
    Binary(DurationOperator, Box<DurationNode>, Box<DurationNode>),
}

/// An operator of [`DurationNode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DurationOperator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Least,
    Greatest,
}

impl DurationOperator {
    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            DurationOperator::Add => "+",
            DurationOperator::Subtract => "-",
            DurationOperator::Multiply => "*",
            DurationOperator::Divide => "/",
            DurationOperator::Modulo => "%",
            DurationOperator::Power => "^",
            DurationOperator::Least => "min_of",
            DurationOperator::Greatest => "max_of",
        }
    }
}

/// An expression that is evaluated over a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub inner: Expression,
    /// How far back.
    pub range: Duration,
    /// At which distance; the engine's default where none is written.
    pub step: Option<Duration>,
    /// When.
    pub moment: Moment,
}

/// Two expressions with an operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The operator.
    pub operator: Operator,
    /// The left one.
    pub left: Expression,
    /// The right one.
    pub right: Expression,
    /// Whether a comparison gives 0 and 1 instead of filtering.
    pub returns_bool: bool,
    /// How series of both sides find one another.
    pub matching: Matching,
}

/// An operator between expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// `</`: the part of a histogram up to a value.
    TrimAbove,
    /// `>/`: the part of a histogram from a value on.
    TrimBelow,
    And,
    Or,
    Unless,
}

impl Operator {
    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Modulo => "%",
            Operator::Power => "^",
            Operator::Atan2 => "atan2",
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::TrimAbove => "</",
            Operator::TrimBelow => ">/",
            Operator::And => "and",
            Operator::Or => "or",
            Operator::Unless => "unless",
        }
    }

    /// Whether it compares.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Operator::Equal
                | Operator::NotEqual
                | Operator::Less
                | Operator::LessOrEqual
                | Operator::Greater
                | Operator::GreaterOrEqual
        )
    }

    /// Whether it joins sets of series.
    pub fn is_set(self) -> bool {
        matches!(self, Operator::And | Operator::Or | Operator::Unless)
    }

    /// Whether its result is something else than what the series' name says.
    pub(crate) fn changes_meaning(self) -> bool {
        !self.is_comparison()
            && !self.is_set()
            && !matches!(self, Operator::TrimAbove | Operator::TrimBelow)
    }

    /// How tightly it binds; larger is tighter.
    pub(crate) fn binding(self) -> u8 {
        match self {
            Operator::Or => 1,
            Operator::And | Operator::Unless => 2,
            Operator::Add | Operator::Subtract => 4,
            Operator::Multiply | Operator::Divide | Operator::Modulo | Operator::Atan2 => 5,
            Operator::Power => 6,
            _ => 3,
        }
    }
}

/// How series of both sides find one another.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matching {
    /// Whether `on` is written, and not `ignoring` or nothing.
    pub is_on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// On which side there may be many, if on one.
    pub many: Many,
    /// Labels that are taken from the side with one.
    pub include: Vec<String>,
    /// What stands for a missing series on the left.
    pub fill_left: Option<f64>,
    /// What stands for a missing series on the right.
    pub fill_right: Option<f64>,
}

/// On which side many series may match one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Many {
    /// On none.
    #[default]
    None,
    /// `group_left`
    Left,
    /// `group_right`
    Right,
}

/// A function with its arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function.
    pub function: &'static Signature,
    /// Its arguments, of the right number and types.
    pub arguments: Vec<Expression>,
}

/// An aggregation over labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub operation: Aggregation,
    /// Its parameter, where it takes one.
    pub parameter: Option<Expression>,
    /// What is aggregated.
    pub inner: Expression,
    /// Whether `without` is written, and not `by` or nothing.
    pub is_without: bool,
    /// The labels of `by` or `without`.
    pub labels: Vec<String>,
}

/// An operation over the series of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Aggregation {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl Aggregation {
    /// All of them, with their names.
    const ALL: [(Aggregation, &'static str); 14] = [
        (Aggregation::Sum, "sum"),
        (Aggregation::Avg, "avg"),
        (Aggregation::Count, "count"),
        (Aggregation::Min, "min"),
        (Aggregation::Max, "max"),
        (Aggregation::Group, "group"),
        (Aggregation::Stddev, "stddev"),
        (Aggregation::Stdvar, "stdvar"),
        (Aggregation::Topk, "topk"),
        (Aggregation::Bottomk, "bottomk"),
        (Aggregation::CountValues, "count_values"),
        (Aggregation::Quantile, "quantile"),
        (Aggregation::Limitk, "limitk"),
        (Aggregation::LimitRatio, "limit_ratio"),
    ];

    /// The aggregation of this name, in any case.
    pub(crate) fn named(name: &str) -> Option<Aggregation> {
        let mut all = Aggregation::ALL.iter();
        all.find(|(_, own)| own.eq_ignore_ascii_case(name))
            .map(|(found, _)| *found)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        let mut all = Aggregation::ALL.iter();
        all.find(|(own, _)| *own == self)
            .map_or("", |(_, name)| name)
    }

    /// The type of its parameter, where it takes one.
    pub(crate) fn parameter(self) -> Option<Type> {
        match self {
            Aggregation::Topk
            | Aggregation::Bottomk
            | Aggregation::Quantile
            | Aggregation::Limitk
            | Aggregation::LimitRatio => Some(Type::Scalar),
            Aggregation::CountValues => Some(Type::Text),
            _ => None,
        }
    }
}

//! Queries whose selectors are given the time at which they are asked: then they must say the same at
//! any other time.

use query::promql::ast::{Expression, Node};
use query::promql::parser::parse;

/// Functions whose result depends on the time at which they are asked, whatever they are given.
const TIMELY: [&str; 17] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "start_timestamp",
    "step",
    "time",
    "timestamp",
    "vector",
    "year",
];

/// The query with `@` behind each selector that has none; none if it depends on its time otherwise.
pub(crate) fn pinned(text: &str, time_ms: i64) -> Option<String> {
    let parsed = parse(text).ok()?;
    let mut ends = Vec::new();
    collect(&parsed, &mut ends)?;
    ends.sort_unstable();
    let mut pinned = text.to_owned();
    for end in ends.iter().rev() {
        let time = time_ms as f64 / 1000.0;
        pinned.insert_str(*end, &format!(" @ {time} "));
    }
    (!ends.is_empty()).then_some(pinned)
}

/// Where selectors without a time end. What is inside of a subquery has its times from it.
fn collect(expression: &Expression, ends: &mut Vec<usize>) -> Option<()> {
    let mut note = |has_time: bool| {
        if !has_time {
            ends.push(expression.span.end);
        }
    };
    match &expression.node {
        Node::Number(_) | Node::Text(_) => {}
        Node::Vector(selector) | Node::Matrix(selector, _) => note(selector.moment.at.is_some()),
        Node::Subquery(subquery) => note(subquery.moment.at.is_some()),
        Node::Unary { inner, .. } | Node::Parenthesized(inner) => collect(inner, ends)?,
        Node::Binary(binary) => {
            collect(&binary.left, ends)?;
            collect(&binary.right, ends)?;
        }
        Node::Call(call) if TIMELY.contains(&call.function.name) => return None,
        Node::Call(call) => {
            // The second argument of `info` is no selector of its own.
            let count = if call.function.name == "info" {
                1
            } else {
                call.arguments.len()
            };
            for argument in call.arguments.iter().take(count) {
                collect(argument, ends)?;
            }
        }
        Node::Aggregate(aggregate) => {
            if let Some(parameter) = &aggregate.parameter {
                collect(parameter, ends)?;
            }
            collect(&aggregate.inner, ends)?;
        }
    }
    Some(())
}

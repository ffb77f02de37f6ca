//! Expressions as text: on one line, or broken into lines, as Prometheus formats them.

use std::fmt::{self, Write};

use super::ast::{
    Aggregate, At, Binary, Duration, DurationNode, DurationOperator, Edges, Expression, Many,
    Matching, Moment, Node, Number, Selector, Subquery,
};
use super::lexer::duration_text;
use super::parser::is_bare;
use crate::labels::METRIC_NAME;
use crate::matcher::Matcher;
use crate::number::Plain;
use crate::quote::quoted;

/// Bytes of a formatted expression: indentation multiplies what stands in a deep tree.
const TEXT_BYTES_MAX: usize = 16 << 20;
/// What is longer than this, in bytes, is broken into lines.
const LINE_BYTES_MAX: usize = 100;

/// An expression in lines, of which none is longer than it has to be. Nothing if that is too much text.
pub fn pretty(expression: &Expression) -> Option<String> {
    let mut out = Limited::new(TEXT_BYTES_MAX);
    lines(&mut out, expression, 0).ok()?;
    Some(out.text)
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, self)
    }
}

/// A text that ends with an error when it gets too long.
struct Limited {
    text: String,
    room: usize,
}

impl Limited {
    fn new(room: usize) -> Self {
        let text = String::new();
        Self { text, room }
    }
}

impl Write for Limited {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.room = self.room.checked_sub(text.len()).ok_or(fmt::Error)?;
        self.text.push_str(text);
        Ok(())
    }
}

fn is_long(expression: &Expression) -> bool {
    line(&mut Limited::new(LINE_BYTES_MAX), expression).is_err()
}

fn indent(out: &mut dyn Write, level: usize) -> fmt::Result {
    (0..level).try_for_each(|_| out.write_str("  "))
}

/// Operators stand on lines of their own, deeper operands above and below them. What stands on the left
/// of one another is walked along: there may be more of it than the stack has room for.
fn lines(out: &mut Limited, expression: &Expression, level: usize) -> fmt::Result {
    let mut chain = Vec::new();
    let mut first = expression;
    while let Node::Binary(binary) = &first.node {
        if !is_long(first) {
            break;
        }
        chain.push(binary);
        first = &binary.left;
    }
    operand(out, first, level + chain.len())?;
    for (above, binary) in chain.into_iter().enumerate().rev() {
        out.write_char('\n')?;
        indent(out, level + above)?;
        operator(out, binary)?;
        out.write_char('\n')?;
        lines(out, &binary.right, level + above + 1)?;
    }
    Ok(())
}

fn operand(out: &mut Limited, expression: &Expression, level: usize) -> fmt::Result {
    match &expression.node {
        Node::Unary { negates, inner } => {
            let mut under = Limited::new(out.room);
            lines(&mut under, inner, level)?;
            indent(out, level)?;
            out.write_char(sign(*negates))?;
            out.write_str(under.text.trim())
        }
        Node::Subquery(subquery) if is_long(expression) => {
            lines(out, &subquery.inner, level)?;
            subquery_range(out, subquery)
        }
        // Not indented: so it is in Prometheus.
        Node::Subquery(_) => line(out, expression),
        Node::Call(call) if is_long(expression) => {
            indent(out, level)?;
            out.write_str(call.function.name)?;
            let arguments: Vec<&Expression> = call.arguments.iter().collect();
            enclosed(out, &arguments, level)
        }
        Node::Aggregate(aggregate) if is_long(expression) => {
            indent(out, level)?;
            aggregation(out, aggregate)?;
            let parameter = aggregate.parameter.iter();
            let all: Vec<&Expression> = parameter.chain([&aggregate.inner]).collect();
            enclosed(out, &all, level)
        }
        Node::Parenthesized(inner) if is_long(expression) => {
            indent(out, level)?;
            enclosed(out, &[inner], level)
        }
        _ => {
            indent(out, level)?;
            line(out, expression)
        }
    }
}

/// Expressions in brackets, each on lines of its own.
fn enclosed(out: &mut Limited, inner: &[&Expression], level: usize) -> fmt::Result {
    for (place, expression) in inner.iter().enumerate() {
        out.write_str(if place == 0 { "(\n" } else { ",\n" })?;
        lines(out, expression, level + 1)?;
    }
    out.write_char('\n')?;
    indent(out, level)?;
    out.write_char(')')
}

/// The whole expression on one line.
fn line(out: &mut dyn Write, expression: &Expression) -> fmt::Result {
    let mut chain = Vec::new();
    let mut first = expression;
    while let Node::Binary(binary) = &first.node {
        chain.push(binary);
        first = &binary.left;
    }
    match &first.node {
        Node::Number(written) => out.write_str(&number(*written))?,
        Node::Text(text) => out.write_str(&quoted(text))?,
        Node::Vector(selector) => {
            series(out, selector)?;
            at(out, &selector.moment)?;
            edges(out, selector.edges)?;
            offset(out, &selector.moment)?;
        }
        Node::Matrix(selector, range) => {
            series(out, selector)?;
            write!(out, "[{}]", duration(range))?;
            edges(out, selector.edges)?;
            at(out, &selector.moment)?;
            offset(out, &selector.moment)?;
        }
        Node::Subquery(subquery) => {
            line(out, &subquery.inner)?;
            subquery_range(out, subquery)?;
        }
        Node::Unary { negates, inner } => {
            out.write_char(sign(*negates))?;
            line(out, inner)?;
        }
        Node::Parenthesized(inner) => listed(out, std::iter::once(&**inner))?,
        Node::Call(call) => {
            out.write_str(call.function.name)?;
            listed(out, call.arguments.iter())?;
        }
        Node::Aggregate(aggregate) => {
            aggregation(out, aggregate)?;
            listed(out, aggregate.parameter.iter().chain([&aggregate.inner]))?;
        }
        Node::Binary(_) => {}
    }
    for binary in chain.into_iter().rev() {
        out.write_char(' ')?;
        operator(out, binary)?;
        out.write_char(' ')?;
        line(out, &binary.right)?;
    }
    Ok(())
}

fn sign(negates: bool) -> char {
    if negates { '-' } else { '+' }
}

/// `(a, b)`
fn listed<'a>(out: &mut dyn Write, all: impl Iterator<Item = &'a Expression>) -> fmt::Result {
    out.write_char('(')?;
    for (place, expression) in all.enumerate() {
        if place > 0 {
            out.write_str(", ")?;
        }
        line(out, expression)?;
    }
    out.write_char(')')
}

fn number(number: Number) -> String {
    if !number.is_duration {
        return Plain(number.value).to_string();
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "read as whole milliseconds"
    )]
    let milliseconds = (number.value * 1000.0).round() as i64;
    let minus = if milliseconds < 0 { "-" } else { "" };
    format!("{minus}{}", duration_text(milliseconds))
}

/// `name{a="b"}`; a name that cannot stand by itself is a matcher among the others.
fn series(out: &mut dyn Write, selector: &Selector) -> fmt::Result {
    let name = selector.name.as_deref().filter(|name| is_bare(name));
    let is_name = |matcher: &Matcher| name.is_some() && matcher.name == METRIC_NAME;
    let matchers = selector.matchers.iter();
    let matchers = matchers.filter(|matcher| !is_name(matcher));
    let mut texts: Vec<String> = matchers.map(matcher).collect();
    texts.sort_unstable();
    out.write_str(name.unwrap_or_default())?;
    if texts.is_empty() {
        return Ok(());
    }
    write!(out, "{{{}}}", texts.join(","))
}

fn matcher(matcher: &Matcher) -> String {
    let (name, comparison) = (label(&matcher.name), matcher.comparison.text());
    format!("{name}{comparison}{}", quoted(matcher.value.as_bytes()))
}

/// The name of a label, in quotes where it needs them.
fn label(name: &str) -> String {
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins = name.bytes().next();
    let is_plain = begins.is_some_and(|byte| !byte.is_ascii_digit()) && name.bytes().all(is_inside);
    if is_plain {
        name.to_owned()
    } else {
        quoted(name.as_bytes())
    }
}

/// `(a, b)`
fn labels(out: &mut dyn Write, names: &[String]) -> fmt::Result {
    let names: Vec<String> = names.iter().map(|name| label(name)).collect();
    write!(out, "({})", names.join(", "))
}

fn edges(out: &mut dyn Write, edges: Edges) -> fmt::Result {
    out.write_str(match edges {
        Edges::Plain => "",
        Edges::Anchored => " anchored",
        Edges::Smoothed => " smoothed",
    })
}

fn at(out: &mut dyn Write, moment: &Moment) -> fmt::Result {
    match moment.at {
        None => Ok(()),
        Some(At::Start) => out.write_str(" @ start()"),
        Some(At::End) => out.write_str(" @ end()"),
        Some(At::Time(milliseconds)) => {
            let minus = if milliseconds < 0 { "-" } else { "" };
            let size = milliseconds.unsigned_abs();
            write!(out, " @ {minus}{}.{:03}", size / 1000, size % 1000)
        }
    }
}

fn offset(out: &mut dyn Write, moment: &Moment) -> fmt::Result {
    match &moment.offset {
        None | Some(Duration::Literal(0)) => Ok(()),
        Some(offset) => write!(out, " offset {}", duration(offset)),
    }
}

fn subquery_range(out: &mut dyn Write, subquery: &Subquery) -> fmt::Result {
    let step = subquery.step.as_ref().map(duration).unwrap_or_default();
    write!(out, "[{}:{step}]", duration(&subquery.range))?;
    at(out, &subquery.moment)?;
    offset(out, &subquery.moment)
}

fn duration(duration: &Duration) -> String {
    match duration {
        Duration::Literal(milliseconds) if *milliseconds < 0 => {
            format!("-{}", duration_text(*milliseconds))
        }
        Duration::Literal(milliseconds) => duration_text(*milliseconds),
        Duration::Computed(node, _) => computed(node),
    }
}

fn computed(node: &DurationNode) -> String {
    match node {
        DurationNode::Number(written) => number(*written),
        DurationNode::Step => "step()".to_owned(),
        DurationNode::Range => "range()".to_owned(),
        DurationNode::Negated(inner) => format!("-{}", computed(inner)),
        DurationNode::Parenthesized(inner) => format!("({})", computed(inner)),
        DurationNode::Binary(operator, left, right) => {
            let (left, right) = (computed(left), computed(right));
            let word = operator.text();
            match operator {
                DurationOperator::Least | DurationOperator::Greatest => {
                    format!("{word}({left}, {right})")
                }
                _ => format!("{left} {word} {right}"),
            }
        }
    }
}

/// `sum by (a) `
fn aggregation(out: &mut dyn Write, aggregate: &Aggregate) -> fmt::Result {
    out.write_str(aggregate.operation.name())?;
    if aggregate.is_without || !aggregate.labels.is_empty() {
        let word = if aggregate.is_without {
            "without"
        } else {
            "by"
        };
        write!(out, " {word} ")?;
        labels(out, &aggregate.labels)?;
        out.write_char(' ')?;
    }
    Ok(())
}

/// `== bool on (a) group_left (b)`
fn operator(out: &mut dyn Write, binary: &Binary) -> fmt::Result {
    let Matching {
        is_on,
        labels: names,
        many,
        include,
        fill_left,
        fill_right,
    } = &binary.matching;
    out.write_str(binary.operator.text())?;
    if binary.returns_bool {
        out.write_str(" bool")?;
    }
    if *is_on || !names.is_empty() || *many != Many::None {
        out.write_str(if *is_on { " on " } else { " ignoring " })?;
        labels(out, names)?;
    }
    let group = match many {
        Many::None => None,
        Many::Left => Some(" group_left "),
        Many::Right => Some(" group_right "),
    };
    if let Some(group) = group {
        out.write_str(group)?;
        labels(out, include)?;
    }
    match (fill_left, fill_right) {
        (Some(left), Some(right)) if left.to_bits() == right.to_bits() => {
            write!(out, " fill ({})", Plain(*left))
        }
        (left, right) => {
            for (word, side) in [("left", left), ("right", right)] {
                if let Some(value) = side {
                    write!(out, " fill_{word} ({})", Plain(*value))?;
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;

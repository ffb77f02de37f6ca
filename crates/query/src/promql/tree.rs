//! The tree of an expression as JSON, in the shape that the web interface of Prometheus 3 knows.

use std::fmt::Write as _;

use super::ast::{
    Aggregate, At, Binary, Call, Duration, DurationNode, Edges, Expression, Many, Matching, Moment,
    Node, Number, Selector, Subquery, Type,
};
use super::format::string;
use super::functions::Signature;
use super::parser::{is_bare, type_of};
use crate::matcher::Matcher;
use crate::number::Plain;

/// Writes an expression. What stands on the left of one another is walked along: there may be more of
/// it than the stack has room for.
pub fn expression(out: &mut String, whole: &Expression) {
    let mut chain = Vec::new();
    let mut first = whole;
    while let Node::Binary(binary) = &first.node {
        out.push_str(r#"{"type":"binaryExpr","op":"#);
        string(out, binary.operator.text());
        write!(out, r#","bool":{},"lhs":"#, binary.returns_bool).unwrap_or_default();
        chain.push(binary);
        first = &binary.left;
    }
    operand(out, first);
    for binary in chain.into_iter().rev() {
        out.push_str(r#","rhs":"#);
        expression(out, &binary.right);
        out.push_str(r#","matching":"#);
        matching(out, binary);
        out.push('}');
    }
}

fn operand(out: &mut String, whole: &Expression) {
    match &whole.node {
        Node::Number(number) => {
            let value = Plain(number.value);
            write!(out, r#"{{"type":"numberLiteral","val":"{value}"}}"#).unwrap_or_default();
        }
        Node::Text(text) => {
            out.push_str(r#"{"type":"stringLiteral","val":"#);
            string(out, &String::from_utf8_lossy(text));
            out.push('}');
        }
        Node::Vector(selector) => {
            out.push_str(r#"{"type":"vectorSelector""#);
            self::selector(out, selector);
        }
        Node::Matrix(selector, range) => {
            out.push_str(r#"{"type":"matrixSelector""#);
            length(out, "range", Some(range));
            self::selector(out, selector);
        }
        Node::Subquery(subquery) => self::subquery(out, subquery),
        Node::Unary { negates, inner } => {
            let sign = if *negates { '-' } else { '+' };
            write!(out, r#"{{"type":"unaryExpr","op":"{sign}","expr":"#).unwrap_or_default();
            expression(out, inner);
            out.push('}');
        }
        Node::Parenthesized(inner) => {
            out.push_str(r#"{"type":"parenExpr","expr":"#);
            expression(out, inner);
            out.push('}');
        }
        Node::Call(call) => self::call(out, call),
        Node::Aggregate(aggregate) => self::aggregate(out, aggregate),
        Node::Binary(_) => {}
    }
}

fn subquery(out: &mut String, subquery: &Subquery) {
    out.push_str(r#"{"type":"subquery","expr":"#);
    expression(out, &subquery.inner);
    length(out, "range", Some(&subquery.range));
    length(out, "step", subquery.step.as_ref());
    moment(out, &subquery.moment);
    out.push('}');
}

fn call(out: &mut String, call: &Call) {
    out.push_str(r#"{"type":"call","func":"#);
    function(out, call.function);
    out.push_str(r#","args":["#);
    for (place, argument) in call.arguments.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        expression(out, argument);
    }
    out.push_str("]}");
}

fn function(out: &mut String, function: &Signature) {
    // How many arguments may follow those that are listed, the last of them included; -1 is any number.
    let listed = function.arguments.len();
    let optional = match function.most {
        usize::MAX => "-1".to_owned(),
        most if most == function.least => "0".to_owned(),
        most => most.saturating_sub(listed.saturating_sub(1)).to_string(),
    };
    let (name, returns) = (function.name, word(function.returns));
    let types: Vec<String> = function
        .arguments
        .iter()
        .map(|own| format!("\"{}\"", word(*own)))
        .collect();
    let types = types.join(",");
    write!(
        out,
        r#"{{"name":"{name}","argTypes":[{types}],"variadic":{optional},"returnType":"{returns}"}}"#
    )
    .unwrap_or_default();
}

fn word(kind: Type) -> &'static str {
    match kind {
        Type::Scalar => "scalar",
        Type::Text => "string",
        Type::Vector => "vector",
        Type::Matrix => "matrix",
    }
}

fn aggregate(out: &mut String, aggregate: &Aggregate) {
    let (operation, is_without) = (aggregate.operation.name(), aggregate.is_without);
    write!(
        out,
        r#"{{"type":"aggregation","op":"{operation}","without":{is_without},"grouping":"#
    )
    .unwrap_or_default();
    strings(out, &aggregate.labels);
    out.push_str(r#","param":"#);
    match &aggregate.parameter {
        Some(parameter) => expression(out, parameter),
        None => out.push_str("null"),
    }
    out.push_str(r#","expr":"#);
    expression(out, &aggregate.inner);
    out.push('}');
}

/// How both sides find one another; null where one is a scalar.
fn matching(out: &mut String, binary: &Binary) {
    if type_of(&binary.left) == Type::Scalar || type_of(&binary.right) == Type::Scalar {
        out.push_str("null");
        return;
    }
    let Matching {
        is_on,
        labels,
        many,
        include,
        fill_left,
        fill_right,
    } = &binary.matching;
    let card = match many {
        _ if binary.operator.is_set() => "many-to-many",
        Many::None => "one-to-one",
        Many::Left => "many-to-one",
        Many::Right => "one-to-many",
    };
    write!(out, r#"{{"card":"{card}","on":{is_on},"labels":"#).unwrap_or_default();
    strings(out, labels);
    out.push_str(r#","include":"#);
    strings(out, include);
    let side = |fill: &Option<f64>| match fill {
        Some(value) if value.is_finite() => Plain(*value).to_string(),
        // JSON has no others.
        _ => "null".to_owned(),
    };
    let (left, right) = (side(fill_left), side(fill_right));
    write!(out, r#","fillValues":{{"lhs":{left},"rhs":{right}}}}}"#).unwrap_or_default();
}

fn strings(out: &mut String, texts: &[String]) {
    out.push('[');
    for (place, text) in texts.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        string(out, text);
    }
    out.push(']');
}

/// The members of a selector, and the end of it.
fn selector(out: &mut String, selector: &Selector) {
    let name = selector.name.as_deref().filter(|name| is_bare(name));
    out.push_str(r#","name":"#);
    string(out, name.unwrap_or_default());
    out.push_str(r#","matchers":["#);
    for (place, matcher) in selector.matchers.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        self::matcher(out, matcher);
    }
    out.push(']');
    moment(out, &selector.moment);
    let (anchored, smoothed) = (
        selector.edges == Edges::Anchored,
        selector.edges == Edges::Smoothed,
    );
    write!(out, r#","anchored":{anchored},"smoothed":{smoothed}}}"#).unwrap_or_default();
}

fn matcher(out: &mut String, matcher: &Matcher) {
    out.push_str(r#"{"name":"#);
    string(out, &matcher.name);
    out.push_str(r#","value":"#);
    string(out, &matcher.value);
    write!(out, r#","type":"{}"}}"#, matcher.comparison.text()).unwrap_or_default();
}

fn moment(out: &mut String, moment: &Moment) {
    length(out, "offset", moment.offset.as_ref());
    let (timestamp, bound) = match moment.at {
        None => ("null".to_owned(), "null"),
        Some(At::Time(milliseconds)) => (milliseconds.to_string(), "null"),
        Some(At::Start) => ("null".to_owned(), "\"start\""),
        Some(At::End) => ("null".to_owned(), "\"end\""),
    };
    write!(out, r#","timestamp":{timestamp},"startOrEnd":{bound}"#).unwrap_or_default();
}

/// A length of time in milliseconds, and as an expression where it is one.
fn length(out: &mut String, name: &str, duration: Option<&Duration>) {
    let (milliseconds, node) = match duration {
        None => (0, None),
        Some(Duration::Literal(milliseconds)) => (*milliseconds, None),
        Some(Duration::Computed(node, _)) => (0, Some(&**node)),
    };
    write!(out, r#","{name}":{milliseconds},"{name}Expr":"#).unwrap_or_default();
    computed(out, node, false);
}

fn computed(out: &mut String, node: Option<&DurationNode>, is_wrapped: bool) {
    let Some(node) = node else {
        out.push_str("null");
        return;
    };
    let (operator, sides) = match node {
        DurationNode::Parenthesized(inner) => match &**inner {
            // A bracket belongs to an operator: around a number there is one that does nothing.
            number @ DurationNode::Number(_) => ("+", [None, Some(number)]),
            inner => return computed(out, Some(inner), true),
        },
        DurationNode::Number(Number { value, is_duration }) => {
            let value = Plain(*value);
            write!(
                out,
                r#"{{"type":"numberLiteral","val":"{value}","duration":{is_duration}}}"#
            )
            .unwrap_or_default();
            return;
        }
        DurationNode::Step => ("step", [None, None]),
        DurationNode::Range => ("range", [None, None]),
        DurationNode::Negated(inner) => ("-", [None, Some(&**inner)]),
        DurationNode::Binary(operator, left, right) => {
            (operator.text(), [Some(&**left), Some(&**right)])
        }
    };
    let is_wrapped = is_wrapped || matches!(node, DurationNode::Parenthesized(_));
    write!(
        out,
        r#"{{"type":"durationExpr","op":"{operator}","wrapped":{is_wrapped},"lhs":"#
    )
    .unwrap_or_default();
    let [left, right] = sides;
    computed(out, left, false);
    out.push_str(r#","rhs":"#);
    computed(out, right, false);
    out.push('}');
}

#[cfg(test)]
mod tests;

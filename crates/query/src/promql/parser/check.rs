//! What grammar cannot say: types of operands and arguments, selectors that select everything.

use super::ParseError;
use crate::promql::ast::{
    Aggregate, Binary, Call, Expression, Many, Node, Operator, Selector, Type,
};

/// The type of an expression all of whose parts are in order.
///
/// # Errors
/// The first part that is not in order.
pub(super) fn check(expression: &Expression) -> Result<Type, ParseError> {
    let fail = |message: String| Err(ParseError::new(expression.span.start, message));
    match &expression.node {
        Node::Number(_) => Ok(Type::Scalar),
        Node::Text(_) => Ok(Type::Text),
        Node::Vector(selector) => {
            selects_something(expression, selector)?;
            Ok(Type::Vector)
        }
        Node::Matrix(selector, _) => {
            selects_something(expression, selector)?;
            Ok(Type::Matrix)
        }
        Node::Subquery(subquery) => match check(&subquery.inner)? {
            Type::Vector => Ok(Type::Matrix),
            other => {
                let other = other.name();
                fail(format!(
                    "subquery is only allowed on instant vector, got {other} instead"
                ))
            }
        },
        Node::Unary { inner, .. } => match check(inner)? {
            kind @ (Type::Scalar | Type::Vector) => Ok(kind),
            other => {
                let other = other.name();
                fail(format!(
                    "unary expression only allowed on expressions of type scalar or instant vector, got {other:?}"
                ))
            }
        },
        Node::Parenthesized(inner) => check(inner),
        Node::Binary(_) => check_chain(expression),
        Node::Call(call) => check_call(expression, call),
        Node::Aggregate(aggregate) => check_aggregate(aggregate),
    }
}

/// A selector that every series passes would read the whole store.
fn selects_something(expression: &Expression, selector: &Selector) -> Result<(), ParseError> {
    if selector.matchers.iter().all(|matcher| matcher.matches("")) {
        let message = "vector selector must contain at least one non-empty matcher";
        return Err(ParseError::new(expression.span.start, message.to_owned()));
    }
    Ok(())
}

/// Checks operators one behind the other, as long as each stands on the left of the next.
fn check_chain(expression: &Expression) -> Result<Type, ParseError> {
    let mut chain = Vec::new();
    let mut first = expression;
    while let Node::Binary(binary) = &first.node {
        chain.push((first, binary));
        first = &binary.left;
    }
    let mut kind = check(first)?;
    for (expression, binary) in chain.into_iter().rev() {
        kind = check_binary(expression, binary, kind)?;
    }
    Ok(kind)
}

fn check_binary(expression: &Expression, binary: &Binary, left: Type) -> Result<Type, ParseError> {
    let fail = |message: &str| Err(ParseError::new(expression.span.start, message.to_owned()));
    let right = check(&binary.right)?;
    for (side, kind) in [(&binary.left, left), (&binary.right, right)] {
        if !matches!(kind, Type::Scalar | Type::Vector) {
            let message = "binary expression must contain only scalar and instant vector types";
            return Err(ParseError::new(side.span.start, message.to_owned()));
        }
    }
    let operator = binary.operator;
    let are_vectors = left == Type::Vector && right == Type::Vector;
    let matching = &binary.matching;
    let has_matching = matching.is_on || !matching.labels.is_empty() || matching.many != Many::None;
    if !are_vectors {
        if has_matching {
            return fail("vector matching only allowed between instant vectors");
        }
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            return fail("filling in missing series only allowed between instant vectors");
        }
        if operator.is_set() {
            let text = operator.text();
            return fail(&format!(
                "set operator {text:?} not allowed in binary scalar expression"
            ));
        }
    }
    let are_scalars = left == Type::Scalar && right == Type::Scalar;
    if are_scalars && matches!(operator, Operator::TrimAbove | Operator::TrimBelow) {
        let text = operator.text();
        return fail(&format!(
            "operator {text:?} not allowed for scalar operations"
        ));
    }
    if are_scalars && operator.is_comparison() && !binary.returns_bool {
        return fail("comparisons between scalars must use BOOL modifier");
    }
    Ok(if are_scalars {
        Type::Scalar
    } else {
        Type::Vector
    })
}

fn check_call(expression: &Expression, call: &Call) -> Result<Type, ParseError> {
    let function = call.function;
    let got = call.arguments.len();
    let expected = if got < function.least {
        let word = if function.least == function.most {
            ""
        } else {
            "at least "
        };
        Some((word, function.least))
    } else if got > function.most {
        let word = if function.least == function.most {
            ""
        } else {
            "at most "
        };
        Some((word, function.most))
    } else {
        None
    };
    let name = function.name;
    if let Some((word, count)) = expected {
        let message = format!("expected {word}{count} argument(s) in call to {name:?}, got {got}");
        return Err(ParseError::new(expression.span.start, message));
    }
    let is_info = name == "info";
    for (place, argument) in call.arguments.iter().enumerate() {
        // The second argument of `info` only says which labels to add: it may select everything.
        let found = match &argument.node {
            Node::Vector(_) if is_info && place == 1 => Type::Vector,
            _ => check(argument)?,
        };
        let Some(wanted) = function.argument(place).filter(|wanted| *wanted != found) else {
            continue;
        };
        let message = format!(
            "expected type {} in call to function {name:?}, got {}",
            wanted.name(),
            found.name()
        );
        return Err(ParseError::new(argument.span.start, message));
    }
    if is_info
        && let Some(argument) = call.arguments.get(1)
        && !matches!(&argument.node, Node::Vector(selector) if selector.name.is_none())
    {
        let message = "expected label selectors only";
        return Err(ParseError::new(argument.span.start, message.to_owned()));
    }
    Ok(function.returns)
}

fn check_aggregate(aggregate: &Aggregate) -> Result<Type, ParseError> {
    let wrong = |at: &Expression, wanted: Type, place: &str, found: Type| {
        let (wanted, found) = (wanted.name(), found.name());
        let message = format!("expected type {wanted} in {place}, got {found}");
        Err(ParseError::new(at.span.start, message))
    };
    let found = check(&aggregate.inner)?;
    if found != Type::Vector {
        return wrong(
            &aggregate.inner,
            Type::Vector,
            "aggregation expression",
            found,
        );
    }
    if let (Some(parameter), Some(wanted)) = (&aggregate.parameter, aggregate.operation.parameter())
    {
        let found = check(parameter)?;
        if found != wanted {
            return wrong(parameter, wanted, "aggregation parameter", found);
        }
    }
    Ok(Type::Vector)
}

/// The type of an expression that has been checked.
pub(crate) fn type_of(expression: &Expression) -> Type {
    match &expression.node {
        Node::Number(_) => Type::Scalar,
        Node::Text(_) => Type::Text,
        Node::Vector(_) | Node::Aggregate(_) => Type::Vector,
        Node::Matrix(..) | Node::Subquery(_) => Type::Matrix,
        Node::Unary { inner, .. } | Node::Parenthesized(inner) => type_of(inner),
        Node::Binary(binary) => {
            let sides = [type_of(&binary.left), type_of(&binary.right)];
            if sides == [Type::Scalar, Type::Scalar] {
                Type::Scalar
            } else {
                Type::Vector
            }
        }
        Node::Call(call) => call.function.returns,
    }
}

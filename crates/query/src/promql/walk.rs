//! Walking an expression without evaluating it.

use super::ast::{Expression, Node};
use crate::matcher::Matcher;

impl Expression {
    /// The matchers of all selectors in it, from left to right.
    pub fn selectors(&self) -> Vec<Vec<Matcher>> {
        let mut found = Vec::new();
        collect(self, &mut found);
        found
    }
}

/// Expressions are not deeper than the parser allows, so that this does not leave the stack.
fn collect(expression: &Expression, found: &mut Vec<Vec<Matcher>>) {
    match &expression.node {
        Node::Number(_) | Node::Text(_) => {}
        Node::Vector(selector) | Node::Matrix(selector, _) => found.push(selector.matchers.clone()),
        Node::Subquery(subquery) => collect(&subquery.inner, found),
        Node::Unary { inner, .. } | Node::Parenthesized(inner) => collect(inner, found),
        Node::Binary(binary) => {
            collect(&binary.left, found);
            collect(&binary.right, found);
        }
        Node::Call(call) => {
            for argument in &call.arguments {
                collect(argument, found);
            }
        }
        Node::Aggregate(aggregate) => {
            if let Some(parameter) = &aggregate.parameter {
                collect(parameter, found);
            }
            collect(&aggregate.inner, found);
        }
    }
}

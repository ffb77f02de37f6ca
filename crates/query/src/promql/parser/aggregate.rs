//! Aggregations and the lists of labels that they share with matching.

use super::{Kind, LIST_MAX, ParseError, Parser};
use crate::promql::ast::{Aggregate, Aggregation, Expression, Node};

impl Parser<'_> {
    /// `by (…) (parameter, vector)`, or the other way round.
    pub(super) fn aggregate(
        &mut self,
        start: usize,
        operation: Aggregation,
    ) -> Result<Expression, ParseError> {
        let mut grouping = self.aggregate_labels()?;
        let mut arguments = self.deeper(Self::arguments)?;
        if grouping.is_none() {
            grouping = self.aggregate_labels()?;
        }
        let expected = 1 + usize::from(operation.parameter().is_some());
        if arguments.len() != expected {
            let message = if arguments.is_empty() {
                "no arguments for aggregate expression provided".to_owned()
            } else {
                let got = arguments.len();
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {expected}, got {got}"
                )
            };
            return Err(ParseError::new(start, message));
        }
        let Some(inner) = arguments.pop() else {
            return Err(self.unexpected("aggregation"));
        };
        let parameter = arguments.pop();
        let (is_without, labels) = grouping.unwrap_or_default();
        let height = parameter.as_ref().map_or(0, |parameter| parameter.height);
        let height = height.max(inner.height);
        let aggregate = Aggregate {
            operation,
            parameter,
            inner,
            is_without,
            labels,
        };
        self.made(start, Node::Aggregate(Box::new(aggregate)), height)
    }

    fn aggregate_labels(&mut self) -> Result<Option<(bool, Vec<String>)>, ParseError> {
        let is_without = self.is_word("without");
        if !is_without && !self.is_word("by") {
            return Ok(None);
        }
        self.advance()?;
        Ok(Some((is_without, self.label_names()?)))
    }

    /// `(a, "b.c")`
    pub(super) fn label_names(&mut self) -> Result<Vec<String>, ParseError> {
        self.expect("(", "grouping opts")?;
        let mut names = Vec::new();
        while !self.is_symbol(")") {
            names.push(self.label_name("grouping opts, expected label")?);
            if names.len() > LIST_MAX {
                return Err(self.unexpected("list with too many labels"));
            }
            if !self.accept(",")? {
                break;
            }
        }
        self.expect(")", "grouping opts, expected \",\" or \")\"")?;
        Ok(names)
    }

    /// A label's name, plain or in quotes.
    pub(super) fn label_name(&mut self, place: &str) -> Result<String, ParseError> {
        let name = match &self.ahead.kind {
            Kind::Word(word) if !word.contains(':') => Some(word.clone()),
            Kind::Text(text) => String::from_utf8(text.clone())
                .ok()
                .filter(|name| !name.is_empty()),
            _ => None,
        };
        let Some(name) = name else {
            return Err(self.unexpected(place));
        };
        self.advance()?;
        Ok(name)
    }
}

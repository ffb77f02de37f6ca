//! Lengths of time: plain ones, and expressions of them in brackets and behind `offset`.

use super::{Kind, ParseError, Parser};
use crate::promql::ast::{Duration, DurationNode, DurationOperator, Number, Span};

/// Longer ones are refused: a thousand years in milliseconds.
const DURATION_MS_MAX: f64 = 365_000.0 * 86_400_000.0;

impl DurationNode {
    /// Milliseconds, given the query's step and range in milliseconds.
    ///
    /// # Errors
    /// Why there is none, as a sentence.
    pub(crate) fn milliseconds(&self, step_ms: i64, range_ms: i64) -> Result<i64, String> {
        let seconds = self.seconds(step_ms, range_ms)?;
        let milliseconds = (seconds * 1000.0).round();
        if milliseconds.is_nan() || milliseconds.abs() > DURATION_MS_MAX {
            return Err("duration out of range".to_owned());
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
        Ok(milliseconds as i64)
    }

    fn seconds(&self, step_ms: i64, range_ms: i64) -> Result<f64, String> {
        Ok(match self {
            DurationNode::Number(number) => number.value,
            DurationNode::Parenthesized(inner) => inner.seconds(step_ms, range_ms)?,
            DurationNode::Step => step_ms as f64 / 1000.0,
            DurationNode::Range => range_ms as f64 / 1000.0,
            DurationNode::Negated(inner) => -inner.seconds(step_ms, range_ms)?,
            DurationNode::Binary(operator, left, right) => {
                let left = left.seconds(step_ms, range_ms)?;
                let right = right.seconds(step_ms, range_ms)?;
                match operator {
                    DurationOperator::Add => left + right,
                    DurationOperator::Subtract => left - right,
                    DurationOperator::Multiply => left * right,
                    DurationOperator::Divide if right == 0.0 => {
                        return Err("division by zero in duration expression".to_owned());
                    }
                    DurationOperator::Modulo if right == 0.0 => {
                        return Err("modulo by zero in duration expression".to_owned());
                    }
                    DurationOperator::Divide => left / right,
                    DurationOperator::Modulo => left % right,
                    DurationOperator::Power => left.powf(right),
                    DurationOperator::Least => left.min(right),
                    DurationOperator::Greatest => left.max(right),
                }
            }
        })
    }

    /// Milliseconds of one that is the same in all queries.
    fn constant(&self) -> Option<Result<i64, String>> {
        (!self.depends_on_query()).then(|| self.milliseconds(0, 0))
    }

    /// Whether it is a number, with or without a sign.
    fn is_plain(&self) -> bool {
        match self {
            DurationNode::Number(_) => true,
            DurationNode::Negated(inner) => matches!(**inner, DurationNode::Number(_)),
            _ => false,
        }
    }

    fn depends_on_query(&self) -> bool {
        match self {
            DurationNode::Number(_) => false,
            DurationNode::Step | DurationNode::Range => true,
            DurationNode::Negated(inner) | DurationNode::Parenthesized(inner) => {
                inner.depends_on_query()
            }
            DurationNode::Binary(_, left, right) => {
                left.depends_on_query() || right.depends_on_query()
            }
        }
    }
}

impl Parser<'_> {
    /// A duration of a range or step.
    pub(super) fn positive_duration(&mut self) -> Result<Duration, ParseError> {
        let start = self.ahead.span.start;
        let node = self.duration_expression(0)?;
        if node
            .constant()
            .is_some_and(|found| matches!(found, Ok(..=0)))
        {
            let message = "duration must be greater than 0";
            return Err(ParseError::new(start, message.to_owned()));
        }
        self.finished(start, node)
    }

    /// A duration behind `offset`: operators need brackets there.
    pub(super) fn offset_duration(&mut self) -> Result<Duration, ParseError> {
        let start = self.ahead.span.start;
        let negates = self.is_symbol("-");
        if negates || self.is_symbol("+") {
            self.advance()?;
        }
        let node = self.duration_operand()?;
        let node = if negates {
            DurationNode::Negated(Box::new(node))
        } else {
            node
        };
        self.finished(start, node)
    }

    fn finished(&self, start: usize, node: DurationNode) -> Result<Duration, ParseError> {
        let constant = node.constant().transpose();
        let constant = constant.map_err(|message| ParseError::new(start, message))?;
        if let Some(milliseconds) = constant.filter(|_| node.is_plain()) {
            return Ok(Duration::Literal(milliseconds));
        }
        let end = self.end;
        Ok(Duration::Computed(Box::new(node), Span { start, end }))
    }

    fn duration_expression(&mut self, binding: u8) -> Result<DurationNode, ParseError> {
        let mut left = self.deeper(Self::duration_unary)?;
        let mut operators = 0;
        while let Kind::Symbol(symbol) = self.ahead.kind {
            let (operator, own) = match symbol {
                "+" => (DurationOperator::Add, 1),
                "-" => (DurationOperator::Subtract, 1),
                "*" => (DurationOperator::Multiply, 2),
                "/" => (DurationOperator::Divide, 2),
                "%" => (DurationOperator::Modulo, 2),
                "^" => (DurationOperator::Power, 3),
                _ => break,
            };
            operators += 1;
            if own < binding.max(1) {
                break;
            }
            if operators > super::DEPTH_MAX {
                return Err(self.unexpected("duration with too many operators"));
            }
            self.advance()?;
            let next = own + u8::from(operator != DurationOperator::Power);
            let right = self.deeper(|parser| parser.duration_expression(next))?;
            left = DurationNode::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn duration_unary(&mut self) -> Result<DurationNode, ParseError> {
        let negates = self.is_symbol("-");
        if !negates && !self.is_symbol("+") {
            return self.duration_operand();
        }
        self.advance()?;
        let inner = self.deeper(|parser| parser.duration_expression(3))?;
        Ok(if negates {
            DurationNode::Negated(Box::new(inner))
        } else {
            inner
        })
    }

    fn duration_operand(&mut self) -> Result<DurationNode, ParseError> {
        let node = match &self.ahead.kind {
            Kind::Number(value) => DurationNode::Number(Number::plain(*value)),
            Kind::Duration(milliseconds) => DurationNode::Number(Number::duration(*milliseconds)),
            Kind::Symbol("(") => {
                self.advance()?;
                let inner = self.deeper(|parser| parser.duration_expression(0))?;
                self.expect(")", "duration expression")?;
                return Ok(DurationNode::Parenthesized(Box::new(inner)));
            }
            Kind::Word(word) => {
                let word = word.to_ascii_lowercase();
                return self.duration_function(&word);
            }
            _ => return Err(self.unexpected("duration, expected number or duration")),
        };
        self.advance()?;
        Ok(node)
    }

    /// `step()`, `range()`, `min_of(a, b)`, `max_of(a, b)`
    fn duration_function(&mut self, word: &str) -> Result<DurationNode, ParseError> {
        let place = "duration expression";
        let operator = match word {
            "step" | "range" => None,
            "min_of" => Some(DurationOperator::Least),
            "max_of" => Some(DurationOperator::Greatest),
            _ => return Err(self.unexpected("duration, expected number or duration")),
        };
        self.advance()?;
        self.expect("(", place)?;
        let node = match operator {
            None if word == "step" => DurationNode::Step,
            None => DurationNode::Range,
            Some(operator) => {
                let left = self.deeper(|parser| parser.duration_expression(0))?;
                self.expect(",", place)?;
                let right = self.deeper(|parser| parser.duration_expression(0))?;
                DurationNode::Binary(operator, Box::new(left), Box::new(right))
            }
        };
        self.expect(")", place)?;
        Ok(node)
    }
}

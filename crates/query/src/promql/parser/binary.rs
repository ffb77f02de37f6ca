//! Operators between expressions, and the modifiers that may follow them.

use super::{Kind, NESTED, ParseError, Parser};
use crate::promql::ast::{Binary, Expression, Many, Matching, Node, Operator};

impl Parser<'_> {
    /// An expression whose operators bind at least so tightly.
    pub(super) fn binary(&mut self, binding: u8) -> Result<Expression, ParseError> {
        let mut left = self.unary()?;
        while let Some(operator) = self.operator() {
            if operator.binding() < binding.max(1) {
                break;
            }
            self.advance()?;
            let (returns_bool, matching) = self.modifiers(operator)?;
            // The power binds to the right, all others to the left.
            let is_right = operator == Operator::Power;
            let next = operator.binding() + u8::from(!is_right);
            let right = self.deeper(|parser| parser.binary(next))?;
            let start = left.span.start;
            let height = (left.height + 1).max(right.height + NESTED);
            let binary = Binary {
                operator,
                left,
                right,
                returns_bool,
                matching,
            };
            left = self.with_height(start, Node::Binary(Box::new(binary)), height)?;
        }
        Ok(left)
    }

    /// The operator that comes next.
    fn operator(&self) -> Option<Operator> {
        match &self.ahead.kind {
            Kind::Symbol(symbol) => Some(match *symbol {
                "+" => Operator::Add,
                "-" => Operator::Subtract,
                "*" => Operator::Multiply,
                "/" => Operator::Divide,
                "%" => Operator::Modulo,
                "^" => Operator::Power,
                "==" => Operator::Equal,
                "!=" => Operator::NotEqual,
                "<" => Operator::Less,
                "<=" => Operator::LessOrEqual,
                ">" => Operator::Greater,
                ">=" => Operator::GreaterOrEqual,
                "</" => Operator::TrimAbove,
                ">/" => Operator::TrimBelow,
                _ => return None,
            }),
            Kind::Word(_) => [
                Operator::And,
                Operator::Or,
                Operator::Unless,
                Operator::Atan2,
            ]
            .into_iter()
            .find(|operator| self.is_word(operator.text())),
            _ => None,
        }
    }

    /// `bool`, `on (…)`, `group_left (…)`, `fill(…)`
    fn modifiers(&mut self, operator: Operator) -> Result<(bool, Matching), ParseError> {
        let mut matching = Matching::default();
        let returns_bool = self.is_word("bool");
        if returns_bool {
            if !operator.is_comparison() {
                let message = "bool modifier can only be used on comparison operators";
                return Err(ParseError::new(self.ahead.span.start, message.to_owned()));
            }
            self.advance()?;
        }
        matching.is_on = self.is_word("on") && self.lexer.is_before("(");
        if matching.is_on || self.is_word("ignoring") && self.lexer.is_before("(") {
            self.advance()?;
            matching.labels = self.label_names()?;
            self.grouping(operator, &mut matching)?;
        }
        self.fills(operator, &mut matching)?;
        if matching.is_on && !matching.include.is_empty() {
            let both = matching
                .include
                .iter()
                .find(|name| matching.labels.contains(name));
            if let Some(name) = both {
                let message =
                    format!("label {name:?} must not occur in ON and GROUP clause at once");
                return Err(ParseError::new(self.end, message));
            }
        }
        Ok((returns_bool, matching))
    }

    fn grouping(&mut self, operator: Operator, matching: &mut Matching) -> Result<(), ParseError> {
        let many = if self.is_word("group_left") {
            Many::Left
        } else if self.is_word("group_right") {
            Many::Right
        } else {
            return Ok(());
        };
        if operator.is_set() {
            let message = format!("no grouping allowed for {:?} operation", operator.text());
            return Err(ParseError::new(self.ahead.span.start, message));
        }
        self.advance()?;
        matching.many = many;
        if self.is_symbol("(") {
            matching.include = self.label_names()?;
        }
        Ok(())
    }

    /// Words such as `fill` are modifiers where a bracket follows, and metrics otherwise.
    fn fills(&mut self, operator: Operator, matching: &mut Matching) -> Result<(), ParseError> {
        loop {
            let word = ["fill", "fill_left", "fill_right"]
                .into_iter()
                .find(|word| self.is_word(word) && self.lexer.is_before("("));
            let Some(word) = word else {
                return Ok(());
            };
            if operator.is_set() {
                let message = "filling in missing series not allowed for set operators";
                return Err(ParseError::new(self.ahead.span.start, message.to_owned()));
            }
            self.advance()?;
            self.expect("(", "fill modifier")?;
            let value = self.signed_number("fill modifier")?;
            self.expect(")", "fill modifier")?;
            if word != "fill_right" {
                matching.fill_left = Some(value);
            }
            if word != "fill_left" {
                matching.fill_right = Some(value);
            }
        }
    }

    /// A number or duration with its sign; durations count in seconds.
    pub(super) fn signed_number(&mut self, place: &str) -> Result<f64, ParseError> {
        let negates = self.is_symbol("-");
        if negates || self.is_symbol("+") {
            self.advance()?;
        }
        let number = match &self.ahead.kind {
            Kind::Number(number) => Some(*number),
            Kind::Duration(milliseconds) => Some(*milliseconds as f64 / 1000.0),
            Kind::Word(word) => crate::number::parse(word),
            _ => None,
        };
        let Some(number) = number else {
            return Err(self.unexpected(place));
        };
        self.advance()?;
        Ok(if negates { -number } else { number })
    }
}

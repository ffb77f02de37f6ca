//! Selectors, and what may follow an expression: ranges, `@`, `offset`, `anchored`, `smoothed`.

use super::{Kind, LIST_MAX, ParseError, Parser, REGEXES_MAX};
use crate::labels::METRIC_NAME;
use crate::matcher::{Comparison, Matcher};
use crate::promql::ast::{At, Duration, Edges, Expression, Moment, Node, Selector, Subquery};

impl Parser<'_> {
    /// Matchers in braces, behind a name or without one.
    pub(super) fn selector(
        &mut self,
        start: usize,
        name: Option<String>,
    ) -> Result<Expression, ParseError> {
        let mut selector = Selector {
            matchers: Vec::new(),
            name,
            moment: Moment::default(),
            edges: Edges::Plain,
        };
        if self.accept("{")? {
            while !self.is_symbol("}") {
                self.matcher(&mut selector)?;
                if selector.matchers.len() > LIST_MAX {
                    return Err(self.unexpected("selector with too many matchers"));
                }
                if !self.accept(",")? {
                    break;
                }
            }
            self.expect("}", "label matching, expected \",\" or \"}\"")?;
        }
        if let Some(name) = &selector.name {
            let twice = selector
                .matchers
                .iter()
                .find(|matcher| matcher.name == METRIC_NAME);
            if let Some(twice) = twice {
                let (one, other) = (name, &twice.value);
                let message = format!("metric name must not be set twice: {one:?} or {other:?}");
                return Err(ParseError::new(start, message));
            }
            selector.matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        self.made(start, Node::Vector(selector), 0)
    }

    /// `name="value"`, or a text that is the metric's name.
    fn matcher(&mut self, selector: &mut Selector) -> Result<(), ParseError> {
        let start = self.ahead.span.start;
        let is_text = matches!(self.ahead.kind, Kind::Text(_));
        let label = self.label_name("label matching, expected identifier or \"}\"")?;
        if is_text && (self.is_symbol(",") || self.is_symbol("}")) {
            if let Some(name) = &selector.name {
                let message = format!("metric name must not be set twice: {name:?} or {label:?}");
                return Err(ParseError::new(start, message));
            }
            selector.name = Some(label);
            return Ok(());
        }
        let comparison = match self.ahead.kind {
            Kind::Symbol("=") => Comparison::Equal,
            Kind::Symbol("!=") => Comparison::NotEqual,
            Kind::Symbol("=~") => Comparison::Matches,
            Kind::Symbol("!~") => Comparison::NotMatches,
            _ => return Err(self.unexpected("label matching, expected label matching operator")),
        };
        self.advance()?;
        let Kind::Text(value) = self.ahead.kind.clone() else {
            return Err(self.unexpected("label matching, expected string"));
        };
        let value = String::from_utf8_lossy(&value);
        if matches!(comparison, Comparison::Matches | Comparison::NotMatches) {
            self.regexes += 1;
            if self.regexes > REGEXES_MAX {
                let message = format!("more than {REGEXES_MAX} regular expressions");
                return Err(ParseError::new(start, message));
            }
        }
        let matcher = Matcher::new(&label, comparison, &value).map_err(|reason| {
            let message = format!("error parsing regexp: {reason}: {value:?}");
            ParseError::new(start, message)
        })?;
        self.advance()?;
        selector.matchers.push(matcher);
        Ok(())
    }

    /// What follows an expression.
    pub(super) fn postfix(&mut self, primary: Expression) -> Result<Expression, ParseError> {
        let mut parsed = primary;
        let mut turns = 0;
        loop {
            let start = parsed.span.start;
            parsed = if self.is_symbol("[") {
                self.deeper(|parser| parser.range(parsed))?
            } else if self.is_word("offset") {
                self.offset(&mut parsed)?;
                parsed
            } else if self.is_symbol("@") {
                self.at(&mut parsed)?;
                parsed
            } else if self.is_word("anchored") || self.is_word("smoothed") {
                self.edges(&mut parsed)?;
                parsed
            } else {
                return Ok(parsed);
            };
            turns += 1;
            if turns > LIST_MAX {
                return Err(ParseError::new(start, "too many modifiers".to_owned()));
            }
            parsed.span.end = self.end;
        }
    }

    /// `[5m]`, or `[5m:1m]` of a subquery.
    fn range(&mut self, inner: Expression) -> Result<Expression, ParseError> {
        let start = inner.span.start;
        self.lexer.is_in_brackets = true;
        self.advance()?;
        let range = self.positive_duration()?;
        let is_subquery = self.accept(":")?;
        let step = if is_subquery && !self.is_symbol("]") {
            Some(self.positive_duration()?)
        } else {
            None
        };
        self.lexer.is_in_brackets = false;
        let expected = if is_subquery {
            "subquery selector, expected \"]\""
        } else {
            "subquery or range, expected \":\" or \"]\""
        };
        self.expect("]", expected)?;
        if is_subquery {
            let height = inner.height;
            let subquery = Subquery {
                inner,
                range,
                step,
                moment: Moment::default(),
            };
            return self.made(start, Node::Subquery(Box::new(subquery)), height);
        }
        match inner.node {
            Node::Vector(selector) if selector.moment != Moment::default() => {
                let message = if selector.moment.offset.is_some() {
                    "no offset modifiers allowed before range"
                } else {
                    "no @ modifiers allowed before range"
                };
                Err(ParseError::new(start, message.to_owned()))
            }
            Node::Vector(selector) => self.made(start, Node::Matrix(selector, range), 0),
            _ => {
                let message = "ranges only allowed for vector selectors";
                Err(ParseError::new(start, message.to_owned()))
            }
        }
    }

    fn offset(&mut self, of: &mut Expression) -> Result<(), ParseError> {
        let start = self.ahead.span.start;
        self.advance()?;
        let offset: Duration = self.offset_duration()?;
        let moment = moment(of).ok_or_else(|| {
            let message = "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
            ParseError::new(start, message.to_owned())
        })?;
        if moment.offset.replace(offset).is_some() {
            let message = "offset may not be set multiple times";
            return Err(ParseError::new(start, message.to_owned()));
        }
        Ok(())
    }

    fn at(&mut self, of: &mut Expression) -> Result<(), ParseError> {
        let start = self.ahead.span.start;
        self.advance()?;
        let word = [("start", At::Start), ("end", At::End)]
            .into_iter()
            .find(|(word, _)| self.is_word(word));
        let at = if let Some((_, at)) = word {
            self.advance()?;
            self.expect("(", "@ modifier")?;
            self.expect(")", "@ modifier")?;
            at
        } else {
            let seconds = self.signed_number("@, expected timestamp")?;
            let milliseconds = (seconds * 1000.0).round();
            if milliseconds.is_nan() || milliseconds.abs() >= 9e18 {
                let message = format!("timestamp out of bounds for @ modifier: {seconds}");
                return Err(ParseError::new(start, message));
            }
            #[expect(clippy::cast_possible_truncation, reason = "checked above")]
            At::Time(milliseconds as i64)
        };
        let moment = moment(of).ok_or_else(|| {
            let message = "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";
            ParseError::new(start, message.to_owned())
        })?;
        if moment.at.replace(at).is_some() {
            let message = "@ <timestamp> may not be set multiple times";
            return Err(ParseError::new(start, message.to_owned()));
        }
        Ok(())
    }

    fn edges(&mut self, of: &mut Expression) -> Result<(), ParseError> {
        let start = self.ahead.span.start;
        let is_anchored = self.is_word("anchored");
        self.advance()?;
        let (selector, is_matrix) = match &mut of.node {
            Node::Vector(selector) => (selector, false),
            Node::Matrix(selector, _) => (selector, true),
            _ => {
                let message = "anchored and smoothed modifiers must be preceded by a selector";
                return Err(ParseError::new(start, message.to_owned()));
            }
        };
        if selector.edges != Edges::Plain {
            let message = "anchored and smoothed modifiers cannot be used together";
            return Err(ParseError::new(start, message.to_owned()));
        }
        if is_anchored && !is_matrix {
            let message = "anchored modifier can only be used with range vector selectors";
            return Err(ParseError::new(start, message.to_owned()));
        }
        selector.edges = if is_anchored {
            Edges::Anchored
        } else {
            Edges::Smoothed
        };
        Ok(())
    }
}

/// When an expression looks, if it can be said.
fn moment(of: &mut Expression) -> Option<&mut Moment> {
    match &mut of.node {
        Node::Vector(selector) | Node::Matrix(selector, _) => Some(&mut selector.moment),
        Node::Subquery(subquery) => Some(&mut subquery.moment),
        _ => None,
    }
}

//! A series as tests and messages write it: a name with labels, all of them known.

use super::{Kind, ParseError, Parser, place};
use crate::labels::{Labels, METRIC_NAME};

/// Reads `name{label="value"}` at the begin of a text; says how many bytes it took.
///
/// # Errors
/// What is wrong with it, with its place.
pub fn metric(text: &str) -> Result<(Labels, usize), ParseError> {
    let located = |mut error: ParseError| {
        error.place = place(text, error.position);
        error
    };
    let mut parser = Parser::new(text).map_err(located)?;
    parser.metric().map_err(located)
}

impl Parser<'_> {
    fn metric(&mut self) -> Result<(Labels, usize), ParseError> {
        let mut pairs = Vec::new();
        let mut end = 0;
        if let Kind::Word(name) = &self.ahead.kind {
            pairs.push((METRIC_NAME.to_owned(), name.clone()));
            end = self.ahead.span.end;
            // What follows a bare name may be no token at all; two braces begin a histogram.
            if !self.lexer.is_before("{") || self.lexer.is_before("{{") {
                return Ok((Labels::new(pairs), end));
            }
            self.advance()?;
        }
        self.expect("{", "series description")?;
        while !self.is_symbol("}") {
            let is_text = matches!(self.ahead.kind, Kind::Text(_));
            let name = self.label_name("series description, expected label")?;
            if is_text && (self.is_symbol(",") || self.is_symbol("}")) {
                pairs.push((METRIC_NAME.to_owned(), name));
            } else {
                self.expect("=", "series description")?;
                let Kind::Text(value) = self.ahead.kind.clone() else {
                    return Err(self.unexpected("series description, expected string"));
                };
                self.advance()?;
                pairs.push((name, String::from_utf8_lossy(&value).into_owned()));
            }
            if pairs.len() > super::LIST_MAX {
                return Err(self.unexpected("series with too many labels"));
            }
            if !self.is_symbol(",") {
                break;
            }
            self.advance()?;
        }
        if !self.is_symbol("}") {
            return Err(self.unexpected("series description, expected \"}\""));
        }
        end = end.max(self.ahead.span.end);
        Ok((Labels::new(pairs), end))
    }
}

//! Matchers: what a selector wants of a label.

use std::fmt;

use regex::Regex;

use crate::labels::Labels;
use crate::quote::quoted;
use crate::re2;

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`: the whole value matches a regular expression.
    Matches,
    /// `!~`
    NotMatches,
}

impl Comparison {
    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "!=",
            Comparison::Matches => "=~",
            Comparison::NotMatches => "!~",
        }
    }
}

/// A condition on one label; a label that a series does not have counts as empty.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub value: String,
    regex: Option<Regex>,
    /// The regular expression in the `regex` crate's spelling.
    pattern: String,
}

impl Matcher {
    /// A matcher.
    ///
    /// # Errors
    /// Why the value is no regular expression, when it has to be one.
    pub fn new(name: &str, comparison: Comparison, value: &str) -> Result<Matcher, String> {
        let is_regex = matches!(comparison, Comparison::Matches | Comparison::NotMatches);
        let compiled = is_regex.then(|| re2::anchored(value)).transpose()?;
        let (regex, pattern) = compiled.unzip();
        Ok(Matcher {
            name: name.to_owned(),
            comparison,
            value: value.to_owned(),
            regex,
            pattern: pattern.unwrap_or_default(),
        })
    }

    /// A matcher for one value.
    pub fn equal(name: &str, value: &str) -> Matcher {
        Matcher {
            name: name.to_owned(),
            comparison: Comparison::Equal,
            value: value.to_owned(),
            regex: None,
            pattern: String::new(),
        }
    }

    /// What a store compares with: the value, or the regular expression in the spelling of the `regex`
    /// crate, without anchors; a dot in it is any character.
    pub fn pattern(&self) -> &str {
        match self.regex {
            Some(_) => &self.pattern,
            None => &self.value,
        }
    }

    /// Whether a value of the label is wanted.
    pub fn matches(&self, value: &str) -> bool {
        let is_match = self
            .regex
            .as_ref()
            .map_or(self.value == value, |regex| regex.is_match(value));
        is_match == matches!(self.comparison, Comparison::Equal | Comparison::Matches)
    }

    /// Whether a series with these labels is wanted, as far as this matcher goes.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        (&self.name, self.comparison, &self.value) == (&other.name, other.comparison, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = quoted(self.value.as_bytes());
        write!(f, "{}{}{value}", self.name, self.comparison.text())
    }
}

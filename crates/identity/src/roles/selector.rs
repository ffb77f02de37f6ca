//! Label selectors: every key must fit (and), one of its values must match (or).

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::names::{self, Labels};

/// Keys of one selector.
const KEYS_MAX: usize = 32;
/// Values of one key.
const VALUES_MAX: usize = 64;
/// The longest value, in bytes.
const VALUE_BYTES_MAX: usize = 256;
/// The largest compiled expression, in bytes.
const EXPRESSION_BYTES_MAX: usize = 64 << 10;

/// Which labels fit. A value is a text, `*` for any value, or `^…$`, a regular expression. The key
/// `*` with the value `*` fits everything, labelled or not.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, OneOrMore>",
    into = "BTreeMap<String, OneOrMore>"
)]
pub struct Selector {
    keys: BTreeMap<String, Vec<Pattern>>,
}

/// One value of a selector.
#[derive(Debug, Clone)]
enum Pattern {
    Any,
    Text(String),
    Expression(Regex),
}

/// `prod` or `[prod, test]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// Why a selector is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// A key.
    #[error(
        "selector key {0:?}: use letters, digits, `-`, `_`, `.` and `/`, or `*` with value `*`"
    )]
    Key(String),
    /// A value.
    #[error("selector {0}: 1 to 64 values of at most 256 bytes")]
    Value(String),
    /// An expression.
    #[error("selector {key}: {value:?} is not a regular expression that can be used: {reason}")]
    Expression {
        /// The key.
        key: String,
        /// The expression.
        value: String,
        /// Why.
        reason: String,
    },
    /// Too many keys.
    #[error("a selector has at most 32 keys")]
    TooMany,
}

impl Selector {
    /// Reads the texts.
    pub fn new(keys: &BTreeMap<String, Vec<String>>) -> Result<Self, SelectorError> {
        if keys.len() > KEYS_MAX {
            return Err(SelectorError::TooMany);
        }
        let mut parsed = BTreeMap::new();
        for (key, values) in keys {
            let is_any = key == "*" && values.iter().all(|value| value == "*");
            if !is_any && !names::is_label_key(key) {
                return Err(SelectorError::Key(names::shortened(key)));
            }
            if values.is_empty() || values.len() > VALUES_MAX {
                return Err(SelectorError::Value(key.clone()));
            }
            let patterns = values.iter().map(|value| Pattern::new(key, value));
            parsed.insert(key.clone(), patterns.collect::<Result<_, _>>()?);
        }
        Ok(Self { keys: parsed })
    }

    /// Whether it fits everything because it says nothing.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether these labels fit.
    pub fn fits(&self, labels: &Labels) -> bool {
        self.keys.iter().all(|(key, patterns)| {
            if key == "*" {
                return true;
            }
            let value = labels.get(key);
            value.is_some_and(|value| patterns.iter().any(|pattern| pattern.matches(value)))
        })
    }
}

impl Pattern {
    fn new(key: &str, value: &str) -> Result<Self, SelectorError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(SelectorError::Value(key.to_owned()));
        }
        if value == "*" {
            return Ok(Self::Any);
        }
        let Some(inner) = value
            .strip_prefix('^')
            .and_then(|rest| rest.strip_suffix('$'))
        else {
            return Ok(Self::Text(value.to_owned()));
        };
        let wrong = |reason: String| SelectorError::Expression {
            key: key.to_owned(),
            value: value.to_owned(),
            reason,
        };
        let compile = |text: &str| {
            let compiled = RegexBuilder::new(text)
                .size_limit(EXPRESSION_BYTES_MAX)
                .build();
            compiled.map_err(|error| wrong(error.to_string()))
        };
        // Compiled alone first: `a)|(b` would be an expression only between our brackets.
        compile(inner)?;
        // The brackets keep `^a|b$` from meaning "begins with a, or ends with b".
        compile(&format!("^(?:{inner})$")).map(Self::Expression)
    }

    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Text(text) => text == value,
            Self::Expression(expression) => expression.is_match(value),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Text(text) => text.clone(),
            Self::Expression(expression) => {
                let text = expression.as_str();
                let inner = text
                    .strip_prefix("^(?:")
                    .and_then(|rest| rest.strip_suffix(")$"));
                format!("^{}$", inner.unwrap_or(text))
            }
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

impl Eq for Selector {}

impl TryFrom<BTreeMap<String, OneOrMore>> for Selector {
    type Error = SelectorError;

    fn try_from(keys: BTreeMap<String, OneOrMore>) -> Result<Self, Self::Error> {
        let keys = keys.into_iter().map(|(key, values)| match values {
            OneOrMore::One(value) => (key, vec![value]),
            OneOrMore::More(values) => (key, values),
        });
        Self::new(&keys.collect())
    }
}

impl From<Selector> for BTreeMap<String, OneOrMore> {
    fn from(selector: Selector) -> Self {
        let keys = selector.keys.into_iter();
        keys.map(|(key, patterns)| {
            let texts = patterns.iter().map(Pattern::text).collect();
            (key, OneOrMore::More(texts))
        })
        .collect()
    }
}

//! Relabelling: rules that change, keep and drop labels of targets and of series.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use md5::{Digest, Md5};
use regex::Regex;

use super::config::Validation;

/// What stands between values that are joined.
pub(crate) const DEFAULT_SEPARATOR: &str = ";";
/// What a match is replaced by.
pub(crate) const DEFAULT_REPLACEMENT: &str = "$1";
/// What matches everything.
const DEFAULT_PATTERN: &str = "(.*)";
/// [`DEFAULT_PATTERN`], compiled once.
static EVERYTHING: OnceLock<Option<Regex>> = OnceLock::new();
/// The largest label that a replacement makes.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// Labels by name.
pub type LabelSet = BTreeMap<String, String>;

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Labels whose values are joined.
    pub source_labels: Vec<String>,
    /// What stands between them.
    pub separator: String,
    /// What the joined values, or names of labels, have to match.
    pub pattern: Pattern,
    /// For `hashmod`.
    pub modulus: u64,
    /// The label that is written or compared.
    pub target_label: String,
    /// What is written.
    pub replacement: String,
    /// What is done.
    pub action: Action,
    /// Which names may be written.
    pub validation: Validation,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Writes a label when the values match.
    Replace,
    /// Drops everything that does not match.
    Keep,
    /// Drops what matches.
    Drop,
    /// Drops everything whose values differ from a label.
    KeepEqual,
    /// Drops what is the same as a label.
    DropEqual,
    /// Writes a number below the modulus, always the same for the same values.
    HashMod,
    /// Copies labels whose names match.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes all other labels.
    LabelKeep,
    /// Writes the values in lower case.
    Lowercase,
    /// Writes the values in upper case.
    Uppercase,
}

impl Action {
    /// Its word in a configuration.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }
}

/// A regular expression for a whole text, as RE2 reads it. Two are the same when they are written the
/// same.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    /// Nothing for the default one, which matches everything and gives all of it.
    regex: Option<Regex>,
}

impl Default for Pattern {
    fn default() -> Self {
        Self {
            text: DEFAULT_PATTERN.to_owned(),
            regex: None,
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Pattern {
    /// Compiles one.
    ///
    /// # Errors
    /// Why it is none, as a sentence.
    pub fn new(text: &str) -> Result<Self, String> {
        if text == DEFAULT_PATTERN {
            return Ok(Self::default());
        }
        Ok(Self {
            text: text.to_owned(),
            regex: Some(query::re2::compile(text)?),
        })
    }

    /// As it is written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_default(&self) -> bool {
        self.text == DEFAULT_PATTERN
    }

    fn matches(&self, value: &str) -> bool {
        self.regex
            .as_ref()
            .is_none_or(|regex| regex.is_match(value))
    }

    /// The templates filled in from a match; nothing without one.
    fn expand<const N: usize>(&self, value: &str, templates: [&str; N]) -> Option<[String; N]> {
        let regex = match &self.regex {
            Some(regex) => regex,
            None if templates == [DEFAULT_REPLACEMENT; N] => {
                return Some(templates.map(|_| value.to_owned()));
            }
            None => EVERYTHING
                .get_or_init(|| query::re2::compile(DEFAULT_PATTERN).ok())
                .as_ref()?,
        };
        let captures = regex.captures(value)?;
        Some(templates.map(|template| {
            let mut out = String::new();
            if template.contains('$') {
                captures.expand(template, &mut out);
            } else {
                out.push_str(template);
            }
            out
        }))
    }
}

/// Applies rules in their order; `false` when the labels are dropped. A label whose value becomes
/// empty is removed.
pub fn apply(rules: &[Rule], labels: &mut LabelSet) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

impl Rule {
    /// Applies one rule; `false` when the labels are dropped.
    pub(crate) fn apply(&self, labels: &mut LabelSet) -> bool {
        match self.action {
            Action::Keep => self.pattern.matches(&self.joined(labels)),
            Action::Drop => !self.pattern.matches(&self.joined(labels)),
            Action::KeepEqual => self.is_equal(labels),
            Action::DropEqual => !self.is_equal(labels),
            Action::Replace => {
                self.replace(labels);
                true
            }
            Action::HashMod => {
                let number = hash(&self.joined(labels)) % self.modulus.max(1);
                set(labels, &self.target_label, number.to_string());
                true
            }
            Action::Lowercase => {
                set(
                    labels,
                    &self.target_label,
                    self.joined(labels).to_lowercase(),
                );
                true
            }
            Action::Uppercase => {
                set(
                    labels,
                    &self.target_label,
                    self.joined(labels).to_uppercase(),
                );
                true
            }
            Action::LabelMap => {
                self.map(labels);
                true
            }
            Action::LabelDrop => {
                labels.retain(|name, _| !self.pattern.matches(name));
                true
            }
            Action::LabelKeep => {
                labels.retain(|name, _| self.pattern.matches(name));
                true
            }
        }
    }

    fn joined(&self, labels: &LabelSet) -> String {
        let mut joined = String::new();
        for (at, name) in self.source_labels.iter().enumerate() {
            if at > 0 {
                joined.push_str(&self.separator);
            }
            joined.push_str(labels.get(name).map_or("", String::as_str));
        }
        joined
    }

    fn is_equal(&self, labels: &LabelSet) -> bool {
        let value = labels.get(&self.target_label).map_or("", String::as_str);
        self.joined(labels) == value
    }

    fn replace(&self, labels: &mut LabelSet) {
        let joined = self.joined(labels);
        // The target's name is a template, too; most have no variable in it.
        let expanded = if self.target_label.contains('$') {
            self.pattern
                .expand(&joined, [&self.target_label, &self.replacement])
        } else {
            let value = self.pattern.expand(&joined, [self.replacement.as_str()]);
            value.map(|[value]| [self.target_label.clone(), value])
        };
        let Some([name, value]) = expanded else {
            return;
        };
        if self.validation.allows_label(&name) && value.len() <= VALUE_BYTES_MAX {
            set(labels, &name, value);
        }
    }

    fn map(&self, labels: &mut LabelSet) {
        let mapped: Vec<(String, String)> = labels
            .iter()
            .filter_map(|(name, value)| {
                let [name] = self.pattern.expand(name, [self.replacement.as_str()])?;
                Some((name, value.clone()))
            })
            .collect();
        for (name, value) in mapped {
            if self.validation.allows_label(&name) {
                set(labels, &name, value);
            }
        }
    }
}

fn set(labels: &mut LabelSet, name: &str, value: String) {
    if value.is_empty() {
        labels.remove(name);
    } else {
        labels.insert(name.to_owned(), value);
    }
}

/// The last eight bytes of the MD5, the first of them the highest.
fn hash(text: &str) -> u64 {
    let digest = Md5::digest(text.as_bytes());
    digest
        .iter()
        .skip(8)
        .fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

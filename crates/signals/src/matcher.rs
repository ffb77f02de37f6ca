//! Conditions on labels: `=`, `!=`, `=~`, `!~`, with shortcuts for patterns that are lists of
//! words or begin with one.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::literal::{ExtractKind, Extractor};

use crate::postings;

/// Bytes that a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Words of a pattern that are looked up one by one instead of trying it on every value.
const WORDS_MAX: usize = 512;

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`: the whole value matches the pattern.
    Matches,
    /// `!~`
    MatchesNot,
}

/// A condition on one label. A label that a series does not have is empty.
#[derive(Debug, Clone)]
pub struct Matcher {
    name: String,
    operator: Operator,
    value: String,
    test: Test,
}

/// Matchers that are written alike.
impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (self.operator, &self.name, &self.value) == (other.operator, &other.name, &other.value)
    }
}

/// A pattern that does not compile.
#[derive(Debug, Clone, thiserror::Error)]
#[error("pattern {pattern:?} for label {label:?} does not compile: {reason}")]
pub struct PatternError {
    label: String,
    pattern: String,
    reason: String,
}

/// What is left to do for one value.
#[derive(Debug, Clone)]
enum Test {
    /// It is one of these; sorted.
    Words(Vec<String>),
    /// Everything, or everything but the empty one.
    Anything { empty: bool },
    /// It begins so and matches.
    Pattern { prefix: String, regex: Regex },
}

/// Which values of a label a matcher asks for, as far as an index can use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    /// At most these.
    Words(&'a [String]),
    /// Those that begin so and pass [`Matcher::accepts`].
    Prefix(&'a str),
}

impl Matcher {
    /// `value` is a pattern for the last two operators.
    pub fn new(name: &str, operator: Operator, value: &str) -> Result<Self, PatternError> {
        let test = match operator {
            Operator::Equal | Operator::NotEqual => Test::Words(vec![value.to_owned()]),
            Operator::Matches | Operator::MatchesNot => {
                compile(value).map_err(|reason| PatternError {
                    label: name.to_owned(),
                    pattern: value.to_owned(),
                    reason,
                })?
            }
        };
        Ok(Self {
            name: name.to_owned(),
            operator,
            value: value.to_owned(),
            test,
        })
    }

    /// `name="value"`.
    pub fn equal(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            operator: Operator::Equal,
            value: value.to_owned(),
            test: Test::Words(vec![value.to_owned()]),
        }
    }

    /// The label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The value or pattern as it was given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label of this value is asked for.
    pub fn matches(&self, value: &str) -> bool {
        self.accepts(value) != self.is_negative()
    }

    /// Whether it is one of those that exclude what they accept.
    pub(crate) fn is_negative(&self) -> bool {
        matches!(self.operator, Operator::NotEqual | Operator::MatchesNot)
    }

    /// Whether the value or pattern accepts this, whatever that means for the operator.
    pub(crate) fn accepts(&self, value: &str) -> bool {
        match &self.test {
            Test::Words(words) => words.binary_search_by(|word| (**word).cmp(value)).is_ok(),
            Test::Anything { empty } => *empty || !value.is_empty(),
            Test::Pattern { prefix, regex } => value.starts_with(prefix) && regex.is_match(value),
        }
    }

    /// The values that [`Matcher::accepts`] can accept.
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        match &self.test {
            Test::Words(words) => Wanted::Words(words),
            Test::Anything { .. } => Wanted::Prefix(""),
            Test::Pattern { prefix, .. } => Wanted::Prefix(prefix),
        }
    }
}

/// The series for which all matchers hold, for any index: `all` gives every series, `with` those
/// whose value the matcher accepts (`true`), or that have a value which it does not accept.
pub(crate) fn find<E>(
    matchers: &[Matcher],
    all: impl FnOnce() -> Result<Vec<u32>, E>,
    mut with: impl FnMut(&Matcher, bool) -> Result<Vec<u32>, E>,
) -> Result<Vec<u32>, E> {
    let (include, exclude): (Vec<_>, Vec<_>) =
        matchers.iter().partition(|matcher| !matcher.matches(""));
    let mut found: Option<Vec<u32>> = None;
    for matcher in include {
        let ids = with(matcher, !matcher.is_negative())?;
        let both = match found {
            Some(before) => postings::intersect(&before, &ids),
            None => ids,
        };
        if both.is_empty() {
            return Ok(both);
        }
        found = Some(both);
    }
    let mut found = match found {
        Some(found) => found,
        None => all()?,
    };
    // A matcher that holds for a missing label says which series it does not want.
    for matcher in exclude {
        let ids = with(matcher, matcher.is_negative())?;
        found = postings::subtract(&found, &ids);
    }
    Ok(found)
}

fn compile(pattern: &str) -> Result<Test, String> {
    match pattern {
        ".*" => return Ok(Test::Anything { empty: true }),
        ".+" => return Ok(Test::Anything { empty: false }),
        _ => {}
    }
    let syntax = regex_syntax::ParserBuilder::new()
        .dot_matches_new_line(true)
        .build()
        .parse(pattern)
        .map_err(|error| error.to_string())?;
    let mut extractor = Extractor::new();
    extractor
        .kind(ExtractKind::Prefix)
        .limit_total(WORDS_MAX)
        .limit_class(WORDS_MAX)
        .limit_repeat(8);
    let found = extractor.extract(&syntax);
    // A look-around is not part of the words.
    let is_plain = syntax.properties().look_set().is_empty();
    if is_plain && found.is_exact() {
        let words = found.literals().unwrap_or_default().iter();
        let words: Result<Vec<_>, _> = words
            .map(|word| String::from_utf8(word.as_bytes().to_vec()))
            .collect();
        if let Ok(mut words) = words {
            words.sort_unstable();
            words.dedup();
            return Ok(Test::Words(words));
        }
    }
    let prefix = found.longest_common_prefix().unwrap_or_default();
    let prefix = String::from_utf8(prefix.to_vec()).unwrap_or_default();
    // The pattern alone first: `a)(b` must not become right by what surrounds it.
    let regex = RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
        .dot_matches_new_line(true)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| error.to_string())?;
    Ok(Test::Pattern { prefix, regex })
}

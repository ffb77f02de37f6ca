//! Regular expressions with RE2's meaning on the `regex` crate: the two differ in classes, braces
//! and escapes. Anchored at both ends, and a dot is any character, as matchers of labels want it.

use regex::{Regex, RegexBuilder};

/// Bytes of a compiled expression.
const COMPILED_BYTES_MAX: usize = 2 << 20;
/// Bytes of an expression.
const PATTERN_BYTES_MAX: usize = 64 << 10;

/// Compiles an expression that has to match the whole text, as matchers and relabelling want it.
///
/// # Errors
/// Why it is none, as a sentence.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    anchored(pattern).map(|(regex, _)| regex)
}

/// Compiles an expression that has to match the whole text; with it, the expression in the crate's
/// spelling.
///
/// # Errors
/// Why it is none, as a sentence.
pub(crate) fn anchored(pattern: &str) -> Result<(Regex, String), String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("longer than {PATTERN_BYTES_MAX} bytes"));
    }
    let translated = translate(pattern)?;
    // By itself first: what closes a group that it did not open must not reach the anchors.
    let build = |text: &str| {
        RegexBuilder::new(text)
            .size_limit(COMPILED_BYTES_MAX)
            .dot_matches_new_line(true)
            .build()
            .map_err(|error| reason(&error))
    };
    if translated.contains(')') {
        build(&translated)?;
    }
    let regex = build(&format!("^(?:{translated})$"))?;
    Ok((regex, translated))
}

fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// Repetitions of more than this are refused, as RE2 does.
const REPETITIONS_MAX: u32 = 1000;

/// What has been repeated already cannot be repeated once more, except to say that it shall match as
/// little as possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeated {
    No,
    Once,
    Lazily,
}

/// Writes what the two dialects read differently so that both mean RE2's.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut is_in_class = false;
    let mut repeated = Repeated::No;
    while let Some(letter) = rest.chars().next() {
        let after = rest.get(letter.len_utf8()..).unwrap_or_default();
        let bounds = repetition(after).filter(|_| letter == '{' && !is_in_class);
        let repeats = !is_in_class && (matches!(letter, '*' | '+' | '?') || bounds.is_some());
        repeated = match (repeats, repeated) {
            (false, _) => Repeated::No,
            (true, Repeated::No) => Repeated::Once,
            (true, Repeated::Once) if letter == '?' => Repeated::Lazily,
            _ => return Err("invalid nested repetition operator".to_owned()),
        };
        if let Some((most, braces)) = bounds {
            if most > REPETITIONS_MAX {
                return Err("invalid repeat count".to_owned());
            }
            out.push('{');
            out.push_str(braces);
            rest = after.get(braces.len()..).unwrap_or_default();
            continue;
        }
        rest = match letter {
            '\\' => escape(&mut out, after),
            '[' if is_in_class && after.starts_with(':') => {
                out.push(letter);
                after
            }
            '[' if !is_in_class => {
                is_in_class = true;
                open_class(&mut out, after)
            }
            ']' if is_in_class && !out.ends_with(':') => {
                is_in_class = false;
                out.push(letter);
                after
            }
            _ => {
                let is_literal = matches!(letter, '[' | '&' | '~') && is_in_class
                    || letter == '{' && !is_in_class;
                if is_literal {
                    out.push('\\');
                }
                out.push(letter);
                after
            }
        };
    }
    Ok(out)
}

/// A class begins; a bracket that stands first in it is a member.
fn open_class<'a>(out: &mut String, after: &'a str) -> &'a str {
    out.push('[');
    let mut rest = after;
    if let Some(negated) = rest.strip_prefix('^') {
        out.push('^');
        rest = negated;
    }
    if let Some(member) = rest.strip_prefix(']') {
        out.push_str("\\]");
        rest = member;
    }
    rest
}

/// What follows a backslash. Digits, words and blanks are ASCII only.
fn escape<'a>(out: &mut String, after: &'a str) -> &'a str {
    let Some(letter) = after.chars().next() else {
        out.push('\\');
        return after;
    };
    let rest = after.get(letter.len_utf8()..).unwrap_or_default();
    let class = match letter {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        's' => "[\\t\\n\\f\\r ]",
        'S' => "[^\\t\\n\\f\\r ]",
        'b' => "(?-u:\\b)",
        '<' => "<",
        '>' => ">",
        'Q' => {
            let (literal, rest) = rest.split_once("\\E").unwrap_or((rest, ""));
            out.push_str(&regex::escape(literal));
            return rest;
        }
        _ => {
            out.push('\\');
            out.push(letter);
            return rest;
        }
    };
    out.push_str(class);
    rest
}

/// The larger number of `3}`, `3,}` or `3,5}`, and that text; a brace before anything else is a
/// character.
fn repetition(after: &str) -> Option<(u32, &str)> {
    let end = after.find('}')?;
    let inside = after.get(..end)?;
    let (from, to) = inside.split_once(',').unwrap_or((inside, ""));
    let mut bytes = from.bytes().chain(to.bytes());
    if from.is_empty() || !bytes.all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |text: &str| match text {
        "" => 0,
        _ => text.parse().unwrap_or(u32::MAX),
    };
    Some((number(from).max(number(to)), after.get(..=end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        anchored(pattern).unwrap().0.is_match(text)
    }

    #[test]
    fn is_anchored_and_a_dot_is_anything() {
        assert!(matches("a.c", "a\nc"));
        assert!(!matches("b", "abc"));
        assert!(matches("a|b", "b"));
        assert!(matches("", ""));
    }

    #[test]
    fn reads_what_the_dialects_read_differently() {
        assert!(!matches("\\d", "٣"));
        assert!(matches("[\\d_]+", "1_2"));
        assert!(matches("a{", "a{"));
        assert!(matches("{a}", "{a}"));
        assert!(matches("a{2}", "aa"));
        assert!(matches("[[a]", "["));
        assert!(matches("[]a]+", "]a"));
        assert!(matches("[a&&b]+", "a&b"));
        assert!(matches("[[:digit:]x]+", "1x"));
        assert!(matches("\\Qa.b\\Ec", "a.bc"));
        assert!(matches("(?i:PRO).*", "production"));
    }

    #[test]
    fn says_why_it_is_none() {
        assert_eq!(anchored("(.*").unwrap_err(), "unclosed group");
        assert!(anchored("a)(b").is_err());
        for pattern in [
            "a**",
            "a*+",
            "a{2}{3}",
            "a{1001}",
            "a??*",
            "(a{1000}){1000}",
            "\\pL{1000}",
        ] {
            assert!(anchored(pattern).is_err(), "{pattern}");
        }
        for pattern in ["a*?", "a{2}?", "[*+]*", "a\\**"] {
            assert!(anchored(pattern).is_ok(), "{pattern}");
        }
    }
}

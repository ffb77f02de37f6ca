//! Rules about source files: length of files and functions, the first line, banned words, and the
//! two files that may be unsafe.

use std::path::Path;

use super::{Finding, Rule, functions, mask};
use crate::failure::Failure;
use crate::files;

/// Raw lines of a source file.
const FILE_LINES_MAX: usize = 800;
/// Raw lines of a function of the product.
const FUNCTION_LINES_MAX: usize = 70;
/// Raw lines of a function in tests, which may spell out a long scenario.
const TEST_FUNCTION_LINES_MAX: usize = 120;
/// The files that pass descriptors between processes, and tell the C library how to manage memory.
const UNSAFE_HOMES: [&str; 2] = ["crates/base/src/handover.rs", "crates/base/src/memory.rs"];

/// Words that mean "not finished". Written in halves, so that this file does not contain them.
const BANNED: [&str; 6] = [
    concat!("todo", "!("),
    concat!("unimpl", "emented!("),
    concat!("FIX", "ME"),
    concat!("HA", "CK"),
    concat!("for ", "now"),
    concat!("place", "holder"),
];

const FILE_LENGTH: Rule = Rule {
    name: "file length",
    reason: "a stranger can proofread one file alone",
};
const FUNCTION_LENGTH: Rule = Rule {
    name: "function length",
    reason: "a function fits on a screen",
};
const FIRST_LINE: Rule = Rule {
    name: "first line",
    reason: "the first line says what a file is and is not",
};
const WORDS: Rule = Rule {
    name: "banned word",
    reason: "what is not finished is an issue, not a remark",
};
const UNSAFE: Rule = Rule {
    name: "unsafe",
    reason: "two files can be audited, a scattered keyword cannot",
};

/// All rules of this file.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    for path in files::list(root, &[".rs", ".ts", ".svelte", ".md"])? {
        let text = files::read_text(&root.join(&path))?;
        findings.extend(file_findings(&path, &text));
    }
    Ok(findings)
}

/// Everything wrong with one file, by the rules for its kind.
fn file_findings(path: &Path, text: &str) -> Vec<Finding> {
    let kind = path
        .extension()
        .and_then(|kind| kind.to_str())
        .unwrap_or_default();
    let mut findings = Vec::new();
    if kind != "md" {
        findings.extend(length_finding(path, text));
    }
    if kind == "rs" {
        findings.extend(rust_findings(path, text));
    }
    if matches!(kind, "rs" | "md") {
        findings.extend(word_findings(path, text));
    }
    findings
}

/// A file that is too long.
fn length_finding(path: &Path, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    let problem = format!("{lines} lines, at most {FILE_LINES_MAX}");
    (lines > FILE_LINES_MAX).then(|| Finding::new(path, FILE_LINES_MAX + 1, &FILE_LENGTH, problem))
}

/// What only Rust can get wrong.
fn rust_findings(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !text.starts_with("//!") {
        findings.push(Finding::new(
            path,
            1,
            &FIRST_LINE,
            "the first line must begin with `//!`",
        ));
    }
    let code = mask::code_of(text);
    if !UNSAFE_HOMES.iter().any(|home| path == Path::new(home)) {
        for line in functions::lines_with(&code, "unsafe") {
            let problem = format!("unsafe code is allowed in {UNSAFE_HOMES:?} only");
            findings.push(Finding::new(path, line, &UNSAFE, problem));
        }
    }
    for function in functions::functions(&code) {
        let in_test = function.in_test || is_test_file(path);
        let limit = if in_test {
            TEST_FUNCTION_LINES_MAX
        } else {
            FUNCTION_LINES_MAX
        };
        if function.length > limit {
            let problem = format!(
                "{} has {} lines, at most {limit}",
                function.name, function.length
            );
            findings.push(Finding::new(path, function.line, &FUNCTION_LENGTH, problem));
        }
    }
    findings
}

/// Whether all of a file is test code.
fn is_test_file(path: &Path) -> bool {
    path.components()
        .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

/// Banned words, whatever their case when they are words of prose.
fn word_findings(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in BANNED {
            if has_word(line, word) {
                let problem = format!("{word:?}");
                findings.push(Finding::new(path, index + 1, &WORDS, problem));
            }
        }
    }
    findings
}

/// Whether `word` stands in `line` and is not a part of a longer word. Small letters in `word` also
/// match capital ones.
fn has_word(line: &str, word: &str) -> bool {
    let lower = word
        .chars()
        .any(char::is_lowercase)
        .then(|| line.to_lowercase());
    let line = lower.as_deref().unwrap_or(line);
    line.match_indices(word).any(|(start, found)| {
        let before = line.get(..start).and_then(|text| text.chars().next_back());
        let after = line
            .get(start + found.len()..)
            .and_then(|text| text.chars().next());
        let free = |side: Option<char>| !side.is_some_and(mask::is_word);
        free(before) && (word.ends_with('(') || free(after))
    })
}

#[cfg(test)]
mod tests;

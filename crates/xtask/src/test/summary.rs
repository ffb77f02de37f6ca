//! Reads the totals out of what nextest or cargo's own runner prints.

use std::collections::BTreeSet;

/// Who runs the tests and reports about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runner {
    /// cargo-nextest.
    Nextest,
    /// `cargo test`, where nextest is missing.
    Cargo,
}

/// Totals over all test binaries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Tests that ended well, also those that skipped themselves.
    pub(crate) passed: usize,
    /// Tests that failed, hung, or could not be started.
    pub(crate) failed: usize,
    /// Tests that the runner did not start: ignored ones, and those that filters exclude.
    pub(crate) left_out: usize,
}

impl Summary {
    /// Takes in the totals of one printed line, if it is such a line of this runner. nextest prints
    /// one for everything; cargo's own runner prints one per test binary, to be added up.
    pub(crate) fn read_line(&mut self, runner: Runner, line: &str) {
        let plain = without_colour(line);
        let plain = plain.trim();
        let counts = match runner {
            Runner::Nextest if plain.starts_with("Summary [") => plain.split_once(" run: "),
            Runner::Cargo if plain.starts_with("test result:") => plain.split_once(". "),
            Runner::Nextest | Runner::Cargo => None,
        };
        let counts = counts.map(|(_, counts)| counts);
        if runner == Runner::Nextest && counts.is_some() {
            *self = Self::default();
        }
        for part in without_brackets(counts.unwrap_or_default()).split([',', ';']) {
            let mut words = part.trim().splitn(2, ' ');
            let count = words
                .next()
                .and_then(|word| word.parse::<usize>().ok())
                .unwrap_or(0);
            match words.next().unwrap_or_default().trim() {
                "passed" => self.passed += count,
                "failed" | "timed out" | "exec failed" => self.failed += count,
                "skipped" | "ignored" | "filtered out" => self.left_out += count,
                _ => {}
            }
        }
    }
}

/// How many different tests the skip lines (`SKIPPED: <test>: <reason>`) name.
pub(crate) fn skipped_tests(lines: &BTreeSet<String>) -> usize {
    let names = lines.iter().filter_map(|line| {
        let rest = line.trim().strip_prefix("SKIPPED:")?.trim_start();
        Some(rest.split_once(": ").map_or(rest, |(name, _)| name))
    });
    names.collect::<BTreeSet<_>>().len()
}

/// The line without terminal colours (`ESC [ … letter`).
fn without_colour(line: &str) -> String {
    let mut plain = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}

/// The text without what stands in round brackets: details such as `(1 slow)`.
fn without_brackets(text: &str) -> String {
    let mut depth = 0_usize;
    let mut plain = String::new();
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(character),
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests;

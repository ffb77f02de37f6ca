//! Finds functions and test regions in masked Rust source by matching brackets. It knows no grammar
//! beyond that, which is enough for source that rustfmt has laid out.

use super::mask;

/// A function with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Function {
    /// Its name.
    pub(super) name: String,
    /// The line of its `fn`, from 1.
    pub(super) line: usize,
    /// Raw lines from `fn` to the closing brace.
    pub(super) length: usize,
    /// Whether it stands behind `cfg(test)`.
    pub(super) in_test: bool,
}

/// Every function of `code` (see [`mask::code_of`]), inner ones too.
pub(super) fn functions(code: &[char]) -> Vec<Function> {
    let tests = test_regions(code);
    let mut found = Vec::new();
    for start in words(code, "fn") {
        let name_start = skip_spaces(code, start + 2);
        let rest = code.get(name_start..).unwrap_or_default();
        let name: String = rest.iter().take_while(|one| mask::is_word(**one)).collect();
        let Some((_, end)) = body(code, start).filter(|_| !name.is_empty()) else {
            continue;
        };
        let line = line_of(code, start);
        let length = line_of(code, end) - line + 1;
        let in_test = tests
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&start));
        found.push(Function {
            name,
            line,
            length,
            in_test,
        });
    }
    found
}

/// The lines on which `word` stands as a word of code.
pub(super) fn lines_with(code: &[char], word: &str) -> Vec<usize> {
    words(code, word)
        .into_iter()
        .map(|start| line_of(code, start))
        .collect()
}

/// From each `cfg(test)` or `cfg(all(test, …))` to the end of the item it stands before.
fn test_regions(code: &[char]) -> Vec<(usize, usize)> {
    let mut regions = Vec::new();
    for start in words(code, "cfg") {
        let open = skip_spaces(code, start + 3);
        let Some(close) = matching(code, open) else {
            continue;
        };
        let condition = code.get(open..close).unwrap_or_default();
        if words(condition, "test").is_empty() || !words(condition, "not").is_empty() {
            continue;
        }
        let end = skip_attributes(code, close + 1);
        regions.push((start, body(code, end).map_or(end, |(_, last)| last)));
    }
    regions
}

/// After the `]` of an attribute and of all attributes that follow it.
fn skip_attributes(code: &[char], start: usize) -> usize {
    let mut position = skip_spaces(code, start);
    if code.get(position) == Some(&']') {
        position = skip_spaces(code, position + 1);
    }
    while code.get(position) == Some(&'#') {
        let Some(close) = matching(code, position + 1) else {
            return position;
        };
        position = skip_spaces(code, close + 1);
    }
    position
}

/// The braces of the item that starts at `start`; none when a semicolon ends it first.
fn body(code: &[char], start: usize) -> Option<(usize, usize)> {
    let mut position = start;
    loop {
        match code.get(position)? {
            '(' | '[' => position = matching(code, position)?,
            '{' => return Some((position, matching(code, position)?)),
            ';' => return None,
            _ => {}
        }
        position += 1;
    }
}

/// The bracket that closes the one at `open`.
fn matching(code: &[char], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, character) in code.get(open..)?.iter().enumerate() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (offset > 0).then_some(open + offset);
        }
    }
    None
}

/// The places at which `word` stands, not as a part of a longer name.
fn words(code: &[char], word: &str) -> Vec<usize> {
    let word: Vec<char> = word.chars().collect();
    let at_edge = |position: Option<usize>| {
        !position
            .and_then(|position| code.get(position))
            .is_some_and(|one| mask::is_word(*one))
    };
    let windows = code.windows(word.len()).enumerate();
    let found = windows.filter(|(start, window)| {
        *window == word && at_edge(start.checked_sub(1)) && at_edge(Some(start + word.len()))
    });
    found.map(|(start, _)| start).collect()
}

/// The first place from `position` on that is not white space.
fn skip_spaces(code: &[char], position: usize) -> usize {
    let rest = code.get(position..).unwrap_or_default();
    position
        + rest
            .iter()
            .take_while(|character| character.is_whitespace())
            .count()
}

/// The line of a place, from 1.
fn line_of(code: &[char], position: usize) -> usize {
    let before = code.get(..position).unwrap_or(code);
    before
        .iter()
        .filter(|character| **character == '\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests;

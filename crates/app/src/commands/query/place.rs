//! The place in the query that an error names, underlined.

use super::text;

/// The error, and if it says where, the line of the query with a mark below.
pub(super) fn shown(query: &str, error: &str) -> String {
    let Some((line, column)) = position(error) else {
        return error.to_owned();
    };
    let Some(code) = line.checked_sub(1).and_then(|line| query.lines().nth(line)) else {
        return error.to_owned();
    };
    let code: Vec<char> = text::harmless(&code.replace('\t', " ")).chars().collect();
    let at = column.saturating_sub(1).min(code.len());
    let (before, from) = code.split_at(at);
    let is_word = |c: &char| c.is_alphanumeric() || matches!(c, '_' | ':' | '.');
    let word = from.iter().take_while(|c| is_word(c)).count().max(1);
    let blanks = text::width(&before.iter().collect::<String>());
    let code: String = code.iter().collect();
    format!(
        "{error}\n  {code}\n  {}{}",
        " ".repeat(blanks),
        "^".repeat(word)
    )
}

/// The line and the column in `1:6: parse error: …`, wherever in the text it stands.
fn position(error: &str) -> Option<(usize, usize)> {
    let mut words = error.split_ascii_whitespace();
    words.find_map(|word| {
        let (line, column) = word.strip_suffix(':')?.split_once(':')?;
        Some((line.parse().ok()?, column.parse().ok()?))
    })
}

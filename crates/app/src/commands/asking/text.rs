//! What stands in the cells of tables. What clients sent is made harmless: an escape sequence in a
//! payload must not reach the terminal of who reads it.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::commands::plain;

/// The domain of nearly all classifications; people leave it out.
pub(in crate::commands) const DOMAIN: &str = "org.clearlinux/";
/// Machines are known by their beginning.
const MACHINE_CHARACTERS: usize = 8;
/// Machine identifiers up to this length are shown as they are.
const MACHINE_CHARACTERS_WHOLE: usize = 12;
/// Stands for what was cut off.
const MORE: char = '…';
/// Stands for what can't be shown.
const ODD: char = '\u{fffd}';

/// A field as a text.
pub(in crate::commands) fn field(row: &Value, name: &str) -> String {
    row.get(name)
        .map(plain)
        .map_or_else(String::new, |text| harmless(&text))
}

/// One line without anything that a terminal obeys.
pub(in crate::commands) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if is_odd(c) { ODD } else { c })
        .collect()
}

/// The same with its lines as they are.
pub(in crate::commands) fn harmless_lines(text: &str) -> Vec<String> {
    let text = text.replace('\t', "    ");
    text.lines().map(harmless).collect()
}

/// Control characters, and those that change the direction of what follows.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// How long ago, in the largest unit that fits.
pub(in crate::commands) fn age(then: &str, now: OffsetDateTime) -> String {
    let Ok(then) = OffsetDateTime::parse(then, &Rfc3339) else {
        return "?".to_owned();
    };
    let seconds = (now - then).whole_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A severity as people call it.
pub(in crate::commands) fn severity(number: Option<i64>) -> &'static str {
    match number {
        Some(1) => "low",
        Some(2) => "med",
        Some(3) => "high",
        Some(4) => "crit",
        _ => "?",
    }
}

/// A classification without the usual domain.
pub(in crate::commands) fn classification(text: &str) -> String {
    text.strip_prefix(DOMAIN).unwrap_or(text).to_owned()
}

/// The beginning of a machine's identifier.
pub(in crate::commands) fn machine(id: &str) -> String {
    if id.chars().count() <= MACHINE_CHARACTERS_WHOLE {
        return id.to_owned();
    }
    let beginning: String = id.chars().take(MACHINE_CHARACTERS).collect();
    format!("{beginning}{MORE}")
}

/// A number with a comma at the thousands.
pub(in crate::commands) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in the largest unit of 1024 that fits, with a tenth.
pub(in crate::commands) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut factor = 1_u64;
    let mut found = None;
    for unit in units {
        if count / factor < 1_024 {
            break;
        }
        factor <<= 10;
        found = Some(unit);
    }
    let Some(unit) = found else {
        return format!("{count} B");
    };
    let tenths = u128::from(count) * 10 / u128::from(factor);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Columns of a terminal that a text takes.
pub(in crate::commands) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

fn columns(c: char) -> usize {
    match u32::from(c) {
        // What is written over the character before.
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f | 0xfeff => 0,
        // East Asian letters and pictures.
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// At most so many columns; who was cut shows it.
pub(in crate::commands) fn cut(text: &str, columns_max: usize) -> String {
    if width(text) <= columns_max {
        return text.to_owned();
    }
    let mut left = columns_max.saturating_sub(1);
    let mut short = String::new();
    for c in text.chars() {
        let Some(rest) = left.checked_sub(columns(c)) else {
            break;
        };
        left = rest;
        short.push(c);
    }
    if columns_max > 0 {
        short.push(MORE);
    }
    short
}

/// At least so many columns.
pub(in crate::commands) fn padded(text: &str, columns: usize) -> String {
    let blanks = columns.saturating_sub(width(text));
    text.to_owned() + &" ".repeat(blanks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn ages_have_one_unit() {
        let now = datetime!(2026-11-21 16:50:00 UTC);
        let check = |then: &str, expected: &str| assert_eq!(age(then, now), expected, "{then}");
        check("2026-11-21T16:49:59.5Z", "0s");
        check("2026-11-21T16:49:01Z", "59s");
        check("2026-11-21T16:49:00Z", "1m");
        check("2026-11-21T15:50:01Z", "59m");
        check("2026-11-20T16:50:01Z", "23h");
        check("2026-11-20T16:50:00Z", "1d");
        check("2025-11-21T16:50:00Z", "365d");
        check("2027-01-01T00:00:00Z", "0s");
        check("", "?");
    }

    #[test]
    fn what_clients_sent_does_not_move_the_cursor() {
        let check = |text: &str, expected: &str| assert_eq!(harmless(text), expected);
        check("a\u{1b}[2Jb", "a\u{fffd}[2Jb");
        check("a\nb\u{9b}c\u{202e}d", "a\u{fffd}b\u{fffd}c\u{fffd}d");
        assert_eq!(harmless_lines("a\tb\r\nc\u{7}"), ["a    b", "c\u{fffd}"]);
    }

    #[test]
    fn texts_are_cut_by_columns() {
        let check = |text: &str, columns: usize, expected: &str| {
            assert_eq!(cut(text, columns), expected, "{text} {columns}");
            assert!(width(&cut(text, columns)) <= columns);
        };
        check("abc", 3, "abc");
        check("abcd", 3, "ab…");
        check("日本語", 6, "日本語");
        check("日本語", 5, "日本…");
        check("日本語", 4, "日…");
        check("abc", 1, "…");
        check("abc", 0, "");
        assert_eq!(padded("日", 4), "日  ");
    }

    #[test]
    fn sizes_have_the_unit_that_fits() {
        let check = |count: u64, expected: &str| assert_eq!(bytes(count), expected);
        check(0, "0 B");
        check(1_023, "1023 B");
        check(1_024, "1.0 KiB");
        check(60_000_000, "57.2 MiB");
        check(1 << 40, "1.0 TiB");
        check(u64::MAX, "15.9 EiB");
    }

    #[test]
    fn numbers_and_names_are_short() {
        for (value, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(number(value), expected);
        }
        assert_eq!(machine("9b3f0c5a9b3f0c5a9b3f0c5a9b3f0c5a"), "9b3f0c5a…");
        assert_eq!(machine("web-1"), "web-1");
        assert_eq!(classification("org.clearlinux/crash/clr"), "crash/clr");
        assert_eq!(classification("a/b/c"), "a/b/c");
    }
}

//! Texts in quotes as Go writes them, which is how users of PromQL know their labels.

use std::fmt::Write as _;

/// The bytes in double quotes: what cannot be printed, and bytes that are no UTF-8, are escaped.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            push(&mut out, letter);
        }
        for byte in chunk.invalid() {
            write_hex(&mut out, *byte);
        }
    }
    out.push('"');
    out
}

fn push(out: &mut String, letter: char) {
    match letter {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{b}' => out.push_str("\\v"),
        '\u{c}' => out.push_str("\\f"),
        '\0'..='\u{1f}' | '\u{7f}' => {
            write_hex(out, u8::try_from(u32::from(letter)).unwrap_or_default());
        }
        '\u{80}'..='\u{9f}' | '\u{feff}' | '\u{fffd}' if letter != '\u{fffd}' => {
            write!(out, "\\u{:04x}", u32::from(letter)).unwrap_or_default();
        }
        _ => out.push(letter),
    }
}

fn write_hex(out: &mut String, byte: u8) {
    write!(out, "\\x{byte:02x}").unwrap_or_default();
}

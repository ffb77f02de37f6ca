//! What bytes are, told by their beginning, and a window of a text.

use serde::de::IgnoredAny;
use wire::tar;

use super::{Look, Part, START_BYTES};

/// Of so many characters one may be none before a text counts as binary.
const WRONG_SHARE: usize = 10;
/// The beginnings of images that every browser shows. A picture of text (SVG) is a text here.
const IMAGES: [(&[u8], &str); 4] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
];

/// What some bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Gzip,
    Tar,
    Image(&'static str),
    /// `json` or `text`.
    Text(&'static str),
    Binary,
}

impl Content {
    /// Tells by the beginning, and by the name what the beginning leaves open.
    pub(super) fn of(head: &[u8], name: &str) -> Self {
        if head.starts_with(b"\x1f\x8b\x08") {
            return Self::Gzip;
        }
        let name = name.to_ascii_lowercase();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        let is_empty_archive = ends_with(plain, ".tar")
            && head.len() >= tar::BLOCK_BYTES
            && head.iter().all(|byte| *byte == 0);
        if tar::is_head(head) || is_empty_archive {
            return Self::Tar;
        }
        for (magic, media_type) in IMAGES {
            if head.starts_with(magic) {
                return Self::Image(media_type);
            }
        }
        if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
            return Self::Image("image/webp");
        }
        if !is_text(head) {
            return Self::Binary;
        }
        let is_named = ends_with(plain, ".json");
        let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
        let may_be_json = is_named || matches!(first, Some(b'{' | b'['));
        // What is cut off may go on well.
        let is_json = may_be_json
            && match serde_json::from_slice::<IgnoredAny>(head) {
                Ok(_) => true,
                Err(error) => error.is_eof() && first.is_some(),
            };
        Self::Text(if is_json { "json" } else { "text" })
    }

    /// As it is shown when it is no text.
    pub(super) fn shown(self, head: &[u8], bytes: u64) -> Look {
        if let Self::Image(media_type) = self {
            return Look::Image { media_type, bytes };
        }
        let start = head.get(..START_BYTES).unwrap_or(head);
        Look::Binary {
            bytes,
            start: wire::auth::hex(start),
        }
    }
}

fn ends_with(name: &str, extension: &str) -> bool {
    name.ends_with(extension)
}

/// No NUL, and hardly anything that is not UTF-8.
fn is_text(head: &[u8]) -> bool {
    if head.contains(&0) {
        return false;
    }
    let wrong = head
        .utf8_chunks()
        .filter(|chunk| !chunk.invalid().is_empty());
    wrong.count() <= head.len() / WRONG_SHARE
}

/// A part of a text, as it was read.
#[derive(Debug)]
pub(super) struct Window<'a> {
    pub(super) offset: u64,
    pub(super) bytes: &'a [u8],
    /// Whether nothing follows.
    pub(super) is_end: bool,
    pub(super) is_packed: bool,
    pub(super) total: Option<u64>,
}

impl Window<'_> {
    pub(super) fn shown(&self, media: &'static str) -> Part {
        let length = if self.is_end {
            self.bytes.len()
        } else {
            cut(self.bytes)
        };
        let bytes = self.bytes.get(..length).unwrap_or(self.bytes);
        let next = self
            .offset
            .saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        Part {
            media,
            is_packed: self.is_packed,
            offset: self.offset,
            text: String::from_utf8_lossy(bytes).into_owned(),
            next: (!self.is_end).then_some(next),
            total: self.total,
        }
    }
}

/// How many bytes are shown of those that others follow: up to the last line's end, or whole characters.
fn cut(bytes: &[u8]) -> usize {
    if let Some(line) = bytes.iter().rposition(|byte| *byte == b'\n') {
        return line + 1;
    }
    // The last character begins at most three bytes before the end.
    let tail = bytes.len().saturating_sub(3);
    let begins = |at: &usize| bytes.get(*at).is_some_and(|byte| byte & 0xc0 != 0x80);
    let Some(last) = (tail..bytes.len()).rev().find(begins) else {
        return bytes.len();
    };
    let is_whole = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
    if last == 0 || bytes.get(last..).is_none_or(is_whole) {
        return bytes.len();
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_told_apart() {
        let (json, text) = (Content::Text("json"), Content::Text("text"));
        let archive = tar::head("a", 0, 0);
        for (head, name, expected) in [
            (&b"\x1f\x8b\x08\0"[..], "x.log", Content::Gzip),
            (&archive, "x", Content::Tar),
            (&[0; 1024], "x.tar", Content::Tar),
            (&[0; 1024], "x.bin", Content::Binary),
            (b"\x89PNG\r\n\x1a\n\0", "x", Content::Image("image/png")),
            (b"\xff\xd8\xff\xe0", "x", Content::Image("image/jpeg")),
            (b"GIF89a\0", "x", Content::Image("image/gif")),
            (b"RIFF\0\0\0\0WEBP", "x", Content::Image("image/webp")),
            (b"<svg xmlns=''>", "x.svg", text),
            (b"PK\x03\x04\0\0", "x.zip", Content::Binary),
            (b"", "x.json", text),
            (b" \n{\"a\": [1, 2", "critical-alerts-00.log", json),
            (b"{\"a\": 1}\n", "x", json),
            (b"{\"a\": 1}\n{\"a\": 2}\n", "x.log", text),
            (b"[2024-01-01 10:00] INFO", "x.log", text),
            (b"[12] a", "x.log", text),
            (b"12\n", "x.json", json),
            (b"12\n", "x.log", text),
            (b"nothing", "x.json.gz", text),
            ("a line\nwith \u{fc}".as_bytes(), "x", text),
            (b"a line of latin-1: \xfc, and more", "x", text),
            (b"\xfc\xfd\xfe\xff", "x", Content::Binary),
        ] {
            assert_eq!(Content::of(head, name), expected, "{name} {head:?}");
        }
    }

    #[test]
    fn windows_end_with_a_line_or_a_character() {
        for (bytes, expected) in [
            (&b"one\ntwo\nthr"[..], 8),
            (b"one", 3),
            (b"", 0),
            ("abü".as_bytes(), 4),
            (&"abü".as_bytes()[..3], 2),
            (&"ab€".as_bytes()[..4], 2),
            (&"ab😀".as_bytes()[..5], 2),
            // What is no text goes on all the same.
            (b"\xf0\x9f\x98", 3),
            (b"a\x80\x80\x80\x80", 5),
        ] {
            assert_eq!(cut(bytes), expected, "{bytes:?}");
        }
        let window = Window {
            offset: 10,
            bytes: b"one\ntwo",
            is_end: false,
            is_packed: true,
            total: None,
        };
        let shown = window.shown("text");
        assert_eq!((shown.text.as_str(), shown.next), ("one\n", Some(14)));
    }
}

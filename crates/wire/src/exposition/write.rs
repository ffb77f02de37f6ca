//! Names, help texts, labels and numbers as a page spells them, and back. Nothing here knows families.

use bytes::Bytes;

use super::scan::{is_classic_label, is_classic_name};
use super::{Format, Kind};

/// Resolves `\\`, `\n` and `\"`; every other backslash stays, as the scraper of Prometheus has it.
/// The text is shared when nothing is escaped.
pub(super) fn unescaped(source: &Bytes, raw: &[u8], quotes: bool) -> Bytes {
    if memchr::memchr(b'\\', raw).is_none() {
        return source.slice_ref(raw);
    }
    let mut plain = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let resolved = match (byte, bytes.peek()) {
            (b'\\', Some(b'\\')) => Some(b'\\'),
            (b'\\', Some(b'n')) => Some(b'\n'),
            (b'\\', Some(b'"')) if quotes => Some(b'"'),
            _ => None,
        };
        if resolved.is_some() {
            bytes.next();
        }
        plain.push(resolved.unwrap_or(byte));
    }
    Bytes::from(plain)
}

/// Escapes backslashes, newlines and, where they end the text, quotes.
pub(super) fn escape(out: &mut Vec<u8>, text: &[u8], quotes: bool) {
    for byte in text {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            _ => out.push(*byte),
        }
    }
}

/// A metric name, in quotes when it is not a classic one.
pub(super) fn name(out: &mut Vec<u8>, name: &[u8]) {
    if is_classic_name(name) {
        out.extend_from_slice(name);
    } else {
        out.push(b'"');
        escape(out, name, true);
        out.push(b'"');
    }
}

/// The HELP, TYPE and UNIT lines of a family.
pub(super) struct Head<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: Option<Kind>,
    pub(super) help: Option<&'a [u8]>,
    pub(super) unit: Option<&'a [u8]>,
}

impl Head<'_> {
    pub(super) fn write(&self, out: &mut Vec<u8>, format: Format) {
        if let Some(help) = self.help {
            self.begin(out, b"# HELP ");
            escape(out, help, format == Format::OpenMetrics);
            out.push(b'\n');
        }
        if let Some(kind) = self.kind {
            self.begin(out, b"# TYPE ");
            out.extend_from_slice(kind.word(format).as_bytes());
            out.push(b'\n');
        }
        if let Some(unit) = self.unit
            && format == Format::OpenMetrics
        {
            self.begin(out, b"# UNIT ");
            out.extend_from_slice(unit);
            out.push(b'\n');
        }
    }

    fn begin(&self, out: &mut Vec<u8>, word: &[u8]) {
        out.extend_from_slice(word);
        name(out, self.name);
        out.push(b' ');
    }
}

/// A sample line of our own making. Of two labels with the same name the first stays; characters a
/// classic name cannot have become underscores.
pub(super) fn sample<'a>(
    out: &mut Vec<u8>,
    name: &[u8],
    labels: impl Iterator<Item = (&'a str, &'a str)>,
    value: f64,
) {
    out.extend_from_slice(name);
    let mut names: Vec<Vec<u8>> = Vec::new();
    for (label, text) in labels {
        let label = classic(label, is_classic_label);
        if names.contains(&label) {
            continue;
        }
        out.push(if names.is_empty() { b'{' } else { b',' });
        out.extend_from_slice(&label);
        out.extend_from_slice(b"=\"");
        escape(out, text.as_bytes(), true);
        out.push(b'"');
        names.push(label);
    }
    if !names.is_empty() {
        out.push(b'}');
    }
    out.push(b' ');
    out.extend_from_slice(float(value).as_bytes());
    out.push(b'\n');
}

/// The name with every character that is not allowed replaced by an underscore.
pub(super) fn classic(name: &str, is_classic: fn(&[u8]) -> bool) -> Vec<u8> {
    if is_classic(name.as_bytes()) {
        return name.as_bytes().to_vec();
    }
    let mut replaced = Vec::with_capacity(name.len() + 1);
    for character in name.chars() {
        let byte = u8::try_from(character).unwrap_or(b'_');
        // A digit is allowed everywhere but in front, where it is kept behind an underscore.
        if replaced.is_empty() && byte.is_ascii_digit() {
            replaced.push(b'_');
        }
        let allowed = byte.is_ascii_digit() || is_classic(&[byte]);
        replaced.push(if allowed { byte } else { b'_' });
    }
    if replaced.is_empty() {
        replaced.push(b'_');
    }
    replaced
}

/// A number as both formats read it, exact to the last bit.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 {
            "+Inf".to_owned()
        } else {
            "-Inf".to_owned()
        }
    } else if value == 0.0 || (1e-5..1e15).contains(&value.abs()) {
        format!("{value}")
    } else {
        format!("{value:e}")
    }
}

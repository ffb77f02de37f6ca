//! Families and samples as text.

use std::fmt::Write;

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Untyped,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Untyped => "untyped",
        }
    }
}

/// Where the text goes.
#[derive(Debug)]
pub(super) struct Page<'a> {
    out: &'a mut String,
}

/// The family that is being written.
#[derive(Debug)]
pub(super) struct Family<'a> {
    out: &'a mut String,
    name: &'a str,
}

impl<'a> Page<'a> {
    pub(super) fn new(out: &'a mut String) -> Self {
        Self { out }
    }

    /// Begins a family. Its name and help text are ours, or made of words that [`name`] has cleaned.
    pub(super) fn family<'b>(&'b mut self, name: &'b str, kind: Kind, help: &str) -> Family<'b> {
        let out = &mut *self.out;
        for text in ["# HELP ", name, " ", help, "\n# TYPE ", name, " "] {
            out.push_str(text);
        }
        out.push_str(kind.word());
        out.push('\n');
        Family { out, name }
    }

    /// A family of one sample without labels.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: f64) {
        self.family(name, kind, help).sample(&[], value);
    }
}

impl Family<'_> {
    /// A sample; the labels in the order of their names.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        let out = &mut *self.out;
        out.push_str(self.name);
        let mut before = '{';
        for (label, text) in labels {
            out.push(before);
            out.push_str(label);
            out.push_str("=\"");
            escape(out, text);
            out.push('"');
            before = ',';
        }
        if !labels.is_empty() {
            out.push('}');
        }
        out.push(' ');
        number(out, value);
        out.push('\n');
    }
}

fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

fn number(out: &mut String, value: f64) {
    let written = if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        Ok(())
    } else {
        write!(out, "{value}")
    };
    debug_assert!(written.is_ok(), "text has room");
}

/// A part of a metric's name out of a word of the kernel or of a driver: small letters, digits and
/// underscores.
pub(super) fn name(word: &str) -> String {
    let lower = word.trim().chars().map(|character| {
        let lower = character.to_ascii_lowercase();
        let is_kept = lower.is_ascii_lowercase() || lower.is_ascii_digit();
        if is_kept || lower == ':' { lower } else { '_' }
    });
    lower.collect::<String>().trim_matches('_').to_owned()
}

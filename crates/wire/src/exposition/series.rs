//! What stands in a series and an exemplar: names, labels and numbers, with escapes resolved.

use std::borrow::Cow;

use super::Reason;
use super::scan::{is_value, name_length, number, quoted_length};

/// The name of a metric and its labels, in the order of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesLabels<'a> {
    /// The metric.
    pub name: Cow<'a, str>,
    /// Names and values.
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// An observation that a counter or a bucket points to.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar<'a> {
    /// Names and values.
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// What was observed.
    pub value: f64,
    /// When, in milliseconds since 1970.
    pub timestamp: Option<i64>,
}

/// Reads a series that a [`super::Stream`] gave, which has checked its syntax.
///
/// # Errors
/// It is not UTF-8.
pub fn series_labels(series: &[u8]) -> Result<SeriesLabels<'_>, Reason> {
    let length = name_length(series);
    let mut name = unescaped(series.get(..length).unwrap_or_default(), false)?;
    let mut labels = Vec::new();
    let rest = trim(series.get(length..).unwrap_or_default());
    if let Some(inside) = rest.strip_prefix(b"{") {
        let (quoted, _) = read_labels(inside, &mut labels)?;
        name = quoted.unwrap_or(name);
    }
    Ok(SeriesLabels { name, labels })
}

/// Reads an exemplar that a [`super::Stream`] gave, which has checked its syntax.
///
/// # Errors
/// It is not UTF-8.
pub fn exemplar(text: &[u8]) -> Result<Exemplar<'_>, Reason> {
    let inside = text.strip_prefix(b"# {").ok_or(Reason::Exemplar)?;
    let mut labels = Vec::new();
    let (_, rest) = read_labels(inside, &mut labels)?;
    let mut words = rest
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty());
    let value = words.next().filter(|word| is_value(word)).and_then(number);
    let timestamp = words.next().and_then(number);
    #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
    let timestamp = timestamp.map(|seconds| (seconds * 1000.0) as i64);
    Ok(Exemplar {
        labels,
        value: value.ok_or(Reason::Exemplar)?,
        timestamp,
    })
}

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Labels up to the closing brace; gives the metric's name if it stands among them, and what follows.
fn read_labels<'a>(
    inside: &'a [u8],
    labels: &mut Vec<Pair<'a>>,
) -> Result<(Option<Cow<'a, str>>, &'a [u8]), Reason> {
    let mut metric = None;
    let mut rest = trim(inside);
    loop {
        if let Some(behind) = rest.strip_prefix(b"}") {
            return Ok((metric, trim(behind)));
        }
        let (name, behind) = match quoted_length(rest) {
            Some(length) => {
                let name = rest.get(1..length.saturating_sub(1)).unwrap_or_default();
                (unescaped(name, true)?, rest.get(length..))
            }
            None => {
                let length = rest
                    .iter()
                    .position(|byte| matches!(byte, b'=' | b' ' | b'\t' | b',' | b'}'));
                let (name, behind) = rest.split_at(length.ok_or(Reason::LabelName)?);
                (unescaped(name, false)?, Some(behind))
            }
        };
        rest = trim(behind.unwrap_or_default());
        if let Some(behind) = rest.strip_prefix(b"=") {
            let quoted = trim(behind);
            let length = quoted_length(quoted).ok_or(Reason::LabelValue)?;
            let value = quoted.get(1..length.saturating_sub(1)).unwrap_or_default();
            labels.push((name, unescaped(value, true)?));
            rest = trim(quoted.get(length..).unwrap_or_default());
        } else {
            metric = Some(name);
        }
        rest = trim(rest.strip_prefix(b",").unwrap_or(rest));
        if rest.is_empty() {
            return Err(Reason::LabelSeparator);
        }
    }
}

fn trim(text: &[u8]) -> &[u8] {
    super::parse::trim_start(text)
}

/// Resolves `\\`, `\n`, and in quotes `\"`; any other backslash stands for itself.
pub(super) fn unescaped(text: &[u8], is_quoted: bool) -> Result<Cow<'_, str>, Reason> {
    let text = std::str::from_utf8(text).map_err(|_| Reason::NotUtf8)?;
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('\\') => out.push('\\'),
            Some('n') => out.push('\n'),
            Some('"') if is_quoted => out.push('"'),
            other => {
                out.push('\\');
                out.extend(other);
            }
        }
    }
    Ok(Cow::Owned(out))
}

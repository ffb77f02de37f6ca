//! What came over the wire, as the store has it.

use std::fmt::Write as _;

use signals::{Histogram, Labels, METRIC_NAME, ResetHint, Span};
use wire::exposition::{Format, Kind};

use super::cache::Pairs;
use super::problem::Problem;

/// Bytes of a help text or a unit.
const TEXT_BYTES_MAX: usize = 1_024;

/// A histogram as the store has it.
pub(crate) fn histogram(from: wire::histogram::Histogram) -> Histogram {
    let spans = |spans: Vec<wire::histogram::Span>| {
        let span = |span: wire::histogram::Span| Span {
            offset: span.offset,
            length: span.length,
        };
        spans.into_iter().map(span).collect()
    };
    Histogram {
        schema: from.schema,
        is_float: from.is_float,
        reset_hint: match from.reset_hint {
            wire::histogram::ResetHint::Unknown => ResetHint::Unknown,
            wire::histogram::ResetHint::Reset => ResetHint::Reset,
            wire::histogram::ResetHint::NotReset => ResetHint::NotReset,
            wire::histogram::ResetHint::Gauge => ResetHint::Gauge,
        },
        zero_threshold: from.zero_threshold,
        zero_count: from.zero_count,
        count: from.count,
        sum: from.sum,
        positive_spans: spans(from.positive_spans),
        negative_spans: spans(from.negative_spans),
        positive: from.positive,
        negative: from.negative,
        custom_bounds: from.custom_bounds,
    }
}

/// A stored histogram as it goes over the wire.
pub(crate) fn wire_histogram(from: &Histogram) -> wire::histogram::Histogram {
    let spans = |spans: &[Span]| {
        let span = |span: &Span| wire::histogram::Span {
            offset: span.offset,
            length: span.length,
        };
        spans.iter().map(span).collect()
    };
    wire::histogram::Histogram {
        schema: from.schema,
        is_float: from.is_float,
        reset_hint: match from.reset_hint {
            ResetHint::Unknown => wire::histogram::ResetHint::Unknown,
            ResetHint::Reset => wire::histogram::ResetHint::Reset,
            ResetHint::NotReset => wire::histogram::ResetHint::NotReset,
            ResetHint::Gauge => wire::histogram::ResetHint::Gauge,
        },
        zero_threshold: from.zero_threshold,
        zero_count: from.zero_count,
        count: from.count,
        sum: from.sum,
        positive_spans: spans(&from.positive_spans),
        negative_spans: spans(&from.negative_spans),
        positive: from.positive.clone(),
        negative: from.negative.clone(),
        custom_bounds: from.custom_bounds.clone(),
    }
}

/// Labels of a series, which has to have a name.
pub(super) fn series_labels(pairs: &Pairs<'_>) -> Result<Labels, Problem> {
    let labels = labels(pairs)?;
    if labels.get(METRIC_NAME).is_empty() {
        return Err(Problem::NoName);
    }
    Ok(labels)
}

/// Labels of anything.
pub(super) fn labels(pairs: &Pairs<'_>) -> Result<Labels, Problem> {
    let mut texts = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        let name = std::str::from_utf8(name).map_err(|_| Problem::NotText)?;
        let value = std::str::from_utf8(value).map_err(|_| Problem::NotText)?;
        texts.push((name, value));
    }
    Ok(Labels::new(texts)?)
}

/// Labels that may be wrong, for people.
pub(super) fn shown(pairs: &Pairs<'_>) -> String {
    let mut text = String::from("{");
    for (at, (name, value)) in pairs.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let name = String::from_utf8_lossy(name);
        let value = String::from_utf8_lossy(value);
        // Writing to a String cannot fail.
        write!(text, "{comma}{name}={value:?}").unwrap_or_default();
    }
    text.push('}');
    text
}

/// What is known of a metric, as the store has it.
pub(super) fn metadata(from: &wire::remote_write::Metadata<'_>) -> signals::Metadata {
    signals::Metadata {
        kind: kind_word(from.kind),
        help: String::from_utf8_lossy(cut(from.help)).into_owned(),
        unit: String::from_utf8_lossy(cut(from.unit)).into_owned(),
    }
}

/// The first bytes of a text: more is not kept.
fn cut(text: &[u8]) -> &[u8] {
    text.get(..TEXT_BYTES_MAX).unwrap_or(text)
}

/// The word of a type; none for an unknown one.
pub(crate) fn kind_word(kind: Kind) -> String {
    match kind {
        Kind::Unknown => String::new(),
        kind => kind.word(Format::OpenMetrics).to_owned(),
    }
}

/// The name of the family that a series belongs to.
pub(super) fn family(kind: Kind, name: &str) -> &str {
    let suffixes: &[&str] = match kind {
        Kind::Histogram => &["_bucket", "_sum", "_count"],
        Kind::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
        Kind::Summary => &["_sum", "_count"],
        _ => &[],
    };
    let mut found = suffixes
        .iter()
        .filter_map(|suffix| name.strip_suffix(suffix));
    found.next().unwrap_or(name)
}

//! Writing the samples of a store as OpenMetrics with time stamps, which Prometheus, VictoriaMetrics
//! and others take in: `promtool tsdb create-blocks-from openmetrics`; and as Parquet.

mod parquet;

use std::fmt::Write as _;
use std::io::{self, Write};

use query::matcher::Matcher;
use query::promql::ast::Node;
use query::promql::parser;
use signals::{Labels, METRIC_NAME, SeriesSamples, Store, StoreError};

use crate::samples;

pub use self::parquet::parquet;

/// What stayed out, and what did not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Series with samples in the file.
    pub series: u64,
    /// Samples in the file.
    pub samples: u64,
    /// Native histograms that were left out: neither format has a form for them.
    pub histograms: u64,
    /// Ends of series that were left out: OpenMetrics does not have them.
    pub ends: u64,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A matcher that the store does not take.
    #[error("{0}")]
    Matcher(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whoever takes the text.
    #[error("the samples can't be written: {0}")]
    Write(#[from] io::Error),
}

/// The matchers of a selector such as `up{job="node"}`.
///
/// # Errors
/// Why it is none.
pub fn selector(text: &str) -> Result<Vec<Matcher>, String> {
    let expression = parser::parse(text).map_err(|error| error.to_string())?;
    match expression.node {
        Node::Vector(selector) => Ok(selector.matchers),
        _ => Err("it has to be a selector, such as up{job=\"node\"}".to_owned()),
    }
}

/// Writes the samples of the series for which all matchers hold, from `start` to `end`, inclusive, in
/// milliseconds since 1970. `told` learns how many have been written, now and then. Blocks.
pub fn open_metrics(
    store: &Store,
    (matchers, start, end): (&[Matcher], i64, i64),
    out: &mut dyn Write,
    told: &mut dyn FnMut(u64),
) -> Result<Exported, ExportError> {
    let matchers = samples::matchers(matchers).map_err(ExportError::Matcher)?;
    let mut selection = store.select(&matchers, start, end)?;
    let all: Vec<Labels> = selection.labels().cloned().collect();
    let mut exported = Exported::default();
    let mut samples = SeriesSamples::default();
    let mut text = String::new();
    for (at, labels) in all.iter().enumerate() {
        selection.read(at, &mut samples)?;
        exported.histograms += samples.histograms.len() as u64;
        text.clear();
        let name = name(labels);
        let before = exported.samples;
        for (time, value, _) in samples.floats.iter() {
            if value.to_bits() == signals::STALE {
                exported.ends += 1;
                continue;
            }
            exported.samples += 1;
            text.push_str(&name);
            put(&mut text, value, time);
        }
        exported.series += u64::from(exported.samples > before);
        out.write_all(text.as_bytes())?;
        told(exported.samples);
    }
    out.write_all(b"# EOF\n")?;
    Ok(exported)
}

/// How many samples there are at most.
pub fn samples_at_most(
    store: &Store,
    (matchers, start, end): (&[Matcher], i64, i64),
) -> Result<u64, ExportError> {
    let matchers = samples::matchers(matchers).map_err(ExportError::Matcher)?;
    let selection = store.select(&matchers, start, end)?;
    Ok(selection.samples_at_most() as u64)
}

/// A series as it stands before its values.
fn name(labels: &Labels) -> String {
    let metric = labels.get(METRIC_NAME);
    let is_classic = |name: &str, colon: bool| {
        let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || colon && c == ':';
        name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
    };
    let mut text = String::new();
    let mut before = '{';
    if is_classic(metric, true) {
        text.push_str(metric);
    } else if !metric.is_empty() {
        // A name of other characters stands in quotes among the labels.
        text.push('{');
        quoted(&mut text, metric);
        before = ',';
    }
    for (label, value) in labels.iter().filter(|(label, _)| *label != METRIC_NAME) {
        text.push(before);
        before = ',';
        if is_classic(label, false) {
            text.push_str(label);
        } else {
            quoted(&mut text, label);
        }
        text.push('=');
        quoted(&mut text, value);
    }
    if before == ',' {
        text.push('}');
    }
    text
}

fn quoted(text: &mut String, word: &str) {
    text.push('"');
    for character in word.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' => text.push_str("\\\""),
            other => text.push(other),
        }
    }
    text.push('"');
}

/// The value and the time in seconds.
pub(crate) fn put(text: &mut String, value: f64, time: i64) {
    text.push(' ');
    let written = if value.is_nan() {
        text.push_str("NaN");
        Ok(())
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        Ok(())
    } else if value == 0.0 || (1e-5..1e15).contains(&value.abs()) {
        write!(text, "{value}")
    } else {
        write!(text, "{value:e}")
    };
    let (sign, size) = (if time < 0 { "-" } else { "" }, time.unsigned_abs());
    let stamped = writeln!(text, " {sign}{}.{:03}", size / 1_000, size % 1_000);
    debug_assert!(written.and(stamped).is_ok(), "text has room");
}

//! What Prometheus' API answers, of which only what is shown is read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The label of the metric's name.
const METRIC: &str = "__name__";

/// An answer of `/api/v1/query` or `/api/v1/query_range`.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) data: Data,
    pub(super) warnings: Vec<String>,
    pub(super) infos: Vec<String>,
}

/// The result.
#[derive(Debug)]
pub(super) enum Data {
    /// One number.
    Scalar(String),
    /// A text.
    Text(String),
    /// A value for each series, at one moment.
    Vector(Vec<Row>),
    /// Values over time.
    Matrix(Vec<Series>),
}

/// A series at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) labels: BTreeMap<String, String>,
    /// As the API says it; of a histogram a summary.
    pub(super) value: String,
}

/// A series over time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub(super) labels: BTreeMap<String, String>,
    /// Seconds since 1970, and values.
    pub(super) points: Vec<(f64, f64)>,
    /// How many of its samples are histograms.
    pub(super) histograms: usize,
}

#[derive(Deserialize)]
struct Envelope {
    data: Body,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Body {
    Scalar((f64, String)),
    String((f64, String)),
    Vector(Vec<RawRow>),
    Matrix(Vec<RawSeries>),
}

#[derive(Deserialize)]
struct RawRow {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
    histogram: Option<(f64, Value)>,
}

#[derive(Deserialize)]
struct RawSeries {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    histograms: Vec<(f64, Value)>,
}

impl Answer {
    /// Reads the bytes of an answer.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let envelope: Envelope = serde_json::from_slice(bytes)?;
        let data = match envelope.data {
            Body::Scalar((_, value)) => Data::Scalar(value),
            Body::String((_, text)) => Data::Text(text),
            Body::Vector(rows) => Data::Vector(rows.into_iter().map(row).collect()),
            Body::Matrix(series) => Data::Matrix(series.into_iter().map(over_time).collect()),
        };
        Ok(Self {
            data,
            warnings: envelope.warnings,
            infos: envelope.infos,
        })
    }
}

fn row(raw: RawRow) -> Row {
    let value = match (raw.value, raw.histogram) {
        (Some((_, value)), _) => value,
        (None, Some((_, histogram))) => summary(&histogram),
        (None, None) => String::new(),
    };
    Row {
        labels: raw.metric,
        value,
    }
}

/// A histogram in short.
fn summary(histogram: &Value) -> String {
    let field = |name| histogram.get(name).and_then(Value::as_str).unwrap_or("?");
    format!("count {}, sum {}", field("count"), field("sum"))
}

fn over_time(raw: RawSeries) -> Series {
    let points = raw.values.into_iter();
    Series {
        labels: raw.metric,
        // Rust reads all that Prometheus writes: `+Inf`, `NaN`, `1e+06`.
        points: points
            .filter_map(|(time, value)| Some((time, value.parse().ok()?)))
            .collect(),
        histograms: raw.histograms.len(),
    }
}

/// A series as a selector, without the labels that are said elsewhere.
pub(super) fn name(labels: &BTreeMap<String, String>, without: &[String]) -> String {
    let metric = labels
        .get(METRIC)
        .filter(|_| without.iter().all(|label| label != METRIC));
    let metric = metric.map_or("", String::as_str);
    let pairs = labels
        .iter()
        .filter(|(label, _)| label.as_str() != METRIC && !without.contains(label));
    let pairs: Vec<_> = pairs
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    let name = match (metric, pairs.is_empty()) {
        ("", _) => format!("{{{}}}", pairs.join(", ")),
        (metric, true) => metric.to_owned(),
        (metric, false) => format!("{metric}{{{}}}", pairs.join(", ")),
    };
    super::text::harmless(&name)
}

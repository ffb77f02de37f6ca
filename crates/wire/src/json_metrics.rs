//! Metrics as the WhatsApp Business client writes them in JSON, read into a page. It reads the two
//! documented forms, `{"metrics": {name: metric}}` and `{"stats": {part: {name: metric}}}` with
//! `metric` = `{"type", "help", "data": [{"labels", "value"}]}`, and the bare map `{name: metric}`.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::exposition::{Builder, Format, Kind, Page, is_classic_label, is_classic_name, is_value};

#[cfg(test)]
mod tests;

/// Bytes of one document. Read into values, JSON takes up to 16 times its size: lists of digits do.
const BODY_BYTES_MAX: usize = 4 << 20;

/// A document that is not of the two forms.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonMetricsError {
    /// Not JSON at all.
    #[error("the body is not JSON; ask the target for its JSON form or drop `convert: json_map`")]
    Json(#[source] serde_json::Error),
    /// Neither `metrics` nor `stats` on top.
    #[error("the document has neither `metrics` nor `stats`; check the path of the part")]
    NoMetrics,
    /// Something that must be an object is not.
    #[error("`{0}` is not an object; expected name: {{type, help, data}}")]
    NotObject(String),
    /// A name that no metric may have.
    #[error("`{0}` cannot be a metric name; use letters, digits, '_' and ':'")]
    Name(String),
    /// `data` is missing or no list.
    #[error("metric `{0}` has no list `data`; expected [{{labels, value}}]")]
    Data(String),
    /// An element of `data` with labels that cannot be read.
    #[error(
        "metric `{metric}`, element {element} of `data`: labels must be an object of texts with valid names"
    )]
    Labels {
        /// The metric.
        metric: String,
        /// Place in `data`, counted from 0.
        element: usize,
    },
    /// An element of `data` without a number.
    #[error("metric `{metric}`, element {element} of `data`: the value must be a number")]
    Value {
        /// The metric.
        metric: String,
        /// Place in `data`, counted from 0.
        element: usize,
    },
    /// Larger than any such target's document.
    #[error("the document is larger than {BODY_BYTES_MAX} bytes; fetch less at a time")]
    TooLarge,
}

/// Reads a document of at most 4 MiB into a text page: `{"metrics": map}`, `{"stats": {part: map}}`
/// or the map itself, which then can't be empty. Types other than counter and gauge become untyped;
/// an element whose value is null is left out.
///
/// # Errors
/// When the body is not JSON of one of the two forms; the message names the metric.
pub fn parse(body: &[u8]) -> Result<Page, JsonMetricsError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(JsonMetricsError::TooLarge);
    }
    let document: Value = serde_json::from_slice(body).map_err(JsonMetricsError::Json)?;
    let mut families: Vec<(&str, &Map<String, Value>)> = Vec::new();
    if let Some(metrics) = document.get("metrics") {
        families.push(("metrics", object("metrics", metrics)?));
    }
    if let Some(stats) = document.get("stats") {
        for (part, metrics) in object("stats", stats)? {
            families.push((part, object(part, metrics)?));
        }
    }
    if families.is_empty() && document.get("stats").is_none() {
        let bare = document
            .as_object()
            .filter(|all| !all.is_empty() && all.values().all(is_metric));
        families.push(("document", bare.ok_or(JsonMetricsError::NoMetrics)?));
    }
    let mut builder = Builder::new(Page::empty(Format::Text));
    for (_, metrics) in families {
        for (name, metric) in metrics {
            read_metric(&mut builder, name, object(name, metric)?)?;
        }
    }
    Ok(builder.finish())
}

/// Whether a value could be a metric, so that its document is a bare map of them.
fn is_metric(value: &Value) -> bool {
    value.get("data").is_some_and(Value::is_array)
}

fn object<'a>(name: &str, value: &'a Value) -> Result<&'a Map<String, Value>, JsonMetricsError> {
    value
        .as_object()
        .ok_or_else(|| JsonMetricsError::NotObject(name.to_owned()))
}

/// Labels and value of one element of `data`.
type Sample<'a> = (Vec<(&'a str, Cow<'a, str>)>, f64);

fn read_metric(
    builder: &mut Builder,
    name: &str,
    metric: &Map<String, Value>,
) -> Result<(), JsonMetricsError> {
    if !is_classic_name(name.as_bytes()) {
        return Err(JsonMetricsError::Name(name.to_owned()));
    }
    let data = metric
        .get("data")
        .and_then(Value::as_array)
        .ok_or_else(|| JsonMetricsError::Data(name.to_owned()))?;
    let mut samples: Vec<Sample<'_>> = Vec::with_capacity(data.len());
    for (element, datum) in data.iter().enumerate() {
        let labels = labels(datum).ok_or_else(|| JsonMetricsError::Labels {
            metric: name.to_owned(),
            element,
        })?;
        let value = datum.get("value");
        if value.is_some_and(Value::is_null) {
            continue;
        }
        let value = value
            .and_then(number)
            .ok_or_else(|| JsonMetricsError::Value {
                metric: name.to_owned(),
                element,
            })?;
        samples.push((labels, value));
    }
    let kind = match metric.get("type").and_then(Value::as_str) {
        Some("counter") => Kind::Counter,
        Some("gauge") => Kind::Gauge,
        _ => Kind::Unknown,
    };
    let help = metric
        .get("help")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let samples = samples.iter().map(|(labels, value)| {
        (
            labels.iter().map(|(label, text)| (*label, text.as_ref())),
            *value,
        )
    });
    builder.family(kind, name, help, samples);
    Ok(())
}
/// The labels of an element; absent and null mean none. Numbers and booleans become text.
fn labels(datum: &Value) -> Option<Vec<(&str, Cow<'_, str>)>> {
    let labels = match datum.get("labels") {
        None | Some(Value::Null) => return Some(Vec::new()),
        Some(labels) => labels.as_object()?,
    };
    let texts = labels.iter().map(|(name, value)| {
        let text = match value {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            Value::Null => Cow::Borrowed(""),
            Value::Bool(_) | Value::Number(_) => Cow::Owned(value.to_string()),
            Value::Array(_) | Value::Object(_) => return None,
        };
        is_classic_label(name.as_bytes()).then_some((name.as_str(), text))
    });
    texts.collect()
}

/// A number, or a number written as text.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if is_value(text.as_bytes()) => text.parse().ok(),
        _ => None,
    }
}

//! Requests in JSON, as OpenTelemetry's libraries for browsers and Node send them by default. Numbers of
//! 64 bits may be texts, names of fields are in camel case, and ids of traces are hexadecimal.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::read::{ATTRIBUTES_MAX, PARTS_MAX, POINTS_MAX};
use super::{Attribute, Exemplar, Kind, Metric, Point, Value, Visitor};
use crate::protobuf::Malformed;

const NANOSECONDS_PER_MS: u64 = 1_000_000;
/// The flag of points without a value.
const NO_RECORDED_VALUE: u64 = 1;
/// The temporality of differences.
const DELTA: u64 = 1;

/// Why a document is not read.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It is no JSON.
    #[error("the document is not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// It says something else than metrics.
    #[error(transparent)]
    Meaning(#[from] Malformed),
}

/// Reads a document and tells the visitor what is in it.
pub fn read_json(document: &[u8], visitor: &mut impl Visitor) -> Result<(), JsonError> {
    let document: Json = serde_json::from_slice(document)?;
    let mut points = 0;
    for resource_metrics in list(&document, "resourceMetrics")? {
        let resource = resource_metrics.get("resource").unwrap_or(&Json::Null);
        visitor.resource(&attributes(resource, "attributes")?);
        for scope in list(resource_metrics, "scopeMetrics")? {
            for one in list(scope, "metrics")? {
                metric(one, &mut points, visitor)?;
            }
        }
        visitor.resource_end();
    }
    Ok(())
}

/// The forms of data that a metric may have.
const DATA: [(&str, Kind); 5] = [
    ("gauge", Kind::Gauge),
    (
        "sum",
        Kind::Sum {
            is_monotonic: false,
        },
    ),
    ("histogram", Kind::Histogram),
    ("exponentialHistogram", Kind::Exponential),
    ("summary", Kind::Summary),
];

fn metric(json: &Json, points: &mut usize, visitor: &mut impl Visitor) -> Result<(), Malformed> {
    let mut found = DATA.into_iter();
    let found = found.find_map(|(name, kind)| Some((json.get(name)?, kind)));
    let Some((data, mut kind)) = found else {
        return Ok(());
    };
    if let Kind::Sum { is_monotonic } = &mut kind {
        *is_monotonic = matches!(data.get("isMonotonic"), Some(Json::Bool(true)));
    }
    let temporality = data.get("aggregationTemporality");
    let is_delta = match temporality {
        Some(Json::String(word)) => word == "AGGREGATION_TEMPORALITY_DELTA",
        Some(number) => number.as_u64() == Some(DELTA),
        None => false,
    };
    visitor.metric(&Metric {
        name: text(json, "name"),
        description: text(json, "description"),
        unit: text(json, "unit"),
        kind,
        is_delta,
    });
    for json in list(data, "dataPoints")? {
        *points += 1;
        if *points > POINTS_MAX {
            return Err(Malformed::Many(1, POINTS_MAX));
        }
        visitor.point(&Point {
            attributes: attributes(json, "attributes")?,
            timestamp: milliseconds(json, "timeUnixNano")?,
            start: milliseconds(json, "startTimeUnixNano")?,
            is_stale: whole(json, "flags")? & NO_RECORDED_VALUE != 0,
            value: value(json, kind)?,
            exemplars: exemplars(json)?,
        });
    }
    Ok(())
}

fn value(json: &Json, kind: Kind) -> Result<Value, Malformed> {
    Ok(match kind {
        Kind::Gauge | Kind::Sum { .. } => Value::Number(number(json)?),
        Kind::Histogram => Value::Histogram {
            count: whole(json, "count")?,
            sum: optional(json, "sum")?,
            bounds: all(json, "explicitBounds", double_of)?,
            counts: all(json, "bucketCounts", whole_of)?,
        },
        Kind::Exponential => Value::Exponential {
            scale: whole_signed(json, "scale")?,
            count: whole(json, "count")?,
            sum: optional(json, "sum")?,
            zero_threshold: double(json, "zeroThreshold")?,
            zero_count: whole(json, "zeroCount")?,
            positive: buckets(json, "positive")?,
            negative: buckets(json, "negative")?,
        },
        Kind::Summary => Value::Summary {
            count: whole(json, "count")?,
            sum: double(json, "sum")?,
            quantiles: all(json, "quantileValues", |pair| {
                Ok((double(pair, "quantile")?, double(pair, "value")?))
            })?,
        },
    })
}

fn buckets(json: &Json, name: &str) -> Result<(i32, Vec<u64>), Malformed> {
    let side = json.get(name).unwrap_or(&Json::Null);
    let offset = whole_signed(side, "offset")?;
    Ok((offset, all(side, "bucketCounts", whole_of)?))
}

fn exemplars(json: &Json) -> Result<Vec<Exemplar<'_>>, Malformed> {
    all(json, "exemplars", |json| {
        Ok(Exemplar {
            attributes: attributes(json, "filteredAttributes")?,
            timestamp: milliseconds(json, "timeUnixNano")?,
            value: number(json)?,
            trace_id: Cow::Owned(hexadecimal(text(json, "traceId"))?),
            span_id: Cow::Owned(hexadecimal(text(json, "spanId"))?),
        })
    })
}

/// A list in an object; nothing when it is not there.
fn list<'a>(json: &'a Json, name: &str) -> Result<&'a [Json], Malformed> {
    match json.get(name) {
        None | Some(Json::Null) => Ok(&[]),
        Some(Json::Array(list)) => Ok(list),
        Some(_) => Err(Malformed::Meaning(
            "something that has to be a list is none",
        )),
    }
}

fn all<'a, T>(
    json: &'a Json,
    name: &str,
    read: impl Fn(&'a Json) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let list = list(json, name)?;
    if list.len() > PARTS_MAX {
        return Err(Malformed::Meaning("a point has too many parts"));
    }
    list.iter().map(read).collect()
}

fn text<'a>(json: &'a Json, name: &str) -> &'a str {
    json.get(name).and_then(Json::as_str).unwrap_or_default()
}

fn attributes<'a>(json: &'a Json, name: &str) -> Result<Vec<Attribute<'a>>, Malformed> {
    let pairs = list(json, name)?;
    if pairs.len() > ATTRIBUTES_MAX {
        return Err(Malformed::Meaning("too many attributes"));
    }
    let pair = |pair: &'a Json| (text(pair, "key"), shown(pair.get("value")));
    Ok(pairs.iter().map(pair).collect())
}

/// An `AnyValue` as text.
fn shown(value: Option<&Json>) -> Cow<'_, str> {
    let Some(value) = value else {
        return Cow::Borrowed("");
    };
    if let Some(text) = value.get("stringValue").and_then(Json::as_str) {
        return Cow::Borrowed(text);
    }
    match plain(value) {
        Json::String(text) => Cow::Owned(text),
        Json::Null => Cow::Borrowed(""),
        other => Cow::Owned(other.to_string()),
    }
}

/// An `AnyValue` without the words that say its type. The reader of JSON bounds how deep it is.
fn plain(value: &Json) -> Json {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else {
        return Json::Null;
    };
    let values = |inner: &Json| inner.get("values").and_then(Json::as_array).cloned();
    match kind.as_str() {
        "intValue" => match inner.as_str().map(str::parse::<i64>) {
            Some(Ok(number)) => Json::from(number),
            _ => inner.clone(),
        },
        "arrayValue" => {
            let values = values(inner).unwrap_or_default();
            Json::Array(values.iter().map(plain).collect())
        }
        "kvlistValue" => {
            let values = values(inner).unwrap_or_default();
            let pair = |pair: &Json| {
                let value = pair.get("value").map(plain).unwrap_or_default();
                (text(pair, "key").to_owned(), value)
            };
            Json::Object(values.iter().map(pair).collect())
        }
        _ => inner.clone(),
    }
}

/// A whole number, which may be a text; 0 when it is not there.
fn whole(json: &Json, name: &str) -> Result<u64, Malformed> {
    json.get(name).map_or(Ok(0), whole_of)
}

fn whole_of(json: &Json) -> Result<u64, Malformed> {
    let number = match json {
        Json::String(text) => text.parse().ok(),
        number => number.as_u64(),
    };
    number.ok_or(Malformed::Meaning("a whole number is none"))
}

fn whole_signed(json: &Json, name: &str) -> Result<i32, Malformed> {
    let Some(number) = json.get(name) else {
        return Ok(0);
    };
    let number = number
        .as_i64()
        .and_then(|number| i32::try_from(number).ok());
    number.ok_or(Malformed::Meaning("a whole number is none"))
}

fn double(json: &Json, name: &str) -> Result<f64, Malformed> {
    Ok(optional(json, name)?.unwrap_or_default())
}

fn optional(json: &Json, name: &str) -> Result<Option<f64>, Malformed> {
    json.get(name).map(double_of).transpose()
}

fn double_of(json: &Json) -> Result<f64, Malformed> {
    let number = match json {
        Json::String(word) => match word.as_str() {
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            word => word.parse().ok(),
        },
        number => number.as_f64(),
    };
    number.ok_or(Malformed::Meaning("a number is none"))
}

/// The value of a point or exemplar.
fn number(json: &Json) -> Result<f64, Malformed> {
    match (json.get("asDouble"), json.get("asInt")) {
        (Some(double), _) => double_of(double),
        (None, Some(Json::String(whole))) => {
            let whole: Result<i64, _> = whole.parse();
            let whole = whole.map_err(|_| Malformed::Meaning("a whole number is none"))?;
            Ok(whole as f64)
        }
        (None, Some(whole)) => double_of(whole),
        (None, None) => Ok(0.0),
    }
}

fn milliseconds(json: &Json, name: &str) -> Result<i64, Malformed> {
    let since = whole(json, name)? / NANOSECONDS_PER_MS;
    Ok(i64::try_from(since).unwrap_or(i64::MAX))
}

fn hexadecimal(text: &str) -> Result<Vec<u8>, Malformed> {
    let wrong = Malformed::Meaning("an id is not hexadecimal");
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return Err(wrong);
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| {
        let value = digit(*high)? << 4 | digit(*low)?;
        u8::try_from(value).ok()
    };
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.ok_or(wrong)
}

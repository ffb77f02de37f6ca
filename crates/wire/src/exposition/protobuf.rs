//! Metrics in the protobuf form, the only one with native histograms: `io.prometheus.client.MetricFamily`,
//! one after the other with their lengths. A page is read where it lies, for who scrapes it; it is not
//! joined, converted or written.

mod histogram;

use super::Kind;
use crate::protobuf::{Field, Malformed, Reader};

pub use histogram::{Bucket, Histogram};

/// The `Content-Type` of such a page.
pub const CONTENT_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// Labels of one series or exemplar.
const LABELS_MAX: usize = 1_000;
/// Quantiles of a summary, buckets and exemplars of a histogram.
const PARTS_MAX: usize = 10_000;
/// The tag of the labels of a metric, which stand first.
const LABELS_TAG: u8 = 1 << 3 | 2;

/// Whether a `Content-Type` header announces such a page.
pub fn is_announced(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    if !media.eq_ignore_ascii_case("application/vnd.google.protobuf") {
        return false;
    }
    let value = |wanted: &str| {
        parts.clone().find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let is_it = name.trim().eq_ignore_ascii_case(wanted);
            is_it.then(|| value.trim().trim_matches('"'))
        })
    };
    value("proto") == Some("io.prometheus.client.MetricFamily")
        && value("encoding") == Some("delimited")
}

/// The families of a page, in its order.
#[derive(Debug, Clone)]
pub struct Families<'a>(Reader<'a>);

impl<'a> Families<'a> {
    /// Begins at the first family of a page.
    pub const fn new(page: &'a [u8]) -> Self {
        Self(Reader::new(page))
    }
}

impl<'a> Iterator for Families<'a> {
    type Item = Result<Family<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.rest().is_empty() {
            return None;
        }
        let family = self.0.bytes().and_then(Family::read);
        if family.is_err() {
            self.0 = Reader::new(&[]);
        }
        Some(family)
    }
}

/// Metrics of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family<'a> {
    /// As in a TYPE line; that of a counter ends with `_total` mostly.
    pub name: &'a str,
    /// A sentence for people.
    pub help: &'a str,
    /// Its unit, if it has one.
    pub unit: &'a str,
    /// What it measures.
    pub kind: Kind,
    message: &'a [u8],
}

impl<'a> Family<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut family = Self {
            name: "",
            help: "",
            unit: "",
            // The first word of the enumeration is what is left out.
            kind: Kind::Counter,
            message,
        };
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field.number {
                1 => family.name = field.text()?,
                2 => family.help = field.text()?,
                3 => {
                    family.kind = match field.unsigned()? {
                        0 => Kind::Counter,
                        1 => Kind::Gauge,
                        2 => Kind::Summary,
                        4 => Kind::Histogram,
                        5 => Kind::GaugeHistogram,
                        _ => Kind::Unknown,
                    };
                }
                5 => family.unit = field.text()?,
                _ => {}
            }
        }
        if family.name.is_empty() {
            return Err(Malformed::Meaning("a metric family has no name"));
        }
        Ok(family)
    }

    /// Its metrics, in the order of the page.
    pub const fn metrics(&self) -> Metrics<'a> {
        Metrics(Reader::new(self.message))
    }
}

/// The metrics of a family.
#[derive(Debug, Clone)]
pub struct Metrics<'a>(Reader<'a>);

impl<'a> Iterator for Metrics<'a> {
    type Item = Result<Metric<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.field() {
                Ok(Some(field)) if field.number == 4 => {
                    return Some(field.bytes().and_then(Metric::read));
                }
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => {
                    self.0 = Reader::new(&[]);
                    return Some(Err(error));
                }
            }
        }
    }
}

/// A metric with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric<'a> {
    /// The labels as they lie in the page: equal bytes are equal labels of a metric of one family.
    pub label_bytes: &'a [u8],
    /// When, in milliseconds since 1970; otherwise at the time of the scrape.
    pub timestamp: Option<i64>,
    /// What was measured.
    pub value: Value<'a>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Of a gauge, or of what is not known.
    Number(f64),
    /// Of a counter.
    Counter {
        /// The count.
        value: f64,
        /// When it began, in milliseconds since 1970; 0 is not known.
        start: i64,
        /// An example.
        exemplar: Option<Exemplar<'a>>,
    },
    /// Of a summary.
    Summary {
        /// All observations.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Quantile and value.
        quantiles: Vec<(f64, f64)>,
        /// When it began to count, in milliseconds since 1970; 0 is not known.
        start: i64,
    },
    /// Of a histogram in buckets, or a native one, or both.
    Histogram(Box<Histogram<'a>>),
}

/// A pointer from a series to something outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar<'a> {
    /// Names and values of its labels.
    pub labels: Vec<(&'a str, &'a str)>,
    /// What was observed.
    pub value: f64,
    /// When, in milliseconds since 1970; otherwise at the time of the scrape.
    pub timestamp: Option<i64>,
}

impl<'a> Metric<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(message);
        let mut label_bytes = reader.run_of(LABELS_TAG)?;
        let (mut timestamp, mut value) = (None, None);
        while let Some(field) = reader.field()? {
            let read = match field.number {
                // Legal, and nobody does it.
                1 => {
                    label_bytes = message;
                    continue;
                }
                2 | 5 => Value::Number(number(field.bytes()?)?),
                3 => counter(field.bytes()?)?,
                4 => summary(field.bytes()?)?,
                6 => {
                    timestamp = Some(field.signed()?);
                    continue;
                }
                7 => Value::Histogram(Box::new(Histogram::read(field.bytes()?)?)),
                _ => continue,
            };
            value = Some(read);
        }
        Ok(Self {
            label_bytes,
            timestamp,
            value: value.ok_or(Malformed::Meaning("a metric has no value"))?,
        })
    }

    /// Puts names and values of its labels into `pairs`, in the order of the page.
    pub fn labels(&self, pairs: &mut Vec<(&'a str, &'a str)>) -> Result<(), Malformed> {
        pairs.clear();
        let mut reader = Reader::new(self.label_bytes);
        while let Some(field) = reader.field()? {
            if field.number == 1 {
                push_label(pairs, field)?;
            }
        }
        Ok(())
    }
}

fn push_label<'a>(pairs: &mut Vec<(&'a str, &'a str)>, field: Field<'a>) -> Result<(), Malformed> {
    if pairs.len() >= LABELS_MAX {
        return Err(Malformed::Many(field.number, LABELS_MAX));
    }
    let (mut name, mut value) = ("", "");
    let mut reader = Reader::new(field.bytes()?);
    while let Some(field) = reader.field()? {
        match field.number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    pairs.push((name, value));
    Ok(())
}

fn number(message: &[u8]) -> Result<f64, Malformed> {
    let mut value = 0.0;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        if field.number == 1 {
            value = field.double()?;
        }
    }
    Ok(value)
}

fn counter(message: &[u8]) -> Result<Value<'_>, Malformed> {
    let (mut value, mut start, mut exemplar) = (0.0, 0, None);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field.number {
            1 => value = field.double()?,
            2 => exemplar = Some(Exemplar::read(field.bytes()?)?),
            3 => start = time(field.bytes()?)?,
            _ => {}
        }
    }
    Ok(Value::Counter {
        value,
        start,
        exemplar,
    })
}

fn summary<'a>(message: &[u8]) -> Result<Value<'a>, Malformed> {
    let (mut count, mut sum, mut start) = (0, 0.0, 0);
    let mut quantiles = Vec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field.number {
            1 => count = field.unsigned()?,
            2 => sum = field.double()?,
            3 if quantiles.len() >= PARTS_MAX => return Err(Malformed::Many(3, PARTS_MAX)),
            3 => {
                let (mut at, mut value) = (0.0, 0.0);
                let mut pair = Reader::new(field.bytes()?);
                while let Some(field) = pair.field()? {
                    match field.number {
                        1 => at = field.double()?,
                        2 => value = field.double()?,
                        _ => {}
                    }
                }
                quantiles.push((at, value));
            }
            4 => start = time(field.bytes()?)?,
            _ => {}
        }
    }
    Ok(Value::Summary {
        count,
        sum,
        quantiles,
        start,
    })
}

/// A `google.protobuf.Timestamp` in milliseconds since 1970.
fn time(message: &[u8]) -> Result<i64, Malformed> {
    let (mut seconds, mut nanoseconds) = (0_i64, 0_i64);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field.number {
            1 => seconds = field.signed()?,
            2 => nanoseconds = field.signed()?,
            _ => {}
        }
    }
    Ok(seconds
        .saturating_mul(1_000)
        .saturating_add(nanoseconds / 1_000_000))
}

impl<'a> Exemplar<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut exemplar = Self {
            labels: Vec::new(),
            value: 0.0,
            timestamp: None,
        };
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field.number {
                1 => push_label(&mut exemplar.labels, field)?,
                2 => exemplar.value = field.double()?,
                3 => exemplar.timestamp = Some(time(field.bytes()?)?),
                _ => {}
            }
        }
        Ok(exemplar)
    }
}

#[cfg(test)]
mod tests;

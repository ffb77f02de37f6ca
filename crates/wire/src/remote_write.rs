//! Remote write 1.0 and 2.0: what Prometheus and its kin send samples with. A request is read where it
//! lies; nothing is copied and nothing allocated for a series or a sample, but for histograms.
//!
//! Names in both versions: `prometheus.WriteRequest` and `io.prometheus.write.v2.Request`. Bytes of
//! names and values are not checked to be UTF-8 here: who knows the series already need not.

mod read;
mod write;

use crate::exposition::Kind;
use crate::histogram::Histogram;

pub use read::{AllMetadata, AllSeries, Item, Items, LABELS_MAX, Request, SYMBOLS_MAX, Series};
pub use write::{Encoder, Points};

/// The media type of both versions.
const MEDIA_TYPE: &str = "application/x-protobuf";

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// 1.0: labels as texts.
    One,
    /// 2.0: labels refer to a table of texts.
    Two,
}

impl Version {
    /// The version that a `Content-Type` header announces; none for anything else. Senders of the first
    /// days give none.
    pub fn from_content_type(value: Option<&str>) -> Option<Self> {
        let mut parts = value.unwrap_or_default().split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if !media.is_empty() && !media.eq_ignore_ascii_case(MEDIA_TYPE) {
            return None;
        }
        let mut version = Self::One;
        for part in parts {
            let Some((name, message)) = part.split_once('=') else {
                continue;
            };
            if name.trim().eq_ignore_ascii_case("proto") {
                version = match message.trim().trim_matches('"') {
                    "prometheus.WriteRequest" => Self::One,
                    "io.prometheus.write.v2.Request" => Self::Two,
                    _ => return None,
                };
            }
        }
        Some(version)
    }

    /// The `Content-Type` header of a request.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::One => "application/x-protobuf",
            Self::Two => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// The `X-Prometheus-Remote-Write-Version` header of a request.
    pub const fn number(self) -> &'static str {
        match self {
            Self::One => "0.1.0",
            Self::Two => "2.0.0",
        }
    }
}

/// A number at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// What was measured.
    pub value: f64,
    /// When, in milliseconds since 1970.
    pub timestamp: i64,
    /// When the counter began, in milliseconds since 1970; 0 is not known.
    pub start: i64,
}

/// A native histogram at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// What was measured.
    pub histogram: Histogram,
    /// When, in milliseconds since 1970.
    pub timestamp: i64,
    /// When it began to count, in milliseconds since 1970; 0 is not known.
    pub start: i64,
}

/// A pointer from a series to something outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar<'a> {
    /// Its own labels, names and values.
    pub labels: Vec<(&'a [u8], &'a [u8])>,
    /// The value that was observed.
    pub value: f64,
    /// When, in milliseconds since 1970.
    pub timestamp: i64,
}

/// What is known of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Metadata<'a> {
    /// Its type.
    pub kind: Kind,
    /// A sentence for people.
    pub help: &'a [u8],
    /// Its unit, if it has one.
    pub unit: &'a [u8],
}

/// The types in the order of their numbers.
const KINDS: [Kind; 8] = [
    Kind::Unknown,
    Kind::Counter,
    Kind::Gauge,
    Kind::Histogram,
    Kind::GaugeHistogram,
    Kind::Summary,
    Kind::Info,
    Kind::StateSet,
];

/// What a number stands for, here and in the log of Prometheus.
pub(crate) fn kind_of(number: u64) -> Kind {
    let at = usize::try_from(number).unwrap_or(usize::MAX);
    KINDS.get(at).copied().unwrap_or(Kind::Unknown)
}

fn number_of(kind: Kind) -> u64 {
    let at = KINDS.iter().position(|have| *have == kind);
    at.unwrap_or_default() as u64
}

#[cfg(test)]
mod tests;

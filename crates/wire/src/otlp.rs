//! Metrics of OpenTelemetry as they come over HTTP: `ExportMetricsServiceRequest` of the protocol's
//! version 1 in protobuf, read where it lies, or in JSON, and its names as Prometheus has them. Traces and logs are
//! not read.

mod attributes;
mod json;
mod names;
mod read;
mod response;

use std::borrow::Cow;

pub use json::{JsonError, read_json};
pub use names::{escape_label, metric_name};
pub use read::{ATTRIBUTES_MAX, POINTS_MAX, read};
pub use response::{error, error_json, partial_success, partial_success_json};

/// The media type of requests and answers in protobuf.
pub const MEDIA_TYPE: &str = "application/x-protobuf";
/// The media type of requests and answers in JSON.
pub const JSON_MEDIA_TYPE: &str = "application/json";

/// A name with a value as text: what is no text is written as JSON.
pub type Attribute<'a> = (&'a str, Cow<'a, str>);

/// What a metric is, by the kind of its points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value that moves both ways.
    Gauge,
    /// A sum since a start.
    Sum {
        /// It only grows.
        is_monotonic: bool,
    },
    /// Observations in given buckets.
    Histogram,
    /// Observations in buckets that grow exponentially.
    Exponential,
    /// Quantiles.
    Summary,
}

/// What is said of a metric before its points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric<'a> {
    /// As the program names it, such as `http.server.duration`.
    pub name: &'a str,
    /// A sentence for people.
    pub description: &'a str,
    /// By the Unified Code for Units of Measure, such as `ms`.
    pub unit: &'a str,
    /// What it is.
    pub kind: Kind,
    /// The points are differences to the ones before.
    pub is_delta: bool,
}

/// A point of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Point<'a> {
    /// What sets it apart from others of the metric.
    pub attributes: Vec<Attribute<'a>>,
    /// When, in milliseconds since 1970.
    pub timestamp: i64,
    /// Since when it is counted, in milliseconds since 1970; 0 is not known.
    pub start: i64,
    /// There is no value: the series ends.
    pub is_stale: bool,
    /// What was measured.
    pub value: Value,
    /// Pointers to traces.
    pub exemplars: Vec<Exemplar<'a>>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a gauge or a sum.
    Number(f64),
    /// Of a histogram.
    Histogram {
        /// All observations.
        count: u64,
        /// Their sum, unless some may be negative.
        sum: Option<f64>,
        /// Upper bounds of the buckets but the last.
        bounds: Vec<f64>,
        /// Observations in each bucket.
        counts: Vec<u64>,
    },
    /// Of an exponential histogram; the same as a native histogram.
    Exponential {
        /// Resolution: buckets grow by `2^(2^-scale)`.
        scale: i32,
        /// All observations.
        count: u64,
        /// Their sum, unless some may be negative.
        sum: Option<f64>,
        /// Width of the bucket around zero.
        zero_threshold: f64,
        /// Observations in the bucket around zero.
        zero_count: u64,
        /// Index of the first positive bucket, and observations.
        positive: (i32, Vec<u64>),
        /// Index of the first negative bucket, and observations.
        negative: (i32, Vec<u64>),
    },
    /// Of a summary.
    Summary {
        /// All observations.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Quantile and value.
        quantiles: Vec<(f64, f64)>,
    },
}

/// A pointer to a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar<'a> {
    /// What sets it apart.
    pub attributes: Vec<Attribute<'a>>,
    /// When, in milliseconds since 1970.
    pub timestamp: i64,
    /// What was observed.
    pub value: f64,
    /// Of the trace, if there is one.
    pub trace_id: Cow<'a, [u8]>,
    /// Of the span, if there is one.
    pub span_id: Cow<'a, [u8]>,
}

/// Who takes what is read, in the order in which it was sent.
pub trait Visitor {
    /// What follows is of this resource: a process, mostly.
    fn resource(&mut self, attributes: &[Attribute<'_>]);
    /// What follows is of this metric.
    fn metric(&mut self, metric: &Metric<'_>);
    /// A point of the metric.
    fn point(&mut self, point: &Point<'_>);
    /// Everything of the resource was read.
    fn resource_end(&mut self);
}

#[cfg(test)]
mod tests;

//! What a query gives.

use std::sync::Arc;

use crate::histogram::Histogram;
use crate::labels::Labels;

/// A float or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(Arc<Histogram>),
}

/// A series with its value at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSample {
    /// Its labels.
    pub labels: Labels,
    /// In milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Its value.
    pub sample: Sample,
}

/// A series with its values, each at its time in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSeries {
    /// Its labels.
    pub labels: Labels,
    /// Floats, by time.
    pub floats: Vec<(i64, f64)>,
    /// Histograms, by time.
    pub histograms: Vec<(i64, Arc<Histogram>)>,
}

/// What a query gives.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number at a time in milliseconds since 1970.
    Scalar(i64, f64),
    /// A text at a time in milliseconds since 1970.
    Text(i64, String),
    /// Series with a value each. Of an instant query only; in the order that the query wants, if
    /// it sorts.
    Vector(Vec<VectorSample>),
    /// Series with values over time, by labels.
    Matrix(Vec<MatrixSeries>),
}

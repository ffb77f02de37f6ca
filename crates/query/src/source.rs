//! Where samples come from: one question, answered with labels and slices of samples.

use std::sync::Arc;

use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::matcher::Matcher;

/// The value that marks that a series has ended here: a NaN that no arithmetic makes.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether the value is the marker that a series has ended, bit by bit.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// A store of samples.
pub trait Source {
    /// All series that match, each once, with at least their samples in the span. Any order will do;
    /// by labels is the cheapest for who asks.
    ///
    /// # Errors
    /// When the store could not be read, or has more than the selection allows.
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError>;

    /// Shows the same series one after the other, until `see` says that it is enough. What is left in
    /// one is memory for the next.
    ///
    /// # Errors
    /// As [`Source::select`]; some have been shown by then.
    fn each(
        &self,
        selection: &Selection<'_>,
        see: &mut dyn FnMut(&mut SeriesData) -> bool,
    ) -> Result<(), SourceError> {
        let mut series = self.select(selection)?.into_iter();
        series.all(|mut one| see(&mut one));
        Ok(())
    }
}

/// Which series and samples are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// All of them hold.
    pub matchers: &'a [Matcher],
    /// Samples after this time, in milliseconds since 1970.
    pub after_ms: i64,
    /// Samples up to this time, in milliseconds since 1970.
    pub until_ms: i64,
    /// More series than this are refused.
    pub series_max: usize,
    /// More samples than this are refused.
    pub samples_max: usize,
}

/// One series with its samples. Floats and histograms stand apart; together each time comes once.
#[derive(Debug, Clone)]
pub struct SeriesData {
    /// Its labels, with the metric's name.
    pub labels: Labels,
    /// Times of the floats, rising, in milliseconds since 1970; series of one target may share them.
    pub timestamps: Arc<Vec<i64>>,
    /// As many floats as timestamps. [`STALE`] marks an end.
    pub values: Vec<f64>,
    /// Since when each float counts, 0 where unknown; empty when it is known of none.
    pub starts: Vec<i64>,
    /// Histograms by time.
    pub histograms: Vec<HistogramSample>,
}

impl SeriesData {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.values.len() + self.histograms.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A histogram at a time.
#[derive(Debug, Clone)]
pub struct HistogramSample {
    /// In milliseconds since 1970.
    pub timestamp: i64,
    /// Since when it counts, 0 where unknown.
    pub start: i64,
    /// The histogram; one whose sum is [`STALE`] marks an end.
    pub histogram: Arc<Histogram>,
}

/// Why a store gave no samples.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum SourceError {
    /// More series than allowed.
    #[error("the query selects more than {0} series")]
    TooManySeries(usize),
    /// More samples than allowed.
    #[error("the query loads more than {0} samples")]
    TooManySamples(usize),
    /// The store could not be read.
    #[error("{0}")]
    Read(String),
}

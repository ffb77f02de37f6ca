//! What was wrong with parts of a batch, counted and told: the sender's operator sees the first ones, the
//! process's metrics all.

use std::collections::BTreeMap;

use signals::{LabelsError, Refusal};
use wire::histogram::HistogramError;

/// Problems of one batch that are told one by one; the rest is counted.
const TOLD_MAX: usize = 10;
/// Characters of a series that are told.
const SERIES_CHARS_MAX: usize = 300;

/// Why a part of a batch was not taken. Sending it again does not help.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum Problem {
    /// Labels that the store does not take.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// Bytes that are no text.
    #[error("a label is not UTF-8")]
    NotText,
    /// No metric.
    #[error("the series has no label __name__")]
    NoName,
    /// A histogram that makes no sense.
    #[error(transparent)]
    Histogram(#[from] HistogramError),
    /// A sample that the store does not take.
    #[error(transparent)]
    Sample(#[from] Refusal),
    /// Something that is not kept in this form.
    #[error("{0}")]
    Form(&'static str),
}

impl Problem {
    /// A word for metrics.
    fn reason(&self) -> &'static str {
        match self {
            Self::Labels(_) | Self::NotText | Self::NoName => "labels",
            Self::Histogram(_) => "histogram",
            Self::Sample(Refusal::TooOld) => "too_old",
            Self::Sample(Refusal::TooNew) => "too_new",
            Self::Sample(Refusal::Duplicate) => "duplicate",
            Self::Sample(Refusal::ManySeries) => "many_series",
            Self::Form(_) => "form",
        }
    }
}

/// All problems of a batch.
#[derive(Debug, Default)]
pub(super) struct Problems {
    told: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl Problems {
    /// Notes that so many samples of a series were not taken. The text is only made when it is told.
    pub(super) fn add(
        &mut self,
        problem: &Problem,
        samples: usize,
        series: impl FnOnce() -> String,
    ) {
        if self.told.len() < TOLD_MAX {
            let mut series = series();
            if let Some((end, _)) = series.char_indices().nth(SERIES_CHARS_MAX) {
                series.truncate(end);
                series.push('…');
            }
            self.told.push(format!("{series}: {problem}"));
        }
        self.count(problem, samples);
    }

    /// Notes samples whose series is not at hand.
    pub(super) fn count(&mut self, problem: &Problem, samples: usize) {
        *self.counts.entry(problem.reason()).or_default() += samples as u64;
    }

    /// Notes samples about which the store says no more than their number.
    pub(super) fn count_untold(&mut self, samples: usize) {
        if samples > 0 {
            *self.counts.entry("other").or_default() += samples as u64;
        }
    }

    /// Whether sending it again later may help: series that are silent are forgotten.
    pub(super) fn may_pass(&self) -> bool {
        let many = Problem::Sample(Refusal::ManySeries);
        self.counts.contains_key(many.reason())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Samples by reason.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().map(|(reason, count)| (*reason, *count))
    }

    /// How many samples were not taken.
    pub(super) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// All that is told, a line each after the first, which sums it up.
    pub(super) fn text(&self) -> String {
        let total = self.total();
        let mut text = format!("{total} samples were not taken, and the others are stored:");
        for told in &self.told {
            text.push_str("\n  ");
            text.push_str(told);
        }
        text
    }
}

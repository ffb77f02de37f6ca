//! What is kept beside samples: exemplars and metadata, a bounded number of each.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::bytes::{Reader, put_bytes, put_signed};
use crate::labels::Labels;
use crate::number;

/// Exemplars in memory; the oldest goes when another comes.
pub const EXEMPLARS_MAX: usize = 10_000;
/// Metrics of which something is known.
pub const METADATA_MAX: usize = 10_000;
/// Bytes of a help text; what is longer is cut.
const HELP_BYTES_MAX: usize = 1_024;

/// A pointer from a series to something outside, such as a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// The series that it is an example of.
    pub series: Labels,
    /// Its own labels, such as `trace_id`.
    pub labels: Labels,
    /// The value that was observed.
    pub value: f64,
    /// When, in milliseconds since 1970.
    pub timestamp: i64,
}

impl Exemplar {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.series.as_bytes());
        put_bytes(out, self.labels.as_bytes());
        number::put(out, self.value);
        put_signed(out, self.timestamp);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            series: Labels::read(from)?,
            labels: Labels::read(from)?,
            value: number::read(from)?,
            timestamp: from.signed()?,
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        self.timestamp == other.timestamp
            && self.value.to_bits() == other.value.to_bits()
            && self.series == other.series
            && self.labels == other.labels
    }
}

/// What is known of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// `counter`, `gauge`, …; empty when unknown.
    pub kind: String,
    /// A sentence for people.
    pub help: String,
    /// Its unit, if it has one.
    pub unit: String,
}

impl Metadata {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        for text in [&self.kind, &self.help, &self.unit] {
            put_bytes(out, text.as_bytes());
        }
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut text = || from.text().map(str::to_owned);
        Some(Self {
            kind: text()?,
            help: text()?,
            unit: text()?,
        })
    }

    fn cut(mut self) -> Self {
        for text in [&mut self.kind, &mut self.help, &mut self.unit] {
            let end = text.floor_char_boundary(HELP_BYTES_MAX);
            text.truncate(end);
        }
        self
    }
}

/// Exemplars and metadata of the store.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    exemplars: VecDeque<Exemplar>,
    /// How many are gone from the front.
    gone: u64,
    /// The last one of each series: how many came before it.
    last: HashMap<Labels, u64, foldhash::fast::RandomState>,
    metadata: BTreeMap<String, Metadata>,
}

impl Extras {
    /// Keeps an exemplar; false when it is there already.
    pub(crate) fn add_exemplar(&mut self, exemplar: Exemplar) -> bool {
        // The same one comes with each scrape until another replaces it.
        let last = self.last.get(&exemplar.series);
        let last = last.and_then(|at| usize::try_from(at.checked_sub(self.gone)?).ok());
        let last = last.and_then(|at| self.exemplars.get(at));
        if last.is_some_and(|have| have.is_same(&exemplar)) {
            return false;
        }
        if self.exemplars.len() >= EXEMPLARS_MAX
            && let Some(oldest) = self.exemplars.pop_front()
        {
            if self.last.get(&oldest.series) == Some(&self.gone) {
                self.last.remove(&oldest.series);
            }
            self.gone += 1;
        }
        let at = self.gone + self.exemplars.len() as u64;
        self.last.insert(exemplar.series.clone(), at);
        self.exemplars.push_back(exemplar);
        true
    }

    /// Keeps what is known of a metric; `None` when that was known, or there are too many.
    pub(crate) fn set_metadata(&mut self, metric: &str, metadata: Metadata) -> Option<&Metadata> {
        let metadata = metadata.cut();
        let have = self.metadata.get(metric);
        if have == Some(&metadata) || (have.is_none() && self.metadata.len() >= METADATA_MAX) {
            return None;
        }
        self.metadata.insert(metric.to_owned(), metadata);
        self.metadata.get(metric)
    }

    pub(crate) fn exemplars(&self) -> impl Iterator<Item = &Exemplar> {
        self.exemplars.iter()
    }

    pub(crate) fn metadata(&self) -> &BTreeMap<String, Metadata> {
        &self.metadata
    }
}

#[cfg(test)]
mod tests;

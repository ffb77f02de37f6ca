//! What is sent at once: items of the log gathered by series, as a request of remote write.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use signals::{Exemplar, Followed, Histogram, Labels, METRIC_NAME, Metadata, Value};
use wire::exposition::{Format, Kind};
use wire::remote_write::{self, Encoder, HistogramSample, Points, Sample, Version};
use wire::snappy;

use crate::receive::convert::wire_histogram;

/// Exemplars that wait for a sample of their series.
const WAITING_MAX: usize = 1_000;
/// Ends of names that a metric's family doesn't have.
const SUFFIXES: [&str; 4] = ["_bucket", "_count", "_sum", "_total"];

/// How a remote wants it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) version: Version,
    pub(super) histograms: bool,
}

/// What is known of metrics, by their families.
pub(super) type KnownMetrics = BTreeMap<String, Arc<Metadata>>;

/// What is sent at once.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch {
    series: Vec<Series>,
    /// Version 1.0 says it beside the series.
    metadata: Vec<(String, Arc<Metadata>)>,
    /// Histograms that the remote is not sent.
    pub(super) left_out: u64,
}

/// A series with its samples.
#[derive(Debug, Clone)]
struct Series {
    labels: Labels,
    floats: Vec<Sample>,
    histograms: Vec<(i64, i64, Arc<Histogram>)>,
    exemplars: Vec<Exemplar>,
    metadata: Option<Arc<Metadata>>,
}

/// How much it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) samples: u64,
    pub(super) histograms: u64,
    pub(super) exemplars: u64,
}

impl Batch {
    /// Gathers items by series, in the order in which series come. Exemplars without a sample beside
    /// them stay in `waiting` for the next batch, because version 2.0 has no series without samples.
    pub(super) fn gather(
        items: Vec<Followed>,
        form: Form,
        known: &mut KnownMetrics,
        waiting: &mut Vec<Exemplar>,
    ) -> Self {
        let mut gathering = Gathering {
            form,
            known,
            batch: Self::default(),
            places: HashMap::default(),
        };
        for item in items {
            match item {
                Followed::Sample {
                    labels,
                    time,
                    start,
                    value,
                } => gathering.sample(labels, (time, start), value),
                Followed::Exemplar(exemplar) => waiting.push(exemplar),
                Followed::Metadata(name, metadata) => gathering.metadata(name, metadata),
            }
        }
        gathering.exemplars(waiting);
        let mut batch = gathering.batch;
        for series in &mut batch.series {
            // Samples that came late stand behind newer ones in the log.
            series.floats.sort_by_key(|sample| sample.timestamp);
            series.histograms.sort_by_key(|(time, ..)| *time);
            // What is known of a metric stands behind its samples.
            if form.version == Version::Two {
                series.metadata = find(known, series.labels.get(METRIC_NAME));
            }
        }
        batch
    }

    /// Whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty() && self.metadata.is_empty()
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for series in &self.series {
            counts.samples += series.floats.len() as u64;
            counts.histograms += series.histograms.len() as u64;
            counts.exemplars += series.exemplars.len() as u64;
        }
        counts
    }

    /// The time of the oldest sample, in milliseconds since 1970.
    pub(super) fn oldest(&self) -> Option<i64> {
        let first = |series: &Series| {
            let float = series.floats.first().map(|sample| sample.timestamp);
            let histogram = series.histograms.first().map(|(time, ..)| *time);
            float.into_iter().chain(histogram).min()
        };
        self.series.iter().filter_map(first).min()
    }

    /// The body of a request; none when it is larger than the format can say.
    pub(super) fn body(&self, version: Version) -> Option<Bytes> {
        let mut encoder = Encoder::new(version);
        for series in &self.series {
            series.write(&mut encoder);
        }
        for (name, metadata) in &self.metadata {
            encoder.metadata(name, &wire_metadata(metadata));
        }
        snappy::pack(&encoder.finish()).map(Bytes::from)
    }

    /// Two smaller ones; none of a single sample.
    pub(super) fn halves(mut self) -> Option<[Self; 2]> {
        let middle = self.series.len() / 2;
        if middle > 0 {
            let series = self.series.split_off(middle);
            let rest = Self {
                series,
                ..Self::default()
            };
            return Some([self, rest]);
        }
        let series = self.series.first_mut()?;
        let mut rest = Series {
            floats: series.floats.split_off(series.floats.len() / 2),
            histograms: series.histograms.split_off(series.histograms.len() / 2),
            exemplars: Vec::new(),
            labels: series.labels.clone(),
            metadata: series.metadata.clone(),
        };
        if series.floats.is_empty() && series.histograms.is_empty() {
            // At most one of each is left.
            if rest.floats.is_empty() || rest.histograms.is_empty() {
                return None;
            }
            series.floats.append(&mut rest.floats);
        }
        let rest = Self {
            series: vec![rest],
            ..Self::default()
        };
        Some([self, rest])
    }
}

/// A batch that is being made.
struct Gathering<'a> {
    form: Form,
    known: &'a mut KnownMetrics,
    batch: Batch,
    places: HashMap<Labels, usize, foldhash::fast::RandomState>,
}

impl Gathering<'_> {
    fn sample(&mut self, labels: Labels, (time, start): (i64, i64), value: Value) {
        if !self.form.histograms && matches!(value, Value::Histogram(_)) {
            self.batch.left_out += 1;
            return;
        }
        let next = self.batch.series.len();
        let place = *self.places.entry(labels.clone()).or_insert(next);
        if place == next {
            self.batch.series.push(Series {
                labels,
                floats: Vec::new(),
                histograms: Vec::new(),
                exemplars: Vec::new(),
                metadata: None,
            });
        }
        let Some(series) = self.batch.series.get_mut(place) else {
            return;
        };
        match value {
            Value::Float(value) => series.floats.push(Sample {
                value,
                timestamp: time,
                start,
            }),
            Value::Histogram(value) => series.histograms.push((time, start, value)),
        }
    }

    fn metadata(&mut self, name: String, metadata: Metadata) {
        let metadata = Arc::new(metadata);
        if self.form.version == Version::One {
            self.batch.metadata.push((name, metadata));
        } else if self.known.len() < signals::METADATA_MAX || self.known.contains_key(&name) {
            self.known.insert(name, metadata);
        }
    }

    fn exemplars(&mut self, waiting: &mut Vec<Exemplar>) {
        let all = std::mem::take(waiting);
        for exemplar in all {
            let place = self.places.get(&exemplar.series);
            let series = place.and_then(|place| self.batch.series.get_mut(*place));
            match series {
                Some(series) => series.exemplars.push(exemplar),
                None if waiting.len() < WAITING_MAX => waiting.push(exemplar),
                None => {}
            }
        }
    }
}

/// What is known of the family of a name.
fn find(known: &KnownMetrics, name: &str) -> Option<Arc<Metadata>> {
    let short = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
    let found = known.get(name).or_else(|| known.get(short?));
    found.cloned()
}

impl Series {
    fn write(&self, encoder: &mut Encoder) {
        let histogram = |(time, start, histogram): &(i64, i64, Arc<Histogram>)| HistogramSample {
            histogram: wire_histogram(histogram),
            timestamp: *time,
            start: *start,
        };
        let histograms: Vec<HistogramSample> = self.histograms.iter().map(histogram).collect();
        let exemplars = self.exemplars.iter().map(|one| remote_write::Exemplar {
            labels: pairs(&one.labels).collect(),
            value: one.value,
            timestamp: one.timestamp,
        });
        let exemplars: Vec<remote_write::Exemplar<'_>> = exemplars.collect();
        let points = Points {
            samples: &self.floats,
            histograms: &histograms,
            exemplars: &exemplars,
            metadata: self.metadata.as_deref().map(wire_metadata),
        };
        encoder.series(pairs(&self.labels), &points);
    }
}

fn pairs(labels: &Labels) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = labels.iter();
    pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

fn wire_metadata(metadata: &Metadata) -> remote_write::Metadata<'_> {
    let kind = Kind::from_word(metadata.kind.as_bytes(), Format::OpenMetrics);
    remote_write::Metadata {
        kind: kind.unwrap_or(Kind::Unknown),
        help: metadata.help.as_bytes(),
        unit: metadata.unit.as_bytes(),
    }
}

//! A batch on its way into the store: series with their labels, samples that refer to them, and what is
//! said beside.

use std::sync::Arc;

use signals::{AppendError, Entry, Exemplar, Labels, Metadata, SeriesId, Store, Value};

use super::answer::Refused;
use super::problem::{Problem, Problems};

/// Samples that go to the store at once: one group has its lock for some milliseconds.
const GROUP_SAMPLES: usize = 50_000;
/// Bytes of memory that a batch may take: a few bytes on the wire may refer to long labels often.
const BATCH_BYTES_MAX: usize = 64 << 20;
/// About what a histogram takes beside its buckets.
const HISTOGRAM_BYTES: usize = 256;

/// What was received and read.
#[derive(Debug, Default)]
pub(super) struct Batch {
    series: Vec<(Labels, Option<SeriesId>)>,
    points: Vec<Point>,
    pub(super) exemplars: Vec<Exemplar>,
    pub(super) metadata: Vec<(String, Metadata)>,
    pub(super) problems: Problems,
    /// About how much memory it takes.
    bytes: usize,
}

/// A sample of a series of the batch.
#[derive(Debug)]
struct Point {
    series: usize,
    timestamp: i64,
    start: i64,
    value: Value,
}

/// What became of a batch. It is on disk.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// The series in the order in which they were added; none for those of which nothing was taken.
    pub(super) ids: Vec<Option<SeriesId>>,
    /// Numbers that are in the store now.
    pub(super) samples: usize,
    /// Histograms that are in the store now.
    pub(super) histograms: usize,
    pub(super) exemplars: usize,
    pub(super) problems: Problems,
}

impl Batch {
    /// Adds a series, and gives its number for samples.
    pub(super) fn series(&mut self, labels: Labels, id: Option<SeriesId>) -> usize {
        self.series.push((labels, id));
        self.series.len() - 1
    }

    /// Notes memory that something of it takes beside what it counts itself.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Refuses to become larger than a batch may be.
    pub(super) fn check_size(&self) -> Result<(), Refused> {
        let points = self.points.len() * size_of::<Point>();
        let series = self.series.len() * size_of::<(Labels, Option<SeriesId>)>();
        if self.bytes + points + series > BATCH_BYTES_MAX {
            return Err(Refused::TooLarge(BATCH_BYTES_MAX as u64));
        }
        Ok(())
    }

    /// A series of the batch: its labels, and its id as it was known.
    pub(super) fn get(&self, series: usize) -> Option<(&Labels, Option<SeriesId>)> {
        self.series.get(series).map(|(labels, id)| (labels, *id))
    }

    /// The labels of a series of the batch.
    pub(super) fn labels(&self, series: usize) -> Option<&Labels> {
        self.series.get(series).map(|(labels, _)| labels)
    }

    /// Adds a number; times in milliseconds since 1970, the start is 0 when it is not known.
    #[inline]
    pub(super) fn float(&mut self, series: usize, timestamp: i64, start: i64, value: f64) {
        self.points.push(Point {
            series,
            timestamp,
            start,
            value: Value::Float(value),
        });
    }

    /// Adds a series with one sample, which was checked.
    pub(super) fn value(&mut self, labels: &Labels, timestamp: i64, value: Value) {
        let series = self.series(labels.clone(), None);
        self.points.push(Point {
            series,
            timestamp,
            start: 0,
            value,
        });
    }

    /// Adds a histogram, when it makes sense.
    pub(super) fn histogram(
        &mut self,
        series: usize,
        (timestamp, start): (i64, i64),
        histogram: wire::histogram::Histogram,
    ) {
        if let Err(error) = histogram.check() {
            let labels = self.labels(series).map(ToString::to_string);
            let told = || labels.unwrap_or_default();
            return self.problems.add(&error.into(), 1, told);
        }
        let buckets = histogram.positive.len() + histogram.negative.len();
        self.charge(HISTOGRAM_BYTES + 8 * buckets);
        self.points.push(Point {
            series,
            timestamp,
            start,
            value: Value::Histogram(Arc::new(super::convert::histogram(histogram))),
        });
    }

    /// Puts everything into the store. Returns when it is on disk. `now` is the clock, in milliseconds
    /// since 1970.
    pub(super) fn append(&mut self, store: &Store, now: i64) -> Result<Stored, AppendError> {
        let mut stored = Stored {
            ids: vec![None; self.series.len()],
            problems: std::mem::take(&mut self.problems),
            ..Stored::default()
        };
        for points in self.points.chunks(GROUP_SAMPLES) {
            let entries: Vec<Entry<'_>> = points
                .iter()
                .filter_map(|point| entry(&self.series, &stored.ids, point))
                .collect();
            let appended = store.append(&entries, now)?;
            let untold = appended.refused.saturating_sub(appended.refusals.len());
            stored.problems.count_untold(untold);
            for (point, id) in points.iter().zip(&appended.ids) {
                if let Some(place) = stored.ids.get_mut(point.series) {
                    *place = id.or(*place);
                }
            }
            stored.samples += appended.taken + appended.repeated - appended.histograms;
            stored.histograms += appended.histograms;
            for (at, refusal) in &appended.refusals {
                if let Some(point) = points.get(*at) {
                    let series = || place_of(&self.series, point);
                    let problem = Problem::Sample(*refusal);
                    stored.problems.add(&problem, 1, series);
                }
            }
        }
        if !self.exemplars.is_empty() {
            stored.exemplars = self.exemplars.len();
            store.append_exemplars(std::mem::take(&mut self.exemplars))?;
        }
        if !self.metadata.is_empty() {
            store.append_metadata(std::mem::take(&mut self.metadata))?;
        }
        Ok(stored)
    }
}

fn entry<'a>(
    series: &'a [(Labels, Option<SeriesId>)],
    ids: &[Option<SeriesId>],
    point: &Point,
) -> Option<Entry<'a>> {
    let (labels, id) = series.get(point.series)?;
    let known = ids.get(point.series).copied().flatten();
    Some(Entry {
        id: known.or(*id),
        labels,
        timestamp: point.timestamp,
        start: point.start,
        value: point.value.clone(),
    })
}

/// A sample as its sender knows it.
fn place_of(series: &[(Labels, Option<SeriesId>)], point: &Point) -> String {
    let labels = series.get(point.series).map(|(labels, _)| labels);
    let labels = labels.map(ToString::to_string).unwrap_or_default();
    format!("{labels} at {}", point.timestamp)
}

//! Bringing in what the log of a Prometheus has and its blocks don't: the samples of the last hours. A
//! first pass learns the series and how much each has; then as many passes as it takes to hold the
//! samples of some series at a time, in the order in which a segment wants them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use signals::{
    EXEMPLARS_MAX, Exemplar, Labels, METADATA_MAX, METRIC_NAME, Metadata, SeriesSamples, Store,
};
use wire::tsdb::chunk::Sample;
use wire::tsdb::wal::Event;

use super::log::{Cut, Log};
use super::{ImportError, Taken, put, sort};
use crate::receive::convert;

/// Bytes of samples that are held at once.
const HELD_BYTES: u64 = 256 << 20;
/// A time and a number.
const FLOAT_BYTES: u64 = 16;
/// A histogram without its buckets.
const HISTOGRAM_BYTES: u64 = 256;
/// Intervals of deleted samples of a series.
const DELETIONS_MAX: usize = 100_000;

/// What the log has.
#[derive(Debug)]
pub struct Head {
    log: Log,
    /// Samples before this time are in blocks.
    from: i64,
    series: Vec<Series>,
    exemplars: VecDeque<Exemplar>,
    metadata: BTreeMap<String, Metadata>,
    refused: Option<(u64, String)>,
    /// The times of the first and of the last sample, in milliseconds since 1970.
    pub span: Option<(i64, i64)>,
    /// Samples, some of them told twice or deleted.
    pub samples: u64,
    /// Samples of series that the log does not describe.
    pub orphans: u64,
    /// Records of kinds that are not known here.
    pub unknown: u64,
    /// Deletions beyond the bound for one series: their samples come in.
    pub deletions: u64,
    /// Where it can't be read any further.
    pub cuts: Vec<Cut>,
    /// A name for just this content.
    pub name: String,
}

/// A series, and what is said of it.
#[derive(Debug)]
struct Series {
    labels: Labels,
    bytes: u64,
    deleted: Vec<(i64, i64)>,
}

/// Numbers of series as the log has them, by their place in the list.
type Places = HashMap<u64, usize>;

impl Head {
    /// Reads the whole log once. Samples before `from` are in blocks already. `told` learns how many
    /// bytes have been read, now and then. Blocks.
    pub fn look(log: &Log, from: i64, told: &mut dyn FnMut(u64)) -> Result<Self, ImportError> {
        let mut head = Self {
            log: log.clone(),
            from,
            series: Vec::new(),
            exemplars: VecDeque::new(),
            metadata: BTreeMap::new(),
            refused: None,
            span: None,
            samples: 0,
            orphans: 0,
            deletions: 0,
            unknown: 0,
            cuts: Vec::new(),
            name: String::new(),
        };
        let mut places = Places::new();
        let mut known = HashMap::new();
        let mut see = |event: Event<'_>, is_late| match event {
            Event::Series { reference, labels } => {
                head.learn(reference, labels, (&mut places, &mut known));
            }
            other => head.count(other, is_late, &places),
        };
        let pass = log.pass(&mut see, told)?;
        head.cuts = pass.cuts;
        head.name = format!("log-{}-{:08x}", pass.bytes, pass.checksum);
        Ok(head)
    }

    /// A series gets a number; it may have had others.
    fn learn(
        &mut self,
        reference: u64,
        labels: Vec<(&str, &str)>,
        (places, known): (&mut Places, &mut HashMap<Labels, usize>),
    ) {
        let labels = match Labels::new(labels) {
            Ok(labels) => labels,
            Err(reason) => {
                let refused = self.refused.get_or_insert_with(|| (0, reason.to_string()));
                refused.0 += 1;
                places.remove(&reference);
                return;
            }
        };
        let place = *known.entry(labels).or_insert_with_key(|labels| {
            self.series.push(Series {
                labels: labels.clone(),
                bytes: 0,
                deleted: Vec::new(),
            });
            self.series.len() - 1
        });
        places.insert(reference, place);
    }

    fn count(&mut self, event: Event<'_>, is_late: bool, places: &Places) {
        let place = |reference: u64| places.get(&reference).copied();
        match event {
            Event::Sample {
                reference,
                time,
                sample,
            } if is_late || time >= self.from => self.sample(place(reference), time, &sample),
            Event::Deleted(gone) => {
                let series = place(gone.reference).and_then(|place| self.series.get_mut(place));
                match series {
                    Some(series) if series.deleted.len() < DELETIONS_MAX => {
                        series.deleted.push((gone.start, gone.end));
                    }
                    Some(_) => self.deletions += 1,
                    None => {}
                }
            }
            Event::Exemplar {
                reference,
                time,
                value,
                labels,
            } => self.exemplar(place(reference), labels, (time, value)),
            Event::Metadata {
                reference,
                kind,
                help,
                unit,
            } => {
                let metadata = Metadata {
                    kind: convert::kind_word(kind),
                    help: help.to_owned(),
                    unit: unit.to_owned(),
                };
                self.metadata(place(reference), metadata);
            }
            Event::Unknown(_) => self.unknown += 1,
            Event::Series { .. } | Event::Sample { .. } => {}
        }
    }

    fn sample(&mut self, place: Option<usize>, time: i64, sample: &Sample) {
        let Some(series) = place.and_then(|place| self.series.get_mut(place)) else {
            self.orphans += 1;
            return;
        };
        series.bytes += bytes_of(sample);
        self.samples += 1;
        let span = self.span.get_or_insert((time, time));
        *span = (span.0.min(time), span.1.max(time));
    }

    fn exemplar(
        &mut self,
        place: Option<usize>,
        labels: Vec<(&str, &str)>,
        (timestamp, value): (i64, f64),
    ) {
        let Some(series) = place.and_then(|place| self.series.get(place)) else {
            return;
        };
        let Ok(labels) = Labels::new(labels) else {
            return;
        };
        if self.exemplars.len() >= EXEMPLARS_MAX {
            self.exemplars.pop_front();
        }
        self.exemplars.push_back(Exemplar {
            series: series.labels.clone(),
            labels,
            value,
            timestamp,
        });
    }

    fn metadata(&mut self, place: Option<usize>, metadata: Metadata) {
        let Some(series) = place.and_then(|place| self.series.get(place)) else {
            return;
        };
        let metric = series.labels.get(METRIC_NAME);
        if self.metadata.contains_key(metric) || self.metadata.len() < METADATA_MAX {
            self.metadata.insert(metric.to_owned(), metadata);
        }
    }

    /// Series of which there are samples.
    pub fn series(&self) -> usize {
        let with = self.series.iter().filter(|series| series.bytes > 0);
        with.count()
    }

    /// Brings everything into the store. `told` learns how many samples are there, now and then.
    /// Blocks.
    pub fn bring(self, store: &Store, told: &mut dyn FnMut(u64)) -> Result<Taken, ImportError> {
        self.bring_holding(store, HELD_BYTES, told)
    }

    /// The same with so many bytes of samples held at once, but for those of a single series.
    pub(super) fn bring_holding(
        mut self,
        store: &Store,
        bytes: u64,
        told: &mut dyn FnMut(u64),
    ) -> Result<Taken, ImportError> {
        let mut taken = Taken {
            refused: self.refused.take(),
            ..Taken::default()
        };
        self.series.retain(|series| series.bytes > 0);
        self.series
            .sort_unstable_by(|left, right| left.labels.cmp(&right.labels));
        let mut import = store.import()?;
        let mut samples_count = 0;
        let mut begin = 0;
        while begin < self.series.len() {
            let end = self.group(begin, bytes);
            let mut group = self.gather(begin, end)?;
            for (series, samples) in self.series.iter().skip(begin).zip(&mut group) {
                sort(samples);
                taken.deleted += series.bury(samples);
                import.add(&series.labels, samples)?;
                samples_count += (samples.floats.times.len() + samples.histograms.len()) as u64;
                samples.clear();
            }
            told(samples_count);
            begin = end;
        }
        taken.segment = import.finish()?;
        // The store has room for some, the newest ones, and takes none twice.
        let extras = store
            .append_metadata(self.metadata.into_iter().collect())
            .and_then(|()| store.append_exemplars(self.exemplars.into()));
        extras.map_err(ImportError::Extras)?;
        Ok(taken)
    }

    /// The end of the series that are gathered together, of which `begin` is the first.
    fn group(&self, begin: usize, bytes: u64) -> usize {
        let mut held = 0;
        let rest = self.series.iter().skip(begin);
        let fitting = rest.take_while(|series| {
            held += series.bytes;
            held <= bytes
        });
        begin + fitting.count().max(1)
    }

    /// The samples of some series, each in the order of the log.
    fn gather(&self, begin: usize, end: usize) -> Result<Vec<SeriesSamples>, ImportError> {
        let mut group = Vec::new();
        group.resize_with(end - begin, SeriesSamples::default);
        let mut places = Places::new();
        let find = |labels: &Labels| {
            let found = self
                .series
                .binary_search_by(|series| series.labels.cmp(labels));
            let within = found.ok().filter(|place| (begin..end).contains(place));
            within.map(|place| place - begin)
        };
        let mut see = |event: Event<'_>, is_late: bool| match event {
            Event::Series { reference, labels } => {
                let place = Labels::new(labels).ok();
                match place.and_then(|labels| find(&labels)) {
                    Some(place) => places.insert(reference, place),
                    None => places.remove(&reference),
                };
            }
            Event::Sample {
                reference,
                time,
                sample,
            } if is_late || time >= self.from => {
                let place = places.get(&reference).copied();
                if let Some(samples) = place.and_then(|place| group.get_mut(place)) {
                    put(samples, time, sample);
                }
            }
            _ => {}
        };
        self.log.pass(&mut see, &mut |_| {})?;
        Ok(group)
    }
}

impl Series {
    /// Removes samples that were deleted, and counts them.
    fn bury(&self, samples: &mut SeriesSamples) -> u64 {
        if self.deleted.is_empty() {
            return 0;
        }
        let is_left = |time: i64| {
            let mut gone = self.deleted.iter();
            !gone.any(|(start, end)| (*start..=*end).contains(&time))
        };
        let before = samples.floats.times.len() + samples.histograms.len();
        let floats = &mut samples.floats;
        let pairs = floats
            .times
            .iter()
            .copied()
            .zip(floats.values.iter().copied());
        (floats.times, floats.values) = pairs.filter(|(time, _)| is_left(*time)).unzip();
        samples.histograms.retain(|(time, ..)| is_left(*time));
        let left = samples.floats.times.len() + samples.histograms.len();
        (before - left) as u64
    }
}

fn bytes_of(sample: &Sample) -> u64 {
    match sample {
        Sample::Float(_) => FLOAT_BYTES,
        Sample::Histogram(histogram) => {
            let buckets = histogram.positive.len() + histogram.negative.len();
            HISTOGRAM_BYTES + 8 * buckets as u64
        }
    }
}

#[cfg(test)]
mod tests;

//! Reading: series and their samples as of one moment, from head and segments.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::compact::{bury, touches};
use super::flush::keep_between;
use super::{Segments, Store, StoreError};
use crate::extra::{Exemplar, Metadata};
use crate::head::{Frozen, Head};
use crate::labels::{Labels, METRIC_NAME};
use crate::matcher::Matcher;
use crate::postings;
use crate::segment::{ChunkEntry, ChunkKind, ReadCache, Segment, SeriesSamples};

/// Names, values or metrics that statistics list.
const LISTED_MAX: usize = 10;
/// Samples for which room is made before they are read: what a segment says of a chunk may be wrong.
const RESERVED_MAX: usize = 1 << 20;

/// Series that matched, as of the moment of [`Store::select`]: compaction, deletion and new
/// samples do not change what is read from it.
#[derive(Debug)]
pub struct Selection {
    series: Vec<Selected>,
    segments: Arc<Segments>,
    start: i64,
    end: i64,
    cache: ReadCache,
}

#[derive(Debug)]
struct Selected {
    labels: Labels,
    /// Chunks with the place of their segment in the list: by time, or where they overlap by segment,
    /// the one that was written first before the others.
    chunks: Vec<(usize, ChunkEntry)>,
    frozen: Frozen,
}

impl Selected {
    /// How many samples there are at most.
    fn count(&self) -> usize {
        let chunks = self.chunks.iter();
        let counts = chunks.map(|(_, chunk)| chunk.count as usize);
        counts.sum::<usize>() + self.frozen.count()
    }

    /// The same without histograms of segments.
    fn numbers(&self) -> usize {
        let chunks = self.chunks.iter().map(|(_, chunk)| chunk);
        let chunks = chunks.filter(|chunk| chunk.kind == ChunkKind::Floats);
        let counts = chunks.map(|chunk| chunk.count as usize);
        counts.sum::<usize>() + self.frozen.count()
    }
}

/// What the store says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Series in the head.
    pub series: usize,
    /// The time of the newest sample, in milliseconds since 1970.
    pub newest: Option<i64>,
    /// Different pairs of label and value in the head.
    pub label_pairs: usize,
    /// About how many bytes of memory the head takes.
    pub head_bytes: usize,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// How many segments there are.
    pub segments: usize,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Samples in segments.
    pub segment_samples: u64,
    /// Label names with the most values in the head.
    pub names: Vec<(String, usize)>,
    /// Metrics with the most series in the head.
    pub metrics: Vec<(String, usize)>,
    /// Pairs of label and value with the most series in the head.
    pub pairs: Vec<(String, usize)>,
}

impl Store {
    /// The series for which all matchers hold and that have samples from `start` to `end`,
    /// inclusive, sorted by labels.
    pub fn select(
        &self,
        matchers: &[Matcher],
        start: i64,
        end: i64,
    ) -> Result<Selection, StoreError> {
        let mut series: Vec<Selected> = Vec::new();
        let segments = {
            let head = self.head();
            let from = begin(&head, start);
            for id in head.select(matchers) {
                let Some(one) = head.get(id) else { continue };
                let frozen = one.freeze_between(from, end);
                if !frozen.is_empty() {
                    series.push(Selected {
                        labels: one.labels.clone(),
                        chunks: Vec::new(),
                        frozen,
                    });
                }
            }
            self.segments()
        };
        let mut places: HashMap<Labels, usize, foldhash::fast::RandomState> = HashMap::default();
        if segments.between(start, end).next().is_some() {
            let of_head = series.iter().enumerate();
            places.extend(of_head.map(|(place, one)| (one.labels.clone(), place)));
        }
        for (at, segment) in segments.list.iter().enumerate() {
            if segment.entry.first > end || segment.entry.last < start {
                continue;
            }
            let ordinals = segment.find(matchers)?;
            for entry in segment.series(&ordinals)? {
                let mut chunks = entry.chunks;
                chunks.retain(|chunk| {
                    let one = std::iter::once(chunk);
                    segments.left_of(segment, &entry.labels, one, (start, end)) > 0
                });
                if chunks.is_empty() {
                    continue;
                }
                let place = *places.entry(entry.labels).or_insert_with_key(|labels| {
                    series.push(Selected {
                        labels: labels.clone(),
                        chunks: Vec::new(),
                        frozen: Frozen::default(),
                    });
                    series.len() - 1
                });
                if let Some(selected) = series.get_mut(place) {
                    let chunks = chunks.into_iter().map(|chunk| (at, chunk));
                    selected.chunks.extend(chunks);
                }
            }
        }
        series.sort_unstable_by(|left, right| left.labels.cmp(&right.labels));
        for one in &mut series {
            put_in_time(&mut one.chunks);
        }
        Ok(Selection {
            series,
            segments,
            start,
            end,
            cache: ReadCache::default(),
        })
    }

    /// The labels of the series for which all matchers hold and that have samples from `start` to
    /// `end`, inclusive, in order.
    pub fn series(
        &self,
        matchers: &[Matcher],
        start: i64,
        end: i64,
    ) -> Result<Vec<Labels>, StoreError> {
        let mut found = BTreeSet::new();
        self.visit(matchers, (start, end), &mut |labels| {
            if !found.contains(labels) {
                found.insert(labels.clone());
            }
        })?;
        Ok(found.into_iter().collect())
    }

    /// Shows the labels of matching series, some more than once.
    fn visit(
        &self,
        matchers: &[Matcher],
        (start, end): (i64, i64),
        see: &mut dyn FnMut(&Labels),
    ) -> Result<(), StoreError> {
        let segments = {
            let head = self.head();
            let from = begin(&head, start);
            for id in head.select(matchers) {
                if let Some(one) = head.get(id)
                    && one.has_between(from, end)
                {
                    see(&one.labels);
                }
            }
            self.segments()
        };
        for segment in segments.between(start, end) {
            visit_segment(&segments, segment, matchers, (start, end), see)?;
        }
        Ok(())
    }

    /// The names of the labels of matching series with samples from `start` to `end`, in order.
    pub fn label_names(
        &self,
        matchers: &[Matcher],
        start: i64,
        end: i64,
    ) -> Result<Vec<String>, StoreError> {
        let mut names = BTreeSet::new();
        if matchers.is_empty() {
            let segments = {
                let head = self.head();
                names.extend(head.index().names().map(str::to_owned));
                self.segments()
            };
            for segment in segments.between(start, end) {
                names.extend(segment.names().map(str::to_owned));
            }
        } else {
            self.visit(matchers, (start, end), &mut |labels| {
                for (name, _) in labels {
                    if !names.contains(name) {
                        names.insert(name.to_owned());
                    }
                }
            })?;
        }
        Ok(names.into_iter().collect())
    }

    /// The values of a label of matching series with samples from `start` to `end`, in order. Of
    /// the newest series also values whose samples are outside of that time; without matchers,
    /// also of series whose samples were deleted.
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        start: i64,
        end: i64,
    ) -> Result<Vec<String>, StoreError> {
        let (mut values, segments) = {
            let head = self.head();
            let is_in = head.newest.is_some_and(|newest| newest >= start)
                && head.flushed_until.is_none_or(|until| until <= end);
            let values = if is_in {
                head_values(&head, name, matchers)
            } else {
                Vec::new()
            };
            (values, self.segments())
        };
        for segment in segments.between(start, end) {
            if matchers.is_empty() {
                values.extend(segment.values(name)?.into_iter().map(|(value, _)| value));
                continue;
            }
            let mut of_segment = BTreeSet::new();
            visit_segment(&segments, segment, matchers, (start, end), &mut |labels| {
                let value = labels.get(name);
                if !value.is_empty() && !of_segment.contains(value) {
                    of_segment.insert(value.to_owned());
                }
            })?;
            values.extend(of_segment);
        }
        // It consists of parts that are in order, which this sort makes use of.
        values.sort();
        values.dedup();
        Ok(values)
    }

    /// The exemplars of series for which all matchers hold, from `start` to `end`.
    pub fn exemplars(&self, matchers: &[Matcher], start: i64, end: i64) -> Vec<Exemplar> {
        let head = self.head();
        let matching = head.extras.exemplars().filter(|exemplar| {
            (start..=end).contains(&exemplar.timestamp)
                && matchers
                    .iter()
                    .all(|matcher| matcher.matches(exemplar.series.get(matcher.name())))
        });
        matching.cloned().collect()
    }

    /// What is known of metrics, by their names.
    pub fn metadata(&self) -> BTreeMap<String, Metadata> {
        self.head().extras.metadata().clone()
    }

    /// Numbers about the store, at little cost: without the lists of what has the most series.
    pub fn sizes(&self) -> Statistics {
        let head = self.head();
        let segments = self.segments();
        let entries = segments.list.iter().map(|segment| segment.entry);
        Statistics {
            series: head.series_count(),
            newest: head.newest,
            head_bytes: head.memory_bytes(),
            log_bytes: self.log.bytes().0,
            segments: segments.list.len(),
            segment_bytes: entries.clone().map(|entry| entry.length).sum(),
            segment_samples: entries.map(|entry| entry.samples).sum(),
            ..Statistics::default()
        }
    }

    /// The same with what has the most series. It looks at every label of the head.
    pub fn statistics(&self) -> Statistics {
        let sizes = self.sizes();
        let head = self.head();
        let index = head.index();
        let counted = |name: &str| -> Vec<(String, usize)> {
            let values = index.values(name);
            values
                .map(|(value, ids)| (value.to_owned(), ids.len()))
                .collect()
        };
        let pairs = index.names().flat_map(|name| {
            let values = counted(name).into_iter();
            most(values)
                .into_iter()
                .map(move |(value, count)| (format!("{name}={value}"), count))
        });
        Statistics {
            label_pairs: index.counts().map(|(_, count)| count).sum(),
            names: most(index.counts().map(|(name, count)| (name.to_owned(), count))),
            metrics: most(counted(METRIC_NAME).into_iter()),
            pairs: most(pairs),
            ..sizes
        }
    }

    /// Reads every byte of every segment. Fails at the first that is not what was written.
    pub fn verify(&self) -> Result<(), StoreError> {
        for segment in &self.segments().list {
            segment.verify(&mut |_| {})?;
        }
        Ok(())
    }
}

/// Puts chunks into the order of their times. Those that overlap stay as they are, because what was
/// written later holds.
fn put_in_time(chunks: &mut Vec<(usize, ChunkEntry)>) {
    if chunks.is_sorted_by_key(|(_, chunk)| chunk.first) {
        return;
    }
    let mut sorted = chunks.clone();
    sorted.sort_unstable_by_key(|(_, chunk)| chunk.first);
    if sorted.is_sorted_by(|(_, left), (_, right)| left.last < right.first) {
        *chunks = sorted;
    }
}

/// The largest counts, the largest first.
fn most(counts: impl Iterator<Item = (String, usize)>) -> Vec<(String, usize)> {
    let mut all: Vec<(String, usize)> = counts.collect();
    all.sort_unstable_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    all.truncate(LISTED_MAX);
    all
}

/// The values of a label of the head's matching series, in order: by the series where they are few,
/// else by the values.
fn head_values(head: &Head, name: &str, matchers: &[Matcher]) -> Vec<String> {
    let values = head.index().values(name);
    if matchers.is_empty() {
        return values.map(|(value, _)| value.to_owned()).collect();
    }
    let found = head.select(matchers);
    if found.len() < head.index().value_count(name) {
        let of_series = found.iter().filter_map(|id| head.get(*id));
        let values = of_series.map(|one| one.labels.get(name));
        let values: BTreeSet<&str> = values.filter(|value| !value.is_empty()).collect();
        return values.into_iter().map(str::to_owned).collect();
    }
    values
        .filter(|(_, ids)| postings::intersects(&found, ids))
        .map(|(value, _)| value.to_owned())
        .collect()
}

/// Shows the labels of the matching series of a segment.
fn visit_segment(
    segments: &Segments,
    segment: &Segment,
    matchers: &[Matcher],
    span: (i64, i64),
    see: &mut dyn FnMut(&Labels),
) -> Result<(), StoreError> {
    let ordinals = segment.find(matchers)?;
    for entry in segment.series(&ordinals)? {
        if segments.left_of(segment, &entry.labels, entry.chunks.iter(), span) > 0 {
            see(&entry.labels);
        }
    }
    Ok(())
}

/// The time from which on the head is read: what is before is in segments.
fn begin(head: &Head, start: i64) -> i64 {
    head.flushed_until.map_or(start, |until| until.max(start))
}

impl Segments {
    /// How many of these chunks have samples of that time that no tombstone covers as a whole.
    fn left_of<'a>(
        &self,
        segment: &Segment,
        labels: &Labels,
        chunks: impl Iterator<Item = &'a ChunkEntry>,
        (start, end): (i64, i64),
    ) -> usize {
        let gone = self
            .tombstones
            .iter()
            .filter(|tombstone| touches(tombstone, &segment.entry) && tombstone.covers(labels));
        let gone: Vec<_> = gone.map(|gone| gone.start..=gone.end).collect();
        let is_left = |chunk: &&ChunkEntry| {
            let is_gone = gone
                .iter()
                .any(|gone| gone.contains(&chunk.first) && gone.contains(&chunk.last));
            chunk.first <= end && chunk.last >= start && !is_gone
        };
        chunks.filter(is_left).count()
    }

    fn between(&self, start: i64, end: i64) -> impl Iterator<Item = &Segment> {
        let list = self.list.iter().map(|segment| &**segment);
        list.filter(move |segment| segment.entry.first <= end && segment.entry.last >= start)
    }
}

impl Selection {
    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether nothing matched.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// How many samples there are at most, before any is decoded.
    pub fn samples_at_most(&self) -> usize {
        self.series.iter().map(Selected::count).sum()
    }

    /// The labels of the series, in order.
    pub fn labels(&self) -> impl Iterator<Item = &Labels> {
        self.series.iter().map(|series| &series.labels)
    }

    /// Reads the samples of a series into `out`, which is emptied first. Samples are sorted, and
    /// no time occurs twice. False when there is no such series.
    pub fn read(&mut self, at: usize, out: &mut SeriesSamples) -> Result<bool, StoreError> {
        out.clear();
        let Some(selected) = self.series.get(at) else {
            return Ok(false);
        };
        self.cache.trim();
        let count = selected.numbers().min(RESERVED_MAX);
        out.floats.times.reserve(count);
        out.floats.values.reserve(count);
        let tombstones = &self.segments.tombstones;
        let mut own = SeriesSamples::default();
        for (segment, chunk) in &selected.chunks {
            let Some(segment) = self.segments.list.get(*segment) else {
                continue;
            };
            if tombstones.is_empty() {
                segment.read(chunk, &mut self.cache, out)?;
                continue;
            }
            own.clear();
            segment.read(chunk, &mut self.cache, &mut own)?;
            bury(&mut own, &selected.labels, &segment.entry, tombstones);
            for (time, value, start) in own.floats.iter() {
                out.floats.push(time, value, start);
            }
            out.histograms.append(&mut own.histograms);
        }
        // What the head has comes last, because it is newer; it is sorted in with the rest.
        selected.frozen.read(out);
        keep_between(out, self.start, self.end);
        Ok(true)
    }
}

//! One series of the head: a chunk that grows, closed chunks, and what came late.

use std::sync::Arc;

use super::STRETCH_MS;
use crate::chunk::{CHUNK_SAMPLES_MAX, Chunk, Columns, OpenChunk};
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::segment::SeriesSamples;

/// Late samples that stand beside the chunks; more are worked into them.
const LATE_MAX: usize = 256;

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in the head.
    Taken,
    /// The same sample was there.
    Repeated,
    /// Another value was there for its time.
    Duplicate,
}

/// A series and its newest samples.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    /// The file of the log that describes it; 0 is none.
    pub(crate) log_file: u32,
    last: Option<i64>,
    last_bits: u64,
    open: OpenChunk,
    closed: Vec<Chunk>,
    extra: Option<Box<Extra>>,
}

/// What most series do not have.
#[derive(Debug, Default)]
struct Extra {
    /// Time, value, start; sorted by time.
    late: Vec<(i64, f64, i64)>,
    /// Time, start, value; sorted by time.
    histograms: Vec<(i64, i64, Arc<Histogram>)>,
}

/// What a reader takes along to decode without the lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frozen {
    chunks: Vec<Chunk>,
    late: Vec<(i64, f64, i64)>,
    histograms: Vec<(i64, i64, Arc<Histogram>)>,
}

impl Series {
    pub(super) fn new(labels: Labels) -> Self {
        Self {
            labels,
            log_file: 0,
            last: None,
            last_bits: 0,
            open: OpenChunk::default(),
            closed: Vec::new(),
            extra: None,
        }
    }

    /// Adds a number. Also says by how many bytes the series grew.
    pub(super) fn push(&mut self, time: i64, value: f64, start: i64) -> (Verdict, isize) {
        match self.last {
            Some(last) if time == last => {
                let is_same = self.last_bits == value.to_bits() && !self.has_histogram(time);
                let verdict = if is_same {
                    Verdict::Repeated
                } else {
                    Verdict::Duplicate
                };
                (verdict, 0)
            }
            Some(last) if time < last => self.push_late(time, value, start),
            _ => {
                let before = self.open.memory_bytes();
                let closed = self.close_before(time);
                self.open.push(time, value, start);
                self.last = Some(time);
                self.last_bits = value.to_bits();
                let after = self.open.memory_bytes() + closed;
                (Verdict::Taken, difference(after, before))
            }
        }
    }

    /// Says that so many numbers come. Also says by how many bytes the series grew.
    pub(super) fn expect(&mut self, samples: usize) -> isize {
        let before = self.open.memory_bytes();
        self.open.expect(samples);
        difference(self.open.memory_bytes(), before)
    }

    /// Ends the open chunk when it is full, or belongs to another stretch than `time`. Returns the
    /// bytes of what was closed.
    fn close_before(&mut self, time: i64) -> usize {
        let is_full = self.open.count() >= CHUNK_SAMPLES_MAX;
        let is_over = self.open.first().div_euclid(STRETCH_MS) != time.div_euclid(STRETCH_MS);
        if self.open.count() == 0 || !(is_full || is_over) {
            return 0;
        }
        let chunk = self.open.close();
        let bytes = chunk.memory_bytes() + size_of::<Chunk>();
        // There are as many of these lists as series, so they have no room to spare.
        if self.closed.len() == self.closed.capacity() {
            self.closed.reserve_exact((self.closed.len() / 4).max(1));
        }
        self.closed.push(chunk);
        bytes
    }

    fn push_late(&mut self, time: i64, value: f64, start: i64) -> (Verdict, isize) {
        if self.has_histogram(time) {
            return (Verdict::Duplicate, 0);
        }
        if let Some(bits) = self.bits_at(time) {
            let verdict = if bits == value.to_bits() {
                Verdict::Repeated
            } else {
                Verdict::Duplicate
            };
            return (verdict, 0);
        }
        let late = &mut self.extra.get_or_insert_default().late;
        let at = late.partition_point(|(have, _, _)| *have < time);
        late.insert(at, (time, value, start));
        let grown = difference(size_of::<(i64, f64, i64)>(), 0);
        if late.len() <= LATE_MAX {
            return (Verdict::Taken, grown);
        }
        let folded = self.keep(|_| true);
        (Verdict::Taken, grown + folded)
    }

    fn has_histogram(&self, time: i64) -> bool {
        let extra = self.extra.as_ref();
        extra.is_some_and(|extra| {
            let found = extra.histograms.binary_search_by_key(&time, |have| have.0);
            found.is_ok()
        })
    }

    /// The bits of the number at a time before the last one.
    fn bits_at(&self, time: i64) -> Option<u64> {
        if let Some(extra) = &self.extra
            && let Ok(at) = extra.late.binary_search_by_key(&time, |have| have.0)
        {
            return extra.late.get(at).map(|(_, value, _)| value.to_bits());
        }
        let mut samples = Columns::default();
        if self.open.count() > 0 && time >= self.open.first() {
            self.open.copy().read(&mut samples);
        } else {
            let at = self.closed.partition_point(|chunk| chunk.last < time);
            let chunk = self.closed.get(at).filter(|chunk| chunk.first <= time)?;
            chunk.read(&mut samples);
        }
        let at = samples.times.binary_search(&time).ok()?;
        samples.values.get(at).map(|value| value.to_bits())
    }

    /// Adds a histogram. Also says by how many bytes the series grew.
    pub(super) fn push_histogram(
        &mut self,
        time: i64,
        start: i64,
        value: &Arc<Histogram>,
    ) -> (Verdict, isize) {
        let is_number = self.last.is_some_and(|last| time <= last) && self.bits_at(time).is_some();
        if is_number {
            return (Verdict::Duplicate, 0);
        }
        let histograms = &mut self.extra.get_or_insert_default().histograms;
        match histograms.binary_search_by_key(&time, |have| have.0) {
            Ok(at) => {
                let have = histograms.get(at);
                let is_same = have.is_some_and(|(_, _, have)| have.is_same(value));
                let verdict = if is_same {
                    Verdict::Repeated
                } else {
                    Verdict::Duplicate
                };
                (verdict, 0)
            }
            Err(at) => {
                histograms.insert(at, (time, start, Arc::clone(value)));
                if self.last.is_none_or(|last| time > last) {
                    self.last = Some(time);
                    self.last_bits = 0;
                }
                (Verdict::Taken, difference(value.memory_bytes(), 0))
            }
        }
    }

    /// Keeps only some times, and works late samples into the chunks. Says by how many bytes the
    /// series grew.
    pub(super) fn keep(&mut self, keeps: impl Fn(i64) -> bool) -> isize {
        let before = self.memory_bytes();
        let mut samples = SeriesSamples::default();
        self.freeze().read(&mut samples);
        let log_file = self.log_file;
        *self = Self::new(self.labels.clone());
        self.log_file = log_file;
        for (time, value, start) in samples.floats.iter().filter(|sample| keeps(sample.0)) {
            self.push(time, value, start);
        }
        for (time, start, value) in samples.histograms {
            if keeps(time) {
                self.push_histogram(time, start, &value);
            }
        }
        self.closed.shrink_to_fit();
        difference(self.memory_bytes(), before)
    }

    /// Removes samples before `until`, cheaply when no chunk lies on both sides, as at the border
    /// of a stretch. Says by how many bytes the series grew.
    pub(super) fn forget(&mut self, until: i64) -> isize {
        let is_across = |first: i64, last: i64| first < until && until <= last;
        let closed = &self.closed;
        if closed
            .iter()
            .any(|chunk| is_across(chunk.first, chunk.last))
            || (self.open.count() > 0 && is_across(self.open.first(), self.open.last()))
        {
            return self.keep(|time| time >= until);
        }
        let before = self.memory_bytes();
        self.closed.retain(|chunk| chunk.first >= until);
        self.closed.shrink_to_fit();
        if self.open.count() > 0 && self.open.last() < until {
            self.open = OpenChunk::default();
        }
        if let Some(extra) = &mut self.extra {
            extra.late.retain(|sample| sample.0 >= until);
            extra.histograms.retain(|sample| sample.0 >= until);
        }
        difference(self.memory_bytes(), before)
    }

    /// Whether [`Series::pack`] could make it smaller.
    pub(super) fn is_loose(&self) -> bool {
        self.closed.iter().any(Chunk::is_loose)
    }

    /// Makes closed chunks as small as they get. Says by how many bytes the series grew.
    pub(super) fn pack(&mut self) -> isize {
        let before = self.memory_bytes();
        let loose = self.closed.iter_mut().filter(|chunk| chunk.is_loose());
        loose.for_each(Chunk::pack);
        difference(self.memory_bytes(), before)
    }

    /// Whether it has samples before this time.
    pub(crate) fn begins_before(&self, time: i64) -> bool {
        let chunk = self.closed.first().map(|chunk| chunk.first);
        let open = (self.open.count() > 0).then(|| self.open.first());
        let extra = self.extra.as_ref();
        let late = extra.and_then(|extra| extra.late.first().map(|sample| sample.0));
        let histogram = extra.and_then(|extra| extra.histograms.first().map(|sample| sample.0));
        [chunk, open, late, histogram]
            .into_iter()
            .flatten()
            .any(|first| first < time)
    }

    /// Whether it has samples from `start` to `end`, as far as can be seen without decoding.
    pub(crate) fn has_between(&self, start: i64, end: i64) -> bool {
        let overlaps = |first: i64, last: i64| first <= end && last >= start;
        let is_in = |time: &i64| (start..=end).contains(time);
        (self.open.count() > 0 && overlaps(self.open.first(), self.open.last()))
            || self
                .closed
                .iter()
                .any(|chunk| overlaps(chunk.first, chunk.last))
            || self.extra.as_ref().is_some_and(|extra| {
                let mut late = extra.late.iter().map(|sample| sample.0);
                let mut histograms = extra.histograms.iter().map(|sample| sample.0);
                late.any(|time| is_in(&time)) || histograms.any(|time| is_in(&time))
            })
    }

    pub(super) fn is_empty(&self) -> bool {
        let extra = self.extra.as_ref();
        self.open.count() == 0
            && self.closed.is_empty()
            && extra.is_none_or(|extra| extra.late.is_empty() && extra.histograms.is_empty())
    }

    /// Bytes on the heap that samples take.
    pub(super) fn memory_bytes(&self) -> usize {
        let closed = self.closed.iter();
        let closed: usize = closed
            .map(|chunk| chunk.memory_bytes() + size_of::<Chunk>())
            .sum();
        let extra = self.extra.as_ref().map_or(0, |extra| {
            let histograms = extra.histograms.iter();
            let histograms: usize = histograms.map(|sample| sample.2.memory_bytes()).sum();
            extra.late.len() * size_of::<(i64, f64, i64)>() + histograms
        });
        self.open.memory_bytes() + closed + extra
    }

    /// The stretches of which there are samples, by their number.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = i64> {
        let closed = self.closed.iter().map(|chunk| chunk.first);
        let open = (self.open.count() > 0).then(|| self.open.first());
        let extra = self.extra.iter().flat_map(|extra| {
            let late = extra.late.iter().map(|sample| sample.0);
            late.chain(extra.histograms.iter().map(|sample| sample.0))
        });
        let times = closed.chain(open).chain(extra);
        times.map(|time| time.div_euclid(STRETCH_MS))
    }

    /// Everything from `start` to `end`, at least.
    pub(crate) fn freeze_between(&self, start: i64, end: i64) -> Frozen {
        let mut frozen = Frozen::default();
        let from = self.closed.partition_point(|chunk| chunk.last < start);
        let chunks = self.closed.iter().skip(from);
        frozen
            .chunks
            .extend(chunks.take_while(|chunk| chunk.first <= end).cloned());
        if self.open.count() > 0 && self.open.first() <= end && self.open.last() >= start {
            frozen.chunks.push(self.open.copy());
        }
        if let Some(extra) = &self.extra {
            let late = extra.late.iter();
            let late = late.filter(|sample| (start..=end).contains(&sample.0));
            frozen.late.extend(late);
            let histograms = extra.histograms.iter();
            let histograms = histograms.filter(|sample| (start..=end).contains(&sample.0));
            frozen.histograms.extend(histograms.cloned());
        }
        frozen
    }

    fn freeze(&self) -> Frozen {
        self.freeze_between(i64::MIN, i64::MAX)
    }
}

impl Frozen {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.late.is_empty() && self.histograms.is_empty()
    }

    /// How many samples there are in it.
    pub(crate) fn count(&self) -> usize {
        let chunks = self.chunks.iter().map(|chunk| usize::from(chunk.count));
        chunks.sum::<usize>() + self.late.len() + self.histograms.len()
    }

    /// Appends the samples, sorted.
    pub(crate) fn read(&self, out: &mut SeriesSamples) {
        for chunk in &self.chunks {
            chunk.read(&mut out.floats);
        }
        for (time, value, start) in &self.late {
            out.floats.push(*time, *value, *start);
        }
        out.histograms.extend(self.histograms.iter().cloned());
        super::merge(out);
    }
}

fn difference(after: usize, before: usize) -> isize {
    let after = isize::try_from(after).unwrap_or(isize::MAX);
    after.saturating_sub(isize::try_from(before).unwrap_or(isize::MAX))
}

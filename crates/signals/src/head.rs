//! The newest samples in memory, by series.

mod series;

use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;

use crate::chunk::Columns;
use crate::extra::Extras;
use crate::histogram::Histogram;
use crate::index::Index;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::segment::SeriesSamples;

pub(crate) use series::{Frozen, Series, Verdict};

/// The stretch that a segment of level 0 has, in milliseconds: two hours.
pub(crate) const STRETCH_MS: i64 = 2 * 60 * 60 * 1000;

/// Series of a page of the table.
const PAGE_SERIES: usize = 1024;

/// Bytes of a series beside its labels, chunks and index entries: its place in the page and in
/// the table.
const SERIES_BYTES: usize = size_of::<Series>() + 24;

/// All series with samples that are not in a segment yet.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pages: Vec<Option<Box<Page>>>,
    next: u32,
    live: usize,
    table: HashTable<(u64, u32)>,
    hasher: foldhash::fast::RandomState,
    index: Index,
    pub(crate) extras: Extras,
    /// Samples before this time are too late: they are in segments, or about to be.
    pub(crate) closed_until: Option<i64>,
    /// Samples before this time are in segments; readers leave out what is still here of them.
    pub(crate) flushed_until: Option<i64>,
    /// The time of the newest sample.
    pub(crate) newest: Option<i64>,
    sample_bytes: usize,
    label_bytes: usize,
}

#[derive(Debug)]
struct Page {
    slots: Vec<Option<Series>>,
    live: usize,
}

impl Head {
    /// A head that goes on after what is in segments.
    pub(crate) fn new(flushed: Option<i64>) -> Self {
        Self {
            closed_until: flushed,
            flushed_until: flushed,
            ..Self::default()
        }
    }

    /// How many series there are.
    pub(crate) fn series_count(&self) -> usize {
        self.live
    }

    /// About how many bytes it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.live * SERIES_BYTES
            + self.label_bytes
            + self.sample_bytes
            + self.index.memory_bytes()
            + self.table.capacity() * size_of::<(u64, u32)>()
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// A series by its id, while it is in the head.
    pub(crate) fn get(&self, id: u32) -> Option<&Series> {
        let page = self.pages.get(id as usize / PAGE_SERIES)?.as_ref()?;
        page.slots.get(id as usize % PAGE_SERIES)?.as_ref()
    }

    fn get_mut(&mut self, id: u32) -> Option<&mut Series> {
        let page = self.pages.get_mut(id as usize / PAGE_SERIES)?.as_mut()?;
        page.slots.get_mut(id as usize % PAGE_SERIES)?.as_mut()
    }

    /// The id of a series by its labels.
    pub(crate) fn find(&self, labels: &Labels) -> Option<u32> {
        let hash = self.hasher.hash_one(labels);
        let found = self.table.find(hash, |(have, id)| {
            *have == hash && self.get(*id).is_some_and(|series| series.labels == *labels)
        });
        found.map(|(_, id)| *id)
    }

    /// Adds a series that is not there. `None` when all ids were used.
    pub(crate) fn add(&mut self, labels: &Labels) -> Option<u32> {
        let id = self.next;
        self.next = self.next.checked_add(1)?;
        let number = id as usize / PAGE_SERIES;
        if self.pages.len() <= number {
            self.pages.resize_with(number + 1, || None);
        }
        let page = self.pages.get_mut(number)?.get_or_insert_with(|| {
            Box::new(Page {
                slots: Vec::new(),
                live: 0,
            })
        });
        page.slots.resize_with(id as usize % PAGE_SERIES, || None);
        page.slots.push(Some(Series::new(labels.clone())));
        page.live += 1;
        self.live += 1;
        self.label_bytes += labels.as_bytes().len() + 16;
        let hash = self.hasher.hash_one(labels);
        self.table
            .insert_unique(hash, (hash, id), |(hash, _)| *hash);
        self.index.insert(id, labels);
        Some(id)
    }

    /// Adds a number to a series.
    pub(crate) fn push(&mut self, id: u32, time: i64, value: f64, start: i64) -> Verdict {
        self.change(id, time, |series| series.push(time, value, start))
    }

    /// Adds numbers to a series, and says how many of them were taken.
    pub(crate) fn push_all(
        &mut self,
        id: u32,
        samples: impl Iterator<Item = (i64, f64, i64)>,
    ) -> u64 {
        let Some(series) = self.get_mut(id) else {
            return 0;
        };
        let mut all_grown = series.expect(samples.size_hint().1.unwrap_or(0));
        let mut taken = 0;
        let mut newest = None;
        for (time, value, start) in samples {
            let (verdict, grown) = series.push(time, value, start);
            all_grown += grown;
            if verdict == Verdict::Taken {
                taken += 1;
                newest = newest.max(Some(time));
            }
        }
        self.sample_bytes = self.sample_bytes.saturating_add_signed(all_grown);
        self.newest = self.newest.max(newest);
        taken
    }

    /// Adds a histogram to a series.
    pub(crate) fn push_histogram(
        &mut self,
        id: u32,
        time: i64,
        start: i64,
        value: &Arc<Histogram>,
    ) -> Verdict {
        self.change(id, time, |series| series.push_histogram(time, start, value))
    }

    fn change(
        &mut self,
        id: u32,
        time: i64,
        push: impl FnOnce(&mut Series) -> (Verdict, isize),
    ) -> Verdict {
        let Some(series) = self.get_mut(id) else {
            return Verdict::Duplicate;
        };
        let (verdict, grown) = push(series);
        self.sample_bytes = self.sample_bytes.saturating_add_signed(grown);
        if verdict == Verdict::Taken {
            self.newest = self.newest.max(Some(time));
        }
        verdict
    }

    /// The file of the log that describes a series, and sets it.
    pub(crate) fn describe_in(&mut self, id: u32, file: u32) -> Option<Labels> {
        let series = self.get_mut(id)?;
        if series.log_file == file {
            return None;
        }
        series.log_file = file;
        Some(series.labels.clone())
    }

    /// The ids of the series for which all matchers hold, sorted.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> Vec<u32> {
        self.index.find(matchers)
    }

    /// All series, in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Series)> {
        self.pages.iter().enumerate().flat_map(|(number, page)| {
            let slots = page.iter().flat_map(|page| page.slots.iter().enumerate());
            slots.filter_map(move |(slot, series)| {
                let id = crate::bytes::count32(number * PAGE_SERIES + slot);
                Some((id, series.as_ref()?))
            })
        })
    }

    /// Removes samples from `start` to `end` of some series.
    pub(crate) fn delete(&mut self, ids: &[u32], start: i64, end: i64) {
        for id in ids {
            self.keep(*id, |time| time < start || time > end);
        }
    }

    /// Removes samples before `until` of some series, and everything that is left empty by it and
    /// has had no sample since.
    pub(crate) fn forget(&mut self, ids: &[u32], until: i64) {
        let mut dead = Vec::new();
        for id in ids {
            if let Some(series) = self.get_mut(*id) {
                let grown = series.forget(until);
                self.sample_bytes = self.sample_bytes.saturating_add_signed(grown);
            }
            if let Some(series) = self.get(*id)
                && series.is_empty()
            {
                dead.push((*id, series.labels.clone()));
            }
        }
        self.remove(&dead);
    }

    /// The series whose closed chunks can be made smaller.
    pub(crate) fn loose(&self) -> Vec<u32> {
        let loose = self.iter().filter(|(_, series)| series.is_loose());
        loose.map(|(id, _)| id).collect()
    }

    /// Makes closed chunks of some series as small as they get.
    pub(crate) fn pack(&mut self, ids: &[u32]) {
        for id in ids {
            if let Some(series) = self.get_mut(*id) {
                let grown = series.pack();
                self.sample_bytes = self.sample_bytes.saturating_add_signed(grown);
            }
        }
    }

    fn keep(&mut self, id: u32, keeps: impl Fn(i64) -> bool) {
        let Some(series) = self.get_mut(id) else {
            return;
        };
        let grown = series.keep(keeps);
        self.sample_bytes = self.sample_bytes.saturating_add_signed(grown);
    }

    fn remove(&mut self, dead: &[(u32, Labels)]) {
        if dead.is_empty() {
            return;
        }
        self.index.remove(dead);
        for (id, labels) in dead {
            let hash = self.hasher.hash_one(labels);
            if let Ok(entry) = self.table.find_entry(hash, |(_, have)| have == id) {
                entry.remove();
            }
            let number = *id as usize / PAGE_SERIES;
            let Some(place) = self.pages.get_mut(number) else {
                continue;
            };
            if let Some(page) = place
                && let Some(slot) = page.slots.get_mut(*id as usize % PAGE_SERIES)
                && slot.take().is_some()
            {
                page.live -= 1;
                self.live -= 1;
                self.label_bytes = self
                    .label_bytes
                    .saturating_sub(labels.as_bytes().len() + 16);
                // The page that still gets series stays.
                if page.live == 0 && self.next as usize / PAGE_SERIES != number {
                    *place = None;
                }
            }
        }
    }

    /// No file of the log describes any series.
    pub(crate) fn undescribe(&mut self) {
        for page in self.pages.iter_mut().flatten() {
            for series in page.slots.iter_mut().flatten() {
                series.log_file = 0;
            }
        }
    }
}

/// Joins samples of one series from several places into one order. For a time that occurs twice
/// the last one given wins.
pub(crate) fn merge(parts: &mut SeriesSamples) {
    let floats = &mut parts.floats;
    if !floats.times.is_sorted_by(|left, right| left < right) {
        let mut sorted: Vec<(i64, f64, i64)> = floats.iter().collect();
        // The sort is stable: of equal times the later one stays last.
        sorted.sort_by_key(|(time, _, _)| *time);
        let mut joined = Columns::default();
        for (at, (time, value, start)) in sorted.iter().enumerate() {
            if sorted.get(at + 1).is_none_or(|(next, _, _)| next != time) {
                joined.push(*time, *value, *start);
            }
        }
        *floats = joined;
    }
    let histograms = &mut parts.histograms;
    if !histograms.is_sorted_by(|left, right| left.0 < right.0) {
        histograms.sort_by_key(|(time, _, _)| *time);
        let mut joined: Vec<(i64, i64, Arc<Histogram>)> = Vec::with_capacity(histograms.len());
        for sample in histograms.drain(..) {
            match joined.last_mut() {
                Some(last) if last.0 == sample.0 => *last = sample,
                _ => joined.push(sample),
            }
        }
        *histograms = joined;
    }
    // A number and a histogram at one time were taken in different lives of the head.
    let times = &parts.floats.times;
    histograms.retain(|(time, _, _)| times.binary_search(time).is_err());
}

#[cfg(test)]
mod tests;

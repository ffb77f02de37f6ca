//! Joining segments into larger ones.

use std::sync::Arc;

use super::far::is_near;
use super::flush::take_number;
use super::{Store, StoreError};
use crate::block::Effort;
use crate::chunk::Columns;
use crate::damage::ReadError;
use crate::disk::named;
use crate::head::merge;
use crate::labels::Labels;
use crate::manifest::{Manifest, SegmentEntry};
use crate::segment::{ReadCache, Segment, SegmentWriter, SeriesEntry, SeriesSamples};
use crate::tombstone::Tombstone;

/// Tombstones with which upkeep leaves segments as they are.
const TOMBSTONES_KEPT: usize = 16;
/// A segment spans at most this part of the time that samples are kept.
const RETENTION_PARTS: i64 = 10;

impl Store {
    /// Brings the store to its smallest form: everything in segments, as few as there can be,
    /// and nothing in them that was deleted.
    pub fn compact(&self) -> Result<(), StoreError> {
        self.compact_told(&mut |_| {})
    }

    /// The same for what lies on this disk: objects stay as they are, however large they are together.
    pub fn compact_here(&self) -> Result<(), StoreError> {
        self.compact_all(false, &mut |_| {})
    }

    /// The same; `told` learns how many samples more have been written, now and then. Some are written
    /// more than once.
    pub fn compact_told(&self, told: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
        self.compact_all(true, told)
    }

    fn compact_all(&self, with_objects: bool, told: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
        self.flush_all()?;
        while self.compact_once(true, told)?.is_some() {}
        let mut manifest = self.manifest();
        let mut rest: Vec<SegmentEntry> = manifest.segments.clone();
        rest.retain(|entry| {
            let mut tombstones = manifest.tombstones.iter();
            (with_objects || !entry.is_far)
                && tombstones.any(|tombstone| touches(tombstone, entry))
                && !stands_between(&manifest.segments, &[*entry])
        });
        for entry in rest {
            self.join(&mut manifest, &[entry], told)?;
        }
        Ok(())
    }

    /// Joins the segments of one stretch, if there are any to join; also of one that is not over,
    /// if that is `final_form`. Returns how many there were.
    pub(super) fn compact_once(
        &self,
        final_form: bool,
        told: &mut dyn FnMut(u64),
    ) -> Result<Option<usize>, StoreError> {
        let mut manifest = self.manifest();
        let newest = if final_form {
            Some(i64::MAX)
        } else {
            self.head().flushed_until
        };
        let Some(group) = self.plan(&manifest, newest) else {
            return Ok(None);
        };
        let bytes: u64 = group.iter().map(|entry| entry.length).sum();
        let space = named(&*self.disk, "ask the room of", "", self.disk.space())?;
        // Inputs go only when their successor is there.
        if space.free < bytes {
            return Ok(None);
        }
        self.join(&mut manifest, &group, told)?;
        Ok(Some(group.len()))
    }

    /// Segments that should be one: those that overlap, or those of a stretch that is over; or one
    /// that many deletions wait for.
    fn plan(&self, manifest: &Manifest, over: Option<i64>) -> Option<Vec<SegmentEntry>> {
        // What is an object stays as it is: it would have to come back first.
        let near = manifest.segments.iter().copied().filter(is_near);
        let segments: Vec<SegmentEntry> = near.collect();
        let keeps_order = |group: &[SegmentEntry]| {
            let others = manifest.segments.iter().copied();
            let others: Vec<SegmentEntry> = others.filter(|entry| !group.contains(entry)).collect();
            !stands_between(&others, group)
        };
        // Overlapping ones first and all together: their numbers say whose values win, and the
        // number of what they become is above all of them.
        if let Some(group) = overlapping(&segments).filter(|group| keeps_order(group)) {
            return Some(group);
        }
        for stretch in self.stretches() {
            let mut windows: Vec<i64> = segments
                .iter()
                .map(|entry| entry.first.div_euclid(stretch))
                .collect();
            windows.sort_unstable();
            windows.dedup();
            for window in windows {
                let from = window.saturating_mul(stretch);
                let to = from.saturating_add(stretch);
                let inside = |entry: &&SegmentEntry| entry.first >= from && entry.last < to;
                let group: Vec<SegmentEntry> = segments.iter().filter(inside).copied().collect();
                let is_over = over.is_some_and(|over| to <= over);
                if group.len() > 1 && is_over && keeps_order(&group) {
                    return Some(group);
                }
            }
        }
        // Each query looks at all tombstones.
        let is_touched = |entry: &&SegmentEntry| {
            let mut tombstones = manifest.tombstones.iter();
            tombstones.any(|tombstone| touches(tombstone, entry)) && keeps_order(&[**entry])
        };
        let touched = segments.iter().find(is_touched);
        let are_many = manifest.tombstones.len() > TOMBSTONES_KEPT;
        touched.filter(|_| are_many).map(|entry| vec![*entry])
    }

    /// The stretches of which compaction makes one segment each, the shortest first.
    pub(super) fn stretches(&self) -> impl Iterator<Item = i64> {
        let options = &self.options;
        // Whole segments are retired: none may be so long that old samples stay for its newest.
        let retained = options
            .retention_ms
            .map(|retention| retention / RETENTION_PARTS);
        // What is old enough for the bucket should not have to wait for a longer stretch to be over.
        let moved = options
            .objects_after_ms
            .filter(|_| options.objects.is_some());
        let longest = [retained, moved].into_iter().flatten().min();
        let stretches = options.compaction_ms.iter().copied();
        stretches.filter(move |stretch| {
            *stretch > 0 && longest.is_none_or(|longest| *stretch <= longest)
        })
    }

    /// Writes the samples of some segments into one, and makes it their successor.
    fn join(
        &self,
        manifest: &mut Manifest,
        group: &[SegmentEntry],
        told: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let current = self.segments();
        let mut inputs: Vec<Cursor> = current
            .list
            .iter()
            .filter(|segment| group.contains(&segment.entry))
            .map(|segment| Cursor::new(Arc::clone(segment)))
            .collect();
        // The newest comes last, because its values win.
        inputs.sort_by_key(|cursor| cursor.segment.entry.number);
        let number = take_number(manifest);
        let mut writer = SegmentWriter::create(&*self.disk, number, Effort::Compact)?;
        let mut samples = SeriesSamples::default();
        let mut cache = ReadCache::default();
        while let Some(labels) = least(&mut inputs)? {
            self.go_on()?;
            samples.clear();
            for input in &mut inputs {
                input.take(&labels, &manifest.tombstones, &mut cache, &mut samples)?;
            }
            merge(&mut samples);
            if !samples.is_empty() {
                writer.add(&labels, &samples)?;
                told((samples.floats.times.len() + samples.histograms.len()) as u64);
            }
            cache.trim();
        }
        let mut next = manifest.clone();
        next.segments.retain(|entry| !group.contains(entry));
        next.segments.extend(writer.finish()?);
        self.replace(manifest, next)
    }
}

/// Segments of which each overlaps another, directly or through others.
fn overlapping(segments: &[SegmentEntry]) -> Option<Vec<SegmentEntry>> {
    let mut sorted = segments.to_vec();
    sorted.sort_unstable_by_key(|entry| entry.first);
    let mut group: Vec<SegmentEntry> = Vec::new();
    let mut end = i64::MIN;
    for entry in sorted {
        if !group.is_empty() && entry.first <= end {
            group.push(entry);
        } else if group.len() > 1 {
            break;
        } else {
            group = vec![entry];
        }
        end = end.max(entry.last);
    }
    (group.len() > 1).then_some(group)
}

/// Whether both have samples of the same time.
pub(super) fn overlaps(one: &SegmentEntry, other: &SegmentEntry) -> bool {
    one.first <= other.last && other.first <= one.last
}

/// Whether one of `others` is newer than one of a group and of the same time: what the group becomes
/// would win over it.
pub(super) fn stands_between(others: &[SegmentEntry], group: &[SegmentEntry]) -> bool {
    others.iter().any(|other| {
        let mut group = group.iter();
        group.any(|entry| entry.number < other.number && overlaps(entry, other))
    })
}

/// Whether a tombstone holds for anything in a segment.
pub(super) fn touches(tombstone: &Tombstone, entry: &SegmentEntry) -> bool {
    entry.number < tombstone.before && tombstone.start <= entry.last && tombstone.end >= entry.first
}

/// Removes what tombstones name from the samples of one series of one segment.
pub(super) fn bury(
    samples: &mut SeriesSamples,
    labels: &Labels,
    entry: &SegmentEntry,
    tombstones: &[Tombstone],
) {
    for tombstone in tombstones {
        if !touches(tombstone, entry) || !tombstone.covers(labels) {
            continue;
        }
        let keeps = |time: i64| time < tombstone.start || time > tombstone.end;
        if samples.floats.times.iter().any(|time| !keeps(*time)) {
            let mut left = Columns::default();
            for (time, value, start) in samples.floats.iter().filter(|sample| keeps(sample.0)) {
                left.push(time, value, start);
            }
            samples.floats = left;
        }
        samples.histograms.retain(|sample| keeps(sample.0));
    }
}

/// A segment that is read from its first series to its last.
struct Cursor {
    segment: Arc<Segment>,
    page: usize,
    waiting: std::vec::IntoIter<SeriesEntry>,
    next: Option<SeriesEntry>,
}

impl Cursor {
    fn new(segment: Arc<Segment>) -> Self {
        Self {
            segment,
            page: 0,
            waiting: Vec::new().into_iter(),
            next: None,
        }
    }

    fn peek(&mut self) -> Result<Option<&Labels>, ReadError> {
        while self.next.is_none() {
            self.next = self.waiting.next();
            if self.next.is_none() {
                if self.page >= self.segment.page_count() {
                    return Ok(None);
                }
                self.waiting = self.segment.page(self.page, &|_| true)?.into_iter();
                self.page += 1;
            }
        }
        Ok(self.next.as_ref().map(|entry| &entry.labels))
    }

    /// Appends the samples of the next series, if it has these labels, and goes on.
    fn take(
        &mut self,
        labels: &Labels,
        tombstones: &[Tombstone],
        cache: &mut ReadCache,
        out: &mut SeriesSamples,
    ) -> Result<(), ReadError> {
        if self.next.as_ref().is_none_or(|next| next.labels != *labels) {
            return Ok(());
        }
        let Some(entry) = self.next.take() else {
            return Ok(());
        };
        let is_touched = |tombstone| touches(tombstone, &self.segment.entry);
        if !tombstones.iter().any(is_touched) {
            for chunk in &entry.chunks {
                self.segment.read(chunk, cache, out)?;
            }
            return Ok(());
        }
        let mut own = SeriesSamples::default();
        for chunk in &entry.chunks {
            self.segment.read(chunk, cache, &mut own)?;
        }
        bury(&mut own, labels, &self.segment.entry, tombstones);
        for (time, value, start) in own.floats.iter() {
            out.floats.push(time, value, start);
        }
        out.histograms.append(&mut own.histograms);
        Ok(())
    }
}

/// The least labels that any of them has next.
fn least(inputs: &mut [Cursor]) -> Result<Option<Labels>, ReadError> {
    let mut least: Option<Labels> = None;
    for input in inputs {
        if let Some(labels) = input.peek()?
            && least.as_ref().is_none_or(|least| labels < least)
        {
            least = Some(labels.clone());
        }
    }
    Ok(least)
}

//! From the head into segments, and the upkeep of what is on disk.

use std::collections::BTreeSet;

use super::compact::touches;
use super::{Store, StoreError, extras_of};
use crate::block::Effort;
use crate::chunk::Columns;
use crate::head::{Frozen, Head, STRETCH_MS};
use crate::labels::Labels;
use crate::manifest::{Manifest, SegmentEntry};
use crate::segment::{self, SegmentWriter, SeriesSamples};
use crate::tombstone::Tombstone;

/// Segments that one flush makes at most; when samples are spread wider, each spans more time.
const FLUSH_SEGMENTS_MAX: usize = 16;
/// Series that are worked on before those who append get their turn.
const SERIES_AT_ONCE: usize = 1_000;
/// Parts of a hundred of the head's memory from which on it is flushed early.
const EARLY_PERCENT: usize = 80;

/// Time that has to lie between early flushes, so that segments do not become too many.
const EARLY_MS: i64 = STRETCH_MS / 12;

/// What upkeep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Segments that were made of the head.
    pub flushed: usize,
    /// Segments that were joined into others.
    pub compacted: usize,
    /// Segments that were too old, or too many.
    pub retired: usize,
}

impl Store {
    /// Does what is due: asks for the room on the disk, begins the log anew after an error,
    /// flushes, packs the head, removes what is too old, compacts. To be called every minute or so; `now` is the
    /// clock, in milliseconds since 1970.
    pub fn maintain(&self, now: i64) -> Result<Upkeep, StoreError> {
        self.go_on()?;
        self.check_space()?;
        {
            let _alone = self.manifest();
            segment::remove_unfinished(&*self.disk)?;
        }
        let mut upkeep = Upkeep::default();
        if self.log.failure().is_some() {
            upkeep.flushed += self.flush_all()?;
        }
        if let Some(cut) = self.due() {
            upkeep.flushed += self.flush(cut)?;
        }
        let loose = self.head().loose();
        for some in loose.chunks(SERIES_AT_ONCE / 10) {
            self.go_on()?;
            self.head_mut().pack(some);
        }
        upkeep.retired += self.retire(now)?;
        while let Some(joined) = self.compact_once(false, &mut |_| {})? {
            upkeep.compacted += joined;
        }
        Ok(upkeep)
    }

    /// The time up to which samples should be in segments now.
    fn due(&self) -> Option<i64> {
        let head = self.head();
        let open_from = head.newest?.saturating_sub(self.options.late_ms);
        let limit = self.options.head_bytes_max / 100 * EARLY_PERCENT;
        let since = head
            .closed_until
            .map(|until| until.saturating_add(EARLY_MS));
        let is_early = head.memory_bytes() > limit && since < Some(open_from);
        let cut = if is_early {
            open_from
        } else {
            open_from.div_euclid(STRETCH_MS).saturating_mul(STRETCH_MS)
        };
        if head.closed_until.is_none_or(|until| until < cut) {
            let mut series = head.iter();
            return series.any(|(_, one)| one.begins_before(cut)).then_some(cut);
        }
        // A flush that failed is tried again.
        head.closed_until
            .filter(|_| head.closed_until > head.flushed_until)
    }

    /// Writes samples before `cut` into segments. Returns how many there are.
    fn flush(&self, cut: i64) -> Result<usize, StoreError> {
        let mut manifest = self.manifest();
        {
            let mut head = self.head_mut();
            head.closed_until = head.closed_until.max(Some(cut));
            let _file = self.log.begin_file();
            self.log.enqueue(extras_of(&head));
        }
        // The file has to exist before the manifest begins the log with it.
        self.log.wait(self.log.end())?;
        let (series, stretches) = candidates(&self.head(), cut);
        let frozen = |id: u32, from: i64, to: i64| {
            let head = self.head();
            head.get(id)
                .map(|series| series.freeze_between(from, to))
                .unwrap_or_default()
        };
        let mut made = Vec::new();
        for (from, to) in windows(&stretches) {
            let range = (from, to.min(cut) - 1);
            made.extend(self.write_segment(&mut manifest, &series, range, &frozen)?);
        }
        let mut next = manifest.clone();
        next.segments.extend_from_slice(&made);
        next.flushed = Some(cut);
        next.log_first = self.log.first_needed(cut);
        let segments = self.open_segments(&next)?;
        next.write(&*self.disk)?;
        let log_first = next.log_first;
        *manifest = next;
        {
            let mut head = self.head_mut();
            head.flushed_until = Some(cut);
            self.set_segments(&mut head, segments);
        }
        let ids: Vec<u32> = self.head().iter().map(|(id, _)| id).collect();
        for some in ids.chunks(SERIES_AT_ONCE) {
            self.head_mut().forget(some, cut);
        }
        self.log.remove_below(log_first)?;
        Ok(made.len())
    }

    /// Writes everything that is in the head into segments, and begins the log anew. Nobody can
    /// append meanwhile. Returns how many segments there are.
    pub fn flush_all(&self) -> Result<usize, StoreError> {
        let mut manifest = self.manifest();
        let mut head = self.head_mut();
        let has_failed = self.log.failure().is_some();
        let (series, stretches) = candidates(&head, i64::MAX);
        let frozen = |id: u32, from: i64, to: i64| {
            head.get(id)
                .map(|series| series.freeze_between(from, to))
                .unwrap_or_default()
        };
        let mut made = Vec::new();
        for (from, to) in windows(&stretches) {
            made.extend(self.write_segment(&mut manifest, &series, (from, to - 1), &frozen)?);
        }
        let first = if has_failed {
            self.log.restart()?
        } else {
            let number = self.log.begin_file();
            let position = self.log.enqueue(extras_of(&head));
            self.log.wait(position)?;
            number
        };
        let mut next = manifest.clone();
        next.segments.extend_from_slice(&made);
        next.log_first = first;
        let segments = self.open_segments(&next)?;
        next.write(&*self.disk)?;
        *manifest = next;
        self.set_segments(&mut head, segments);
        let ids: Vec<u32> = head.iter().map(|(id, _)| id).collect();
        head.forget(&ids, i64::MAX);
        head.undescribe();
        if has_failed {
            self.log.resume();
            self.log.enqueue(extras_of(&head));
        }
        drop(head);
        self.log.remove_below(first)?;
        Ok(made.len())
    }

    /// Writes samples from one time to another, inclusive, into a segment, if there are any.
    fn write_segment(
        &self,
        manifest: &mut Manifest,
        series: &[(Labels, u32)],
        (from, to): (i64, i64),
        frozen: &dyn Fn(u32, i64, i64) -> Frozen,
    ) -> Result<Option<SegmentEntry>, StoreError> {
        let number = take_number(manifest);
        let mut writer = SegmentWriter::create(&*self.disk, number, Effort::Flush)?;
        let mut samples = SeriesSamples::default();
        for (labels, id) in series {
            self.go_on()?;
            let frozen = frozen(*id, from, to);
            if frozen.is_empty() {
                continue;
            }
            samples.clear();
            frozen.read(&mut samples);
            keep_between(&mut samples, from, to);
            if !samples.is_empty() {
                writer.add(labels, &samples)?;
            }
        }
        Ok(writer.finish()?)
    }

    /// Removes segments that are too old, and the oldest of too many bytes.
    fn retire(&self, now: i64) -> Result<usize, StoreError> {
        let mut manifest = self.manifest();
        let mut kept = manifest.segments.clone();
        if let Some(retention) = self.options.retention_ms {
            kept.retain(|entry| entry.last >= now.saturating_sub(retention));
        }
        if let Some(limit) = self.options.retention_bytes {
            kept.sort_by_key(|entry| std::cmp::Reverse(entry.last));
            let mut bytes = 0;
            kept.retain(|entry| {
                bytes += entry.length;
                bytes <= limit
            });
            kept.sort_by_key(|entry| entry.number);
        }
        let retired = manifest.segments.len() - kept.len();
        if retired > 0 {
            let mut next = manifest.clone();
            next.segments = kept;
            self.replace(&mut manifest, next)?;
        }
        Ok(retired)
    }

    /// Makes `next` the manifest, and removes the segments that it does not name any more.
    pub(super) fn replace(
        &self,
        manifest: &mut Manifest,
        mut next: Manifest,
    ) -> Result<(), StoreError> {
        let entries = next.segments.clone();
        let is_needed = |tombstone: &Tombstone| {
            let mut entries = entries.iter();
            entries.any(|entry| touches(tombstone, entry))
        };
        next.tombstones.retain(is_needed);
        let segments = self.open_segments(&next)?;
        next.write(&*self.disk)?;
        self.far.note_gone(&self.segments().list, &next.segments);
        self.set_segments(&mut self.head_mut(), segments);
        *manifest = next;
        segment::remove_unnamed(&*self.disk, &manifest.segments)?;
        Ok(())
    }
}

/// A number that no other segment has had, also when what it is for fails.
pub(super) fn take_number(manifest: &mut Manifest) -> u32 {
    let number = manifest.next;
    manifest.next += 1;
    number
}

/// Series with samples before `cut`, sorted by labels, and the stretches that have samples.
fn candidates(head: &Head, cut: i64) -> (Vec<(Labels, u32)>, BTreeSet<i64>) {
    let mut series = Vec::new();
    let mut stretches = BTreeSet::new();
    for (id, one) in head.iter() {
        if one.begins_before(cut) {
            series.push((one.labels.clone(), id));
            let last = (cut - 1).div_euclid(STRETCH_MS);
            let mut before = None;
            for stretch in one.stretches().filter(|stretch| *stretch <= last) {
                if before.replace(stretch) != Some(stretch) {
                    stretches.insert(stretch);
                }
            }
        }
    }
    series.sort_unstable();
    (series, stretches)
}

/// The times from which and before which segments have samples: one for each stretch, or for
/// several when there would be too many.
fn windows(stretches: &BTreeSet<i64>) -> Vec<(i64, i64)> {
    let mut width = 1;
    loop {
        let windows: BTreeSet<i64> = stretches.iter().map(|at| at.div_euclid(width)).collect();
        if windows.len() <= FLUSH_SEGMENTS_MAX {
            let length = width.saturating_mul(STRETCH_MS);
            return windows
                .into_iter()
                .map(|at| at.saturating_mul(length))
                .map(|from| (from, from.saturating_add(length)))
                .collect();
        }
        width = if width == 1 { 12 } else { width * 10 };
    }
}

/// Keeps the samples from one time to another, inclusive; they are sorted.
pub(super) fn keep_between(samples: &mut SeriesSamples, from: i64, to: i64) {
    keep_floats(&mut samples.floats, from, to);
    samples
        .histograms
        .retain(|sample| (from..=to).contains(&sample.0));
}

fn keep_floats(floats: &mut Columns, from: i64, to: i64) {
    let end = floats.times.partition_point(|time| *time <= to);
    floats.times.truncate(end);
    floats.values.truncate(end);
    floats.starts.truncate(end);
    let begin = floats.times.partition_point(|time| *time < from);
    if begin > 0 {
        floats.times.drain(..begin);
        floats.values.drain(..begin);
        floats.starts.drain(..begin.min(floats.starts.len()));
    }
}

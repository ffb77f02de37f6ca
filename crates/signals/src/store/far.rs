//! Segments that are objects: moving them there by age, and removing what no segment needs.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::compact::{overlaps, stands_between};
use super::{Options, SegmentFacts, Store, StoreError};
use crate::damage::Damage;
use crate::disk::{DiskError, named};
use crate::manifest::{Manifest, SegmentEntry};
use crate::objects::{Depot, ObjectFacts, Objects};
use crate::segment::{Segment, foot};

/// Objects that one sweep removes at most; the next one goes on.
const REMOVED_AT_ONCE: usize = 1_000;

/// What the store knows of its objects.
#[derive(Debug)]
pub(super) struct Far {
    pub(super) depot: Depot,
    /// Held by whoever moves or removes objects, one at a time.
    alone: Mutex<()>,
    /// Segments that the manifest does not name any more, and that may be read still.
    gone: Mutex<Vec<Arc<Segment>>>,
    /// There may be objects that no segment needs.
    is_sweep_due: AtomicBool,
    /// Writing the manifest has failed: nothing says whether the disk has the old one or the new one.
    is_unsure: AtomicBool,
}

impl Far {
    pub(super) fn new(options: &Options, manifest: &Manifest) -> Self {
        Self {
            depot: Depot::new(options.objects.clone(), manifest),
            alone: Mutex::default(),
            gone: Mutex::default(),
            // A process that was killed may have left some.
            is_sweep_due: AtomicBool::new(true),
            is_unsure: AtomicBool::new(false),
        }
    }

    fn alone(&self) -> MutexGuard<'_, ()> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> MutexGuard<'_, Vec<Arc<Segment>>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_sweep_due(&self) {
        self.is_sweep_due.store(true, Ordering::SeqCst);
    }

    /// Notes segments that the manifest named and does not name any more.
    pub(super) fn note_gone(&self, before: &[Arc<Segment>], left: &[SegmentEntry]) {
        let is_gone = |segment: &&Arc<Segment>| {
            segment.entry.is_far && !left.iter().any(|entry| *entry == segment.entry)
        };
        let mut gone = before.iter().filter(is_gone).cloned().peekable();
        if gone.peek().is_some() {
            self.gone().extend(gone);
            self.set_sweep_due();
        }
    }

    fn failed(&self, action: &'static str, name: &str, error: std::io::Error) -> StoreError {
        self.depot.failed();
        let objects = self.depot.objects();
        let place = objects.map_or_else(|| name.to_owned(), |objects| objects.place(name));
        DiskError::new(action, place, error).into()
    }
}

impl Store {
    /// Makes an object of the oldest segment that is old enough and as large as it gets, if there is
    /// one; `now` is the clock, in milliseconds since 1970. May take as long as it takes to send it.
    pub fn move_next(&self, now: i64) -> Result<Option<SegmentFacts>, StoreError> {
        let _alone = self.far.alone();
        let Some(objects) = self.far.depot.objects() else {
            return Ok(None);
        };
        let Some(segment) = self.next_to_move(now)? else {
            return Ok(None);
        };
        self.keep_id()?;
        // Whatever happens next, there may be an object that the manifest does not name.
        self.far.set_sweep_due();
        let entry = SegmentEntry {
            is_far: true,
            ..segment.entry
        };
        let name = self.far.depot.name(&entry);
        let put = objects.put(&name, segment.file());
        put.map_err(|error| self.far.failed("write", &name, error))?;
        let tail = self.check_arrived(&segment, &name)?;
        let mut manifest = self.manifest();
        let mut next = manifest.clone();
        let place = next
            .segments
            .iter_mut()
            .find(|have| **have == segment.entry);
        let Some(place) = place else {
            // It was retired or joined meanwhile.
            return Ok(None);
        };
        *place = entry;
        foot::write(&*self.disk, &entry, &tail)?;
        self.far.is_unsure.store(true, Ordering::SeqCst);
        self.replace(&mut manifest, next)?;
        self.far.is_unsure.store(false, Ordering::SeqCst);
        Ok(Some(SegmentFacts::from(&entry)))
    }

    /// Has the id of the objects on disk, before there is one that only it leads to.
    fn keep_id(&self) -> Result<(), StoreError> {
        let mut manifest = self.manifest();
        if manifest.depot.is_none() {
            let mut next = manifest.clone();
            next.depot = Some(self.far.depot.id());
            next.write(&*self.disk)?;
            *manifest = next;
        }
        Ok(())
    }

    /// The oldest file that is due and that nothing will be joined with.
    fn next_to_move(&self, now: i64) -> Result<Option<Arc<Segment>>, StoreError> {
        let Some(after) = self.options.objects_after_ms else {
            return Ok(None);
        };
        let before = now.saturating_sub(after);
        let manifest = self.manifest();
        let near: Vec<SegmentEntry> = manifest.segments.iter().copied().filter(is_near).collect();
        let old = near.iter().filter(|entry| entry.last < before);
        let Some(oldest) = old.clone().min_by_key(|entry| entry.first) else {
            return Ok(None);
        };
        let settled = old.filter(|entry| !self.will_be_joined(&manifest.segments, entry));
        let settled = settled.min_by_key(|entry| entry.first);
        let space = named(&*self.disk, "ask the room of", "", self.disk.space())?;
        let bytes: u64 = near.iter().map(|entry| entry.length).sum();
        // Where nothing can be joined for want of room, moving makes some.
        let chosen = settled.or_else(|| (space.free < bytes).then_some(oldest));
        let segments = self.segments();
        let mut list = segments.list.iter();
        let found = list.find(|segment| Some(&segment.entry) == chosen);
        Ok(found.cloned())
    }

    /// Whether compaction has something to do with it still.
    fn will_be_joined(&self, segments: &[SegmentEntry], entry: &SegmentEntry) -> bool {
        let far = segments.iter().copied().filter(|entry| entry.is_far);
        let far: Vec<SegmentEntry> = far.collect();
        let mut others = segments
            .iter()
            .filter(|other| is_near(other) && *other != entry);
        others.any(|other| {
            let is_beside = |stretch: i64| {
                let window = entry.first.div_euclid(stretch);
                let all = [entry.last, other.first, other.last];
                all.iter().all(|time| time.div_euclid(stretch) == window)
            };
            let are_joined = overlaps(entry, other) || self.stretches().any(is_beside);
            are_joined && !stands_between(&far, &[*entry, *other])
        })
    }

    /// Makes sure that what lies there has the length and the end of the segment. Its content is under
    /// the checksum of each request that brought it there. Returns the end.
    fn check_arrived(&self, segment: &Segment, name: &str) -> Result<Vec<u8>, StoreError> {
        let Some(objects) = self.far.depot.objects() else {
            return Ok(Vec::new());
        };
        let tail = segment.tail()?;
        let length = segment.entry.length;
        let offset = length.saturating_sub(tail.len() as u64);
        let read = objects.read(name, offset, tail.len());
        let (found, total) = read.map_err(|error| self.far.failed("read", name, error))?;
        if total != length || found != tail {
            self.far.depot.failed();
            let what = "it is not what was put there";
            return Err(Damage::at_begin(objects.place(name), what).into());
        }
        Ok(tail)
    }

    /// Removes objects that no segment needs any more: of segments that were retired or rewritten, and
    /// what was left behind when something failed. Those that somebody reads stay until a
    /// later call. Returns how many went. To be called now and then; mostly there is nothing to do.
    pub fn sweep_objects(&self) -> Result<usize, StoreError> {
        let _alone = self.far.alone();
        let Some(objects) = self.far.depot.objects() else {
            return Ok(0);
        };
        if !self.far.is_sweep_due.swap(false, Ordering::SeqCst) {
            return Ok(0);
        }
        let swept = self.sweep(objects);
        if !matches!(swept, Ok((_, true))) {
            self.far.set_sweep_due();
        }
        swept.map(|(removed, _)| removed)
    }

    /// How many objects were removed, and whether that were all.
    fn sweep(&self, objects: &dyn Objects) -> Result<(usize, bool), StoreError> {
        let Some((needed, next)) = self.needed_objects()? else {
            return Ok((0, true));
        };
        let prefix = self.far.depot.prefix();
        let names = objects.list(&prefix);
        let names = names.map_err(|error| self.far.failed("list", &prefix, error))?;
        // A number that was never given here is that of a store of which this one is a copy.
        let is_own = |name: &str| {
            let number = name
                .strip_prefix(&prefix)
                .and_then(|name| name.split_once('-'));
            number.is_some_and(|(number, _)| number.parse().is_ok_and(|number: u32| number < next))
        };
        let orphans = names.iter().filter(|name| !needed.contains(*name));
        let mut orphans = orphans.filter(|name| is_own(name));
        let mut removed = 0;
        for name in orphans.by_ref().take(REMOVED_AT_ONCE) {
            let done = objects.remove(name);
            done.map_err(|error| self.far.failed("remove", name, error))?;
            removed += 1;
        }
        let given_up = objects.give_up(&prefix);
        given_up.map_err(|error| self.far.failed("clear", &prefix, error))?;
        let is_done = orphans.next().is_none() && self.far.gone().is_empty();
        Ok((removed, is_done))
    }

    /// The names of the objects that somebody needs, and the number of the next segment; nothing when
    /// there were never any. What becomes one later is moved under `alone`.
    fn needed_objects(&self) -> Result<Option<(HashSet<String>, u32)>, StoreError> {
        let depot = &self.far.depot;
        let manifest = self.manifest();
        if manifest.depot.is_none() {
            return Ok(None);
        }
        if self.far.is_unsure.load(Ordering::SeqCst) {
            manifest.write(&*self.disk)?;
            self.far.is_unsure.store(false, Ordering::SeqCst);
        }
        let far = manifest.segments.iter().filter(|entry| entry.is_far);
        let mut needed: HashSet<String> = far.map(|entry| depot.name(entry)).collect();
        let mut gone = self.far.gone();
        gone.retain(|segment| Arc::strong_count(segment) > 1);
        needed.extend(gone.iter().map(|segment| depot.name(&segment.entry)));
        Ok(Some((needed, manifest.next)))
    }

    /// What was done with objects, and which segments lie there.
    pub fn object_facts(&self) -> ObjectFacts {
        let segments = self.segments();
        let far = segments.list.iter().filter(|one| one.entry.is_far);
        ObjectFacts {
            segments: far.clone().count(),
            bytes: far.map(|segment| segment.entry.length).sum(),
            ..self.far.depot.facts()
        }
    }
}

/// Whether a segment is a file.
pub(super) fn is_near(entry: &SegmentEntry) -> bool {
    !entry.is_far
}

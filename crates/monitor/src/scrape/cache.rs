//! The series of one target, found by their bytes as they stand on the page. A page that has the
//! series of the one before, in the same order, is read without a label or a hash.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use signals::{Labels, SeriesId};
use std::hash::BuildHasher;
use std::ops::Range;

use super::page::Member;

/// Series that were not on the last page and are kept in case they come back, beside as many as were
/// on it.
const SPARE_MAX: usize = 1_000;
/// No series.
const NONE: u32 = u32::MAX;

/// What a series is to a classic histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Membership {
    /// Nobody has looked yet.
    Unknown,
    /// Nothing.
    None,
    /// A part of it.
    Of(Member),
}

/// A series as its target writes it.
#[derive(Debug)]
pub(crate) struct Known {
    /// Name and labels as they stand on the page: where [`Cache::texts`] has them.
    raw: Range<usize>,
    /// Its labels in the store; nothing when the rules drop it.
    pub(crate) labels: Option<Labels>,
    /// As the store knows it.
    pub(crate) id: Option<SeriesId>,
    /// The last page that it was on.
    seen: u32,
    /// The last page after which its end would have to be marked.
    tracked: u32,
    /// It was to be marked before this page.
    was_tracked: bool,
    /// The series that came after it.
    next: u32,
    /// Tells its last exemplar from another.
    exemplar: u64,
    /// What it is to a histogram that is converted.
    pub(crate) membership: Membership,
}

/// Where a series is in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

/// All series of a target.
#[derive(Debug)]
pub(crate) struct Cache {
    series: Vec<Known>,
    /// What the lines begin with, in the order of the page as far as it stays the same: so comparing the
    /// next page with it reads memory in order.
    texts: Vec<u8>,
    by_raw: HashTable<u32>,
    hasher: RandomState,
    /// The number of the page that is being read.
    page: u32,
    /// The page whose series have to end or go on; 0 when there is none.
    last_page: u32,
    /// The last page that went into the store whole.
    last_whole: u32,
    /// The series of the line before.
    before: u32,
    first: u32,
    seen: usize,
    /// This page has series that were not known.
    has_grown: bool,
    /// What is seen does not belong to the order of the lines.
    is_aside: bool,
    /// Series that rules or labels of before made and that are in the store: they end unless they
    /// come again.
    former: Vec<(Labels, Option<SeriesId>)>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            series: Vec::new(),
            texts: Vec::new(),
            by_raw: HashTable::new(),
            hasher: RandomState::default(),
            page: 1,
            last_page: 0,
            last_whole: 0,
            before: NONE,
            first: NONE,
            seen: 0,
            has_grown: false,
            is_aside: false,
            former: Vec::new(),
        }
    }
}

impl Cache {
    /// A new page begins.
    pub(crate) fn begin(&mut self) {
        self.page = self.page.wrapping_add(1).max(1);
        self.before = NONE;
        self.seen = 0;
        self.has_grown = false;
    }

    /// The bytes of the series that is expected on the next line.
    pub(crate) fn expected(&self) -> (Place, &[u8]) {
        let place = match self.get(Place(self.before)) {
            Some(before) => before.next,
            None => self.first,
        };
        (Place(place), self.raw(place))
    }

    fn raw(&self, place: u32) -> &[u8] {
        raw_of(&self.series, &self.texts, place)
    }

    /// The series of these bytes.
    pub(crate) fn find(&self, raw: &[u8]) -> Option<Place> {
        let hash = self.hasher.hash_one(raw);
        let is_it = |place: &u32| self.raw(*place) == raw;
        self.by_raw.find(hash, is_it).map(|place| Place(*place))
    }

    /// Adds a series that [`Cache::find`] does not find.
    pub(crate) fn add(&mut self, raw: &[u8], labels: Option<Labels>) -> Place {
        let place = u32::try_from(self.series.len()).unwrap_or(NONE);
        self.has_grown = true;
        let start = self.texts.len();
        self.texts.extend_from_slice(raw);
        self.series.push(Known {
            raw: start..self.texts.len(),
            labels,
            id: None,
            seen: 0,
            tracked: 0,
            was_tracked: false,
            next: NONE,
            exemplar: 0,
            membership: Membership::Unknown,
        });
        let (series, texts, hasher) = (&self.series, &self.texts, &self.hasher);
        let rehash = |place: &u32| hasher.hash_one(raw_of(series, texts, *place));
        let hash = hasher.hash_one(raw);
        self.by_raw.insert_unique(hash, place, rehash);
        Place(place)
    }

    pub(crate) fn get(&self, place: Place) -> Option<&Known> {
        self.series.get(place.0 as usize)
    }

    /// Notes that a series stands on the next line of the page; `is_tracked` when its end is to be
    /// marked. Says whether it was not on the page before.
    pub(crate) fn see(&mut self, place: Place, is_tracked: bool) -> bool {
        if !self.is_aside {
            match self.series.get_mut(self.before as usize) {
                Some(before) => before.next = place.0,
                None => self.first = place.0,
            }
            self.before = place.0;
        }
        let page = self.page;
        let Some(known) = self.series.get_mut(place.0 as usize) else {
            return false;
        };
        let is_new = known.seen != page && (known.seen != self.last_whole || known.seen == 0);
        if known.seen != page {
            self.seen += 1;
            known.was_tracked = known.tracked == self.last_page && self.last_page != 0;
        }
        known.seen = page;
        if is_tracked && known.labels.is_some() {
            known.tracked = page;
        }
        is_new
    }

    /// What is seen next stands on no line of its own.
    pub(crate) fn turn_aside(&mut self) {
        self.is_aside = true;
    }

    /// The opposite of [`Cache::turn_aside`].
    pub(crate) fn turn_back(&mut self) {
        self.is_aside = false;
    }

    /// Notes what a series is to a histogram.
    pub(crate) fn set_member(&mut self, place: Place, member: Option<Member>) {
        let membership = member.map_or(Membership::None, Membership::Of);
        if let Some(known) = self.series.get_mut(place.0 as usize) {
            known.membership = membership;
        }
    }

    /// Whether this exemplar of a series is another than its last one.
    pub(crate) fn is_new_exemplar(&mut self, place: Place, exemplar: &[u8]) -> bool {
        let hash = self.hasher.hash_one(exemplar);
        let known = self.series.get_mut(place.0 as usize);
        known.is_some_and(|known| std::mem::replace(&mut known.exemplar, hash) != hash)
    }

    /// Series whose end is to be marked: they were on the last page and are not on this one; all of
    /// them, when this page was given up.
    pub(crate) fn vanished(&self, is_given_up: bool) -> Vec<(Labels, Option<SeriesId>)> {
        let is_here = |known: &Known| known.tracked == self.last_page && self.last_page != 0;
        // Of a page that was given up in the middle some series have been seen.
        let is_half = |known: &Known| known.tracked == self.page && known.was_tracked;
        let has_ended = |known: &&Known| {
            if is_given_up {
                is_here(known) || is_half(known)
            } else {
                is_here(known) && known.seen != self.page
            }
        };
        let ended = self.series.iter().filter(has_ended);
        let mut ended: Vec<_> = ended
            .filter_map(|known| Some((known.labels.clone()?, known.id)))
            .chain(self.former.iter().cloned())
            .collect();
        if ended.is_empty() || is_given_up {
            return ended;
        }
        // Two spellings, or two rules, may make one series.
        let alive = self.series.iter().filter(|known| known.seen == self.page);
        let alive: std::collections::HashSet<&Labels> =
            alive.filter_map(|known| known.labels.as_ref()).collect();
        ended.retain(|(labels, _)| !alive.contains(labels));
        ended
    }

    /// The page is in the store. Gives what it knows of a series its number there.
    pub(crate) fn commit(&mut self, ids: impl Iterator<Item = (Place, Option<SeriesId>)>) {
        for (place, id) in ids {
            if let Some(known) = self.series.get_mut(place.0 as usize)
                && known.id != id
            {
                known.id = id;
            }
        }
        self.last_page = self.page;
        self.last_whole = self.page;
        self.former.clear();
        if self.series.len() > self.seen * 2 + SPARE_MAX {
            self.forget();
        }
        // Not while more are coming: they would be moved each time.
        if !self.has_grown && self.texts.capacity() > self.texts.len() {
            self.shrink();
        }
    }

    /// The page was given up, and the ends of all series are in the store.
    pub(crate) fn give_up(&mut self) {
        self.last_page = 0;
        self.former.clear();
        for known in &mut self.series {
            known.tracked = 0;
        }
    }

    /// Rules or labels have changed: nothing that was found out holds, but what is in the store ends
    /// unless it comes again.
    pub(crate) fn restart(&mut self) {
        let was_there = |known: &Known| known.tracked == self.last_page && self.last_page != 0;
        let former = std::mem::take(&mut self.series).into_iter();
        let former = former.filter(was_there);
        let former = former.filter_map(|known| Some((known.labels?, known.id)));
        let former: Vec<_> = former.collect();
        let before = std::mem::take(&mut self.former);
        let page = self.page;
        *self = Self {
            former: before.into_iter().chain(former).collect(),
            page,
            ..Self::default()
        };
    }

    /// How many series it has.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// Keeps what was on this page.
    fn forget(&mut self) {
        let page = self.page;
        let kept = std::mem::take(&mut self.series);
        let texts = std::mem::take(&mut self.texts);
        self.by_raw.clear();
        self.first = NONE;
        self.before = NONE;
        for known in kept.into_iter().filter(|known| known.seen == page) {
            let raw = texts.get(known.raw).unwrap_or_default();
            let place = self.add(raw, known.labels);
            if let Some(added) = self.series.get_mut(place.0 as usize) {
                added.id = known.id;
                (added.seen, added.tracked) = (known.seen, known.tracked);
                added.exemplar = known.exemplar;
            }
        }
        self.shrink();
    }

    /// Gives back what was taken for more series than came.
    fn shrink(&mut self) {
        self.series.shrink_to_fit();
        self.texts.shrink_to_fit();
    }
}

fn raw_of<'a>(series: &[Known], texts: &'a [u8], place: u32) -> &'a [u8] {
    let known = series.get(place as usize);
    let raw = known.and_then(|known| texts.get(known.raw.clone()));
    raw.unwrap_or_default()
}

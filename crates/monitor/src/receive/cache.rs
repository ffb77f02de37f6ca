//! Series that were received before: their labels and their place in the store, found by the bytes that
//! came, without reading them.

use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use signals::{Labels, SeriesId};

/// Names and values of labels as they came.
pub(super) type Pairs<'a> = [(&'a [u8], &'a [u8])];

/// Series of one generation; there are two.
const SERIES_MAX: usize = 1_000_000;
/// Bytes of labels of one generation, as they came and as they are.
const BYTES_MAX: usize = 256 << 20;
/// After this time a new generation begins, so that series that went silent are forgotten.
const GENERATION_MS: i64 = 60 * 60 * 1000;
/// What [`built`] keys begin with. Those that a sender wrote begin with the tag of a label.
const BUILT: u8 = 0;

/// A series that was received before.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) labels: Labels,
    pub(super) id: SeriesId,
    /// A hash of what was last said of its metric; 0 is nothing.
    pub(super) metadata: u64,
}

/// The series that were received lately. Whatever is found is compared byte by byte, and the store
/// checks ids, so what is outdated here costs time and nothing else.
#[derive(Debug, Default)]
pub(super) struct SeriesCache {
    /// Keyed at random, because strangers choose labels.
    hasher: RandomState,
    generations: RwLock<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: Generation,
    old: Generation,
    began_at: i64,
}

/// Series in the order in which they came first. Who sends series sends them in that order again, so
/// that most are found where the one before ended.
#[derive(Debug, Default)]
struct Generation {
    /// The bytes by which they are known, one after the other.
    keys: Vec<u8>,
    series: Vec<Kept>,
    /// Their places, by a hash of their bytes.
    places: HashTable<usize>,
    label_bytes: usize,
}

#[derive(Debug)]
struct Kept {
    hash: u64,
    key: Range<usize>,
    known: Known,
}

impl Generation {
    /// The series at a place, when these are its bytes.
    fn at(&self, place: usize, key: &[u8]) -> Option<&Known> {
        let kept = self.series.get(place)?;
        (self.keys.get(kept.key.clone()) == Some(key)).then_some(&kept.known)
    }

    fn place(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let is_it = |place: &usize| {
            let kept = self.series.get(*place);
            kept.is_some_and(|kept| kept.hash == hash) && self.at(*place, key).is_some()
        };
        self.places.find(hash, is_it).copied()
    }

    fn is_full(&self) -> bool {
        self.series.len() >= SERIES_MAX || self.keys.len() + self.label_bytes >= BYTES_MAX
    }

    fn insert(&mut self, hash: u64, key: &[u8], known: Known) {
        if let Some(place) = self.place(hash, key) {
            if let Some(kept) = self.series.get_mut(place) {
                kept.known = known;
            }
            return;
        }
        let begin = self.keys.len();
        self.keys.extend_from_slice(key);
        self.label_bytes += known
            .labels
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>();
        let place = self.series.len();
        let key = begin..self.keys.len();
        self.series.push(Kept { hash, key, known });
        let series = &self.series;
        let hash_of = |place: &usize| series.get(*place).map_or(0, |kept| kept.hash);
        self.places.insert_unique(hash, place, hash_of);
    }
}

/// Looks many series up.
#[derive(Debug)]
pub(super) struct Finder<'a> {
    hasher: &'a RandomState,
    generations: RwLockReadGuard<'a, Generations>,
    /// Where the next series should be.
    next: usize,
}

impl Finder<'_> {
    /// What is known of a series. The flag says that it should be told anew, lest it be forgotten.
    pub(super) fn find(&mut self, key: &[u8]) -> Option<(&Known, bool)> {
        let Generations { young, old, .. } = &*self.generations;
        let mut place = self.next;
        if young.at(place, key).is_none() {
            let hash = self.hasher.hash_one(key);
            let Some(found) = young.place(hash, key) else {
                let place = old.place(hash, key)?;
                return old.at(place, key).map(|known| (known, true));
            };
            place = found;
        }
        self.next = place + 1;
        young.series.get(place).map(|kept| (&kept.known, false))
    }
}

impl SeriesCache {
    /// A hash of what is said of a metric, never 0.
    pub(super) fn hash_metadata(&self, metadata: &wire::remote_write::Metadata<'_>) -> u64 {
        self.hasher.hash_one(metadata).max(1)
    }

    /// For looking up. Nothing is learned while it is there.
    pub(super) fn finder(&self) -> Finder<'_> {
        let generations = self.generations.read();
        Finder {
            hasher: &self.hasher,
            generations: generations.unwrap_or_else(PoisonError::into_inner),
            next: 0,
        }
    }

    /// Takes what is new, with the bytes by which it is known. `now` is the clock, in milliseconds since
    /// 1970.
    pub(super) fn learn<'k>(&self, news: impl Iterator<Item = (&'k [u8], Known)>, now: i64) {
        let mut news = news.peekable();
        if news.peek().is_none() {
            return;
        }
        let generations = self.generations.write();
        let mut generations = generations.unwrap_or_else(PoisonError::into_inner);
        for (key, known) in news {
            let Generations {
                young,
                old,
                began_at,
            } = &mut *generations;
            if young.is_full() || now.saturating_sub(*began_at) > GENERATION_MS {
                *old = std::mem::take(young);
                *began_at = now;
            }
            young.insert(self.hasher.hash_one(key), key, known);
        }
    }
}

/// Appends the bytes by which labels are known whose sender's bytes do not say it alone.
pub(super) fn built(pairs: &Pairs<'_>, out: &mut Vec<u8>) {
    out.push(BUILT);
    for part in pairs.iter().flat_map(|(name, value)| [name, value]) {
        out.extend(part.len().to_le_bytes());
        out.extend(*part);
    }
}

#[cfg(test)]
mod tests;

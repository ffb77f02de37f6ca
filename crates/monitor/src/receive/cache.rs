//! Series that were received before: their labels and their place in the store, found by the bytes that
//! came, without reading them as text.

use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use signals::{Labels, SeriesId};

/// Names and values of labels as they came.
pub(super) type Pairs<'a> = [(&'a [u8], &'a [u8])];

/// Series of one generation; there are two.
const SERIES_MAX: usize = 1_000_000;
/// Bytes of labels of one generation.
const BYTES_MAX: usize = 256 << 20;
/// After this time a new generation begins, so that series that went silent are forgotten.
const GENERATION_MS: i64 = 60 * 60 * 1000;

/// A series that was received before.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) labels: Labels,
    pub(super) id: SeriesId,
    /// A hash of what was last said of its metric; 0 is nothing.
    pub(super) metadata: u64,
    /// The labels in the sender's order, unless it is that of the store.
    pub(super) sent: Option<Arc<[u8]>>,
}

impl Known {
    /// Whether this is what was sent.
    fn is(&self, pairs: &Pairs<'_>) -> bool {
        match &self.sent {
            None => is_same(&self.labels, pairs),
            Some(sent) => is_sent(sent, pairs),
        }
    }
}

/// What is new about a series.
#[derive(Debug)]
pub(super) struct News {
    pub(super) hash: u64,
    pub(super) known: Known,
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
    young: HashTable<(u64, Known)>,
    old: HashTable<(u64, Known)>,
    young_bytes: usize,
    began_at: i64,
}

impl SeriesCache {
    /// A hash of anything.
    pub(super) fn hash(&self, pairs: &Pairs<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for (name, value) in pairs {
            hasher.write(name);
            hasher.write(value);
        }
        hasher.finish()
    }

    /// A hash of what is said of a metric, never 0.
    pub(super) fn hash_metadata(&self, metadata: &wire::remote_write::Metadata<'_>) -> u64 {
        self.hasher.hash_one(metadata).max(1)
    }

    /// What is known of many series. The flag says that it should be told anew, lest it be forgotten.
    pub(super) fn reader(&self) -> impl Fn(u64, &Pairs<'_>) -> Option<(Known, bool)> {
        let generations = self.generations.read();
        let generations = generations.unwrap_or_else(PoisonError::into_inner);
        move |hash, pairs| {
            let is_it = |(have, known): &(u64, Known)| *have == hash && known.is(pairs);
            let young = generations.young.find(hash, is_it);
            if let Some((_, known)) = young {
                return Some((known.clone(), false));
            }
            let (_, known) = generations.old.find(hash, is_it)?;
            Some((known.clone(), true))
        }
    }

    /// Takes what is new. `now` is the clock, in milliseconds since 1970.
    pub(super) fn learn(&self, news: Vec<News>, now: i64) {
        if news.is_empty() {
            return;
        }
        let generations = self.generations.write();
        let mut generations = generations.unwrap_or_else(PoisonError::into_inner);
        for News { hash, known } in news {
            generations.insert(hash, known, now);
        }
    }
}

impl Generations {
    fn insert(&mut self, hash: u64, known: Known, now: i64) {
        let is_full = self.young.len() >= SERIES_MAX || self.young_bytes >= BYTES_MAX;
        if is_full || now.saturating_sub(self.began_at) > GENERATION_MS {
            self.old = std::mem::take(&mut self.young);
            (self.young_bytes, self.began_at) = (0, now);
        }
        let is_it = |(have, kept): &(u64, Known)| {
            *have == hash && kept.labels == known.labels && kept.sent == known.sent
        };
        if let Some((_, kept)) = self.young.find_mut(hash, is_it) {
            *kept = known;
            return;
        }
        let bytes: usize = known
            .labels
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        self.young_bytes += bytes + known.sent.as_ref().map_or(0, |sent| sent.len());
        self.young
            .insert_unique(hash, (hash, known), |(hash, _)| *hash);
    }
}

/// What has to be kept to know labels again that were sent so; nothing when they are in order and none
/// is empty.
pub(super) fn sent(labels: &Labels, pairs: &Pairs<'_>) -> Option<Arc<[u8]>> {
    if is_same(labels, pairs) {
        return None;
    }
    let mut sent = Vec::new();
    for part in pairs.iter().flat_map(|(name, value)| [name, value]) {
        sent.extend(part.len().to_le_bytes());
        sent.extend(*part);
    }
    Some(sent.into())
}

fn is_sent(sent: &[u8], pairs: &Pairs<'_>) -> bool {
    let mut rest = sent;
    let mut parts = pairs.iter().flat_map(|(name, value)| [name, value]);
    let all = parts.all(|part| {
        let next = rest.split_first_chunk();
        let next =
            next.and_then(|(length, tail)| tail.split_at_checked(usize::from_le_bytes(*length)));
        next.is_some_and(|(have, tail)| {
            rest = tail;
            have == *part
        })
    });
    all && rest.is_empty()
}

/// Whether these are the labels, in their order.
fn is_same(labels: &Labels, pairs: &Pairs<'_>) -> bool {
    let mut kept = labels.iter();
    let all = pairs.iter().all(|(name, value)| {
        kept.next()
            .is_some_and(|(have, held)| have.as_bytes() == *name && held.as_bytes() == *value)
    });
    all && kept.next().is_none()
}

#[cfg(test)]
mod tests;

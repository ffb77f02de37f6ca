//! Exemplars and metadata that each file of the log begins with: who was sent them is not sent them again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::RandomState;
use signals::{EXEMPLARS_MAX, Followed, METADATA_MAX};

/// What was seen lately, by hashes.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    hasher: RandomState,
    exemplars: HashSet<u64, RandomState>,
    order: VecDeque<u64>,
    /// By the metric's name.
    metadata: HashMap<u64, u64, RandomState>,
}

impl Repeats {
    /// Removes what was seen before.
    pub(super) fn remove(&mut self, items: &mut Vec<Followed>) {
        items.retain(|item| match item {
            Followed::Sample { .. } => true,
            Followed::Exemplar(exemplar) => {
                let mut hasher = self.hasher.build_hasher();
                exemplar.series.hash(&mut hasher);
                exemplar.labels.hash(&mut hasher);
                (exemplar.timestamp, exemplar.value.to_bits()).hash(&mut hasher);
                self.is_new(hasher.finish())
            }
            Followed::Metadata(name, metadata) => {
                let (name, said) = (
                    self.hasher.hash_one(name),
                    self.hasher
                        .hash_one((&metadata.kind, &metadata.help, &metadata.unit)),
                );
                if self.metadata.len() >= METADATA_MAX {
                    self.metadata.clear();
                }
                self.metadata.insert(name, said) != Some(said)
            }
        });
    }

    fn is_new(&mut self, hash: u64) -> bool {
        if !self.exemplars.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > EXEMPLARS_MAX {
            let oldest = self.order.pop_front();
            oldest.map(|oldest| self.exemplars.remove(&oldest));
        }
        true
    }
}

//! Blocks of objects in memory, so that what a query reads again and again is asked for once.

use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of all blocks.
const CACHE_BYTES_MAX: usize = 64 << 20;

/// A segment's number and the number of a block in it.
pub(super) type Key = (u32, u64);

/// The blocks that were used last.
#[derive(Debug, Default)]
pub(super) struct Cache {
    blocks: HashMap<Key, Kept>,
    bytes: usize,
    /// Counts uses.
    clock: u64,
}

#[derive(Debug)]
struct Kept {
    bytes: Arc<[u8]>,
    used: u64,
}

impl Cache {
    pub(super) fn get(&mut self, key: Key) -> Option<Arc<[u8]>> {
        self.clock += 1;
        let kept = self.blocks.get_mut(&key)?;
        kept.used = self.clock;
        Some(Arc::clone(&kept.bytes))
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.blocks.contains_key(&key)
    }

    pub(super) fn put(&mut self, key: Key, bytes: &[u8]) {
        self.clock += 1;
        let kept = Kept {
            bytes: bytes.into(),
            used: self.clock,
        };
        self.bytes += bytes.len();
        if let Some(before) = self.blocks.insert(key, kept) {
            self.bytes -= before.bytes.len();
        }
        while self.bytes > CACHE_BYTES_MAX {
            // There are a few hundred.
            let oldest = self.blocks.iter().min_by_key(|(_, kept)| kept.used);
            let Some(oldest) = oldest.map(|(key, _)| *key) else {
                break;
            };
            if let Some(gone) = self.blocks.remove(&oldest) {
                self.bytes -= gone.bytes.len();
            }
        }
    }
}

#[test]
fn what_was_used_last_is_kept_within_the_bound() {
    let block = vec![7; 1 << 20];
    let blocks = (CACHE_BYTES_MAX >> 20) as u64;
    let mut cache = Cache::default();
    for number in 0..blocks {
        cache.put((1, number), &block);
    }
    assert!(cache.get((1, 0)).is_some());
    cache.put((1, blocks), &block);
    cache.put((1, blocks), &block);
    assert_eq!(cache.bytes, CACHE_BYTES_MAX);
    assert!(cache.has((1, 0)) && !cache.has((1, 1)) && cache.has((1, blocks)));
}

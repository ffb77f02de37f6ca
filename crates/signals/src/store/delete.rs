//! Deleting samples: at once in the head, by tombstones in segments.

use super::{Store, StoreError, records_of};
use crate::matcher::Matcher;
use crate::record::Encoder;
use crate::tombstone::Tombstone;

/// Deletions that wait for compaction.
pub const TOMBSTONES_MAX: usize = 1_000;

impl Store {
    /// Deletes the samples from `start` to `end`, inclusive, of the series for which all matchers
    /// hold. Returns when that is on disk.
    pub fn delete(&self, matchers: &[Matcher], start: i64, end: i64) -> Result<(), StoreError> {
        let mut manifest = self.manifest();
        if manifest.tombstones.len() >= TOMBSTONES_MAX {
            return Err(StoreError::ManyTombstones(TOMBSTONES_MAX));
        }
        if let Some(error) = self.log.failure() {
            return Err(error.into());
        }
        let position = {
            let mut head = self.head_mut();
            let ids = head.select(matchers);
            head.delete(&ids, start, end);
            let mut records = Encoder::default();
            records.delete(matchers, start, end);
            self.log.enqueue(records_of(records))
        };
        self.log.wait(position)?;
        let mut next = manifest.clone();
        next.tombstones.push(Tombstone {
            before: next.next,
            start,
            end,
            matchers: matchers.to_vec(),
        });
        self.replace(&mut manifest, next)
    }
}

//! Deleting samples: at once in the head, by tombstones in segments.

use super::{Store, StoreError, records_of};
use crate::manifest::Manifest;
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
        let mut next = manifest.clone();
        add(
            &mut next,
            Tombstone {
                before: manifest.next,
                start,
                end,
                matchers: matchers.to_vec(),
            },
        );
        if next.tombstones.len() > TOMBSTONES_MAX {
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
        self.replace(&mut manifest, next)
    }
}

/// Adds a tombstone that holds for all segments there are. Others of the same series become one with it
/// where their times touch, if no segment came in between: that would lose samples by it.
fn add(manifest: &mut Manifest, mut added: Tombstone) {
    let segments = &manifest.segments;
    loop {
        let joined = manifest.tombstones.iter().position(|other| {
            let is_same = other.matchers == added.matchers;
            let holds = !segments.iter().any(|entry| entry.number >= other.before);
            let touches = other.start <= added.end.saturating_add(1)
                && added.start <= other.end.saturating_add(1);
            let is_covered = added.start <= other.start && other.end <= added.end;
            is_same && (is_covered || holds && touches)
        });
        let Some(at) = joined else {
            break;
        };
        // One that is joined may reach another.
        let other = manifest.tombstones.swap_remove(at);
        added.start = added.start.min(other.start);
        added.end = added.end.max(other.end);
    }
    manifest.tombstones.push(added);
}

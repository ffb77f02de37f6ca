//! What a reader of chunks keeps from one to the next: series that stand side by side share columns of
//! times, and their blocks lie one behind the other.

use std::collections::HashMap;
use std::sync::Arc;

use super::{CHECKSUM_BYTES, Place};
use crate::block::Scratch;
use crate::bytes::in_memory;

/// Columns of times that are kept: the series of a target stand side by side.
const COLUMNS_MAX: usize = 1_024;
/// Segments of which a stretch is kept.
const STRETCHES_MAX: usize = 256;
/// What is read ahead at first, when somebody reads on where he ended, and at most.
const AHEAD_BYTES_MIN: usize = 4 << 10;
const AHEAD_BYTES_MAX: usize = 32 << 10;

/// For a reader that goes through the series of segments in their order.
#[derive(Debug, Default)]
pub(crate) struct ReadCache {
    /// By segment and place.
    pub(super) columns: HashMap<(u32, u64), Arc<[i64]>>,
    /// By segment.
    stretches: HashMap<u32, Stretch>,
    /// The last part that was longer than stretches are.
    long: Vec<u8>,
    scratch: Scratch,
}

/// Bytes of a segment that were read together.
#[derive(Debug, Default)]
struct Stretch {
    offset: u64,
    bytes: Vec<u8>,
    /// How much was read at once.
    ahead: usize,
}

impl ReadCache {
    /// Forgets columns of times: those that come next are others.
    pub(super) fn forget_columns(&mut self) {
        self.columns.clear();
    }

    /// Forgets what most likely is not wanted again. To be called between series.
    pub(crate) fn trim(&mut self) {
        if self.columns.len() > COLUMNS_MAX {
            self.columns.clear();
        }
        if self.stretches.len() > STRETCHES_MAX {
            self.stretches.clear();
        }
    }

    /// How many columns of times are kept.
    #[cfg(test)]
    pub(crate) fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// A part of a segment with its checksum, and what a block is read with. What is not here yet is read
    /// by `read`, given the offset and room for the bytes; nothing from `end` on, where parts end.
    pub(super) fn part<E>(
        &mut self,
        (number, place): (u32, Place),
        end: u64,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<(&[u8], &mut Scratch), E> {
        let length = place.length as usize + CHECKSUM_BYTES;
        let bytes = if length > AHEAD_BYTES_MAX {
            self.long.resize(length, 0);
            read(place.offset, &mut self.long)?;
            &self.long
        } else {
            let stretch = self.stretches.entry(number).or_default();
            stretch.part((place.offset, length), end, read)?
        };
        Ok((bytes, &mut self.scratch))
    }
}

impl Stretch {
    /// So many bytes at an offset, which are read with more behind them the longer somebody reads on.
    fn part<E>(
        &mut self,
        (offset, length): (u64, usize),
        end: u64,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<&[u8], E> {
        let skipped = offset.checked_sub(self.offset);
        let mut skipped = skipped.map_or(usize::MAX, in_memory);
        let here = self.bytes.get(skipped..).map_or(0, <[u8]>::len);
        if here < length {
            // Between the blocks of two series there may stand something else.
            let goes_on = !self.bytes.is_empty() && skipped <= self.bytes.len() + AHEAD_BYTES_MIN;
            self.ahead = if goes_on {
                (self.ahead * 2).clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX)
            } else {
                0
            };
            let left = in_memory(end.saturating_sub(offset));
            self.bytes.resize(length.max(self.ahead.min(left)), 0);
            self.offset = offset;
            let mut done = read(offset, &mut self.bytes);
            if done.is_err() && self.bytes.len() > length {
                // What can't be read may stand behind what is wanted.
                self.ahead = 0;
                self.bytes.truncate(length);
                done = read(offset, &mut self.bytes);
            }
            if let Err(error) = done {
                self.bytes.clear();
                return Err(error);
            }
            skipped = 0;
        }
        Ok(self
            .bytes
            .get(skipped..skipped + length)
            .unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads parts of a file of 200,000 bytes, and counts how often the file is asked.
    struct Reads {
        file: Vec<u8>,
        cache: ReadCache,
        count: usize,
        /// From here on nothing can be read.
        broken_from: usize,
    }

    impl Reads {
        fn new() -> Self {
            Self {
                file: (0..200_000_u32).map(|at| (at % 251) as u8).collect(),
                cache: ReadCache::default(),
                count: 0,
                broken_from: usize::MAX,
            }
        }

        fn part(&mut self, number: u32, offset: usize, length: usize) -> Result<bool, ()> {
            let place = Place {
                offset: offset as u64,
                length: u32::try_from(length - CHECKSUM_BYTES).unwrap(),
            };
            let end = self.file.len() as u64;
            let found = self.cache.part((number, place), end, |at, out| {
                self.count += 1;
                let at = usize::try_from(at).unwrap();
                out.copy_from_slice(&self.file[at..at + out.len()]);
                if at + out.len() > self.broken_from {
                    Err(())
                } else {
                    Ok(())
                }
            });
            found.map(|(bytes, _)| bytes == &self.file[offset..offset + length])
        }
    }

    #[test]
    fn parts_in_a_row_are_read_together() {
        let mut reads = Reads::new();
        for at in 0..2_000 {
            // Those of two segments in turn, as series by series.
            assert_eq!(reads.part(1, at * 100, 90), Ok(true));
            assert_eq!(reads.part(2, at * 100, 100), Ok(true));
        }
        assert!(reads.count < 30, "{}", reads.count);
    }

    #[test]
    fn parts_here_and_there_are_read_alone() {
        let mut reads = Reads::new();
        let offsets = [150_000, 20_000, 199_990, 0, 60_000, 59_990, 199_900];
        for (count, offset) in offsets.into_iter().enumerate() {
            assert_eq!(reads.part(7, offset, 10), Ok(true), "{offset}");
            assert_eq!(reads.count, count + 1);
        }
        assert_eq!(reads.part(7, 1_000, 150_000), Ok(true), "long ones too");
    }

    #[test]
    fn what_stands_behind_and_cannot_be_read_harms_nothing() {
        let mut reads = Reads::new();
        reads.broken_from = 5_000;
        for at in 0..50 {
            assert_eq!(reads.part(1, at * 100, 90), Ok(true), "{at}");
        }
        assert_eq!(reads.part(1, 5_000, 90), Err(()));
    }

    #[test]
    fn what_failed_is_read_again() {
        let mut reads = Reads::new();
        assert_eq!(reads.part(1, 0, 50), Ok(true));
        reads.broken_from = 0;
        assert_eq!(reads.part(1, 50, 50), Err(()));
        assert_eq!(reads.part(1, 50, 100_000), Err(()));
        reads.broken_from = usize::MAX;
        assert_eq!(reads.part(1, 50, 50), Ok(true));
        assert_eq!(reads.part(1, 50, 100_000), Ok(true));
    }
}

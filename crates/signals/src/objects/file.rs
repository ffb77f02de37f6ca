//! A segment that is an object, as a file that can be read: in blocks that are kept, neighbours with
//! one request, and further ahead the longer somebody reads on.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::Depot;
use crate::bytes::in_memory;
use crate::disk::DiskFile;
use crate::manifest::SegmentEntry;

/// What is asked for is a multiple of this, but at the end of the object.
pub(super) const BLOCK_BYTES: u64 = 256 << 10;
/// Blocks that one request asks for at most.
const BLOCKS_AT_ONCE: u64 = 32;

/// An object for reading.
#[derive(Debug)]
pub(crate) struct FarFile {
    depot: Depot,
    name: String,
    number: u32,
    length: u64,
    /// The last bytes, when they are known.
    tail: Vec<u8>,
    ahead: Mutex<Ahead>,
}

/// How somebody reads.
#[derive(Debug, Default)]
struct Ahead {
    /// The block behind those that were asked for last.
    next: u64,
    /// How many these were.
    blocks: u64,
}

impl FarFile {
    /// The object of a segment; `tail` are its last bytes, or nothing.
    pub(crate) fn new(depot: &Depot, entry: &SegmentEntry, tail: Vec<u8>) -> Self {
        Self {
            depot: depot.clone(),
            name: depot.name(entry),
            number: entry.number,
            length: entry.length,
            tail,
            ahead: Mutex::default(),
        }
    }

    /// The first block that is not asked for together with `first`, when those before `wanted` are.
    fn end(&self, first: u64, wanted: u64) -> u64 {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let blocks = if first == ahead.next && first > 0 {
            ahead.blocks * 2
        } else {
            1
        };
        let blocks = blocks.max(wanted - first).min(BLOCKS_AT_ONCE);
        let cache = self.depot.cache();
        let last = first + blocks;
        let known = (first + 1..last).find(|block| cache.has((self.number, *block)));
        let end = known.unwrap_or(last).min(self.length.div_ceil(BLOCK_BYTES));
        *ahead = Ahead {
            next: end,
            blocks: end - first,
        };
        end
    }

    /// Asks for the blocks from `first` on and before `end`, and keeps them.
    fn fetch(&self, first: u64, end: u64) -> io::Result<Vec<u8>> {
        let offset = first * BLOCK_BYTES;
        let length = in_memory((end * BLOCK_BYTES).min(self.length) - offset);
        let bytes = self.depot.read(&self.name, (offset, length), self.length)?;
        let mut cache = self.depot.cache();
        for (block, bytes) in (first..).zip(bytes.chunks(in_memory(BLOCK_BYTES))) {
            cache.put((self.number, block), bytes);
        }
        Ok(bytes)
    }

    /// Copies into `out`, which begins at `at`, what of `bytes`, which begin at `offset`, belongs there.
    fn copy((offset, bytes): (u64, &[u8]), (at, out): (u64, &mut [u8])) {
        let skipped = in_memory(at.saturating_sub(offset));
        let place = in_memory(offset.saturating_sub(at));
        let from = bytes.get(skipped..).unwrap_or_default();
        let to = out.get_mut(place..).unwrap_or_default();
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from;
        }
    }
}

impl DiskFile for FarFile {
    fn append(&self, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.saturating_add(out.len() as u64);
        if end > self.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let tail = self.length.saturating_sub(self.tail.len() as u64);
        if offset >= tail {
            Self::copy((tail, &self.tail), (offset, out));
            return Ok(());
        }
        let blocks_end = end.div_ceil(BLOCK_BYTES);
        let mut block = offset / BLOCK_BYTES;
        while block < blocks_end {
            let known = self.depot.cache().get((self.number, block));
            if let Some(bytes) = known {
                self.depot.hit();
                Self::copy((block * BLOCK_BYTES, &bytes), (offset, out));
                block += 1;
                continue;
            }
            let next = self.end(block, blocks_end);
            let bytes = self.fetch(block, next)?;
            Self::copy((block * BLOCK_BYTES, &bytes), (offset, out));
            block = next;
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn cut(&self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

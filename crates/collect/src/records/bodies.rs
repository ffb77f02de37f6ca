//! Room for bodies while they are read: who announces much and sends slowly must not fill the memory,
//! nor keep small records out.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Bodies up to this many bytes need no room, as the connections bound them: those of the usual clients
/// are below 9 KiB.
const TINY: usize = 16 << 10;
/// Bodies up to this many bytes are small.
const SMALL: usize = 64 << 10;
/// Bytes of all small bodies that are read at once.
const SMALL_BYTES_MAX: usize = 64 << 20;
/// Bytes of all others.
const LARGE_BYTES_MAX: usize = 64 << 20;

/// The room.
#[derive(Debug)]
pub(crate) struct Bodies {
    small: Semaphore,
    large: Semaphore,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            small: Semaphore::new(SMALL_BYTES_MAX),
            large: Semaphore::new(LARGE_BYTES_MAX),
        }
    }
}

impl Bodies {
    /// Room for a body of at most so many bytes, until the permit is dropped; nothing when there is none.
    pub(crate) fn take(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let needed = if bytes <= TINY { 0 } else { bytes };
        let room = if bytes <= SMALL {
            &self.small
        } else {
            &self.large
        };
        // An announced length may be a lie; what is read of a small body is bounded by it.
        room.try_acquire_many(u32::try_from(needed).ok()?).ok()
    }
}

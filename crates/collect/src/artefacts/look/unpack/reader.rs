//! Bytes that come one behind the other: from another thread, through gzip, and counted.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;
use std::time::{Duration, Instant};

use base::clock;
use bytes::{Buf as _, Bytes};
use flate2::read::MultiGzDecoder;
use tokio::sync::mpsc;

use super::super::error::LookError;

/// Bytes that are passed over at a time.
const SKIPPED_BYTES: usize = 64 << 10;

/// Why reading ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Spent {
    #[error("too many bytes")]
    Bytes(u64),
    #[error("too much time")]
    Time,
    #[error("an object can't be read")]
    Broken,
}

/// Pieces that another task sends.
#[derive(Debug)]
pub(super) struct Pipe {
    receiver: mpsc::Receiver<Result<Bytes, axum::Error>>,
    piece: Bytes,
}

impl Pipe {
    pub(super) fn new(receiver: mpsc::Receiver<Result<Bytes, axum::Error>>) -> Self {
        Self {
            receiver,
            piece: Bytes::new(),
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => {
                    tracing::warn!(%error, "an artefact can't be read");
                    return Err(io::Error::other(Spent::Broken));
                }
            }
        }
        let length = out.len().min(self.piece.len());
        let (out, _) = out.split_at_mut(length);
        self.piece.copy_to_slice(out);
        Ok(length)
    }
}

/// What may still be unpacked; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    limit: u64,
    left: Rc<Cell<u64>>,
    until: Instant,
}

impl Budget {
    pub(super) fn new(bytes: u64, time: Duration) -> Self {
        Self {
            limit: bytes,
            left: Rc::new(Cell::new(bytes)),
            until: clock::now() + time,
        }
    }

    fn pay(&self, bytes: usize) -> Result<(), Spent> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.ok_or(Spent::Bytes(self.limit))?);
        if clock::now() > self.until {
            return Err(Spent::Time);
        }
        Ok(())
    }
}

/// Bytes whose number is paid.
#[derive(Debug)]
pub(super) struct Paid<R> {
    inner: R,
    budget: Budget,
}

impl<R: Read> Read for Paid<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.budget.pay(read).map_err(io::Error::other)?;
        Ok(read)
    }
}

/// What is in bytes of gzip, of all their members.
pub(super) fn unpacked<R: Read>(packed: R, budget: &Budget) -> Unpacked<Paid<MultiGzDecoder<R>>> {
    Unpacked::new(Paid {
        inner: MultiGzDecoder::new(packed),
        budget: budget.clone(),
    })
}

/// Bytes with their place.
#[derive(Debug)]
pub(super) struct Unpacked<R> {
    inner: R,
    at: u64,
    has_ended: bool,
}

impl<R: Read> Unpacked<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            at: 0,
            has_ended: false,
        }
    }

    /// How many bytes were read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Whether there are no more.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Passes over what is before `offset`, or over everything.
    pub(super) fn skip_to(&mut self, offset: u64) -> Result<(), LookError> {
        let mut nowhere = vec![0; SKIPPED_BYTES];
        while self.at < offset && !self.has_ended {
            let length = usize::try_from(offset - self.at).unwrap_or(usize::MAX);
            let length = length.min(nowhere.len());
            let (piece, _) = nowhere.split_at_mut(length);
            self.read(piece).map_err(trouble)?;
        }
        Ok(())
    }

    /// The next bytes, fewer at the end.
    pub(super) fn take_up_to(&mut self, length: usize) -> Result<Vec<u8>, LookError> {
        let (bytes, error) = self.take_what_comes(length);
        error.map_or(Ok(bytes), Err)
    }

    /// The next bytes, as far as they can be read.
    pub(super) fn take_what_comes(&mut self, length: usize) -> (Vec<u8>, Option<LookError>) {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read(rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) => {
                    bytes.truncate(filled);
                    return (bytes, Some(trouble(error)));
                }
            }
        }
        bytes.truncate(filled);
        (bytes, None)
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.has_ended |= read == 0 && !out.is_empty();
        self.at += u64::try_from(read).unwrap_or(0);
        Ok(read)
    }
}

/// What an error of reading means.
fn trouble(error: io::Error) -> LookError {
    let spent = error.get_ref().and_then(|inner| inner.downcast_ref());
    match spent {
        Some(Spent::Bytes(limit)) => LookError::Large(*limit),
        Some(Spent::Time) => LookError::Slow,
        Some(Spent::Broken) => LookError::Broken,
        None => LookError::Gzip(error),
    }
}

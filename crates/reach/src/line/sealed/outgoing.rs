//! Records that go: sealed where the bytes lie, and many of them in one write.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::AsyncWrite;

use super::key::Key;
use super::{DATA, END, HEAD, HEAD_BYTES, RESET, TAIL_BYTES};
use crate::line::stream::BoxDuplex;

/// Pieces of one write: those of a buffer full.
const SLICES_MAX: usize = 96;

pub(super) struct Outgoing {
    key: Key,
    records: VecDeque<Record>,
    /// Bytes of the first record that were sent.
    sent: usize,
    has_ended: bool,
}

struct Record {
    head: [u8; HEAD_BYTES],
    body: BytesMut,
    tail: [u8; TAIL_BYTES],
}

impl Record {
    fn len(&self) -> usize {
        HEAD_BYTES + self.body.len() + TAIL_BYTES
    }
}

impl Outgoing {
    pub(super) fn new(key: Key) -> Self {
        Self {
            key,
            records: VecDeque::new(),
            sent: 0,
            has_ended: false,
        }
    }

    /// Queues bytes, not none and not more than `BODY_BYTES_MAX`.
    ///
    /// # Errors
    /// This direction has ended.
    pub(super) fn seal(&mut self, body: BytesMut) -> io::Result<()> {
        if self.has_ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.queue(body, DATA)
    }

    /// Queues the end of this direction, once.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if !self.has_ended {
            self.has_ended = true;
            self.queue(BytesMut::new(), END)?;
        }
        Ok(())
    }

    /// Queues word that everything broke.
    pub(super) fn reset(&mut self) -> io::Result<()> {
        self.has_ended = true;
        self.queue(BytesMut::new(), RESET)
    }

    fn queue(&mut self, mut body: BytesMut, kind: u8) -> io::Result<()> {
        // At most `BODY_BYTES_MAX` and the tail.
        let length = u16::try_from(body.len() + TAIL_BYTES).map_err(io::Error::other)?;
        let [a, b, c] = HEAD;
        let [high, low] = length.to_be_bytes();
        let head = [a, b, c, high, low];
        let mut tail = [0; TAIL_BYTES];
        self.key.seal(&head, &mut body, kind, &mut tail)?;
        self.records.push_back(Record { head, body, tail });
        Ok(())
    }

    /// Writes what is queued. Ready when all has gone.
    pub(super) fn poll(
        &mut self,
        io: &mut BoxDuplex,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.records.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.fill(&mut slices);
            let slices = slices.get(..count).unwrap_or_default();
            let written = ready!(Pin::new(&mut *io).poll_write_vectored(context, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// The pieces that are next; how many there are.
    fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = self
            .records
            .iter()
            .flat_map(|record| [&record.head[..], &record.body, &record.tail]);
        let mut sent = self.sent;
        let left = pieces.filter_map(|piece| {
            let of_piece = sent.min(piece.len());
            sent -= of_piece;
            piece.get(of_piece..).filter(|rest| !rest.is_empty())
        });
        let mut count = 0;
        for (slot, piece) in slices.iter_mut().zip(left) {
            *slot = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    fn advance(&mut self, written: usize) {
        self.sent += written;
        while let Some(record) = self.records.front()
            && record.len() <= self.sent
        {
            self.sent -= record.len();
            self.records.pop_front();
        }
        if self.records.is_empty() {
            // An idle stream keeps no memory.
            self.records = VecDeque::new();
        }
    }
}

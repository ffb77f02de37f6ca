//! Records that come: read as many at once as there are, and opened where they lie.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use tokio::io::ReadBuf;
use tokio_util::io::poll_read_buf;

use super::key::Key;
use super::{BODY_BYTES_MAX, DATA, END, HEAD, HEAD_BYTES, RESET, TAIL_BYTES, invalid};
use crate::line::copy::Chunk;
use crate::line::limits::BULK_BUFFER;
use crate::line::mux::StreamReset;
use crate::line::stream::BoxDuplex;

/// What is read at once at first: an idle connection carries a few small frames.
const SIZE_MIN: usize = 4 << 10;
/// A record, whole.
const RECORD_BYTES_MAX: usize = HEAD_BYTES + BODY_BYTES_MAX + TAIL_BYTES;
/// Records that are opened before they are passed on: those of a buffer full, if they are not small.
const RECORDS_MAX: usize = 32;

pub(super) struct Incoming {
    key: Key,
    /// What has come, from the beginning of a record.
    buffer: BytesMut,
    /// For the next read: little at first, and much once a read was filled.
    size: usize,
    /// What was opened and not taken.
    opened: Chunk,
    has_ended: bool,
    /// What was wrong, once what came before it has been taken.
    wrong: Option<io::Error>,
    /// What comes after something wrong is not to be trusted: a record may be missing before it.
    is_broken: bool,
}

impl Incoming {
    pub(super) fn new(key: Key) -> Self {
        Self {
            key,
            buffer: BytesMut::new(),
            size: SIZE_MIN,
            opened: Chunk::default(),
            has_ended: false,
            wrong: None,
            is_broken: false,
        }
    }

    /// Ready when something was opened, or the end of this direction.
    ///
    /// # Errors
    /// The connection broke, or the other end sent what it may not; nothing comes after that.
    pub(super) fn poll(
        &mut self,
        io: &mut BoxDuplex,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.opened.is_empty() && !self.has_ended {
            if self.is_broken {
                let wrong = self.wrong.take();
                let wrong = wrong.unwrap_or_else(|| invalid("something wrong before"));
                return Poll::Ready(Err(wrong));
            }
            self.wrong = self.open_all().err();
            self.is_broken = self.wrong.is_some();
            if self.is_broken {
                continue;
            }
            if self.opened.is_empty() && !self.has_ended {
                ready!(self.poll_fill(io, context))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether nothing has come that nobody asked for.
    pub(super) fn is_quiet(&self) -> bool {
        self.buffer.is_empty() && self.opened.is_empty()
    }

    /// Opens what is whole, as far as it is worth one write.
    fn open_all(&mut self) -> io::Result<()> {
        while !self.has_ended && self.opened.count() < RECORDS_MAX && self.open_next()? {}
        Ok(())
    }

    /// Gives all that was opened; nothing at the end.
    pub(super) fn take(&mut self) -> Chunk {
        std::mem::take(&mut self.opened)
    }

    /// Copies some of what was opened.
    pub(super) fn read(&mut self, buffer: &mut ReadBuf<'_>) {
        self.opened.read(buffer);
    }

    fn poll_fill(&mut self, io: &mut BoxDuplex, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.make_room();
        let mut room = (&mut self.buffer).limit(self.size);
        let read = poll_read_buf(Pin::new(io), context, &mut room);
        if read.is_pending() && self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        match ready!(read)? {
            0 => Poll::Ready(Err(cut())),
            length => {
                if length == self.size {
                    self.size = BULK_BUFFER;
                }
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Room for a read behind the beginning of a record: the same memory again, when all that was in it has
    /// been taken.
    fn make_room(&mut self) {
        let capacity = RECORD_BYTES_MAX + self.size;
        if !self.buffer.try_reclaim(capacity - self.buffer.len()) {
            let mut buffer = BytesMut::with_capacity(capacity);
            buffer.extend_from_slice(&self.buffer);
            self.buffer = buffer;
        }
    }

    /// Opens a record; false if the next one is not whole yet.
    fn open_next(&mut self) -> io::Result<bool> {
        let Some(head) = self.buffer.first_chunk::<HEAD_BYTES>() else {
            return Ok(false);
        };
        let [kind, major, minor, high, low] = *head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if [kind, major, minor] != HEAD
            || !(TAIL_BYTES..=BODY_BYTES_MAX + TAIL_BYTES).contains(&length)
        {
            return Err(invalid("something that is no record"));
        }
        if self.buffer.len() < HEAD_BYTES + length {
            return Ok(false);
        }
        let mut record = self.buffer.split_to(HEAD_BYTES + length);
        let head = record.split_to(HEAD_BYTES);
        let body = self.key.open(&head, &mut record)?;
        let (kind, length) = match body.split_last() {
            Some((kind, body)) => (*kind, body.len()),
            None => return Err(invalid("a record without a type")),
        };
        record.truncate(length);
        match kind {
            DATA if !record.is_empty() => self.opened.push(record),
            END if record.is_empty() => {
                self.has_ended = true;
                self.buffer = BytesMut::new();
            }
            RESET if record.is_empty() => {
                return Err(io::Error::new(io::ErrorKind::ConnectionReset, StreamReset));
            }
            DATA => return Err(invalid("an empty record")),
            END | RESET => return Err(invalid("an end with something in it")),
            _ => return Err(invalid("a record of an unknown type")),
        }
        Ok(true)
    }
}

fn cut() -> io::Error {
    let text = "the bulk connection was cut: it ended without an end of the stream";
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

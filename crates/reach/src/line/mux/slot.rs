//! One stream as its lane knows it: what waits to be sent, what has come and was not read.

use std::collections::VecDeque;
use std::io;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use super::wire::{Kind, invalid};
use crate::line::limits::{FRAME_SIZE, SEND_BUFFER, STREAM_WINDOW};

/// Less than this that comes at once is copied, so that it does not keep a whole buffer of the lane.
const SMALL_BYTES: usize = 16 << 10;

/// What goes out after the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// Not known yet.
    None,
    /// The end of this direction.
    End,
    /// The same, and then the end of the stream: nobody has it any more.
    EndThenReset,
    /// The end of the stream.
    Reset,
    /// It has gone out.
    Gone,
}

/// What the agent has said to an open request.
#[derive(Debug)]
pub(super) enum Answer {
    None,
    Opened,
    Refused(Bytes),
}

/// One stream.
#[derive(Debug)]
pub(super) struct Slot {
    /// What waits to be sent, and how much it is.
    queue: VecDeque<Bytes>,
    queued: usize,
    /// What the other end still takes.
    room: u64,
    pub(super) last: Last,
    /// It waits for its turn to send.
    pub(super) waits: bool,
    pub(super) writer: Option<Waker>,
    /// What has come and was not read, and behind it what came in small pieces.
    received: VecDeque<BytesMut>,
    tail: BytesMut,
    /// What the other end may still send.
    window: u32,
    /// What was read since the other end was last told.
    read: u32,
    /// The other end's direction has ended.
    pub(super) has_ended: bool,
    /// The other end has broken the stream.
    pub(super) is_reset: bool,
    pub(super) reader: Option<Waker>,
    pub(super) answer: Answer,
    /// Somebody has it.
    pub(super) is_held: bool,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            queued: 0,
            room: STREAM_WINDOW.into(),
            last: Last::None,
            waits: false,
            writer: None,
            received: VecDeque::new(),
            tail: BytesMut::new(),
            window: STREAM_WINDOW,
            read: 0,
            has_ended: false,
            is_reset: false,
            reader: None,
            answer: Answer::None,
            is_held: true,
        }
    }

    /// How much more may be queued.
    pub(super) fn vacancy(&self) -> usize {
        SEND_BUFFER.saturating_sub(self.queued)
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        self.queued += chunk.len();
        self.queue.push_back(chunk);
    }

    /// Whether there is something that may be sent now.
    pub(super) fn is_ready(&self) -> bool {
        if self.is_reset {
            false
        } else if self.queue.is_empty() {
            !matches!(self.last, Last::None | Last::Gone)
        } else {
            self.room > 0
        }
    }

    /// The next bytes to send, at most `limit`; nothing when the other end takes none or there are none.
    pub(super) fn pop(&mut self, limit: usize) -> Option<Bytes> {
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        let limit = limit.min(room);
        let front = self.queue.front_mut().filter(|_| limit > 0)?;
        let chunk = front.split_to(limit.min(front.len()));
        if front.is_empty() {
            self.queue.pop_front();
        }
        if self.queue.is_empty() {
            // An idle stream keeps no memory.
            self.queue = VecDeque::new();
        }
        self.queued -= chunk.len();
        self.room -= chunk.len() as u64;
        Some(chunk)
    }

    /// What goes out now that the queue is empty, if anything does.
    pub(super) fn finish(&mut self) -> Option<Kind> {
        let (kind, last) = match self.last {
            Last::End => (Kind::End, Last::Gone),
            Last::EndThenReset => (Kind::End, Last::Reset),
            Last::Reset => {
                self.is_reset = true;
                (Kind::Reset, Last::Gone)
            }
            Last::None | Last::Gone => return None,
        };
        self.last = last;
        Some(kind)
    }

    /// The other end, or the lane, has broken the stream: nothing can be sent any more. What has come
    /// can be read.
    pub(super) fn reset(&mut self) {
        self.is_reset = true;
        self.clear_queue();
    }

    /// Forgets what waits to be sent.
    pub(super) fn clear_queue(&mut self) {
        self.queue = VecDeque::new();
        self.queued = 0;
    }

    /// Nobody has it any more. What has come counts as read, and what comes later too: else two ends
    /// that were left by their users would wait for one another with what they have queued.
    pub(super) fn release(&mut self) {
        self.is_held = false;
        let received: usize = self.received.iter().map(BytesMut::len).sum();
        self.read += u32::try_from(received + self.tail.len()).unwrap_or(u32::MAX);
        self.received = VecDeque::new();
        self.tail = BytesMut::new();
        (self.reader, self.writer) = (None, None);
        self.last = match self.last {
            last if self.is_reset => last,
            Last::End if self.has_ended => Last::End,
            Last::End => Last::EndThenReset,
            Last::Gone if self.has_ended => Last::Gone,
            _ => Last::Reset,
        };
    }

    /// The other end takes so much more.
    pub(super) fn widen(&mut self, bytes: u32) {
        self.room = self.room.saturating_add(bytes.into());
    }

    /// Bytes have come.
    ///
    /// # Errors
    /// More than may.
    pub(super) fn receive(&mut self, bytes: BytesMut) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if self.has_ended {
            return Err(invalid("bytes after their end"));
        }
        let window = self.window.checked_sub(length);
        self.window = window.ok_or_else(|| invalid("more than it may"))?;
        if !self.is_held {
            self.read += length;
            return Ok(());
        }
        let is_small = bytes.len() < SMALL_BYTES;
        let fits = is_small && self.tail.len() + bytes.len() <= FRAME_SIZE;
        if !self.tail.is_empty() && !fits {
            self.received.push_back(std::mem::take(&mut self.tail));
        }
        if is_small {
            self.tail.extend_from_slice(&bytes);
        } else {
            self.received.push_back(bytes);
        }
        Ok(())
    }

    pub(super) fn has_received(&self) -> bool {
        !self.received.is_empty() || !self.tail.is_empty()
    }

    /// The next bytes that have come.
    pub(super) fn next(&mut self) -> Option<BytesMut> {
        let chunk = self.received.pop_front().or_else(|| {
            let tail = std::mem::take(&mut self.tail);
            (!tail.is_empty()).then_some(tail)
        })?;
        if self.received.is_empty() {
            self.received = VecDeque::new();
        }
        self.read += u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        Some(chunk)
    }

    /// How much the other end may be allowed to send more, once that is worth a frame.
    pub(super) fn give_back(&mut self) -> Option<u32> {
        if self.read < STREAM_WINDOW / 2 || self.has_ended {
            return None;
        }
        self.window += self.read;
        Some(std::mem::take(&mut self.read))
    }

    /// Whether nothing will come or go any more and nobody looks.
    pub(super) fn is_over(&self) -> bool {
        let is_sent = self.is_reset || self.last == Last::Gone;
        !self.is_held && is_sent
    }
}

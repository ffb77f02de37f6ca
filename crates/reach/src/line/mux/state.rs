//! All streams of a lane, what waits to be sent on it, and what frames of the other end do to them.
//! Nothing here waits or writes; whoever is to be woken is collected, and woken without the lock.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::task::Waker;

use bytes::{Buf, Bytes, BytesMut};

use super::slot::{Answer, Slot};
use super::wire::{HEAD_BYTES, Head, Kind, invalid, put, put_head};
use crate::line::limits::{FRAME_BYTES_MAX, FRAME_SIZE, STREAMS_MAX};

/// Frames other than data that may wait: questions, answers, windows. An end that lets more of them
/// wait does not read.
pub(super) const URGENT_BYTES_MAX: usize = 4 << 20;
/// Data that is not longer than this goes in one write with what else there is.
const GATHERED_BYTES: usize = 4 << 10;
/// No more is gathered after this.
const GATHERED_MAX: usize = 16 << 10;

/// Room for so many streams is kept when there are none.
const IDLE_CAPACITY: usize = 64;

/// What is being written.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) head: BytesMut,
    pub(super) body: Bytes,
}

impl Out {
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }

    /// So many bytes were written.
    pub(super) fn advance(&mut self, written: usize) {
        let of_head = written.min(self.head.len());
        self.head.advance(of_head);
        self.body.advance(written - of_head);
        if self.is_empty() {
            // An idle lane keeps no memory.
            *self = Self::default();
        }
    }
}

/// What has come and was not understood yet.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) buffer: BytesMut,
    /// The stream whose data comes, and how much of the frame has not.
    data: Option<(u32, usize)>,
}

/// What happened that others have to know once nothing is locked.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) wakes: Vec<Waker>,
    /// Streams that the proxy has opened, with what it wants.
    pub(super) opened: Vec<(u32, Bytes)>,
    pub(super) has_pong: bool,
}

/// Which end of a lane this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The proxy's, which opens streams.
    Opens,
    /// The agent's.
    Serves,
}

/// The streams of a lane.
#[derive(Debug)]
pub(super) struct State {
    end: End,
    pub(super) streams: HashMap<u32, Slot>,
    /// Frames that go before data.
    pub(super) urgent: BytesMut,
    /// Streams that may send, in turns.
    turns: VecDeque<u32>,
    last_opened: u32,
    /// The latest ping, the latest pong that came, and the ping that waits for its pong.
    pub(super) pinged: u64,
    pub(super) ponged: u64,
    owed_pong: Option<u64>,
    /// Why the connection is of no more use.
    pub(super) broken: Option<io::Error>,
    has_ended: bool,
}

impl State {
    pub(super) fn new(end: End) -> Self {
        Self {
            end,
            streams: HashMap::new(),
            urgent: BytesMut::new(),
            turns: VecDeque::new(),
            last_opened: 0,
            pinged: 0,
            ponged: 0,
            owed_pong: None,
            broken: None,
            has_ended: false,
        }
    }

    /// Whether there is something to send.
    pub(super) fn has_work(&self) -> bool {
        !self.urgent.is_empty() || !self.turns.is_empty() || self.owed_pong.is_some()
    }

    /// Begins a stream that asks for something; nothing when too much waits already.
    pub(super) fn open(&mut self, request: &[u8]) -> Option<u32> {
        // Those that nobody has any more and that the other end does not let finish count as well.
        let is_full = self.streams.len() >= 2 * STREAMS_MAX;
        if is_full || self.urgent.len() + request.len() > URGENT_BYTES_MAX {
            return None;
        }
        loop {
            self.last_opened = self.last_opened.wrapping_add(1);
            if !self.streams.contains_key(&self.last_opened) {
                break;
            }
        }
        let number = self.last_opened;
        let mut slot = Slot::new();
        if self.has_ended {
            slot.reset();
        }
        self.streams.insert(number, slot);
        put(&mut self.urgent, Kind::Open, number, request);
        Some(number)
    }

    /// Gives a stream its turn if it has something that may be sent.
    pub(super) fn line_up(&mut self, number: u32) {
        if let Some(slot) = self.streams.get_mut(&number)
            && !slot.waits
            && slot.is_ready()
        {
            slot.waits = true;
            self.turns.push_back(number);
        }
    }

    /// Nobody has the stream any more. What is queued is still sent; what is not finished is reset.
    pub(super) fn release(&mut self, number: u32) {
        let Some(slot) = self.streams.get_mut(&number) else {
            return;
        };
        slot.release();
        self.give_back(number);
        self.line_up(number);
        self.remove_if_over(number);
    }

    /// Lets the other end send more, when that is worth a frame. Says whether it was.
    pub(super) fn give_back(&mut self, number: u32) -> bool {
        let bytes = self.streams.get_mut(&number).and_then(Slot::give_back);
        if let Some(bytes) = bytes {
            put(&mut self.urgent, Kind::Window, number, &bytes.to_be_bytes());
        }
        bytes.is_some()
    }

    fn remove_if_over(&mut self, number: u32) {
        if self.streams.get(&number).is_some_and(Slot::is_over) {
            self.streams.remove(&number);
        }
        if self.streams.is_empty() && self.streams.capacity() > IDLE_CAPACITY {
            self.streams = HashMap::new();
            self.turns = VecDeque::new();
        }
    }

    /// The next frames, as many as are worth one write.
    pub(super) fn take_frames(&mut self, out: &mut Out, news: &mut News) {
        if let Some(number) = self.owed_pong.take() {
            put(&mut self.urgent, Kind::Pong, 0, &number.to_be_bytes());
        }
        out.head = std::mem::take(&mut self.urgent);
        while out.head.len() < GATHERED_MAX
            && let Some(number) = self.turns.pop_front()
        {
            let Some(slot) = self.streams.get_mut(&number) else {
                continue;
            };
            slot.waits = false;
            if let Some(chunk) = slot.pop(FRAME_SIZE) {
                news.wakes.extend(slot.writer.take());
                put_head(&mut out.head, Kind::Data, number, chunk.len());
                self.line_up(number);
                if chunk.len() > GATHERED_BYTES {
                    out.body = chunk;
                    return;
                }
                out.head.extend_from_slice(&chunk);
            } else if slot.is_ready()
                && let Some(kind) = slot.finish()
            {
                put_head(&mut out.head, kind, number, 0);
                self.line_up(number);
                self.remove_if_over(number);
            }
        }
    }

    /// Understands what has come, as far as it is whole.
    ///
    /// # Errors
    /// The other end does not keep to the protocol.
    pub(super) fn take_input(&mut self, input: &mut Input, news: &mut News) -> io::Result<()> {
        while !input.buffer.is_empty() {
            if let Some((number, left)) = input.data {
                let chunk = input.buffer.split_to(left.min(input.buffer.len()));
                input.data = (chunk.len() < left).then(|| (number, left - chunk.len()));
                self.receive(number, chunk, news)?;
                continue;
            }
            let Some(head) = Head::read(&input.buffer) else {
                break;
            };
            if head.kind == Some(Kind::Data) {
                input.buffer.advance(HEAD_BYTES);
                input.data = (head.length > 0).then_some((head.stream, head.length));
                continue;
            }
            if head.length > FRAME_BYTES_MAX {
                return Err(invalid("a frame that is too long"));
            }
            if input.buffer.len() < HEAD_BYTES + head.length {
                break;
            }
            input.buffer.advance(HEAD_BYTES);
            let rest = input.buffer.split_to(head.length);
            self.apply(head, &rest, news)?;
        }
        Ok(())
    }

    fn receive(&mut self, number: u32, bytes: BytesMut, news: &mut News) -> io::Result<()> {
        // Of a stream that is gone here already some may be under way.
        if let Some(slot) = self.streams.get_mut(&number) {
            slot.receive(bytes)?;
            news.wakes.extend(slot.reader.take());
            if !slot.is_held {
                self.give_back(number);
            }
        }
        Ok(())
    }

    /// Does what a frame says, unless it is data.
    fn apply(&mut self, head: Head, rest: &[u8], news: &mut News) -> io::Result<()> {
        let Some(kind) = head.kind else {
            return Ok(());
        };
        match kind {
            Kind::Open => return self.open_for_peer(head.stream, rest, news),
            Kind::Ping => {
                self.owed_pong = Some(number_in(rest)?);
                return Ok(());
            }
            Kind::Pong => {
                let number = number_in(rest)?;
                if number > self.pinged {
                    return Err(invalid("an answer to a ping that was not asked"));
                }
                self.ponged = self.ponged.max(number);
                news.has_pong = true;
                return Ok(());
            }
            _ => {}
        }
        let Some(slot) = self.streams.get_mut(&head.stream) else {
            return Ok(());
        };
        match kind {
            Kind::Opened => slot.answer = Answer::Opened,
            Kind::Refused => {
                slot.answer = Answer::Refused(Bytes::copy_from_slice(rest));
                slot.reset();
            }
            Kind::End => slot.has_ended = true,
            Kind::Reset => slot.reset(),
            Kind::Window => {
                let bytes = rest.first_chunk().ok_or_else(|| invalid("half a window"))?;
                slot.widen(u32::from_be_bytes(*bytes));
            }
            Kind::Open | Kind::Data | Kind::Ping | Kind::Pong => {}
        }
        if kind != Kind::Window {
            news.wakes.extend(slot.reader.take());
        }
        if slot.is_reset {
            news.wakes.extend(slot.writer.take());
        }
        self.line_up(head.stream);
        self.remove_if_over(head.stream);
        Ok(())
    }

    fn open_for_peer(&mut self, number: u32, request: &[u8], news: &mut News) -> io::Result<()> {
        if self.end == End::Opens {
            return Err(invalid("a question, which only a proxy asks"));
        }
        if self.streams.contains_key(&number) {
            return Err(invalid("a number that a stream has already"));
        }
        if self.urgent.len() > URGENT_BYTES_MAX {
            return Err(invalid("it asks and does not read the answers"));
        }
        if self.streams.len() >= 2 * STREAMS_MAX {
            put_head(&mut self.urgent, Kind::Reset, number, 0);
            return Ok(());
        }
        self.streams.insert(number, Slot::new());
        news.opened.push((number, Bytes::copy_from_slice(request)));
        Ok(())
    }

    /// The lane is over: everybody has to know.
    pub(super) fn end(&mut self, news: &mut News) {
        self.has_ended = true;
        self.urgent = BytesMut::new();
        self.turns = VecDeque::new();
        for slot in self.streams.values_mut() {
            slot.reset();
            news.wakes.extend(slot.reader.take());
            news.wakes.extend(slot.writer.take());
        }
        self.streams.retain(|_, slot| slot.is_held);
    }
}

fn number_in(rest: &[u8]) -> io::Result<u64> {
    let bytes = rest.first_chunk().ok_or_else(|| invalid("half a ping"))?;
    Ok(u64::from_be_bytes(*bytes))
}

//! One stream, as whoever uses it has it.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::ReadBuf;

use super::Mux;
use super::slot::{Answer, Last, Slot};
use super::state::State;
use super::wire::{Kind, put};
use crate::line::copy::Chunk;
use crate::line::message::{Refusal, RefusalCode};
use crate::line::proxy_end::lock;

/// The other end has broken a stream, or the line is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other end broke the stream")]
pub struct StreamReset;

/// One stream of a lane. Dropping it sends what is queued and resets what is not finished.
pub(crate) struct Stream {
    mux: Arc<Mux>,
    number: u32,
    /// What was taken and not read.
    rest: Chunk,
}

impl Stream {
    pub(super) fn new(mux: Arc<Mux>, number: u32) -> Self {
        let rest = Chunk::default();
        Self { mux, number, rest }
    }

    /// Waits for the answer to the open request: what it asked for is there, or not, and why.
    pub(crate) async fn answered(&mut self) -> io::Result<Result<(), Refusal>> {
        std::future::poll_fn(|context| self.poll_answer(context)).await
    }

    fn poll_answer(&mut self, context: &Context<'_>) -> Poll<io::Result<Result<(), Refusal>>> {
        let mut state = lock(&self.mux.state);
        let slot = state.streams.get_mut(&self.number).ok_or_else(gone)?;
        match &slot.answer {
            Answer::Opened => Poll::Ready(Ok(Ok(()))),
            Answer::Refused(text) => Poll::Ready(Ok(Err(refusal_in(text)))),
            Answer::None if slot.is_reset => Poll::Ready(Err(gone())),
            Answer::None => {
                wait(&mut slot.reader, context);
                Poll::Pending
            }
        }
    }

    /// Whether bytes have come that nobody has taken.
    pub(crate) fn has_received(&self) -> bool {
        let state = lock(&self.mux.state);
        let slot = state.streams.get(&self.number);
        slot.is_some_and(Slot::has_received)
    }

    /// Says that what the open request asks for is there, with the next flush.
    pub(crate) fn accept(&self) {
        let mut state = lock(&self.mux.state);
        put(&mut state.urgent, Kind::Opened, self.number, &[]);
        if let Some(slot) = state.streams.get_mut(&self.number) {
            // Of `broken`: who waits no more is not to be woken when the target's first bytes leave, which
            // would wake a thread of the runtime for nothing.
            slot.writer = None;
        }
    }

    /// Says that it can't be had.
    pub(crate) fn refuse(self, refusal: &Refusal) {
        let text = serde_json::to_vec(refusal).unwrap_or_default();
        let mut state = lock(&self.mux.state);
        put(&mut state.urgent, Kind::Refused, self.number, &text);
        // With the answer the stream is over on both ends.
        if let Some(slot) = state.streams.get_mut(&self.number) {
            slot.reset();
        }
    }

    /// Resolves when the other end has broken the stream, or the lane is over.
    pub(crate) async fn broken(&self) {
        std::future::poll_fn(|context| {
            let mut state = lock(&self.mux.state);
            match state.streams.get_mut(&self.number) {
                Some(slot) if !slot.is_reset => {
                    wait(&mut slot.writer, context);
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        })
        .await;
    }

    /// Puts what has come into `chunk`, a frame and the one behind it at most; nothing at the end.
    pub(crate) fn poll_chunk(
        &mut self,
        context: &Context<'_>,
        chunk: &mut Chunk,
    ) -> Poll<io::Result<()>> {
        if !self.rest.is_empty() {
            *chunk = std::mem::take(&mut self.rest);
            return Poll::Ready(Ok(()));
        }
        let mut state = lock(&self.mux.state);
        let slot = state.streams.get_mut(&self.number).ok_or_else(gone)?;
        if let Some(first) = slot.next() {
            chunk.push(first);
            chunk.push(slot.next().unwrap_or_default());
            let must_tell = state.give_back(self.number);
            drop(state);
            if must_tell {
                self.mux.flush();
            }
            return Poll::Ready(Ok(()));
        }
        if slot.has_ended {
            return Poll::Ready(Ok(()));
        }
        if slot.is_reset {
            return Poll::Ready(Err(gone()));
        }
        wait(&mut slot.reader, context);
        Poll::Pending
    }

    pub(crate) fn poll_read(
        &mut self,
        context: &Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            ready!(self.poll_chunk(context, &mut rest))?;
        }
        rest.read(buffer);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }

    /// Queues some of the bytes, at least one; they leave with the next flush at the latest.
    pub(crate) fn poll_send(
        &mut self,
        context: &Context<'_>,
        chunk: &mut Chunk,
    ) -> Poll<io::Result<()>> {
        let wanted = chunk.first_len();
        let take = |length| chunk.pop(length).unwrap_or_default().freeze();
        self.poll_queue(context, wanted, take).map_ok(drop)
    }

    /// The same with bytes that stay where they are. Says how many were queued; they have left, if the
    /// connection takes them.
    pub(crate) fn poll_write(
        &mut self,
        context: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let copy = |length| Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default());
        let length = ready!(self.poll_queue(context, bytes.len(), copy))?;
        self.mux.flush();
        Poll::Ready(Ok(length))
    }

    fn poll_queue(
        &self,
        context: &Context<'_>,
        wanted: usize,
        take: impl FnOnce(usize) -> Bytes,
    ) -> Poll<io::Result<usize>> {
        // A connection that is kept and used again, as HTTP clients do, would else wait for the next
        // regular ping to learn that nobody is there.
        self.mux.health.probe.notify_one();
        let mut state = lock(&self.mux.state);
        let slot = state.streams.get_mut(&self.number).ok_or_else(gone)?;
        if slot.is_reset || slot.last != Last::None {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let length = wanted.min(slot.vacancy());
        if length == 0 {
            wait(&mut slot.writer, context);
            return Poll::Pending;
        }
        slot.push(take(length));
        let is_full = slot.vacancy() == 0;
        state.line_up(self.number);
        drop(state);
        if is_full {
            self.mux.flush();
        }
        Poll::Ready(Ok(length))
    }

    /// Sends what is queued, as far as the connection and the other end take it; the lane's task sends
    /// the rest.
    pub(crate) fn flush(&self) {
        self.mux.flush();
    }

    /// No more bytes in this direction.
    pub(crate) fn finish(&mut self) {
        self.close(|state, number| {
            if let Some(slot) = state.streams.get_mut(&number)
                && slot.last == Last::None
            {
                slot.last = Last::End;
            }
        });
    }

    /// Breaks it at once and drops what is queued.
    pub(crate) fn abort(&mut self) {
        self.close(|state, number| {
            if let Some(slot) = state.streams.get_mut(&number) {
                slot.clear_queue();
                slot.last = Last::Reset;
            }
        });
    }

    fn close(&self, how: impl FnOnce(&mut State, u32)) {
        let mut state = lock(&self.mux.state);
        how(&mut state, self.number);
        state.line_up(self.number);
        drop(state);
        self.mux.flush();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = lock(&self.mux.state);
        state.release(self.number);
        let has_work = state.has_work();
        drop(state);
        if has_work {
            self.mux.flush();
        }
    }
}

/// The same task asks again and again: its waker is cloned once.
fn wait(waker: &mut Option<Waker>, context: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(context.waker()),
        None => *waker = Some(context.waker().clone()),
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, StreamReset)
}

/// The refusal in an answer.
fn refusal_in(text: &[u8]) -> Refusal {
    match serde_json::from_slice::<Refusal>(text) {
        Ok(refusal) => Refusal::new(refusal.code, refusal.text),
        Err(_) => Refusal::new(RefusalCode::Unavailable, "refused without a reason"),
    }
}

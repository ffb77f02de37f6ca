//! The framing of the interactive lane: many streams over one connection.
//!
//! There is no queue between a stream and the connection: whoever has something to send writes it
//! there and then, with whatever else waits, unless somebody is writing already, who then takes it
//! along. The lane's task reads, and writes what the connection did not take at once. A stream that
//! nobody reads fills its window and stops; no other stream notices.
//! docs/decisions/020-interactive-lane.md says why it is our own.

mod slot;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tokio::sync::Notify;
use tokio_util::io::poll_read_buf;

pub(crate) use self::state::End;
use self::state::{Input, News, Out, State};
pub(crate) use self::stream::Stream;
pub use self::stream::StreamReset;
use super::health::Health;
use super::proxy_end::lock;
use super::stream::BoxDuplex;

/// What is read before the streams get their share.
const READ_BYTES: usize = 64 << 10;
/// Less room than this in the buffer is not worth another read.
const ROOM_MIN: usize = 4 << 10;
/// What a stream writes for all of them before the lane's task takes over.
const WRITE_BYTES: usize = 512 << 10;

/// A connection with many streams.
pub(crate) struct Mux {
    state: Mutex<State>,
    /// The connection; nothing once the lane is over.
    wire: Mutex<Option<Wire>>,
    /// The lane's task, when it found the connection in use.
    kept_waiting: Mutex<Option<Waker>>,
    health: Arc<Health>,
    /// A pong has come.
    pong: Notify,
}

impl std::fmt::Debug for Mux {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mux").finish_non_exhaustive()
    }
}

/// The connection and what is half done on it.
struct Wire {
    io: BoxDuplex,
    input: Input,
    out: Out,
    needs_flush: bool,
    /// The lane's task: it goes on when the connection takes more.
    driver: Waker,
}

/// Ends a lane when whoever drives it is gone.
pub(crate) struct EndGuard(Arc<Mux>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Mux {
    /// `end` says who opens streams here.
    pub(crate) fn new(io: BoxDuplex, end: End, health: Arc<Health>) -> Arc<Self> {
        let wire = Wire {
            io,
            input: Input::default(),
            out: Out::default(),
            needs_flush: false,
            driver: Waker::noop().clone(),
        };
        Arc::new(Self {
            state: Mutex::new(State::new(end)),
            wire: Mutex::new(Some(wire)),
            kept_waiting: Mutex::default(),
            health,
            pong: Notify::new(),
        })
    }

    /// How the lane is doing.
    pub(crate) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Begins a stream that asks for something. The question leaves with the next flush. Nothing when
    /// too many questions wait already.
    pub(crate) fn open(self: &Arc<Self>, request: &[u8]) -> Option<Stream> {
        let number = lock(&self.state).open(request)?;
        Some(Stream::new(Arc::clone(self), number))
    }

    /// Reads, and writes what is left over, until the connection is of no more use; says why. `opened`
    /// gets the streams that the other end opens, with what it wants; it must not wait.
    pub(crate) async fn drive(
        self: &Arc<Self>,
        mut opened: impl FnMut(Stream, Bytes),
    ) -> io::Error {
        loop {
            let round = poll_fn(|context| self.poll(context, &mut opened)).await;
            if let Err(error) = round {
                return error;
            }
            // The streams have their turn before more is read.
            tokio::task::yield_now().await;
        }
    }

    /// Ends the lane when it is dropped.
    pub(crate) fn guard(self: &Arc<Self>) -> EndGuard {
        EndGuard(Arc::clone(self))
    }

    /// Asks the other end for a sign of life and waits for it.
    pub(crate) async fn ping(&self) {
        let number = {
            let mut state = lock(&self.state);
            state.pinged += 1;
            let number = state.pinged;
            wire::put(
                &mut state.urgent,
                wire::Kind::Ping,
                0,
                &number.to_be_bytes(),
            );
            number
        };
        self.flush();
        while lock(&self.state).ponged < number {
            self.pong.notified().await;
        }
    }

    /// Writes what waits, as far as the connection takes it. When somebody is writing already that one
    /// goes on with it.
    pub(crate) fn flush(&self) {
        loop {
            let Some(mut guard) = try_lock(&self.wire) else {
                return;
            };
            let Some(wire) = guard.as_mut() else {
                return;
            };
            let mut news = News::default();
            let written = self.write(wire, &mut news);
            if let Poll::Ready(Err(error)) = written {
                lock(&self.state).broken.get_or_insert(error);
                news.wakes.push(wire.driver.clone());
                drop(guard);
                return self.spread(news);
            }
            drop(guard);
            self.spread(news);
            // What was queued since by somebody who found the connection in use.
            if written.is_pending() || !lock(&self.state).has_work() {
                return;
            }
        }
    }

    /// Wakes whom something has happened to, and the lane's task if it waits for the connection.
    fn spread(&self, news: News) {
        news.wakes.into_iter().for_each(Waker::wake);
        if news.has_pong {
            self.pong.notify_one();
        }
        let kept_waiting = lock(&self.kept_waiting).take();
        kept_waiting.into_iter().for_each(Waker::wake);
    }

    /// Pending means that the lane's task will go on.
    fn write(&self, wire: &mut Wire, news: &mut News) -> Poll<io::Result<()>> {
        let driver = wire.driver.clone();
        let context = &mut Context::from_waker(&driver);
        let mut written = 0;
        loop {
            if wire.out.is_empty() {
                lock(&self.state).take_frames(&mut wire.out, news);
            }
            if wire.out.is_empty() {
                if wire.needs_flush {
                    ready!(Pin::new(&mut wire.io).poll_flush(context))?;
                    wire.needs_flush = false;
                }
                return Poll::Ready(Ok(()));
            }
            if written > WRITE_BYTES {
                driver.wake_by_ref();
                return Poll::Pending;
            }
            let slices = [IoSlice::new(&wire.out.head), IoSlice::new(&wire.out.body)];
            let length = ready!(Pin::new(&mut wire.io).poll_write_vectored(context, &slices))?;
            if length == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            wire.out.advance(length);
            wire.needs_flush = true;
            written += length;
        }
    }

    /// One round of the lane's task. Ready when there may be more to read.
    fn poll(
        self: &Arc<Self>,
        context: &mut Context<'_>,
        opened: &mut impl FnMut(Stream, Bytes),
    ) -> Poll<io::Result<()>> {
        let Some(mut guard) = self.claim(context) else {
            return Poll::Pending;
        };
        let Some(wire) = guard.as_mut() else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        wire.driver.clone_from(context.waker());
        let mut news = News::default();
        let read = wire.read(context, &self.health);
        let mut outcome = {
            let mut state = lock(&self.state);
            let understood = state.take_input(&mut wire.input, &mut news);
            state.broken.take().map_or(understood, Err)
        };
        if read.is_pending() && wire.input.buffer.is_empty() {
            // An idle lane keeps no memory.
            wire.input.buffer = BytesMut::new();
        }
        let mut written = Poll::Pending;
        if outcome.is_ok() {
            written = self.write(wire, &mut news);
        }
        if let Poll::Ready(Err(error)) = written {
            outcome = Err(error);
            written = Poll::Pending;
        }
        drop(guard);
        let asked = std::mem::take(&mut news.opened);
        self.spread(news);
        for (number, request) in asked {
            opened(Stream::new(Arc::clone(self), number), request);
        }
        if outcome.is_err() {
            return Poll::Ready(outcome);
        }
        if written.is_ready() && lock(&self.state).has_work() {
            self.flush();
        }
        read
    }

    /// The connection, for the lane's task; if it is in use the task is woken when it is not any more.
    fn claim(&self, context: &Context<'_>) -> Option<MutexGuard<'_, Option<Wire>>> {
        try_lock(&self.wire).or_else(|| {
            *lock(&self.kept_waiting) = Some(context.waker().clone());
            try_lock(&self.wire)
        })
    }

    /// The lane is over: says goodbye if the connection takes it, and breaks the streams.
    fn end(&self) {
        let wire = lock(&self.wire).take();
        let mut news = News::default();
        lock(&self.state).end(&mut news);
        self.spread(news);
        if let Some(mut wire) = wire {
            let context = &mut Context::from_waker(Waker::noop());
            // Nobody waits for a connection that does not take it.
            drop(Pin::new(&mut wire.io).poll_shutdown(context));
        }
    }
}

impl Wire {
    /// Reads what has come, at most a buffer full. Ready when there may be more.
    fn read(&mut self, context: &mut Context<'_>, health: &Health) -> Poll<io::Result<()>> {
        let buffer = &mut self.input.buffer;
        buffer.reserve(READ_BYTES);
        let had = buffer.len();
        let enough = had + READ_BYTES - ROOM_MIN;
        let polled = loop {
            match poll_read_buf(Pin::new(&mut self.io), context, buffer) {
                Poll::Ready(Ok(0)) => {
                    break Poll::Ready(Err(io::Error::other("the other end closed the lane")));
                }
                Poll::Ready(Ok(_)) if buffer.len() >= enough => break Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        if buffer.len() > had {
            health.hear();
        }
        polled
    }
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

//! A stream of a line: bytes both ways, each direction closed on its own, whatever carries it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

pub use base::duplex::{BoxDuplex, Duplex};

use super::Lane;
use super::copy::{End, Plain};
use super::framing::Health;
use super::limits::{BULK_BUFFER, SEND_BUFFER};

/// One tunnelled connection. Shutting down the writing side closes that direction only; dropping
/// the stream resets what is not finished.
pub struct LineStream {
    inner: Inner,
    lane: Lane,
    _counted: Counted,
}

enum Inner {
    Framed(Framed),
    Connection(Connection),
}

impl fmt::Debug for LineStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineStream")
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

impl LineStream {
    pub(crate) fn framed(
        send: SendStream<Bytes>,
        receive: RecvStream,
        lane: Lane,
        counted: Counted,
    ) -> Self {
        let framed = Framed {
            send,
            receive,
            chunk: Bytes::new(),
            is_shut: false,
            health: None,
        };
        Self {
            inner: Inner::Framed(framed),
            lane,
            _counted: counted,
        }
    }

    /// Has each write make the lane prove that it lives. A connection that is kept and used again,
    /// as HTTP clients do, would else wait for the next regular ping to learn that nobody is there.
    pub(crate) fn watched(mut self, health: &Arc<Health>) -> Self {
        if let Inner::Framed(framed) = &mut self.inner {
            framed.health = Some(Arc::clone(health));
        }
        self
    }

    /// A connection of its own, which still ends with its line.
    pub(crate) fn connection(io: BoxDuplex, line_end: CancellationToken, counted: Counted) -> Self {
        let line_end = Box::pin(line_end.cancelled_owned());
        let io = Plain::new(io, BULK_BUFFER);
        Self {
            inner: Inner::Connection(Connection { io, line_end }),
            lane: Lane::Bulk,
            _counted: counted,
        }
    }

    /// The lane it travels on, which need not be the one asked for: bulk falls back to interactive.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// Breaks it at once and drops what is queued, so that the other end learns that something
    /// failed. Merely dropping the stream sends first what is queued.
    pub fn abort(mut self) {
        if let Inner::Framed(framed) = &mut self.inner {
            framed.send.send_reset(Reason::CANCEL);
        }
    }
}

impl AsyncRead for LineStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Framed(framed) => framed.poll_read(context, buffer),
            Inner::Connection(connection) => connection.poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Inner::Framed(framed) => framed.poll_write(context, bytes),
            Inner::Connection(connection) => {
                Pin::new(&mut connection.io.io).poll_write(context, bytes)
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            // The connection's task writes what was handed to it.
            Inner::Framed(_) => Poll::Ready(Ok(())),
            Inner::Connection(connection) => connection.io.poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Framed(framed) => Poll::Ready(framed.shut()),
            Inner::Connection(connection) => connection.io.poll_end(context),
        }
    }
}

impl End for LineStream {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        match &mut self.inner {
            Inner::Framed(framed) => framed.poll_chunk(context),
            Inner::Connection(connection) => {
                if connection.line_end.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                connection.io.poll_chunk(context)
            }
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>, chunk: &mut Bytes) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Framed(framed) => {
                let length = ready!(framed.poll_capacity(context, chunk.len()))?;
                framed
                    .send
                    .send_data(chunk.split_to(length), false)
                    .map_err(broken)?;
                Poll::Ready(Ok(()))
            }
            Inner::Connection(connection) => connection.io.poll_send(context, chunk),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(self), context)
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(self), context)
    }
}

/// A stream that has a connection to itself.
struct Connection {
    io: Plain<BoxDuplex>,
    line_end: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.line_end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.io.io).poll_read(context, buffer)
    }
}

/// A stream of h2.
struct Framed {
    send: SendStream<Bytes>,
    receive: RecvStream,
    /// What was received and not read.
    chunk: Bytes,
    is_shut: bool,
    /// Of its lane.
    health: Option<Arc<Health>>,
}

impl Framed {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.chunk.is_empty() {
            self.chunk = ready!(self.poll_next(context))?;
        }
        let length = self.chunk.len().min(buffer.remaining());
        buffer.put_slice(self.chunk.get(..length).unwrap_or_default());
        self.chunk.advance(length);
        // Only what was read opens the window again, so a reader that stalls stalls its writer.
        self.receive
            .flow_control()
            .release_capacity(length)
            .map_err(broken)?;
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let length = ready!(self.poll_capacity(context, bytes.len()))?;
        let chunk = Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default());
        self.send.send_data(chunk, false).map_err(broken)?;
        Poll::Ready(Ok(length))
    }

    /// The next chunk; empty at the end. Its window is not given back yet.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        loop {
            match ready!(self.receive.poll_data(context)) {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => return Poll::Ready(Ok(chunk)),
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Ok(Bytes::new())),
            }
        }
    }

    /// The next chunk, taken over with its window.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let chunk = if self.chunk.is_empty() {
            ready!(self.poll_next(context))?
        } else {
            std::mem::take(&mut self.chunk)
        };
        self.receive
            .flow_control()
            .release_capacity(chunk.len())
            .map_err(broken)?;
        Poll::Ready(Ok(chunk))
    }

    /// How many of `wanted` bytes can be sent now, at least one.
    fn poll_capacity(
        &mut self,
        context: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<io::Result<usize>> {
        if self.is_shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if let Some(health) = &self.health {
            health.probe.notify_one();
        }
        self.send.reserve_capacity(wanted.min(SEND_BUFFER));
        while self.send.capacity() == 0 {
            match ready!(self.send.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(self.reset(context))),
            }
        }
        Poll::Ready(Ok(wanted.min(self.send.capacity())))
    }

    /// Why nothing can be written any more.
    fn reset(&mut self, context: &mut Context<'_>) -> io::Error {
        match self.send.poll_reset(context) {
            Poll::Ready(Err(error)) => broken(error),
            Poll::Ready(Ok(_)) | Poll::Pending => io::ErrorKind::BrokenPipe.into(),
        }
    }

    fn shut(&mut self) -> io::Result<()> {
        if self.is_shut {
            return Ok(());
        }
        self.is_shut = true;
        match self.send.send_data(Bytes::new(), true) {
            // The other end has reset the stream: there is nothing to close.
            Err(error) if error.is_reset() => Ok(()),
            outcome => outcome.map_err(broken),
        }
    }
}

/// The line's error as a socket would tell it.
fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
    }
    let kind = if error.is_reset() || error.is_go_away() {
        io::ErrorKind::ConnectionReset
    } else {
        io::ErrorKind::BrokenPipe
    };
    io::Error::new(kind, error)
}

/// One of a number of things, until dropped.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }

    /// One more, unless there are `limit` already.
    pub(crate) fn within(count: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let add = |now: usize| (now < limit).then_some(now + 1);
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .ok()
            .map(|_| Self(Arc::clone(count)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

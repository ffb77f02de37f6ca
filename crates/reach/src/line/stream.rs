//! A stream of a line: bytes both ways, each direction closed on its own, whatever carries it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

pub use base::duplex::{BoxDuplex, Duplex};

use super::Lane;
use super::copy::{Chunk, End};
use super::health::Health;
use super::mux::Stream;
use super::sealed::Sealed;

/// One tunnelled connection. Shutting down the writing side closes that direction only; dropping
/// the stream resets what is not finished.
pub struct LineStream {
    inner: Inner,
    lane: Lane,
    _counted: (Counted, Option<Counted>),
}

enum Inner {
    Framed(Stream),
    Connection(Box<Connection>),
}

impl fmt::Debug for LineStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineStream")
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

impl LineStream {
    pub(crate) fn framed(stream: Stream, counted: Counted) -> Self {
        Self {
            inner: Inner::Framed(stream),
            lane: Lane::Interactive,
            _counted: (counted, None),
        }
    }

    /// A connection of its own, which still ends with its line.
    /// At the proxy it counts twice: for its line, and for all.
    pub(crate) fn connection(
        io: Sealed,
        (line_end, health): (CancellationToken, Arc<Health>),
        counted: (Counted, Option<Counted>),
    ) -> Self {
        let connection = Connection {
            io,
            line_end: Box::pin(line_end.cancelled_owned()),
            health,
        };
        Self {
            inner: Inner::Connection(Box::new(connection)),
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
        match &mut self.inner {
            Inner::Framed(stream) => stream.abort(),
            // The end of a line is told on the line: this would blame the target.
            Inner::Connection(connection) => {
                let mut context = Context::from_waker(Waker::noop());
                if connection.check(&mut context).is_ok() {
                    connection.io.reset();
                }
            }
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
            Inner::Framed(stream) => stream.poll_read(context, buffer),
            Inner::Connection(connection) => {
                connection.check(context)?;
                let polled = Pin::new(&mut connection.io).poll_read(context, buffer);
                connection.heard(polled)
            }
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
            Inner::Framed(stream) => stream.poll_write(context, bytes),
            Inner::Connection(connection) => {
                connection.check(context)?;
                Pin::new(&mut connection.io).poll_write(context, bytes)
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Framed(stream) => {
                // What the connection does not take at once the lane's task writes.
                stream.flush();
                Poll::Ready(Ok(()))
            }
            Inner::Connection(connection) => {
                connection.check(context)?;
                End::poll_flush(&mut connection.io, context)
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Framed(stream) => {
                stream.finish();
                Poll::Ready(Ok(()))
            }
            Inner::Connection(connection) => {
                connection.check(context)?;
                connection.io.poll_end(context)
            }
        }
    }
}

impl End for LineStream {
    fn poll_chunk(&mut self, context: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Framed(stream) => stream.poll_chunk(context, chunk),
            Inner::Connection(connection) => {
                connection.check(context)?;
                let polled = connection.io.poll_chunk(context, chunk);
                connection.heard(polled)
            }
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Framed(stream) => stream.poll_send(context, chunk),
            Inner::Connection(connection) => {
                connection.check(context)?;
                connection.io.poll_send(context, chunk)
            }
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
    io: Sealed,
    line_end: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Of the line, which is not silent while bytes come here.
    health: Arc<Health>,
}

impl Connection {
    /// Fails when the line has ended: each direction looks, since the other may be over.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.line_end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Notes when bytes have come.
    fn heard(&self, polled: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.health.hear();
        }
        polled
    }
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

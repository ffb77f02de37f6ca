//! Copies between a stream of a line and a connection, each direction to its own end. Bytes of the
//! framing are passed on as they came, without another copy; buffers exist only while there is
//! something in them, so that an idle connection costs next to nothing.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::Lane;
use super::limits::{BULK_BUFFER, COPY_BUFFER};
use super::stream::LineStream;

/// Less room than this in a buffer is not worth another read.
const ROOM_MIN: usize = 4 << 10;

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Bytes from the line to the connection.
    pub from_line: u64,
    /// Bytes from the connection to the line.
    pub to_line: u64,
}

/// Copies both ways until both directions have ended. The end of one direction is passed on and
/// leaves the other one open; an error breaks both.
///
/// # Errors
/// Either side broke; the stream is reset, so that the other end learns of it.
pub async fn copy<T>(mut line: LineStream, connection: T) -> io::Result<Copied>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let buffer = match line.lane() {
        Lane::Control | Lane::Interactive => COPY_BUFFER,
        Lane::Bulk => BULK_BUFFER,
    };
    let mut connection = Plain::new(connection, buffer);
    let (mut down, mut up) = (Direction::default(), Direction::default());
    let copied = poll_fn(|context| {
        let down_is_done = down.poll(&mut line, &mut connection, context)?.is_ready();
        let up_is_done = up.poll(&mut connection, &mut line, context)?.is_ready();
        if down_is_done && up_is_done {
            return Poll::Ready(Ok(Copied {
                from_line: down.bytes,
                to_line: up.bytes,
            }));
        }
        Poll::Pending
    })
    .await;
    if copied.is_err() {
        line.abort();
    }
    copied
}

/// One end of a copy.
pub(crate) trait End {
    /// The next bytes, at most a buffer full; none at the end.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>>;
    /// What is there already behind the bytes that were given last; none when that is not known.
    fn more(&mut self) -> Bytes {
        Bytes::new()
    }
    /// Takes some of the bytes, at least one.
    fn poll_send(&mut self, context: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>>;
    /// Sends what it took.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Passes on the end.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Bytes under way: those of one frame end and those of the next one begin in the same reading, and are
/// worth one write.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) first: Bytes,
    second: Bytes,
}

impl Chunk {
    /// So many bytes were taken.
    pub(crate) fn advance(&mut self, taken: usize) {
        let of_first = taken.min(self.first.len());
        self.first.advance(of_first);
        self.second.advance(taken - of_first);
        if self.first.is_empty() {
            // Its memory can be used again.
            self.first = std::mem::take(&mut self.second);
        }
        if self.first.is_empty() {
            self.first = Bytes::new();
        }
    }

    fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }
}

/// A connection as an end.
pub(crate) struct Plain<T> {
    pub(crate) io: T,
    buffer: BytesMut,
    size: usize,
}

impl<T> Plain<T> {
    /// Reads up to `size` bytes before it gives them on.
    pub(crate) fn new(io: T, size: usize) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            size,
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> End for Plain<T> {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let Self { io, buffer, size } = self;
        // The same memory again, when all that was in it has been sent.
        buffer.reserve(*size);
        // TLS gives a record at a time: several of them are worth one write.
        while buffer.capacity() - buffer.len() >= ROOM_MIN {
            match poll_read_buf(Pin::new(&mut *io), context, buffer) {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) if buffer.is_empty() => return Poll::Ready(Err(error)),
                Poll::Pending if buffer.is_empty() => {
                    *buffer = BytesMut::new();
                    return Poll::Pending;
                }
                // Comes again with the next read.
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(buffer.split().freeze()))
    }

    fn poll_send(&mut self, context: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        let io = Pin::new(&mut self.io);
        let written = if chunk.second.is_empty() {
            ready!(io.poll_write(context, &chunk.first))?
        } else {
            let slices = [IoSlice::new(&chunk.first), IoSlice::new(&chunk.second)];
            ready!(io.poll_write_vectored(context, &slices))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        chunk.advance(written);
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    chunk: Chunk,
    bytes: u64,
    has_ended: bool,
    needs_flush: bool,
    is_done: bool,
}

impl Direction {
    /// Ready when the end was passed on.
    fn poll(
        &mut self,
        from: &mut impl End,
        to: &mut impl End,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_done {
            if !self.chunk.is_empty() {
                ready!(to.poll_send(context, &mut self.chunk))?;
                self.needs_flush = true;
            } else if self.has_ended {
                ready!(to.poll_end(context))?;
                self.is_done = true;
            } else {
                match from.poll_chunk(context)? {
                    Poll::Ready(first) => {
                        let second = from.more();
                        self.take(Chunk { first, second });
                    }
                    Poll::Pending => {
                        if self.needs_flush {
                            ready!(to.poll_flush(context))?;
                            self.needs_flush = false;
                        }
                        return Poll::Pending;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, chunk: Chunk) {
        self.has_ended = chunk.is_empty();
        self.bytes += chunk.len() as u64;
        self.chunk = chunk;
    }
}

//! Copies between a stream of a line and a connection, each direction to its own end. Bytes of the
//! framing are passed on as they came, without another copy; buffers exist only while there is
//! something in them, so that an idle connection costs next to nothing.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::Lane;
use super::limits::{BULK_BUFFER, COPY_BUFFER};
use super::stream::LineStream;

/// Less room than this in a buffer is not worth another read.
const ROOM_MIN: usize = 4 << 10;
/// What one direction may copy before it gives way.
const TURN_BYTES: u64 = 4 << 20;
/// Pieces of one write: the records of a buffer full.
const SLICES_MAX: usize = 36;

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
    /// Puts what comes next into `chunk`, which is empty; at the end it leaves it so.
    fn poll_chunk(&mut self, context: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>>;
    /// Takes some of the bytes, at least one.
    fn poll_send(&mut self, context: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>>;
    /// Sends what it took.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Passes on the end.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Bytes under way, in the pieces in which they came: those of several frames or records are worth one
/// write. None of the pieces is empty.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pieces: VecDeque<BytesMut>,
}

impl Chunk {
    /// Adds a piece at the end.
    pub(crate) fn push(&mut self, piece: BytesMut) {
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }

    /// Takes at most so many bytes of the first piece.
    pub(crate) fn pop(&mut self, length: usize) -> Option<BytesMut> {
        let first = self.pieces.front_mut()?;
        if first.len() > length {
            return Some(first.split_to(length));
        }
        let first = self.pieces.pop_front();
        self.release();
        first
    }

    /// The length of the first piece; nothing if there is none.
    pub(crate) fn first_len(&self) -> usize {
        self.pieces.front().map_or(0, BytesMut::len)
    }

    /// Copies bytes out of the first pieces, as many as there is room for.
    pub(crate) fn read(&mut self, buffer: &mut ReadBuf<'_>) {
        while let Some(first) = self.pieces.front().filter(|_| buffer.remaining() > 0) {
            let length = first.len().min(buffer.remaining());
            buffer.put_slice(first.get(..length).unwrap_or_default());
            self.advance(length);
        }
    }

    /// So many bytes were taken.
    fn advance(&mut self, mut taken: usize) {
        while let Some(first) = self.pieces.front_mut() {
            if first.len() > taken {
                first.advance(taken);
                return;
            }
            taken -= first.len();
            // Its memory can be used again.
            self.pieces.pop_front();
        }
        self.release();
    }

    /// An idle stream keeps no memory.
    fn release(&mut self) {
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
    }

    /// How many pieces there are.
    pub(crate) fn count(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there are no bytes in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    fn len(&self) -> usize {
        self.pieces.iter().map(BytesMut::len).sum()
    }
}

/// A connection as an end.
pub(crate) struct Plain<T> {
    io: T,
    buffer: BytesMut,
    size: usize,
    /// What went wrong behind bytes that had to be passed on first: the system says it once.
    error: Option<io::Error>,
}

impl<T> Plain<T> {
    /// Reads up to `size` bytes before it gives them on.
    pub(crate) fn new(io: T, size: usize) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            size,
            error: None,
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> End for Plain<T> {
    fn poll_chunk(&mut self, context: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        let Self {
            io,
            buffer,
            size,
            error,
        } = self;
        if let Some(error) = error.take() {
            return Poll::Ready(Err(error));
        }
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
                Poll::Ready(Err(broke)) => {
                    *error = Some(broke);
                    break;
                }
                // Comes again with the next read.
                Poll::Pending => break,
            }
        }
        chunk.push(buffer.split());
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, context: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        let io = Pin::new(&mut self.io);
        let written = match chunk.pieces.front() {
            Some(only) if chunk.pieces.len() == 1 => ready!(io.poll_write(context, only))?,
            _ => {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let mut count = 0;
                for (slot, piece) in slices.iter_mut().zip(&chunk.pieces) {
                    *slot = IoSlice::new(piece);
                    count += 1;
                }
                let slices = slices.get(..count).unwrap_or_default();
                ready!(io.poll_write_vectored(context, slices))?
            }
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
        let enough = self.bytes + TURN_BYTES;
        while !self.is_done {
            if self.bytes >= enough {
                // Others on this thread have waited for some milliseconds.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !self.chunk.is_empty() {
                ready!(to.poll_send(context, &mut self.chunk))?;
                self.needs_flush = true;
            } else if self.has_ended {
                ready!(to.poll_end(context))?;
                self.is_done = true;
            } else {
                match from.poll_chunk(context, &mut self.chunk)? {
                    Poll::Ready(()) => {
                        self.has_ended = self.chunk.is_empty();
                        self.bytes += self.chunk.len() as u64;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says something, breaks, and has ended from then on, as a socket does: its error is told once.
    #[derive(Default)]
    struct Breaking(u8);

    impl AsyncRead for Breaking {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.0 += 1;
            match self.0 {
                1 => buffer.put_slice(b"said before"),
                2 => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                _ => {}
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Breaking {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// A connection that breaks right behind its bytes is not taken for one that ends there.
    #[tokio::test]
    async fn a_break_behind_bytes_is_no_end() {
        let mut end = Plain::new(Breaking::default(), COPY_BUFFER);
        let mut chunk = Chunk::default();
        let next = poll_fn(|context| end.poll_chunk(context, &mut chunk));
        next.await.unwrap();
        assert_eq!(chunk.pop(64).unwrap(), &b"said before"[..]);
        let next = poll_fn(|context| end.poll_chunk(context, &mut chunk));
        let error = next.await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

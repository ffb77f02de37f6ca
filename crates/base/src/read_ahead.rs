//! Reads ahead of TLS: rustls asks the socket for 4 KiB at a time, which would be a system call for
//! each. The buffer exists only while there is something in it, and is as large as what came lately: an
//! idle connection costs nothing, and thousands that begin at once leave no large holes in the heap.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// What is read at once from a connection that has much to say.
const SIZE: usize = 64 << 10;
/// What is read at once from one that has little: a handshake, a ping.
const SIZE_MIN: usize = 4 << 10;
/// How quickly it grows when reads fill it, and shrinks when they don't.
const STEP: usize = 4;

/// A connection that is read in large pieces.
#[derive(Debug)]
pub struct ReadAhead<S> {
    io: S,
    buffer: BytesMut,
    /// For the next read.
    size: usize,
}

impl<S> ReadAhead<S> {
    /// Reads up to 64 KiB at a time.
    pub fn new(io: S) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            size: SIZE_MIN,
        }
    }

    /// Whether everything that was read has been taken.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// What is read, without what was read ahead.
    pub fn into_inner(self) -> S {
        self.io
    }

    /// What is read.
    pub fn get_ref(&self) -> &S {
        &self.io
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        wanted: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.buffer.is_empty() {
            // Takes the same memory again while much keeps coming.
            this.buffer.reserve(this.size);
            let mut room = (&mut this.buffer).limit(this.size);
            let polled = poll_read_buf(Pin::new(&mut this.io), context, &mut room);
            if this.buffer.is_empty() {
                this.buffer = BytesMut::new();
                return polled.map_ok(drop);
            }
            if this.buffer.len() == this.size {
                this.size = (this.size * STEP).min(SIZE);
            } else if this.buffer.len() < this.size / STEP {
                this.size = (this.size / STEP).max(SIZE_MIN);
            }
        }
        let length = this.buffer.len().min(wanted.remaining());
        wanted.put_slice(this.buffer.get(..length).unwrap_or_default());
        this.buffer.advance(length);
        if this.buffer.is_empty() && this.size < SIZE {
            this.buffer = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Every byte comes, in order, whatever the sizes of writes and reads; nothing is kept at the end.
    #[tokio::test]
    async fn bytes_come_as_they_were_written() {
        let (mut near, far) = tokio::io::duplex(300 << 10);
        let mut ahead = ReadAhead::new(far);
        let bytes: Vec<u8> = (0..2_000_000_u32)
            .map(|number| (number % 251) as u8)
            .collect();
        let sending = async {
            for (turn, chunk) in bytes.chunks(70_001).enumerate() {
                near.write_all(chunk).await.unwrap();
                if turn % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            near.write_all(b"!").await.unwrap();
        };
        let receiving = async {
            let mut got = vec![0; bytes.len()];
            let mut filled = 0;
            while filled < got.len() {
                let end = got.len().min(filled + 5_000);
                filled += ahead.read(&mut got[filled..end]).await.unwrap();
            }
            assert!(ahead.size > SIZE_MIN);
            assert_eq!(ahead.read_u8().await.unwrap(), b'!');
            got
        };
        let ((), got) = tokio::join!(sending, receiving);
        assert!(got == bytes);
        for _ in 0..4 {
            near.write_all(b"x").await.unwrap();
            assert_eq!(ahead.read_u8().await.unwrap(), b'x');
        }
        assert_eq!((ahead.size, ahead.buffer.capacity()), (SIZE_MIN, 0));
        drop(near);
        assert_eq!(ahead.read(&mut [0; 8]).await.unwrap(), 0);
    }
}

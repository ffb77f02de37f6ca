//! Reads ahead of TLS: rustls asks the socket for 4 KiB at a time, which would be a system call for
//! each. The buffer exists only while something comes, so that an idle connection costs nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// What is read at once unless more is asked for.
const SIZE: usize = 64 << 10;

/// A connection that is read in large pieces.
#[derive(Debug)]
pub struct ReadAhead<S> {
    io: S,
    buffer: BytesMut,
    size: usize,
}

impl<S> ReadAhead<S> {
    /// Reads 64 KiB at a time.
    pub fn new(io: S) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            size: SIZE,
        }
    }

    /// Reads `size` bytes at a time from now on.
    pub fn set_size(&mut self, size: usize) {
        self.size = size;
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
            // Takes the same memory again while bytes keep coming.
            this.buffer.reserve(this.size);
            let polled = poll_read_buf(Pin::new(&mut this.io), context, &mut this.buffer);
            if this.buffer.is_empty() {
                this.buffer = BytesMut::new();
                return polled.map_ok(drop);
            }
        }
        let length = this.buffer.len().min(wanted.remaining());
        wanted.put_slice(this.buffer.get(..length).unwrap_or_default());
        this.buffer.advance(length);
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

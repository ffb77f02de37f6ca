//! Reads ahead of TLS: rustls asks the socket for 4 KiB at a time, which would be a system call for
//! each. The buffer exists only while there is something in it, so that an idle connection costs
//! nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::limits::COPY_BUFFER;

/// A connection that is read in large pieces.
#[derive(Debug)]
pub(crate) struct ReadAhead<S> {
    io: S,
    buffer: BytesMut,
}

impl<S> ReadAhead<S> {
    pub(crate) fn new(io: S) -> Self {
        let buffer = BytesMut::new();
        Self { io, buffer }
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
            let mut fresh = BytesMut::with_capacity(COPY_BUFFER);
            ready!(poll_read_buf(Pin::new(&mut this.io), context, &mut fresh))?;
            this.buffer = fresh;
        }
        let length = this.buffer.len().min(wanted.remaining());
        wanted.put_slice(this.buffer.get(..length).unwrap_or_default());
        this.buffer.advance(length);
        if this.buffer.is_empty() {
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

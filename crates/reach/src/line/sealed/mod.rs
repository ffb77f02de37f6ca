//! What a bulk connection carries after the hello: records in the form of TLS 1.3 (RFC 8446, 5.2), under
//! keys that the exporter of its TLS session gives. rustls copies each byte three times on its way in and
//! once on its way out; here it is sealed and opened where it lies. Both ends leave TLS after the answer to
//! the hello, when neither has anything under way. See docs/decisions/021-bulk-records.md.

mod incoming;
mod key;
mod outgoing;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use base::read_ahead::ReadAhead;
use bytes::BytesMut;
use rustls::{ConnectionCommon, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::incoming::Incoming;
use self::key::Key;
use self::outgoing::Outgoing;
use super::copy::{Chunk, End};
use super::limits::BULK_BUFFER;
use super::stream::{BoxDuplex, Duplex};

/// What a record carries at most; middleboxes know these limits.
const BODY_BYTES_MAX: usize = 16 << 10;
/// The type of the record, the version of TLS, and the length of the rest.
const HEAD_BYTES: usize = 5;
/// The type of what is inside, and the tag.
const TAIL_BYTES: usize = 17;
/// What every record looks like from outside: application data of TLS 1.2.
const HEAD: [u8; 3] = [23, 3, 3];
/// Bytes of the stream.
const DATA: u8 = 23;
/// The end of this direction; an alert in TLS.
const END: u8 = 21;
/// The end of everything: what is at the sender's other side broke.
const RESET: u8 = 22;

/// Which end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Agent,
    Proxy,
}

/// A connection that has left TLS.
pub(crate) struct Sealed {
    io: BoxDuplex,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl Sealed {
    /// Goes on after TLS: `io` and `session` are those of one connection, on which nothing has come behind
    /// the hello or its answer. The session is used up, since it would give the same keys again.
    ///
    /// # Errors
    /// Something has come (what came in part the session may have taken: then the first record fails), or
    /// the session is not of TLS 1.3.
    pub(crate) fn new<S, D>(
        io: ReadAhead<S>,
        session: impl Deref<Target = ConnectionCommon<D>>,
        side: Side,
    ) -> io::Result<Self>
    where
        S: Duplex + 'static,
    {
        let other = match side {
            Side::Agent => Side::Proxy,
            Side::Proxy => Side::Agent,
        };
        if !io.is_empty() || !session.wants_read() {
            return Err(invalid("something behind its hello or its answer"));
        }
        if session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return Err(invalid("a handshake that is not of TLS 1.3"));
        }
        let (receive, send) = (
            Key::of_session(&*session, other)?,
            Key::of_session(&*session, side)?,
        );
        Ok(Self::with_keys(Box::new(io.into_inner()), receive, send))
    }

    /// Tells the other end that the stream broke, if the connection takes that at once.
    pub(crate) fn reset(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        if self.outgoing.reset().is_ok() {
            // The connection is dropped next: what it does not take now is lost, and the end says less.
            let _sent = self.outgoing.poll(&mut self.io, &mut context);
            let _sent = Pin::new(&mut self.io).poll_flush(&mut context);
        }
    }

    /// Whether nothing has come that nobody has read.
    pub(crate) fn is_quiet(&self) -> bool {
        self.incoming.is_quiet()
    }

    fn with_keys(io: BoxDuplex, receive: Key, send: Key) -> Self {
        Self {
            io,
            incoming: Incoming::new(receive),
            outgoing: Outgoing::new(send),
        }
    }
}

impl End for Sealed {
    fn poll_chunk(&mut self, context: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        ready!(self.incoming.poll(&mut self.io, context))?;
        *chunk = self.incoming.take();
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, context: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        ready!(self.outgoing.poll(&mut self.io, context))?;
        while let Some(piece) = chunk.pop(BODY_BYTES_MAX) {
            self.outgoing.seal(piece)?;
        }
        // What is not taken now goes with the next call.
        match self.outgoing.poll(&mut self.io, context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.outgoing.poll(&mut self.io, context))?;
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.end()?;
        ready!(self.outgoing.poll(&mut self.io, context))?;
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl AsyncRead for Sealed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.incoming.poll(&mut this.io, context))?;
        this.incoming.read(buffer);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Sealed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.outgoing.poll(&mut this.io, context))?;
        let bytes = bytes.get(..BULK_BUFFER).unwrap_or(bytes);
        for piece in bytes.chunks(BODY_BYTES_MAX) {
            this.outgoing.seal(BytesMut::from(piece))?;
        }
        // What is not taken now goes with the next call.
        let sent = this.outgoing.poll(&mut this.io, context);
        if let Poll::Ready(Err(error)) = sent {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        End::poll_flush(&mut *self, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(context)
    }
}

/// The other end does not keep to the protocol, or somebody on the way interferes.
fn invalid(what: &str) -> io::Error {
    let text = format!("the other end of the bulk connection sent what it may not: {what}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

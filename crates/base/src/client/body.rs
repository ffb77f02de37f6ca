//! The body of an answer. Reading it drives the connection, which goes back to the pool at its end.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use super::connection::Connection;
use super::pool::{Origin, Pool};

/// The body of an answer. Dropped before its end it closes the connection, unless the rest is here
/// already.
pub struct Body {
    /// Nothing once the body is read.
    held: Option<Held>,
}

struct Held {
    incoming: Incoming,
    connection: Box<Connection>,
    origin: Origin,
    pool: Arc<Pool>,
}

impl Body {
    pub(super) fn new(
        incoming: Incoming,
        connection: Box<Connection>,
        origin: Origin,
        pool: Arc<Pool>,
    ) -> Self {
        Self {
            held: Some(Held {
                incoming,
                connection,
                origin,
                pool,
            }),
        }
    }

    /// Gives the connection back when it can be used again.
    fn release(&mut self, context: &mut Context<'_>) {
        let Some(held) = self.held.take() else {
            return;
        };
        let Held {
            incoming,
            mut connection,
            origin,
            pool,
        } = held;
        drop(incoming);
        if connection.is_free(context) {
            pool.keep(origin, connection);
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.release(&mut Context::from_waker(Waker::noop()));
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(held) = &mut self.held else {
            return Poll::Ready(None);
        };
        let frame = held.connection.poll_frame(&mut held.incoming, context);
        let is_over = match &frame {
            Poll::Pending => false,
            Poll::Ready(Some(Ok(_))) => held.incoming.is_end_stream(),
            Poll::Ready(Some(Err(_)) | None) => true,
        };
        if is_over {
            self.release(context);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.held
            .as_ref()
            .is_none_or(|held| held.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.as_ref();
        held.map_or(SizeHint::with_exact(0), |held| held.incoming.size_hint())
    }
}

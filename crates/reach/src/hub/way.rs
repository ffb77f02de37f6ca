//! The way to what nodes offer, for clients that know URLs.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use base::client::{Dial, Dialing};
use base::duplex::BoxDuplex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};

use super::metrics::Way;
use super::nodes::{METRICS_HOST, Nodes};
use crate::line::{Line, LineStream, OpenRequest, StreamReset, Target, TargetKind, copy};

/// The buffer of each direction over another proxy.
const COPY_BUFFER: usize = 64 << 10;

/// The way to what one node offers.
#[derive(Debug)]
struct WayTo {
    nodes: Arc<Nodes>,
    node: String,
}

/// Gives clients the way to nodes.
#[derive(Debug)]
pub struct Ways(pub Arc<Nodes>);

impl base::client::Nodes for Ways {
    fn way_to(&self, node: &str) -> Arc<dyn Dial> {
        Arc::new(WayTo {
            nodes: Arc::clone(&self.0),
            node: node.to_owned(),
        })
    }
}

impl Dial for WayTo {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialing<'a> {
        let (kind, name) = if host == METRICS_HOST {
            (TargetKind::Metrics, String::new())
        } else {
            (TargetKind::Address, format!("{host}:{port}"))
        };
        let target = Target {
            kind,
            name,
            node: None,
        };
        let request = OpenRequest {
            target,
            client: None,
            user: None,
        };
        Box::pin(async move { self.nodes.dial(&self.node, &request).await })
    }

    fn keeps(&self, since: Instant) -> bool {
        self.nodes.keeps(&self.node, since)
    }
}

/// A connection to something on a node.
pub(super) enum Reached {
    /// Over a line of ours.
    Line(Explained),
    /// Over another proxy, which has this name.
    Peer(BoxDuplex, String),
}

/// What a connection broke with when its line, or the proxy that has the line, is to blame: what is at
/// its other end may be well, and another line may lead there.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct LineBroke(pub(super) String);

impl Reached {
    /// Over what it goes.
    pub(super) fn way(&self) -> Way {
        match self {
            Self::Line(_) => Way::Line,
            Self::Peer(..) => Way::Proxy,
        }
    }

    /// Copies both ways between it and a client until both directions have ended.
    pub(super) async fn join<T>(self, mut client: T) -> io::Result<()>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        match self {
            Self::Line(explained) => copy(explained.stream, client).await.map(drop),
            Self::Peer(mut stream, _) => {
                let both = copy_bidirectional_with_sizes(
                    &mut client,
                    &mut stream,
                    COPY_BUFFER,
                    COPY_BUFFER,
                );
                both.await.map(drop)
            }
        }
    }

    fn explain<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| match self {
            Self::Line(_) => error,
            Self::Peer(_, name) => {
                let text = format!("the way over proxy {name} broke: {error}");
                io::Error::new(error.kind(), LineBroke(text))
            }
        })
    }
}

impl AsyncRead for Reached {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = match &mut *self {
            Self::Line(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Peer(stream, _) => Pin::new(stream).poll_read(context, buffer),
        };
        polled.map(|outcome| self.explain(outcome))
    }
}

impl AsyncWrite for Reached {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = match &mut *self {
            Self::Line(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Peer(stream, _) => Pin::new(stream).poll_write(context, bytes),
        };
        polled.map(|outcome| self.explain(outcome))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = match &mut *self {
            Self::Line(stream) => Pin::new(stream).poll_flush(context),
            Self::Peer(stream, _) => Pin::new(stream).poll_flush(context),
        };
        polled.map(|outcome| self.explain(outcome))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = match &mut *self {
            Self::Line(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Peer(stream, _) => Pin::new(stream).poll_shutdown(context),
        };
        polled.map(|outcome| self.explain(outcome))
    }
}

/// A stream whose errors say why its line has ended. Without it a connection that a client has kept
/// breaks with the words of a broken pipe, and the cause stands in the log only.
pub(super) struct Explained {
    stream: LineStream,
    line: Line,
}

impl Explained {
    pub(super) fn new(stream: LineStream, line: Line) -> Self {
        Self { stream, line }
    }

    fn explain<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| {
            let peer = self.line.peer();
            let why = match self.line.end_reason() {
                Some(reason) => format!("ended: {reason}"),
                // What the other end has reset says nothing about the line.
                None if is_reset(&error) => return error,
                None => format!("broke: {error}"),
            };
            let text = format!(
                "the line to {} {} {why}; check that machine's power and network",
                peer.role, peer.name
            );
            io::Error::new(error.kind(), LineBroke(text))
        })
    }
}

/// Whether the other end has reset the stream.
fn is_reset(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let is_reset = inner == Some(&StreamReset);
    is_reset || error.kind() == io::ErrorKind::BrokenPipe
}

impl AsyncRead for Explained {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        polled.map(|outcome| self.explain(outcome))
    }
}

impl AsyncWrite for Explained {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        polled.map(|outcome| self.explain(outcome))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        polled.map(|outcome| self.explain(outcome))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        polled.map(|outcome| self.explain(outcome))
    }
}

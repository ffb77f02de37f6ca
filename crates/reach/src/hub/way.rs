//! The way to what nodes offer, for clients that know URLs.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base::client::{Dial, Dialing};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::nodes::{METRICS_HOST, Nodes};
use crate::line::{Line, LineStream, OpenRequest, Target, TargetKind};

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
                None => format!("broke: {error}"),
            };
            let text = format!(
                "the line to {} {} {why}; check that machine's power and network",
                peer.role, peer.name
            );
            io::Error::new(error.kind(), text)
        })
    }
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

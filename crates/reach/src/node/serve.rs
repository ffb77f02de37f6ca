//! What a node does when a proxy wants something opened: only what its configuration offers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::http::{Peer, serve_connection};
use tokio::net::TcpStream;

use super::Node;
use crate::line::{Handler, OpenRequest, Refusal, RefusalCode, Served, TargetKind};
use crate::offers::OFFERS;

/// The longest wait for a local connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// The answer to what proxies ask for.
pub(super) fn handler(node: &Arc<Node>) -> Handler {
    let node = Arc::clone(node);
    crate::line::handler(move |request| {
        let node = Arc::clone(&node);
        async move { node.open(&request).await }
    })
}

impl Node {
    async fn open(self: Arc<Self>, request: &OpenRequest) -> Result<Served, Refusal> {
        let target = &request.target;
        match target.kind {
            TargetKind::Control if target.name == OFFERS => Ok(self.tell_offers()),
            TargetKind::Control => Err(not_found("this node does not know that request")),
            TargetKind::Metrics => Ok(self.serve_metrics()),
            TargetKind::App => {
                let app = self
                    .parts
                    .config
                    .apps
                    .iter()
                    .find(|app| app.name == target.name);
                let app = app.ok_or_else(|| {
                    not_found(format!(
                        "this node has no application `{}`: see `node.apps` there",
                        target.name
                    ))
                })?;
                connect(&app.at.host_and_port()).await
            }
            TargetKind::Address => {
                let is_offered = self.parts.metrics.addresses.contains(&target.name)
                    || self
                        .parts
                        .config
                        .apps
                        .iter()
                        .any(|app| app.at.host_and_port() == target.name);
                if !is_offered {
                    let text = format!(
                        "this node lets nobody reach {}: add it to `node.metrics` or `node.apps` there",
                        target.name
                    );
                    return Err(Refusal::new(RefusalCode::Forbidden, text));
                }
                connect(&target.name).await
            }
        }
    }

    fn tell_offers(&self) -> Served {
        let offers = self.offers();
        Served::Taken(Box::new(move |stream| {
            Box::pin(async move {
                if let Err(error) = offers.tell(stream).await {
                    tracing::debug!(%error, "a proxy did not hear what is offered");
                }
            })
        }))
    }

    /// The proxy has proved by its certificate that it is one: to our own server it is this machine.
    fn serve_metrics(&self) -> Served {
        let router = self.parts.metrics.router.clone();
        let peer = Peer {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            is_tls: true,
        };
        let scope = self.scope();
        Served::Taken(Box::new(move |stream| {
            Box::pin(async move {
                if let Some(scope) = scope {
                    serve_connection(stream, router, peer, scope).await;
                }
            })
        }))
    }
}

async fn connect(address: &str) -> Result<Served, Refusal> {
    let connected = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
    let unavailable = |reason: String| {
        Refusal::new(
            RefusalCode::Unavailable,
            format!("{address} can't be reached from the node: {reason}"),
        )
    };
    let stream = connected
        .map_err(|_| unavailable(format!("no answer within {} s", CONNECT_LIMIT.as_secs())))?
        .map_err(|error| unavailable(error.to_string()))?;
    stream
        .set_nodelay(true)
        .map_err(|error| unavailable(error.to_string()))?;
    Ok(Served::Connection(Box::new(stream)))
}

fn not_found(text: impl Into<String>) -> Refusal {
    Refusal::new(RefusalCode::NotFound, text)
}

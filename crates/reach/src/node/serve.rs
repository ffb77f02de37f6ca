//! What a node does when a proxy wants something opened: only what its configuration offers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::dial::Fresh;
use base::http::{Peer, serve_connection};
use base::tls::ClientTls;
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Url;

use super::{Node, proxy_header};
use crate::config::{AppAddress, AppConfig};
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
                connect_app(app, request).await
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

/// A connection to an application, ready for what the client says.
async fn connect_app(app: &AppConfig, request: &OpenRequest) -> Result<Served, Refusal> {
    let address = app.at.host_and_port();
    let opening = async {
        let stream = dial(&address).await?;
        let server = stream.peer_addr().ok();
        let mut stream = Fresh::dialled(stream);
        let unavailable = |reason: String| unavailable(&address, &reason);
        if let Some(version) = app.proxy_protocol {
            let header = proxy_header::encode(version, request.client, server);
            let written = stream.write_all(&header).await;
            written.map_err(|error| unavailable(error.to_string()))?;
        }
        match &app.at {
            AppAddress::Url(url) if url.scheme() == "https" => {
                let stream = encrypt(stream, url, &app.tls).await;
                Ok(Served::Connection(Box::new(stream.map_err(unavailable)?)))
            }
            AppAddress::Url(_) | AppAddress::Tcp(_) => Ok(Served::Connection(Box::new(stream))),
        }
    };
    let opened = tokio::time::timeout(CONNECT_LIMIT, opening).await;
    opened.unwrap_or_else(|_| Err(unavailable(&address, &no_answer())))
}

async fn encrypt(stream: Fresh, url: &Url, tls: &ClientTls) -> Result<TlsStream<Fresh>, String> {
    let config = tls.build().map_err(|error| format!("tls: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    let name = tls.server_name.as_deref().unwrap_or(host);
    // The URL keeps the brackets of an IPv6 address; certificates have none.
    let name = name
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let name = ServerName::try_from(name).map_err(|error| format!("tls: {error}"))?;
    let connected = TlsConnector::from(config).connect(name, stream).await;
    connected.map_err(|error| format!("tls: {error}"))
}

async fn connect(address: &str) -> Result<Served, Refusal> {
    let stream = Fresh::dialled(dial(address).await?);
    Ok(Served::Connection(Box::new(stream)))
}

async fn dial(address: &str) -> Result<TcpStream, Refusal> {
    let unavailable = |reason: String| unavailable(address, &reason);
    let connected = tokio::time::timeout(CONNECT_LIMIT, base::dial::dial(address)).await;
    let stream = connected
        .map_err(|_| unavailable(no_answer()))?
        .map_err(|error| unavailable(error.to_string()))?;
    stream
        .set_nodelay(true)
        .map_err(|error| unavailable(error.to_string()))?;
    Ok(stream)
}

fn unavailable(address: &str, reason: &str) -> Refusal {
    Refusal::new(
        RefusalCode::Unavailable,
        format!("{address} can't be reached from the node: {reason}; does it run there?"),
    )
}

fn no_answer() -> String {
    format!("no answer within {} s", CONNECT_LIMIT.as_secs())
}

fn not_found(text: impl Into<String>) -> Refusal {
    Refusal::new(RefusalCode::NotFound, text)
}

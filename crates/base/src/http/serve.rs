//! The accept loop: bounded connections, TLS by the first byte, and a drain that no client notices.
//!
//! While a replacement takes over, this process accepts no more but serves the connections that it
//! has. Each answer then carries `Connection: close`, so a client learns to dial anew before its
//! next request; idle connections stay open for `DRAIN_IDLE`, because closing one at once could
//! cut off a request that is already on its way.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, HOST, LOCATION};
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;
use tower::Service;

use super::{Peer, text_response};
use crate::error::Class;
use crate::read_ahead::ReadAhead;
use crate::supervise::{BoxError, ExitKind, Scope};
use crate::work::WorkTracker;

/// How long an idle connection is kept after its listener went to a replacement: longer than the
/// usual scrape interval, so that its owner meets `Connection: close` on an answer first.
const DRAIN_IDLE: Duration = Duration::from_secs(90);
/// The same at a fast exit: long enough for a request that is on its way already, since another process may
/// go on with the listener, and nobody waits for it otherwise.
const FAST_IDLE: Duration = Duration::from_millis(100);
/// The longest TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for the head of a request, idle time included.
const HEAD_TIMEOUT: Duration = Duration::from_mins(2);
/// The largest head of a request: more than the longest URL that is looked at (64 KiB), so that
/// one that is too long is answered and not cut off.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// Header lines of a request.
const HEADERS_MAX: usize = 100;
/// The pause after a failed accept (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// When the kernel asks a silent client whether it is there, how often, and when it gives up: after
/// two minutes in all.
const KEEPALIVE_AFTER: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 4;
/// The first byte of a TLS handshake record (RFC 8446 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// What a listener allows.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Plain HTTP only from loopback; others are sent to https.
    pub plain_for_loopback_only: bool,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 8_192,
            plain_for_loopback_only: false,
        }
    }
}

/// A TLS connection after its handshake.
pub type TlsStream = tokio_rustls::server::TlsStream<ReadAhead<TcpStream>>;

/// Serves a connection until it ends.
type TakeOver = dyn Fn(TlsStream, Peer, Scope) -> Serving + Send + Sync;

/// Hears of a client that failed the handshake of a protocol.
pub type Refused = dyn Fn(Peer, &rustls::Error) -> Serving + Send + Sync;

/// A connection that is being served.
pub type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A protocol beside HTTP on the same port: the client names it in its TLS handshake (ALPN).
#[derive(Clone)]
pub struct Protocol {
    /// Its name in the handshake.
    pub name: &'static [u8],
    /// The handshake with those who name it, which has to offer it too.
    pub tls: Arc<ServerConfig>,
    /// Serves such a connection until it ends. It has to end soon when the scope stops.
    pub take_over: Arc<TakeOver>,
    /// Told when such a client's certificate was refused, it showed none, or it speaks no TLS that this
    /// protocol takes.
    pub refused: Arc<Refused>,
}

impl fmt::Debug for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = String::from_utf8_lossy(self.name);
        formatter.debug_tuple("Protocol").field(&name).finish()
    }
}

/// A bound listener with its routes.
#[derive(Debug)]
pub struct Server {
    /// The bound socket, non-blocking.
    pub listener: std::net::TcpListener,
    /// What it serves.
    pub router: Router,
    /// Certificates; without them it speaks plain HTTP only.
    pub tls: Option<Arc<ServerConfig>>,
    /// What else is spoken on TLS connections.
    pub protocols: Vec<Protocol>,
    /// Bounds.
    pub limits: ServerLimits,
}

/// What a connection's task needs of the server.
#[derive(Clone)]
struct Shared {
    router: Router,
    tls: Option<Arc<ServerConfig>>,
    protocols: Arc<[Protocol]>,
    limits: ServerLimits,
    scope: Scope,
}

impl Server {
    /// Serves until the scope stops and the last connection has ended.
    ///
    /// # Errors
    /// The listener can't be used.
    pub async fn run(self, scope: Scope) -> Result<(), BoxError> {
        let listener = TcpListener::from_std(self.listener)?;
        let shared = Shared {
            router: self.router,
            tls: self.tls,
            protocols: self.protocols.into(),
            limits: self.limits,
            scope: scope.clone(),
        };
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let tracker = WorkTracker::new();
        let mut stopping = pin!(scope.stopping());
        loop {
            let slot = tokio::select! {
                () = &mut stopping => break,
                slot = Arc::clone(&slots).acquire_owned() => slot?,
            };
            let (stream, address) = tokio::select! {
                () = &mut stopping => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let Some(work) = tracker.begin() else { break };
            let shared = shared.clone();
            scope.spawn("connection", async move {
                serve_stream(stream, address, shared).await;
                drop((work, slot));
            });
        }
        // Closes our copy only: a replacement holds its own and goes on accepting.
        drop(listener);
        tracker.drain();
        tracker.idle().await;
        Ok(())
    }
}

/// Serves HTTP on a connection that someone else has accepted, such as a stream of a line, until it
/// ends. When the scope stops it is treated as [`Server::run`] treats its own.
pub async fn serve_connection<S>(stream: S, router: Router, peer: Peer, scope: Scope)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = Shared {
        router,
        tls: None,
        protocols: Arc::new([]),
        limits: ServerLimits::default(),
        scope,
    };
    serve_http(stream, peer, shared).await;
}

async fn serve_stream(stream: TcpStream, address: SocketAddr, shared: Shared) {
    if let Err(error) = prepare(&stream) {
        tracing::debug!(%error, "socket options");
    }
    let plain = Peer {
        address,
        is_tls: false,
    };
    let Some(tls) = shared.tls.clone() else {
        return serve_http(stream, plain, shared).await;
    };
    let mut first = [0u8; 1];
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, stream.peek(&mut first)).await {
        Ok(Ok(1)) if first == [TLS_HANDSHAKE] => {}
        Ok(Ok(1)) => return serve_http(stream, plain, shared).await,
        _ => return,
    }
    let peer = Peer {
        address,
        is_tls: true,
    };
    let handshake = shake_hands(stream, peer, tls, &shared);
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake);
    match handshake.await {
        Ok(Ok((stream, None))) => Box::pin(serve_http(stream, peer, shared)).await,
        Ok(Ok((stream, Some(protocol)))) => {
            (protocol.take_over)(stream, peer, shared.scope).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, peer = %address, "tls handshake failed"),
        Err(_) => tracing::debug!(peer = %address, "tls handshake timed out"),
    }
}

/// Small writes go out at once; a client that vanished is noticed even when nothing is sent, because a
/// connection that changed its protocol may be silent for hours.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// The handshake that fits what the client names in its hello, and the protocol if it is not HTTP.
async fn shake_hands(
    stream: TcpStream,
    peer: Peer,
    tls: Arc<ServerConfig>,
    shared: &Shared,
) -> io::Result<(TlsStream, Option<Protocol>)> {
    let stream = ReadAhead::new(stream);
    let begun = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let is_named = |protocol: &&Protocol| {
        let hello = begun.client_hello();
        let named = hello.alpn();
        named.is_some_and(|mut names| names.any(|name| name == protocol.name))
    };
    let protocol = shared.protocols.iter().find(is_named).cloned();
    let tls = protocol.as_ref().map_or(tls, |one| Arc::clone(&one.tls));
    let error = match begun.into_stream(tls).await {
        Ok(stream) => return Ok((stream, protocol)),
        Err(error) => error,
    };
    if let (Some(protocol), Some(refused)) = (protocol, refused_client(&error)) {
        (protocol.refused)(peer, refused).await;
    }
    Err(error)
}

/// The error of a handshake, when it is about who the client is, or about what it can't speak.
pub fn refused_client(error: &io::Error) -> Option<&rustls::Error> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let is_about_client = matches!(
        error,
        rustls::Error::InvalidCertificate(_)
            | rustls::Error::NoCertificatesPresented
            | rustls::Error::PeerIncompatible(_)
    );
    is_about_client.then_some(error)
}

async fn serve_http<S>(stream: S, peer: Peer, shared: Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let scope = shared.scope.clone();
    let is_closed_to_plain =
        shared.limits.plain_for_loopback_only && !peer.is_tls && !peer.is_loopback();
    let has_tls = shared.tls.is_some();
    let service = service_fn(|request: Request<Incoming>| {
        let router = shared.router.clone();
        let scope = shared.scope.clone();
        async move {
            let mut response = if is_closed_to_plain {
                refuse_plain(&request, has_tls)
            } else {
                answer(router, request, peer).await
            };
            // A connection that changes its protocol has no next request to send elsewhere.
            if scope.is_stopping() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = scope.stopping() => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        let patience = if scope.supervisor().exit_kind() == ExitKind::Graceful {
            DRAIN_IDLE
        } else {
            FAST_IDLE
        };
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = finish(patience, &scope) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, peer = %peer.address, "connection ended early");
    }
}

/// Waits until idle connections may be closed.
async fn finish(patience: Duration, scope: &Scope) {
    tokio::select! {
        () = tokio::time::sleep(patience) => {}
        () = scope.closing() => {}
    }
}

async fn answer(mut router: Router, request: Request<Incoming>, peer: Peer) -> Response {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    match router.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Plain HTTP from another machine on a listener that keeps it to loopback.
fn refuse_plain(request: &Request<Incoming>, has_tls: bool) -> Response {
    if request.uri().authority().is_some() {
        let message = "plain HTTP is for this machine only: begin the URL of the proxy with https";
        return text_response(Class::Forbidden, message, None);
    }
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let location = host.map(|host| {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        format!("https://{host}{path}")
    });
    match location.and_then(|location| HeaderValue::try_from(location).ok()) {
        Some(location) if has_tls => {
            (StatusCode::MOVED_PERMANENTLY, [(LOCATION, location)]).into_response()
        }
        _ => {
            let message = "plain HTTP is for this machine only: set `tls` in the configuration";
            text_response(Class::Forbidden, message, None)
        }
    }
}

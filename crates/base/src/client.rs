//! Outbound HTTP/1.1: pooled connections, a deadline on every wait, a limit on every body, and
//! errors that say which step failed. It follows no redirect and stores no cookie: a caller that
//! holds credentials decides where they go.

mod socket;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Client as Pool, Error as PoolError};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::clock;
use crate::duplex::BoxDuplex;
use crate::supervise::Supervisor;
use crate::tls::{ClientTls, TlsError};
use socket::Socket;

/// The longest wait for a TCP and TLS connection, within the request's own deadline.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept: longer than the usual scrape interval of a minute.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Unused connections kept for one origin.
pub const IDLE_PER_HOST_MAX: usize = 8;
/// A way that breaks within this time of a request was broken before it.
const AT_ONCE: Duration = Duration::from_millis(500);
/// The largest head of a response.
pub const HEAD_BYTES_MAX: usize = 64 << 10;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The host name has no address, or nothing answers there.
    #[error("connect to {host}: {reason}")]
    Connect {
        /// Host and port.
        host: String,
        /// The system's words.
        reason: String,
    },
    /// The dialer has no way there now: the node at the other end of a line is away, or refuses.
    #[error("{reason}")]
    Away {
        /// The dialer's words.
        reason: String,
    },
    /// The TLS handshake failed, most often because the certificate isn't trusted.
    #[error("tls with {host}: {reason}")]
    Tls {
        /// Host and port.
        host: String,
        /// The library's words.
        reason: String,
    },
    /// The deadline passed.
    #[error("no {waited_for} within the deadline")]
    Timeout {
        /// What was waited for.
        waited_for: &'static str,
    },
    /// The body is larger than allowed.
    #[error("the body is larger than {}", crate::config::format_bytes(*limit))]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// The peer broke off or doesn't speak HTTP/1.1.
    #[error("http: {0}")]
    Protocol(String),
}

/// A way to a host other than a socket of this machine, such as a line to a node.
pub trait Dial: fmt::Debug + Send + Sync {
    /// Opens a connection to `host:port` as it is seen from the other end.
    ///
    /// # Errors
    /// Why there is none, for a person.
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialing<'a>;
}

/// The nodes that there are lines to.
pub trait Nodes: fmt::Debug + Send + Sync {
    /// The way to the node of this name. It need not be there yet: then dialling fails.
    fn way_to(&self, node: &str) -> Arc<dyn Dial>;
}

/// A connection that [`Dial`] is opening.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = Result<BoxDuplex, String>> + Send + 'a>>;

/// A client with one TLS setting and one pool. Cloning shares the pool.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool<Connector, Full<Bytes>>,
    is_dialled: bool,
}

impl Client {
    /// A client whose connections run under `supervisor`. The PEM files named in `tls` are read when
    /// the first TLS connection goes out; what is wrong with them is that request's error.
    pub fn new(tls: ClientTls, supervisor: Supervisor) -> Self {
        Self::through(None, tls, supervisor)
    }

    /// As [`Client::new`], with connections that `dial` opens, when there is one.
    pub fn through(dial: Option<Arc<dyn Dial>>, tls: ClientTls, supervisor: Supervisor) -> Self {
        let is_dialled = dial.is_some();
        let connector = Connector {
            settings: Arc::new(tls),
            built: Arc::default(),
            dial,
        };
        let pool = Pool::builder(PoolExecutor(supervisor))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        Self { pool, is_dialled }
    }

    /// Sends a request and waits for the head of the answer. A GET on a kept connection that the
    /// peer closed at that moment is sent once more: nobody answered it, and it changes nothing. So is
    /// one whose dialled way broke at once: all kept connections break with their line, and the
    /// dialer knows whether there is another.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Response<Incoming>, ClientError> {
        let again = (request.method() == Method::GET).then(|| request.clone());
        let begun = clock::now();
        match self.send_once(request, deadline).await? {
            Ok(response) => Ok(response),
            Err(error) => {
                match again.filter(|_| was_cut(&error) || self.broke_at_once(&error, begun)) {
                    Some(again) => {
                        let response = self.send_once(again, deadline).await?;
                        response.map_err(|error| classify(&error))
                    }
                    None => Err(classify(&error)),
                }
            }
        }
    }

    /// Whether the way ended, and not after a wait: who has waited gets no second one.
    fn broke_at_once(&self, error: &PoolError, begun: Instant) -> bool {
        let is_quick = clock::now().saturating_duration_since(begun) < AT_ONCE;
        let source = std::error::Error::source(error).and_then(std::error::Error::source);
        let is_broken = source.is_some_and(<dyn std::error::Error>::is::<io::Error>);
        self.is_dialled && is_quick && is_broken
    }

    async fn send_once(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Result<Response<Incoming>, PoolError>, ClientError> {
        let answer = tokio::time::timeout_at(deadline.into(), self.pool.request(request)).await;
        answer.map_err(|_| ClientError::Timeout {
            waited_for: "answer",
        })
    }
}

/// Whether the connection ended before any of the answer came.
fn was_cut(error: &PoolError) -> bool {
    let source = std::error::Error::source(error);
    let error = source.and_then(|source| source.downcast_ref::<hyper::Error>());
    error.is_some_and(hyper::Error::is_incomplete_message)
}

/// Reads a body of at most `limit` bytes.
pub async fn read_body(
    body: Incoming,
    limit: u64,
    deadline: Instant,
) -> Result<Bytes, ClientError> {
    match tokio::time::timeout_at(deadline.into(), read_within(body, limit)).await {
        Ok(result) => result,
        Err(_) => Err(ClientError::Timeout {
            waited_for: "end of the body",
        }),
    }
}

async fn read_within(mut body: Incoming, limit: u64) -> Result<Bytes, ClientError> {
    let expected = hyper::body::Body::size_hint(&body).exact().unwrap_or(0);
    if expected > limit {
        return Err(ClientError::TooLarge { limit });
    }
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    let mut length = 0u64;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ClientError::Protocol(chain(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len() as u64;
        if length > limit {
            return Err(ClientError::TooLarge { limit });
        }
        // A page that comes in one piece is passed on without a copy.
        match first.take() {
            None if all.is_empty() => first = Some(data),
            None => all.extend_from_slice(&data),
            Some(earlier) => {
                let capacity = usize::try_from(expected)
                    .unwrap_or(0)
                    .max(earlier.len() + data.len());
                all.reserve(capacity);
                all.extend_from_slice(&earlier);
                all.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

fn classify(error: &PoolError) -> ClientError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = source {
        if let Some(found) = current.downcast_ref::<ClientError>() {
            return found.clone();
        }
        source = current.source();
    }
    ClientError::Protocol(chain(error))
}

/// An error and its sources in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(current) = source {
        let words = current.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = current.source();
    }
    text
}

#[derive(Clone)]
struct PoolExecutor(Supervisor);

impl<F> hyper::rt::Executor<F> for PoolExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn_background("client connection", future);
    }
}

/// Opens TCP or TLS connections for the pool.
#[derive(Debug, Clone)]
struct Connector {
    settings: Arc<ClientTls>,
    built: Arc<OnceLock<Result<Arc<ClientConfig>, TlsError>>>,
    dial: Option<Arc<dyn Dial>>,
}

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = ClientError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ClientError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let deadline = clock::now() + CONNECT_TIMEOUT;
            match tokio::time::timeout_at(deadline.into(), connector.connect(&uri)).await {
                Ok(result) => result,
                Err(_) => Err(ClientError::Timeout {
                    waited_for: "connection",
                }),
            }
        })
    }
}

impl Connector {
    async fn connect(&self, uri: &Uri) -> Result<Stream, ClientError> {
        let is_tls = uri.scheme_str() == Some("https");
        // `Uri::host` keeps the brackets of an IPv6 address; the resolver wants none.
        let host = uri
            .host()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let name = || format!("{host}:{port}");
        let stream = match &self.dial {
            Some(dial) => {
                let stream = dial.dial(host, port).await;
                Socket::Dialed(stream.map_err(|reason| ClientError::Away { reason })?)
            }
            None => {
                let stream = TcpStream::connect((host, port)).await;
                let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
                Socket::Tcp(stream.map_err(|error| ClientError::Connect {
                    host: name(),
                    reason: error.to_string(),
                })?)
            }
        };
        if !is_tls {
            return Ok(Stream::Plain(TokioIo::new(stream)));
        }
        let failed = |reason: String| ClientError::Tls {
            host: name(),
            reason,
        };
        let built = self.built.get_or_init(|| self.settings.build()).clone();
        let tls = TlsConnector::from(built.map_err(|error| failed(error.to_string()))?);
        let wanted = self
            .settings
            .server_name
            .as_deref()
            .unwrap_or(host)
            .to_owned();
        let wanted = ServerName::try_from(wanted).map_err(|error| failed(error.to_string()))?;
        let stream = tls.connect(wanted, stream).await;
        let stream = stream.map_err(|error| failed(error.to_string()))?;
        Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
    }
}

/// A connection of the pool.
enum Stream {
    Plain(TokioIo<Socket>),
    Tls(Box<TokioIo<TlsStream<Socket>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, data),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

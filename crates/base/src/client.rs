//! Outbound HTTP/1.1: kept connections, a deadline on every wait, a limit on every body, and
//! errors that say which step failed. It follows no redirect and stores no cookie: a caller that
//! holds credentials decides where they go.

mod body;
mod connection;
mod connector;
mod pool;
#[cfg(test)]
mod tests;
mod wakes;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Body as HttpBody;

pub use body::Body;
use connection::Connection;
use connector::Connector;
use pool::{Origin, Pool};

use crate::clock;
use crate::duplex::BoxDuplex;
use crate::supervise::Supervisor;
use crate::tls::ClientTls;

/// The longest wait for a TCP and TLS connection, within the request's own deadline.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept: longer than the usual scrape interval of a minute.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// How often idle connections are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);
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

    /// Whether a connection that was dialled at `since` may serve another request. When the ways have
    /// changed since, whoever carries it may wait for its end.
    fn keeps(&self, since: Instant) -> bool {
        let _ = since;
        true
    }
}

/// The nodes that there are lines to.
pub trait Nodes: fmt::Debug + Send + Sync {
    /// The way to the node of this name. It need not be there yet: then dialling fails.
    fn way_to(&self, node: &str) -> Arc<dyn Dial>;
}

/// A connection that [`Dial`] is opening.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = Result<BoxDuplex, String>> + Send + 'a>>;

/// A client with one TLS setting and one pool. Cloning shares both.
#[derive(Clone)]
pub struct Client {
    connector: Arc<Connector>,
    pool: Arc<Pool>,
    is_to_proxy: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Client");
        debug.field("connector", &self.connector);
        debug.finish_non_exhaustive()
    }
}

/// Why an exchange on one connection failed.
struct Broken {
    error: hyper::Error,
    /// The request, when none of it was sent.
    unsent: Option<Request<Full<Bytes>>>,
}

impl Client {
    /// A client whose idle connections are closed in time by a task under `supervisor`. The PEM
    /// files named in `tls` are read when the first TLS connection goes out; what is wrong with them
    /// is that request's error.
    pub fn new(tls: ClientTls, supervisor: Supervisor) -> Self {
        Self::through(None, tls, supervisor)
    }

    /// As [`Client::new`], with connections that `dial` opens, when there is one.
    pub fn through(dial: Option<Arc<dyn Dial>>, tls: ClientTls, supervisor: Supervisor) -> Self {
        Self {
            pool: Pool::new(supervisor, dial.clone()),
            connector: Arc::new(Connector::new(tls, dial)),
            is_to_proxy: false,
        }
    }

    /// The same client, for one whose dialer's connections all end at an HTTP proxy: requests name
    /// the server whom they are for in their first line (RFC 9112, 3.2.2).
    #[must_use]
    pub fn to_proxy(self) -> Self {
        Self {
            is_to_proxy: true,
            ..self
        }
    }

    /// Sends a request and waits for the head of the answer. A GET on a kept connection that the
    /// peer closed at that moment is sent once more: nobody answered it, and it changes nothing. So is
    /// one whose dialled way broke at once: all kept connections break with their line, and the
    /// dialer knows whether there is another.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Response<Body>, ClientError> {
        let answer = tokio::time::timeout_at(deadline.into(), self.exchange(request)).await;
        answer.unwrap_or(Err(ClientError::Timeout {
            waited_for: "answer",
        }))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, ClientError> {
        let (uri, mut request) = in_origin_form(request)?;
        if self.is_to_proxy {
            *request.uri_mut() = uri.clone();
        }
        let origin = Origin::of(&uri).ok_or_else(|| not_absolute(&uri))?;
        let mut may_repeat = request.method() == Method::GET;
        loop {
            let again = may_repeat.then(|| request.clone());
            let begun = clock::now();
            let kept = poll_fn(|context| Poll::Ready(self.pool.take(&origin, context))).await;
            let is_kept = kept.is_some();
            let connection = match kept {
                Some(connection) => connection,
                None => {
                    let dialled = clock::now();
                    Connection::open(self.connector.connect(&uri).await?, dialled).await?
                }
            };
            let broken = match self.exchange_on(connection, &origin, request).await {
                Ok(response) => return Ok(response),
                Err(broken) => broken,
            };
            // Each kept connection is tried at most once, so this ends.
            request = match broken.unsent.filter(|_| is_kept) {
                Some(unsent) => unsent,
                None => {
                    may_repeat = false;
                    let is_cut = broken.error.is_incomplete_message();
                    let may_help = is_cut || self.broke_at_once(&broken.error, begun);
                    let again = again.filter(|_| may_help);
                    again.ok_or_else(|| ClientError::Protocol(chain(&broken.error)))?
                }
            };
        }
    }

    async fn exchange_on(
        &self,
        mut connection: Box<Connection>,
        origin: &Origin,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, Broken> {
        match connection.send(request).await {
            Ok(response) => Ok(response.map(|incoming| {
                let (origin, pool) = (origin.clone(), Arc::clone(&self.pool));
                Body::new(incoming, connection, origin, pool)
            })),
            Err(mut error) => Err(Broken {
                unsent: error.take_message(),
                error: error.into_error(),
            }),
        }
    }

    /// Whether the way ended, and not after a wait: who has waited gets no second one.
    fn broke_at_once(&self, error: &hyper::Error, begun: Instant) -> bool {
        let is_quick = clock::now().saturating_duration_since(begun) < AT_ONCE;
        let source = std::error::Error::source(error);
        let is_broken = source.is_some_and(<dyn std::error::Error>::is::<io::Error>);
        self.connector.is_dialled() && is_quick && is_broken
    }
}

/// The URI, and the request as it goes to an origin: a path, and the host in its header (RFC 9112,
/// 3.2.1).
fn in_origin_form(
    mut request: Request<Full<Bytes>>,
) -> Result<(Uri, Request<Full<Bytes>>), ClientError> {
    let path = request.uri().path_and_query().cloned();
    let path = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    let uri = std::mem::replace(request.uri_mut(), path);
    if !request.headers().contains_key(HOST) {
        let authority = uri.authority().ok_or_else(|| not_absolute(&uri))?;
        let default_port = match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        };
        let host = match authority.port_u16() {
            Some(port) if port == default_port => HeaderValue::from_str(authority.host()),
            Some(port) => HeaderValue::try_from(format!("{}:{port}", authority.host())),
            None => HeaderValue::from_str(authority.host()),
        };
        let host = host.map_err(|error| ClientError::Protocol(chain(&error)))?;
        request.headers_mut().insert(HOST, host);
    }
    Ok((uri, request))
}

fn not_absolute(uri: &Uri) -> ClientError {
    ClientError::Protocol(format!("`{uri}` names no host"))
}

/// Reads a body of at most `limit` bytes.
pub async fn read_body(body: Body, limit: u64, deadline: Instant) -> Result<Bytes, ClientError> {
    match tokio::time::timeout_at(deadline.into(), read_within(body, limit)).await {
        Ok(result) => result,
        Err(_) => Err(ClientError::Timeout {
            waited_for: "end of the body",
        }),
    }
}

async fn read_within(mut body: Body, limit: u64) -> Result<Bytes, ClientError> {
    let expected = HttpBody::size_hint(&body).exact().unwrap_or(0);
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

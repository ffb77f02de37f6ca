//! The server under all stubs: HTTP/1.1 with or without TLS, every request recorded.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query without `?`, empty when there is none.
    pub query: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Whether the client showed a certificate.
    pub has_client_certificate: bool,
}

impl Seen {
    /// One header, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as form fields.
    pub fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body)
            .into_owned()
            .collect()
    }

    /// One form field, empty when absent.
    pub fn field(&self, name: &str) -> String {
        let field = self.form().into_iter().find(|(key, _)| key == name);
        field.map(|(_, value)| value).unwrap_or_default()
    }

    /// Path and query as sent.
    pub fn target(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        format!("{}?{}", self.path, self.query)
    }
}

/// The body of an answer.
pub type Body = BoxBody<Bytes, io::Error>;
/// An answer.
pub type Answer = Response<Body>;
/// An answer to come.
pub type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;
/// What a stub does.
pub type Handler = Arc<dyn Fn(Seen) -> Answering + Send + Sync>;

/// An answer with a body.
pub fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into())
        .map_err(|never| match never {})
        .boxed();
    Response::builder().status(status).body(body).unwrap()
}

/// The same answer with one more header.
pub fn with_header(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    answer.headers_mut().append(name, value.parse().unwrap());
    answer
}

/// An answer with a JSON body.
pub fn json(status: u16, value: &serde_json::Value) -> Answer {
    with_header(
        answer(status, value.to_string()),
        "content-type",
        "application/json",
    )
}

/// A metrics page.
pub fn text_page(page: impl Into<Bytes>) -> Answer {
    with_header(
        answer(200, page),
        "content-type",
        "text/plain; version=0.0.4",
    )
}

/// Never answers: the connection stays open.
pub async fn hang() -> Answer {
    std::future::pending().await
}

/// A running stub.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves plain HTTP.
    pub async fn plain(handler: Handler) -> Self {
        Self::start(handler, None).await
    }

    /// Serves HTTPS.
    pub async fn tls(handler: Handler, config: Arc<rustls::ServerConfig>) -> Self {
        Self::start(handler, Some(TlsAcceptor::from(config))).await
    }

    /// Serves plain HTTP on this listener.
    pub fn plain_on(listener: TcpListener, handler: Handler) -> Self {
        Self::start_on(listener, handler, None)
    }

    async fn start(handler: Handler, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_on(listener, handler, tls)
    }

    fn start_on(listener: TcpListener, handler: Handler, tls: Option<TlsAcceptor>) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Shared {
            handler,
            tls,
            seen: Arc::clone(&seen),
        };
        let task = tokio::spawn(accept(listener, Arc::new(shared), Arc::clone(&connections)));
        Self {
            address,
            scheme,
            seen,
            connections,
            task,
        }
    }

    /// Its URL with this path.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Everything it was asked so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests it got for this path.
    pub fn count(&self, path: &str) -> usize {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .filter(|seen| seen.path == path)
            .count()
    }

    /// How many requests it got.
    pub fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// How many connections were made to it, also those that never asked anything.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What every connection needs.
struct Shared {
    handler: Handler,
    tls: Option<TlsAcceptor>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// Accepts until the stub is dropped; its connections end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>, connections: Arc<AtomicUsize>) {
    let mut tasks = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::SeqCst);
        stream.set_nodelay(true).unwrap();
        let shared = Arc::clone(&shared);
        tasks.spawn(connect(stream, shared));
        while tasks.try_join_next().is_some() {}
    }
}

/// Serves one connection. A peer that goes away or fails the handshake is its own business.
async fn connect(stream: TcpStream, shared: Arc<Shared>) {
    match &shared.tls {
        None => serve(stream, &shared, false).await,
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                let certificate = stream.get_ref().1.peer_certificates().is_some();
                serve(stream, &shared, certificate).await;
            }
        }
    }
}

/// Serves requests on one connection until it ends.
async fn serve<S>(stream: S, shared: &Arc<Shared>, has_client_certificate: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = Arc::clone(shared);
        async move {
            let seen = record(request, &shared, has_client_certificate).await;
            let answer = match seen {
                Some(seen) => (shared.handler)(seen).await,
                None => answer(400, "the body did not arrive"),
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new();
    drop(
        connection
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

/// Reads and records a request.
async fn record(request: Request<Incoming>, shared: &Shared, certificate: bool) -> Option<Seen> {
    let (head, body) = request.into_parts();
    let seen = Seen {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.collect().await.ok()?.to_bytes(),
        has_client_certificate: certificate,
    };
    shared.seen.lock().unwrap().push(seen.clone());
    Some(seen)
}

/// Makes a handler of an async function.
pub fn handler<F, R>(function: F) -> Handler
where
    F: Fn(Seen) -> R + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    Arc::new(move |seen| Box::pin(function(seen)))
}

//! HTTP connections to applications through lines, kept for the next request.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use base::client::{HEAD_BYTES_MAX, IDLE_PER_HOST_MAX, IDLE_TIMEOUT};
use base::clock;
use base::error::Class;
use base::supervise::Supervisor;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{Connected, Connection, capture_connection};
use hyper_util::client::legacy::{Client, Error as PoolError};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::hub::way::{LineBroke, Reached};
use crate::hub::{FoundApp, Nodes, ReachError};
use crate::line::{OpenRequest, Target, TargetKind};

/// Connections to all applications.
pub(super) type Pool = Client<Connector, Body>;

/// A line has to prove that it lives when an answer is as late as this; from then on ever less often,
/// up to the longest.
pub(super) const CHECK_FIRST: Duration = Duration::from_millis(500);
pub(super) const CHECK_LONGEST: Duration = Duration::from_secs(8);

pub(super) fn pool(nodes: Arc<Nodes>, supervisor: Supervisor) -> Pool {
    Client::builder(Executor(supervisor))
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .http1_max_buf_size(HEAD_BYTES_MAX)
        .build(Connector { nodes })
}

/// The URI under which the pool knows an application: a node's name could differ from another's in
/// the size of letters only, its identifier can't.
pub(super) fn uri(app: &FoundApp, path_and_query: &str) -> Result<Uri, http::Error> {
    Uri::builder()
        .scheme("http")
        .authority(format!("{}.{}", app.offered.name, app.node_id))
        .path_and_query(path_and_query)
        .build()
}

/// What the node is asked for.
pub(super) fn open_request(app: &str) -> OpenRequest {
    OpenRequest {
        target: Target {
            kind: TargetKind::App,
            name: app.to_owned(),
            node: None,
        },
        client: None,
        user: None,
    }
}

/// What a connection broke with, when its line is to blame.
pub(super) fn line_broke(error: &PoolError) -> Option<LineBroke> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = source {
        // An input and output error hides what is in it from the chain of causes.
        let inner = current.downcast_ref::<std::io::Error>();
        let inner = inner.and_then(|error| error.get_ref()?.downcast_ref());
        if let Some(broke) = inner.or_else(|| current.downcast_ref::<LineBroke>()) {
            return Some(broke.clone());
        }
        source = current.source();
    }
    None
}

/// Why there was no answer.
pub(super) fn explain(error: &PoolError, app: &FoundApp, nodes: &Nodes) -> ReachError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = source {
        if let Some(found) = current.downcast_ref::<ReachError>() {
            return found.clone();
        }
        source = current.source();
    }
    let (name, node) = (&app.offered.name, &app.node);
    let broke = line_broke(error);
    if broke.is_some() || !nodes.is_online(node) {
        let why = broke.map_or_else(|| "it has no line any more".to_owned(), |broke| broke.0);
        return ReachError {
            class: Class::Unavailable,
            text: format!("node {node} went away while {name} was asked: {why}"),
        };
    }
    let cause = crate::line::chain(error);
    ReachError {
        class: Class::BadPeer,
        text: format!(
            "{name} on {node} broke off before it answered: {cause}; check the application's log"
        ),
    }
}

#[derive(Clone)]
struct Executor(Supervisor);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0
            .spawn_background("connection to an application", future);
    }
}

/// Opens streams of lines for the pool.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    nodes: Arc<Nodes>,
}

/// When a connection was dialled.
#[derive(Debug, Clone, Copy)]
struct Made(Instant);

/// A connection for the pool.
pub(super) struct Pooled {
    reached: Reached,
    made: Made,
}

impl Connection for Pooled {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.made)
    }
}

impl AsyncRead for Pooled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reached).poll_read(context, buffer)
    }
}

impl AsyncWrite for Pooled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reached).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reached).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reached).poll_shutdown(context)
    }
}

/// The answer to a request. Its connection serves no further one when the ways to the node have changed
/// since it was made: whoever carries it may wait for its end. One that is idle meanwhile ends with the
/// pool's own time.
pub(super) async fn request(
    (pool, nodes): (&Pool, &Nodes),
    (node, app): (&str, &str),
    mut request: Request<Body>,
) -> Result<Response<Incoming>, PoolError> {
    let connection = capture_connection(&mut request);
    let answer = pool.request(request).await?;
    nodes.note_app_answer(node, app);
    let made = answer.extensions().get::<Made>();
    if made.is_some_and(|made| !nodes.keeps(node, made.0))
        && let Some(connection) = connection.connection_metadata().as_ref()
    {
        connection.poison();
    }
    Ok(answer)
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Pooled>;
    type Error = ReachError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ReachError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ReachError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let nodes = Arc::clone(&self.nodes);
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let (app, id) = host.split_once('.').unwrap_or_default();
            let Some(node) = nodes.name_of(id) else {
                return Err(ReachError {
                    class: Class::Unavailable,
                    text: format!(
                        "the node of {app} is offline; is landline running there, and is its network up?"
                    ),
                });
            };
            // Before it is dialled: while that goes on the ways may change.
            let made = Made(clock::now());
            let reached = nodes.reach(&node, &open_request(app)).await?;
            Ok(TokioIo::new(Pooled { reached, made }))
        })
    }
}

//! A line as the agent has it: serves the streams that the proxy opens, keeps a bulk connection
//! ready once the proxy wants bulk, hands over messages.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::supervise::Scope;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use http::{HeaderValue, Request, Response};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::dial::{Connector, Route, Via};
use super::error::{ConnectError, chain};
use super::framing::{self, Health, OPEN_HEADER, OPEN_PATH, REFUSAL_HEADER};
use super::limits::{HANDLER_LIMIT, HELLO_LIMIT, MESSAGES_MAX};
use super::message::{Drain, Message, Note, OpenRequest, Peer, Refusal, RefusalCode, Welcome};
use super::proxy_end::End;
use super::stream::{BoxDuplex, Counted, LineStream};
use super::{Lane, bulk_serve, copy, messages};

/// What a handler gives back in time.
pub type Opening = Pin<Box<dyn Future<Output = Result<Served, Refusal>> + Send>>;

/// Dials what a proxy asks for, or refuses. Also checks whether the proxy may ask for it.
pub type Handler = Arc<dyn Fn(OpenRequest) -> Opening + Send + Sync>;

/// A function that reads a whole stream as a server does.
pub type Taker = Box<dyn FnOnce(LineStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What a handler has found for an open request.
pub enum Served {
    /// A connection: bytes are copied both ways.
    Connection(BoxDuplex),
    /// A server of our own that takes the stream itself.
    Taken(Taker),
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection(_) => "Connection",
            Self::Taken(_) => "Taken",
        })
    }
}

/// Makes a handler of an async function.
pub fn handler<F, R>(function: F) -> Handler
where
    F: Fn(OpenRequest) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Served, Refusal>> + Send + 'static,
{
    Arc::new(move |request| Box::pin(function(request)))
}

/// The agent's end of a line. Dropping it ends the line.
#[derive(Debug)]
pub struct AgentLine {
    shared: Arc<Shared>,
    incoming: mpsc::Receiver<Message>,
}

/// What happens on a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// The proxy says something.
    Message(Message),
    /// The line is gone.
    Ended {
        /// Why.
        reason: String,
    },
}

/// How a line is doing, as the agent sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentLineState {
    /// The proxy.
    pub proxy: Peer,
    /// Where it was dialled.
    pub address: String,
    /// How it was reached.
    pub via: Via,
    /// The last round trip on the interactive lane.
    pub round_trip: Option<Duration>,
    /// Streams that are open, on all lanes.
    pub streams: usize,
    /// Bulk connections that wait to be used.
    pub bulk_idle: usize,
}

pub(crate) struct Shared {
    pub(crate) connector: Connector,
    pub(crate) route: Route,
    pub(crate) handler: Handler,
    pub(crate) scope: Scope,
    pub(crate) end: End,
    pub(crate) draining: CancellationToken,
    /// Fires when the proxy has all that makes a line.
    ready: CancellationToken,
    pub(crate) interactive: Arc<Health>,
    pub(crate) bulk: bulk_serve::Counts,
    incoming: mpsc::Sender<Message>,
    outgoing: mpsc::Sender<Message>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

/// A line whose interactive lane is not there yet.
pub(crate) struct Starting {
    shared: Arc<Shared>,
    control: BoxDuplex,
    queued: mpsc::Receiver<Message>,
    incoming: mpsc::Receiver<Message>,
    guard: EndGuard,
}

/// Ends a line that is given up half way, also when the dial is merely dropped.
struct EndGuard(Option<End>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end.end("the dial was given up");
        }
    }
}

/// A lane's framing at the agent.
pub(crate) type Framed = Connection<BoxDuplex, Bytes>;

/// Begins the framing of the interactive lane.
pub(crate) async fn begin(
    io: BoxDuplex,
    address: &str,
    health: &Arc<Health>,
) -> Result<Framed, ConnectError> {
    let address = || address.to_owned();
    match timeout(HELLO_LIMIT, framing::begin_serving(io, health)).await {
        Ok(Ok(framed)) => Ok(framed),
        Ok(Err(source)) => Err(ConnectError::Framing {
            address: address(),
            lane: Lane::Interactive,
            source,
        }),
        Err(_) => {
            let (step, limit) = ("beginning of the framing", HELLO_LIMIT);
            Err(ConnectError::Timeout {
                address: address(),
                step,
                limit,
            })
        }
    }
}

impl Starting {
    pub(crate) fn new(
        connector: Connector,
        route: Route,
        handler: Handler,
        scope: Scope,
        control: BoxDuplex,
    ) -> Self {
        let (incoming, received) = mpsc::channel(MESSAGES_MAX);
        let (outgoing, queued) = mpsc::channel(MESSAGES_MAX);
        let shared = Shared {
            connector,
            route,
            handler,
            scope,
            end: End::default(),
            draining: CancellationToken::new(),
            ready: CancellationToken::new(),
            interactive: Arc::default(),
            bulk: bulk_serve::Counts::default(),
            incoming,
            outgoing,
        };
        let guard = EndGuard(Some(shared.end.clone()));
        Self {
            shared: Arc::new(shared),
            control,
            queued,
            incoming: received,
            guard,
        }
    }

    pub(crate) fn route(&self) -> &Route {
        &self.shared.route
    }

    pub(crate) fn interactive(&self) -> &Arc<Health> {
        &self.shared.interactive
    }

    /// Ends what has begun.
    pub(crate) fn give_up(self, error: &ConnectError) {
        self.shared.end.end(chain(error));
    }

    /// Serves both lanes and waits until the proxy has the line.
    pub(crate) async fn finish(mut self, framed: Framed) -> Result<AgentLine, ConnectError> {
        let shared = Arc::clone(&self.shared);
        let scope = &shared.scope;
        scope.spawn("lane to a proxy", serve_lane(framed, Arc::clone(&shared)));
        let talk = talk(self.control, self.queued, Arc::clone(&shared));
        scope.spawn("control lane", talk);
        let ready = tokio::select! {
            outcome = timeout(HELLO_LIMIT, shared.ready.cancelled()) => outcome.map_err(|_| {
                let (address, step) = (shared.route.address.clone(), "completing the line");
                ConnectError::Timeout { address, step, limit: HELLO_LIMIT }
            }),
            reason = shared.end.ended() => {
                Err(ConnectError::Ended { address: shared.route.address.clone(), reason })
            }
        };
        if let Err(error) = ready {
            shared.end.end(chain(&error));
            return Err(error);
        }
        scope.spawn(
            "bulk dialler",
            bulk_serve::keep_dialled(Arc::clone(&shared)),
        );
        self.guard.0 = None;
        let incoming = self.incoming;
        Ok(AgentLine { shared, incoming })
    }
}

impl AgentLine {
    /// The proxy at the other end.
    pub fn proxy(&self) -> &Peer {
        &self.shared.route.proxy
    }

    /// What it said about itself.
    pub fn welcome(&self) -> &Welcome {
        &self.shared.route.welcome
    }

    /// The next thing that happens. After `Ended` nothing does. Safe to drop and call again.
    pub async fn next(&mut self) -> AgentEvent {
        tokio::select! {
            biased;
            Some(message) = self.incoming.recv() => AgentEvent::Message(message),
            reason = self.shared.end.ended() => AgentEvent::Ended { reason },
        }
    }

    /// How it is doing.
    pub fn state(&self) -> AgentLineState {
        self.shared.state()
    }

    /// Tells the proxy that we leave, takes nothing new, waits up to `limit` for what is open,
    /// then ends the line.
    pub async fn drain(&self, notice: Drain, limit: Duration) {
        self.shared.drain(notice, limit).await;
    }

    /// What can look at the line and drain it without owning it.
    pub fn handle(&self) -> AgentLineHandle {
        AgentLineHandle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Ends the line at once.
    pub fn close(&self, reason: impl Into<String>) {
        self.shared.end.end(reason);
    }
}

impl Drop for AgentLine {
    fn drop(&mut self) {
        self.shared.end.end("the agent gave the line up");
    }
}

/// A line that someone else owns.
#[derive(Debug, Clone)]
pub struct AgentLineHandle {
    shared: Arc<Shared>,
}

impl AgentLineHandle {
    /// Tells the proxy something that the line does not read. False if earlier messages still wait.
    pub fn tell(&self, text: String) -> bool {
        let note = Message::Member(Note { text });
        self.shared.outgoing.try_send(note).is_ok()
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.shared.end.has_ended()
    }

    /// See [`AgentLine::drain`].
    pub async fn drain(&self, notice: Drain, limit: Duration) {
        self.shared.drain(notice, limit).await;
    }

    /// How it is doing.
    pub fn state(&self) -> AgentLineState {
        self.shared.state()
    }

    /// Ends the line at once.
    pub fn close(&self, reason: impl Into<String>) {
        self.shared.end.end(reason);
    }
}

impl Shared {
    pub(crate) fn streams(&self) -> usize {
        let framed = self.interactive.streams.load(Ordering::Relaxed);
        framed + self.bulk.busy.load(Ordering::Relaxed)
    }

    fn state(&self) -> AgentLineState {
        AgentLineState {
            proxy: self.route.proxy.clone(),
            address: self.route.address.clone(),
            via: self.route.via,
            round_trip: self.interactive.round_trip(),
            streams: self.streams(),
            bulk_idle: self.bulk.idle.load(Ordering::Relaxed),
        }
    }

    async fn drain(&self, notice: Drain, limit: Duration) {
        const LOOK_EVERY: Duration = Duration::from_millis(50);
        let reason = notice.reason.clone();
        // A queue that is full belongs to a proxy that is stuck; GOAWAY tells it as well.
        if self.outgoing.try_send(Message::Draining(notice)).is_err() {
            tracing::debug!(proxy = %self.route.proxy.name, "the drain advisory was not queued");
        }
        self.draining.cancel();
        let idle = async {
            while self.streams() > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            // The advisory and GOAWAY leave before the connection does.
            tokio::time::sleep(LOOK_EVERY).await;
        };
        tokio::select! {
            _ = timeout(limit, idle) => {}
            _ = self.end.ended() => {}
        }
        self.end.end(reason);
    }

    /// Asks the handler, within its time.
    pub(crate) async fn dial(&self, request: OpenRequest) -> Result<Served, Refusal> {
        if self.draining.is_cancelled() {
            return Err(Refusal::new(RefusalCode::Draining, "this agent is leaving"));
        }
        let target = request.target.name.clone();
        timeout(HANDLER_LIMIT, (self.handler)(request))
            .await
            .unwrap_or_else(|_| {
                let seconds = HANDLER_LIMIT.as_secs_f32();
                let text =
                    format!("{target} could not be reached within {seconds} s from the node");
                Err(Refusal::new(RefusalCode::Timeout, text))
            })
    }

    /// Runs what a handler has found, until it ends or the line does.
    pub(crate) async fn run(&self, served: Served, stream: LineStream) {
        let work = async {
            match served {
                Served::Connection(connection) => match copy::copy(stream, connection).await {
                    Ok(copied) => tracing::trace!(?copied, "stream done"),
                    Err(error) => tracing::debug!(%error, "stream broken"),
                },
                Served::Taken(take) => take(stream).await,
            }
        };
        tokio::select! {
            () = work => {}
            _ = self.end.ended() => {}
        }
    }
}

async fn serve_lane(mut framed: Framed, shared: Arc<Shared>) {
    let pings = framed.ping_pong();
    let health = Arc::clone(&shared.interactive);
    let timing = shared.connector.timing();
    let mut watched = std::pin::pin!(async {
        match pings {
            Some(pings) => framing::watch(pings, &health, timing).await,
            None => "the lane can't be pinged".to_owned(),
        }
    });
    let mut is_draining = false;
    let reason = loop {
        tokio::select! {
            accepted = framed.accept() => match accepted {
                Some(Ok((request, respond))) => answer(request, respond, &shared),
                Some(Err(error)) => break format!("interactive lane: {}", framing::broke(&error)),
                None => break "the proxy closed the interactive lane".to_owned(),
            },
            reason = &mut watched => break format!("interactive lane: {reason}"),
            () = shared.draining.cancelled(), if !is_draining => {
                is_draining = true;
                framed.graceful_shutdown();
            }
            reason = shared.end.ended() => break reason,
        }
    };
    shared.end.end(reason);
}

/// Starts what a request of the proxy asks for.
fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, shared: &Arc<Shared>) {
    let (head, body) = request.into_parts();
    match head.uri.path() {
        OPEN_PATH => {
            let task = open(head, body, respond, Arc::clone(shared));
            shared.scope.spawn("stream of a line", task);
        }
        path => {
            let text = format!("this agent does not know {path:?}");
            refuse(&mut respond, &Refusal::new(RefusalCode::Invalid, text));
        }
    }
}

async fn talk(control: BoxDuplex, queued: mpsc::Receiver<Message>, shared: Arc<Shared>) {
    let incoming = shared.incoming.clone();
    let timing = shared.connector.timing();
    let heard = |message| {
        let incoming = incoming.clone();
        let (ready, end) = (shared.ready.clone(), shared.end.clone());
        let wanted = shared.bulk.wanted.clone();
        async move {
            match message {
                Message::Ready => ready.cancel(),
                Message::Closing(closing) => end.end(closing.reason),
                Message::Bulk => wanted.cancel(),
                // Fails when nobody listens any more: the line is about to end.
                message => drop(incoming.send(message).await),
            }
        }
    };
    let reason = tokio::select! {
        reason = messages::exchange(control, queued, heard, timing) => reason,
        reason = shared.end.ended() => reason,
    };
    shared.end.end(reason);
}

async fn open(
    head: http::request::Parts,
    body: RecvStream,
    mut respond: SendResponse<Bytes>,
    shared: Arc<Shared>,
) {
    let health = &shared.interactive;
    let counted = Counted::new(&health.streams);
    let request = head
        .headers
        .get(OPEN_HEADER)
        .and_then(|value| serde_json::from_slice::<OpenRequest>(value.as_bytes()).ok());
    let Some(request) = request else {
        let text = "this agent does not understand the request: it may be older than the proxy";
        return refuse(&mut respond, &Refusal::new(RefusalCode::Invalid, text));
    };
    let dialled = tokio::select! {
        dialled = shared.dial(request) => dialled,
        // The proxy has given up, or the line has gone.
        _ = std::future::poll_fn(|context| respond.poll_reset(context)) => return,
        _ = shared.end.ended() => return,
    };
    match dialled {
        Ok(served) => match respond.send_response(Response::new(()), false) {
            Ok(send) => {
                let stream =
                    LineStream::framed(send, body, Lane::Interactive, counted).watched(health);
                shared.run(served, stream).await;
            }
            Err(error) => tracing::debug!(%error, "the proxy did not wait"),
        },
        Err(refusal) => refuse(&mut respond, &refusal),
    }
}

fn refuse(respond: &mut SendResponse<Bytes>, refusal: &Refusal) {
    let mut answer = Response::new(());
    *answer.status_mut() = refusal.code.class().status();
    let text = serde_json::to_vec(refusal).ok();
    if let Some(value) = text.and_then(|text| HeaderValue::from_bytes(&text).ok()) {
        answer.headers_mut().insert(REFUSAL_HEADER, value);
    }
    if let Err(error) = respond.send_response(answer, true) {
        tracing::debug!(%error, "the proxy did not wait for the refusal");
    }
}

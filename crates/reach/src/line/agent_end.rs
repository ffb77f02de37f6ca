//! A line as the agent has it: serves the streams that the proxy opens, keeps a bulk connection
//! ready once the proxy wants bulk, hands over messages.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::supervise::Scope;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::dial::{Connector, Route, Via};
use super::error::{ConnectError, chain};
use super::health::{self, Health};
use super::limits::{ANSWER_PAUSE, HANDLER_LIMIT, HELLO_LIMIT, MESSAGES_MAX};
use super::message::{Drain, Message, Note, OpenRequest, Peer, Refusal, RefusalCode, Welcome};
use super::mux::{self, Mux, Stream};
use super::proxy_end::End;
use super::stream::{BoxDuplex, Counted, LineStream};
use super::{bulk_serve, copy, messages};

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
    pub(crate) bulk: bulk_serve::Waiting,
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
            bulk: bulk_serve::Waiting::default(),
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

    /// Ends what has begun.
    pub(crate) fn give_up(self, error: &ConnectError) {
        self.shared.end.end(chain(error));
    }

    /// Serves both lanes and waits until the proxy has the line.
    pub(crate) async fn finish(
        mut self,
        interactive: BoxDuplex,
    ) -> Result<AgentLine, ConnectError> {
        let shared = Arc::clone(&self.shared);
        let scope = &shared.scope;
        scope.spawn(
            "lane to a proxy",
            serve_lane(interactive, Arc::clone(&shared)),
        );
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
        framed + self.interactive.bulk.load(Ordering::Relaxed)
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
        // A queue that is full belongs to a proxy that is stuck; what it asks is refused with the reason.
        if self.outgoing.try_send(Message::Draining(notice)).is_err() {
            tracing::debug!(proxy = %self.route.proxy.name, "the drain advisory was not queued");
        }
        self.draining.cancel();
        let idle = async {
            while self.streams() > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            // The advisory leaves before the connection does.
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

async fn serve_lane(io: BoxDuplex, shared: Arc<Shared>) {
    let mux = Mux::new(io, mux::End::Serves, Arc::clone(&shared.interactive));
    // Its streams break when this is done: by then the reason has to be known.
    let _guard = mux.guard();
    let opened = |stream, request| {
        let task = open(stream, request, Arc::clone(&mux), Arc::clone(&shared));
        shared.scope.spawn("stream of a line", task);
    };
    let timing = shared.connector.timing();
    let reason = tokio::select! {
        error = mux.drive(opened) => health::broke(&error),
        reason = health::watch(&mux, timing) => reason,
        reason = shared.end.ended() => return shared.end.end(reason),
    };
    shared.end.end(format!("interactive lane: {reason}"));
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

/// Does what the proxy asks for.
async fn open(stream: Stream, request: Bytes, mux: Arc<Mux>, shared: Arc<Shared>) {
    let counted = Counted::new(&shared.interactive.streams);
    let Ok(request) = serde_json::from_slice::<OpenRequest>(&request) else {
        let text = "this agent does not understand the request: it may be older than the proxy";
        return stream.refuse(&Refusal::new(RefusalCode::Invalid, text));
    };
    let dialled = tokio::select! {
        // What is given up already is not dialled any more.
        biased;
        // The proxy has given up, or the line has gone.
        () = stream.broken() => return,
        _ = shared.end.ended() => return,
        dialled = shared.dial(request) => dialled,
    };
    match dialled {
        Ok(served) => {
            stream.accept();
            let may_wait = matches!(served, Served::Connection(_)) && stream.has_received();
            if !may_wait {
                stream.flush();
            }
            let mut running = pin!(shared.run(served, LineStream::framed(stream, counted)));
            if may_wait {
                // With the first bytes of the target, unless they take long.
                if timeout(ANSWER_PAUSE, running.as_mut()).await.is_ok() {
                    return;
                }
                mux.flush();
            }
            running.await;
        }
        Err(refusal) => stream.refuse(&refusal),
    }
}

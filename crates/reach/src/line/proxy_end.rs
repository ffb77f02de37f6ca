//! A line as the proxy has it: opens streams to the agent, knows how the line is doing, says when
//! it will leave. How connections become lines is in `accept`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use base::clock;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::bulk::{BulkPool, NotOpened};
use super::early::Early;
use super::error::{OpenError, chain};
use super::limits::{OPEN_LIMIT, PROBE_AFTER, REQUEST_BYTES_MAX, STREAMS_MAX};
use super::message::{
    Closing, Drain, LineId, Message, Note, OpenRequest, Peer, Refusal, RefusalCode,
    SignedAnnouncement,
};
use super::mux::Mux;
use super::stream::{Counted, LineStream};
use super::{Lane, limits};

/// The proxy's end of a line; clones share it.
#[derive(Debug, Clone)]
pub struct Line {
    pub(crate) shared: Arc<Shared>,
}

/// How a line is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct LineState {
    /// Who is at the other end.
    pub peer: Peer,
    /// Where the agent's control lane comes from.
    pub remote: SocketAddr,
    /// When the line was complete.
    pub since: SystemTime,
    /// The last round trip on the interactive lane.
    pub round_trip: Option<Duration>,
    /// Streams open on the interactive lane.
    pub interactive_streams: usize,
    /// Bulk connections in use.
    pub bulk_busy: usize,
    /// Bulk connections that wait to be used.
    pub bulk_idle: usize,
    /// Streams opened since the beginning.
    pub opened: u64,
    /// Streams that could not be opened.
    pub failed: u64,
    /// Why the last of those could not.
    pub last_error: Option<String>,
    /// Nothing new is opened on it.
    pub is_draining: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) peer: Peer,
    pub(crate) id: LineId,
    pub(crate) remote: SocketAddr,
    pub(crate) since: SystemTime,
    pub(crate) interactive: Arc<Mux>,
    pub(crate) bulk: BulkPool,
    pub(crate) messages: mpsc::Sender<Message>,
    pub(crate) end: End,
    pub(crate) draining: OnceLock<String>,
    /// The agent was told to go elsewhere.
    pub(crate) is_advised: AtomicBool,
    /// The agent was asked for bulk connections.
    pub(crate) wants_bulk: AtomicBool,
    pub(crate) opened: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) last_error: Mutex<Option<String>>,
}

/// The end of a line: happens once, with a reason.
#[derive(Debug, Clone, Default)]
pub(crate) struct End {
    token: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl End {
    pub(crate) fn end(&self, reason: impl Into<String>) {
        self.explain(reason);
        self.token.cancel();
    }

    /// Says why, before it ends.
    fn explain(&self, reason: impl Into<String>) {
        // The first reason is the cause, later ones are consequences.
        drop(self.reason.set(reason.into()));
    }

    pub(crate) async fn ended(&self) -> String {
        self.token.cancelled().await;
        self.reason()
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.token.is_cancelled()
    }

    pub(crate) fn reason(&self) -> String {
        self.reason.get().cloned().unwrap_or_default()
    }
}

impl Line {
    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.shared.peer
    }

    /// The number of this line; a new line of the same agent has another.
    pub fn id(&self) -> &LineId {
        &self.shared.id
    }

    /// Has the agent dial `request.target` and gives the connection. The answer comes within
    /// `deadline`, at most `OPEN_LIMIT`. Bulk goes over a connection of its own if one is ready,
    /// and over the interactive lane if not.
    pub async fn open(
        &self,
        request: &OpenRequest,
        lane: Lane,
        deadline: Duration,
    ) -> Result<LineStream, OpenError> {
        self.open_early(request, lane, deadline, None).await
    }

    /// The same; what the client says before there is an answer goes along.
    pub async fn open_early(
        &self,
        request: &OpenRequest,
        lane: Lane,
        deadline: Duration,
        early: Option<&mut Early<'_>>,
    ) -> Result<LineStream, OpenError> {
        let limit = deadline.min(OPEN_LIMIT);
        // On the heap for as long as it takes: a connection that is idle later would keep room for it.
        let opening = Box::pin(tokio::time::timeout(
            limit,
            self.open_on(request, lane, early),
        ));
        let outcome = tokio::select! {
            biased;
            reason = self.shared.end.ended() => Err(self.gone(reason)),
            outcome = opening => match outcome {
                Ok(Err(OpenError::Gone { reason, .. })) => Err(self.gone(self.cause(reason).await)),
                Ok(outcome) => outcome,
                Err(_) => Err(OpenError::Timeout { peer: self.name(), limit }),
            },
        };
        match &outcome {
            Ok(_) => self.shared.opened.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                *lock(&self.shared.last_error) = Some(error.to_string());
                self.shared.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
        outcome
    }

    async fn open_on(
        &self,
        request: &OpenRequest,
        lane: Lane,
        early: Option<&mut Early<'_>>,
    ) -> Result<LineStream, OpenError> {
        if let Some(reason) = self.shared.draining.get() {
            let (peer, reason) = (self.name(), reason.clone());
            return Err(OpenError::Draining { peer, reason });
        }
        match lane {
            Lane::Control => Err(OpenError::Request(
                "the control lane carries messages only".to_owned(),
            )),
            Lane::Interactive => self.open_framed(request, early).await,
            Lane::Bulk => self.open_bulk(request, early).await,
        }
    }

    async fn open_bulk(
        &self,
        request: &OpenRequest,
        early: Option<&mut Early<'_>>,
    ) -> Result<LineStream, OpenError> {
        let (shared, health) = (&self.shared, self.shared.interactive.health());
        let opening = shared.bulk.open(request, shared.end.token());
        let mut stream = match probing(&health.probe, opening).await {
            Ok(stream) => stream,
            Err(NotOpened::NoConnection) => {
                self.want_bulk();
                return self.open_framed(request, early).await;
            }
            Err(NotOpened::Refused(refusal)) => return Err(self.refused(refusal)),
            Err(NotOpened::Broke(reason)) => return Err(self.gone(reason)),
        };
        // While it was idle, pings were rare.
        health.probe.notify_one();
        if let Some(early) = early {
            let passed_on = early.pass_on(&mut stream).await;
            passed_on.map_err(|error| self.gone(chain(&error)))?;
        }
        Ok(stream)
    }

    async fn open_framed(
        &self,
        request: &OpenRequest,
        mut early: Option<&mut Early<'_>>,
    ) -> Result<LineStream, OpenError> {
        let lane = &self.shared.interactive;
        let too_many = || OpenError::TooMany {
            peer: self.name(),
            streams: STREAMS_MAX,
            lane: Lane::Interactive,
        };
        let counted = Counted::within(&lane.health().streams, STREAMS_MAX).ok_or_else(too_many)?;
        let question = question(request)?;
        if let Some(early) = &mut early {
            early.look().await;
        }
        let stuck = || OpenError::Stuck { peer: self.name() };
        let mut stream = lane.open(&question).ok_or_else(stuck)?;
        let asked = async {
            match early {
                Some(early) => early.answered(&mut stream).await,
                None => {
                    stream.flush();
                    stream.answered().await
                }
            }
        };
        let answer = probing(&lane.health().probe, asked)
            .await
            .map_err(|error| self.gone(chain(&error)))?;
        let Err(refusal) = answer else {
            return Ok(LineStream::framed(stream, counted));
        };
        Err(self.refused(refusal))
    }

    fn refused(&self, refusal: Refusal) -> OpenError {
        let peer = self.name();
        match refusal.code {
            RefusalCode::Draining => OpenError::Draining {
                peer,
                reason: refusal.text,
            },
            _ => OpenError::Refused { peer, refusal },
        }
    }

    fn gone(&self, reason: String) -> OpenError {
        let peer = self.name();
        OpenError::Gone { peer, reason }
    }

    /// Why the line ended; `symptom` if it has not.
    async fn cause(&self, symptom: String) -> String {
        // A stream may break a moment before the line knows why.
        const MOMENT: Duration = Duration::from_millis(50);
        let cause = tokio::time::timeout(MOMENT, self.shared.end.ended()).await;
        cause.unwrap_or(symptom)
    }

    /// Has the interactive lane prove that it lives: if it does not, the line ends within seconds.
    pub fn check(&self) {
        self.shared.interactive.health().probe.notify_one();
    }

    /// How it is doing.
    pub fn state(&self) -> LineState {
        let shared = &self.shared;
        let interactive = shared.interactive.health();
        LineState {
            peer: shared.peer.clone(),
            remote: shared.remote,
            since: shared.since,
            round_trip: interactive.round_trip(),
            interactive_streams: interactive.streams.load(Ordering::Relaxed),
            bulk_busy: shared.bulk.busy(),
            bulk_idle: shared.bulk.idle(),
            opened: shared.opened.load(Ordering::Relaxed),
            failed: shared.failed.load(Ordering::Relaxed),
            last_error: lock(&shared.last_error).clone(),
            is_draining: shared.draining.get().is_some(),
        }
    }

    /// Has the agent dial bulk connections ahead from now on.
    pub fn want_bulk(&self) {
        let shared = &self.shared;
        if !shared.wants_bulk.swap(true, Ordering::AcqRel)
            && shared.messages.try_send(Message::Bulk).is_err()
        {
            // The next one who wants bulk asks again.
            shared.wants_bulk.store(false, Ordering::Release);
        }
    }

    /// Whether bulk connections were asked for.
    pub(crate) fn wants_bulk(&self) -> bool {
        self.shared.wants_bulk.load(Ordering::Acquire)
    }

    /// Sends the list of proxies. False if the agent is so slow that earlier messages still wait:
    /// the next announcement will do.
    pub fn announce(&self, announcement: SignedAnnouncement) -> bool {
        self.shared
            .messages
            .try_send(Message::Announcement(announcement))
            .is_ok()
    }

    /// Tells the agent something that the line does not read. False if earlier messages still wait.
    pub fn tell(&self, text: String) -> bool {
        let note = Message::Member(Note { text });
        self.shared.messages.try_send(note).is_ok()
    }

    /// Ends the line at once with everything that is open on it, and tells the agent why. Whether it
    /// listens is not waited for longer than a moment.
    pub async fn dismiss(&self, reason: String) {
        const MOMENT: Duration = Duration::from_millis(250);
        self.shared.end.explain(reason.clone());
        // Nothing new is opened meanwhile.
        drop(self.shared.draining.set(reason.clone()));
        let closing = Closing {
            reason: reason.clone(),
        };
        if self
            .shared
            .messages
            .try_send(Message::Closing(closing))
            .is_ok()
        {
            drop(tokio::time::timeout(MOMENT, self.shared.end.ended()).await);
        }
        self.close(reason);
    }

    /// Tells the agent to go elsewhere beside. This line still opens what is asked of it, until it is
    /// drained.
    pub async fn advise(&self, notice: Drain) {
        if self.shared.is_advised.swap(true, Ordering::AcqRel) {
            return;
        }
        let sent = self.shared.messages.send(Message::Draining(notice));
        let sent = tokio::time::timeout(limits::HELLO_LIMIT, sent).await;
        if sent.is_err() {
            tracing::warn!(peer = %self.name(), "the drain advisory could not be sent");
        }
    }

    /// Tells the agent to go elsewhere, opens nothing new, waits up to `limit` for what is open,
    /// then ends the line.
    pub async fn drain(&self, notice: Drain, limit: Duration) {
        let reason = notice.reason.clone();
        // A second drain changes nothing: the first reason stands.
        if self.shared.draining.set(reason.clone()).is_ok() {
            self.advise(notice).await;
        }
        tokio::select! {
            _ = tokio::time::timeout(limit, self.idle()) => {}
            _ = self.shared.end.ended() => {}
        }
        self.close(reason);
    }

    /// Waits until no stream is open.
    async fn idle(&self) {
        // Streams end in many places; their number is looked at instead of being told.
        const LOOK_EVERY: Duration = Duration::from_millis(50);
        loop {
            let state = self.state();
            if state.interactive_streams + state.bulk_busy == 0 {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Ends the line at once, with everything that is open on it.
    pub fn close(&self, reason: impl Into<String>) {
        self.shared.end.end(reason);
    }

    /// Resolves when the line has ended, with the reason.
    pub async fn closed(&self) -> String {
        self.shared.end.ended().await
    }

    /// Why it has ended; nothing while it has not.
    pub fn end_reason(&self) -> Option<String> {
        self.is_closed().then(|| self.shared.end.reason())
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.shared.end.has_ended()
    }

    fn name(&self) -> String {
        format!("{} {}", self.shared.peer.role, self.shared.peer.name)
    }
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            peer: parts.peer,
            id: parts.id,
            remote: parts.remote,
            since: clock::wall(),
            bulk: BulkPool::new(Arc::clone(parts.interactive.health())),
            interactive: parts.interactive,
            messages: parts.messages,
            end: parts.end,
            draining: OnceLock::new(),
            is_advised: AtomicBool::new(false),
            wants_bulk: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_error: Mutex::default(),
        }
    }
}

/// What a line is made of.
pub(crate) struct Parts {
    pub(crate) peer: Peer,
    pub(crate) id: LineId,
    pub(crate) remote: SocketAddr,
    pub(crate) interactive: Arc<Mux>,
    pub(crate) messages: mpsc::Sender<Message>,
    pub(crate) end: End,
}

/// The request as it is sent.
fn question(request: &OpenRequest) -> Result<Vec<u8>, OpenError> {
    let text =
        serde_json::to_vec(request).map_err(|error| OpenError::Request(error.to_string()))?;
    if text.len() > REQUEST_BYTES_MAX {
        let reason = format!("{} bytes are too many", text.len());
        return Err(OpenError::Request(reason));
    }
    Ok(text)
}

/// Runs `work`; if it takes long, asks the lane to prove that it lives.
async fn probing<T>(probe: &Notify, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if let Ok(outcome) = tokio::time::timeout(PROBE_AFTER, work.as_mut()).await {
        return outcome;
    }
    probe.notify_one();
    work.await
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Carries out what the pool decides: dials, follows lines, checks announcements, and drains when
//! the agent stops.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::supervise::{BoxError, Scope};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::announcement::{Announcement, Verify};
use super::pool::{Action, DialId, Event, Pool, PoolSettings};
use crate::line::{
    AgentEvent, AgentLine, AgentLineHandle, AgentLineState, Connector, Drain, Handler, Message,
};
use crate::membership::{self, Disbelieved, ToHub};

/// The longest dial, over all its steps.
pub const DIAL_LIMIT: Duration = Duration::from_secs(30);
/// Events that wait for the pool; who has more waits.
const EVENTS_MAX: usize = 256;
/// The longest sleep, so that a clock that jumped is noticed.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// Takes what a proxy tells about the membership of the agent. It must not block.
pub type Heard = Arc<dyn Fn(&AgentLineHandle, String) + Send + Sync>;

/// What an agent is told.
#[derive(Clone)]
pub struct AgentSettings {
    /// Which proxies to keep lines to.
    pub pool: PoolSettings,
    /// The cluster whose announcements are believed.
    pub cluster: String,
    /// The check of their signatures.
    pub verify: Verify,
    /// Takes the notes of proxies.
    pub heard: Heard,
    /// Between two reports to a hub of announcements that are not believed.
    pub report_pause: Duration,
    /// How long open streams may go on when the agent stops.
    pub drain_limit: Duration,
}

impl fmt::Debug for AgentSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentSettings")
            .field("pool", &self.pool)
            .field("cluster", &self.cluster)
            .field("drain_limit", &self.drain_limit)
            .finish_non_exhaustive()
    }
}

/// An agent; clones share it, one of them runs it.
#[derive(Clone)]
pub struct Agent {
    inner: Arc<Inner>,
}

struct Inner {
    settings: AgentSettings,
    connector: Connector,
    handler: Handler,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    lines: BTreeMap<DialId, AgentLineHandle>,
    dialling: usize,
    known: usize,
    last_error: Option<String>,
    /// When a hub was told last of an announcement that is not believed.
    reported: Option<Instant>,
}

/// How an agent is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentStatus {
    /// Its lines.
    pub lines: Vec<AgentLineState>,
    /// Dials under way.
    pub dialling: usize,
    /// Proxies it knows of.
    pub known: usize,
    /// What went wrong last.
    pub last_error: Option<String>,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("settings", &self.inner.settings)
            .finish_non_exhaustive()
    }
}

/// What the tasks of an agent tell it.
enum Happened {
    Event(Event),
    Connected(DialId, AgentLine),
}

impl Agent {
    /// An agent that answers open requests with `handler`.
    pub fn new(settings: AgentSettings, connector: Connector, handler: Handler) -> Self {
        let inner = Inner {
            settings,
            connector,
            handler,
            shown: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// How it is doing.
    pub fn status(&self) -> AgentStatus {
        let shown = self.shown();
        AgentStatus {
            lines: shown.lines.values().map(AgentLineHandle::state).collect(),
            dialling: shown.dialling,
            known: shown.known,
            last_error: shown.last_error.clone(),
        }
    }

    /// Its lines.
    pub fn lines(&self) -> Vec<AgentLineHandle> {
        self.shown().lines.values().cloned().collect()
    }

    /// Keeps lines until the scope stops, then drains them.
    ///
    /// # Errors
    /// None: what goes wrong is tried again.
    pub async fn run(self, scope: Scope) -> Result<(), BoxError> {
        let (tell, mut told) = mpsc::channel(EVENTS_MAX);
        let mut pool = Pool::new(self.inner.settings.pool.clone());
        let mut stopping = std::pin::pin!(scope.stopping());
        self.step(&mut pool, Event::Tick, &scope, &tell);
        loop {
            let event = tokio::select! {
                () = &mut stopping => break,
                () = sleep(until(&pool)) => Event::Tick,
                Some(happened) = told.recv() => match happened {
                    Happened::Event(event) => event,
                    Happened::Connected(dial, line) => self.welcome(dial, line, &scope, &tell),
                },
            };
            self.step(&mut pool, event, &scope, &tell);
        }
        drop(told);
        self.drain(&scope);
        Ok(())
    }

    fn step(&self, pool: &mut Pool, event: Event, scope: &Scope, tell: &mpsc::Sender<Happened>) {
        if let Event::Ended { line } = &event {
            self.shown().lines.remove(line);
        }
        for action in pool.step(event, clock::now()) {
            match action {
                Action::Dial { dial, address } => {
                    let task = self
                        .clone()
                        .dial(dial, address, scope.clone(), tell.clone());
                    scope.spawn("dial to a proxy", task);
                }
                Action::Close { line, reason } => {
                    // The pool has forgotten it, so it is not waited for.
                    if let Some(handle) = self.shown().lines.remove(&line) {
                        handle.close(reason);
                    }
                }
            }
        }
        let mut shown = self.shown();
        shown.dialling = pool.dials();
        shown.known = pool.known();
    }

    async fn dial(self, dial: DialId, address: String, scope: Scope, tell: mpsc::Sender<Happened>) {
        let inner = &self.inner;
        let connected = inner
            .connector
            .connect(&address, Arc::clone(&inner.handler), &scope);
        let limited = tokio::select! {
            limited = timeout(DIAL_LIMIT, connected) => limited,
            () = scope.stopping() => return,
        };
        let happened = match limited {
            Ok(Ok(line)) => Happened::Connected(dial, line),
            Ok(Err(error)) => self.dial_failed(dial, crate::line::chain(&error)),
            Err(_) => {
                let seconds = DIAL_LIMIT.as_secs();
                self.dial_failed(dial, format!("no line to {address} within {seconds} s"))
            }
        };
        // Fails when the agent stops; a line in it ends by being dropped.
        drop(tell.send(happened).await);
    }

    fn dial_failed(&self, dial: DialId, reason: String) -> Happened {
        tracing::warn!(%reason, "no line to a proxy");
        self.shown().last_error = Some(reason);
        Happened::Event(Event::Failed { dial })
    }

    /// A dial has become a line: follow it.
    fn welcome(
        &self,
        dial: DialId,
        line: AgentLine,
        scope: &Scope,
        tell: &mpsc::Sender<Happened>,
    ) -> Event {
        let proxy = line.proxy().id.clone();
        let welcome = line.welcome().clone();
        tracing::info!(proxy = %line.proxy().name, via = ?line.state().via, "line to a proxy");
        self.shown().lines.insert(dial, line.handle());
        scope.spawn(
            "line to a proxy",
            self.clone().follow(dial, line, tell.clone()),
        );
        Event::Connected {
            dial,
            proxy,
            welcome,
        }
    }

    async fn follow(self, dial: DialId, mut line: AgentLine, tell: mpsc::Sender<Happened>) {
        loop {
            let event = match line.next().await {
                AgentEvent::Message(Message::Announcement(signed)) => {
                    let settings = &self.inner.settings;
                    let now = clock::wall();
                    match Announcement::read(&signed, &settings.verify, &settings.cluster, now) {
                        Ok(announcement) => Event::Announced(Arc::new(announcement)),
                        Err(error) => {
                            self.report(&line, crate::line::chain(&error));
                            continue;
                        }
                    }
                }
                AgentEvent::Message(Message::Draining(drain)) => Event::Draining {
                    line: dial,
                    has_successor: drain.has_successor,
                    spread: Duration::from_millis(drain.spread_ms),
                },
                AgentEvent::Message(Message::Member(note)) => {
                    (self.inner.settings.heard)(&line.handle(), note.text);
                    continue;
                }
                // The line has dealt with the rest.
                AgentEvent::Message(_) => continue,
                AgentEvent::Ended { reason } => {
                    tracing::info!(proxy = %line.proxy().name, %reason, "line ended");
                    self.note_end(dial, format!("{}: {reason}", line.proxy().name));
                    // Fails when the agent stops.
                    drop(
                        tell.send(Happened::Event(Event::Ended { line: dial }))
                            .await,
                    );
                    return;
                }
            };
            if tell.send(Happened::Event(event)).await.is_err() {
                // The agent stops: this task keeps the line until it has drained.
                while !matches!(line.next().await, AgentEvent::Ended { .. }) {}
                return;
            }
        }
    }

    /// Has an announcement that is not believed recorded, by another proxy if there is one: the one that
    /// it came from may have made it up.
    fn report(&self, from: &AgentLine, reason: String) {
        let from = from.proxy();
        tracing::warn!(proxy = %from.name, error = reason, "announcement refused");
        let now = clock::now();
        let is_recent =
            |at: Instant| now.saturating_duration_since(at) < self.inner.settings.report_pause;
        if self.shown().reported.replace(now).is_some_and(is_recent) {
            return;
        }
        let proxy = from.name.clone();
        let Some(text) = membership::text(&ToHub::Disbelieved(Disbelieved { proxy, reason }))
        else {
            return;
        };
        let (own, others): (Vec<_>, Vec<_>) = self
            .lines()
            .into_iter()
            .partition(|line| line.state().proxy.id == from.id);
        let mut lines = others.iter().chain(&own);
        if !lines.any(|line| !line.is_closed() && line.tell(text.clone())) {
            tracing::debug!("no hub was told of the announcement that was refused");
        }
    }

    /// What the pool itself has ended, such as a second line to one proxy, is no longer shown, and its
    /// end is no error.
    fn note_end(&self, dial: DialId, reason: String) {
        let mut shown = self.shown();
        if shown.lines.contains_key(&dial) {
            shown.last_error = Some(reason);
        }
    }

    fn drain(&self, scope: &Scope) {
        let limit = self.inner.settings.drain_limit;
        for (_, handle) in std::mem::take(&mut self.shown().lines) {
            let reason = "the agent stops".to_owned();
            let notice = Drain {
                reason,
                has_successor: false,
                spread_ms: 0,
            };
            scope.spawn("drain of a line", async move {
                handle.drain(notice, limit).await;
            });
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.inner
            .shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long nothing is due.
fn until(pool: &Pool) -> Duration {
    let now = clock::now();
    let wait = |time: Instant| time.saturating_duration_since(now);
    pool.wake_at(now).map_or(SLEEP_MAX, wait).min(SLEEP_MAX)
}

//! The exit: five phases in order, each with a deadline, and a report of whoever was late. What
//! a phase means is up to its handlers; this file only orders, waits and cuts.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::stage::Stage;
use super::{REMAINING_LOG_CEILING, REMAINING_LOG_FIRST, Supervisor, tasks};

/// How long the handlers that stop accepting may take.
pub const STOP_ACCEPTING_LIMIT: Duration = Duration::from_secs(5);
/// How long the handlers that tell peers about the exit may take.
pub const ANNOUNCE_LIMIT: Duration = Duration::from_secs(5);
/// How long what is late has between the hard stop and being dropped.
pub const CLOSING_LIMIT: Duration = Duration::from_secs(2);
/// How long writing out what is in memory may take.
pub const FLUSH_LIMIT: Duration = Duration::from_secs(30);
/// How long closing the stores may take.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// The grace of a fast exit, for everything up to the end of the drain.
pub const FAST_GRACE: Duration = Duration::from_secs(3);
/// When a fast exit returns even if something is stuck.
pub const FAST_HARD_LIMIT: Duration = Duration::from_secs(5);
/// [`CLOSING_LIMIT`] of a fast exit.
const FAST_CLOSING_LIMIT: Duration = Duration::from_millis(250);
/// How long the next phase waits for dropped tasks to be gone; only one that blocks its thread
/// takes longer.
const CUT_LIMIT: Duration = Duration::from_millis(50);
/// How much of a fast exit is kept for what follows the flush.
const FAST_CLOSE_RESERVE: Duration = Duration::from_secs(1);
/// How long past the hard limit the caller waits for the exit's own report.
const REPORT_MARGIN: Duration = Duration::from_millis(100);

/// The phases of the exit, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Listeners close; services are told to stop.
    StopAccepting,
    /// Peers are told, so that they go elsewhere while the drain lasts.
    Announce,
    /// Accepted work finishes; its limit is the grace.
    Drain,
    /// What is in memory is written out.
    Flush,
    /// Stores close.
    Close,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [
        Self::StopAccepting,
        Self::Announce,
        Self::Drain,
        Self::Flush,
        Self::Close,
    ];

    /// The name as logs show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StopAccepting => "stop-accepting",
            Self::Announce => "announce",
            Self::Drain => "drain",
            Self::Flush => "flush",
            Self::Close => "close",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How to exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Within [`FAST_GRACE`], and in any case within [`FAST_HARD_LIMIT`].
    Fast,
    /// Accepted work has this long to finish.
    Graceful {
        /// The limit of everything up to the end of the drain.
        grace: Duration,
    },
}

/// What an exit handler is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitKind {
    /// Every moment counts.
    Fast,
    /// There is time to do it well.
    Graceful,
}

/// Something that did not end in its phase and was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// The phase.
    pub phase: Phase,
    /// What it was, such as `service web` or `handler close-store`.
    pub name: String,
}

/// How the exit went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitReport {
    /// What was dropped.
    pub late: Vec<Late>,
    /// How long it took.
    pub elapsed: Duration,
}

type Handling = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Handler {
    phase: Phase,
    name: String,
    run: Box<dyn FnOnce(ExitKind) -> Handling + Send>,
}

impl Handler {
    pub(super) fn new<F, H>(phase: Phase, name: String, handler: F) -> Self
    where
        F: FnOnce(ExitKind) -> H + Send + 'static,
        H: Future<Output = ()> + Send + 'static,
    {
        Self {
            phase,
            name,
            run: Box::new(move |kind| Box::pin(handler(kind))),
        }
    }
}

/// The deadlines of an exit; a more urgent call during the exit pulls them closer.
#[derive(Debug, Clone, Copy)]
struct Timeline {
    kind: ExitKind,
    began: Instant,
    drain_by: Instant,
    hard_by: Option<Instant>,
}

impl Timeline {
    fn new(exit: Exit, now: Instant) -> Self {
        let (kind, grace, hard_by) = match exit {
            Exit::Fast => (ExitKind::Fast, FAST_GRACE, Some(now + FAST_HARD_LIMIT)),
            Exit::Graceful { grace } => (ExitKind::Graceful, grace, None),
        };
        Self {
            kind,
            began: now,
            drain_by: now + grace,
            hard_by,
        }
    }

    fn tightened(self, other: Self) -> Self {
        let hard_by = match (self.hard_by, other.hard_by) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        let kind = if hard_by.is_some() {
            ExitKind::Fast
        } else {
            ExitKind::Graceful
        };
        Self {
            kind,
            began: self.began,
            drain_by: self.drain_by.min(other.drain_by),
            hard_by,
        }
    }

    fn deadline(&self, phase: Phase, began: Instant) -> Instant {
        let hard = |deadline: Instant, reserve| match self.hard_by {
            Some(by) => deadline.min(by - reserve),
            None => deadline,
        };
        match phase {
            Phase::StopAccepting => self.drain_by.min(began + STOP_ACCEPTING_LIMIT),
            Phase::Announce => self.drain_by.min(began + ANNOUNCE_LIMIT),
            Phase::Drain => self.drain_by,
            Phase::Flush => hard(began + FLUSH_LIMIT, FAST_CLOSE_RESERVE),
            Phase::Close => hard(began + CLOSE_LIMIT, FAST_CLOSING_LIMIT),
        }
    }
}

pub(super) struct Control {
    timeline: watch::Sender<Option<Timeline>>,
    report: watch::Sender<Option<ExitReport>>,
}

impl Control {
    pub(super) fn new() -> Self {
        Self {
            timeline: watch::Sender::new(None),
            report: watch::Sender::new(None),
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.timeline.borrow().is_some()
    }
}

pub(super) fn add_handler(supervisor: &Supervisor, handler: Handler) {
    let mut state = supervisor.lock();
    // The phase is advanced under the same lock that takes its handlers.
    let now = *supervisor.inner.phase.borrow();
    if now.is_none_or(|phase| phase < handler.phase) {
        state.handlers.push(handler);
        return;
    }
    let waits = state.waits.clone();
    match waits.filter(|_| now == Some(handler.phase)) {
        Some(Waits { handling, cut }) => {
            // Taken under the lock, so that the phase does not end before it has seen the handler.
            let token = handling.token();
            drop(state);
            spawn_handler(supervisor, handler, token, cut);
        }
        None => {
            drop(state);
            let kind = kind_of(supervisor);
            // The call is inside the caught future, so that its own panic is caught too.
            let run = async move { (handler.run)(kind).await };
            supervisor.spawn_background("exit-handler", run);
        }
    }
}

pub(super) fn begin(
    supervisor: &Supervisor,
    exit: Exit,
) -> impl Future<Output = ExitReport> + Send + use<> {
    let asked = Timeline::new(exit, Instant::now());
    let mut is_first = false;
    supervisor.inner.exit.timeline.send_modify(|timeline| {
        is_first = timeline.is_none();
        *timeline = Some(timeline.map_or(asked, |current| current.tightened(asked)));
    });
    if is_first {
        tracing::info!(exit = ?asked.kind, "exit begins");
        tasks::spawn_untracked(run(supervisor.clone(), asked.began));
    }
    outcome(supervisor.clone())
}

/// The report, or what is known at the hard limit if the exit itself is stuck.
async fn outcome(supervisor: Supervisor) -> ExitReport {
    let mut reports = supervisor.inner.exit.report.subscribe();
    let hard_limit = |timeline: &Timeline| timeline.hard_by.map(|by| by + REPORT_MARGIN);
    tokio::select! {
        biased;
        report = reports.wait_for(Option::is_some) => {
            if let Some(report) = report.ok().and_then(|report| (*report).clone()) {
                return report;
            }
        }
        () = pass(&supervisor, hard_limit) => {}
    }
    let phase = supervisor
        .inner
        .phase
        .borrow()
        .unwrap_or(Phase::StopAccepting);
    let began = supervisor
        .inner
        .exit
        .timeline
        .borrow()
        .map(|timeline| timeline.began);
    let names = supervisor.services();
    ExitReport {
        late: names.into_iter().map(|name| Late { phase, name }).collect(),
        elapsed: began.map_or(Duration::ZERO, |began| began.elapsed()),
    }
}

/// Resolves when the deadline has passed, which may come closer while waiting.
async fn pass(supervisor: &Supervisor, deadline: impl Fn(&Timeline) -> Option<Instant>) {
    let mut timelines = supervisor.inner.exit.timeline.subscribe();
    loop {
        let until = timelines.borrow_and_update().as_ref().and_then(&deadline);
        let passed = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = passed => return,
            changed = timelines.changed() => if changed.is_err() { return },
        }
    }
}

async fn run(supervisor: Supervisor, began: Instant) {
    let mut late = Vec::new();
    for phase in Phase::ALL {
        late.extend(run_phase(&supervisor, phase).await);
    }
    let elapsed = began.elapsed();
    tracing::info!(?elapsed, late = late.len(), "exit is complete");
    supervisor
        .inner
        .exit
        .report
        .send_replace(Some(ExitReport { late, elapsed }));
}

async fn run_phase(supervisor: &Supervisor, phase: Phase) -> Vec<Late> {
    let began = Instant::now();
    let (handlers, Waits { handling, cut }) = enter(supervisor, phase);
    tracing::debug!(%phase, handlers = handlers.len(), "exit phase begins");
    if let Some(stage) = Stage::told_by(phase) {
        supervisor.inner.stages.of(stage).stopping.cancel();
    }
    for handler in handlers {
        spawn_handler(supervisor, handler, handling.token(), cut.clone());
    }

    let awaited = Stage::awaited_by(phase);
    let finished = async {
        loop {
            handling.wait().await;
            if let Some(stage) = awaited {
                supervisor.inner.stages.of(stage).tracker.wait().await;
            }
            let mut state = supervisor.lock();
            if handling.is_empty() {
                state.waits = None;
                return;
            }
        }
    };
    tokio::pin!(finished);
    let is_late = tokio::select! {
        biased;
        () = &mut finished => false,
        () = pass(supervisor, |timeline| Some(timeline.deadline(phase, began))) => true,
        () = log_remaining(supervisor, phase) => true,
    };
    let mut late = Vec::new();
    if is_late {
        supervisor.lock().waits = None;
        late = remaining(supervisor, phase);
        for one in &late {
            tracing::warn!(%phase, name = one.name, "late at the exit and dropped");
        }
    }
    if let Some(stage) = awaited {
        let gate = supervisor.inner.stages.of(stage);
        gate.closing.cancel();
        if is_late {
            let limit = match kind_of(supervisor) {
                ExitKind::Fast => FAST_CLOSING_LIMIT,
                ExitKind::Graceful => CLOSING_LIMIT,
            };
            drop(timeout(limit, gate.tracker.wait()).await);
        }
        gate.cut.cancel();
        drop(timeout(CUT_LIMIT, gate.tracker.wait()).await);
    }
    cut.cancel();
    late
}

/// What a phase that is under way waits for besides its stage.
#[derive(Clone)]
pub(super) struct Waits {
    handling: TaskTracker,
    /// Drops the handlers that are late.
    cut: CancellationToken,
}

/// Makes the phase visible and takes its handlers, as one step.
fn enter(supervisor: &Supervisor, phase: Phase) -> (Vec<Handler>, Waits) {
    let waits = Waits {
        handling: TaskTracker::new(),
        cut: CancellationToken::new(),
    };
    // A closed tracker still takes handlers; closing only lets its wait end.
    waits.handling.close();
    let mut state = supervisor.lock();
    state.waits = Some(waits.clone());
    supervisor.inner.phase.send_replace(Some(phase));
    let (now, later) = std::mem::take(&mut state.handlers)
        .into_iter()
        .partition(|handler| handler.phase == phase);
    state.handlers = later;
    (now, waits)
}

fn spawn_handler(
    supervisor: &Supervisor,
    handler: Handler,
    token: TaskTrackerToken,
    cut: CancellationToken,
) {
    let kind = kind_of(supervisor);
    let Handler { phase, name, run } = handler;
    let id = {
        let mut state = supervisor.lock();
        let id = state.next_id();
        state.handling.insert(id, (phase, name.clone()));
        id
    };
    let owner = supervisor.clone();
    // The call is inside the caught future, so that its own panic is caught too.
    let caught = tasks::Caught::new(async move { run(kind).await });
    tasks::spawn_untracked(async move {
        tokio::select! {
            biased;
            () = cut.cancelled() => {}
            outcome = caught => if let Err(message) = outcome {
                tracing::error!(handler = name, message, "an exit handler panicked");
            }
        }
        owner.lock().handling.remove(&id);
        drop(token);
    });
}

pub(super) fn kind_of(supervisor: &Supervisor) -> ExitKind {
    supervisor
        .inner
        .exit
        .timeline
        .borrow()
        .map_or(ExitKind::Fast, |timeline| timeline.kind)
}

/// What keeps the phase from ending.
fn remaining(supervisor: &Supervisor, phase: Phase) -> Vec<Late> {
    let state = supervisor.lock();
    let mut names = Stage::awaited_by(phase).map_or_else(Vec::new, |stage| state.remaining(stage));
    let handling = state.handling.values().filter(|(of, _)| *of == phase);
    names.extend(handling.map(|(_, name)| format!("handler {name}")));
    names.into_iter().map(|name| Late { phase, name }).collect()
}

/// Names what is still waited for, less and less often. Never ends.
async fn log_remaining(supervisor: &Supervisor, phase: Phase) {
    let mut interval = REMAINING_LOG_FIRST;
    loop {
        tokio::time::sleep(interval).await;
        let names: Vec<_> = remaining(supervisor, phase)
            .into_iter()
            .map(|late| late.name)
            .collect();
        tracing::info!(%phase, remaining = names.join(", "), "exit waits");
        interval = (interval * 2).min(REMAINING_LOG_CEILING);
    }
}

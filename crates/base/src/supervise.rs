//! The only place that starts tasks: services with a name, a criticality and an end, the tracked
//! tasks they start, and the phases in which all of it stops. It decides nothing about signals or
//! exit codes (see `process`) and knows no metrics library: its counts are plain numbers.

mod exit;
mod run;
mod scope;
mod service;
mod stage;
mod tasks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

pub use self::exit::{
    ANNOUNCE_LIMIT, CLOSE_LIMIT, CLOSING_LIMIT, Exit, ExitKind, ExitReport, FAST_GRACE,
    FAST_HARD_LIMIT, FLUSH_LIMIT, Late, Phase, STOP_ACCEPTING_LIMIT,
};
pub(crate) use self::run::text_of;
pub use self::scope::Scope;
pub use self::service::{Criticality, Restart, Service};
use self::stage::{Stage, Stages};
use crate::events::{Bus, Topic};

/// Any error a service may end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A service has failed for good: it returned an error or panicked, and is not run again.
pub static SERVICE_EXITED_WITH_ERROR: Topic<ServiceFailure> =
    Topic::new("service-exited-with-error");

/// What [`SERVICE_EXITED_WITH_ERROR`] carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceFailure {
    /// The service.
    pub service: String,
    /// The error with its causes, or the panic's message.
    pub error: String,
    /// Whether the process cannot go on without the service.
    pub critical: bool,
}

/// What runs at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Running {
    /// The services that run or wait for the start, in the order of registration.
    pub services: Vec<RunningService>,
    /// The tracked tasks: how many run under each name.
    pub tasks: Vec<(&'static str, usize)>,
}

/// One service of [`Running`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningService {
    /// The name.
    pub name: String,
    /// Whether the process cannot go on without it.
    pub critical: bool,
    /// How often it was started again after a failure.
    pub restarts: u64,
}

/// What has gone wrong since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Services that ended with an error or a panic, restarted or not.
    pub failures: u64,
    /// Of these, the panics.
    pub panics: u64,
    /// Services started again after a failure.
    pub restarts: u64,
    /// Tracked tasks that panicked.
    pub task_panics: u64,
}

/// Owns every task of the process; clones share it. Its methods that start something must be
/// called inside a tokio runtime.
#[derive(Clone)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

struct Inner {
    bus: Bus,
    state: Mutex<State>,
    stages: Stages,
    /// Holds every service that has not ended; closed by the start, so that `wait` can end.
    services: TaskTracker,
    counters: Counters,
    phase: watch::Sender<Option<Phase>>,
    exit: exit::Control,
}

#[derive(Default)]
struct State {
    is_started: bool,
    unstarted: Vec<(u64, Service)>,
    services: BTreeMap<u64, Entry>,
    tasks: BTreeMap<(Option<Stage>, &'static str), usize>,
    handlers: Vec<exit::Handler>,
    handling: BTreeMap<u64, (Phase, String)>,
    /// Of the phase of the exit that is under way.
    waits: Option<exit::Waits>,
    next_id: u64,
}

struct Entry {
    name: Arc<str>,
    critical: bool,
    stage: Stage,
    restarts: u64,
}

#[derive(Default)]
struct Counters {
    failures: AtomicU64,
    panics: AtomicU64,
    restarts: AtomicU64,
    task_panics: AtomicU64,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("services", &self.services())
            .finish_non_exhaustive()
    }
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Supervisor {
    /// A supervisor with its own bus, not started.
    pub fn new() -> Self {
        let inner = Inner {
            bus: Bus::new(),
            state: Mutex::default(),
            stages: Stages::new(),
            services: TaskTracker::new(),
            counters: Counters::default(),
            phase: watch::Sender::new(None),
            exit: exit::Control::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The bus of this process.
    pub fn bus(&self) -> &Bus {
        &self.inner.bus
    }

    /// Adds a service: it runs from the start on, or at once if the start has been.
    pub fn register(&self, service: Service) {
        let (id, service) = {
            let mut state = self.lock();
            let id = state.next_id();
            let entry = Entry {
                name: service.name.clone(),
                critical: service.criticality == Criticality::Critical,
                stage: service.stage,
                restarts: 0,
            };
            state.services.insert(id, entry);
            if !state.is_started {
                state.unstarted.push((id, service));
                return;
            }
            (id, service)
        };
        self.launch(id, service);
    }

    /// Runs what was registered. Further calls do nothing.
    pub fn start(&self) {
        let services = {
            let mut state = self.lock();
            state.is_started = true;
            std::mem::take(&mut state.unstarted)
        };
        if services.is_empty() && !self.inner.services.is_closed() {
            tracing::info!("started without services");
        }
        for (id, service) in services {
            self.launch(id, service);
        }
        self.inner.services.close();
    }

    /// Waits until started and every service has ended.
    pub async fn wait(&self) {
        self.inner.services.wait().await;
    }

    /// The names of the services that have not ended, in the order of registration.
    pub fn services(&self) -> Vec<String> {
        self.lock()
            .services
            .values()
            .map(|entry| entry.name.to_string())
            .collect()
    }

    /// How many services have not ended.
    pub fn count(&self) -> usize {
        self.lock().services.len()
    }

    /// What runs now, for gauges and diagnostics.
    pub fn running(&self) -> Running {
        let state = self.lock();
        let describe = |entry: &Entry| RunningService {
            name: entry.name.to_string(),
            critical: entry.critical,
            restarts: entry.restarts,
        };
        let services = state.services.values().map(describe).collect();
        let mut tasks = BTreeMap::new();
        for ((_, name), count) in &state.tasks {
            *tasks.entry(*name).or_insert(0) += count;
        }
        Running {
            services,
            tasks: tasks.into_iter().collect(),
        }
    }

    /// What has gone wrong since the start, for counters.
    pub fn totals(&self) -> Totals {
        let counters = &self.inner.counters;
        Totals {
            failures: counters.failures.load(Ordering::Relaxed),
            panics: counters.panics.load(Ordering::Relaxed),
            restarts: counters.restarts.load(Ordering::Relaxed),
            task_panics: counters.task_panics.load(Ordering::Relaxed),
        }
    }

    /// Starts a tracked task, such as one connection or one login. The drain waits for it up to
    /// the grace and drops it then. A panic is logged under the name and counted.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let stage = self.inner.stages.of(Stage::Serve);
        let place = tasks::Place {
            stage: Some(Stage::Serve),
            tracker: stage.tracker.clone(),
            cut: stage.cut.clone(),
        };
        tasks::spawn(self, name, place, task);
    }

    /// Starts a tracked task nobody waits for, such as watching a child that outlives us. It is
    /// dropped at the very end of the exit.
    pub fn spawn_background(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let cut = self.inner.stages.of(Stage::Close).cut.clone();
        let place = tasks::Place {
            stage: None,
            tracker: TaskTracker::new(),
            cut,
        };
        tasks::spawn(self, name, place, task);
    }

    /// The phase of the exit; nothing while the process serves.
    pub fn phase(&self) -> watch::Receiver<Option<Phase>> {
        self.inner.phase.subscribe()
    }

    /// Has `handler` run when the exit reaches `phase`; at once if it has reached it already,
    /// and then the phase waits for it if it is not over. The handlers of one phase run side by side; one that is late is dropped and reported.
    pub fn on_exit<F, H>(&self, phase: Phase, name: impl Into<String>, handler: F)
    where
        F: FnOnce(ExitKind) -> H + Send + 'static,
        H: Future<Output = ()> + Send + 'static,
    {
        exit::add_handler(self, exit::Handler::new(phase, name.into(), handler));
    }

    /// Begins the exit with this very call and returns what resolves at its end. During an exit,
    /// a second call shortens it if it is the more urgent one, and never lengthens it.
    pub fn shutdown(&self, exit: Exit) -> impl Future<Output = ExitReport> + Send + use<> {
        exit::begin(self, exit)
    }

    /// How urgent the exit under way is; `Fast` when none has begun.
    pub fn exit_kind(&self) -> ExitKind {
        exit::kind_of(self)
    }

    /// Whether an exit has begun.
    pub fn is_exiting(&self) -> bool {
        self.inner.exit.has_begun()
    }

    fn launch(&self, id: u64, service: Service) {
        let tracked = self.inner.services.token();
        let staged = self.inner.stages.of(service.stage).tracker.token();
        let supervisor = self.clone();
        tasks::spawn_untracked(async move {
            run::run(supervisor, id, service).await;
            drop((tracked, staged));
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Names of the services and tasks that keep a stage from ending.
    fn remaining(&self, stage: Stage) -> Vec<String> {
        let services = self.services.values().filter(|entry| entry.stage == stage);
        let services = services.map(|entry| format!("service {}", entry.name));
        let tasks = self.tasks.iter().filter(|((of, _), _)| *of == Some(stage));
        let tasks = tasks.map(|((_, name), count)| format!("task {name} ({count})"));
        services.chain(tasks).collect()
    }
}

/// The interval at which a drain names what remains: doubled each time, up to the ceiling.
const REMAINING_LOG_FIRST: Duration = Duration::from_secs(1);
const REMAINING_LOG_CEILING: Duration = Duration::from_hours(1);

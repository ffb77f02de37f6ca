//! The life of the process from its start to its exit code: signals, replacement, the ready step
//! and failed services, handled one at a time in one loop. What the services do is theirs; how
//! they stop is in `supervise`.

mod diagnostics;
pub mod exit_code;
mod hooks;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::os::unix::process::parent_id;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::oneshot;

pub use self::hooks::{Hooks, ProcessHandle, Request, RequestError};
use crate::clock;
use crate::events::{Delivery, Listener, Topic, WaitError};
use crate::handover::{
    REPLACEMENT_ENDED, Replacement, ReplacementError, announce_ready, spawn_replacement,
};
use crate::pid_file::PidFile;
use crate::supervise::{
    Exit, ExitReport, SERVICE_EXITED_WITH_ERROR, ServiceFailure, Supervisor, text_of,
};
use crate::unix_signals::{Signal, Signals};

/// Everything that was configured serves. `app` maps the names of what must have happened to it.
pub static READY: Topic<()> = Topic::new("ready");

/// How long the process may take to become ready.
pub const READY_LIMIT: Duration = Duration::from_mins(2);
/// How long accepted work may go on after QUIT or a replacement.
pub const GRACEFUL_LIMIT: Duration = Duration::from_hours(30);

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// One of [`exit_code`].
    pub code: u8,
    /// Why it ended, for the last line of the log.
    pub reason: String,
    /// What was late.
    pub report: ExitReport,
}

/// Starts the supervisor and stays until the process is to end. `signals` must have been
/// installed before the services were built.
pub async fn run(supervisor: Supervisor, signals: Signals, hooks: Hooks) -> Outcome {
    let mut process = Process::start(supervisor, signals, hooks);
    loop {
        let event = process.next().await;
        if let Some(outcome) = process.handle(event) {
            return outcome;
        }
    }
}

type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type ReplyTo = Option<oneshot::Sender<Result<u32, RequestError>>>;

struct Process {
    supervisor: Supervisor,
    signals: Signals,
    hooks: Hooks,
    failures: Listener<ServiceFailure>,
    successor_ends: Listener<u32>,
    ready: Option<Waiting<Result<(), WaitError>>>,
    replacing: Option<Replacing>,
    exiting: Option<Exiting>,
    is_ready: bool,
    /// The successor that is the main process now; this one tells systemd nothing more.
    replaced_by: Option<u32>,
}

struct Replacing {
    outcome: Waiting<Result<u32, ReplacementError>>,
    /// Whether this process drains once the successor is ready.
    drains: bool,
    reply: ReplyTo,
}

struct Exiting {
    report: Waiting<ExitReport>,
    code: u8,
    reason: String,
}

enum Event {
    Signal(Signal),
    Request(Request),
    Failure(Delivery<ServiceFailure>),
    Ready(Result<(), WaitError>),
    SuccessorEnded(Delivery<u32>),
    Replaced(Result<u32, ReplacementError>),
    Exited(ExitReport),
}

impl Process {
    fn start(supervisor: Supervisor, signals: Signals, hooks: Hooks) -> Self {
        let failures = supervisor.bus().listen(&SERVICE_EXITED_WITH_ERROR);
        let successor_ends = supervisor.bus().listen(&REPLACEMENT_ENDED);
        let bus = supervisor.bus().clone();
        let limit = hooks.ready_limit;
        supervisor.start();
        Self {
            supervisor,
            signals,
            hooks,
            failures,
            successor_ends,
            ready: Some(Box::pin(
                async move { bus.wait_timeout(&READY, limit).await },
            )),
            replacing: None,
            exiting: None,
            is_ready: false,
            replaced_by: None,
        }
    }

    /// Every branch is cancel-safe: what is not taken stays in its place. A successor that has
    /// said that it is ready comes before the signals: an exit must not kill it any more.
    async fn next(&mut self) -> Event {
        tokio::select! {
            biased;
            report = resolved(self.exiting.as_mut().map(|one| &mut one.report)) => {
                Event::Exited(report)
            }
            outcome = resolved(self.replacing.as_mut().map(|one| &mut one.outcome)) => {
                Event::Replaced(outcome)
            }
            signal = self.signals.next() => Event::Signal(signal),
            failure = self.failures.next() => Event::Failure(failure),
            ended = self.successor_ends.next() => Event::SuccessorEnded(ended),
            ready = resolved(self.ready.as_mut()) => Event::Ready(ready),
            Some(request) = self.hooks.requests.recv() => Event::Request(request),
        }
    }

    fn handle(&mut self, event: Event) -> Option<Outcome> {
        match event {
            Event::Signal(signal) => self.handle_signal(signal),
            Event::Request(request) => self.handle_request(request),
            Event::Failure(failure) => self.handle_failure(failure),
            Event::Ready(Ok(())) => self.become_ready(),
            Event::Ready(Err(error)) => {
                self.exit(
                    Exit::Fast,
                    exit_code::NOT_READY,
                    format!("not ready: {error}"),
                );
            }
            Event::Replaced(outcome) => self.handle_replaced(outcome),
            Event::SuccessorEnded(ended) => self.handle_successor_ended(&ended),
            Event::Exited(report) => {
                while let Some(failure) = self.failures.try_next() {
                    self.handle_failure(failure);
                }
                let Exiting { code, reason, .. } = self.exiting.take()?;
                return Some(Outcome {
                    code,
                    reason,
                    report,
                });
            }
        }
        None
    }

    fn handle_signal(&mut self, signal: Signal) {
        tracing::info!(signal = signal.as_str(), "signal");
        let reason = || format!("signal {}", signal.as_str());
        match signal {
            Signal::Terminate | Signal::Interrupt => {
                self.exit(Exit::Fast, exit_code::CLEAN, reason());
            }
            Signal::Quit => self.exit(graceful(), exit_code::CLEAN, reason()),
            Signal::User1 => self.log_diagnostics(),
            Signal::User2 => self.replace(false, None),
            Signal::Hangup => self.replace(true, None),
        }
    }

    fn handle_request(&mut self, request: Request) {
        match request {
            Request::Stop { exit, reason } => self.exit(exit, exit_code::CLEAN, reason),
            Request::Replace { drains, reply } => self.replace(drains, Some(reply)),
            Request::Diagnostics => self.log_diagnostics(),
        }
    }

    fn handle_failure(&mut self, failure: Delivery<ServiceFailure>) {
        let (service, error, critical) = match failure {
            Delivery::Value(failure) => (failure.service, failure.error, failure.critical),
            Delivery::Lagged(count) => {
                tracing::error!(count, "failures of services were missed");
                return;
            }
        };
        if !critical {
            tracing::warn!(service, error, "service failed; the process goes on");
            return;
        }
        tracing::error!(service, error, "critical service failed");
        let reason = format!("critical service {service} failed: {error}");
        match &mut self.exiting {
            Some(exiting) if exiting.code == exit_code::CLEAN => {
                exiting.code = exit_code::FAILED;
                exiting.reason = format!("{}, then {reason}", exiting.reason);
            }
            Some(_) => {}
            None if self.is_ready => self.exit(Exit::Fast, exit_code::FAILED, reason),
            None => self.exit(Exit::Fast, exit_code::NOT_READY, reason),
        }
    }

    fn become_ready(&mut self) {
        self.ready = None;
        self.is_ready = true;
        let unused = self.hooks.listeners.unused();
        if !unused.is_empty() {
            tracing::info!(
                listeners = unused.join(", "),
                "inherited and not configured; closed"
            );
        }
        let took = clock::now().saturating_duration_since(self.hooks.started);
        let pid = std::process::id();
        // Whoever waits for the pid file to change may then rely on us, and on nobody before.
        if let Some(path) = self.hooks.pid_path.take() {
            match PidFile::acquire(&path, true) {
                Ok(file) => self.hooks.pid_file = Some(file),
                Err(error) => tracing::warn!(error = text_of(&error), "no pid file"),
            }
        }
        match self.hooks.ready_pipe.take() {
            Some(pipe) => {
                if let Err(error) = announce_ready(pipe) {
                    tracing::warn!(%error, "the process we replace did not hear that we are ready");
                }
                self.hooks.notifier.ready_as_main(pid);
            }
            None => self.hooks.notifier.ready(),
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(pid, took_ms, "ready");
    }

    fn replace(&mut self, drains: bool, reply: ReplyTo) {
        let replacement = match self.may_replace(drains) {
            Ok(replacement) => replacement,
            Err(refusal) => {
                tracing::warn!(reason = refusal, "not replaced");
                answer(reply, Err(RequestError::Refused(refusal.to_owned())));
                return;
            }
        };
        // The newest HUP wins: the successor under way may have read what has changed since.
        self.abandon_replacement("a newer replacement takes its place");
        self.hooks.notifier.reloading();
        let (supervisor, listeners) = (self.supervisor.clone(), self.hooks.listeners.clone());
        let outcome =
            Box::pin(async move { spawn_replacement(&supervisor, &listeners, &replacement).await });
        self.replacing = Some(Replacing {
            outcome,
            drains,
            reply,
        });
    }

    /// How to start a successor now, or why not.
    fn may_replace(&self, drains: bool) -> Result<Replacement, &'static str> {
        if self.exiting.is_some() {
            Err("the process is stopping")
        } else if !self.is_ready {
            // Its predecessor waits for it: a chain of three would have two main processes.
            Err("the process is not ready yet")
        } else if self.replaced_by.is_some() {
            Err(
                "this process is replaced already; signal its replacement, or stop this one with QUIT",
            )
        } else if self.replacing.is_some() && !drains {
            Err("another replacement is under way")
        } else {
            let replacement = self.hooks.replacement.clone();
            replacement.ok_or("this process was not started so that it can be replaced")
        }
    }

    /// Ends a replacement that is not ready: its future kills the successor when dropped.
    fn abandon_replacement(&mut self, reason: &str) {
        if let Some(Replacing { reply, outcome, .. }) = self.replacing.take() {
            drop(outcome);
            // It takes the file just before its word, so it may have come that far.
            self.restore_pid_file();
            answer(reply, Err(RequestError::Refused(reason.to_owned())));
        }
    }

    fn handle_replaced(&mut self, outcome: Result<u32, ReplacementError>) {
        let Some(Replacing { drains, reply, .. }) = self.replacing.take() else {
            return;
        };
        match outcome {
            Ok(pid) => {
                self.replaced_by = Some(pid);
                self.hooks.notifier.ready_as_main(pid);
                tracing::info!(pid, drains, "replacement is ready");
                answer(reply, Ok(pid));
                if drains {
                    let reason = format!("replaced by process {pid}");
                    self.exit(graceful(), exit_code::CLEAN, reason);
                }
            }
            Err(error) => {
                let reason = text_of(&error);
                tracing::error!(reason, "not replaced; this process goes on");
                self.restore_pid_file();
                self.hooks.notifier.ready();
                answer(reply, Err(RequestError::Refused(reason)));
            }
        }
    }

    /// After USR2 both serve. If the successor ends first, this process is the main one again.
    fn handle_successor_ended(&mut self, ended: &Delivery<u32>) {
        let is_main = self
            .replaced_by
            .is_some_and(|pid| *ended == Delivery::Value(pid));
        if !is_main || self.exiting.is_some() {
            return;
        }
        self.replaced_by = None;
        self.restore_pid_file();
        self.hooks.notifier.ready_as_main(std::process::id());
    }

    fn restore_pid_file(&mut self) {
        if let Some(pid_file) = &mut self.hooks.pid_file
            && let Err(error) = pid_file.restore()
        {
            tracing::warn!(error = text_of(&error), "no pid file");
        }
    }

    /// Begins the exit, or shortens the one that has begun.
    fn exit(&mut self, exit: Exit, code: u8, reason: String) {
        // A successor that is not ready yet must not outlive us unwatched.
        self.abandon_replacement("the process is stopping");
        self.ready = None;
        // With it our predecessor learns that no word will come.
        self.hooks.ready_pipe = None;
        if self.exiting.is_none() {
            tracing::info!(reason, code, "stopping");
            self.hooks.listeners.refuse_new();
        }
        let report = Box::pin(self.supervisor.shutdown(exit));
        self.exiting.get_or_insert(Exiting {
            report,
            code,
            reason,
        });
        self.tell_exit(exit);
    }

    /// What systemd should know. A predecessor that lives is the main process again. Otherwise a
    /// fast exit is told, but not a graceful one: with that word the time of `TimeoutStopSec`
    /// begins, after which systemd kills whatever still drains.
    fn tell_exit(&self, exit: Exit) {
        let predecessor = self.hooks.predecessor.filter(|pid| *pid == parent_id());
        match (self.replaced_by, predecessor) {
            (Some(_), _) => {}
            (None, Some(pid)) => self.hooks.notifier.ready_as_main(pid),
            (None, None) if exit == Exit::Fast => self.hooks.notifier.stopping(),
            (None, None) => {}
        }
    }

    fn log_diagnostics(&self) {
        let own = diagnostics::lines(&self.supervisor, self.is_ready);
        for line in own.into_iter().chain((self.hooks.diagnostics)()) {
            tracing::info!(target: "diagnostics", "{line}");
        }
    }
}

/// Never resolves if there is nothing to wait for.
async fn resolved<T>(waiting: Option<&mut Waiting<T>>) -> T {
    match waiting {
        Some(waiting) => waiting.await,
        None => std::future::pending().await,
    }
}

fn graceful() -> Exit {
    Exit::Graceful {
        grace: GRACEFUL_LIMIT,
    }
}

fn answer(reply: ReplyTo, outcome: Result<u32, RequestError>) {
    if let Some(reply) = reply
        && reply.send(outcome).is_err()
    {
        tracing::debug!("nobody waits for the outcome of the replacement any more");
    }
}

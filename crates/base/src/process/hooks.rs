//! What the process loop is given by `app`, and the handle by which others ask something of it.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::READY_LIMIT;
use crate::handover::Replacement;
use crate::listeners::Listeners;
use crate::notify::Notifier;
use crate::pid_file::PidFile;
use crate::supervise::Exit;

/// How many requests may wait for the loop.
const REQUESTS_MAX: usize = 16;

/// Everything around the services.
pub struct Hooks {
    /// When the process started.
    pub started: Instant,
    /// How long it may take to become ready.
    pub ready_limit: Duration,
    /// The pipe of the process we replace.
    pub ready_pipe: Option<OwnedFd>,
    /// The process we replace; our parent as long as it lives.
    pub predecessor: Option<u32>,
    /// The listeners, for a successor.
    pub listeners: Listeners,
    /// How to start a successor; without it USR2 and HUP are refused.
    pub replacement: Option<Replacement>,
    /// The pid file, held until the end.
    pub pid_file: Option<PidFile>,
    /// The pid file that a replacement takes over once it is ready.
    pub pid_path: Option<PathBuf>,
    /// The way to systemd.
    pub notifier: Notifier,
    /// Further lines for the diagnostics of USR1.
    pub diagnostics: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    pub(super) requests: mpsc::Receiver<Request>,
    handle: ProcessHandle,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

impl Hooks {
    /// Only what every process has; the rest is set field by field.
    pub fn new(started: Instant, listeners: Listeners) -> Self {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        Self {
            started,
            ready_limit: READY_LIMIT,
            ready_pipe: None,
            predecessor: None,
            listeners,
            replacement: None,
            pid_file: None,
            pid_path: None,
            notifier: Notifier::default(),
            diagnostics: Box::new(Vec::new),
            requests,
            handle: ProcessHandle { requests: sender },
        }
    }

    /// The way to ask something of the process from inside.
    pub fn handle(&self) -> ProcessHandle {
        self.handle.clone()
    }
}

/// Something the program itself asks of the process.
#[derive(Debug)]
pub enum Request {
    /// To end.
    Stop {
        /// How.
        exit: Exit,
        /// Why, for the log.
        reason: String,
    },
    /// To be replaced, as by USR2, or with `drains` as by HUP.
    Replace {
        /// Whether this process ends once its successor is ready.
        drains: bool,
        /// Told the successor's process id, or why there is none.
        reply: oneshot::Sender<Result<u32, RequestError>>,
    },
    /// To log its diagnostics, as by USR1.
    Diagnostics,
}

/// A request that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Too many requests wait.
    #[error("the process is busy; try again")]
    Busy,
    /// The loop has ended.
    #[error("the process is ending")]
    Ended,
    /// It was tried or refused, for this reason.
    #[error("{0}")]
    Refused(String),
}

/// Asks the process to do what a signal would; clones ask the same process.
#[derive(Debug, Clone)]
pub struct ProcessHandle {
    requests: mpsc::Sender<Request>,
}

impl ProcessHandle {
    /// Asks the process to end, with exit code 0.
    pub fn stop(&self, exit: Exit, reason: impl Into<String>) -> Result<(), RequestError> {
        self.send(Request::Stop {
            exit,
            reason: reason.into(),
        })
    }

    /// Asks for a replacement and waits until it is ready; gives its process id. With `drains`
    /// this process ends gracefully then.
    pub async fn replace(&self, drains: bool) -> Result<u32, RequestError> {
        let (reply, outcome) = oneshot::channel();
        self.send(Request::Replace { drains, reply })?;
        outcome.await.unwrap_or(Err(RequestError::Ended))
    }

    /// Asks for the diagnostics in the log.
    pub fn log_diagnostics(&self) -> Result<(), RequestError> {
        self.send(Request::Diagnostics)
    }

    fn send(&self, request: Request) -> Result<(), RequestError> {
        self.requests
            .try_send(request)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => RequestError::Busy,
                mpsc::error::TrySendError::Closed(_) => RequestError::Ended,
            })
    }
}

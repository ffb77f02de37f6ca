//! What a running service is given: when to stop, where to start its own tasks.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

use super::{Supervisor, tasks};
use crate::events::Bus;

/// A service's view of the process; clones share it.
#[derive(Clone)]
pub struct Scope {
    pub(super) supervisor: Supervisor,
    pub(super) service: Arc<str>,
    pub(super) stopping: CancellationToken,
    pub(super) closing: CancellationToken,
    pub(super) cut: CancellationToken,
    pub(super) children: TaskTracker,
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl Scope {
    /// The name of the service.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Resolves when the service should take nothing new and finish what it has.
    pub fn stopping(&self) -> WaitForCancellationFutureOwned {
        self.stopping.clone().cancelled_owned()
    }

    /// Resolves when the service should return now; it is dropped shortly after.
    pub fn closing(&self) -> WaitForCancellationFutureOwned {
        self.closing.clone().cancelled_owned()
    }

    /// Whether [`Scope::stopping`] has resolved.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// A token for code that wants one; it fires together with [`Scope::stopping`].
    pub fn stopping_token(&self) -> CancellationToken {
        self.stopping.child_token()
    }

    /// Starts a task of this service. The service has not ended before the task has; a failure
    /// of the service, or the end of its phase, drops the task. A panic is logged under the name
    /// and counted.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let place = tasks::Place {
            stage: None,
            tracker: self.children.clone(),
            cut: self.cut.clone(),
        };
        tasks::spawn(&self.supervisor, name, place, task);
    }

    /// The bus of this process.
    pub fn bus(&self) -> &Bus {
        self.supervisor.bus()
    }

    /// The supervisor, for registering further services and exit handlers.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }
}

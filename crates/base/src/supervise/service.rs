//! What a service is before it runs: its name, what its failure means, when it stops.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::stage::Stage;
use super::{BoxError, Phase, Scope};

/// What the failure of a service means for the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criticality {
    /// A warning; the process goes on.
    Plain,
    /// The end of the process.
    Critical,
}

/// Whether a failed service runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// A failure is final.
    #[default]
    Never,
    /// It runs again after a jittered delay that doubles from `first` to `ceiling`, and begins
    /// anew once the service has run for longer than `ceiling`.
    OnFailure {
        /// The delay after the first failure.
        first: Duration,
        /// The longest delay.
        ceiling: Duration,
    },
}

pub(super) type Ending = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

pub(super) enum Body {
    Once(Box<dyn FnOnce(Scope) -> Ending + Send>),
    Again(Box<dyn FnMut(Scope) -> Ending + Send>),
}

/// A long-lived piece of work. It has ended when its function has returned and every task it
/// started through its scope has ended; an error or a panic ends those tasks at once.
pub struct Service {
    pub(super) name: Arc<str>,
    pub(super) criticality: Criticality,
    pub(super) restart: Restart,
    pub(super) stage: Stage,
    pub(super) body: Body,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// A service that runs once. Returning without an error is never a failure.
    pub fn new<F, R>(name: impl Into<String>, criticality: Criticality, body: F) -> Self
    where
        F: FnOnce(Scope) -> R + Send + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let body = Body::Once(Box::new(move |scope| Box::pin(body(scope))));
        Self::with_body(name.into(), criticality, Restart::Never, body)
    }

    /// A service that can run again after a failure, hence a function that can be called again.
    /// Only a failure that is not followed by another run counts for its criticality.
    pub fn restarting<F, R>(
        name: impl Into<String>,
        criticality: Criticality,
        restart: Restart,
        mut body: F,
    ) -> Self
    where
        F: FnMut(Scope) -> R + Send + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let body = Body::Again(Box::new(move |scope| Box::pin(body(scope))));
        Self::with_body(name.into(), criticality, restart, body)
    }

    /// Says that the service is needed until the exit reaches `phase`: its scope tells it to stop
    /// then, and that phase waits for it. By default a service stops when the exit begins and
    /// the drain waits for it; a store or a status page stops at [`Phase::Flush`] or
    /// [`Phase::Close`].
    #[must_use]
    pub fn stops_at(mut self, phase: Phase) -> Self {
        self.stage = Stage::ending_in(phase);
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn with_body(name: String, criticality: Criticality, restart: Restart, body: Body) -> Self {
        Self {
            name: name.into(),
            criticality,
            restart,
            stage: Stage::Serve,
            body,
        }
    }
}

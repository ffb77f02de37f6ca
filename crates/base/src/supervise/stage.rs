//! The three groups in which services stop, each with the tokens that tell them so.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Phase;

/// Which group a service or task stops with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Told at the beginning of the exit, waited for by the drain.
    Serve,
    /// Told and waited for by the flush.
    Flush,
    /// Told and waited for by the close.
    Close,
}

impl Stage {
    pub(super) fn ending_in(phase: Phase) -> Self {
        match phase {
            Phase::StopAccepting | Phase::Announce | Phase::Drain => Self::Serve,
            Phase::Flush => Self::Flush,
            Phase::Close => Self::Close,
        }
    }

    /// The stage that is told to stop when the phase begins.
    pub(super) fn told_by(phase: Phase) -> Option<Self> {
        match phase {
            Phase::StopAccepting => Some(Self::Serve),
            Phase::Announce | Phase::Drain => None,
            Phase::Flush => Some(Self::Flush),
            Phase::Close => Some(Self::Close),
        }
    }

    /// The stage that the phase waits for.
    pub(super) fn awaited_by(phase: Phase) -> Option<Self> {
        match phase {
            Phase::StopAccepting | Phase::Announce => None,
            Phase::Drain => Some(Self::Serve),
            Phase::Flush => Some(Self::Flush),
            Phase::Close => Some(Self::Close),
        }
    }
}

/// One stage: each token is the child of the next, so the harder stop includes the softer.
pub(super) struct Gate {
    /// Finish what you have and take nothing new.
    pub(super) stopping: CancellationToken,
    /// Return now.
    pub(super) closing: CancellationToken,
    /// Whatever still runs is dropped.
    pub(super) cut: CancellationToken,
    /// Everything that keeps the stage from ending.
    pub(super) tracker: TaskTracker,
}

impl Gate {
    fn new() -> Self {
        let cut = CancellationToken::new();
        let closing = cut.child_token();
        let tracker = TaskTracker::new();
        // A closed tracker still takes tasks; closing only lets its wait end.
        tracker.close();
        Self {
            stopping: closing.child_token(),
            closing,
            cut,
            tracker,
        }
    }
}

pub(super) struct Stages {
    serve: Gate,
    flush: Gate,
    close: Gate,
}

impl Stages {
    pub(super) fn new() -> Self {
        Self {
            serve: Gate::new(),
            flush: Gate::new(),
            close: Gate::new(),
        }
    }

    pub(super) fn of(&self, stage: Stage) -> &Gate {
        match stage {
            Stage::Serve => &self.serve,
            Stage::Flush => &self.flush,
            Stage::Close => &self.close,
        }
    }
}

//! The life of one service: its runs, the pauses between them, and the word about its failure.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::service::{Body, Service};
use super::tasks::Caught;
use super::{
    BoxError, CLOSING_LIMIT, Criticality, Restart, SERVICE_EXITED_WITH_ERROR, Scope,
    ServiceFailure, Supervisor,
};

enum Outcome {
    Ended,
    Failed(String),
    /// Dropped at the end of its phase; reported there.
    Cut,
}

pub(super) async fn run(supervisor: Supervisor, id: u64, service: Service) {
    let Service {
        name,
        criticality,
        restart,
        stage,
        mut body,
    } = service;
    let gate = supervisor.inner.stages.of(stage);
    let mut pause = Pause::new(restart);
    let failure = loop {
        let scope = Scope {
            supervisor: supervisor.clone(),
            service: name.clone(),
            stopping: gate.stopping.clone(),
            closing: gate.closing.clone(),
            cut: gate.cut.child_token(),
            children: TaskTracker::new(),
        };
        let began = Instant::now();
        let (outcome, again) = run_once(body, scope).await;
        let Outcome::Failed(error) = outcome else {
            break None;
        };
        supervisor
            .inner
            .counters
            .failures
            .fetch_add(1, Ordering::Relaxed);
        let delay = pause.next(began.elapsed());
        let (Some(delay), Some(next)) = (delay, again) else {
            break Some(error);
        };
        if gate.stopping.is_cancelled() {
            break Some(error);
        }
        tracing::warn!(service = %name, error, delay_ms = millis(delay), "service starts again");
        tokio::select! {
            () = gate.stopping.cancelled() => break Some(error),
            () = tokio::time::sleep(delay) => {}
        }
        count_restart(&supervisor, id);
        body = next;
    };
    supervisor.lock().services.remove(&id);
    let Some(error) = failure else {
        tracing::debug!(service = %name, "service has ended");
        return;
    };
    let critical = criticality == Criticality::Critical;
    let failure = ServiceFailure {
        service: name.to_string(),
        error,
        critical,
    };
    supervisor
        .bus()
        .publish(&SERVICE_EXITED_WITH_ERROR, failure);
}

fn count_restart(supervisor: &Supervisor, id: u64) {
    supervisor
        .inner
        .counters
        .restarts
        .fetch_add(1, Ordering::Relaxed);
    if let Some(entry) = supervisor.lock().services.get_mut(&id) {
        entry.restarts += 1;
    }
}

/// One run with all its tasks; gives back the body if it can run again.
async fn run_once(body: Body, scope: Scope) -> (Outcome, Option<Body>) {
    let (caught, again) = call(body, scope.clone());
    let outcome = tokio::select! {
        biased;
        () = scope.cut.cancelled() => Outcome::Cut,
        result = caught => match result {
            Ok(Ok(())) => Outcome::Ended,
            Ok(Err(error)) => Outcome::Failed(text_of(error.as_ref())),
            Err(message) => {
                scope.supervisor.inner.counters.panics.fetch_add(1, Ordering::Relaxed);
                Outcome::Failed(format!("panicked: {message}"))
            }
        },
    };
    if !matches!(outcome, Outcome::Ended) {
        scope.cut.cancel();
    }
    scope.children.close();
    let children = scope.children.wait();
    if !matches!(outcome, Outcome::Failed(_)) {
        children.await;
    } else if timeout(CLOSING_LIMIT, children).await.is_err() {
        // A dropped task ends at its next await; the word of the failure can't wait for one that
        // blocks its thread.
        let tasks = scope.children.len();
        tracing::warn!(service = %scope.service, tasks, "the service failed; tasks still block");
    }
    (outcome, again)
}

/// The function is called inside the caught future, so that its own panic is caught too.
fn call(body: Body, scope: Scope) -> (Caught<Result<(), BoxError>>, Option<Body>) {
    match body {
        Body::Once(body) => (Caught::new(async move { body(scope).await }), None),
        Body::Again(mut body) => {
            let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(scope)));
            let again = Some(Body::Again(body));
            match made {
                Ok(ending) => (Caught::new(ending), again),
                Err(payload) => (
                    Caught::new(async move { std::panic::resume_unwind(payload) }),
                    again,
                ),
            }
        }
    }
}

/// The error and its causes in one line.
pub(crate) fn text_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The delays between runs; each service has its own, jittered, so that services which failed
/// together do not come back together.
pub(super) struct Pause {
    restart: Restart,
    failures: u32,
}

impl Pause {
    pub(super) fn new(restart: Restart) -> Self {
        Self {
            restart,
            failures: 0,
        }
    }

    pub(super) fn next(&mut self, ran_for: Duration) -> Option<Duration> {
        let Restart::OnFailure { first, ceiling } = self.restart else {
            return None;
        };
        if ran_for > ceiling {
            self.failures = 0;
        }
        let full = first
            .saturating_mul(1_u32 << self.failures.min(30))
            .min(ceiling);
        self.failures = self.failures.saturating_add(1);
        Some(full.mul_f64(0.5 + fastrand::f64() / 2.0))
    }
}

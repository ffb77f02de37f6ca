//! Starting tasks so that none is forgotten: counted by name, dropped on a token, panics caught.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Supervisor;
use super::stage::Stage;

/// Who waits for a task, and what drops it.
pub(super) struct Place {
    /// The stage whose end the task delays by itself, for naming it.
    pub(super) stage: Option<Stage>,
    pub(super) tracker: TaskTracker,
    pub(super) cut: CancellationToken,
}

pub(super) fn spawn(
    supervisor: &Supervisor,
    name: &'static str,
    place: Place,
    task: impl Future<Output = ()> + Send + 'static,
) {
    let counted = Counted::new(supervisor, place.stage, name);
    let tracked = place.tracker.token();
    let task = Caught::new(task);
    spawn_untracked(async move {
        tokio::select! {
            biased;
            () = place.cut.cancelled() => {}
            outcome = task => if let Err(message) = outcome {
                counted.supervisor.inner.counters.task_panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task = name, message, "a task panicked");
            }
        }
        drop((counted, tracked));
    });
}

/// The one home of task creation. Callers hold whatever tracks the task inside its future.
#[expect(
    clippy::disallowed_methods,
    reason = "the supervisor is the one home of task creation"
)]
pub(super) fn spawn_untracked(task: impl Future<Output = ()> + Send + 'static) {
    // The handle is not needed: the end is seen through what the future holds.
    drop(tokio::spawn(task));
}

/// One more task of a name, until dropped.
struct Counted {
    supervisor: Supervisor,
    key: (Option<Stage>, &'static str),
}

impl Counted {
    fn new(supervisor: &Supervisor, stage: Option<Stage>, name: &'static str) -> Self {
        *supervisor.lock().tasks.entry((stage, name)).or_insert(0) += 1;
        Self {
            supervisor: supervisor.clone(),
            key: (stage, name),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.supervisor.lock();
        if let Some(count) = state.tasks.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.tasks.remove(&self.key);
            }
        }
    }
}

/// A future whose panic becomes an error with the panic's message.
pub(super) struct Caught<T> {
    future: Pin<Box<dyn Future<Output = T> + Send>>,
}

impl<T> Caught<T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self {
            future: Box::pin(future),
        }
    }
}

impl<T> Future for Caught<T> {
    type Output = Result<T, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The future is never polled again after a panic, so no broken state of it is seen.
        match catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(payload) => Poll::Ready(Err(message_of(payload.as_ref()))),
        }
    }
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

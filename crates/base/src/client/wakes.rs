//! Wakes of a connection. It is several state machines that wake one another through channels. While
//! it is being driven such a wake says to drive it once more, there and then; only wakes from
//! outside, such as of the socket, wake the task, which would otherwise be run several times for each
//! request.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Rounds of one drive. The runtime makes a task that has had its share wait by waking it at once,
/// and only returning to the runtime ends that.
const ROUNDS_MAX: usize = 8;

const IDLE: u8 = 0;
const DRIVEN: u8 = 1;
const AGAIN: u8 = 2;

/// The waker of one connection.
pub(super) struct Wakes {
    shared: Arc<Shared>,
    waker: Waker,
}

struct Shared {
    state: AtomicU8,
    task: Mutex<Option<Waker>>,
}

impl Wakes {
    pub(super) fn new() -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU8::new(IDLE),
            task: Mutex::new(None),
        });
        Self {
            waker: Waker::from(Arc::clone(&shared)),
            shared,
        }
    }

    /// Calls `step` until it is ready, or until nothing is left that it could go on with. Then the
    /// task of `context` will be woken.
    pub(super) fn drive<T>(
        &self,
        context: &mut Context<'_>,
        mut step: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.shared.remember(context.waker());
        let mut inner = Context::from_waker(&self.waker);
        for _ in 0..ROUNDS_MAX {
            self.shared.state.store(DRIVEN, Ordering::Release);
            let outcome = step(&mut inner);
            let seen = self.shared.state.swap(IDLE, Ordering::AcqRel);
            if outcome.is_ready() || seen != AGAIN {
                return outcome;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Wakes nobody until the next drive.
    pub(super) fn forget(&self) {
        *self.shared.task() = None;
    }
}

impl Shared {
    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, waker: &Waker) {
        let mut task = self.task();
        match &mut *task {
            Some(task) => task.clone_from(waker),
            None => *task = Some(waker.clone()),
        }
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let swapped =
            self.state
                .compare_exchange(DRIVEN, AGAIN, Ordering::AcqRel, Ordering::Acquire);
        if swapped == Err(IDLE) {
            // Woken under the lock: wakers of the runtime only queue the task.
            if let Some(task) = &*self.task() {
                task.wake_by_ref();
            }
        }
    }
}

//! The hand-over of accepted work at shutdown: what has begun may finish, nothing new begins.
//! It counts; it neither runs the work nor sets a deadline for it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the work that was accepted and is not finished; clones share the count.
#[derive(Clone, Default)]
pub struct WorkTracker {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    active: usize,
    is_draining: bool,
    idlers: BTreeMap<u64, Waker>,
    next_idler: u64,
}

impl fmt::Debug for WorkTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkTracker")
            .field("active", &self.active())
            .finish()
    }
}

impl WorkTracker {
    /// Open, with no work.
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts a piece of work, or refuses it because the drain has begun.
    pub fn begin(&self) -> Option<WorkGuard> {
        let mut state = self.lock();
        if state.is_draining {
            return None;
        }
        state.active += 1;
        Some(WorkGuard {
            tracker: self.clone(),
        })
    }

    /// Closes for new work. What began before goes on.
    pub fn drain(&self) {
        self.lock().is_draining = true;
    }

    /// Whether new work is refused.
    pub fn is_draining(&self) -> bool {
        self.lock().is_draining
    }

    /// How many pieces of work are not finished.
    pub fn active(&self) -> usize {
        self.lock().active
    }

    /// Waits until no work is unfinished. Before [`WorkTracker::drain`] new work may begin right
    /// after; after it, idle is for good.
    pub async fn idle(&self) {
        let mut place = Place {
            tracker: self,
            id: None,
        };
        poll_fn(|context| {
            let mut state = self.lock();
            if state.active == 0 {
                return Poll::Ready(());
            }
            let id = *place.id.get_or_insert_with(|| {
                state.next_idler += 1;
                state.next_idler
            });
            state.idlers.insert(id, context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One waiter's entry, taken back when it stops waiting.
struct Place<'a> {
    tracker: &'a WorkTracker,
    id: Option<u64>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let waker = self.tracker.lock().idlers.remove(&id);
            drop(waker);
        }
    }
}

/// One accepted piece of work; dropping it says that the work is finished.
#[must_use = "the work counts as finished when the guard is dropped"]
pub struct WorkGuard {
    tracker: WorkTracker,
}

impl fmt::Debug for WorkGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkGuard").finish_non_exhaustive()
    }
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        let idlers = {
            let mut state = self.tracker.lock();
            state.active -= 1;
            if state.active > 0 {
                return;
            }
            std::mem::take(&mut state.idlers)
        };
        idlers.into_values().for_each(Waker::wake);
    }
}

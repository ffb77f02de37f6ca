//! Many callers want the same costly result: one leads and works, the others follow and share it.
//! It runs nothing itself and keeps no result once the flight is over.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The meeting place for one kind of work; clones share it.
pub struct SingleFlight<T> {
    current: Arc<Mutex<Option<Arc<Flight<T>>>>>,
}

impl<T> Clone for SingleFlight<T> {
    fn clone(&self) -> Self {
        Self {
            current: self.current.clone(),
        }
    }
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self {
            current: Arc::new(Mutex::new(None)),
        }
    }
}

impl<T> fmt::Debug for SingleFlight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

impl<T: Clone> SingleFlight<T> {
    /// Nobody leads yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Joins the flight under way, or begins one and is given its lead. Whoever is given the lead
    /// must finish it or drop it; its own [`Follow`] serves to wait like everyone else.
    pub fn join(&self) -> (Option<Lead<T>>, Follow<T>) {
        let mut current = lock(&self.current);
        if let Some(flight) = current.as_ref() {
            return (None, Follow::new(flight.clone()));
        }
        let flight = Arc::new(Flight {
            state: Mutex::new(FlightState::default()),
        });
        *current = Some(flight.clone());
        let follow = Follow::new(flight.clone());
        (
            Some(Lead {
                home: self.clone(),
                flight,
                is_over: false,
            }),
            follow,
        )
    }

    /// How many [`Follow`]s of the flight under way are held, the leader's own included.
    pub fn waiters(&self) -> usize {
        let current = lock(&self.current);
        current
            .as_ref()
            .map_or(0, |flight| lock(&flight.state).waiting.len())
    }
}

struct Flight<T> {
    state: Mutex<FlightState<T>>,
}

enum Progress<T> {
    UnderWay,
    Over(T),
    Abandoned,
}

struct FlightState<T> {
    progress: Progress<T>,
    waiting: BTreeMap<u64, Option<Waker>>,
    next: u64,
}

impl<T> Default for FlightState<T> {
    fn default() -> Self {
        Self {
            progress: Progress::UnderWay,
            waiting: BTreeMap::new(),
            next: 0,
        }
    }
}

/// The duty to bring the flight to its end.
#[must_use = "dropping the lead tells every follower that there is no result"]
pub struct Lead<T> {
    home: SingleFlight<T>,
    flight: Arc<Flight<T>>,
    is_over: bool,
}

impl<T> fmt::Debug for Lead<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lead").finish_non_exhaustive()
    }
}

impl<T> Lead<T> {
    /// Gives the result to every follower; the next to join begins anew.
    pub fn finish(mut self, value: T) {
        self.end(Some(value));
    }

    fn end(&mut self, outcome: Option<T>) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        // The place is free before followers wake, so one of them can lead next.
        let flight = lock(&self.home.current).take();
        drop(flight);
        let wakers: Vec<Waker> = {
            let mut state = lock(&self.flight.state);
            state.progress = outcome.map_or(Progress::Abandoned, Progress::Over);
            state
                .waiting
                .values_mut()
                .filter_map(Option::take)
                .collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<T> Drop for Lead<T> {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// Waits for the end of a flight: its result, or nothing if the lead was dropped (join again).
#[must_use = "a follow does nothing unless awaited"]
pub struct Follow<T> {
    flight: Arc<Flight<T>>,
    id: u64,
}

impl<T> fmt::Debug for Follow<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow").finish_non_exhaustive()
    }
}

impl<T> Follow<T> {
    fn new(flight: Arc<Flight<T>>) -> Self {
        let id = {
            let mut state = lock(&flight.state);
            let id = state.next;
            state.next += 1;
            state.waiting.insert(id, None);
            id
        };
        Self { flight, id }
    }
}

impl<T: Clone> Future for Follow<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.flight.state);
        match &state.progress {
            Progress::Over(value) => return Poll::Ready(Some(value.clone())),
            Progress::Abandoned => return Poll::Ready(None),
            Progress::UnderWay => {}
        }
        state.waiting.insert(self.id, Some(context.waker().clone()));
        Poll::Pending
    }
}

impl<T> Drop for Follow<T> {
    fn drop(&mut self) {
        let waker = lock(&self.flight.state).waiting.remove(&self.id);
        drop(waker);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

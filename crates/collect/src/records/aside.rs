//! Work on large bodies, away from the threads that serve requests: a megabyte of text against a few
//! expressions takes tens of milliseconds, in which nobody else on the thread is answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::committer::NotKept;

/// Bodies up to this many bytes are worked on where they are: to move them takes longer.
pub(crate) const SMALL: usize = 64 << 10;
/// Large bodies that are worked on at once. Those that wait are bounded by the room for bodies.
const AT_ONCE_MAX: usize = 4;
/// The longest wait for a turn: clients give up after 10 s.
const TURN_LIMIT: Duration = Duration::from_secs(5);

/// The turns.
#[derive(Debug)]
pub(crate) struct Aside(Arc<Semaphore>);

impl Default for Aside {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE_MAX)))
    }
}

impl Aside {
    /// Does the work on a body of so many bytes, and gives what it gives.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotKept> {
        if bytes <= SMALL {
            return Ok(work());
        }
        self.turn().await?.run(work).await
    }

    /// Waits for a turn, in which any amount of work may be done, one piece after the other.
    pub(crate) async fn turn(&self) -> Result<Turn, NotKept> {
        let turn = tokio::time::timeout(TURN_LIMIT, Arc::clone(&self.0).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(NotKept::Full)?;
        Ok(Turn(Arc::new(turn)))
    }
}

/// A turn; it ends when it is dropped and what it runs is done.
#[derive(Debug)]
pub(crate) struct Turn(Arc<OwnedSemaphorePermit>);

impl Turn {
    /// Does the work, and gives what it gives.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotKept> {
        // The turn moves along: when the request is dropped, the work under way still counts.
        let turn = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "a large body can't be worked on");
            NotKept::Refused
        })
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};

    use super::*;

    #[tokio::test]
    async fn large_bodies_have_other_threads() {
        let aside = Aside::default();
        let here = thread::current().id();
        let where_it_is = |bytes: usize| aside.run(bytes, || thread::current().id());
        let check = |found: Result<ThreadId, NotKept>, is_here: bool| {
            assert_eq!(found.map(|thread| thread == here), Ok(is_here));
        };
        check(where_it_is(0).await, true);
        check(where_it_is(SMALL).await, true);
        check(where_it_is(SMALL + 1).await, false);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_bounded() {
        let aside = Aside::default();
        let all = u32::try_from(AT_ONCE_MAX).unwrap();
        let held = Arc::clone(&aside.0).acquire_many_owned(all).await.unwrap();
        assert_eq!(aside.run(0, || 1).await, Ok(1));
        assert_eq!(aside.run(SMALL + 1, || 1).await, Err(NotKept::Full));
        drop(held);
        assert_eq!(aside.run(SMALL + 1, || 1).await, Ok(1));
    }

    #[tokio::test]
    async fn a_panic_gives_its_turn_back() {
        let aside = Aside::default();
        for _ in 0..=AT_ONCE_MAX {
            let done = aside.run(SMALL + 1, || assert_eq!(1, 2)).await;
            assert_eq!(done, Err(NotKept::Refused));
        }
    }
}

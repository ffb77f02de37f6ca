//! Connections for reuse, at most so many at once. Unlike the pool that comes with the driver, it
//! gives an error with its cause as soon as there is one, bounds every wait, and starts its tasks
//! through the supervisor.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::supervise::Supervisor;
use sqlx::{AnyConnection, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::StateError;
use crate::connect::{Backend, Purpose, Target};
use crate::lease::Lease;

/// How long a connection that was used before may take to answer, before it counts as broken.
pub(crate) const CHECK_LIMIT: Duration = Duration::from_millis(150);
/// How long one waits for others to give back a connection.
pub(crate) const QUEUE_LIMIT: Duration = Duration::from_secs(5);
/// How long the rollback of a forgotten transaction may take, before its connection is closed.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(1);
/// Connections that are made at the same time.
const CONNECTING_MAX: usize = 2;
/// Connections are made anew after this, so that they follow a database that has moved.
const AGE_MAX: Duration = Duration::from_mins(30);

/// A connection and when it was made.
pub(crate) struct Held {
    pub(crate) connection: AnyConnection,
    pub(crate) made: Instant,
}

/// Shared by its clones.
#[derive(Clone)]
pub(crate) struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    target: Target,
    purpose: Purpose,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Held>>,
    connecting: Semaphore,
    /// The last attempt to connect that failed.
    failure: Mutex<Option<(Instant, StateError)>>,
    commits: AtomicU64,
    supervisor: Supervisor,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("place", &self.inner.target.place)
            .field("purpose", &self.inner.purpose)
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(
        target: Target,
        purpose: Purpose,
        size_max: usize,
        supervisor: &Supervisor,
    ) -> Self {
        let inner = Inner {
            target,
            purpose,
            permits: Arc::new(Semaphore::new(size_max)),
            idle: Mutex::default(),
            connecting: Semaphore::new(CONNECTING_MAX),
            failure: Mutex::default(),
            commits: AtomicU64::new(0),
            supervisor: supervisor.clone(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.inner.target
    }

    /// A connection that has just answered, or a new one.
    pub(crate) async fn acquire(&self) -> Result<Lease, StateError> {
        let permit = self.permit().await?;
        self.acquire_with(permit).await
    }

    async fn acquire_with(&self, permit: OwnedSemaphorePermit) -> Result<Lease, StateError> {
        let held = match self.reuse().await {
            Some(held) => held,
            None => self.connect().await?,
        };
        Ok(Lease::new(self.clone(), permit, held))
    }

    /// A connection with a transaction that has begun. On PostgreSQL the beginning says whether one that
    /// was used before still answers, so that nobody has to ask.
    pub(crate) async fn begin(&self) -> Result<Lease, StateError> {
        let mut permit = self.permit().await?;
        let is_asked = self.inner.target.backend == Backend::Postgres;
        if let Some(held) = is_asked.then(|| self.idle()).flatten() {
            let mut lease = Lease::new(self.clone(), permit, held);
            if matches!(timeout(CHECK_LIMIT, lease.begin()).await, Ok(Ok(()))) {
                return Ok(lease);
            }
            permit = lease.into_permit();
            self.drop_idle();
        }
        let mut lease = self.acquire_with(permit).await?;
        if let Err(error) = lease.begin().await {
            lease.spoil();
            return Err(error.into());
        }
        Ok(lease)
    }

    /// How many transactions were committed.
    pub(crate) fn commits(&self) -> u64 {
        self.inner.commits.load(Ordering::Relaxed)
    }

    /// Counts one.
    pub(crate) fn note_commit(&self) {
        self.inner.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes back a connection that is between two statements.
    pub(crate) fn put_back(&self, held: Held) {
        if !self.inner.permits.is_closed() {
            lock(&self.inner.idle).push(held);
        }
    }

    /// Takes back a connection whose queued rollback still has to reach the database; the permit
    /// is held until it has.
    pub(crate) fn roll_back(&self, mut held: Held, permit: OwnedSemaphorePermit) {
        // Outside a runtime nobody could wait for the answer; closing rolls back as well.
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let pool = self.clone();
        let work = async move {
            let answer = timeout(ROLLBACK_LIMIT, held.connection.ping()).await;
            if matches!(answer, Ok(Ok(()))) {
                pool.put_back(held);
            }
            drop(permit);
        };
        self.inner
            .supervisor
            .spawn_background("state-rollback", work);
    }

    /// Refuses whoever comes from now on and closes what is not in use.
    pub(crate) async fn close(&self) {
        self.inner.permits.close();
        let idle = std::mem::take(&mut *lock(&self.inner.idle));
        for held in idle {
            if let Err(error) = held.connection.close().await {
                tracing::debug!(%error, "a connection to the state did not close in order");
            }
        }
    }

    /// The right to a connection: as long as it is held, one less is in use.
    pub(crate) async fn permit(&self) -> Result<OwnedSemaphorePermit, StateError> {
        let permits = self.inner.permits.clone();
        match timeout(QUEUE_LIMIT, permits.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(StateError::Closed),
            Err(_) => Err(StateError::Busy { limit: QUEUE_LIMIT }),
        }
    }

    /// A new connection, in turn: many at once would make each so slow that it counts as broken.
    /// Whoever waits while an attempt fails fails with it, so that all have their error in time.
    async fn connect(&self) -> Result<Held, StateError> {
        let began = clock::now();
        let turn = timeout(QUEUE_LIMIT, self.inner.connecting.acquire()).await;
        let Ok(turn) = turn else {
            return Err(StateError::Busy { limit: QUEUE_LIMIT });
        };
        if let Some(error) = self.failed_since(began) {
            return Err(error);
        }
        if let Some(held) = self.reuse().await {
            return Ok(held);
        }
        let result = self.inner.target.connect(self.inner.purpose).await;
        if let Some(error) = result.as_ref().err().and_then(StateError::repeat) {
            *lock(&self.inner.failure) = Some((clock::now(), error));
        }
        drop(turn);
        let made = clock::now();
        result.map(|connection| Held { connection, made })
    }

    fn failed_since(&self, began: Instant) -> Option<StateError> {
        let failure = lock(&self.inner.failure);
        let (at, error) = failure.as_ref()?;
        (*at >= began).then(|| error.repeat()).flatten()
    }

    /// A connection that was used before and has just answered. One that does not means that the database
    /// went away, and with it all the others.
    async fn reuse(&self) -> Option<Held> {
        let mut held = self.idle()?;
        if self.inner.target.backend == Backend::Sqlite {
            return Some(held);
        }
        if matches!(
            timeout(CHECK_LIMIT, held.connection.ping()).await,
            Ok(Ok(()))
        ) {
            return Some(held);
        }
        self.drop_idle();
        None
    }

    /// A connection that nobody uses.
    fn idle(&self) -> Option<Held> {
        let now = clock::now();
        let mut idle = lock(&self.inner.idle);
        idle.retain(|held| now.duration_since(held.made) < AGE_MAX);
        idle.pop()
    }

    fn drop_idle(&self) {
        let broken = std::mem::take(&mut *lock(&self.inner.idle));
        drop(broken);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

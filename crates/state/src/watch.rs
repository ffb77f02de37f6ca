//! Waking those who wait for a change. A wake says only that something may have changed: whoever
//! is woken looks again and compares.

mod listen;
mod poll;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::supervise::{Criticality, Phase, Service, Supervisor};
use sqlx::Row;
use tokio::sync::{Notify, watch};

use crate::StateError;
use crate::connect::Backend;
use crate::lease::Lease;
use crate::pool::Pool;

/// The channel of notifications in PostgreSQL, one for each database.
pub(crate) const CHANNEL: &str = "landline_state";

const VERSIONS: &str = "SELECT topic, version FROM changes";

/// Waits for changes of one topic.
#[derive(Debug)]
pub struct Watch {
    receiver: watch::Receiver<u64>,
    /// Keeps the sender there.
    _hub: Arc<Hub>,
}

impl Watch {
    /// Returns once the topic was touched since [`crate::State::watch`] or since the last return;
    /// several changes may be one return. Now and then it returns without a change, for instance
    /// after the connection to the database was lost. Safe to drop and call again.
    pub async fn changed(&mut self) {
        // An error means that the hub is gone, and this holds it.
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The topics of this process and who waits for them.
pub(crate) struct Hub {
    topics: Mutex<BTreeMap<&'static str, watch::Sender<u64>>>,
    /// The versions in SQLite's table of changes, as they were looked at last.
    seen: Mutex<BTreeMap<String, i64>>,
    /// Someone began to watch.
    interest: Notify,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    pub(crate) fn new(seen: BTreeMap<String, i64>) -> Self {
        Self {
            topics: Mutex::default(),
            seen: Mutex::new(seen),
            interest: Notify::new(),
        }
    }

    pub(crate) fn watch(self: &Arc<Self>, topic: &'static str) -> Watch {
        let receiver = lock(&self.topics).entry(topic).or_default().subscribe();
        self.interest.notify_one();
        Watch {
            receiver,
            _hub: self.clone(),
        }
    }

    /// Wakes those who watch `topic` here.
    pub(crate) fn wake(&self, topic: &str) {
        if let Some(sender) = lock(&self.topics).get(topic) {
            sender.send_modify(|count| *count += 1);
        }
    }

    /// Own changes need not be found again.
    pub(crate) fn saw(&self, versions: &[(&'static str, i64)]) {
        let mut seen = lock(&self.seen);
        for (topic, version) in versions {
            let known = seen.entry((*topic).to_owned()).or_default();
            *known = (*known).max(*version);
        }
    }

    /// Wakes everyone: changes may have been missed.
    pub(super) fn wake_all(&self) {
        for sender in lock(&self.topics).values() {
            sender.send_modify(|count| *count += 1);
        }
    }

    /// Wakes those whose topic has another version than when it was looked at last.
    pub(super) fn compare(&self, found: BTreeMap<String, i64>) {
        let mut seen = lock(&self.seen);
        for (topic, version) in found {
            if seen.get(&topic) != Some(&version) {
                self.wake(&topic);
                seen.insert(topic, version);
            }
        }
    }

    /// Waits until someone watches.
    pub(super) async fn watched(&self) {
        while !self.is_watched() {
            self.interest.notified().await;
        }
    }

    fn is_watched(&self) -> bool {
        let topics = lock(&self.topics);
        topics.values().any(|sender| sender.receiver_count() > 0)
    }
}

/// The versions of all topics; empty on PostgreSQL, which notifies.
pub(crate) async fn versions(lease: &mut Lease) -> Result<BTreeMap<String, i64>, StateError> {
    let rows = sqlx::query(VERSIONS).fetch_all(lease).await?;
    let pairs = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    Ok(pairs.collect::<Result<_, sqlx::Error>>()?)
}

/// Registers what finds the changes of other processes. It is needed as long as anything drains.
pub(crate) fn register(pool: &Pool, hub: &Arc<Hub>, supervisor: &Supervisor) {
    let (pool, hub) = (pool.clone(), hub.clone());
    let service = Service::new("state-watch", Criticality::Plain, |scope| async move {
        let work = async {
            match pool.target().backend {
                Backend::Sqlite => poll::run(&pool, &hub).await,
                Backend::Postgres => listen::run(pool.target(), &hub).await,
            }
        };
        // Dropping the work loses nothing: it only looks.
        tokio::select! {
            () = scope.stopping() => {}
            () = work => {}
        }
        Ok(())
    });
    supervisor.register(service.stops_at(Phase::Flush));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

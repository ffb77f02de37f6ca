//! Waking those who wait for a change. A wake says only that something may have changed: whoever
//! is woken looks again and compares.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::supervise::Supervisor;
use sqlx::Row;
use tokio::sync::{Notify, watch};

use crate::StateError;
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

    /// What a notification says.
    pub(crate) fn payload(&self, topic: &'static str) -> &'static str {
        topic
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

/// Starts what finds the changes of other processes.
pub(crate) fn register(_pool: &Pool, _hub: &Arc<Hub>, _supervisor: &Supervisor) {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

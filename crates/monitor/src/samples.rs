//! The store of samples for asynchronous callers: every use of it is on a thread that may block.
//!
//! One process has the store. One that takes over from another serves at once and opens the store when
//! the other has closed it; who comes in between waits.

mod source;
mod tally;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base::client::chain;
use base::clock;
use signals::disk::RealDisk;
use signals::{Opened, Options, Store, StoreError};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinError;

pub use source::{Snapshot, histogram_of, labels, matchers};
pub use tally::Tally;

/// Uses of the store at the same time; the others wait. Those who append wait for the same fsync, so
/// more of them make larger groups, not more of them.
const USES_MAX: u32 = 64;
/// How long a scrape waits to be put on disk together with others: with an fsync for each, these calls
/// were a seventh of the CPU of scraping ten targets a second.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// How long a use waits for a predecessor to close the store.
const OPENING_LIMIT: Duration = Duration::from_secs(30);

/// The store; clones share it.
#[derive(Debug, Clone)]
pub struct Samples {
    stage: Arc<watch::Sender<Stage>>,
    places: Arc<Semaphore>,
    /// Something waits to be put on disk.
    waiting: Arc<Notify>,
}

#[derive(Debug, Clone)]
enum Stage {
    /// Another process has it still.
    Opening,
    Open(Arc<Store>),
    Closed,
}

/// Why a use of the store did not end.
#[derive(Debug, thiserror::Error)]
pub enum UseError {
    /// The process has closed it, or not opened it yet.
    #[error("the store of samples is closed in this process; try again")]
    Closed,
    /// A fault of ours.
    #[error("the work on samples failed: {0}")]
    Failed(#[from] JoinError),
}

impl Default for Samples {
    fn default() -> Self {
        Self {
            stage: Arc::new(watch::Sender::new(Stage::Opening)),
            places: Arc::new(Semaphore::new(USES_MAX as usize)),
            waiting: Arc::default(),
        }
    }
}

impl Samples {
    /// Opens the store in a folder, and makes it if there is none. Blocks.
    pub fn open(&self, folder: &Path, options: Options) -> Result<Opened, StoreError> {
        let (store, opened) = Store::open(Arc::new(RealDisk::new(folder)), options)?;
        self.stage.send_replace(Stage::Open(Arc::new(store)));
        Ok(opened)
    }

    /// Does work on the store on a thread that may block; the second argument is the clock, in
    /// milliseconds since 1970. The work goes on when the caller leaves.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store, i64) -> T + Send + 'static,
    ) -> Result<T, UseError> {
        let store = self.opened().await?;
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| UseError::Closed)?;
        let work = move || {
            let result = work(&store, now_ms());
            // In this order: whoever has all places is alone with the store.
            drop(store);
            drop(place);
            result
        };
        Ok(tokio::task::spawn_blocking(work).await?)
    }

    /// The same for work that leaves something to be put on disk some moments later, as
    /// [`Store::append_soon`] does. That happens also when the caller leaves.
    pub(crate) async fn run_soon<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store, i64) -> T + Send + 'static,
    ) -> Result<T, UseError> {
        let waiting = Arc::clone(&self.waiting);
        let work = move |store: &Store, now: i64| {
            let result = work(store, now);
            waiting.notify_one();
            result
        };
        self.run(work).await
    }

    /// Puts on disk what [`Samples::run_soon`] left, that of [`SYNC_INTERVAL`] at once; does not return.
    /// An error closes the log, which whoever uses the store is told.
    pub(crate) async fn keep_synced(&self) -> Infallible {
        loop {
            self.waiting.notified().await;
            tokio::time::sleep(SYNC_INTERVAL).await;
            match self.run(|store, _| store.sync()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let error = chain(&error);
                    tracing::warn!(error, "scrapes are not on disk yet");
                }
                Err(error) => tracing::debug!(%error, "scrapes are not put on disk here"),
            }
        }
    }

    /// Whether it is open: not before a predecessor has closed it, and not when this process stops.
    pub fn is_open(&self) -> bool {
        matches!(*self.stage.borrow(), Stage::Open(_))
    }

    /// Whether the store refuses everything until its upkeep, since a write of the log failed.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(&*self.stage.borrow(), Stage::Open(store) if store.has_failed())
    }

    async fn opened(&self) -> Result<Arc<Store>, UseError> {
        let mut stage = self.stage.subscribe();
        let waiting = stage.wait_for(|stage| !matches!(stage, Stage::Opening));
        match tokio::time::timeout(OPENING_LIMIT, waiting).await {
            Ok(Ok(stage)) => match &*stage {
                Stage::Open(store) => Ok(Arc::clone(store)),
                Stage::Opening | Stage::Closed => Err(UseError::Closed),
            },
            Ok(Err(_)) | Err(_) => Err(UseError::Closed),
        }
    }

    /// The open store, for tests that look into it.
    #[cfg(test)]
    pub(crate) fn store(&self) -> Arc<Store> {
        match &*self.stage.borrow() {
            Stage::Open(store) => Arc::clone(store),
            Stage::Opening | Stage::Closed => panic!("the store is not open"),
        }
    }

    /// Ends long work on the store where it is: the process stops, and another may wait for the store.
    pub(crate) fn stop(&self) {
        if let Stage::Open(store) = &*self.stage.borrow() {
            store.stop();
        }
    }

    /// Waits for those who use the store, and closes it; later uses are refused.
    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        let stage = self.stage.send_replace(Stage::Closed);
        let Stage::Open(store) = stage else {
            return Ok(());
        };
        store.stop();
        // At once: who uses the store may be longer than the process has time. An error comes again.
        let syncing = Arc::clone(&store);
        let synced = tokio::task::spawn_blocking(move || syncing.sync()).await;
        if let Ok(Err(error)) = synced {
            let error = chain(&error);
            tracing::warn!(error, "the last scrapes are not on disk");
        }
        let _all = self.places.acquire_many(USES_MAX).await;
        self.places.close();
        let closing = tokio::task::spawn_blocking(move || store.close());
        closing.await.unwrap_or(Ok(()))
    }
}

/// The clock, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

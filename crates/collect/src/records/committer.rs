//! One task writes everything, many entries in one transaction: what waits while a transaction is
//! under way goes into the next. An answer is given after the transaction is on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::client::chain;
use base::error::Class;
use base::supervise::{BoxError, Criticality, Phase, Scope, Service};
use state::{State, StateError, Write};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::entry::{Entry, Stored};
use super::insert::{self, Noted};
use super::metrics::RecordMetrics;

/// Entries that wait for a transaction.
const WAITING_MAX: usize = 4_096;
/// Bytes that wait for a transaction.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Entries of one transaction.
const BATCH_MAX: usize = 256;
/// Bytes of one transaction: one that is too long keeps all others waiting.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// How long a transaction waits until it has as many entries as the one before, when that had [`BUSY`] of
/// them: pages that many records change are written once for all of them. The timer may take twice that.
const GATHER: Duration = Duration::from_millis(1);
/// With fewer there is time enough for each.
const BUSY: usize = 8;
/// How long an entry waits while nothing at all is committed: clients give up after 10 s, and whoever
/// keeps a spool wants to know soon.
const STALLED_LIMIT: Duration = Duration::from_millis(900);
/// How long it waits while others are committed.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);

/// Why an entry was not kept, as far as anybody knows: one whose answer came too late may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotKept {
    #[error("the state can't be reached; send it again later")]
    Unavailable,
    #[error("the disk of the state is full: somebody has to make room there; send it again later")]
    DiskFull,
    #[error("too many records wait for the disk; send it again later")]
    Full,
    #[error("the disk takes too long; send it again later")]
    Late,
    #[error("the record can't be kept; the log says why")]
    Refused,
}

impl NotKept {
    pub(crate) fn class(self) -> Class {
        match self {
            Self::Unavailable | Self::DiskFull | Self::Full | Self::Late => Class::Unavailable,
            Self::Refused => Class::Internal,
        }
    }
}

/// Hands entries to the task. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Committer {
    sender: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    commits: Commits,
}

/// When something was committed last. Clones share it.
#[derive(Debug, Clone)]
struct Commits {
    begun: Instant,
    /// Milliseconds after the beginning.
    last: Arc<AtomicU64>,
}

impl Commits {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            last: Arc::default(),
        }
    }

    fn note(&self) {
        let passed = self.begun.elapsed().as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.last.store(passed, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.begun + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
struct Waiting {
    entry: Entry,
    bytes: usize,
    answer: oneshot::Sender<Result<(Entry, Stored), NotKept>>,
    /// Given back when it is answered.
    room: OwnedSemaphorePermit,
}

/// What goes into one transaction.
struct Batch {
    waiting: Vec<Waiting>,
    bytes: usize,
}

impl Batch {
    fn new(first: Waiting) -> Self {
        Self {
            bytes: first.bytes,
            waiting: vec![first],
        }
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < BATCH_MAX && self.bytes < BATCH_BYTES_MAX
    }

    fn add(&mut self, next: Waiting) {
        // Whoever asked has left: what they sent comes again.
        if !next.answer.is_closed() {
            self.bytes += next.bytes;
            self.waiting.push(next);
        }
    }
}

/// The task's end.
struct Queue {
    state: State,
    receiver: mpsc::Receiver<Waiting>,
    commits: Commits,
    noted: Noted,
    metrics: RecordMetrics,
}

impl Committer {
    /// With the service that writes.
    pub(crate) fn new(state: &State, metrics: &RecordMetrics) -> (Self, Service) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let commits = Commits::new();
        let mut queue = Queue {
            state: state.clone(),
            receiver,
            commits: commits.clone(),
            noted: Noted::default(),
            metrics: metrics.clone(),
        };
        let body = move |scope: Scope| async move {
            queue.run(&scope).await;
            Ok::<(), BoxError>(())
        };
        // After the listeners: who is being answered still needs it.
        let service =
            Service::new("records.committer", Criticality::Critical, body).stops_at(Phase::Flush);
        let committer = Self {
            sender,
            room: Arc::new(Semaphore::new(WAITING_BYTES_MAX)),
            commits,
        };
        (committer, service)
    }

    /// Keeps an entry and gives it back; when this returns without an error, it is on disk.
    pub(crate) async fn keep(&self, entry: Entry) -> Result<(Entry, Stored), NotKept> {
        let bytes = entry.bytes();
        // One that is larger than all the room waits for all of it.
        let permits = u32::try_from(bytes.min(WAITING_BYTES_MAX)).map_err(|_| NotKept::Refused)?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits);
        let (answer, mut answered) = oneshot::channel();
        let waiting = Waiting {
            entry,
            bytes,
            answer,
            room: room.map_err(|_| NotKept::Full)?,
        };
        self.sender.try_send(waiting).map_err(|_| NotKept::Full)?;
        let asked = Instant::now();
        let wait = async {
            loop {
                let last = self.commits.last();
                let until = asked.max(last) + STALLED_LIMIT;
                match tokio::time::timeout_at(until, &mut answered).await {
                    Ok(answer) => return answer.unwrap_or(Err(NotKept::Unavailable)),
                    Err(_) if self.commits.last() == last => return Err(NotKept::Late),
                    Err(_) => {}
                }
            }
        };
        let wait = tokio::time::timeout(ANSWER_LIMIT, wait);
        wait.await.unwrap_or(Err(NotKept::Late))
    }
}

impl Queue {
    async fn run(&mut self, scope: &Scope) {
        let mut expected = 1;
        loop {
            let first = tokio::select! {
                first = self.receiver.recv() => first,
                () = scope.stopping() => self.receiver.try_recv().ok(),
            };
            let Some(first) = first else { return };
            let mut batch = Batch::new(first);
            self.gather(&mut batch, expected).await;
            let write = self.state.write().await;
            if write.is_ok() {
                // Others may have written for long.
                self.take_waiting(&mut batch);
            }
            expected = Some(batch.waiting.len())
                .filter(|count| *count >= BUSY)
                .unwrap_or(1);
            self.commit(write, batch.waiting).await;
        }
    }

    /// Adds what waits behind it, or comes soon while fewer are there than expected.
    async fn gather(&mut self, batch: &mut Batch, expected: usize) {
        let soon = tokio::time::sleep(GATHER);
        let mut soon = std::pin::pin!(soon);
        loop {
            self.take_waiting(batch);
            if batch.waiting.len() >= expected || !batch.has_room() {
                return;
            }
            tokio::select! {
                Some(next) = self.receiver.recv() => batch.add(next),
                () = &mut soon => return,
            }
        }
    }

    fn take_waiting(&mut self, batch: &mut Batch) {
        while batch.has_room() {
            let Ok(next) = self.receiver.try_recv() else {
                return;
            };
            batch.add(next);
        }
    }

    async fn commit(&mut self, write: Result<Write, StateError>, batch: Vec<Waiting>) {
        let (entries, answers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|waiting| (waiting.entry, (waiting.answer, waiting.room)))
            .unzip();
        let stored = match write {
            Ok(write) => insert::write(write, &entries, &mut self.noted).await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(stored) => {
                self.note_commit(entries.len());
                let kept = entries.into_iter().zip(stored);
                for ((answer, _), kept) in answers.into_iter().zip(kept) {
                    // Who has left does not hear it.
                    drop(answer.send(Ok(kept)));
                }
            }
            Err(error) if is_passing(&error) => {
                tracing::warn!(error = chain(&error), records = entries.len(), "not kept");
                for (answer, _) in answers {
                    drop(answer.send(Err(passing(&error))));
                }
            }
            Err(error) => {
                // One of them can't be kept: the others must not suffer.
                tracing::warn!(error = chain(&error), records = entries.len(), "one by one");
                for (entry, (answer, _)) in entries.into_iter().zip(answers) {
                    if answer.is_closed() {
                        continue;
                    }
                    drop(answer.send(self.commit_one(entry).await));
                }
            }
        }
    }

    async fn commit_one(&mut self, entry: Entry) -> Result<(Entry, Stored), NotKept> {
        let entry = [entry];
        let stored = match self.state.write().await {
            Ok(write) => insert::write(write, &entry, &mut self.noted).await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(stored) => {
                self.note_commit(1);
                let kept = entry.into_iter().zip(stored).next();
                kept.ok_or(NotKept::Refused)
            }
            Err(error) if is_passing(&error) => Err(passing(&error)),
            Err(error) => {
                tracing::error!(error = chain(&error), "a record can't be kept");
                Err(NotKept::Refused)
            }
        }
    }

    fn note_commit(&self, entries: usize) {
        self.commits.note();
        self.metrics.commits.inc();
        self.metrics
            .committed
            .inc_by(u64::try_from(entries).unwrap_or(u64::MAX));
    }
}

/// What is told of an error that passes.
fn passing(error: &StateError) -> NotKept {
    if error.is_disk_full() {
        NotKept::DiskFull
    } else {
        NotKept::Unavailable
    }
}

/// Whether the same may be kept later: the database is away, busy or slow.
fn is_passing(error: &StateError) -> bool {
    matches!(error.class(), Class::Unavailable | Class::Timeout)
}

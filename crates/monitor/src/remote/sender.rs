//! Sends what waits for a remote: one request after the other, in the order of the log. A remote that is
//! away keeps nobody waiting but its own queue.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::retry::Backoff;
use base::supervise::{BoxError, Scope};
use signals::Store;

use super::batch::Batch;
use super::delivery::{Delivery, Verdict};
use super::metrics::RemoteMetrics;
use super::queue::{Queue, QueueError};
use crate::samples::{Samples, UseError, now_ms};

/// How often it is looked whether something waits: what comes meanwhile goes at once.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Waits between tries.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(500),
    ceiling: Duration::from_secs(30),
};
/// How often it is looked, while nothing can be sent, whether too much waits.
const TRIM_EVERY: Duration = Duration::from_secs(5);
/// How often the same thing is told.
const TOLD_EVERY: Duration = Duration::from_mins(1);
/// Requests that one batch may become when the remote refuses some of it.
const PARTS_MAX: u32 = 512;

/// Sends to one remote.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) name: String,
    pub(super) samples: Samples,
    pub(super) queue: Arc<Mutex<Queue>>,
    pub(super) delivery: Delivery,
    pub(super) metrics: RemoteMetrics,
    pub(super) told: Told,
}

/// When something was told last.
#[derive(Debug, Default)]
pub(super) struct Told(Option<Instant>);

impl Told {
    fn may(&mut self) -> bool {
        let now = clock::now();
        let is_due = self
            .0
            .is_none_or(|told| now.saturating_duration_since(told) >= TOLD_EVERY);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

/// Why a batch needs not be sent any more.
enum Ended {
    Sent,
    /// The queue was too full.
    Dropped,
    Stopping,
}

impl Sender {
    /// Sends until the process stops.
    pub(super) async fn run(mut self, scope: Scope) -> Result<(), BoxError> {
        loop {
            let next = tokio::select! {
                next = self.with_queue(Queue::next) => next,
                () = scope.stopping() => return Ok(()),
            };
            match next {
                Ok(Ok(Some(batch))) => match self.send(batch, &scope).await {
                    Ended::Sent => self.queue().done(),
                    Ended::Dropped => {}
                    Ended::Stopping => return Ok(()),
                },
                Ok(Ok(None)) => {
                    self.metrics.lag(0.0);
                    if !pause(LOOK_EVERY, &scope).await {
                        return Ok(());
                    }
                }
                // A predecessor may have the store still.
                Err(UseError::Closed) => {
                    if !pause(LOOK_EVERY, &scope).await {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error.into()),
                Ok(Err(error)) => {
                    if self.told.may() {
                        let error = base::client::chain(&error);
                        tracing::error!(remote = self.name, %error, "what waits for a remote can't be read or noted");
                    }
                    if !pause(TRIM_EVERY, &scope).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the queue while the store is this process's.
    async fn with_queue<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Queue, &Store) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<Result<T, QueueError>, UseError> {
        let queue = Arc::clone(&self.queue);
        let work = move |store: &Store, _: i64| {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut queue, store)
        };
        self.samples.run(work).await
    }

    /// Sends a batch, in parts if it has to be, until each part is taken or refused for good.
    async fn send(&mut self, batch: Batch, scope: &Scope) -> Ended {
        let mut parts = vec![batch];
        let mut made = 1;
        while let Some(part) = parts.pop() {
            let verdict = match self.insist(&part, scope).await {
                Ok(verdict) => verdict,
                Err(ended) => return ended,
            };
            let (why, lost, may_split) = match verdict {
                Verdict::Taken | Verdict::Later { .. } => {
                    self.metrics.sent(part.counts());
                    continue;
                }
                Verdict::Refused { why, lost } => (why, lost, lost.is_none() && made < PARTS_MAX),
                Verdict::TooLarge(why) => (why, None, true),
            };
            let counts = part.counts();
            let all = counts.samples + counts.histograms;
            let lost = lost.unwrap_or(all);
            self.metrics.written(all.saturating_sub(lost));
            match part.halves().filter(|_| may_split) {
                Some([first, second]) => {
                    made += 2;
                    parts.extend([second, first]);
                }
                None => {
                    self.metrics.dropped("refused", lost);
                    if self.told.may() {
                        tracing::warn!(
                            remote = self.name,
                            samples = lost,
                            answer = why,
                            "a remote refuses samples, which are not sent again"
                        );
                    }
                }
            }
        }
        Ended::Sent
    }

    /// Sends one request until there is an answer that sending it again would not change.
    async fn insist(&mut self, part: &Batch, scope: &Scope) -> Result<Verdict, Ended> {
        let counts = part.counts();
        let Some(body) = part.body(self.delivery.version) else {
            return Ok(Verdict::TooLarge(
                "it is larger than can be said".to_owned(),
            ));
        };
        let mut failures = 0;
        loop {
            self.note_lag(part);
            let verdict = tokio::select! {
                verdict = self.delivery.send(body.clone(), counts) => verdict,
                () = scope.stopping() => return Err(Ended::Stopping),
            };
            let Verdict::Later { why, after } = verdict else {
                if failures > 0 {
                    tracing::info!(remote = self.name, failures, "a remote takes samples again");
                }
                return Ok(verdict);
            };
            failures += 1;
            self.metrics.failed();
            if self.told.may() {
                tracing::warn!(
                    remote = self.name,
                    answer = why,
                    "a remote takes no samples now; they wait for it"
                );
            }
            let backoff = BACKOFF.delay(failures, fastrand::f64());
            let until = clock::now() + after.unwrap_or(backoff);
            self.wait(until, part, scope).await?;
        }
    }

    /// Waits, and looks meanwhile whether too much waits.
    async fn wait(&self, until: Instant, part: &Batch, scope: &Scope) -> Result<(), Ended> {
        loop {
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() {
                return Ok(());
            }
            if !pause(left.min(TRIM_EVERY), scope).await {
                return Err(Ended::Stopping);
            }
            self.note_lag(part);
            if let Ok(Ok(true)) = self.with_queue(Queue::trim).await {
                return Err(Ended::Dropped);
            }
        }
    }

    fn note_lag(&self, part: &Batch) {
        let Some(oldest) = part.oldest() else {
            return;
        };
        let lag = now_ms().saturating_sub(oldest).max(0);
        self.metrics.lag(lag as f64 / 1000.0);
    }
}

/// False when the process stops.
async fn pause(time: Duration, scope: &Scope) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = scope.stopping() => false,
    }
}

//! A target that is scraped: its schedule, its scrapes, and how it stands.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::supervise::Scope;
use http::HeaderMap;
use signals::Metadata;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::commit::{Answer, Kept, Outcome, Scrape, Whose};
use super::config::JobConfig;
use super::fetch::{fetch, headers};
use super::http::HttpClient;
use super::metrics::ScrapeMetrics;
use super::relabel::LabelSet;
use super::target::Target;
use crate::samples::{Samples, now_ms};

/// Scrapes that begin this much later than planned have the planned time: equal distances take less
/// room.
const TOLERANCE_MAX: Duration = Duration::from_millis(2);

/// Whether a target answered when it was scraped last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Standing {
    /// It was not scraped yet.
    #[default]
    Unknown,
    /// It did.
    Up,
    /// It did not.
    Down,
}

/// How a target stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    pub(crate) standing: Standing,
    pub(crate) error: String,
    /// Milliseconds since 1970.
    pub(crate) scraped_at: Option<i64>,
    pub(crate) took: Duration,
    /// What it says of its metrics.
    pub(crate) metadata: Arc<BTreeMap<String, Metadata>>,
}

/// What can change without another target.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) job: Arc<JobConfig>,
    pub(crate) client: Arc<HttpClient>,
    /// Why every scrape fails.
    pub(crate) forced_error: Option<Arc<str>>,
}

/// What the tasks of all targets share.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub(crate) samples: Samples,
    pub(crate) metrics: ScrapeMetrics,
}

/// A target that is scraped.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) target: Target,
    url: Url,
    discovered: Mutex<Arc<LabelSet>>,
    settings: Mutex<Settings>,
    status: Mutex<Status>,
    kept: Arc<tokio::sync::Mutex<Kept>>,
    gone: CancellationToken,
    /// Another target goes on with its series.
    is_handed_over: AtomicBool,
    is_over: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Active {
    /// A target that goes on with the series of `before`, if there is one with the same labels.
    pub(crate) fn new(
        target: Target,
        url: Url,
        (discovered, settings): (Arc<LabelSet>, Settings),
        before: Option<&Self>,
    ) -> Self {
        if let Some(before) = before {
            before.is_handed_over.store(true, Ordering::Release);
        }
        Self {
            target,
            url,
            discovered: Mutex::new(discovered),
            settings: Mutex::new(settings),
            status: Mutex::default(),
            kept: before.map_or_else(Arc::default, |before| Arc::clone(&before.kept)),
            gone: CancellationToken::new(),
            is_handed_over: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }

    pub(crate) fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    pub(crate) fn discovered(&self) -> Arc<LabelSet> {
        Arc::clone(&lock(&self.discovered))
    }

    /// What it was found as, and how it is scraped from the next time on.
    pub(crate) fn update(&self, discovered: Arc<LabelSet>, settings: Settings) {
        *lock(&self.discovered) = discovered;
        *lock(&self.settings) = settings;
    }

    /// Nobody finds it any more.
    pub(crate) fn leave(&self) {
        self.gone.cancel();
    }

    /// Whether the ends of its series are marked, or nothing is left to mark.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Scrapes it until it is gone or the process stops.
    pub(crate) async fn run(self: Arc<Self>, tools: Tools, scope: Scope) {
        let interval = self.target.interval;
        let mut schedule = Schedule::new(now_ms(), self.target.offset(), interval);
        let mut next = clock::now() + schedule.first;
        loop {
            let is_gone = tokio::select! {
                () = scope.stopping() => return,
                () = self.gone.cancelled() => true,
                () = tokio::time::sleep_until(next.into()) => false,
            };
            if is_gone {
                break;
            }
            let time = schedule.time(now_ms());
            let is_gone = tokio::select! {
                () = scope.stopping() => return,
                () = self.gone.cancelled() => true,
                () = self.scrape(&tools, time) => false,
            };
            next += interval;
            // As Prometheus does: what could not begin in time is left out.
            while next <= clock::now() {
                next += interval;
                tools.metrics.missed.inc();
            }
            if is_gone {
                break;
            }
        }
        // It may be back by then, as the same or as another with the same series.
        tokio::select! {
            () = scope.stopping() => return,
            () = tokio::time::sleep_until(next.into()) => {}
        }
        self.end(&tools).await;
        self.is_over.store(true, Ordering::Release);
    }

    async fn scrape(&self, tools: &Tools, time: i64) {
        let begun = clock::now();
        let settings = lock(&self.settings).clone();
        let answer = match &settings.forced_error {
            Some(error) => Answer::Failed(error.to_string()),
            None => {
                let headers: HeaderMap = headers(&settings.job, self.target.timeout);
                let deadline = begun + self.target.timeout;
                let asked = (&headers, deadline);
                fetch(&settings.client, &self.url, &settings.job, asked).await
            }
        };
        let scrape = Scrape {
            answer,
            time,
            begun,
        };
        let mut kept = Arc::clone(&self.kept).lock_owned().await;
        let job = Arc::clone(&settings.job);
        let labels = self.target.labels.clone();
        let timeout_seconds = self.target.timeout.as_secs_f64();
        let work = move |store: &signals::Store, now: i64| {
            let whose = Whose {
                job: &job,
                labels: &labels,
                timeout_seconds,
            };
            let outcome = kept.commit((store, now), whose, &scrape);
            let metadata = outcome
                .has_new_metadata
                .then(|| Arc::new(kept.pages.metadata.clone()));
            (outcome, metadata)
        };
        match tools.samples.run_soon(work).await {
            Ok((outcome, metadata)) => self.note(tools, (time, begun), &outcome, metadata),
            Err(error) => tracing::warn!(url = %self.target.url, %error, "a scrape was lost"),
        }
    }

    fn note(
        &self,
        tools: &Tools,
        (time, begun): (i64, Instant),
        outcome: &Outcome,
        metadata: Option<Arc<BTreeMap<String, Metadata>>>,
    ) {
        let metrics = &tools.metrics;
        metrics.bytes.inc_by(outcome.body_bytes as u64);
        metrics.refused.inc_by(outcome.refused as u64);
        let error = outcome.error.as_ref().or(outcome.store_error.as_ref());
        let word = match (&outcome.error, &outcome.store_error) {
            (_, Some(_)) => "not_stored",
            (Some(_), None) => "failed",
            (None, None) => "good",
        };
        metrics.count(word);
        if outcome.store_error.is_none() {
            metrics.ended.inc_by(outcome.ended as u64);
            let taken = outcome.kept.saturating_sub(outcome.refused);
            let taken = if outcome.error.is_none() { taken } else { 0 };
            metrics.samples.inc_by(taken as u64);
        }
        if let Some(error) = &outcome.store_error {
            tracing::warn!(url = %self.target.url, error, "a scrape is not in the store");
        }
        let mut status = lock(&self.status);
        status.standing = match error {
            None => Standing::Up,
            Some(_) => Standing::Down,
        };
        status.error = error.cloned().unwrap_or_default();
        status.scraped_at = Some(time);
        status.took = clock::now().saturating_duration_since(begun);
        if let Some(metadata) = metadata {
            status.metadata = metadata;
        }
    }

    async fn end(&self, tools: &Tools) {
        let mut kept = Arc::clone(&self.kept).lock_owned().await;
        if self.is_handed_over.load(Ordering::Acquire) {
            return;
        }
        let work = move |store: &signals::Store, now: i64| kept.end((store, now), now);
        match tools.samples.run_soon(work).await {
            Ok(Ok(count)) => {
                tools.metrics.ended.inc_by(count as u64);
            }
            Ok(Err(error)) => {
                tracing::warn!(url = %self.target.url, error, "ends of series are not in the store");
            }
            Err(error) => {
                tracing::warn!(url = %self.target.url, %error, "ends of series were lost");
            }
        }
    }
}

/// When scrapes are due on the clock of samples.
#[derive(Debug)]
struct Schedule {
    /// How long it is until the first.
    first: Duration,
    /// The last time that was due, in milliseconds since 1970.
    due: i64,
    interval: i64,
}

impl Schedule {
    fn new(now: i64, offset: Duration, interval: Duration) -> Self {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let step = millis(interval).max(1);
        let into = (now - millis(offset)).rem_euclid(step);
        let first = step - into;
        Self {
            first: Duration::from_millis(u64::try_from(first).unwrap_or_default()),
            due: now.saturating_add(first),
            interval: step,
        }
    }

    /// The time of the samples of a scrape that begins now.
    fn time(&mut self, now: i64) -> i64 {
        let tolerance = i64::try_from(TOLERANCE_MAX.as_millis()).unwrap_or_default();
        let tolerance = tolerance.min(self.interval / 100);
        let behind = now.saturating_sub(self.due).max(0);
        self.due += behind - behind % self.interval;
        if now.saturating_sub(self.due).abs() <= tolerance {
            self.due
        } else {
            now
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_aligned_when_they_are_near() {
        let offset = Duration::from_millis(300);
        let mut schedule = Schedule::new(10_000, offset, Duration::from_secs(1));
        assert_eq!(schedule.first, Duration::from_millis(300));
        let cases = [
            (10_300, 10_300),
            (11_302, 11_300),
            (12_303, 12_303),
            (15_301, 15_300),
            (16_299, 16_299),
            (16_300, 16_300),
        ];
        for (now, expected) in cases {
            assert_eq!(schedule.time(now), expected, "{now}");
        }
    }
}

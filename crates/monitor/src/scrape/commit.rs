//! A scrape into the store: the page's samples, the ends of what is gone, and what is told of the
//! scrape itself, in one batch. Runs where it may block.

use std::io::Read;
use std::sync::Arc;
use std::time::Instant;

use base::clock;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use signals::{Appended, Entry, Labels, METRIC_NAME, STALE, SeriesId, Store, Value};

use super::cache::Place;
use super::config::JobConfig;
use super::page::{Batch, PageFormat, Pages, merged};
use super::relabel::LabelSet;

/// Entries that go to the store at once.
const ENTRIES_MAX: usize = 100_000;
/// The largest page when the job has no limit.
pub(crate) const BODY_BYTES_MAX: u64 = 256 << 20;

/// What a target answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A page.
    Page {
        /// Its bytes.
        body: Bytes,
        /// They are packed.
        is_packed: bool,
        /// How it is written.
        format: PageFormat,
    },
    /// One that is larger than this.
    TooLarge(u64),
    /// None, and why.
    Failed(String),
}

/// One scrape.
#[derive(Debug)]
pub(crate) struct Scrape {
    /// What the target answered.
    pub(crate) answer: Answer,
    /// The time of its samples, in milliseconds since 1970.
    pub(crate) time: i64,
    /// When it began.
    pub(crate) begun: Instant,
}

/// What became of a scrape.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Why there is no page of it in the store.
    pub(crate) error: Option<String>,
    /// Why the store took nothing.
    pub(crate) store_error: Option<String>,
    /// Samples on the page.
    pub(crate) scraped: usize,
    /// Of these, what the rules left.
    pub(crate) kept: usize,
    /// Bytes of the page.
    pub(crate) body_bytes: usize,
    /// The page is larger than it may be.
    is_too_large: bool,
    /// Samples that the store refused.
    pub(crate) refused: usize,
    /// Series that have ended.
    pub(crate) ended: usize,
    /// Something else is said of the metrics than before.
    pub(crate) has_new_metadata: bool,
}

/// What a target keeps from scrape to scrape.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Its series.
    pub(crate) pages: Pages,
    /// Series about the scrape itself, as [`REPORTS`] names them.
    reports: Vec<(Labels, Option<SeriesId>)>,
    /// The job that the series were made for.
    job: Option<Arc<JobConfig>>,
}

/// Series about a scrape; those from [`REPORTS_ALWAYS`] on by option only.
const REPORTS: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];
const REPORTS_ALWAYS: usize = 5;

/// Whose scrape it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub(crate) job: &'a Arc<JobConfig>,
    pub(crate) labels: &'a LabelSet,
    /// Of a scrape.
    pub(crate) timeout_seconds: f64,
}

impl Kept {
    /// Puts a scrape into the store.
    pub(crate) fn commit(
        &mut self,
        (store, now): (&Store, i64),
        whose: Whose<'_>,
        scrape: &Scrape,
    ) -> Outcome {
        self.follow(whose);
        let mut outcome = Outcome::default();
        let batch = match self.read(whose, scrape, &mut outcome) {
            Ok(batch) => batch,
            Err(error) => {
                outcome.error = Some(error);
                Batch::default()
            }
        };
        let is_given_up = outcome.error.is_some();
        let ended = self.pages.cache.vanished(is_given_up);
        outcome.ended = ended.len();
        let added = if is_given_up { 0 } else { batch.added };
        let values = reported(whose, scrape, (&outcome, added));
        let mut entries = Vec::with_capacity(batch.rows.len() + ended.len() + REPORTS.len());
        for row in &batch.rows {
            if let Some((known, labels)) = self.known(row.place) {
                let value = row.value.clone();
                entries.push(entry(labels, known, row.timestamp, value));
            }
        }
        for (labels, id) in &ended {
            entries.push(entry(labels, *id, scrape.time, stale()));
        }
        for ((labels, id), value) in self.reports.iter().zip(values) {
            entries.push(entry(labels, *id, scrape.time, Value::Float(value)));
        }
        let ids = match append_soon(store, &entries, now) {
            Ok(appended) => {
                outcome.refused = appended.refused + batch.left_out;
                appended.ids
            }
            Err(error) => {
                outcome.store_error = Some(error);
                return outcome;
            }
        };
        drop(entries);
        self.know(&batch, &ids, is_given_up);
        outcome.has_new_metadata = !batch.metadata.is_empty();
        self.append_beside(store, batch, &mut outcome);
        outcome
    }

    /// Marks the ends of all series of a target that is gone.
    pub(crate) fn end(&mut self, (store, now): (&Store, i64), time: i64) -> Result<usize, String> {
        let ended = self.pages.cache.vanished(true);
        let reports = self.reports.iter().filter(|(_, id)| id.is_some());
        let entries: Vec<Entry<'_>> = ended
            .iter()
            .chain(reports)
            .map(|(labels, id)| entry(labels, *id, time, stale()))
            .collect();
        append_soon(store, &entries, now)?;
        let count = entries.len();
        drop(entries);
        self.pages.cache.give_up();
        self.reports.clear();
        Ok(count)
    }

    /// Begins anew when the job's rules have changed.
    fn follow(&mut self, whose: Whose<'_>) {
        let is_same = self.job.as_ref().is_some_and(|job| {
            Arc::ptr_eq(job, whose.job) || makes_the_same_series(job, whose.job)
        });
        if self.job.is_some() && !is_same {
            self.pages.cache.restart();
        }
        self.job = Some(Arc::clone(whose.job));
        let count = if whose.job.extra_metrics {
            REPORTS.len()
        } else {
            REPORTS_ALWAYS
        };
        if self.reports.len() != count {
            let labels = REPORTS.iter().take(count).filter_map(|name| {
                let own = LabelSet::from([(METRIC_NAME.to_owned(), (*name).to_owned())]);
                let labels = merged(own, whose.labels, false);
                let pairs = labels.iter().map(|(name, value)| (&**name, &**value));
                Labels::new(pairs).ok()
            });
            self.reports = labels.map(|labels| (labels, None)).collect();
        }
    }

    fn read(
        &mut self,
        whose: Whose<'_>,
        scrape: &Scrape,
        outcome: &mut Outcome,
    ) -> Result<Batch, String> {
        let (body, is_packed, format) = match &scrape.answer {
            Answer::Page {
                body,
                is_packed,
                format,
            } => (body, *is_packed, *format),
            Answer::TooLarge(limit) => {
                outcome.is_too_large = true;
                return Err(too_large(*limit));
            }
            Answer::Failed(reason) => return Err(reason.clone()),
        };
        let limit = match whose.job.limits.body_bytes {
            0 => BODY_BYTES_MAX,
            limit => limit,
        };
        let unpacked = is_packed.then(|| unpack(body, limit)).transpose()?;
        let body = unpacked.as_deref().unwrap_or(body);
        if body.len() as u64 > limit {
            outcome.is_too_large = true;
            return Err(too_large(limit));
        }
        outcome.body_bytes = body.len();
        let whose = (&**whose.job, whose.labels);
        let (batch, read) = self.pages.read((body, format), whose, scrape.time);
        outcome.scraped = batch.scraped;
        outcome.kept = batch.rows.len();
        read.map(|()| batch).map_err(|error| error.to_string())
    }

    fn known(&self, place: Place) -> Option<(Option<SeriesId>, &Labels)> {
        let known = self.pages.cache.get(place)?;
        Some((known.id, known.labels.as_ref()?))
    }

    /// Keeps the store's numbers of what is in it now.
    fn know(&mut self, batch: &Batch, ids: &[Option<SeriesId>], is_given_up: bool) {
        let from = ids.len().saturating_sub(self.reports.len());
        let of_reports = ids.get(from..).unwrap_or_default();
        for ((_, id), new) in self.reports.iter_mut().zip(of_reports) {
            *id = *new;
        }
        if is_given_up {
            self.pages.cache.give_up();
            return;
        }
        let places = batch.rows.iter().map(|row| row.place);
        self.pages.cache.commit(places.zip(ids.iter().copied()));
    }

    fn append_beside(&self, store: &Store, batch: Batch, outcome: &mut Outcome) {
        let mut failed = None;
        if !batch.exemplars.is_empty() {
            failed = store.append_exemplars_soon(batch.exemplars).err();
        }
        if !batch.metadata.is_empty() {
            let known = batch.metadata.into_iter().filter_map(|name| {
                let metadata = self.pages.metadata.get(&name)?.clone();
                Some((name, metadata))
            });
            failed = store.append_metadata_soon(known.collect()).err().or(failed);
        }
        outcome.store_error = failed.map(|error| error.to_string());
    }
}

fn stale() -> Value {
    Value::Float(f64::from_bits(STALE))
}

/// Whether two jobs make the same series of a page.
fn makes_the_same_series(one: &JobConfig, other: &JobConfig) -> bool {
    (
        one.honor_labels,
        &one.metric_relabel,
        one.validation,
        one.limits,
        one.histograms,
    ) == (
        other.honor_labels,
        &other.metric_relabel,
        other.validation,
        other.limits,
        other.histograms,
    ) && one.name == other.name
}

fn entry(labels: &Labels, id: Option<SeriesId>, timestamp: i64, value: Value) -> Entry<'_> {
    Entry {
        id,
        labels,
        timestamp,
        start: 0,
        value,
    }
}

/// It is on disk some moments later: nobody is told before, and a page that was lost with the power
/// could not be asked for again anyway.
fn append_soon(store: &Store, entries: &[Entry<'_>], now: i64) -> Result<Appended, String> {
    let mut all = Appended::default();
    for part in entries.chunks(ENTRIES_MAX) {
        let appended = store
            .append_soon(part, now)
            .map_err(|error| error.to_string())?;
        if all.ids.is_empty() {
            all = appended;
            continue;
        }
        all.ids.extend(appended.ids);
        all.refused += appended.refused;
    }
    Ok(all)
}

/// The values of [`REPORTS`].
fn reported(
    whose: Whose<'_>,
    scrape: &Scrape,
    (outcome, added): (&Outcome, usize),
) -> [f64; REPORTS.len()] {
    let is_up = outcome.error.is_none();
    let body_bytes = if outcome.is_too_large {
        -1.0
    } else {
        outcome.body_bytes as f64
    };
    let took = clock::now().saturating_duration_since(scrape.begun);
    [
        f64::from(u8::from(is_up)),
        took.as_secs_f64(),
        outcome.scraped as f64,
        outcome.kept as f64,
        added as f64,
        whose.timeout_seconds,
        whose.job.limits.samples as f64,
        body_bytes,
    ]
}

/// At most one byte more than the limit.
fn unpack(body: &[u8], limit: u64) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::with_capacity(body.len().saturating_mul(4));
    let mut reader = MultiGzDecoder::new(body).take(limit.saturating_add(1));
    #[expect(
        clippy::disallowed_methods,
        reason = "the bounded reader itself: take() stands before"
    )]
    let read = reader.read_to_end(&mut unpacked);
    read.map_err(|error| format!("gzip: {error}"))?;
    Ok(unpacked)
}

fn too_large(limit: u64) -> String {
    format!("body size limit exceeded: the page is larger than {limit} bytes (body_size_limit)")
}

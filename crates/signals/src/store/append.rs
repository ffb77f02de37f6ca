//! Taking samples: judged under the head's lock, written to the log, acknowledged when they are on
//! disk. Where nobody waits for that, many batches go there at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Store, extras_of, records_of};
use crate::disk::DiskError;
use crate::extra::{Exemplar, Metadata};
use crate::head::{Head, Verdict};
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::log::{BATCH_BYTES_MAX, QUEUE_BYTES_MAX};
use crate::record::Encoder;

/// Samples of one batch.
pub const BATCH_SAMPLES_MAX: usize = 1_000_000;
/// Bytes of exemplars or metadata that go to the log at once, but for the last of them.
const EXTRAS_BYTES_MAX: usize = 8 << 20;
/// Bytes of the name of a metric of which something is kept.
const METRIC_BYTES_MAX: usize = 1_024;
/// Refusals of one batch that are told one by one; the rest is counted.
const REFUSALS_MAX: usize = 100;
/// Milliseconds from 1970, forwards and backwards: what is beyond cannot be computed with.
const TIME_MAX: i64 = 1 << 60;
/// Bytes for the log that may wait for company when nobody waits for them.
const SOON_BYTES_MAX: usize = 1 << 20;
/// Bytes that go to the log before the room on the disk is asked for again.
const SPACE_EVERY_BYTES: u64 = 16 * 1024 * 1024;

/// A series of the head, for appending without its labels. It holds until the process ends or the
/// series has been silent for so long that the head forgot it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub(crate) u32);

/// A sample to append.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// The series as an earlier batch gave it, which saves finding it.
    pub id: Option<SeriesId>,
    /// The series.
    pub labels: &'a Labels,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// When the counter began, in milliseconds since 1970; 0 is not known.
    pub start: i64,
    /// What was measured.
    pub value: Value,
}

/// What was measured.
#[derive(Debug, Clone)]
pub enum Value {
    /// A number; [`crate::STALE`] ends a series.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// Why a single sample was not taken. Sending it again does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Older than what is kept open for late samples.
    #[error("out of bounds: the sample is too old")]
    TooOld,
    /// The clock of whoever sent it is wrong.
    #[error("out of bounds: the sample is too far in the future")]
    TooNew,
    /// The series has another value at this time.
    #[error("duplicate sample for timestamp")]
    Duplicate,
    /// The head has as many series as it may have.
    #[error("too many series")]
    ManySeries,
}

/// What became of a batch.
#[derive(Debug, Clone, Default)]
pub struct Appended {
    /// The series of each sample; none where the sample's series was refused.
    pub ids: Vec<Option<SeriesId>>,
    /// Samples that are new.
    pub taken: usize,
    /// Samples that were there already, with the same value.
    pub repeated: usize,
    /// Histograms among both.
    pub histograms: usize,
    /// Samples that were refused.
    pub refused: usize,
    /// The first of them, with their place in the batch.
    pub refusals: Vec<(usize, Refusal)>,
}

/// Why nothing of a batch is acknowledged. Sending it again later may help.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk does not keep up.
    #[error("samples of {QUEUE_BYTES_MAX} bytes wait for the disk; send again later")]
    Busy,
    /// The head has as many bytes as it may have.
    #[error("the newest samples take {0} bytes of memory; send again later")]
    HeadFull(usize),
    /// The log has as many bytes as it may have.
    #[error("the log takes {0} bytes of the disk; send again later")]
    LogFull(u64),
    /// There is too little room on the disk.
    #[error("less than {0} % of the disk is free; make room")]
    DiskFull(u64),
    /// The batch is too large.
    #[error("a batch of {0} samples, and it may have at most {BATCH_SAMPLES_MAX}")]
    Long(usize),
    /// Writing failed; the log begins anew with the next upkeep.
    #[error("the log is closed after an error")]
    Closed(#[source] DiskError),
}

impl Store {
    /// Takes samples. Returns when those that were taken are on disk. `now` is the clock, in
    /// milliseconds since 1970.
    pub fn append(&self, batch: &[Entry<'_>], now: i64) -> Result<Appended, AppendError> {
        let taken = self.take(batch, now)?;
        self.log.wait(taken.position).map_err(AppendError::Closed)?;
        taken.acknowledge(batch)
    }

    /// Takes samples of which nobody is told that they are taken. They are on disk after
    /// [`Store::sync`], or before, with what is appended next. When a megabyte waits for that, it goes
    /// to the disk before this returns.
    pub fn append_soon(&self, batch: &[Entry<'_>], now: i64) -> Result<Appended, AppendError> {
        let taken = self.take(batch, now)?;
        self.wait_when_long(taken.position)?;
        taken.acknowledge(batch)
    }

    /// Returns when all that was taken until now is on disk.
    pub fn sync(&self) -> Result<(), AppendError> {
        self.log.wait(self.log.end()).map_err(AppendError::Closed)
    }

    /// Takes samples into the head and the queue of the log.
    fn take(&self, batch: &[Entry<'_>], now: i64) -> Result<Taken, AppendError> {
        if batch.len() > BATCH_SAMPLES_MAX {
            return Err(AppendError::Long(batch.len()));
        }
        if self.since_space.load(Ordering::Relaxed) > SPACE_EVERY_BYTES {
            // An error leaves the last answer standing; writing will tell.
            self.check_space().ok();
        }
        let mut head = self.head_mut();
        self.check_room(&head)?;
        let file = self.file_for(&head);
        let mut intake = Intake {
            store: self,
            head: &mut head,
            records: Encoder::default(),
            appended: Appended::default(),
            file,
            newest: now.saturating_add(self.options.ahead_ms),
        };
        intake.appended.ids.reserve(batch.len());
        let mut is_whole = true;
        for (at, entry) in batch.iter().enumerate() {
            if intake.records.length() > BATCH_BYTES_MAX / 2 {
                is_whole = false;
                break;
            }
            intake.take(at, entry);
        }
        let (records, appended) = (intake.records, intake.appended);
        let position = if records.length() == 0 {
            // What was repeated may still be on its way.
            self.log.end()
        } else {
            let records = records_of(records);
            let length = records.bytes.len() as u64;
            self.since_space.fetch_add(length, Ordering::Relaxed);
            self.log.enqueue(records)
        };
        Ok(Taken {
            appended,
            position,
            is_whole,
        })
    }

    /// Keeps exemplars, the newest ones; of more than 8 MiB at once the first ones. Returns when they are on disk.
    pub fn append_exemplars(&self, exemplars: Vec<Exemplar>) -> Result<usize, AppendError> {
        let count = self.append_exemplars_soon(exemplars)?;
        self.sync()?;
        Ok(count)
    }

    /// The same, and they are on disk when samples of [`Store::append_soon`] are.
    pub fn append_exemplars_soon(&self, exemplars: Vec<Exemplar>) -> Result<usize, AppendError> {
        let mut head = self.head_mut();
        self.check_room(&head)?;
        let mut records = Encoder::default();
        let mut count = 0;
        for exemplar in exemplars {
            // What is beyond is not worth a frame that nobody could read back.
            if records.length() > EXTRAS_BYTES_MAX {
                break;
            }
            if head.extras.add_exemplar(exemplar.clone()) {
                records.exemplar(&exemplar);
                count += 1;
            }
        }
        self.enqueue_extras(head, records).map(|()| count)
    }

    /// Keeps what is known of metrics; what is beyond 8 MiB at once, and of names beyond a kilobyte, is
    /// left out. Returns when it is on disk.
    pub fn append_metadata(&self, metadata: Vec<(String, Metadata)>) -> Result<(), AppendError> {
        self.append_metadata_soon(metadata)?;
        self.sync()
    }

    /// The same, and it is on disk when samples of [`Store::append_soon`] are.
    pub fn append_metadata_soon(
        &self,
        metadata: Vec<(String, Metadata)>,
    ) -> Result<(), AppendError> {
        let mut head = self.head_mut();
        self.check_room(&head)?;
        let mut records = Encoder::default();
        for (metric, metadata) in metadata {
            if metric.len() > METRIC_BYTES_MAX || records.length() > EXTRAS_BYTES_MAX {
                continue;
            }
            if let Some(kept) = head.extras.set_metadata(&metric, metadata) {
                records.metadata(&metric, kept);
            }
        }
        self.enqueue_extras(head, records)
    }

    fn enqueue_extras(
        &self,
        head: std::sync::RwLockWriteGuard<'_, Head>,
        records: Encoder,
    ) -> Result<(), AppendError> {
        let position = if records.length() == 0 {
            self.log.end()
        } else {
            self.log.enqueue(records_of(records))
        };
        drop(head);
        self.wait_when_long(position)
    }

    /// Waits until everything up to `position` is on disk when much waits for that.
    fn wait_when_long(&self, position: u64) -> Result<(), AppendError> {
        let (_, queued) = self.log.bytes();
        if queued > SOON_BYTES_MAX {
            self.log.wait(position).map_err(AppendError::Closed)?;
        }
        Ok(())
    }

    fn check_room(&self, head: &Head) -> Result<(), AppendError> {
        if let Some(error) = self.log.failure() {
            return Err(AppendError::Closed(error));
        }
        if self.is_full() {
            return Err(AppendError::DiskFull(self.options.free_percent_min));
        }
        let memory = head.memory_bytes();
        if memory > self.options.head_bytes_max {
            return Err(AppendError::HeadFull(memory));
        }
        let (on_disk, queued) = self.log.bytes();
        if on_disk > self.options.log_bytes_max {
            return Err(AppendError::LogFull(on_disk));
        }
        if queued > QUEUE_BYTES_MAX {
            return Err(AppendError::Busy);
        }
        Ok(())
    }

    /// The file of the log for what comes next. Descriptions of series are repeated in each, so
    /// that a file is longer when there are many of them.
    fn file_for(&self, head: &Head) -> u32 {
        let current = self.log.current_file();
        let samples = current.bytes.saturating_sub(current.description_bytes);
        let enough = self
            .options
            .log_file_bytes
            .max(current.description_bytes.saturating_mul(4));
        if samples < enough {
            return current.number;
        }
        let number = self.log.begin_file();
        self.log.enqueue(extras_of(head));
        number
    }
}

/// A batch that is in the head and in the queue of the log.
struct Taken {
    appended: Appended,
    /// What to wait for.
    position: u64,
    /// None of it was left out for its length.
    is_whole: bool,
}

impl Taken {
    fn acknowledge(self, batch: &[Entry<'_>]) -> Result<Appended, AppendError> {
        if self.is_whole {
            Ok(self.appended)
        } else {
            Err(AppendError::Long(batch.len()))
        }
    }
}

/// A batch on its way into the head.
struct Intake<'a> {
    store: &'a Store,
    head: &'a mut Head,
    records: Encoder,
    appended: Appended,
    file: u32,
    /// Later samples are refused.
    newest: i64,
}

impl Intake<'_> {
    fn take(&mut self, at: usize, entry: &Entry<'_>) {
        if let Some(refusal) = self.out_of_bounds(entry.timestamp) {
            return self.refuse(at, None, refusal);
        }
        let Some(id) = self.series(entry) else {
            return self.refuse(at, None, Refusal::ManySeries);
        };
        let time = entry.timestamp;
        let verdict = match &entry.value {
            Value::Float(value) => self.head.push(id, time, *value, entry.start),
            Value::Histogram(value) => self.head.push_histogram(id, time, entry.start, value),
        };
        if verdict != Verdict::Duplicate && matches!(entry.value, Value::Histogram(_)) {
            self.appended.histograms += 1;
        }
        match verdict {
            Verdict::Duplicate => self.refuse(at, Some(id), Refusal::Duplicate),
            Verdict::Repeated => {
                self.appended.repeated += 1;
                self.appended.ids.push(Some(SeriesId(id)));
            }
            Verdict::Taken => {
                if let Some(labels) = self.head.describe_in(id, self.file) {
                    self.records.series(id, &labels);
                }
                match &entry.value {
                    Value::Float(value) => self.records.float(id, time, *value, entry.start),
                    Value::Histogram(value) => {
                        self.records.histogram(id, time, entry.start, value);
                    }
                }
                self.appended.taken += 1;
                self.appended.ids.push(Some(SeriesId(id)));
            }
        }
    }

    fn out_of_bounds(&self, time: i64) -> Option<Refusal> {
        if time > self.newest.min(TIME_MAX) {
            return Some(Refusal::TooNew);
        }
        if time < -TIME_MAX {
            return Some(Refusal::TooOld);
        }
        let late = self.store.options.late_ms;
        let oldest = self.head.newest.map(|newest| newest.saturating_sub(late));
        let oldest = oldest.max(self.head.closed_until);
        oldest
            .is_some_and(|oldest| time < oldest)
            .then_some(Refusal::TooOld)
    }

    fn series(&mut self, entry: &Entry<'_>) -> Option<u32> {
        let known = entry.id.map(|id| id.0);
        if let Some(id) = known.filter(|id| self.head.get(*id).is_some()) {
            return Some(id);
        }
        if let Some(id) = self.head.find(entry.labels) {
            return Some(id);
        }
        if self.head.series_count() >= self.store.options.series_max {
            return None;
        }
        self.head.add(entry.labels)
    }

    fn refuse(&mut self, at: usize, id: Option<u32>, refusal: Refusal) {
        self.appended.refused += 1;
        self.appended.ids.push(id.map(SeriesId));
        if self.appended.refusals.len() < REFUSALS_MAX {
            self.appended.refusals.push((at, refusal));
        }
    }
}

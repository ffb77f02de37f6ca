//! The store: opening it, what it is made of, and what it says about itself.

mod append;
mod compact;
mod delete;
mod far;
mod flush;
mod follow;
mod offline;
mod replay;
mod select;

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::damage::{Damage, ReadError};
use crate::disk::{Disk, DiskError, named};
use crate::head::Head;
use crate::labels::Labels;
use crate::log::{self, Log, Records};
use crate::manifest::{self, Manifest};
use crate::objects::{Depot, Objects};
use crate::record::Encoder;
use crate::segment::{self, Segment};
use crate::tombstone::Tombstone;

pub use append::{AppendError, Appended, BATCH_SAMPLES_MAX, Entry, Refusal, SeriesId, Value};
pub use delete::TOMBSTONES_MAX;
pub use flush::Upkeep;
pub(crate) use offline::Salvage;
pub use offline::{HeadFacts, Import, SegmentFacts, probe};
pub use select::{Selection, Statistics};

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// How much older than the newest sample another may be, in milliseconds.
    pub late_ms: i64,
    /// How far ahead of the clock a sample may be, in milliseconds.
    pub ahead_ms: i64,
    /// How long samples are kept, in milliseconds.
    pub retention_ms: Option<i64>,
    /// How many bytes segments may take.
    pub retention_bytes: Option<u64>,
    /// Bytes of the head in memory.
    pub head_bytes_max: usize,
    /// Bytes of the log on disk.
    pub log_bytes_max: u64,
    /// Bytes of samples in a file of the log.
    pub log_file_bytes: u64,
    /// Parts of a hundred of the disk that have to stay free; with less, intake is refused.
    pub free_percent_min: u64,
    /// Series in the head.
    pub series_max: usize,
    /// Stretches that compaction makes of smaller ones, in milliseconds, the shortest first.
    pub compaction_ms: Vec<i64>,
    /// Files of the log stay until [`Store::keep_log_from`] lets them go.
    pub keep_log: bool,
    /// Where old segments go, if anywhere.
    pub objects: Option<Arc<dyn Objects>>,
    /// How old the newest sample of a segment is that goes there, in milliseconds.
    pub objects_after_ms: Option<i64>,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Default for Options {
    fn default() -> Self {
        Self {
            late_ms: 60 * 60 * 1000,
            ahead_ms: 10 * 60 * 1000,
            retention_ms: None,
            retention_bytes: None,
            head_bytes_max: 2 << 30,
            log_bytes_max: 8 << 30,
            log_file_bytes: 128 << 20,
            free_percent_min: 5,
            series_max: 8_000_000,
            compaction_ms: vec![DAY_MS, 10 * DAY_MS],
            keep_log: false,
            objects: None,
            objects_after_ms: None,
        }
    }
}

/// What opening found.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    /// A write that had not been acknowledged was cut off here.
    pub cut: Option<Damage>,
    /// Samples that came back from the log.
    pub replayed: u64,
}

/// Why the store cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file holds something else than what was written.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// Another process has the store.
    #[error("{0} is used by another process; stop it, or give this one a folder of its own")]
    Locked(String),
    /// There are files of a store, and nothing that says what they are.
    #[error(
        "{0} is missing, and there are files that it has to describe; restore it from a backup"
    )]
    ManifestMissing(String),
    /// An import gives series in another order than that of their labels.
    #[error("series have to come in the order of their labels, each once; {0:?} does not")]
    Order(Labels),
    /// The store is about to be closed.
    #[error("the store is about to be closed; what is not done is done at the next start")]
    Stopped,
    /// Too many deletions wait for compaction.
    #[error("{0} deletions wait for compaction already")]
    ManyTombstones(usize),
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Disk(error) => Self::Disk(error),
            ReadError::Damage(damage) => Self::Damage(damage),
        }
    }
}

/// The store of samples. All operations block, some of them on the disk.
#[derive(Debug)]
pub struct Store {
    disk: Arc<dyn Disk>,
    options: Options,
    head: RwLock<Head>,
    log: Log,
    /// Changes only under the head's lock, so that who holds that sees both as of one moment.
    segments: RwLock<Arc<Segments>>,
    /// Held by whoever changes what is on disk, one at a time.
    manifest: Mutex<Manifest>,
    far: far::Far,
    /// There is too little room on the disk.
    is_full: AtomicBool,
    /// Bytes that went to the log since the room was asked for.
    since_space: AtomicU64,
    /// Long work has to end.
    is_stopping: AtomicBool,
    _lock: Box<dyn Send + Sync + Debug>,
}

/// The segments as of one moment.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// In the order of their numbers.
    list: Vec<Arc<Segment>>,
    tombstones: Vec<Tombstone>,
}

impl Store {
    /// Opens the store on a disk, and makes it if there is none.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<(Self, Opened), StoreError> {
        for folder in ["", log::FOLDER, segment::FOLDER] {
            named(&*disk, "create", folder, disk.create_folder(folder))?;
        }
        let lock = named(&*disk, "lock", "LOCK", disk.lock("LOCK"))?
            .ok_or_else(|| StoreError::Locked(disk.path("").display().to_string()))?;
        let manifest = match Manifest::read(&*disk)? {
            Some(manifest) => manifest,
            None => begin(&*disk)?,
        };
        manifest::remove_unfinished(&*disk)?;
        segment::remove_unnamed(&*disk, &manifest.segments)?;
        let far = far::Far::new(&options, &manifest);
        let segments = Segments::open(&*disk, &far.depot, &manifest)?;
        let mut head = Head::new(manifest.flushed);
        let (recovered, replayed) = replay::replay(&*disk, manifest.log_first, &mut head)?;
        let opened = Opened {
            cut: recovered.cut.clone(),
            replayed,
        };
        let log = Log::open(Arc::clone(&disk), &recovered)?;
        log.keep_from(if options.keep_log { 0 } else { u32::MAX })?;
        let store = Self {
            disk,
            options,
            head: RwLock::new(head),
            log,
            segments: RwLock::new(Arc::new(segments)),
            manifest: Mutex::new(manifest),
            far,
            is_full: AtomicBool::new(false),
            since_space: AtomicU64::new(0),
            is_stopping: AtomicBool::new(false),
            _lock: lock,
        };
        store.describe_extras();
        store.check_space()?;
        Ok((store, opened))
    }

    /// Ends long work, such as compaction, where it is, so that the store can be closed soon: it gives
    /// [`StoreError::Stopped`], from now on, too, and has changed nothing.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Whether long work may go on.
    fn go_on(&self) -> Result<(), StoreError> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Err(StoreError::Stopped);
        }
        Ok(())
    }

    /// Says in the log that the process ends in order, so that a bit that flips in what came last
    /// is known to be damage. To be called last.
    pub fn close(&self) -> Result<(), StoreError> {
        let head = self.head_mut();
        let mut records = Encoder::default();
        records.closed();
        let position = self.log.enqueue(records_of(records));
        drop(head);
        Ok(self.log.wait(position)?)
    }

    /// Asks how much room there is. Too little stops intake until there is more.
    pub fn check_space(&self) -> Result<(), StoreError> {
        self.since_space.store(0, Ordering::Relaxed);
        let space = named(&*self.disk, "ask the room of", "", self.disk.space())?;
        let is_full = space.free < space.total / 100 * self.options.free_percent_min;
        self.is_full.store(is_full, Ordering::Relaxed);
        Ok(())
    }

    /// Whether intake is refused because there is too little room on the disk.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Whether a write of the log has failed, after which everything is refused until
    /// [`Store::maintain`] has begun the log anew.
    pub fn has_failed(&self) -> bool {
        self.log.failure().is_some()
    }

    fn head(&self) -> RwLockReadGuard<'_, Head> {
        self.head.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn head_mut(&self) -> RwLockWriteGuard<'_, Head> {
        self.head.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn manifest(&self) -> MutexGuard<'_, Manifest> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn segments(&self) -> Arc<Segments> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&segments)
    }

    /// Replaces the segments; `head` proves that its lock is held.
    fn set_segments(&self, _head: &mut Head, segments: Segments) {
        let mut place = self
            .segments
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(segments);
    }

    /// Makes what the manifest says the truth. The segments that stay are not opened again.
    fn open_segments(&self, manifest: &Manifest) -> Result<Segments, StoreError> {
        let have = self.segments();
        let mut list = Vec::with_capacity(manifest.segments.len());
        for entry in &manifest.segments {
            let known = have.list.iter().find(|segment| segment.entry == *entry);
            list.push(match known {
                Some(segment) => Arc::clone(segment),
                None => Arc::new(Segment::open(&*self.disk, &self.far.depot, *entry)?),
            });
        }
        Ok(Segments {
            list,
            tombstones: manifest.tombstones.clone(),
        })
    }

    /// Writes metadata and exemplars to the log's current file, which stands alone.
    fn describe_extras(&self) {
        let head = self.head_mut();
        self.log.enqueue(extras_of(&head));
    }
}

impl Segments {
    fn open(disk: &dyn Disk, depot: &Depot, manifest: &Manifest) -> Result<Self, StoreError> {
        let opened = manifest.segments.iter();
        let opened = opened.map(|entry| Segment::open(disk, depot, *entry).map(Arc::new));
        let mut list = opened.collect::<Result<Vec<_>, _>>()?;
        list.sort_unstable_by_key(|segment| segment.entry.number);
        Ok(Self {
            list,
            tombstones: manifest.tombstones.clone(),
        })
    }
}

/// The first start: a log, and then the manifest that says so.
fn begin(disk: &dyn Disk) -> Result<Manifest, StoreError> {
    let logs = named(disk, "list", log::FOLDER, disk.list(log::FOLDER))?;
    let segments = named(disk, "list", segment::FOLDER, disk.list(segment::FOLDER))?;
    let is_begun = logs.iter().all(|name| log::file_name(1).ends_with(name));
    if !segments.is_empty() || !is_begun || log::has_frames(disk, 1)? {
        let path = disk.path(manifest::NAME).display().to_string();
        return Err(StoreError::ManifestMissing(path));
    }
    log::begin_first(disk)?;
    let manifest = Manifest {
        log_first: 1,
        next: 1,
        ..Manifest::default()
    };
    manifest.write(disk)?;
    Ok(manifest)
}

fn records_of(records: Encoder) -> Records {
    Records {
        latest: records.latest,
        description_bytes: records.description_bytes,
        bytes: records.finish(),
    }
}

fn extras_of(head: &Head) -> Records {
    let mut records = Encoder::default();
    for (metric, metadata) in head.extras.metadata() {
        records.metadata(metric, metadata);
    }
    for exemplar in head.extras.exemplars() {
        records.exemplar(exemplar);
    }
    records_of(records)
}

#[cfg(test)]
mod tests;

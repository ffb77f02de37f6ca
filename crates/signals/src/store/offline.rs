//! What is done with a store that no process serves from: what is in it, bringing in what others have,
//! and opening what a repair saved.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use super::far::Far;
use super::flush::take_number;
use super::replay::Replay;
use super::{Options, Segments, Store, StoreError};
use crate::block::Effort;
use crate::disk::{Disk, named};
use crate::head::Head;
use crate::labels::Labels;
use crate::log::{Log, Looked, Recovered};
use crate::manifest::{Manifest, SegmentEntry};
use crate::objects::Depot;
use crate::record::Visitor;
use crate::segment::{self, SegmentWriter, SeriesSamples};

/// A segment in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Its number, which is the name of its file.
    pub number: u32,
    /// Bytes of the file.
    pub bytes: u64,
    /// The time of the first sample, in milliseconds since 1970.
    pub first: i64,
    /// The time of the last.
    pub last: i64,
    /// Samples.
    pub samples: u64,
    /// Series.
    pub series: u64,
    /// Whether it is an object; otherwise it is a file.
    pub is_object: bool,
}

impl From<&SegmentEntry> for SegmentFacts {
    fn from(entry: &SegmentEntry) -> Self {
        Self {
            number: entry.number,
            bytes: entry.length,
            first: entry.first,
            last: entry.last,
            samples: entry.samples,
            series: entry.series,
            is_object: entry.is_far,
        }
    }
}

/// What is in the head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadFacts {
    /// Series.
    pub series: usize,
    /// Samples; those that are in segments, too, are not counted.
    pub samples: u64,
    /// The time of the newest sample, in milliseconds since 1970.
    pub newest: Option<i64>,
}

/// How often a look is repeated: another process may replace what is looked at.
const LOOKS_MAX: usize = 5;
/// Made and removed again, to see that files can be.
const PROBE: &str = "PROBE.new";

/// Whether the store could be opened, as far as that can be seen while another process has it: files
/// can be made, and manifest and segments make sense. The log is not read. No store at all is fine.
///
/// # Errors
/// Why it could not.
pub fn probe(disk: &dyn Disk) -> Result<(), StoreError> {
    named(disk, "create", "", disk.create_folder(""))?;
    named(disk, "lock", "LOCK", disk.lock("LOCK"))?;
    // Whoever has the store may remove it before we do.
    disk.remove(PROBE).ok();
    named(disk, "create", PROBE, disk.create(PROBE))?;
    disk.remove(PROBE).ok();
    let look = || -> Result<(), StoreError> {
        let manifest = Manifest::read(disk)?;
        manifest.map_or(Ok(()), |mut manifest| {
            // What is missing here of objects is read from the bucket when the store is opened.
            manifest.segments.retain(|entry| !entry.is_far);
            Segments::open(disk, &Depot::default(), &manifest).map(drop)
        })
    };
    let mut looked = look();
    for _ in 1..LOOKS_MAX {
        if looked.is_ok() {
            break;
        }
        looked = look();
    }
    looked
}

impl Store {
    /// The segments, in the order of their numbers.
    pub fn segment_facts(&self) -> Vec<SegmentFacts> {
        let segments = self.segments();
        let entries = segments.list.iter().map(|segment| &segment.entry);
        entries.map(SegmentFacts::from).collect()
    }

    /// The head in numbers. Looks at each series.
    pub fn head_facts(&self) -> HeadFacts {
        let head = self.head();
        let counts = head.iter().map(|(_, series)| {
            let frozen = series.freeze_between(i64::MIN, i64::MAX);
            frozen.count() as u64
        });
        HeadFacts {
            series: head.series_count(),
            samples: counts.sum(),
            newest: head.newest,
        }
    }

    /// Begins a segment of samples from elsewhere. Upkeep waits until it is finished or dropped.
    pub fn import(&self) -> Result<Import<'_>, StoreError> {
        let mut manifest = self.manifest();
        let number = take_number(&mut manifest);
        Ok(Import {
            store: self,
            writer: SegmentWriter::create(&*self.disk, number, Effort::Compact)?,
            manifest,
            last: None,
        })
    }

    /// Opens what a repair saved, in a log that goes on behind the files that were looked at.
    pub(crate) fn of_salvage(
        disk: Arc<dyn Disk>,
        options: Options,
        (manifest, lock): (Manifest, Box<dyn Send + Sync + std::fmt::Debug>),
        (salvage, looked): (Salvage, &Looked),
    ) -> Result<Self, StoreError> {
        segment::remove_unfinished(&*disk)?;
        let far = Far::new(&options, &manifest);
        let segments = Segments::open(&*disk, &far.depot, &manifest)?;
        let recovered = Recovered {
            files: looked.files.clone(),
            next: looked.next,
            commit: looked.commit,
            cut: None,
            kept: Vec::new(),
        };
        let log = Log::open(Arc::clone(&disk), &recovered)?;
        log.keep_from(if options.keep_log { 0 } else { u32::MAX })?;
        Ok(Self {
            disk,
            options,
            head: RwLock::new(salvage.head),
            log,
            segments: RwLock::new(Arc::new(segments)),
            manifest: Mutex::new(manifest),
            far,
            is_full: AtomicBool::new(false),
            since_space: AtomicU64::new(0),
            is_stopping: AtomicBool::new(false),
            _lock: lock,
        })
    }
}

/// What the log of a damaged store has.
#[derive(Debug)]
pub(crate) struct Salvage {
    head: Head,
    samples: u64,
}

impl Salvage {
    pub(crate) fn new(manifest: &Manifest) -> Self {
        Self {
            head: Head::new(manifest.flushed),
            samples: 0,
        }
    }

    pub(crate) fn visitor(&mut self) -> impl Visitor {
        SalvageVisitor {
            replay: Replay::new(&mut self.head),
            samples: &mut self.samples,
        }
    }

    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }
}

/// Replays, and counts on the way.
struct SalvageVisitor<'a> {
    replay: Replay<'a>,
    samples: &'a mut u64,
}

impl Visitor for SalvageVisitor<'_> {
    fn begin_file(&mut self) {
        // What described a series may be in the part that cannot be read.
        self.replay.forget_ids();
    }

    fn series(&mut self, id: u32, labels: Labels) {
        self.replay.series(id, labels);
    }

    fn float(&mut self, id: u32, time: i64, value: f64, start: i64) {
        self.replay.float(id, time, value, start);
        *self.samples = self.replay.samples;
    }

    fn histogram(&mut self, id: u32, time: i64, start: i64, value: crate::histogram::Histogram) {
        self.replay.histogram(id, time, start, value);
        *self.samples = self.replay.samples;
    }

    fn delete(&mut self, matchers: &[crate::matcher::Matcher], start: i64, end: i64) {
        self.replay.delete(matchers, start, end);
    }

    fn exemplar(&mut self, exemplar: crate::extra::Exemplar) {
        self.replay.exemplar(exemplar);
    }

    fn metadata(&mut self, metric: &str, metadata: crate::extra::Metadata) {
        self.replay.metadata(metric, metadata);
    }

    fn closed(&mut self) {}
}

/// A segment that is being written of samples from elsewhere. Without [`Import::finish`] nothing of it
/// stays.
#[derive(Debug)]
pub struct Import<'a> {
    store: &'a Store,
    writer: SegmentWriter<'a>,
    manifest: MutexGuard<'a, Manifest>,
    last: Option<Labels>,
}

impl Import<'_> {
    /// Adds a series with all its samples, which are sorted by time, no time twice. Series come in the
    /// order of their labels.
    pub fn add(&mut self, labels: &Labels, samples: &SeriesSamples) -> Result<(), StoreError> {
        if self.last.as_ref().is_some_and(|last| last >= labels) {
            return Err(StoreError::Order(labels.clone()));
        }
        self.writer.add(labels, samples)?;
        self.last = Some(labels.clone());
        Ok(())
    }

    /// Makes the segment a part of the store; on disk when this returns. Nothing if nothing came.
    pub fn finish(mut self) -> Result<Option<SegmentFacts>, StoreError> {
        let made = self.writer.finish()?;
        let Some(entry) = made else {
            return Ok(None);
        };
        let mut next = self.manifest.clone();
        next.segments.push(entry);
        self.store.replace(&mut self.manifest, next)?;
        Ok(Some(SegmentFacts::from(&entry)))
    }
}

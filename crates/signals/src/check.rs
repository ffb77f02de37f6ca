//! Looking at every byte of a store that nobody uses, and saving what can be saved of one that is
//! damaged. Nothing that is wrong ends the look.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::block::Effort;
use crate::damage::{Damage, ReadError};
use crate::disk::{Disk, DiskError, DiskFile, named};
use crate::extra::{Exemplar, Metadata};
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::log::{self, Gap, Looked};
use crate::manifest::{Manifest, SegmentEntry};
use crate::matcher::Matcher;
use crate::objects::{Depot, FarFile, Objects};
use crate::record::Visitor;
use crate::segment::{self, ReadCache, Segment, SegmentWriter, SeriesSamples};
use crate::store::{Options, SegmentFacts, Store, StoreError};

/// The folder in which originals of damaged files are kept.
pub(crate) const FOLDER: &str = "damaged";
/// Bytes that are copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// What a look at every byte found.
#[derive(Debug, Clone, Default)]
pub struct Check {
    /// Segments that are as they were written.
    pub segments: Vec<SegmentFacts>,
    /// Segments that are not.
    pub damaged: Vec<DamagedSegment>,
    /// Stretches of the log that cannot be read.
    pub gaps: Vec<Gap>,
    /// The end of a write that was not acknowledged; the next start cuts it off.
    pub torn: Option<Damage>,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Samples in the log that are not in segments, or are there, too.
    pub log_samples: u64,
    /// Samples in the log of which nothing says whose they are, because that was damaged.
    pub log_orphans: u64,
}

/// A segment of which something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedSegment {
    /// What it was.
    pub facts: SegmentFacts,
    /// The first that was found.
    pub damage: Damage,
}

/// What a repair did.
#[derive(Debug, Clone, Default)]
pub struct Repaired {
    /// What was found before.
    pub check: Check,
    /// Where originals are, as a person would call it.
    pub folder: String,
    /// Samples that were saved from the log into segments.
    pub saved: u64,
    /// Samples that were saved from damaged segments.
    pub rescued: u64,
}

impl Check {
    /// Whether all that was acknowledged is there.
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.gaps.is_empty()
    }
}

/// Reads everything, in objects, too, and changes nothing. `told` learns how many bytes were read, and may be called
/// often.
///
/// # Errors
/// Another process has the store, the manifest can't be read, the disk fails, or objects are away.
pub fn check(
    disk: &dyn Disk,
    objects: Option<Arc<dyn Objects>>,
    told: &mut dyn FnMut(u64),
) -> Result<Check, StoreError> {
    let _lock = lock(disk)?;
    let manifest = manifest(disk)?;
    let depot = Depot::new(objects, &manifest);
    let mut counting = Counting::default();
    look((disk, &depot), &manifest, &mut counting, told).map(|(check, _)| Check {
        log_samples: counting.samples,
        log_orphans: counting.orphans,
        ..check
    })
}

/// Bytes of the segments that are objects, of a store that nobody needs to open for this.
///
/// # Errors
/// The manifest can't be read.
pub fn object_bytes(disk: &dyn Disk) -> Result<u64, StoreError> {
    let manifest = manifest(disk)?;
    let far = manifest.segments.iter().filter(|entry| entry.is_far);
    Ok(far.map(|entry| entry.length).sum())
}

/// Writes what can be read of damaged segments anew, saves what the log has into segments, and begins
/// the log anew. Originals of damaged files are kept in a folder. A store that is whole is left as it is.
///
/// # Errors
/// Another process has the store, the manifest can't be read, or the disk fails. It can be tried
/// again then.
pub fn repair(disk: &Arc<dyn Disk>, options: Options) -> Result<Repaired, StoreError> {
    let lock = lock(&**disk)?;
    let mut manifest = manifest(&**disk)?;
    let depot = Depot::new(options.objects.clone(), &manifest);
    let place = (&**disk, &depot);
    let mut salvage = Salvage::new(&manifest);
    let (check, looked) = look(place, &manifest, &mut salvage.visitor(), &mut |_| {})?;
    let folder = disk.path(FOLDER).display().to_string();
    if check.is_whole() {
        return Ok(Repaired {
            check,
            folder,
            saved: 0,
            rescued: 0,
        });
    }
    named(&**disk, "create", FOLDER, disk.create_folder(FOLDER))?;
    let mut rescued = 0;
    for damaged in &check.damaged {
        let number = damaged.facts.number;
        let found = manifest
            .segments
            .iter()
            .position(|entry| entry.number == number);
        let Some(entry) = found.map(|at| manifest.segments.remove(at)) else {
            continue;
        };
        if entry.is_far {
            copy_object_aside(place, &entry)?;
        } else {
            copy_aside(&**disk, &segment::file_name(number))?;
        }
        if let Some(rest) = rescue(place, entry)? {
            rescued += rest.samples;
            manifest.segments.push(rest);
        }
        // One by one, so that a repair that is broken off and tried again finds what it has saved.
        manifest.segments.sort_unstable_by_key(|entry| entry.number);
        named(&**disk, "sync", FOLDER, disk.sync_folder(FOLDER))?;
        manifest.write(&**disk)?;
    }
    let mut files: Vec<u32> = check.gaps.iter().map(|gap| gap.file).collect();
    files.dedup();
    for number in files {
        copy_aside(&**disk, &log::file_name(number))?;
    }
    named(&**disk, "sync", FOLDER, disk.sync_folder(FOLDER))?;
    manifest.write(&**disk)?;
    let saved = salvage.samples();
    let store = Store::of_salvage(
        Arc::clone(disk),
        options,
        (manifest, lock),
        (salvage, &looked),
    )?;
    store.flush_all()?;
    store.close()?;
    Ok(Repaired {
        check,
        folder,
        saved,
        rescued,
    })
}

pub(crate) use crate::store::Salvage;

type Lock = Box<dyn Send + Sync + std::fmt::Debug>;

fn lock(disk: &dyn Disk) -> Result<Lock, StoreError> {
    let lock = named(disk, "lock", "LOCK", disk.lock("LOCK"))?;
    lock.ok_or_else(|| StoreError::Locked(disk.path("").display().to_string()))
}

fn manifest(disk: &dyn Disk) -> Result<Manifest, StoreError> {
    let path = || disk.path(crate::manifest::NAME).display().to_string();
    Manifest::read(disk)?.ok_or_else(|| StoreError::ManifestMissing(path()))
}

fn look(
    (disk, depot): (&dyn Disk, &Depot),
    manifest: &Manifest,
    visitor: &mut impl Visitor,
    told: &mut dyn FnMut(u64),
) -> Result<(Check, Looked), StoreError> {
    let mut check = Check::default();
    let mut read = 0;
    for entry in &manifest.segments {
        let facts = SegmentFacts::from(entry);
        let verified = Segment::open(disk, depot, *entry);
        let verified = verified.and_then(|one| one.verify(&mut |bytes| told(read + bytes)));
        match verified {
            Ok(()) => check.segments.push(facts),
            Err(ReadError::Damage(damage)) => {
                check.damaged.push(DamagedSegment { facts, damage });
            }
            Err(ReadError::Disk(error)) => return Err(error.into()),
        }
        read += entry.length;
        told(read);
    }
    let mut looked = log::look(disk, manifest.log_first, visitor)?;
    told(read + looked.bytes);
    check.gaps = std::mem::take(&mut looked.gaps);
    check.torn.clone_from(&looked.torn);
    check.log_bytes = looked.bytes;
    Ok((check, looked))
}

/// Writes what can be read of a damaged segment into one of the same number, so that deletions hold for
/// it as before, and newer ones win over it.
fn rescue(
    (disk, depot): (&dyn Disk, &Depot),
    entry: SegmentEntry,
) -> Result<Option<SegmentEntry>, StoreError> {
    let Some(segment) = whole(Segment::open(disk, depot, entry))? else {
        return Ok(None);
    };
    let mut writer = SegmentWriter::create(disk, entry.number, Effort::Compact)?;
    let (mut samples, mut part) = (SeriesSamples::default(), SeriesSamples::default());
    for page in 0..segment.page_count() {
        let mut cache = ReadCache::default();
        for series in whole(segment.page(page, &|_| true))?.unwrap_or_default() {
            samples.clear();
            for chunk in &series.chunks {
                part.clear();
                if whole(segment.read(chunk, &mut cache, &mut part))?.is_some() {
                    for (time, value, start) in part.floats.iter() {
                        samples.floats.push(time, value, start);
                    }
                    samples.histograms.append(&mut part.histograms);
                }
            }
            writer.add(&series.labels, &samples)?;
        }
    }
    Ok(writer.finish()?)
}

/// Nothing for what is damaged.
fn whole<T>(read: Result<T, ReadError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(ReadError::Damage(_)) => Ok(None),
        Err(ReadError::Disk(error)) => Err(error.into()),
    }
}

/// Keeps a copy of a file.
fn copy_aside(disk: &dyn Disk, name: &str) -> Result<(), StoreError> {
    let from = match disk.open(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => named(disk, "open", name, opened)?,
    };
    let place = disk.path(name).display().to_string();
    copy((&*from, &place), disk, &aside(name))
}

/// Keeps a copy of a damaged object, if there is one: nobody needs it any more, and it is removed.
fn copy_object_aside(
    (disk, depot): (&dyn Disk, &Depot),
    entry: &SegmentEntry,
) -> Result<(), StoreError> {
    let from = FarFile::new(depot, entry, Vec::new());
    match from.read_at(0, &mut [0]) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {
            return Ok(());
        }
        _ => {}
    }
    let to = aside(&segment::file_name(entry.number));
    copy((&from, &depot.place(entry)), disk, &to)
}

/// One that is there already is that of a repair that did not come to its end.
fn copy((from, place): (&dyn DiskFile, &str), disk: &dyn Disk, to: &str) -> Result<(), StoreError> {
    let unread = |error| DiskError::new("read", place.to_owned(), error);
    let length = from.length().map_err(unread)?;
    if let Ok(there) = disk.open(to)
        && named(disk, "read", to, there.length())? >= length
    {
        return Ok(());
    }
    if let Err(error) = disk.remove(to)
        && error.kind() != ErrorKind::NotFound
    {
        return Ok(named(disk, "remove", to, Err(error))?);
    }
    let copy = named(disk, "create", to, disk.create(to))?;
    let mut offset = 0;
    while offset < length {
        let some = crate::bytes::in_memory(length - offset).min(COPY_BYTES);
        let mut bytes = vec![0; some];
        from.read_at(offset, &mut bytes).map_err(unread)?;
        named(disk, "write to", to, copy.append(&bytes))?;
        offset += some as u64;
    }
    Ok(named(disk, "sync", to, copy.sync())?)
}

/// `segments/0000000003.seg` becomes `damaged/0000000003.seg`.
fn aside(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    format!("{FOLDER}/{file}")
}

/// Counts samples of the log.
#[derive(Debug, Default)]
struct Counting {
    known: std::collections::HashSet<u32>,
    samples: u64,
    orphans: u64,
}

impl Counting {
    fn count(&mut self, id: u32) {
        if self.known.contains(&id) {
            self.samples += 1;
        } else {
            self.orphans += 1;
        }
    }
}

impl Visitor for Counting {
    fn begin_file(&mut self) {
        self.known.clear();
    }

    fn series(&mut self, id: u32, _labels: Labels) {
        self.known.insert(id);
    }

    fn float(&mut self, id: u32, _time: i64, _value: f64, _start: i64) {
        self.count(id);
    }

    fn histogram(&mut self, id: u32, _time: i64, _start: i64, _value: Histogram) {
        self.count(id);
    }

    fn delete(&mut self, _matchers: &[Matcher], _start: i64, _end: i64) {}

    fn exemplar(&mut self, _exemplar: Exemplar) {}

    fn metadata(&mut self, _metric: &str, _metadata: Metadata) {}

    fn closed(&mut self) {}
}

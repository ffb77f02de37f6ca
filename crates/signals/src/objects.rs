//! A place for old segments outside of the disk: objects of a store that somebody else runs, which are
//! read by range.

mod cache;
mod file;
#[cfg(test)]
pub(crate) mod simulated;

use std::fmt::Debug;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::DiskFile;
use crate::manifest::{Manifest, SegmentEntry};
use cache::Cache;
pub(crate) use file::FarFile;

/// Objects by their names, with `/` between folders. Each operation may block, but not for ever.
pub trait Objects: Send + Sync + Debug {
    /// Puts the whole of a file there, in place of what has the name. When this returns it lasts, and
    /// whoever reads gets all of it. One that fails may leave what [`Objects::give_up`] removes.
    fn put(&self, name: &str, file: &dyn DiskFile) -> io::Result<()>;

    /// `length` bytes from `offset` on, fewer when the object ends before, and how long it is as a whole.
    /// The error is `NotFound` only when there is no such object, and `InvalidData` only when it is
    /// shorter.
    fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<(Vec<u8>, u64)>;

    /// Removes an object. One that is not there is no failure.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names that begin with `prefix`; when there are very many, some of them.
    fn list(&self, prefix: &str) -> io::Result<Vec<String>>;

    /// Removes what was left when putting something failed whose name begins with `prefix`.
    fn give_up(&self, prefix: &str) -> io::Result<()>;

    /// What a person would call an object.
    fn place(&self, name: &str) -> String;
}

/// What was done with objects since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Segments that lie there now.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Ranges that were asked for.
    pub reads: u64,
    /// Bytes of these.
    pub read_bytes: u64,
    /// Ranges that did not come, and segments that could not be put there or removed.
    pub errors: u64,
    /// Blocks that were in memory when they were wanted.
    pub hits: u64,
}

#[derive(Debug, Default)]
struct Counts {
    reads: AtomicU64,
    read_bytes: AtomicU64,
    errors: AtomicU64,
    hits: AtomicU64,
}

/// The objects of one store. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Depot {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// None are configured.
    objects: Option<Arc<dyn Objects>>,
    /// Tells stores apart that have the same bucket.
    id: u64,
    cache: Mutex<Cache>,
    counts: Counts,
}

impl Depot {
    /// The objects of the store of this manifest; of a new one when it has had none.
    pub(crate) fn new(objects: Option<Arc<dyn Objects>>, manifest: &Manifest) -> Self {
        let new_id = || {
            use std::hash::BuildHasher;
            foldhash::quality::RandomState::default().hash_one("objects")
        };
        Self {
            inner: Arc::new(Inner {
                objects,
                id: manifest.depot.unwrap_or_else(new_id),
                ..Inner::default()
            }),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.inner.id
    }

    pub(crate) fn objects(&self) -> Option<&dyn Objects> {
        self.inner.objects.as_deref()
    }

    /// What the names of all objects of this store begin with.
    pub(crate) fn prefix(&self) -> String {
        format!("signals/{:016x}/segments/", self.inner.id)
    }

    /// The name of the object of a segment. With the checksum in it, a copy of the store that goes its
    /// own way never writes over a segment that it does not have.
    pub(crate) fn name(&self, entry: &SegmentEntry) -> String {
        let SegmentEntry {
            number, checksum, ..
        } = entry;
        format!("{}{number:010}-{checksum:08x}.seg", self.prefix())
    }

    /// What a person would call the object of a segment.
    pub(crate) fn place(&self, entry: &SegmentEntry) -> String {
        let name = self.name(entry);
        self.objects()
            .map_or_else(|| name.clone(), |objects| objects.place(&name))
    }

    pub(crate) fn failed(&self) {
        self.inner.counts.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Without the segments.
    pub(crate) fn facts(&self) -> ObjectFacts {
        let counts = &self.inner.counts;
        ObjectFacts {
            reads: counts.reads.load(Ordering::Relaxed),
            read_bytes: counts.read_bytes.load(Ordering::Relaxed),
            errors: counts.errors.load(Ordering::Relaxed),
            hits: counts.hits.load(Ordering::Relaxed),
            ..ObjectFacts::default()
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        let cache = self.inner.cache.lock();
        cache.unwrap_or_else(PoisonError::into_inner)
    }

    /// A range of an object that has to be `whole` bytes long.
    fn read(&self, name: &str, (offset, length): (u64, usize), whole: u64) -> io::Result<Vec<u8>> {
        let counts = &self.inner.counts;
        let Some(objects) = self.objects() else {
            let text = "it lies in a bucket, and none is configured: set monitor.objects";
            return Err(io::Error::other(text));
        };
        counts.reads.fetch_add(1, Ordering::Relaxed);
        let read = objects.read(name, offset, length);
        let (bytes, total) = read.inspect_err(|_| self.failed())?;
        if total != whole || bytes.len() != length {
            self.failed();
            return Err(io::ErrorKind::InvalidData.into());
        }
        counts
            .read_bytes
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    fn hit(&self) {
        self.inner.counts.hits.fetch_add(1, Ordering::Relaxed);
    }
}

//! Bringing in the data directory of a Prometheus that does not run: each of its blocks becomes a
//! segment, which is on disk as a whole or not at all, and so does what its log has beyond them.

mod chunks;
mod head;
mod log;
pub mod remote;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use base::files;
use serde::Deserialize;
use signals::{AppendError, Labels, SegmentFacts, SeriesSamples, Store, StoreError};
use wire::tsdb::TsdbError;
use wire::tsdb::chunk::Sample;
use wire::tsdb::index::{ChunkPlace, Index};
use wire::tsdb::tombstones::{self, Tombstone};

use crate::receive::convert;
use chunks::Chunks;

pub use head::Head;
pub use log::{Cut, Log};

/// Bytes of `meta.json`.
const META_BYTES_MAX: u64 = 16 << 20;
/// Bytes of an index, which is held as a whole.
const INDEX_BYTES_MAX: u64 = 8 << 30;
/// Bytes of a file of tombstones.
const TOMBSTONES_BYTES_MAX: u64 = 256 << 20;
/// What the description of a block of late samples says.
const LATE_HINT: &str = "from-out-of-order";
/// Series after which is told how far it is.
const SERIES_TOLD: usize = 256;

/// A data directory of Prometheus.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its blocks, the oldest first, without those that another one was made of.
    pub blocks: Vec<Block>,
    /// The log with samples that no block has yet.
    pub log: Option<Log>,
}

/// A block: samples of a stretch of time.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its folder.
    pub path: PathBuf,
    /// What it is called.
    pub name: String,
    /// From this time on, in milliseconds since 1970.
    pub start: i64,
    /// Before this time.
    pub end: i64,
    /// Samples that it has, as it says.
    pub samples: u64,
    /// It was made of samples that came late, so that the log may have others of its time.
    pub is_late: bool,
}

/// What came of a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// The segment that it became; nothing if nothing was left.
    pub segment: Option<SegmentFacts>,
    /// Samples that tombstones named.
    pub deleted: u64,
    /// Series whose labels no store here takes, and why the first did not.
    pub refused: Option<(u64, String)>,
}

/// Why a block was not brought in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not as Prometheus writes it.
    #[error("{}: {source}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TsdbError,
    },
    /// A chunk is not as Prometheus writes it.
    #[error("{} at byte {offset}: {source}", path.display())]
    Chunk {
        /// The file.
        path: PathBuf,
        /// Where the chunk begins.
        offset: u64,
        /// Why.
        source: TsdbError,
    },
    /// `meta.json` says something else than it should.
    #[error("{} does not describe a block: {reason}", path.display())]
    Meta {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is no data directory.
    #[error("{} is no data directory of Prometheus: it has neither blocks nor a log", .0.display())]
    Nothing(PathBuf),
    /// Ours.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Ours, too.
    #[error("exemplars and descriptions of metrics stay out: {0}")]
    Extras(#[source] AppendError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    ulid: String,
    min_time: i64,
    max_time: i64,
    version: u32,
    #[serde(default)]
    stats: Stats,
    #[serde(default)]
    compaction: Compaction,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stats {
    num_samples: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Compaction {
    parents: Vec<Parent>,
    hints: Vec<String>,
}

#[derive(Deserialize)]
struct Parent {
    ulid: String,
}

impl Source {
    /// Looks at what is there.
    pub fn open(folder: &Path) -> Result<Self, ImportError> {
        let mut blocks = Vec::new();
        let mut replaced = BTreeSet::new();
        let read = |source| ImportError::Read {
            path: folder.to_owned(),
            source,
        };
        for entry in std::fs::read_dir(folder).map_err(read)? {
            let path = entry.map_err(read)?.path();
            let meta_path = path.join("meta.json");
            // Blocks that are being made or removed have names with a point.
            if path.extension().is_some() || !meta_path.is_file() {
                continue;
            }
            let meta = meta(&meta_path)?;
            let Compaction { parents, hints } = meta.compaction;
            replaced.extend(parents.into_iter().map(|parent| parent.ulid));
            blocks.push(Block {
                path,
                name: meta.ulid,
                start: meta.min_time,
                end: meta.max_time,
                samples: meta.stats.num_samples,
                is_late: hints.iter().any(|hint| hint == LATE_HINT),
            });
        }
        // Prometheus itself removes these at its next start.
        blocks.retain(|block| !replaced.contains(&block.name));
        blocks.sort_by(|a, b| (a.start, &a.name).cmp(&(b.start, &b.name)));
        let log = Log::find(folder)?;
        if blocks.is_empty() && log.is_none() {
            return Err(ImportError::Nothing(folder.to_owned()));
        }
        Ok(Self { blocks, log })
    }

    /// From when on samples are in the log alone, in milliseconds since 1970: the log keeps samples
    /// that blocks have for a while, also those that were deleted from them.
    pub fn log_begins(&self) -> i64 {
        let blocks = self.blocks.iter().filter(|block| !block.is_late);
        blocks.map(|block| block.end).max().unwrap_or(i64::MIN)
    }
}

fn meta(path: &Path) -> Result<Meta, ImportError> {
    let text = files::read_limited(path, META_BYTES_MAX).map_err(|source| ImportError::Read {
        path: path.to_owned(),
        source,
    })?;
    let wrong = |reason: String| ImportError::Meta {
        path: path.to_owned(),
        reason,
    };
    let meta: Meta = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    if meta.version != 1 {
        return Err(wrong(format!("version {} is not known here", meta.version)));
    }
    Ok(meta)
}

/// Brings a block in. `told` learns how many samples have been read, now and then. Blocks.
pub fn block(
    store: &Store,
    block: &Block,
    told: &mut dyn FnMut(u64),
) -> Result<Taken, ImportError> {
    let path = block.path.join("index");
    let bytes = read(&path, INDEX_BYTES_MAX)?;
    let index = Index::read(&bytes).map_err(|source| foreign(&path, source))?;
    let mut taken = Taken::default();
    let series = series(&index, &path, &mut taken)?;
    let gone = deletions(&block.path.join("tombstones"))?;
    let mut chunks = Chunks::open(&block.path.join("chunks"))?;
    let mut import = store.import()?;
    let mut samples = SeriesSamples::default();
    let mut count = 0;
    for (at, (labels, parts)) in series.iter().enumerate() {
        samples.clear();
        for (reference, places) in parts {
            let gone = gone.get(reference).map_or(&[][..], Vec::as_slice);
            for place in places {
                let mut see = |time: i64, sample: Sample| {
                    if gone
                        .iter()
                        .any(|gone| (gone.start..=gone.end).contains(&time))
                    {
                        taken.deleted += 1;
                    } else {
                        put(&mut samples, time, sample);
                    }
                };
                chunks.read(*place, &mut see)?;
            }
        }
        sort(&mut samples);
        count += (samples.floats.times.len() + samples.histograms.len()) as u64;
        import.add(labels, &samples)?;
        if at % SERIES_TOLD == 0 {
            told(count);
        }
    }
    taken.segment = import.finish()?;
    told(count);
    Ok(taken)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ImportError> {
    files::read_limited(path, limit).map_err(|source| ImportError::Read {
        path: path.to_owned(),
        source,
    })
}

fn foreign(path: &Path, source: TsdbError) -> ImportError {
    ImportError::Foreign {
        path: path.to_owned(),
        source,
    }
}

/// The series of a block and their chunks, in our order: labels with an empty value are none here, so
/// that two may become one.
type Wanted = BTreeMap<Labels, Vec<(u64, Vec<ChunkPlace>)>>;

fn series(index: &Index<'_>, path: &Path, taken: &mut Taken) -> Result<Wanted, ImportError> {
    let mut wanted = Wanted::new();
    for series in index.series() {
        let series = series.map_err(|source| foreign(path, source))?;
        match Labels::new(series.labels) {
            Ok(labels) => {
                let part = (series.reference, series.chunks);
                wanted.entry(labels).or_default().push(part);
            }
            Err(reason) => {
                let refused = taken.refused.get_or_insert_with(|| (0, reason.to_string()));
                refused.0 += 1;
            }
        }
    }
    Ok(wanted)
}

fn deletions(path: &Path) -> Result<BTreeMap<u64, Vec<Tombstone>>, ImportError> {
    let mut deletions: BTreeMap<u64, Vec<Tombstone>> = BTreeMap::new();
    let bytes = match files::read_limited(path, TOMBSTONES_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(deletions),
        Err(source) => {
            let path = path.to_owned();
            return Err(ImportError::Read { path, source });
        }
        Ok(bytes) => bytes,
    };
    for gone in tombstones::read(&bytes).map_err(|source| foreign(path, source))? {
        deletions.entry(gone.reference).or_default().push(gone);
    }
    Ok(deletions)
}

fn put(samples: &mut SeriesSamples, time: i64, sample: Sample) {
    match sample {
        Sample::Float(value) => {
            samples.floats.times.push(time);
            samples.floats.values.push(value);
        }
        Sample::Histogram(histogram) => {
            let histogram = std::sync::Arc::new(convert::histogram(histogram));
            samples.histograms.push((time, 0, histogram));
        }
    }
}

/// Samples of one series follow one another, but for those that came late. Of several at one time the
/// first is right: Prometheus takes no second.
fn sort(samples: &mut SeriesSamples) {
    let floats = &mut samples.floats;
    if !floats.times.is_sorted_by(|a, b| a < b) {
        let pairs = floats.times.iter().copied();
        let mut pairs: Vec<(i64, f64)> = pairs.zip(floats.values.iter().copied()).collect();
        pairs.sort_by_key(|(time, _)| *time);
        pairs.dedup_by_key(|(time, _)| *time);
        (floats.times, floats.values) = pairs.into_iter().unzip();
    }
    samples.histograms.sort_by_key(|(time, ..)| *time);
    samples.histograms.dedup_by_key(|(time, ..)| *time);
}

#[cfg(test)]
mod tests;

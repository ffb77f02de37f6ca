//! Writing a segment: series come sorted by labels, each with all its samples.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use super::page::{ChunkEntry, ChunkKind, PageWriter};
use super::{
    Column, FOLDER, Footer, INLINE_LIST_BYTES_MAX, Name, Place, VALUES_PER_PAGE, file_name, header,
    trailer,
};
use crate::block::{self, BLOCK_VALUES_MAX, Effort};
use crate::bytes::{count32, put_bytes, put_signed, put_varint};
use crate::chunk::Columns;
use crate::disk::{Disk, DiskError, DiskFile, named};
use crate::histogram::{self, Histogram};
use crate::labels::Labels;
use crate::manifest::SegmentEntry;
use crate::postings;

/// Bytes that are gathered before they go to the file.
const BUFFER_BYTES: usize = 1024 * 1024;
/// Times that are kept for recognising columns, over all columns.
const KNOWN_TIMES_MAX: usize = 4 * 1024 * 1024;
/// Columns of which a stretch is looked for, the newest first.
const TRIED_COLUMNS_MAX: usize = 32;
/// Histograms of a block.
const BLOCK_HISTOGRAMS_MAX: usize = 1_024;

/// All samples of one series, sorted by time, no time twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeriesSamples {
    /// Numbers.
    pub floats: Columns,
    /// Time, start (0 for none), value.
    pub histograms: Vec<(i64, i64, Arc<Histogram>)>,
}

impl SeriesSamples {
    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.floats.times.is_empty() && self.histograms.is_empty()
    }

    /// Removes all samples and keeps the memory.
    pub fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
    }
}

/// A segment that is being written.
#[derive(Debug)]
pub(crate) struct SegmentWriter<'a> {
    disk: &'a dyn Disk,
    file: Arc<dyn DiskFile>,
    name: String,
    number: u32,
    effort: Effort,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    written: u64,
    columns: Known,
    page: PageWriter,
    footer: Footer,
    index: BTreeMap<String, BTreeMap<String, Vec<u32>>>,
}

/// Columns that were written and can be used again.
#[derive(Debug, Default)]
struct Known {
    by_hash: HashMap<u64, Vec<usize>>,
    columns: VecDeque<(Arc<[i64]>, Column)>,
    /// Columns that were forgotten: the index of the first one in `columns`.
    forgotten: usize,
    times: usize,
    hasher: foldhash::fast::FixedState,
}

impl<'a> SegmentWriter<'a> {
    /// Begins the file of this number; a leftover of the same name is replaced.
    pub(crate) fn create(
        disk: &'a dyn Disk,
        number: u32,
        effort: Effort,
    ) -> Result<Self, DiskError> {
        let name = format!("{}.new", file_name(number));
        if let Err(error) = disk.remove(&name)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return named(disk, "remove", &name, Err(error));
        }
        let file = named(disk, "create", &name, disk.create(&name))?;
        Ok(Self {
            disk,
            file,
            name,
            number,
            effort,
            buffer: header(number),
            written: 0,
            columns: Known::default(),
            page: PageWriter::default(),
            footer: Footer {
                first: i64::MAX,
                last: i64::MIN,
                ..Footer::default()
            },
            index: BTreeMap::new(),
        })
    }

    /// Adds a series; its labels come after those of the one before.
    pub(crate) fn add(
        &mut self,
        labels: &Labels,
        samples: &SeriesSamples,
    ) -> Result<(), DiskError> {
        let mut chunks = Vec::new();
        let count = samples.floats.times.len();
        for from in (0..count).step_by(BLOCK_VALUES_MAX) {
            let range = from..count.min(from + BLOCK_VALUES_MAX);
            chunks.extend(self.add_floats(&samples.floats, range)?);
        }
        for histograms in samples.histograms.chunks(BLOCK_HISTOGRAMS_MAX) {
            chunks.extend(self.add_histograms(histograms)?);
        }
        if chunks.is_empty() {
            return Ok(());
        }
        for chunk in &chunks {
            self.footer.first = self.footer.first.min(chunk.first);
            self.footer.last = self.footer.last.max(chunk.last);
            self.footer.samples += u64::from(chunk.count);
        }
        let ordinal = self.footer.series;
        self.footer.series += 1;
        for (name, value) in labels {
            if !self.index.contains_key(name) {
                self.index.insert(name.to_owned(), BTreeMap::new());
            }
            let Some(values) = self.index.get_mut(name) else {
                continue;
            };
            match values.get_mut(value) {
                Some(list) => list.push(ordinal),
                None => {
                    values.insert(value.to_owned(), vec![ordinal]);
                }
            }
        }
        self.page.add(labels, &chunks);
        if self.page.is_full() {
            self.finish_page()?;
        }
        Ok(())
    }

    /// Writes what is left, and gives the file its name. On disk when this returns. Without any
    /// series there is no segment.
    pub(crate) fn finish(mut self) -> Result<Option<SegmentEntry>, DiskError> {
        if self.footer.series == 0 {
            let removed = self.disk.remove(&self.name);
            return named(self.disk, "remove", &self.name, removed).map(|()| None);
        }
        if !self.page.is_empty() {
            self.finish_page()?;
        }
        for (name, values) in std::mem::take(&mut self.index) {
            let directory = self.put_values(&values)?;
            self.footer.names.push(Name {
                text: name,
                directory,
                values: count32(values.len()),
            });
        }
        let footer = self.footer.put();
        let checksum = crc32c::crc32c(&footer);
        let place = self.put(&footer)?;
        self.buffer.extend_from_slice(&trailer(place, checksum));
        self.send()?;
        let (disk, name) = (self.disk, &self.name);
        named(disk, "sync", name, self.file.sync())?;
        let last_name = file_name(self.number);
        named(disk, "rename", name, disk.rename(name, &last_name))?;
        named(disk, "sync", FOLDER, disk.sync_folder(FOLDER))?;
        Ok(Some(SegmentEntry {
            number: self.number,
            length: self.written,
            checksum,
            first: self.footer.first,
            last: self.footer.last,
            samples: self.footer.samples,
            series: u64::from(self.footer.series),
            is_far: false,
        }))
    }

    /// Writes a part.
    fn put(&mut self, bytes: &[u8]) -> Result<Place, DiskError> {
        let place = Place {
            offset: self.written + self.buffer.len() as u64,
            length: count32(bytes.len()),
        };
        self.buffer.extend_from_slice(bytes);
        let checksum = crc32c::crc32c(bytes);
        self.buffer.extend_from_slice(&checksum.to_le_bytes());
        if self.buffer.len() >= BUFFER_BYTES {
            self.send()?;
        }
        Ok(place)
    }

    fn send(&mut self) -> Result<(), DiskError> {
        let written = self.file.append(&self.buffer);
        named(self.disk, "write to", &self.name, written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish_page(&mut self) -> Result<(), DiskError> {
        let page = self.page.finish();
        let place = self.put(&page)?;
        self.footer.pages.push(place);
        Ok(())
    }

    fn add_floats(
        &mut self,
        floats: &Columns,
        range: std::ops::Range<usize>,
    ) -> Result<Option<ChunkEntry>, DiskError> {
        let times = floats.times.get(range.clone()).unwrap_or_default();
        let (Some(first), Some(last)) = (times.first(), times.last()) else {
            return Ok(None);
        };
        let (column, from) = self.column(times)?;
        let values = floats.values.get(range.clone()).unwrap_or_default();
        let values = block::write_values(values, self.effort);
        let values = self.put(&values)?;
        let starts = floats.starts.get(range).unwrap_or_default();
        let starts = self.put_starts(starts)?;
        Ok(Some(ChunkEntry {
            kind: ChunkKind::Floats,
            column,
            from,
            count: count32(times.len()),
            first: *first,
            last: *last,
            values,
            starts,
        }))
    }

    fn add_histograms(
        &mut self,
        histograms: &[(i64, i64, Arc<Histogram>)],
    ) -> Result<Option<ChunkEntry>, DiskError> {
        let times: Vec<i64> = histograms.iter().map(|(time, _, _)| *time).collect();
        let (Some(first), Some(last)) = (times.first(), times.last()) else {
            return Ok(None);
        };
        let (column, from) = self.column(&times)?;
        let mut block = Vec::new();
        for (_, _, value) in histograms {
            histogram::put(&mut block, value);
        }
        let values = self.put(&block)?;
        let starts: Vec<i64> = histograms.iter().map(|(_, start, _)| *start).collect();
        let starts = self.put_starts(&starts)?;
        Ok(Some(ChunkEntry {
            kind: ChunkKind::Histograms,
            column,
            from,
            count: count32(times.len()),
            first: *first,
            last: *last,
            values,
            starts,
        }))
    }

    /// Start times as runs: they change when a counter begins anew, which is rare.
    fn put_starts(&mut self, starts: &[i64]) -> Result<Option<Place>, DiskError> {
        if starts.iter().all(|start| *start == 0) {
            return Ok(None);
        }
        let mut out = Vec::new();
        for run in starts.chunk_by(i64::eq) {
            put_signed(&mut out, run.first().copied().unwrap_or(0));
            put_varint(&mut out, run.len() as u64);
        }
        self.put(&out).map(Some)
    }

    /// The column with these times, and where they begin in it; written if there is none.
    fn column(&mut self, times: &[i64]) -> Result<(Column, u32), DiskError> {
        if let Some(found) = self.columns.find(times) {
            return Ok(found);
        }
        let block = block::write_times(times, self.effort);
        let column = Column {
            place: self.put(&block)?,
            count: count32(times.len()),
        };
        self.columns.add(times, column);
        Ok((column, 0))
    }

    /// Pages of values with the series of each, and the directory of the pages.
    fn put_values(&mut self, values: &BTreeMap<String, Vec<u32>>) -> Result<Place, DiskError> {
        let mut directory = Vec::new();
        let all: Vec<(&String, &Vec<u32>)> = values.iter().collect();
        put_varint(&mut directory, all.chunks(VALUES_PER_PAGE).len() as u64);
        for chunk in all.chunks(VALUES_PER_PAGE) {
            let mut page = Vec::new();
            put_varint(&mut page, chunk.len() as u64);
            let mut before = "";
            for (value, list) in chunk {
                let shared = shared_bytes(before, value);
                put_varint(&mut page, shared as u64);
                let rest = value.as_bytes().get(shared..).unwrap_or_default();
                put_bytes(&mut page, rest);
                before = value.as_str();
                let mut packed = Vec::new();
                postings::put(&mut packed, list);
                put_varint(&mut page, list.len() as u64);
                if packed.len() <= INLINE_LIST_BYTES_MAX {
                    put_bytes(&mut page, &packed);
                } else {
                    // No list is empty, so that no length marks a part.
                    put_varint(&mut page, 0);
                    self.put(&packed)?.put(&mut page);
                }
            }
            let first = chunk.first().map_or("", |(value, _)| value.as_str());
            put_bytes(&mut directory, first.as_bytes());
            self.put(&page)?.put(&mut directory);
        }
        self.put(&directory)
    }
}

/// Bytes with which both begin.
fn shared_bytes(left: &str, right: &str) -> usize {
    let pairs = left.bytes().zip(right.bytes());
    pairs.take_while(|(left, right)| left == right).count()
}

impl Known {
    fn find(&self, times: &[i64]) -> Option<(Column, u32)> {
        let hash = self.hasher.hash_one(times);
        for at in self.by_hash.get(&hash).into_iter().flatten() {
            let known = at.checked_sub(self.forgotten);
            if let Some((have, column)) = known.and_then(|at| self.columns.get(at))
                && **have == *times
            {
                return Some((*column, 0));
            }
        }
        // A series that came later or went earlier has a stretch of its target's column.
        let first = times.first()?;
        for (have, column) in self.columns.iter().rev().take(TRIED_COLUMNS_MAX) {
            let Ok(from) = have.binary_search(first) else {
                continue;
            };
            if have.get(from..from + times.len()) == Some(times) {
                return Some((*column, count32(from)));
            }
        }
        None
    }

    fn add(&mut self, times: &[i64], column: Column) {
        let hash = self.hasher.hash_one(times);
        let at = self.forgotten + self.columns.len();
        self.by_hash.entry(hash).or_default().push(at);
        self.columns.push_back((times.into(), column));
        self.times += times.len();
        while self.times > KNOWN_TIMES_MAX {
            let Some((gone, _)) = self.columns.pop_front() else {
                break;
            };
            let hash = self.hasher.hash_one(&*gone);
            if let Some(places) = self.by_hash.get_mut(&hash) {
                places.retain(|at| *at != self.forgotten);
                if places.is_empty() {
                    self.by_hash.remove(&hash);
                }
            }
            self.times -= gone.len();
            self.forgotten += 1;
        }
    }
}

//! Reading a segment by parts: the footer when it is opened, the rest when it is asked for.

use std::io::ErrorKind;
use std::sync::Arc;

use super::cache::ReadCache;
use super::page::{self, ChunkEntry, ChunkKind, PageSeries, SERIES_PER_PAGE};
use super::write::SeriesSamples;
use super::{
    CHECKSUM_BYTES, Column, Footer, HEADER_BYTES, Place, TRAILER_BYTES, file_name, foot, header,
    trailer,
};
use crate::block::{self, Scratch};
use crate::bytes::Reader;
use crate::damage::{Damage, ReadError};
use crate::disk::{Disk, DiskError, DiskFile, named};
use crate::histogram;
use crate::manifest::SegmentEntry;
use crate::matcher::{self, Matcher, Wanted};
use crate::objects::{Depot, FarFile};
use crate::postings;

/// Bytes of a part: more than any that is written.
const PART_BYTES_MAX: u32 = 1 << 30;

/// A segment, open for reading.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) entry: SegmentEntry,
    file: Arc<dyn DiskFile>,
    path: String,
    footer: Footer,
}

/// A series of a segment and where its samples are.
pub(crate) type SeriesEntry = PageSeries;

/// One value of a label and where its series are.
struct Value {
    text: String,
    list: List,
    count: u32,
}

enum List {
    Inline(Vec<u8>),
    Part(Place),
}

impl Segment {
    /// Opens the segment that the manifest describes: a file, or an object.
    pub(crate) fn open(
        disk: &dyn Disk,
        depot: &Depot,
        entry: SegmentEntry,
    ) -> Result<Self, ReadError> {
        if entry.is_far {
            return Self::open_far(disk, depot, entry);
        }
        let name = file_name(entry.number);
        let path = disk.path(&name).display().to_string();
        let file = match disk.open(&name) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Damage::at_begin(path, "the file is missing").into());
            }
            opened => named(disk, "open", &name, opened)?,
        };
        let mut segment = Self::new(entry, file, path);
        segment.check_header()?;
        segment.footer = segment.read_footer()?;
        Ok(segment)
    }

    /// Opens an object by what is known of its end, so that nobody is asked for it; without that, the
    /// end is asked for.
    fn open_far(disk: &dyn Disk, depot: &Depot, entry: SegmentEntry) -> Result<Self, ReadError> {
        let path = depot.place(&entry);
        let far = |tail| Arc::new(FarFile::new(depot, &entry, tail));
        let mut segment = Self::new(entry, far(Vec::new()), path.clone());
        let tail = foot::read(disk, &entry)?;
        let known = tail.map(|tail| Self::new(entry, far(tail), path).read_footer());
        segment.footer = match known {
            Some(Ok(footer)) => footer,
            None | Some(Err(_)) => segment.read_footer()?,
        };
        Ok(segment)
    }

    fn new(entry: SegmentEntry, file: Arc<dyn DiskFile>, path: String) -> Self {
        Self {
            entry,
            file,
            path,
            footer: Footer::default(),
        }
    }

    fn wrong_at(&self, offset: u64, what: &'static str) -> ReadError {
        self.damage(Place { offset, length: 0 }, what).into()
    }

    fn check_header(&self) -> Result<(), ReadError> {
        let length = self.file.length();
        let length = length.map_err(|source| DiskError::new("read", self.path.clone(), source))?;
        if length != self.entry.length || length < (HEADER_BYTES + TRAILER_BYTES) as u64 {
            return Err(self.wrong_at(length, "the file does not have the length it had"));
        }
        if self.bytes(0, HEADER_BYTES)? != header(self.entry.number) {
            return Err(self.wrong_at(0, "the header is wrong"));
        }
        Ok(())
    }

    /// Trailer and footer, which have to be those that the manifest knows.
    fn read_footer(&self) -> Result<Footer, ReadError> {
        let (_, place) = self.trailer()?;
        let bytes = self.part(place)?;
        let footer = Footer::read(&bytes);
        footer.ok_or_else(|| self.damage(place, "the footer is wrong").into())
    }

    /// The trailer, and where the footer is.
    fn trailer(&self) -> Result<(Vec<u8>, Place), ReadError> {
        let trailer_offset = self.entry.length.saturating_sub(TRAILER_BYTES as u64);
        let found = self.bytes(trailer_offset, TRAILER_BYTES)?;
        let mut fields = Reader::new(&found);
        let place = fields.u64().zip(fields.u32());
        let Some((offset, length)) = place else {
            return Err(self.wrong_at(trailer_offset, "it is too short"));
        };
        let footer = Place { offset, length };
        if found != trailer(footer, self.entry.checksum) || footer.end() != trailer_offset {
            return Err(self.wrong_at(trailer_offset, "the trailer is wrong"));
        }
        Ok((found, footer))
    }

    /// The bytes from the footer to the end, checked.
    pub(crate) fn tail(&self) -> Result<Vec<u8>, ReadError> {
        let (trailer, place) = self.trailer()?;
        let footer = self.part(place)?;
        let checksum = crc32c::crc32c(&footer).to_le_bytes();
        Ok([footer.as_slice(), &checksum, &trailer].concat())
    }

    /// The file or object.
    pub(crate) fn file(&self) -> &dyn DiskFile {
        &*self.file
    }

    fn damage(&self, place: Place, what: &'static str) -> Damage {
        Damage {
            path: self.path.clone(),
            offset: place.offset,
            what,
        }
    }

    fn bytes(&self, offset: u64, length: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; length];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let read = self.file.read_at(offset, out);
        let Err(source) = read else {
            return Ok(());
        };
        match source.kind() {
            ErrorKind::NotFound => Err(self.wrong_at(0, "the object is missing")),
            ErrorKind::InvalidData => {
                let what = "the object does not have the length it had";
                Err(self.wrong_at(self.entry.length, what))
            }
            _ => Err(DiskError::new("read", self.path.clone(), source).into()),
        }
    }

    /// The bytes of a part, checked.
    fn part(&self, place: Place) -> Result<Vec<u8>, ReadError> {
        self.check_place(place)?;
        let length = place.length as usize;
        let mut bytes = self.bytes(place.offset, length + CHECKSUM_BYTES)?;
        self.checked(place, &bytes)?;
        bytes.truncate(length);
        Ok(bytes)
    }

    /// The same of a block, with what it is read with.
    fn block<'a>(
        &self,
        place: Place,
        cache: &'a mut ReadCache,
    ) -> Result<(&'a [u8], &'a mut Scratch), ReadError> {
        self.check_place(place)?;
        // Objects are read in blocks of their own.
        let end = if self.entry.is_far {
            place.end()
        } else {
            self.entry.length
        };
        let key = (self.entry.number, place);
        let (bytes, scratch) = cache.part(key, end, |offset, out| self.read_at(offset, out))?;
        Ok((self.checked(place, bytes)?, scratch))
    }

    fn check_place(&self, place: Place) -> Result<(), ReadError> {
        let fits = place.length < PART_BYTES_MAX
            && place.offset < self.entry.length
            && place.end() <= self.entry.length;
        if fits {
            return Ok(());
        }
        Err(self.damage(place, "a part is longer than the file").into())
    }

    /// A part without its checksum, when that is right.
    fn checked<'a>(&self, place: Place, bytes: &'a [u8]) -> Result<&'a [u8], ReadError> {
        match bytes.split_last_chunk::<CHECKSUM_BYTES>() {
            Some((bytes, checksum)) if *checksum == crc32c::crc32c(bytes).to_le_bytes() => {
                Ok(bytes)
            }
            _ => Err(self.damage(place, "the checksum of a part is wrong").into()),
        }
    }

    /// How many pages of series there are.
    pub(crate) fn page_count(&self) -> usize {
        self.footer.pages.len()
    }

    /// The series for which all matchers hold, in the order of their labels.
    pub(crate) fn find(&self, matchers: &[Matcher]) -> Result<Vec<u32>, ReadError> {
        matcher::find(
            matchers,
            || Ok((0..self.footer.series).collect()),
            |matcher, accepted| self.with(matcher, accepted),
        )
    }

    /// The series whose value of the matcher's label the matcher accepts, or does not.
    fn with(&self, matcher: &Matcher, accepted: bool) -> Result<Vec<u32>, ReadError> {
        let values = match matcher.wanted() {
            Wanted::Words(words) if accepted => {
                let mut found = Vec::new();
                for word in words {
                    let is_word = |text: &str| text == word;
                    found.extend(self.values_where(matcher.name(), word, word, &is_word)?);
                }
                found
            }
            Wanted::Prefix(prefix) if accepted => {
                let passes = |text: &str| matcher.accepts(text);
                self.values_where(matcher.name(), prefix, "", &passes)?
            }
            Wanted::Words(_) | Wanted::Prefix(_) => {
                let passes = |text: &str| !matcher.accepts(text);
                self.values_where(matcher.name(), "", "", &passes)?
            }
        };
        let mut lists = Vec::with_capacity(values.len());
        for value in values {
            lists.push(self.list(value.list)?);
        }
        let lists: Vec<&[u32]> = lists.iter().map(Vec::as_slice).collect();
        Ok(postings::union(&lists))
    }

    fn list(&self, list: List) -> Result<Vec<u32>, ReadError> {
        let (bytes, place) = match list {
            List::Inline(bytes) => (
                bytes,
                Place {
                    offset: 0,
                    length: 0,
                },
            ),
            List::Part(place) => (self.part(place)?, place),
        };
        postings::read(&mut Reader::new(&bytes), self.footer.series)
            .ok_or_else(|| self.damage(place, "a list of series is wrong").into())
    }

    /// Values of a label that pass, from the page where `from` would be to the one where `to`
    /// would be; an empty `to` is the last page with the prefix `from`.
    fn values_where(
        &self,
        name: &str,
        from: &str,
        to: &str,
        passes: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Value>, ReadError> {
        let names = &self.footer.names;
        let at = names.binary_search_by(|have| have.text.as_str().cmp(name));
        let Some(name) = at.ok().and_then(|at| names.get(at)) else {
            return Ok(Vec::new());
        };
        let directory = self.part(name.directory)?;
        let pages = read_directory(&directory)
            .ok_or_else(|| self.damage(name.directory, "a directory of values is wrong"))?;
        let begin = pages.partition_point(|(first, _)| *first <= from);
        let mut found = Vec::new();
        for (first, place) in pages.iter().skip(begin.saturating_sub(1)) {
            let is_beyond = if to.is_empty() {
                *first > from && !first.starts_with(from)
            } else {
                *first > to
            };
            if is_beyond {
                break;
            }
            let bytes = self.part(*place)?;
            read_values(&bytes, passes, &mut found)
                .ok_or_else(|| self.damage(*place, "a page of values is wrong"))?;
        }
        Ok(found)
    }

    /// The names of labels, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.footer.names.iter().map(|name| name.text.as_str())
    }

    /// The values of a label, in order, with the number of series of each.
    pub(crate) fn values(&self, name: &str) -> Result<Vec<(String, u32)>, ReadError> {
        let values = self.values_where(name, "", "", &|_| true)?;
        let pairs = values.into_iter().map(|value| (value.text, value.count));
        Ok(pairs.collect())
    }

    /// Series by their ordinals, which are sorted.
    pub(crate) fn series(&self, ordinals: &[u32]) -> Result<Vec<SeriesEntry>, ReadError> {
        let mut found = Vec::with_capacity(ordinals.len());
        let page_of = |ordinal: &u32| *ordinal as usize / SERIES_PER_PAGE;
        for of_page in ordinals.chunk_by(|left, right| page_of(left) == page_of(right)) {
            let Some(number) = of_page.first().map(page_of) else {
                continue;
            };
            let wanted = |at: usize| {
                let ordinal = crate::bytes::count32(number * SERIES_PER_PAGE + at);
                of_page.binary_search(&ordinal).is_ok()
            };
            found.extend(self.page(number, &wanted)?);
        }
        Ok(found)
    }

    /// The series of a page.
    pub(crate) fn page(
        &self,
        number: usize,
        wanted: &dyn Fn(usize) -> bool,
    ) -> Result<Vec<SeriesEntry>, ReadError> {
        let Some(place) = self.footer.pages.get(number) else {
            return Ok(Vec::new());
        };
        let bytes = self.part(*place)?;
        page::read(&bytes, wanted)
            .ok_or_else(|| self.damage(*place, "a page of series is wrong").into())
    }

    /// Appends the samples of a chunk to `out`.
    pub(crate) fn read(
        &self,
        chunk: &ChunkEntry,
        cache: &mut ReadCache,
        out: &mut SeriesSamples,
    ) -> Result<(), ReadError> {
        let column = self.column(chunk.column, cache)?;
        let from = chunk.from as usize;
        let count = chunk.count as usize;
        let wrong = |what| self.damage(chunk.values, what);
        let times = column.get(from..from + count);
        let times = times.ok_or_else(|| wrong("a chunk is longer than its column"))?;
        let starts = self.starts(chunk)?;
        let (block, scratch) = self.block(chunk.values, cache)?;
        match chunk.kind {
            ChunkKind::Floats => {
                let floats = &mut out.floats;
                block::read_values(block, count, scratch, &mut floats.values)
                    .ok_or_else(|| wrong("a block of values is wrong"))?;
                if !starts.is_empty() || !floats.starts.is_empty() {
                    floats.starts.resize(floats.times.len(), 0);
                    floats.starts.extend(starts);
                    floats.starts.resize(floats.times.len() + count, 0);
                }
                floats.times.extend_from_slice(times);
            }
            ChunkKind::Histograms => {
                let mut from = Reader::new(block);
                for (at, time) in times.iter().enumerate() {
                    let value = histogram::read(&mut from)
                        .ok_or_else(|| wrong("a block of histograms is wrong"))?;
                    let start = starts.get(at).copied().unwrap_or(0);
                    out.histograms.push((*time, start, Arc::new(value)));
                }
            }
        }
        Ok(())
    }

    fn column(&self, column: Column, cache: &mut ReadCache) -> Result<Arc<[i64]>, ReadError> {
        let key = (self.entry.number, column.place.offset);
        if let Some(times) = cache.columns.get(&key) {
            return Ok(Arc::clone(times));
        }
        let block = self.part(column.place)?;
        let mut times = Vec::with_capacity(column.count.min(1 << 16) as usize);
        block::read_times(&block, column.count as usize, &mut times)
            .ok_or_else(|| self.damage(column.place, "a column of times is wrong"))?;
        let times: Arc<[i64]> = times.into();
        cache.columns.insert(key, Arc::clone(&times));
        Ok(times)
    }

    fn starts(&self, chunk: &ChunkEntry) -> Result<Vec<i64>, ReadError> {
        let Some(place) = chunk.starts else {
            return Ok(Vec::new());
        };
        let bytes = self.part(place)?;
        let count = chunk.count as usize;
        read_starts(&bytes, count).ok_or_else(|| {
            self.damage(place, "a column of start times is wrong")
                .into()
        })
    }

    /// Reads everything; damage anywhere is found. `told` learns how many bytes were read, now and then.
    pub(crate) fn verify(&self, told: &mut dyn FnMut(u64)) -> Result<(), ReadError> {
        self.check_header()?;
        if self.read_footer()? != self.footer {
            return Err(self.wrong_at(self.entry.length, "the footer is another one"));
        }
        let mut places: Vec<Place> = self.footer.pages.clone();
        let mut cache = ReadCache::default();
        for (number, place) in self.footer.pages.iter().enumerate() {
            told(place.offset);
            for series in self.page(number, &|_| true)? {
                let mut samples = SeriesSamples::default();
                for chunk in &series.chunks {
                    self.read(chunk, &mut cache, &mut samples)?;
                    places.extend([chunk.values, chunk.column.place]);
                    places.extend(chunk.starts);
                }
            }
            cache.forget_columns();
        }
        for name in &self.footer.names {
            places.push(name.directory);
            let directory = self.part(name.directory)?;
            let pages = read_directory(&directory)
                .ok_or_else(|| self.damage(name.directory, "a directory of values is wrong"))?;
            places.extend(pages.iter().map(|(_, place)| *place));
            for value in self.values_where(&name.text, "", "", &|_| true)? {
                if let List::Part(place) = value.list {
                    places.push(place);
                }
                self.list(value.list)?;
            }
        }
        self.check_tiles(places)
    }

    /// Nothing lies between the parts.
    fn check_tiles(&self, mut places: Vec<Place>) -> Result<(), ReadError> {
        places.sort_unstable();
        places.dedup();
        let mut end = HEADER_BYTES as u64;
        for place in places {
            if place.offset != end {
                return Err(self.damage(place, "something stands before a part").into());
            }
            end = place.end();
        }
        let footer = self.footer.put().len() as u64 + CHECKSUM_BYTES as u64;
        if end + footer + TRAILER_BYTES as u64 != self.entry.length {
            let place = Place {
                offset: end,
                length: 0,
            };
            return Err(self
                .damage(place, "something stands before the footer")
                .into());
        }
        Ok(())
    }
}

fn read_directory(bytes: &[u8]) -> Option<Vec<(&str, Place)>> {
    let mut from = Reader::new(bytes);
    let mut pages = Vec::new();
    for _ in 0..from.count()? {
        pages.push((from.text()?, Place::read(&mut from)?));
    }
    Some(pages)
}

fn read_values(bytes: &[u8], passes: &dyn Fn(&str) -> bool, out: &mut Vec<Value>) -> Option<()> {
    let mut from = Reader::new(bytes);
    let mut text: Vec<u8> = Vec::new();
    for _ in 0..from.count()? {
        let shared = from.length()?;
        if shared > text.len() {
            return None;
        }
        text.truncate(shared);
        text.extend_from_slice(from.bytes()?);
        let count = from.small()?;
        let inline = from.bytes()?;
        let list = if inline.is_empty() {
            List::Part(Place::read(&mut from)?)
        } else {
            List::Inline(inline.to_vec())
        };
        let value = std::str::from_utf8(&text).ok()?;
        if passes(value) {
            out.push(Value {
                text: value.to_owned(),
                list,
                count,
            });
        }
    }
    Some(())
}

fn read_starts(bytes: &[u8], count: usize) -> Option<Vec<i64>> {
    let mut from = Reader::new(bytes);
    let mut starts = Vec::with_capacity(count.min(1 << 16));
    while starts.len() < count {
        let start = from.signed()?;
        let run = from.length()?;
        if run == 0 || run > count - starts.len() {
            return None;
        }
        starts.resize(starts.len() + run, start);
    }
    Some(starts)
}

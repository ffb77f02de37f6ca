//! A page of series in a segment: labels by a dictionary of the page, and where the samples are.

use std::collections::HashMap;

use super::{Column, Place};
use crate::bytes::{Reader, put_bytes, put_signed, put_varint};
use crate::labels::{LABELS_MAX, Labels};

/// Series of a page.
pub(crate) const SERIES_PER_PAGE: usize = 128;

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkKind {
    Floats,
    Histograms,
}

/// Where samples of a series are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkEntry {
    pub(crate) kind: ChunkKind,
    /// The times are `count` of this column from `from` on.
    pub(crate) column: Column,
    pub(crate) from: u32,
    pub(crate) count: u32,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) values: Place,
    /// Start times as a block of runs, if there are any.
    pub(crate) starts: Option<Place>,
}

/// Gathers a page.
#[derive(Debug, Default)]
pub(super) struct PageWriter {
    /// Names and values as the dictionary has them, with their place.
    pairs: HashMap<Vec<u8>, u32, foldhash::fast::RandomState>,
    pair: Vec<u8>,
    dictionary: Vec<u8>,
    columns: HashMap<Column, u32>,
    column_list: Vec<u8>,
    series: Vec<u8>,
    count: usize,
    /// Values lie one after the other, so that most offsets are the end of the one before.
    expected: u64,
}

impl PageWriter {
    pub(super) fn is_full(&self) -> bool {
        self.count >= SERIES_PER_PAGE
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn add(&mut self, labels: &Labels, chunks: &[ChunkEntry]) {
        self.count += 1;
        put_varint(&mut self.series, labels.iter().count() as u64);
        for (name, value) in labels {
            self.pair.clear();
            put_bytes(&mut self.pair, name.as_bytes());
            put_bytes(&mut self.pair, value.as_bytes());
            let index = match self.pairs.get(&self.pair) {
                Some(index) => *index,
                None => {
                    let next = crate::bytes::count32(self.pairs.len());
                    self.dictionary.extend_from_slice(&self.pair);
                    self.pairs.insert(self.pair.clone(), next);
                    next
                }
            };
            put_varint(&mut self.series, u64::from(index));
        }
        put_varint(&mut self.series, chunks.len() as u64);
        for chunk in chunks {
            self.add_chunk(chunk);
        }
    }

    fn add_chunk(&mut self, chunk: &ChunkEntry) {
        let next = crate::bytes::count32(self.columns.len());
        let list = &mut self.column_list;
        let column = *self.columns.entry(chunk.column).or_insert_with(|| {
            chunk.column.place.put(list);
            put_varint(list, u64::from(chunk.column.count));
            next
        });
        let is_whole = chunk.from == 0 && chunk.count == chunk.column.count;
        let kind = match chunk.kind {
            ChunkKind::Floats => 0,
            ChunkKind::Histograms => 1,
        };
        let out = &mut self.series;
        out.push(kind | u8::from(chunk.starts.is_some()) << 1 | u8::from(is_whole) << 2);
        put_varint(out, u64::from(column));
        if !is_whole {
            put_varint(out, u64::from(chunk.from));
            put_varint(out, u64::from(chunk.count));
        }
        put_signed(out, chunk.first);
        put_varint(out, chunk.last.wrapping_sub(chunk.first).cast_unsigned());
        for place in std::iter::once(chunk.values).chain(chunk.starts) {
            let distance = place.offset.wrapping_sub(self.expected).cast_signed();
            put_signed(out, distance);
            put_varint(out, u64::from(place.length));
            self.expected = place.end();
        }
    }

    /// The page, and an empty one to go on with.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let page = std::mem::take(self);
        let mut out = Vec::new();
        put_varint(&mut out, page.pairs.len() as u64);
        out.extend_from_slice(&page.dictionary);
        put_varint(&mut out, page.columns.len() as u64);
        out.extend_from_slice(&page.column_list);
        put_varint(&mut out, page.count as u64);
        out.extend_from_slice(&page.series);
        out
    }
}

/// One series of a page.
#[derive(Debug, Clone)]
pub(crate) struct PageSeries {
    pub(crate) labels: Labels,
    pub(crate) chunks: Vec<ChunkEntry>,
}

/// The series of a page for which `wanted` says so, given their place in the page.
pub(super) fn read(bytes: &[u8], wanted: &dyn Fn(usize) -> bool) -> Option<Vec<PageSeries>> {
    let mut from = Reader::new(bytes);
    let mut pairs = Vec::new();
    for _ in 0..from.count()? {
        pairs.push((from.text()?, from.text()?));
    }
    let mut columns = Vec::new();
    for _ in 0..from.count()? {
        columns.push(Column {
            place: Place::read(&mut from)?,
            count: from.small()?,
        });
    }
    let count = from.count()?;
    let mut found = Vec::new();
    let mut expected = 0;
    for at in 0..count {
        let label_count = from.count()?;
        if label_count > LABELS_MAX {
            return None;
        }
        let mut labels = Vec::with_capacity(label_count);
        for _ in 0..label_count {
            labels.push(*pairs.get(from.length()?)?);
        }
        let chunk_count = from.count()?;
        let mut chunks = Vec::with_capacity(chunk_count);
        for _ in 0..chunk_count {
            chunks.push(read_chunk(&mut from, &columns, &mut expected)?);
        }
        if wanted(at) {
            let labels = Labels::new(labels).ok()?;
            found.push(PageSeries { labels, chunks });
        }
    }
    from.is_empty().then_some(found)
}

fn read_chunk(from: &mut Reader<'_>, columns: &[Column], expected: &mut u64) -> Option<ChunkEntry> {
    let flags = from.byte()?;
    let column = *columns.get(from.length()?)?;
    let (start, count) = if flags & 4 == 0 {
        (from.small()?, from.small()?)
    } else {
        (0, column.count)
    };
    let first = from.signed()?;
    let last = first.wrapping_add(from.varint()?.cast_signed());
    let mut place = || {
        let offset = expected.wrapping_add(from.signed()?.cast_unsigned());
        let length = from.small()?;
        let place = Place { offset, length };
        *expected = offset.checked_add(u64::from(length) + 4)?;
        Some(place)
    };
    Some(ChunkEntry {
        kind: if flags & 1 == 0 {
            ChunkKind::Floats
        } else {
            ChunkKind::Histograms
        },
        column,
        from: start,
        count,
        first,
        last,
        values: place()?,
        starts: if flags & 2 == 0 { None } else { Some(place()?) },
    })
}

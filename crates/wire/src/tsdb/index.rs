//! The index of a block: which series it has, and where their chunks are.

use super::varint::Cursor;
use super::{TsdbError, be32, be64, checksum};

const MAGIC: u32 = 0xbaaa_d700;
const VERSION: u8 = 2;
/// Six places and a checksum.
const CONTENTS_BYTES: usize = 52;
const CHECKSUM_BYTES: usize = 4;
/// Series begin at multiples of this.
const SERIES_ALIGNMENT: usize = 16;
/// Labels of a series; more than any store takes.
const LABELS_MAX: usize = 1 << 12;
/// Chunks of a series in one block.
const CHUNKS_MAX: usize = 1 << 24;

/// An index whose texts have been found.
#[derive(Debug)]
pub struct Index<'a> {
    bytes: &'a [u8],
    symbols: Vec<&'a str>,
    /// Where series begin and end.
    series: (usize, usize),
}

/// A series of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series<'a> {
    /// What tombstones call it.
    pub reference: u64,
    /// Names and values.
    pub labels: Vec<(&'a str, &'a str)>,
    /// In the order of their times.
    pub chunks: Vec<ChunkPlace>,
}

/// Where a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkPlace {
    /// The time of its first sample, in milliseconds since 1970.
    pub first: i64,
    /// The time of its last.
    pub last: i64,
    /// The file, counted from 0.
    pub file: u32,
    /// Where in it.
    pub offset: u32,
}

impl<'a> Index<'a> {
    /// Reads the table of contents and the texts of a whole index.
    pub fn read(bytes: &'a [u8]) -> Result<Self, TsdbError> {
        if be32(bytes, 0) != Some(MAGIC) || bytes.get(4) != Some(&VERSION) {
            return Err(TsdbError::Kind("index"));
        }
        let at = bytes.len().saturating_sub(CONTENTS_BYTES);
        let shape = |what| TsdbError::Shape { what, at };
        let contents = bytes.get(at..).filter(|_| at > 4);
        let contents = contents.ok_or(shape("the table of contents"))?;
        let (places, sum) = contents.split_at(CONTENTS_BYTES - CHECKSUM_BYTES);
        if be32(sum, 0) != Some(checksum(places)) {
            let what = "the table of contents";
            return Err(TsdbError::Checksum { what, at });
        }
        let place = |number: usize| {
            let place = be64(places, number * 8).and_then(|place| usize::try_from(place).ok());
            place.filter(|place| *place <= at).ok_or(shape("a place"))
        };
        let (symbols, begin) = (place(0)?, place(1)?);
        // What stands behind the series is not always there.
        let mut end = at;
        for number in 2..6 {
            let other = place(number)?;
            if other > begin {
                end = end.min(other);
            }
        }
        Ok(Self {
            bytes,
            symbols: read_symbols(bytes, symbols)?,
            series: (begin, end),
        })
    }

    /// Each series, in the order of their labels.
    pub fn series(&self) -> impl Iterator<Item = Result<Series<'a>, TsdbError>> {
        let mut at = self.series.0;
        std::iter::from_fn(move || {
            at = at.next_multiple_of(SERIES_ALIGNMENT);
            if at >= self.series.1 {
                return None;
            }
            let read = self.one(at);
            // Nothing is known of what follows one that is wrong.
            at = read.as_ref().map_or(usize::MAX / 2, |(_, end)| *end);
            Some(read.map(|(series, _)| series))
        })
    }

    /// A series, and where it ends.
    fn one(&self, at: usize) -> Result<(Series<'a>, usize), TsdbError> {
        let wrong = TsdbError::Shape {
            what: "a series",
            at,
        };
        let mut from = Cursor::new(self.bytes, at);
        let length = from.length().ok_or(wrong.clone())?;
        let begin = from.at();
        let body = from.take(length).ok_or(wrong.clone())?;
        if be32(self.bytes, from.at()) != Some(checksum(body)) {
            let what = "a series";
            return Err(TsdbError::Checksum { what, at: begin });
        }
        let mut inner = Cursor::new(body, 0);
        let labels = self.labels(&mut inner).ok_or(wrong.clone())?;
        let chunks = chunks(&mut inner).ok_or(wrong)?;
        let series = Series {
            reference: (at / SERIES_ALIGNMENT) as u64,
            labels,
            chunks,
        };
        Ok((series, from.at() + CHECKSUM_BYTES))
    }

    fn labels(&self, from: &mut Cursor<'_>) -> Option<Vec<(&'a str, &'a str)>> {
        let count = from.length().filter(|count| *count <= LABELS_MAX)?;
        let mut labels = Vec::with_capacity(count);
        for _ in 0..count {
            let name = self.symbols.get(from.length()?)?;
            let value = self.symbols.get(from.length()?)?;
            labels.push((*name, *value));
        }
        Some(labels)
    }
}

fn read_symbols(bytes: &[u8], at: usize) -> Result<Vec<&str>, TsdbError> {
    let what = "the table of texts";
    let wrong = TsdbError::Shape { what, at };
    let length = be32(bytes, at).ok_or(wrong.clone())? as usize;
    let table = bytes.get(at + 4..).and_then(|rest| rest.get(..length));
    let table = table.ok_or(wrong.clone())?;
    if be32(bytes, at + 4 + length) != Some(checksum(table)) {
        return Err(TsdbError::Checksum { what, at });
    }
    let count = be32(table, 0).ok_or(wrong.clone())? as usize;
    let mut from = Cursor::new(table, 4);
    // Each takes a byte at least.
    let mut symbols = Vec::with_capacity(count.min(table.len()));
    for _ in 0..count {
        let text = from.length().and_then(|length| from.take(length));
        let text = text.and_then(|text| std::str::from_utf8(text).ok());
        symbols.push(text.ok_or(wrong.clone())?);
    }
    Ok(symbols)
}

fn chunks(from: &mut Cursor<'_>) -> Option<Vec<ChunkPlace>> {
    let count = from.length().filter(|count| *count <= CHUNKS_MAX)?;
    let mut chunks = Vec::new();
    let (mut last, mut place) = (0_i64, 0_i64);
    for number in 0..count {
        let first = if number == 0 {
            from.signed()?
        } else {
            last.checked_add_unsigned(from.unsigned()?)?
        };
        last = first.checked_add_unsigned(from.unsigned()?)?;
        place = if number == 0 {
            from.unsigned()?.cast_signed()
        } else {
            place.wrapping_add(from.signed()?)
        };
        let place = place.cast_unsigned();
        chunks.push(ChunkPlace {
            first,
            last,
            file: u32::try_from(place >> 32).ok()?,
            offset: u32::try_from(place & u64::from(u32::MAX)).ok()?,
        });
    }
    Some(chunks)
}

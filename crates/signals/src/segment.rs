//! Segments: files of samples of a stretch of time, written once.
//!
//! A header, then parts, which are bytes and their checksum, then a trailer that points to the
//! last part, the footer. Parts are columns of times, blocks of values, pages of series, pages of
//! the values of a label, and lists of series.

mod cache;
mod files;
pub(crate) mod foot;
mod page;
mod read;
mod write;

use crate::bytes::{Reader, put_varint};

pub(crate) use cache::ReadCache;
pub(crate) use files::{remove_unfinished, remove_unnamed};
pub(crate) use page::{ChunkEntry, ChunkKind};
pub(crate) use read::{Segment, SeriesEntry};
pub(crate) use write::SegmentWriter;
pub use write::SeriesSamples;

/// The folder of the segments.
pub(crate) const FOLDER: &str = "segments";

const MAGIC: [u8; 8] = *b"LLSSEG01";
const END_MAGIC: [u8; 8] = *b"LLSEND01";
const HEADER_BYTES: usize = 16;
/// Place of the footer (8), its length (4), its checksum (4), magic (8), checksum of these (4).
const TRAILER_BYTES: usize = 28;
const CHECKSUM_BYTES: usize = 4;

/// Values of a label in a page.
const VALUES_PER_PAGE: usize = 256;
/// Bytes of a list of series that stands in the page of its value; longer ones are parts.
const INLINE_LIST_BYTES_MAX: usize = 48;

/// A part: where it begins, and its bytes without the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

impl Place {
    fn put(self, out: &mut Vec<u8>) {
        put_varint(out, self.offset);
        put_varint(out, u64::from(self.length));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            offset: from.varint()?,
            length: from.small()?,
        })
    }

    /// Where the part with its checksum ends.
    fn end(self) -> u64 {
        self.offset + u64::from(self.length) + CHECKSUM_BYTES as u64
    }
}

/// A column of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Column {
    pub(crate) place: Place,
    pub(crate) count: u32,
}

/// The name of the file of a segment.
pub(crate) fn file_name(number: u32) -> String {
    format!("{FOLDER}/{number:010}.seg")
}

fn header(number: u32) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&number.to_le_bytes());
    let checksum = crc32c::crc32c(&header);
    header.extend_from_slice(&checksum.to_le_bytes());
    header
}

fn trailer(footer: Place, checksum: u32) -> Vec<u8> {
    let mut trailer = Vec::with_capacity(TRAILER_BYTES);
    trailer.extend_from_slice(&footer.offset.to_le_bytes());
    trailer.extend_from_slice(&footer.length.to_le_bytes());
    trailer.extend_from_slice(&checksum.to_le_bytes());
    trailer.extend_from_slice(&END_MAGIC);
    let own = crc32c::crc32c(&trailer);
    trailer.extend_from_slice(&own.to_le_bytes());
    trailer
}

/// What the footer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Footer {
    first: i64,
    last: i64,
    samples: u64,
    series: u32,
    pages: Vec<Place>,
    names: Vec<Name>,
}

/// A label name: where the directory of its values is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    text: String,
    directory: Place,
    values: u32,
}

impl Footer {
    fn put(&self) -> Vec<u8> {
        let mut out = Vec::new();
        crate::bytes::put_signed(&mut out, self.first);
        crate::bytes::put_signed(&mut out, self.last);
        put_varint(&mut out, self.samples);
        put_varint(&mut out, u64::from(self.series));
        put_varint(&mut out, self.pages.len() as u64);
        for page in &self.pages {
            page.put(&mut out);
        }
        put_varint(&mut out, self.names.len() as u64);
        for name in &self.names {
            crate::bytes::put_bytes(&mut out, name.text.as_bytes());
            name.directory.put(&mut out);
            put_varint(&mut out, u64::from(name.values));
        }
        out
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader::new(bytes);
        let mut footer = Self {
            first: from.signed()?,
            last: from.signed()?,
            samples: from.varint()?,
            series: from.small()?,
            ..Self::default()
        };
        for _ in 0..from.count()? {
            footer.pages.push(Place::read(&mut from)?);
        }
        for _ in 0..from.count()? {
            footer.names.push(Name {
                text: from.text()?.to_owned(),
                directory: Place::read(&mut from)?,
                values: from.small()?,
            });
        }
        from.is_empty().then_some(footer)
    }
}

#[cfg(test)]
mod tests;

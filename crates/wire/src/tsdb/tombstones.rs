//! Tombstones: samples of a block that were deleted and are there still.

use super::varint::Cursor;
use super::{TsdbError, be32, checksum};

const MAGIC: u32 = 0x0130_ba30;
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;
const CHECKSUM_BYTES: usize = 4;

/// Samples of a series that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// The series, as the index calls it.
    pub reference: u64,
    /// The first time, in milliseconds since 1970.
    pub start: i64,
    /// The last, which is gone, too.
    pub end: i64,
}

/// Reads the file.
pub fn read(bytes: &[u8]) -> Result<Vec<Tombstone>, TsdbError> {
    if be32(bytes, 0) != Some(MAGIC) || bytes.get(4) != Some(&VERSION) {
        return Err(TsdbError::Kind("file of tombstones"));
    }
    let what = "the list of tombstones";
    let at = HEADER_BYTES;
    let end = bytes.len().saturating_sub(CHECKSUM_BYTES);
    let body = bytes.get(at..end).ok_or(TsdbError::Shape { what, at })?;
    if be32(bytes, end) != Some(checksum(body)) {
        return Err(TsdbError::Checksum { what, at });
    }
    let mut from = Cursor::new(body, 0);
    let mut tombstones = Vec::new();
    while from.at() < body.len() {
        let mut one = || {
            Some(Tombstone {
                reference: from.unsigned()?,
                start: from.signed()?,
                end: from.signed()?,
            })
        };
        let at = at + tombstones.len();
        tombstones.push(one().ok_or(TsdbError::Shape { what, at })?);
    }
    Ok(tombstones)
}

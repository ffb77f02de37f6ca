//! Records out of pages: a record is one part, or several over pages, and packed or not.

use std::io::Read;

use super::super::{TsdbError, be32, checksum};
use crate::snappy;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 32 << 10;
/// Kind, length, checksum.
const HEADER_BYTES: usize = 7;
/// Bytes of a record, packed and unpacked; a segment of the log has 128 MiB.
const RECORD_BYTES_MAX: usize = 256 << 20;

const KIND_MASK: u8 = 0b111;
const SNAPPY: u8 = 1 << 3;
const ZSTD: u8 = 1 << 4;
/// The rest of the page is empty.
const REST: u8 = 0;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// Puts records together, page by page.
#[derive(Debug, Default)]
pub struct Records {
    packed: Vec<u8>,
    plain: Vec<u8>,
    is_open: bool,
}

impl Records {
    /// Whether a record has begun and not ended.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Shows the records that end in this page, which stands at `base` in its file; the last page of
    /// a file may be short. An error says where the first part is that is not right.
    pub fn page(
        &mut self,
        page: &[u8],
        base: usize,
        see: &mut dyn FnMut(&[u8]) -> Result<(), TsdbError>,
    ) -> Result<(), TsdbError> {
        let mut at = 0;
        while let Some(kind) = page.get(at) {
            if kind & KIND_MASK == REST {
                let is_empty = page.iter().skip(at).all(|byte| *byte == 0);
                let wrong = TsdbError::Shape {
                    what: "the empty rest of a page",
                    at: base + at,
                };
                return if is_empty { Ok(()) } else { Err(wrong) };
            }
            let part = part(page, at, base)?;
            self.part(*kind, part, base + at)?;
            if matches!(kind & KIND_MASK, FULL | LAST) {
                self.is_open = false;
                self.unpack(*kind, base + at)?;
                see(&self.plain)?;
            }
            at += HEADER_BYTES + part.len();
        }
        Ok(())
    }

    /// Adds a part to its record.
    fn part(&mut self, kind: u8, part: &[u8], at: usize) -> Result<(), TsdbError> {
        let begins = matches!(kind & KIND_MASK, FULL | FIRST);
        let is_known = begins || matches!(kind & KIND_MASK, MIDDLE | LAST);
        let length = self.packed.len() + part.len();
        if !is_known || begins == self.is_open || length > RECORD_BYTES_MAX {
            let what = "a part of a record";
            return Err(TsdbError::Shape { what, at });
        }
        if begins {
            self.packed.clear();
        }
        self.is_open = true;
        self.packed.extend_from_slice(part);
        Ok(())
    }

    fn unpack(&mut self, kind: u8, at: usize) -> Result<(), TsdbError> {
        let what = "a packed record";
        let wrong = TsdbError::Shape { what, at };
        if kind & SNAPPY != 0 {
            let plain = snappy::unpack(&self.packed, RECORD_BYTES_MAX);
            self.plain = plain.map_err(|_| wrong)?;
        } else if kind & ZSTD != 0 {
            self.plain.clear();
            let frame = ruzstd::decoding::StreamingDecoder::new(self.packed.as_slice());
            let Ok(frame) = frame else {
                return Err(wrong);
            };
            let mut frame = frame.take(RECORD_BYTES_MAX as u64);
            std::io::copy(&mut frame, &mut self.plain).map_err(|_| wrong)?;
        } else {
            std::mem::swap(&mut self.packed, &mut self.plain);
        }
        Ok(())
    }
}

/// The bytes of the part that begins here.
fn part(page: &[u8], at: usize, base: usize) -> Result<&[u8], TsdbError> {
    let what = "a part of a record";
    let wrong = TsdbError::Shape {
        what,
        at: base + at,
    };
    let length = page.get(at + 1..at + 3).ok_or(wrong.clone())?;
    let length = length
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let begin = at + HEADER_BYTES;
    let part = page.get(begin..begin + length).ok_or(wrong)?;
    if be32(page, at + 3) != Some(checksum(part)) {
        let at = base + at;
        return Err(TsdbError::Checksum { what, at });
    }
    Ok(part)
}

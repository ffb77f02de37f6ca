//! Chunks: some samples of one series, in a file of many.

use super::bits::{Bits, Xor};
use super::varint::Cursor;
use super::{TsdbError, be32, checksum, histograms};
use crate::histogram::Histogram;

/// The beginning of a file of chunks.
const MAGIC: u32 = 0x85bd_40dd;
const VERSION: u8 = 1;
/// Magic, version, three bytes of nothing.
pub const HEADER_BYTES: usize = 8;
/// The longest length of a chunk, and its encoding.
pub const CHUNK_HEADER_BYTES_MAX: usize = 6;
const CHECKSUM_BYTES: usize = 4;
/// Bytes of a chunk: Prometheus' are below 2 KiB, and those of histograms below 100.
pub const CHUNK_BYTES_MAX: usize = 16 << 20;

/// A sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Histogram),
}

/// Whether a file begins as a file of chunks does.
pub fn check_header(bytes: &[u8]) -> Result<(), TsdbError> {
    let is_known = be32(bytes, 0) == Some(MAGIC) && bytes.get(4) == Some(&VERSION);
    is_known
        .then_some(())
        .ok_or(TsdbError::Kind("file of chunks"))
}

/// How many bytes the chunk takes that begins here, as far as its first bytes say.
pub fn length(bytes: &[u8]) -> Option<usize> {
    let mut from = Cursor::new(bytes, 0);
    let data = from.length().filter(|length| *length <= CHUNK_BYTES_MAX)?;
    Some(from.at() + 1 + data + CHECKSUM_BYTES)
}

/// Shows the samples of the chunk that begins here, by their times in milliseconds since 1970.
pub fn read(bytes: &[u8], see: &mut dyn FnMut(i64, Sample)) -> Result<(), TsdbError> {
    let wrong = |what| TsdbError::Shape { what, at: 0 };
    let mut from = Cursor::new(bytes, 0);
    let length = from.length().filter(|length| *length <= CHUNK_BYTES_MAX);
    let length = length.ok_or(wrong("the length of a chunk"))?;
    let begin = from.at();
    let body = from.take(1 + length).ok_or(wrong("a chunk"))?;
    if be32(bytes, from.at()) != Some(checksum(body)) {
        return Err(TsdbError::Checksum {
            what: "a chunk",
            at: begin,
        });
    }
    let (encoding, data) = body.split_first().ok_or(wrong("a chunk"))?;
    read_data(*encoding, data, see)
}

/// Shows the samples of a chunk without length and checksum, such as a message holds it.
pub fn read_data(
    encoding: u8,
    data: &[u8],
    see: &mut dyn FnMut(i64, Sample),
) -> Result<(), TsdbError> {
    let read = match encoding {
        1 => floats(data, see),
        2 => histograms::whole(data, see),
        3 => histograms::fractional(data, see),
        other => return Err(TsdbError::Encoding(other)),
    };
    read.ok_or(TsdbError::Shape {
        what: "the samples of a chunk",
        at: 0,
    })
}

fn floats(data: &[u8], see: &mut dyn FnMut(i64, Sample)) -> Option<()> {
    let (count, data) = data.split_first_chunk::<2>()?;
    let mut bits = Bits::new(data);
    let mut clock = Clock::default();
    let mut value = Xor::default();
    for number in 0..u16::from_be_bytes(*count) {
        match number {
            0 => {
                clock.time = bits.signed_varint()?;
                value = Xor::first(&mut bits)?;
            }
            1 => {
                clock.step = bits.varint()?.cast_signed();
                clock.tick(0);
                value.next(&mut bits)?;
            }
            _ => {
                let change = bits.time_change()?;
                clock.tick(change);
                value.next(&mut bits)?;
            }
        }
        see(clock.time, Sample::Float(value.value()));
    }
    Some(())
}

/// A number that is told by how its difference to the one before changes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    pub(super) time: i64,
    step: i64,
}

impl Clock {
    pub(super) fn at(time: i64) -> Self {
        Self { time, step: 0 }
    }

    /// The next.
    pub(super) fn tick(&mut self, change: i64) {
        self.step = self.step.wrapping_add(change);
        self.time = self.time.wrapping_add(self.step);
    }
}

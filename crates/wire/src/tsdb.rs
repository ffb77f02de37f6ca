//! The files of a Prometheus data directory: the index of a block, its chunks of samples, its
//! tombstones; and the log of what no block has yet. The forms are described in Prometheus' `tsdb/docs/format`. Slices in, values out; who
//! reads the files is elsewhere.

mod bits;
pub mod chunk;
pub mod encode;
mod histograms;
pub mod index;
pub mod tombstones;
mod varint;
pub mod wal;

/// Why a file of a block can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TsdbError {
    /// It is another file, or one of a version that is not known here.
    #[error("it is no {0} of a known version")]
    Kind(&'static str),
    /// The bytes end, or make no sense.
    #[error("{what} at byte {at} makes no sense")]
    Shape {
        /// What should be there.
        what: &'static str,
        /// Where, counted from the beginning of what was given.
        at: usize,
    },
    /// Some bit is not what was written.
    #[error("the checksum of {what} at byte {at} is wrong")]
    Checksum {
        /// Of what.
        what: &'static str,
        /// Where it begins.
        at: usize,
    },
    /// Samples in a form that is not known here.
    #[error("samples in the encoding {0}, which is not known here")]
    Encoding(u8),
}

/// The value of four bytes, the highest first.
fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// The value of eight bytes, the highest first.
fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// The Castagnoli checksum.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

#[cfg(test)]
mod tests;

//! Bodies in Snappy's block format, as remote write and remote read send them: no frames, one block with
//! its length before it.

/// The most that packed bytes can become: 64 bytes are told by three.
const GROWTH_MAX: usize = 22;

/// Why a body is not unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnappyError {
    /// More than the limit, by what it says itself.
    #[error("it is {bytes} bytes unpacked, and at most {limit} are taken")]
    TooLarge {
        /// What it says that it becomes.
        bytes: usize,
        /// What may be.
        limit: usize,
    },
    /// It is no such block.
    #[error("it is not a block of Snappy")]
    Malformed,
}

/// How many bytes a block becomes, by what it says itself; checked against a limit and against what
/// is possible at all, so that nobody is given memory for saying so.
pub fn unpacked_length(packed: &[u8], limit: usize) -> Result<usize, SnappyError> {
    let bytes = snap::raw::decompress_len(packed).map_err(|_| SnappyError::Malformed)?;
    if bytes > limit {
        return Err(SnappyError::TooLarge { bytes, limit });
    }
    if bytes > packed.len().saturating_mul(GROWTH_MAX) {
        return Err(SnappyError::Malformed);
    }
    Ok(bytes)
}

/// Unpacks a block of at most `limit` bytes.
pub fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, SnappyError> {
    let length = unpacked_length(packed, limit)?;
    let mut plain = vec![0; length];
    let written = snap::raw::Decoder::new().decompress(packed, &mut plain);
    match written {
        Ok(written) if written == length => Ok(plain),
        _ => Err(SnappyError::Malformed),
    }
}

/// Packs bytes into one block; none when they are more than the format can say, 4 GiB.
pub fn pack(plain: &[u8]) -> Option<Vec<u8>> {
    snap::raw::Encoder::new().compress_vec(plain).ok()
}

#[cfg(test)]
mod tests;

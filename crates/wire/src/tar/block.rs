//! One block as the head of a file, in the forms that programs write: POSIX's `ustar`, GNU's, and the
//! one before both.

use super::BLOCK_BYTES;

/// Where the checksum stands, which is made as if it were blank.
const CHECKSUM: (usize, usize) = (148, 8);

/// Why an archive can't be read from here on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TarError {
    /// Fewer bytes than a block.
    #[error("the archive ends in the middle of the head at byte {0}")]
    Short(u64),
    /// What stands there is no head.
    #[error("there is no head of a file at byte {0}: its checksum is wrong")]
    Checksum(u64),
    /// A number that is none.
    #[error("the head at byte {0} has a {1} that can't be read")]
    Number(u64, &'static str),
    /// A size that no archive can have.
    #[error("the head at byte {0} says more bytes than an archive can have")]
    Size(u64),
    /// What belongs to a head is larger than it may be.
    #[error("the head at byte {0} has more than {1} bytes of further fields")]
    LongFields(u64, u64),
    /// Nothing but further fields.
    #[error("more than {1} heads with nothing but further fields lead to byte {0}")]
    Flood(u64, usize),
    /// Further fields that are not written as they have to be.
    #[error("the further fields at byte {0} can't be read")]
    Fields(u64),
}

/// What a block says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// With the prefix of `ustar`.
    pub(super) name: Vec<u8>,
    pub(super) size: u64,
    /// In Unix seconds.
    pub(super) modified: i64,
    /// As it stands there.
    pub(super) kind: u8,
    /// GNU's: the bytes that a sparse file has with its holes.
    pub(super) real_size: u64,
    /// GNU's: whether a further block of its map follows.
    pub(super) has_more_map: bool,
}

/// Whether the first block of some bytes is a head: what is an archive begins so.
pub fn is_head(bytes: &[u8]) -> bool {
    let Some(block) = bytes.first_chunk::<BLOCK_BYTES>() else {
        return false;
    };
    !is_zero(block) && is_sound(block) && number(field(block, (124, 12))).is_some()
}

pub(super) fn is_zero(block: &[u8; BLOCK_BYTES]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// Reads a block that stands at a byte of the archive.
pub(super) fn parse(block: &[u8; BLOCK_BYTES], at: u64) -> Result<Block, TarError> {
    if !is_sound(block) {
        return Err(TarError::Checksum(at));
    }
    let size = number(field(block, (124, 12))).ok_or(TarError::Number(at, "size"))?;
    let modified = number(field(block, (136, 12))).ok_or(TarError::Number(at, "time"))?;
    let kind = field(block, (156, 1)).first().copied().unwrap_or_default();
    let own = text(field(block, (0, 100)));
    // GNU's has other things where POSIX has the prefix.
    let prefix = if field(block, (257, 6)) == b"ustar\0" {
        text(field(block, (345, 155)))
    } else {
        b""
    };
    let name = if prefix.is_empty() {
        own.to_vec()
    } else {
        [prefix, b"/", own].concat()
    };
    let is_sparse = kind == b'S';
    let real_size = match number(field(block, (483, 12))) {
        Some(size) if is_sparse => u64::try_from(size).unwrap_or(0),
        _ => 0,
    };
    Ok(Block {
        name,
        size: u64::try_from(size).map_err(|_| TarError::Number(at, "size"))?,
        modified,
        kind,
        real_size,
        has_more_map: is_sparse && field(block, (482, 1)) != [0],
    })
}

/// Bytes of a block: where they begin, how many.
pub(super) fn field(block: &[u8; BLOCK_BYTES], (at, length): (usize, usize)) -> &[u8] {
    block.get(at..at + length).unwrap_or_default()
}

/// Up to the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0);
    field.get(..end.unwrap_or(field.len())).unwrap_or(field)
}

/// Whether the checksum is right. Some old programs added bytes with their signs.
fn is_sound(block: &[u8; BLOCK_BYTES]) -> bool {
    let Some(expected) = number(field(block, CHECKSUM)) else {
        return false;
    };
    let (at, length) = CHECKSUM;
    let (mut plain, mut signed) = (0_i64, 0_i64);
    for (index, byte) in block.iter().enumerate() {
        let byte = if (at..at + length).contains(&index) {
            b' '
        } else {
            *byte
        };
        plain += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    expected == plain || expected == signed
}

/// Octal digits between blanks and NULs, nothing at all for 0; or, with the first bit set, the number
/// itself in its bytes, the highest first, which is how GNU's writes what is too large or below 0.
fn number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // The second bit is the sign.
        let start = i64::from(first.cast_signed() << 1 >> 1);
        return rest.iter().try_fold(start, |number, byte| {
            number.checked_mul(256)?.checked_add(i64::from(*byte))
        });
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let begin = field.iter().position(|byte| !is_blank(byte));
    let digits = field.get(begin.unwrap_or(field.len())..)?;
    let end = digits.iter().position(is_blank).unwrap_or(digits.len());
    let (digits, behind) = digits.split_at_checked(end)?;
    if !behind.iter().all(is_blank) {
        return None;
    }
    digits.iter().try_fold(0_i64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 8)?;
        number.checked_mul(8)?.checked_add(i64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_two_forms() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"  644 \0\0", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"12a4\0", None),
            (b"12 4\0", None),
            (b"77777777777", Some((1 << 33) - 1)),
            (b"\x80\0\0\0\0\0\0\x02\0\0\0\0", Some(8 << 30)),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                Some(-1),
            ),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"", None),
        ] {
            assert_eq!(number(field), expected, "{field:?}");
        }
    }
}

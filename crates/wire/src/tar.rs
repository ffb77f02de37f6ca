//! Heads of files in an archive (POSIX.1-2017, pax: "ustar Interchange Format" and "pax Header Block"):
//! written here, read by [`Walker`]. The bytes of the files are the caller's.

mod block;
mod pax;
mod read;
#[cfg(test)]
mod tests;

pub use self::block::{TarError, is_head};
pub use self::read::{Member, MemberKind, Step, Walker, Wanted};

/// Everything in an archive is in blocks of so many bytes.
pub const BLOCK_BYTES: usize = 512;
/// The longest name that has a place of its own.
const NAME_BYTES_MAX: usize = 100;
/// The largest size in eleven octal digits.
const SIZE_MAX: u64 = (1 << 33) - 1;

/// What stands before a file: its name with slashes, its size in bytes, when it was modified in Unix
/// seconds. Names and sizes that are too long for the old form stand in a block before it.
pub fn head(name: &str, size: u64, modified: i64) -> Vec<u8> {
    let mut out = Vec::new();
    let is_long = name.len() > NAME_BYTES_MAX || !name.is_ascii();
    if is_long || size > SIZE_MAX {
        let mut records = Vec::new();
        if is_long {
            records.extend(record("path", name));
        }
        if size > SIZE_MAX {
            records.extend(record("size", &size.to_string()));
        }
        let length = u64::try_from(records.len()).unwrap_or(0);
        out.extend(block("pax", length, modified, b'x'));
        out.extend(&records);
        out.resize(out.len() + padding(length), 0);
    }
    out.extend(block(name, size, modified, b'0'));
    out
}

/// How many zeros follow so many bytes.
pub fn padding(size: u64) -> usize {
    let rest = usize::try_from(size % 512).unwrap_or(0);
    (BLOCK_BYTES - rest) % BLOCK_BYTES
}

/// What stands at the end.
pub fn end() -> [u8; 2 * BLOCK_BYTES] {
    [0; 2 * BLOCK_BYTES]
}

/// `length name=value`, where the length counts itself.
fn record(name: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {name}={value}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}").into_bytes()
}

fn block(name: &str, size: u64, modified: i64, kind: u8) -> [u8; BLOCK_BYTES] {
    let short: String = name
        .chars()
        .filter(char::is_ascii)
        .take(NAME_BYTES_MAX)
        .collect();
    let seconds = u64::try_from(modified).unwrap_or(0).min(SIZE_MAX);
    let fields: [(usize, String); 8] = [
        (0, short),
        (100, "0000644\0".to_owned()),
        (108, "0000000\0".to_owned()),
        (116, "0000000\0".to_owned()),
        (124, format!("{:011o}\0", size.min(SIZE_MAX))),
        (136, format!("{seconds:011o}\0")),
        // The checksum is made as if it were blank.
        (148, "        ".to_owned()),
        (257, "ustar\u{0}00".to_owned()),
    ];
    let mut block = [0; BLOCK_BYTES];
    for (at, text) in &fields {
        put(&mut block, *at, text.as_bytes());
    }
    put(&mut block, 156, &[kind]);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
    block
}

fn put(block: &mut [u8; BLOCK_BYTES], at: usize, bytes: &[u8]) {
    for (slot, byte) in block.iter_mut().skip(at).zip(bytes) {
        *slot = *byte;
    }
}

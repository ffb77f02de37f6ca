//! How far a remote has been served, on disk: the place up to which it has everything, and the end of the
//! request that is under way. That one is sent again as it was after a crash, so that a remote which takes
//! or refuses requests as a whole never sees what it has together with what it has not.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use signals::LogPlace;

const MAGIC: [u8; 8] = *b"LLSEND01";
/// Magic, number, two places, checksum.
const SLOT_BYTES: usize = 60;
const PLACE_BYTES: usize = 20;
/// Between the slots, so that a torn write hits one of them only.
const SLOT_DISTANCE: u64 = 4_096;
const FILE_MODE: u32 = 0o600;

/// How far a remote has been served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// What stands before it is there.
    pub(super) from: LogPlace,
    /// The end of the request that is under way; the same place when there is none.
    pub(super) to: LogPlace,
}

/// What a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It is new.
    Nothing,
    /// What was written last.
    Mark(Mark),
    /// Neither slot is right.
    Damaged,
}

/// The file. Two slots are written in turn; the newer one that is right holds.
#[derive(Debug)]
pub(super) struct Cursor {
    file: File,
    number: u64,
}

impl Cursor {
    /// Opens the file, and makes it if there is none.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Found)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(path)?;
        let mut best: Option<(u64, Mark)> = None;
        let length = file.metadata()?.len();
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            let read = file.read_exact_at(&mut bytes, slot * SLOT_DISTANCE);
            if let (Ok(()), Some(found)) = (read, decode(&bytes)) {
                best = best.filter(|best| best.0 > found.0).or(Some(found));
            }
        }
        if length == 0 {
            // The name is on disk before anything is said to be.
            if let Some(folder) = path.parent() {
                File::open(folder)?.sync_all()?;
            }
        }
        let found = match best {
            Some((_, mark)) => Found::Mark(mark),
            None if length == 0 => Found::Nothing,
            None => Found::Damaged,
        };
        let number = best.map_or(0, |(number, _)| number);
        Ok((Self { file, number }, found))
    }

    /// Writes a mark; on disk when this returns.
    pub(super) fn write(&mut self, mark: Mark) -> io::Result<()> {
        let number = self.number + 1;
        let slot = number % 2;
        let bytes = encode(number, mark);
        self.file.write_all_at(&bytes, slot * SLOT_DISTANCE)?;
        self.file.sync_data()?;
        // After a failure the same slot is written again: the other one has what is right.
        self.number = number;
        Ok(())
    }
}

fn encode(number: u64, mark: Mark) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&number.to_le_bytes());
    for place in [mark.from, mark.to] {
        bytes.extend_from_slice(&place.file.to_le_bytes());
        bytes.extend_from_slice(&place.offset.to_le_bytes());
        bytes.extend_from_slice(&place.taken.to_le_bytes());
    }
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; SLOT_BYTES]) -> Option<(u64, Mark)> {
    let (content, checksum) = bytes.split_last_chunk()?;
    let is_right = crc32c::crc32c(content) == u32::from_le_bytes(*checksum);
    let (magic, rest) = content.split_first_chunk()?;
    if !is_right || *magic != MAGIC {
        return None;
    }
    let (number, rest) = rest.split_first_chunk()?;
    let (from, to) = rest.split_at_checked(PLACE_BYTES)?;
    let mark = Mark {
        from: place(from)?,
        to: place(to)?,
    };
    Some((u64::from_le_bytes(*number), mark))
}

fn place(bytes: &[u8]) -> Option<LogPlace> {
    let (file, rest) = bytes.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk()?;
    Some(LogPlace {
        file: u32::from_le_bytes(*file),
        offset: u64::from_le_bytes(*offset),
        taken: u64::from_le_bytes(rest.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(file: u32, taken: u64) -> Mark {
        let from = LogPlace {
            file,
            offset: 24,
            taken,
        };
        let to = LogPlace {
            file: file + 1,
            offset: u64::MAX,
            taken: 0,
        };
        Mark { from, to }
    }

    #[test]
    fn the_newest_mark_is_found_and_a_torn_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.cursor");
        let (mut cursor, found) = Cursor::open(&path).unwrap();
        assert_eq!(found, Found::Nothing);
        for number in 1..=5 {
            cursor.write(mark(number, 7)).unwrap();
            let (_, found) = Cursor::open(&path).unwrap();
            assert_eq!(found, Found::Mark(mark(number, 7)));
        }
        // The fifth one is in the second slot.
        let whole = base::files::read_limited(&path, 1 << 20).unwrap();
        for place in 0..SLOT_BYTES {
            let mut bytes = whole.clone();
            bytes[usize::try_from(SLOT_DISTANCE).unwrap() + place] ^= 4;
            std::fs::write(&path, &bytes).unwrap();
            let (mut cursor, found) = Cursor::open(&path).unwrap();
            assert_eq!(found, Found::Mark(mark(4, 7)), "{place}");
            cursor.write(mark(9, 1)).unwrap();
            let (_, found) = Cursor::open(&path).unwrap();
            assert_eq!(found, Found::Mark(mark(9, 1)));
        }
        std::fs::write(&path, vec![1; 5_000]).unwrap();
        assert_eq!(Cursor::open(&path).unwrap().1, Found::Damaged);
    }
}

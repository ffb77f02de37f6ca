//! The end of a segment that is an object, as a file: footer and trailer, so that the store opens while
//! the objects are away.

use super::{FOLDER, TRAILER_BYTES};
use crate::bytes::in_memory;
use crate::disk::{Disk, DiskError, named};
use crate::manifest::SegmentEntry;

/// Bytes of an end: more than any that is written.
const FOOT_BYTES_MAX: u64 = 1 << 30;

fn file_name(number: u32) -> String {
    format!("{FOLDER}/{number:010}.foot")
}

/// The last bytes of the object; nothing when they are not here.
pub(super) fn read(disk: &dyn Disk, entry: &SegmentEntry) -> Result<Option<Vec<u8>>, DiskError> {
    let name = file_name(entry.number);
    let file = match disk.open(&name) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => named(disk, "open", &name, opened)?,
    };
    let length = named(disk, "read", &name, file.length())?;
    if length > FOOT_BYTES_MAX.min(entry.length) || length < TRAILER_BYTES as u64 {
        return Ok(None);
    }
    let mut bytes = vec![0; in_memory(length)];
    named(disk, "read", &name, file.read_at(0, &mut bytes))?;
    Ok(Some(bytes))
}

/// Keeps the last bytes of an object; on disk when this returns.
pub(crate) fn write(disk: &dyn Disk, entry: &SegmentEntry, tail: &[u8]) -> Result<(), DiskError> {
    let name = file_name(entry.number);
    let new_name = format!("{name}.new");
    for before in [&name, &new_name] {
        if let Err(error) = disk.remove(before)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return named(disk, "remove", before, Err(error));
        }
    }
    let file = named(disk, "create", &new_name, disk.create(&new_name))?;
    named(disk, "write to", &new_name, file.append(tail))?;
    named(disk, "sync", &new_name, file.sync())?;
    named(disk, "rename", &new_name, disk.rename(&new_name, &name))?;
    named(disk, "sync", FOLDER, disk.sync_folder(FOLDER))
}

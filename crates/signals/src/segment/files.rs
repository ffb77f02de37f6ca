//! The files of the folder of segments: which of them nobody needs.

use super::FOLDER;
use crate::disk::{Disk, DiskError, named};
use crate::manifest::SegmentEntry;

/// A file of the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A segment of this number.
    Segment(u32),
    /// The end of one that is an object.
    Foot(u32),
    /// One of these that was being written.
    Unfinished,
}

fn kind_of(name: &str) -> Option<Kind> {
    let (whole, is_new) = match name.strip_suffix(".new") {
        Some(whole) => (whole, true),
        None => (name, false),
    };
    let (number, kind) = whole.split_once('.')?;
    let number = number.parse().ok()?;
    let kind = match kind {
        "seg" => Kind::Segment(number),
        "foot" => Kind::Foot(number),
        _ => return None,
    };
    Some(if is_new { Kind::Unfinished } else { kind })
}

/// Removes files that were being written when something failed.
pub(crate) fn remove_unfinished(disk: &dyn Disk) -> Result<(), DiskError> {
    remove(disk, &|kind| kind == Kind::Unfinished)
}

/// Removes files that the manifest does not name.
pub(crate) fn remove_unnamed(disk: &dyn Disk, entries: &[SegmentEntry]) -> Result<(), DiskError> {
    let has = |number: u32, is_far: bool| {
        let mut entries = entries.iter();
        entries.any(|entry| entry.number == number && entry.is_far == is_far)
    };
    remove(disk, &|kind| match kind {
        Kind::Segment(number) => !has(number, false),
        Kind::Foot(number) => !has(number, true),
        Kind::Unfinished => true,
    })
}

fn remove(disk: &dyn Disk, goes: &dyn Fn(Kind) -> bool) -> Result<(), DiskError> {
    let names = named(disk, "list", FOLDER, disk.list(FOLDER))?;
    for name in names {
        if kind_of(&name).is_some_and(goes) {
            let name = format!("{FOLDER}/{name}");
            named(disk, "remove", &name, disk.remove(&name))?;
        }
    }
    Ok(())
}

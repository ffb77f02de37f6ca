//! Reading the log without changing it, and past what is damaged: for looking, and for saving what
//! can be saved.

use super::recover::{Found, Noting, Scan, damage};
use super::{FILE_HEADER_BYTES, FOLDER, FRAME_HEADER_BYTES, LogFile};
use crate::damage::Damage;
use crate::disk::{Disk, DiskError, named};
use crate::record::{self, Visitor};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// The files that are there, in their order.
    pub(crate) files: Vec<LogFile>,
    /// The number of the next file.
    pub(crate) next: u32,
    /// The number of the last frame.
    pub(crate) commit: u64,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// What cannot be read.
    pub(crate) gaps: Vec<Gap>,
    /// The end of a write that was not acknowledged; the next start cuts it off.
    pub(crate) torn: Option<Damage>,
}

/// A stretch of the log that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Where it begins.
    pub damage: Damage,
    /// The number of the file.
    pub file: u32,
    /// How long it is.
    pub bytes: u64,
}

/// Shows the visitor all that can be read of the files from `first` on.
pub(crate) fn look(
    disk: &dyn Disk,
    first: u32,
    visitor: &mut impl Visitor,
) -> Result<Looked, DiskError> {
    let names = named(disk, "list", FOLDER, disk.list(FOLDER))?;
    let numbers = names
        .iter()
        .filter_map(|name| name.strip_suffix(".wal")?.parse().ok());
    let mut scans = Vec::new();
    for number in numbers.filter(|number| *number >= first) {
        scans.push(Scan::open(disk, number)?);
    }
    let written = scans.iter().rposition(Scan::has_frames);
    let mut looking = Looking {
        disk,
        found: Looked {
            next: first,
            ..Looked::default()
        },
        is_continued: false,
    };
    let last = scans.len().saturating_sub(1);
    for (at, scan) in scans.into_iter().enumerate() {
        let number = scan.found.number;
        for missing in looking.found.next..number {
            looking.gap(missing, 0, "the file is missing", 0);
        }
        looking.found.next = number.saturating_add(1);
        looking.found.bytes += scan.length;
        visitor.begin_file();
        let may_be_torn = written.is_none_or(|written| at >= written);
        looking.file(scan, (at == last, may_be_torn), visitor)?;
    }
    if looking.found.files.is_empty()
        && looking.found.gaps.is_empty()
        && looking.found.torn.is_none()
    {
        looking.gap(first, 0, "the file is missing", 0);
    }
    Ok(looking.found)
}

struct Looking<'a> {
    disk: &'a dyn Disk,
    found: Looked,
    /// The next frame has to follow the one before.
    is_continued: bool,
}

impl Looking<'_> {
    fn gap(&mut self, file: u32, offset: u64, what: &'static str, bytes: u64) {
        self.is_continued = false;
        self.found.gaps.push(Gap {
            damage: damage(self.disk, file, offset, what),
            file,
            bytes,
        });
    }

    fn file(
        &mut self,
        mut scan: Scan<'_>,
        (is_last, may_be_torn): (bool, bool),
        visitor: &mut impl Visitor,
    ) -> Result<(), DiskError> {
        let number = scan.found.number;
        if !scan.has_whole_header()? {
            if is_last && !scan.has_frames() {
                self.found.torn = Some(damage(self.disk, number, 0, "the header is wrong"));
            } else {
                self.gap(number, 0, "the header is wrong", scan.length);
            }
            return Ok(());
        }
        let mut offset = FILE_HEADER_BYTES as u64;
        while offset < scan.length {
            match scan.frame_at(offset)? {
                Found::Frame { commit, records } => {
                    self.frame(&mut scan, (offset, commit), &records, visitor);
                    offset += (FRAME_HEADER_BYTES + records.len()) as u64;
                }
                Found::Wrong(what) => match scan.frame_after(offset)? {
                    Some(next) => {
                        self.gap(number, offset, what, next - offset);
                        offset = next;
                    }
                    None if may_be_torn => {
                        self.found.torn = Some(damage(self.disk, number, offset, what));
                        break;
                    }
                    None => {
                        self.gap(number, offset, what, scan.length - offset);
                        break;
                    }
                },
            }
        }
        self.found.files.push(scan.found);
        Ok(())
    }

    fn frame(
        &mut self,
        scan: &mut Scan<'_>,
        (offset, commit): (u64, u64),
        records: &[u8],
        visitor: &mut impl Visitor,
    ) {
        let number = scan.found.number;
        if self.is_continued && commit != self.found.commit + 1 {
            self.gap(number, offset, "the frame is not the next one", 0);
        }
        self.found.commit = commit;
        self.is_continued = true;
        let mut noting = Noting {
            latest: i64::MIN,
            inner: visitor,
        };
        if record::read(records, &mut noting).is_none() {
            let bytes = (FRAME_HEADER_BYTES + records.len()) as u64;
            self.gap(number, offset, "the records make no sense", bytes);
        }
        scan.found.latest = scan.found.latest.max(noting.latest);
        scan.found.bytes += records.len() as u64;
    }
}

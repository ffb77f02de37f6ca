//! Reading the log after a start: what was acknowledged is applied, the end of a write that was
//! not is cut off, anything else that is wrong is damage.

use std::sync::Arc;

use super::{
    FILE_HEADER_BYTES, FOLDER, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FRAME_MAGIC, LogFile,
    file_name, frame_checksum, header,
};
use crate::bytes::{Reader, in_memory};
use crate::damage::{Damage, ReadError};
use crate::disk::{Disk, DiskError, DiskFile, named};
use crate::extra::{Exemplar, Metadata};
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::record::{self, Visitor};

/// Magic and number come before the salt of a file.
const SALT_OFFSET: usize = 12;
/// Bytes that are looked through at a time for a frame after a wrong one.
const SCAN_BYTES: usize = 1024 * 1024;

/// What the log was found to be.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// The files, in their order.
    pub(crate) files: Vec<LogFile>,
    /// The number of the next file.
    pub(crate) next: u32,
    /// The number of the last frame.
    pub(crate) commit: u64,
    /// A write that had not been acknowledged was cut off here.
    pub(crate) cut: Option<Damage>,
    /// Files before the first, which were not read.
    pub(crate) kept: Vec<LogFile>,
}

/// Reads all files from `first` on.
pub(crate) fn recover(
    disk: &dyn Disk,
    first: u32,
    visitor: &mut impl Visitor,
) -> Result<Recovered, ReadError> {
    let names = named(disk, "list", FOLDER, disk.list(FOLDER))?;
    let mut recovered = Recovered {
        next: first,
        ..Recovered::default()
    };
    let mut numbers: Vec<u32> = Vec::new();
    for name in names {
        let Some(number) = name.strip_suffix(".wal").and_then(|n| n.parse().ok()) else {
            continue;
        };
        if number < first {
            let length = Scan::open(disk, number)?.length;
            recovered.kept.push(LogFile {
                bytes: length,
                ..LogFile::new(number)
            });
        } else {
            numbers.push(number);
        }
    }
    if numbers.is_empty() {
        return Err(damage(disk, first, 0, "the file is missing").into());
    }
    let mut scans = Vec::with_capacity(numbers.len());
    for (expected, number) in (first..).zip(&numbers) {
        if expected != *number {
            return Err(damage(disk, expected, 0, "the file is missing").into());
        }
        scans.push(Scan::open(disk, *number)?);
    }
    // What may end in a write that was not acknowledged: nothing was written after it.
    let written = scans.iter().rposition(Scan::has_frames);
    let last = scans.len() - 1;
    for (at, mut scan) in scans.into_iter().enumerate() {
        let number = scan.found.number;
        visitor.begin_file();
        if scan.read_header(at == last && number > first)? {
            let may_be_torn = written.is_none_or(|written| at >= written);
            scan.read_frames(may_be_torn, visitor, &mut recovered)?;
            recovered.files.push(scan.found);
        } else {
            // The file was being made when the power went.
            recovered.cut = Some(damage(disk, number, 0, "the header is wrong"));
            let name = file_name(number);
            named(disk, "remove", &name, disk.remove(&name))?;
            named(disk, "sync", FOLDER, disk.sync_folder(FOLDER))?;
            return Ok(recovered);
        }
        recovered.next = number + 1;
    }
    Ok(recovered)
}

pub(super) fn damage(disk: &dyn Disk, number: u32, offset: u64, what: &'static str) -> Damage {
    Damage {
        path: disk.path(&file_name(number)).display().to_string(),
        offset,
        what,
    }
}

/// One file of the log, from its beginning to its end.
pub(super) struct Scan<'a> {
    disk: &'a dyn Disk,
    file: Arc<dyn DiskFile>,
    name: String,
    pub(super) length: u64,
    salt: u64,
    pub(super) found: LogFile,
}

/// What stands at a place of a file.
pub(super) enum Found {
    Frame { commit: u64, records: Vec<u8> },
    Wrong(&'static str),
}

impl<'a> Scan<'a> {
    pub(super) fn open(disk: &'a dyn Disk, number: u32) -> Result<Self, DiskError> {
        let name = file_name(number);
        let file = named(disk, "open", &name, disk.open(&name))?;
        let length = named(disk, "read", &name, file.length())?;
        Ok(Self {
            disk,
            file,
            name,
            length,
            salt: 0,
            found: LogFile::new(number),
        })
    }

    /// Bytes that the file has by now.
    pub(super) fn whole_length(&self) -> Result<u64, DiskError> {
        named(self.disk, "read", &self.name, self.file.length())
    }

    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, DiskError> {
        let mut bytes = vec![0; length];
        let read = self.file.read_at(offset, &mut bytes);
        named(self.disk, "read", &self.name, read)?;
        Ok(bytes)
    }

    /// Whether there is anything behind the header.
    pub(super) fn has_frames(&self) -> bool {
        self.length > FILE_HEADER_BYTES as u64
    }

    /// False if the header is wrong and may be, because the file was being made.
    fn read_header(&mut self, may_be_torn: bool) -> Result<bool, ReadError> {
        let is_whole = self.has_whole_header()?;
        // Behind the header stands nothing before it is synced.
        if is_whole || (may_be_torn && self.length <= FILE_HEADER_BYTES as u64) {
            return Ok(is_whole);
        }
        Err(damage(self.disk, self.found.number, 0, "the header is wrong").into())
    }

    /// Whether the header is right, which also has the salt.
    pub(super) fn has_whole_header(&mut self) -> Result<bool, DiskError> {
        if self.length < FILE_HEADER_BYTES as u64 {
            return Ok(false);
        }
        let bytes = self.read(0, FILE_HEADER_BYTES)?;
        let mut fields = Reader::new(&bytes);
        fields.take(SALT_OFFSET);
        self.salt = fields.u64().unwrap_or(0);
        Ok(bytes == header(self.found.number, self.salt))
    }

    fn read_frames(
        &mut self,
        may_be_torn: bool,
        visitor: &mut impl Visitor,
        recovered: &mut Recovered,
    ) -> Result<(), ReadError> {
        let number = self.found.number;
        let mut offset = FILE_HEADER_BYTES as u64;
        while offset < self.length {
            let (commit, records) = match self.frame_at(offset)? {
                Found::Frame { commit, records } => (commit, records),
                Found::Wrong(what) => {
                    let wrong = damage(self.disk, number, offset, what);
                    if !may_be_torn || self.frame_after(offset)?.is_some() {
                        return Err(wrong.into());
                    }
                    named(self.disk, "cut", &self.name, self.file.cut(offset))?;
                    named(self.disk, "sync", &self.name, self.file.sync())?;
                    recovered.cut = Some(wrong);
                    break;
                }
            };
            if recovered.commit != 0 && commit != recovered.commit + 1 {
                let what = "the frame is not the next one";
                return Err(damage(self.disk, number, offset, what).into());
            }
            recovered.commit = commit;
            let mut noting = Noting {
                latest: i64::MIN,
                inner: visitor,
            };
            record::read(&records, &mut noting)
                .ok_or_else(|| damage(self.disk, number, offset, "the records make no sense"))?;
            self.found.latest = self.found.latest.max(noting.latest);
            self.found.bytes += records.len() as u64;
            offset += (FRAME_HEADER_BYTES + records.len()) as u64;
        }
        Ok(())
    }

    pub(super) fn frame_at(&self, offset: u64) -> Result<Found, DiskError> {
        let left = in_memory(self.length - offset);
        if left < FRAME_HEADER_BYTES {
            return Ok(Found::Wrong("a frame ends too early"));
        }
        let head = self.read(offset, FRAME_HEADER_BYTES)?;
        let mut fields = Reader::new(&head);
        if fields.take(4) != Some(&FRAME_MAGIC) {
            return Ok(Found::Wrong("no frame begins here"));
        }
        let (Some(length), Some(commit), Some(checksum)) =
            (fields.u32(), fields.u64(), fields.u32())
        else {
            return Ok(Found::Wrong("a frame ends too early"));
        };
        let length = length as usize;
        if length > FRAME_BYTES_MAX || length > left - FRAME_HEADER_BYTES {
            return Ok(Found::Wrong("a frame is longer than the file"));
        }
        let records = self.read(offset + FRAME_HEADER_BYTES as u64, length)?;
        let checked = head.get(..FRAME_HEADER_BYTES - 4).unwrap_or_default();
        if frame_checksum(self.salt, checked, &records) != checksum {
            return Ok(Found::Wrong("the checksum of a frame is wrong"));
        }
        Ok(Found::Frame { commit, records })
    }

    /// Where the next right frame begins after this place, if there is one: frames are written one at
    /// a time, so that what stands before a right one was acknowledged.
    pub(super) fn frame_after(&self, offset: u64) -> Result<Option<u64>, DiskError> {
        let mut from = offset + 1;
        while from < self.length {
            let length = in_memory(self.length - from).min(SCAN_BYTES);
            let bytes = self.read(from, length)?;
            let starts = bytes.windows(FRAME_MAGIC.len()).enumerate();
            for (at, _) in starts.filter(|(_, window)| *window == FRAME_MAGIC) {
                let place = from + at as u64;
                if matches!(self.frame_at(place)?, Found::Frame { .. }) {
                    return Ok(Some(place));
                }
            }
            if length < SCAN_BYTES {
                break;
            }
            // The magic may lie across the border.
            from += (length - FRAME_MAGIC.len()) as u64;
        }
        Ok(None)
    }
}

/// Remembers the latest time on the way.
pub(super) struct Noting<'a, V> {
    pub(super) latest: i64,
    pub(super) inner: &'a mut V,
}

impl<V: Visitor> Visitor for Noting<'_, V> {
    fn series(&mut self, id: u32, labels: Labels) {
        self.inner.series(id, labels);
    }

    fn float(&mut self, id: u32, time: i64, value: f64, start: i64) {
        self.latest = self.latest.max(time);
        self.inner.float(id, time, value, start);
    }

    fn histogram(&mut self, id: u32, time: i64, start: i64, value: Histogram) {
        self.latest = self.latest.max(time);
        self.inner.histogram(id, time, start, value);
    }

    fn delete(&mut self, matchers: &[Matcher], start: i64, end: i64) {
        self.inner.delete(matchers, start, end);
    }

    fn exemplar(&mut self, exemplar: Exemplar) {
        self.inner.exemplar(exemplar);
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.inner.metadata(metric, metadata);
    }

    fn closed(&mut self) {
        self.inner.closed();
    }
}

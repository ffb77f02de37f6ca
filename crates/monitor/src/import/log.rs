//! The files of the log of a Prometheus: the checkpoint, the segments that follow it, and the log of
//! late samples beside them. Files are only read, in their order.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use wire::tsdb::TsdbError;
use wire::tsdb::wal::{self, Event, PAGE_BYTES, Records};

use super::ImportError;

/// The log, and that of late samples.
const FOLDERS: [&str; 2] = ["wal", "wbl"];
const CHECKPOINT: &str = "checkpoint.";
/// Files of one folder, of 128 MiB each.
const FILES_MAX: usize = 100_000;
/// Pages that are read at once.
const WINDOW_PAGES: usize = 32;

/// The files of a log, in the order in which they are read.
#[derive(Debug, Clone)]
pub struct Log {
    /// The log, and that of late samples; either may be empty.
    folders: Vec<Vec<PathBuf>>,
}

/// Where reading ended early, which it does behind a write that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: PathBuf,
    /// What is not right there.
    pub reason: TsdbError,
    /// Whether anything follows that is not read.
    pub is_inside: bool,
}

/// What a pass over the log has seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Pass {
    pub(super) bytes: u64,
    /// Of all bytes.
    pub(super) checksum: u32,
    pub(super) cuts: Vec<Cut>,
}

impl Log {
    /// Looks for one in a data directory; none if there is none, or nothing is in it.
    pub(super) fn find(folder: &Path) -> Result<Option<Self>, ImportError> {
        let mut folders = Vec::new();
        for name in FOLDERS {
            folders.push(files(&folder.join(name))?);
        }
        let is_there = folders.iter().any(|files| !files.is_empty());
        Ok(is_there.then_some(Self { folders }))
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        let files = self.folders.iter().flatten();
        let lengths = files.map(|path| path.metadata().map_or(0, |found| found.len()));
        lengths.sum()
    }

    /// Shows everything that the log says, and whether it is from the log of late samples. `told`
    /// learns how many bytes have been read.
    pub(super) fn pass(
        &self,
        see: &mut dyn FnMut(Event<'_>, bool),
        told: &mut dyn FnMut(u64),
    ) -> Result<Pass, ImportError> {
        let mut pass = Pass::default();
        for (at, files) in self.folders.iter().enumerate() {
            let see = &mut |event: Event<'_>| see(event, at > 0);
            for (number, path) in files.iter().enumerate() {
                let Some(reason) = file(path, see, (&mut pass, told))? else {
                    continue;
                };
                let behind = files.iter().skip(number + 1);
                let is_inside = behind.clone().count() > 0 && !are_empty(behind);
                pass.cuts.push(Cut {
                    path: path.clone(),
                    reason,
                    is_inside,
                });
                // What follows can't be told from what it was: Prometheus removes it, too.
                break;
            }
        }
        Ok(pass)
    }
}

fn are_empty<'a>(files: impl Iterator<Item = &'a PathBuf>) -> bool {
    files
        .map(|path| path.metadata().map_or(0, |found| found.len()))
        .all(|length| length == 0)
}

fn failed(path: &Path, source: io::Error) -> ImportError {
    ImportError::Read {
        path: path.to_owned(),
        source,
    }
}

/// The segments of the last checkpoint, and those that follow it.
fn files(folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let (segments, checkpoints) = numbered(folder)?;
    let mut files = Vec::new();
    let mut after = None;
    if let Some((number, path)) = checkpoints.into_iter().max() {
        let within = numbered(&path)?.0;
        files.extend(within.into_iter().map(|(_, path)| path));
        after = Some(number);
    }
    let segments = segments
        .into_iter()
        .filter(|(number, _)| after.is_none_or(|after| *number > after));
    let mut before = None;
    for (number, path) in segments {
        if before.is_some_and(|before| number != before + 1) {
            let source = io::Error::other("the file before it is missing");
            return Err(failed(&path, source));
        }
        before = Some(number);
        files.push(path);
    }
    Ok(files)
}

type Numbered = Vec<(u64, PathBuf)>;

/// Segments in their order, and checkpoints.
fn numbered(folder: &Path) -> Result<(Numbered, Numbered), ImportError> {
    let (mut segments, mut checkpoints) = (Vec::new(), Vec::new());
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((segments, checkpoints));
        }
        entries => entries.map_err(|error| failed(folder, error))?,
    };
    for entry in entries.take(FILES_MAX) {
        let path = entry.map_err(|error| failed(folder, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // One that is being made has another name behind its number.
        if let Some(number) = name.strip_prefix(CHECKPOINT).map(str::parse) {
            checkpoints.extend(number.ok().map(|number| (number, path.clone())));
        } else if let Ok(number) = name.parse() {
            segments.push((number, path.clone()));
        }
    }
    segments.sort();
    Ok((segments, checkpoints))
}

/// Shows what a file says, up to where it is not right.
fn file(
    path: &Path,
    see: &mut dyn FnMut(Event<'_>),
    (pass, told): (&mut Pass, &mut dyn FnMut(u64)),
) -> Result<Option<TsdbError>, ImportError> {
    let mut file = File::open(path).map_err(|error| failed(path, error))?;
    let mut window = vec![0; PAGE_BYTES * WINDOW_PAGES];
    let mut records = Records::default();
    let mut base = 0;
    let show = &mut |record: &[u8]| wal::read(record, see);
    loop {
        let count = fill(&mut file, &mut window).map_err(|error| failed(path, error))?;
        let read = window.get(..count).unwrap_or_default();
        pass.checksum = crc32c::crc32c_append(pass.checksum, read);
        for page in read.chunks(PAGE_BYTES) {
            if let Err(reason) = records.page(page, base, show) {
                return Ok(Some(reason));
            }
            base += page.len();
        }
        pass.bytes += count as u64;
        told(pass.bytes);
        if count < window.len() {
            break;
        }
    }
    let what = "a record that ends";
    let open = TsdbError::Shape { what, at: base };
    Ok(records.is_open().then_some(open))
}

/// Reads as much as there is, at most all of the window.
fn fill(file: &mut File, window: &mut [u8]) -> io::Result<usize> {
    use io::Read;
    let mut count = 0;
    while let Some(rest) = window.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

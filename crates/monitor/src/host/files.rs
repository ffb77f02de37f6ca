//! Reading the small files of `/proc` and `/sys`, each with a bound, into one buffer.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Config;

/// The longest file that is read; `/proc/stat` of a machine of a thousand processors is shorter.
const FILE_BYTES_MAX: usize = 8 << 20;
/// Read at once.
const READ_BYTES: usize = 64 << 10;
/// Entries of one folder that are looked at: interfaces, processors, sensors.
const ENTRIES_MAX: usize = 4096;

/// Why a collector gives less than it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectError {
    #[error("can't read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not as the kernel writes it: {line:?}", path.display())]
    Shape { path: PathBuf, line: String },
}

impl CollectError {
    /// The machine has nothing of the kind.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            Self::Read { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Shape { .. } => false,
        }
    }
}

/// Where the machine is found, and a buffer.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) config: Config,
    buffer: Vec<u8>,
}

impl Files {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            buffer: Vec::new(),
        }
    }

    /// A file below `proc`.
    pub(super) fn proc(&mut self, name: &str) -> Result<Cow<'_, str>, CollectError> {
        self.whole(self.config.proc.join(name))
    }

    /// A file below the root of file systems.
    pub(super) fn root(&mut self, name: &str) -> Result<Cow<'_, str>, CollectError> {
        self.whole(self.config.root.join(name))
    }

    /// A file of `sysfs`, without the blanks around it; nothing if it isn't there or has no value now,
    /// which drivers say by an error.
    pub(super) fn attribute(&mut self, path: &Path) -> Option<Cow<'_, str>> {
        let mut file = File::open(path).ok()?;
        self.buffer.resize(READ_BYTES, 0);
        // A value of sysfs is no longer than a page of memory, and comes at once.
        let count = file.read(&mut self.buffer).ok()?;
        Some(trimmed(self.buffer.get(..count)?))
    }

    /// A whole number of `sysfs`.
    pub(super) fn number(&mut self, path: &Path) -> Option<f64> {
        integer(&self.attribute(path)?)
    }

    /// What is in a folder of `sysfs`, in order.
    pub(super) fn folder(&self, name: &str) -> Result<Vec<PathBuf>, CollectError> {
        let path = self.config.sys.join(name);
        let entries = std::fs::read_dir(&path);
        let entries = entries.map_err(|source| CollectError::Read { path, source })?;
        let entries = entries.take(ENTRIES_MAX).filter_map(Result::ok);
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort_unstable();
        Ok(paths)
    }

    fn whole(&mut self, path: PathBuf) -> Result<Cow<'_, str>, CollectError> {
        match fill(&path, &mut self.buffer) {
            Ok(count) => Ok(String::from_utf8_lossy(
                self.buffer.get(..count).unwrap_or_default(),
            )),
            Err(source) => Err(CollectError::Read { path, source }),
        }
    }
}

/// Reads a file from its beginning; gives how long it is.
fn fill(path: &Path, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut file = File::open(path)?;
    let mut count = 0;
    loop {
        if buffer.len() < count + READ_BYTES {
            buffer.resize(count + READ_BYTES, 0);
        }
        match file.read(buffer.get_mut(count..).unwrap_or_default()) {
            Ok(0) => return Ok(count),
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if count > FILE_BYTES_MAX {
            let message = format!("larger than {} MiB", FILE_BYTES_MAX >> 20);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
    }
}

fn trimmed(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.trim_ascii())
}

/// A decimal number, or one of hexadecimal digits behind `0x`.
pub(super) fn integer(text: &str) -> Option<f64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|n| n as f64),
        None => text.parse::<i64>().map_or_else(
            |_| text.parse::<u64>().ok().map(|n| n as f64),
            |n| Some(n as f64),
        ),
    }
}

/// Any number.
pub(super) fn float(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// A line that is not as it should be.
pub(super) fn odd(path: &Path, line: &str) -> CollectError {
    CollectError::Shape {
        path: path.to_owned(),
        line: line.chars().take(200).collect(),
    }
}

/// The last part of a path.
pub(super) fn last(path: &Path) -> Cow<'_, str> {
    path.file_name()
        .map_or(Cow::Borrowed(""), |name| name.to_string_lossy())
}

//! The file operations of the store, behind a trait, so that a simulator can cut the power after
//! each of them.

mod real;
#[cfg(test)]
pub(crate) mod simulated;

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub use real::RealDisk;

/// What a folder of the store is made of. Names are relative to it, with `/` between folders.
pub trait Disk: Send + Sync + Debug {
    /// Makes a file for appending and reading. Fails when there is one of this name. The name is
    /// on disk only after [`Disk::sync_folder`].
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading, appending and cutting.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, replacing what has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of the files in a folder, without the folder, in order.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Makes a folder and those above it, on disk when this returns. There may be one already.
    fn create_folder(&self, folder: &str) -> io::Result<()>;

    /// Writes the names of a folder's files to the disk.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;

    /// How much room the file system has.
    fn space(&self) -> io::Result<Space>;

    /// Takes the lock of this name until the result is dropped; `None` when another has it.
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync + Debug>>>;

    /// What a person would call this file.
    fn path(&self, name: &str) -> PathBuf;
}

/// An open file. It can be read to its end also after its name is gone.
pub trait DiskFile: Send + Sync + Debug {
    /// Adds bytes at the end. After an error some of them may be there.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Fills `bytes` from this offset; fails when the file ends before.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Bytes in the file.
    fn length(&self) -> io::Result<u64>;

    /// Cuts the file to this length.
    fn cut(&self, length: u64) -> io::Result<()>;

    /// Writes content and length to the disk.
    fn sync(&self) -> io::Result<()>;
}

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What can be written still.
    pub free: u64,
}

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct DiskError {
    action: &'static str,
    path: String,
    source: io::Error,
}

impl DiskError {
    pub(crate) fn new(action: &'static str, path: String, source: io::Error) -> Self {
        Self {
            action,
            path,
            source,
        }
    }

    /// Whether the file system is full.
    pub fn is_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// Whether there is no such file.
    pub(crate) fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// The same error again, for each of those who waited for one operation.
    pub(crate) fn again(&self) -> Self {
        Self {
            action: self.action,
            path: self.path.clone(),
            source: io::Error::new(self.source.kind(), self.source.to_string()),
        }
    }
}

/// Names the file in what `action` gave.
pub(crate) fn named<T>(
    disk: &dyn Disk,
    action: &'static str,
    name: &str,
    result: io::Result<T>,
) -> Result<T, DiskError> {
    result.map_err(|source| DiskError {
        action,
        path: disk.path(name).display().to_string(),
        source,
    })
}

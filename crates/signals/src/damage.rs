//! Bytes that are not what was written.

use crate::disk::DiskError;

/// A file of the store holds something else than what was written to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} is damaged at byte {offset}: {what}; restore it from a backup")]
pub struct Damage {
    /// The file.
    pub path: String,
    /// Where in it.
    pub offset: u64,
    /// What was found.
    pub what: &'static str,
}

impl Damage {
    pub(crate) fn at_begin(path: String, what: &'static str) -> Self {
        Self {
            path,
            offset: 0,
            what,
        }
    }
}

/// Why something on disk cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operation failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It worked, and gave something wrong.
    #[error(transparent)]
    Damage(#[from] Damage),
}

//! Where the bytes are: a folder with a file for each object. Names of files are ours; what an object
//! belongs to is known by the tables.

mod folder;
mod reading;
mod sink;
mod sweep;

use std::io;

use base::error::Class;

pub(crate) use self::folder::{Folder, new_id};
pub(crate) use self::reading::{Segment, body_of};
pub(crate) use self::sink::{Finished, Hashes, Sink};
pub(crate) use self::sweep::service as sweep_service;

/// Why an object was not kept or can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    /// The disk.
    #[error("{what}")]
    Disk {
        /// What was attempted.
        what: &'static str,
        #[source]
        source: io::Error,
    },
    /// The task that wrote has ended.
    #[error("writing an object was interrupted")]
    Interrupted,
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl ObjectError {
    pub(crate) fn at(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { what, source }
    }

    /// Whether the disk has no room.
    pub(crate) fn is_full(&self) -> bool {
        let Self::Disk { source, .. } = self else {
            return false;
        };
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }

    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Disk { .. } | Self::Interrupted => Class::Unavailable,
            Self::Random => Class::Internal,
        }
    }
}

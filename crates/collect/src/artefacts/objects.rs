//! Where the bytes are: a folder with a file for each object, or a bucket of an S3 store. Names of
//! objects are ours; what an object belongs to is known by the tables.

mod bucket;
mod bucket_sink;
mod folder;
mod folder_sink;
mod hashing;
mod pieces;
mod reading;
mod sweep;

use std::io;

use ::bucket::BucketError;
use axum::body::Body;
use base::error::Class;
use bytes::Bytes;
use futures_util::StreamExt as _;

pub(crate) use self::bucket::Bucket;
use self::bucket_sink::BucketSink;
pub(crate) use self::folder::{Folder, new_id};
use self::folder_sink::FolderSink;
pub(crate) use self::hashing::{Finished, Hashes};
pub(crate) use self::reading::Segment;
pub(crate) use self::sweep::service as sweep_service;

/// The one or the other; clones share it.
#[derive(Debug, Clone)]
pub(crate) enum Objects {
    Folder(Folder),
    Bucket(Bucket),
}

/// An object that is being written. Dropping it leaves nothing that can be seen.
#[derive(Debug)]
pub(crate) enum Sink {
    Folder(FolderSink),
    Bucket(BucketSink),
}

impl Objects {
    /// Begins an object.
    pub(crate) async fn begin(&self, hashes: Hashes) -> Result<Sink, ObjectError> {
        Ok(match self {
            Self::Folder(folder) => Sink::Folder(FolderSink::begin(folder, hashes).await?),
            Self::Bucket(bucket) => Sink::Bucket(BucketSink::begin(bucket, hashes)?),
        })
    }

    /// `length` bytes of all segments together, from `start` on.
    pub(crate) async fn read(
        &self,
        segments: Vec<Segment>,
        range: (u64, u64),
    ) -> Result<Body, ObjectError> {
        reading::body_of(self, segments, range).await
    }

    /// A further object with the same bytes: a second name of the file where the folder knows such, otherwise
    /// a copy that goes through us. It is an orphan until it is recorded.
    pub(crate) async fn copy(&self, from: &Segment) -> Result<Segment, ObjectError> {
        let linked = match self {
            Self::Folder(folder) => folder.link(&from.object).await?,
            Self::Bucket(_) => None,
        };
        let object = match linked {
            Some(id) => id,
            None => self.copy_through(from).await?,
        };
        Ok(Segment {
            object,
            bytes: from.bytes,
        })
    }

    async fn copy_through(&self, from: &Segment) -> Result<String, ObjectError> {
        let body = self.read(vec![from.clone()], (0, from.bytes)).await?;
        let mut pieces = body.into_data_stream();
        let mut sink = self.begin(Hashes::default()).await?;
        while let Some(piece) = pieces.next().await {
            let unreadable = ObjectError::at("an object can't be read to be copied");
            sink.write(piece.map_err(io::Error::other).map_err(unreadable)?)
                .await?;
        }
        Ok(sink.finish().await?.id)
    }

    /// Removes objects; one that is gone already is no failure. Those that stay are orphans.
    pub(crate) async fn remove(&self, ids: Vec<String>) {
        match self {
            Self::Folder(folder) => folder.remove(ids).await,
            Self::Bucket(bucket) => bucket.remove(ids).await,
        }
    }

    /// Bytes that are free for us, where there is a limit.
    pub(crate) fn free(&self) -> Option<u64> {
        match self {
            Self::Folder(folder) => folder.free(),
            Self::Bucket(_) => None,
        }
    }

    /// The number that ties them to their tables, when there is one.
    pub(crate) async fn tie(&self) -> Result<Option<String>, ObjectError> {
        match self {
            Self::Folder(folder) => folder.tie(),
            Self::Bucket(bucket) => bucket.tie().await,
        }
    }

    /// Sets it.
    pub(crate) async fn set_tie(&self, tie: &str) -> Result<(), ObjectError> {
        match self {
            Self::Folder(folder) => folder.set_tie(tie),
            Self::Bucket(bucket) => bucket.set_tie(tie).await,
        }
    }

    /// Uploads at once: those into a bucket are held in memory, a part of each.
    pub(crate) fn uploads_max(&self) -> usize {
        match self {
            Self::Folder(_) => 256,
            Self::Bucket(_) => 16,
        }
    }

    /// What an operator calls them.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Folder(folder) => folder.root().display().to_string(),
            Self::Bucket(bucket) => bucket.place(),
        }
    }
}

impl Sink {
    /// Bytes that it was given.
    pub(crate) fn taken(&self) -> u64 {
        match self {
            Self::Folder(sink) => sink.taken(),
            Self::Bucket(sink) => sink.taken(),
        }
    }

    /// Takes more bytes; waits while what is behind it is slower.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError> {
        match self {
            Self::Folder(sink) => sink.write(bytes).await,
            Self::Bucket(sink) => sink.write(bytes).await,
        }
    }

    /// Has everything where it lasts and makes it visible. Only then it is an object.
    pub(crate) async fn finish(self) -> Result<Finished, ObjectError> {
        match self {
            Self::Folder(sink) => sink.finish().await,
            Self::Bucket(sink) => sink.finish().await,
        }
    }
}

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
    /// The store that has the bucket.
    #[error("{what}: {reason}")]
    Remote {
        /// What was attempted.
        what: &'static str,
        reason: String,
    },
    /// The task that wrote has ended.
    #[error("writing an object was interrupted")]
    Interrupted,
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl From<BucketError> for ObjectError {
    fn from(BucketError { what, reason, .. }: BucketError) -> Self {
        Self::Remote { what, reason }
    }
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
            Self::Disk { .. } | Self::Remote { .. } | Self::Interrupted => Class::Unavailable,
            Self::Random => Class::Internal,
        }
    }
}

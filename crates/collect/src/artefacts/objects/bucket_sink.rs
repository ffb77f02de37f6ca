//! Writing an object into a bucket: at once when it is small, in parts otherwise. Of one that breaks off
//! the parts stay with the store until they are collected.

use bucket::Upload;
use bytes::{Bytes, BytesMut};
use wire::s3::xml::PARTS_MAX;

use super::ObjectError;
use super::bucket::Bucket;
use super::folder::new_id;
use super::hashing::{Finished, Hashes, Hashing};
use super::pieces::Pieces;

/// Bytes of a part; S3 takes none below 5 MiB but the last.
const PART_BYTES: usize = 8 << 20;
/// Bytes of a part of something huge, of which there may only be so many.
const LARGE_PART_BYTES: usize = 64 << 20;
/// Parts before that.
const SMALL_PARTS: usize = 1_000;

/// An object that is being written.
#[derive(Debug)]
pub(crate) struct BucketSink {
    bucket: Bucket,
    id: String,
    hashing: Option<Box<Hashing>>,
    pieces: Pieces,
    taken: u64,
    upload: Option<Upload>,
}

impl BucketSink {
    pub(super) fn begin(bucket: &Bucket, hashes: Hashes) -> Result<Self, ObjectError> {
        Ok(Self {
            bucket: bucket.clone(),
            id: new_id()?,
            hashing: Some(Box::new(Hashing::new(hashes))),
            pieces: Pieces::default(),
            taken: 0,
            upload: None,
        })
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError> {
        self.taken += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.pieces.push(bytes);
        let wanted = if self.parts() < SMALL_PARTS {
            PART_BYTES
        } else {
            LARGE_PART_BYTES
        };
        if self.pieces.length() >= wanted {
            self.send_part().await?;
        }
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<Finished, ObjectError> {
        if self.upload.is_none() {
            let body = self.gather().await?;
            let key = self.bucket.key(&self.id);
            self.bucket.inner().put(&key, body).await?;
        } else {
            if self.pieces.length() > 0 {
                self.send_part().await?;
            }
            if let Some(upload) = &self.upload {
                self.bucket.inner().complete(upload).await?;
            }
        }
        let hashing = self.hashing.take().ok_or(ObjectError::Interrupted)?;
        Ok(hashing.finish(std::mem::take(&mut self.id)))
    }

    fn parts(&self) -> usize {
        self.upload.as_ref().map_or(0, Upload::parts)
    }

    /// What waits, hashed and in one piece.
    async fn gather(&mut self) -> Result<Bytes, ObjectError> {
        let mut hashing = self.hashing.take().ok_or(ObjectError::Interrupted)?;
        let length = self.pieces.length();
        let pieces = self.pieces.take();
        let work = move || {
            let mut whole = BytesMut::with_capacity(length);
            for piece in &pieces {
                hashing.update(piece);
                whole.extend_from_slice(piece);
            }
            (hashing, whole.freeze())
        };
        let gathered = tokio::task::spawn_blocking(work).await;
        let (hashing, whole) = gathered.map_err(|_| ObjectError::Interrupted)?;
        self.hashing = Some(hashing);
        Ok(whole)
    }

    async fn send_part(&mut self) -> Result<(), ObjectError> {
        if self.parts() >= PARTS_MAX {
            return Err(ObjectError::Remote {
                what: "an object can't be written into the bucket",
                reason: "it is too large for 10,000 parts".to_owned(),
            });
        }
        let body = self.gather().await?;
        let mut upload = match self.upload.take() {
            Some(upload) => upload,
            None => {
                self.bucket
                    .inner()
                    .begin(&self.bucket.key(&self.id))
                    .await?
            }
        };
        self.bucket.inner().put_part(&mut upload, body).await?;
        self.upload = Some(upload);
        Ok(())
    }
}

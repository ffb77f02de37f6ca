//! Writing an object into a bucket: at once when it is small, in parts otherwise. Of one that breaks off
//! the parts stay with the store until they are collected.

use bytes::{Bytes, BytesMut};
use http::Method;
use http::header::ETAG;
use wire::s3::key::percent_encode;
use wire::s3::xml::{CompletedPart, PARTS_MAX, complete, read_text};

use super::ObjectError;
use super::bucket::{Bucket, Call};
use super::folder::new_id;
use super::hashing::{Finished, Hashes, Hashing};
use super::pieces::Pieces;

/// Bytes of a part; S3 takes none below 5 MiB but the last.
const PART_BYTES: usize = 8 << 20;
/// Bytes of a part of something huge, of which there may only be so many.
const LARGE_PART_BYTES: usize = 64 << 20;
/// Parts before that.
const SMALL_PARTS: usize = 1_000;
const WRITE: &str = "an object can't be written into the bucket";

/// An object that is being written.
#[derive(Debug)]
pub(crate) struct BucketSink {
    bucket: Bucket,
    id: String,
    hashing: Option<Box<Hashing>>,
    pieces: Pieces,
    taken: u64,
    upload: Option<String>,
    parts: Vec<CompletedPart>,
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
            parts: Vec::new(),
        })
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError> {
        self.taken += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.pieces.push(bytes);
        let wanted = if self.parts.len() < SMALL_PARTS {
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
            let call = call_of(&Method::PUT, &key, "");
            let response = self.bucket.send(call, body).await?;
            self.bucket.document(call, response).await?;
        } else {
            if self.pieces.length() > 0 {
                self.send_part().await?;
            }
            self.complete().await?;
        }
        let hashing = self.hashing.take().ok_or(ObjectError::Interrupted)?;
        Ok(hashing.finish(std::mem::take(&mut self.id)))
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
        let remote = |reason: &str| ObjectError::Remote {
            what: WRITE,
            reason: reason.to_owned(),
        };
        let number = self.parts.len() + 1;
        if number > PARTS_MAX {
            return Err(remote("it is too large for 10,000 parts"));
        }
        let body = self.gather().await?;
        let key = self.bucket.key(&self.id);
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => {
                let call = call_of(&Method::POST, &key, "uploads=");
                let response = self.bucket.send(call, Bytes::new()).await?;
                let text = self.bucket.document(call, response).await?;
                let id = read_text(&text, "UploadId").ok().flatten();
                self.upload
                    .insert(id.ok_or_else(|| remote("it gave no UploadId"))?)
                    .clone()
            }
        };
        let upload = percent_encode(&upload, false);
        let query = format!("partNumber={number}&uploadId={upload}");
        let call = call_of(&Method::PUT, &key, &query);
        let response = self.bucket.send(call, body).await?;
        let etag = response
            .headers()
            .get(ETAG)
            .and_then(|etag| etag.to_str().ok());
        let etag = etag.map(|etag| etag.trim_matches('"').to_owned());
        self.bucket.document(call, response).await?;
        self.parts.push(CompletedPart {
            number: u64::try_from(number).unwrap_or(u64::MAX),
            etag: etag.ok_or_else(|| remote("it gave no ETag for a part"))?,
        });
        Ok(())
    }

    async fn complete(&self) -> Result<(), ObjectError> {
        let upload = self.upload.as_deref().unwrap_or_default();
        let query = format!("uploadId={}", percent_encode(upload, false));
        let key = self.bucket.key(&self.id);
        let call = call_of(&Method::POST, &key, &query);
        let body = Bytes::from(complete(&self.parts));
        let response = self.bucket.send(call, body).await?;
        self.bucket.document(call, response).await.map(drop)
    }
}

fn call_of<'a>(method: &'a Method, key: &'a str, query: &'a str) -> Call<'a> {
    Call {
        method,
        key,
        query,
        range: None,
        what: WRITE,
    }
}

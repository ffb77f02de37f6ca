//! What is done with objects: writing them at once or in parts, reading a range, removing, listing.

use base::client::{chain, read_body};
use base::clock;
use bytes::Bytes;
use http::header::{CONTENT_RANGE, ETAG};
use http::{HeaderMap, Method, StatusCode};
use wire::s3::key::percent_encode;
use wire::s3::xml::{CompletedPart, complete, read_rows, read_text};

use crate::client::{ANSWER_LIMIT, Bucket, BucketError, Call, TRIES};

const WRITE: &str = "an object can't be written into the bucket";
const READ: &str = "an object can't be read from the bucket";
const REMOVE: &str = "an object can't be removed from the bucket";
const LIST: &str = "the bucket can't be listed";
const NO_BODY: Bytes = Bytes::new();

/// Objects of a bucket, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Their keys.
    pub keys: Vec<String>,
    /// Where the list goes on.
    pub next: Option<String>,
}

/// An upload in parts that has begun.
#[derive(Debug, Clone)]
pub struct Upload {
    key: String,
    id: String,
    parts: Vec<CompletedPart>,
}

impl Bucket {
    /// Writes a small object.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn put(&self, key: &str, body: Bytes) -> Result<(), BucketError> {
        let call = call(&Method::PUT, key, "", WRITE);
        let response = self.send(call, body).await?;
        self.document(call, response).await.map(drop)
    }

    /// `length` bytes from `offset` on, fewer when the object ends before, and how long it is as a whole.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn get(
        &self,
        key: &str,
        (offset, length): (u64, u64),
    ) -> Result<(Bytes, u64), BucketError> {
        let last = offset.saturating_add(length).saturating_sub(1);
        let call = Call {
            range: Some((offset, last)),
            ..call(&Method::GET, key, "", READ)
        };
        let mut tries = 1;
        loop {
            let response = self.send(call, NO_BODY).await?;
            // One that ignores ranges gives more than was asked for.
            if response.status() != StatusCode::PARTIAL_CONTENT {
                self.document(call, response).await?;
                return Err(BucketError::new(READ, "it knows no ranges"));
            }
            let total = total(response.headers());
            let total = total
                .ok_or_else(|| BucketError::new(READ, "it does not say which range it gives"))?;
            let deadline = clock::now() + ANSWER_LIMIT;
            match read_body(response.into_body(), length, deadline).await {
                Ok(body) => return Ok((body, total)),
                Err(error) if tries >= TRIES => return Err(BucketError::new(READ, chain(&error))),
                Err(_) => tries += 1,
            }
        }
    }

    /// Removes an object; one that is not there is no failure.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn delete(&self, key: &str) -> Result<(), BucketError> {
        let call = call(&Method::DELETE, key, "", REMOVE);
        let response = self.send(call, NO_BODY).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        self.document(call, response).await.map(drop)
    }

    /// The keys that begin with `prefix`, a thousand or fewer at a time.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn list(&self, prefix: &str, from: Option<&str>) -> Result<Listed, BucketError> {
        let prefix = percent_encode(prefix, false);
        let from =
            from.map(|token| format!("continuation-token={}&", percent_encode(token, false)));
        let query = format!("{}list-type=2&prefix={prefix}", from.unwrap_or_default());
        let call = call(&Method::GET, "", &query, LIST);
        let response = self.send(call, NO_BODY).await?;
        let text = self.document(call, response).await?;
        let wrong = |_| BucketError::new(LIST, "its list makes no sense");
        let rows = read_rows(&text, "Contents", &["Key"]).map_err(wrong)?;
        let next = read_text(&text, "NextContinuationToken").map_err(wrong)?;
        Ok(Listed {
            keys: rows.into_iter().flatten().collect(),
            next: next.filter(|next| !next.is_empty()),
        })
    }

    /// Begins an upload in parts.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn begin(&self, key: &str) -> Result<Upload, BucketError> {
        let call = call(&Method::POST, key, "uploads=", WRITE);
        let response = self.send(call, NO_BODY).await?;
        let text = self.document(call, response).await?;
        let id = read_text(&text, "UploadId").ok().flatten();
        Ok(Upload {
            key: key.to_owned(),
            id: id.ok_or_else(|| BucketError::new(WRITE, "it gave no UploadId"))?,
            parts: Vec::new(),
        })
    }

    /// Writes the next part: 5 MiB or more, unless it is the last.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn put_part(&self, upload: &mut Upload, body: Bytes) -> Result<(), BucketError> {
        let number = upload.parts.len() + 1;
        let id = percent_encode(&upload.id, false);
        let query = format!("partNumber={number}&uploadId={id}");
        let call = call(&Method::PUT, &upload.key, &query, WRITE);
        let response = self.send(call, body).await?;
        let etag = response.headers().get(ETAG);
        let etag = etag.and_then(|etag| etag.to_str().ok());
        let etag = etag.map(|etag| etag.trim_matches('"').to_owned());
        self.document(call, response).await?;
        upload.parts.push(CompletedPart {
            number: number as u64,
            etag: etag.ok_or_else(|| BucketError::new(WRITE, "it gave no ETag for a part"))?,
        });
        Ok(())
    }

    /// Makes an object of the parts.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn complete(&self, upload: &Upload) -> Result<(), BucketError> {
        let query = format!("uploadId={}", percent_encode(&upload.id, false));
        let call = call(&Method::POST, &upload.key, &query, WRITE);
        let body = Bytes::from(complete(&upload.parts));
        let response = self.send(call, body).await?;
        self.document(call, response).await.map(drop)
    }

    /// Gives an upload up.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn give_up(&self, upload: &Upload) -> Result<(), BucketError> {
        let query = format!("uploadId={}", percent_encode(&upload.id, false));
        let call = call(&Method::DELETE, &upload.key, &query, REMOVE);
        let response = self.send(call, NO_BODY).await?;
        self.document(call, response).await.map(drop)
    }

    /// Uploads in parts whose keys begin with `prefix` and that nobody has completed, some of them.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn unfinished(&self, prefix: &str) -> Result<Vec<Upload>, BucketError> {
        let query = format!("prefix={}&uploads=", percent_encode(prefix, false));
        let call = call(&Method::GET, "", &query, LIST);
        let response = self.send(call, NO_BODY).await?;
        let text = self.document(call, response).await?;
        let rows = read_rows(&text, "Upload", &["Key", "UploadId"]);
        let rows = rows.map_err(|_| BucketError::new(LIST, "its list makes no sense"))?;
        let uploads = rows.into_iter().filter_map(|row| match row.as_slice() {
            [key, id] => Some(Upload {
                key: key.clone(),
                id: id.clone(),
                parts: Vec::new(),
            }),
            _ => None,
        });
        Ok(uploads.collect())
    }
}

impl Upload {
    /// How many parts are there.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }
}

fn call<'a>(method: &'a Method, key: &'a str, query: &'a str, what: &'static str) -> Call<'a> {
    Call {
        method,
        key,
        query,
        range: None,
        what,
    }
}

/// The length of the whole object in `bytes 0-9/100`.
fn total(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range.rsplit_once('/')?.1.parse().ok()
}

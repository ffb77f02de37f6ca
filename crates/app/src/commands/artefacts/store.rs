//! The paths of S3 at a hub, asked with a session or a token instead of a signature.

use std::time::Duration;

use base::client::Body;
use base::retry::Backoff;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, ETAG, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName, Method, Response};
use serde_json::Value;
use wire::s3::key::percent_encode;
use wire::s3::xml::{self, CompletedPart};

use super::{CommandError, Outcome};
use crate::commands::asking::hub::{Call, Hub};

/// The bucket of a collector that does not say it.
const BUCKET: &str = "artefacts";
/// The hash of what is sent, which the collector compares.
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
/// With which size of parts a file was put: its tag can be computed from that.
const PART_BYTES: HeaderName = HeaderName::from_static("x-amz-meta-landline-part-bytes");
/// Failures in a row after which it ends.
const FAILURES_MAX: u32 = 6;
/// The pauses between them.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(500),
    ceiling: Duration::from_secs(10),
};
/// How long something may take that is sent, beside its bytes: the collector waits for its disk.
const SEND_PATIENCE: Duration = Duration::from_mins(5);
/// The slowest line that is waited for, in bytes a second.
const SLOWEST: u64 = 16 << 10;

/// The bucket of a hub.
pub(super) struct Store {
    pub(super) hub: Hub,
    bucket: String,
}

/// What is known of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) bytes: u64,
    /// Without quotes.
    pub(super) etag: String,
    /// Of the whole, in hexadecimal digits, when the collector knows it.
    pub(super) sha256: Option<String>,
    pub(super) version: Option<String>,
    pub(super) part_bytes: Option<u64>,
}

/// A file of a list.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) bytes: u64,
}

/// A part that the collector has.
#[derive(Debug, Clone)]
pub(super) struct KeptPart {
    pub(super) number: u64,
    pub(super) bytes: u64,
    pub(super) etag: String,
}

impl Store {
    /// Asks the hub which bucket it has, which also says early that it can't be asked at all.
    pub(super) async fn open(hub: Hub) -> Outcome<Self> {
        let groups = hub.get("/v1/artefacts/groups?limit=1").await?;
        let bucket = groups.get("bucket").and_then(Value::as_str);
        let bucket = bucket.unwrap_or(BUCKET).to_owned();
        Ok(Self { hub, bucket })
    }

    fn path(&self, key: &str) -> String {
        format!("/{}/{}", self.bucket, percent_encode(key, true))
    }

    /// What is known of a file; nothing when there is none.
    pub(super) async fn find(&self, key: &str) -> Outcome<Option<Known>> {
        let path = self.path(key);
        match self.hub.call(&Call::new(Method::HEAD, &path)).await {
            Ok(answer) => match known(answer.headers()) {
                Some(known) => Ok(Some(known)),
                None => Err(self.odd("the length of a file")),
            },
            Err(CommandError::Refused { status: 404, .. }) => Ok(None),
            Err(CommandError::Refused { status: 403, .. }) => {
                Err(CommandError::wrong(format!("you may not read {key}")))
            }
            Err(error) => Err(error),
        }
    }

    /// The bytes of a file from `start` on, if it is still the one that is known; else from its
    /// beginning. The answer says which.
    pub(super) async fn read(
        &self,
        key: &str,
        known: &Known,
        start: u64,
    ) -> Outcome<Response<Body>> {
        let mut path = self.path(key);
        if let Some(version) = &known.version {
            path = format!("{path}?versionId={}", percent_encode(version, false));
        }
        let mut call = Call::new(Method::GET, &path);
        if start > 0 {
            call.headers.push((RANGE, format!("bytes={start}-")));
            let tag = format!("\"{}\"", known.etag);
            call.headers.push((IF_RANGE, tag));
        }
        self.hub.call(&call).await
    }

    /// Puts a whole file; its tag.
    pub(super) async fn put(&self, key: &str, body: Hashed) -> Outcome<String> {
        let path = self.path(key);
        self.send(&path, body).await
    }

    /// Puts a part of an upload; its tag.
    pub(super) async fn put_part(
        &self,
        (key, upload): (&str, &str),
        number: u64,
        body: Hashed,
    ) -> Outcome<String> {
        let path = self.path(key);
        let upload = percent_encode(upload, false);
        let path = format!("{path}?partNumber={number}&uploadId={upload}");
        self.send(&path, body).await
    }

    async fn send(&self, path: &str, body: Hashed) -> Outcome<String> {
        let length = u64::try_from(body.bytes.len()).unwrap_or(u64::MAX);
        let mut call = Call::new(Method::PUT, path);
        call.headers.push((CONTENT_SHA256, body.sha256));
        call.body = body.bytes;
        call.patience = SEND_PATIENCE + Duration::from_secs(length / SLOWEST);
        let answer = self.hub.call(&call).await?;
        let etag = text(answer.headers(), &ETAG);
        let etag = etag.map(|etag| etag.trim_matches('"').to_owned());
        // A body that nobody reads would close the connection.
        self.hub.bytes(answer).await?;
        let name = self.hub.name();
        etag.ok_or_else(|| CommandError::wrong(format!("{name} gave no ETag for what it keeps")))
    }

    /// Begins an upload in parts of this size; its id.
    pub(super) async fn begin(&self, key: &str, part_bytes: u64) -> Outcome<String> {
        let path = format!("{}?uploads=", self.path(key));
        let mut call = Call::new(Method::POST, &path);
        call.headers.push((PART_BYTES, part_bytes.to_string()));
        let answer = self.hub.call(&call).await?;
        let answer = self.hub.bytes(answer).await?;
        let id = xml::read_text(&answer, "UploadId").ok().flatten();
        id.ok_or_else(|| self.odd("UploadId"))
    }

    /// The uploads of a key that nobody has finished, the newest first.
    pub(super) async fn uploads(&self, key: &str) -> Outcome<Vec<String>> {
        let prefix = percent_encode(key, false);
        let path = format!("/{}?uploads=&prefix={prefix}", self.bucket);
        let rows = self.rows(&path, "Upload", &["Key", "UploadId"]).await?;
        let ids = rows.0.into_iter().rev().filter_map(|row| match &row[..] {
            [found, id] if found == key => Some(id.clone()),
            _ => None,
        });
        Ok(ids.collect())
    }

    /// The parts of an upload that are kept.
    pub(super) async fn parts(&self, key: &str, upload: &str) -> Outcome<Vec<KeptPart>> {
        let path = self.path(key);
        let upload = percent_encode(upload, false);
        let (mut after, mut parts) = (0, Vec::new());
        loop {
            let path = format!("{path}?uploadId={upload}&part-number-marker={after}");
            let fields = ["PartNumber", "Size", "ETag"];
            let (rows, answer) = self.rows(&path, "Part", &fields).await?;
            for row in rows {
                let [number, size, etag] = &row[..] else {
                    continue;
                };
                let part = number.parse().ok().zip(size.parse().ok());
                let (number, bytes) = part.ok_or_else(|| self.odd("parts"))?;
                let etag = etag.trim_matches('"').to_owned();
                parts.push(KeptPart {
                    number,
                    bytes,
                    etag,
                });
            }
            let next = xml::read_text(&answer, "NextPartNumberMarker");
            let next: Option<u64> = next.ok().flatten().and_then(|text| text.parse().ok());
            match next.filter(|next| *next > after) {
                Some(next) => after = next,
                None => return Ok(parts),
            }
        }
    }

    /// Makes a file of the parts of an upload; its tag.
    pub(super) async fn complete(
        &self,
        (key, upload): (&str, &str),
        parts: &[CompletedPart],
    ) -> Outcome<String> {
        let path = self.path(key);
        let path = format!("{path}?uploadId={}", percent_encode(upload, false));
        let mut call = Call::new(Method::POST, &path);
        call.body = Bytes::from(xml::complete(parts));
        call.patience = SEND_PATIENCE;
        let answer = self.hub.call(&call).await?;
        let answer = self.hub.bytes(answer).await?;
        let etag = xml::read_text(&answer, "ETag").ok().flatten();
        let etag = etag.ok_or_else(|| self.odd("ETag"))?;
        Ok(etag.trim_matches('"').to_owned())
    }

    /// Removes a file with all its versions.
    pub(super) async fn remove(&self, key: &str) -> Outcome {
        let path = self.path(key);
        let answer = self.hub.call(&Call::new(Method::DELETE, &path)).await?;
        self.hub.bytes(answer).await.map(drop)
    }

    /// Files whose keys begin so, and where the next page begins, if there is one.
    pub(super) async fn list(
        &self,
        prefix: &str,
        token: Option<&str>,
    ) -> Outcome<(Vec<Listed>, Option<String>)> {
        let prefix = percent_encode(prefix, false);
        let mut path = format!("/{}?list-type=2&prefix={prefix}", self.bucket);
        if let Some(token) = token {
            let token = percent_encode(token, false);
            path = format!("{path}&continuation-token={token}");
        }
        let (rows, answer) = self.rows(&path, "Contents", &["Key", "Size"]).await?;
        let mut files = Vec::new();
        for row in rows {
            let [key, size] = &row[..] else { continue };
            let bytes = size.parse().map_err(|_| self.odd("sizes"))?;
            files.push(Listed {
                key: key.clone(),
                bytes,
            });
        }
        let next = xml::read_text(&answer, "NextContinuationToken");
        let next = next.map_err(|_| self.odd("NextContinuationToken"))?;
        Ok((files, next))
    }

    async fn rows(
        &self,
        path: &str,
        element: &str,
        fields: &[&str],
    ) -> Outcome<(Vec<Vec<String>>, Bytes)> {
        let answer = self.hub.call(&Call::new(Method::GET, path)).await?;
        let answer = self.hub.bytes(answer).await?;
        let rows = xml::read_rows(&answer, element, fields).map_err(|_| self.odd(element))?;
        Ok((rows, answer))
    }

    fn odd(&self, what: &str) -> CommandError {
        let name = self.hub.name();
        CommandError::wrong(format!("{name} answers a question for {what} oddly"))
    }
}

/// Bytes that are sent.
#[derive(Debug, Clone)]
pub(super) struct Hashed {
    pub(super) bytes: Bytes,
    /// In hexadecimal digits.
    pub(super) sha256: String,
    /// In hexadecimal digits.
    pub(super) md5: String,
}

/// Does something again while the hub is away, with longer pauses from time to time.
pub(super) async fn persist<T>(
    what: impl AsyncFn() -> Outcome<T>,
    mut tell: impl FnMut(&str),
) -> Outcome<T> {
    let mut failures = 0;
    loop {
        match what().await {
            Err(CommandError::Away(why)) if failures < FAILURES_MAX => {
                failures += 1;
                tell(&why);
                tokio::time::sleep(BACKOFF.delay(failures, 0.0)).await;
            }
            done => return done,
        }
    }
}

/// What an answer says of a file; nothing when it does not say how long it is.
fn known(headers: &HeaderMap) -> Option<Known> {
    let number = |name: &HeaderName| text(headers, name).and_then(|text| text.parse().ok());
    let owned = |name: &'static str| {
        let name = HeaderName::from_static(name);
        text(headers, &name).map(str::to_owned)
    };
    let etag = text(headers, &ETAG).unwrap_or_default();
    Some(Known {
        bytes: number(&CONTENT_LENGTH)?,
        etag: etag.trim_matches('"').to_owned(),
        sha256: owned("landline-sha256"),
        version: owned("x-amz-version-id"),
        part_bytes: number(&PART_BYTES).filter(|bytes| *bytes > 0),
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

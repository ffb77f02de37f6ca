//! Reading: a range of bytes over one or more objects, as a stream of pieces.

use std::io;
use std::time::Duration;

use axum::body::Body;
use base::client;
use bucket::Call;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, SeekFrom};

use super::bucket::Bucket;
use super::folder::Folder;
use super::{ObjectError, Objects};

/// Bytes that are read at a time.
const PIECE_BYTES: u64 = 256 << 10;
/// How long another store may give nothing.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// An object as a part of a longer file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) object: String,
    pub(crate) bytes: u64,
}

/// What is left to be read.
struct Reader {
    objects: Objects,
    segments: std::vec::IntoIter<Segment>,
    /// To be passed over.
    skip: u64,
    left: u64,
    open: Option<Open>,
}

/// An object that is read, and how much of it is still to come.
struct Open {
    source: Source,
    rest: u64,
}

enum Source {
    File(File),
    Answer(client::Body),
}

/// `length` bytes of all segments together, from `start` on; an error when they can't even be begun.
pub(super) async fn body_of(
    objects: &Objects,
    segments: Vec<Segment>,
    (start, length): (u64, u64),
) -> Result<Body, ObjectError> {
    let mut reader = Reader {
        objects: objects.clone(),
        segments: segments.into_iter(),
        skip: start,
        left: length,
        open: None,
    };
    // Before the answer begins: afterwards it could only be cut off.
    let first = reader.next().await;
    let first = first.map_err(ObjectError::at("an object can't be read"))?;
    let rest = stream::try_unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, reader)))
    });
    let first = stream::iter(first.map(Ok::<_, io::Error>));
    Ok(Body::from_stream(first.chain(rest)))
}

impl Reader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        loop {
            if let Some(open) = self.open.as_mut().filter(|open| open.rest > 0) {
                let piece = open.source.read(PIECE_BYTES.min(open.rest)).await?;
                let read = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                open.rest = open.rest.saturating_sub(read);
                self.left = self.left.saturating_sub(read);
                return Ok(Some(piece));
            }
            let Some(segment) = self.segments.next() else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            if self.skip >= segment.bytes {
                self.skip -= segment.bytes;
                continue;
            }
            let rest = (segment.bytes - self.skip).min(self.left);
            let range = (self.skip, rest);
            let source = match &self.objects {
                Objects::Folder(folder) => open_file(folder, &segment.object, range).await?,
                Objects::Bucket(bucket) => ask_bucket(bucket, &segment.object, range).await?,
            };
            self.open = Some(Open { source, rest });
            self.skip = 0;
        }
    }
}

impl Source {
    /// The next bytes, at least one; a file gives no more than are wanted.
    async fn read(&mut self, wanted: u64) -> io::Result<Bytes> {
        match self {
            Self::File(file) => {
                let mut piece = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
                let read = file.take(wanted).read_buf(&mut piece).await?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(piece.into())
            }
            Self::Answer(body) => loop {
                let frame = tokio::time::timeout(SILENCE_LIMIT, body.frame()).await;
                let frame = frame.map_err(|_| io::ErrorKind::TimedOut)?;
                let frame = frame.ok_or(io::ErrorKind::UnexpectedEof)?;
                let frame = frame.map_err(io::Error::other)?;
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    return Ok(data);
                }
            },
        }
    }
}

async fn open_file(folder: &Folder, id: &str, (start, _): (u64, u64)) -> io::Result<Source> {
    let mut file = File::open(folder.object(id)).await?;
    file.set_max_buf_size(usize::try_from(PIECE_BYTES).unwrap_or(usize::MAX));
    if start > 0 {
        file.seek(SeekFrom::Start(start)).await?;
    }
    Ok(Source::File(file))
}

async fn ask_bucket(bucket: &Bucket, id: &str, (start, length): (u64, u64)) -> io::Result<Source> {
    let call = Call {
        method: &Method::GET,
        key: &bucket.key(id),
        query: "",
        range: Some((start, start + length - 1)),
        what: "an object can't be read from the bucket",
    };
    let response = bucket
        .send(call, Bytes::new())
        .await
        .map_err(io::Error::other)?;
    // One that ignores ranges gives more than was asked for.
    if response.status() != StatusCode::PARTIAL_CONTENT {
        let answered = bucket.document(call, response).await;
        let error =
            answered.map_or_else(|error| error.to_string(), |_| "it knows no ranges".into());
        return Err(io::Error::other(error));
    }
    Ok(Source::Answer(response.into_body()))
}

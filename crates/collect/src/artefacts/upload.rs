//! Taking a body: out of its chunks, onto the disk, and compared with what was announced. Nothing of
//! one that breaks off or differs is kept.

use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use wire::s3::checksum::Algorithm;
use wire::s3::chunked::Decoder;
use wire::s3::key::Key;
use wire::s3::request::{BodyForm, ChunkKey};

use super::Shared;
use super::error::Trouble;
use super::objects::{Finished, Hashes, Sink};
use super::room::Taken;

/// The largest object, as S3 has it.
pub(crate) const OBJECT_BYTES_MAX: u64 = 5 << 40;
/// How long nothing may come.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_mins(1);
/// What has to come of a body in each stretch of waiting for it: otherwise a byte a minute would hold its
/// place for ever. Slow lines bring a thousand times more.
const PACE: Pace = Pace {
    stretch: Duration::from_mins(1),
    bytes: 60 << 10,
};
const DECODED_LENGTH: &str = "x-amz-decoded-content-length";

/// What is known of a body before it comes.
#[derive(Debug)]
pub(crate) struct Announced {
    form: BodyForm,
    chunk_key: Option<ChunkKey>,
    /// Of the payload.
    length: Option<u64>,
    /// In hexadecimal digits.
    md5: Option<String>,
    checksum: Option<(Algorithm, Option<String>)>,
    /// Whether the client may compare the tag with an MD5.
    wants_md5: bool,
}

impl Announced {
    /// So many bytes that come from the store itself.
    pub(crate) fn copied(bytes: u64) -> Self {
        Self {
            form: BodyForm::Plain,
            chunk_key: None,
            length: Some(bytes),
            md5: None,
            checksum: None,
            wants_md5: true,
        }
    }

    /// Reads the headers. `is_link` says that the request was signed in its query, by whoever gave the
    /// link: such clients do not compare tags.
    pub(crate) fn read(
        headers: &HeaderMap,
        (form, chunk_key): (BodyForm, Option<ChunkKey>),
        is_link: bool,
    ) -> Result<Self, Trouble> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
        let length = match form {
            BodyForm::Plain | BodyForm::Hashed(_) => number(CONTENT_LENGTH.as_str()),
            BodyForm::SignedChunks { .. } | BodyForm::UnsignedChunks => number(DECODED_LENGTH),
        };
        if length.is_some_and(|length| length > OBJECT_BYTES_MAX) {
            return Err(Trouble::TooLarge("5TiB".to_owned()));
        }
        let md5 = match text("content-md5") {
            Some(given) => {
                let bytes = STANDARD
                    .decode(given)
                    .ok()
                    .filter(|bytes| bytes.len() == 16);
                let bytes = bytes.ok_or(Trouble::BadDigest("Content-MD5"))?;
                Some(wire::auth::hex(&bytes))
            }
            None => None,
        };
        let mut checksums = Algorithm::ALL.into_iter().filter_map(|algorithm| {
            text(algorithm.header()).map(|value| (algorithm, Some(value.to_owned())))
        });
        let trailer = text("x-amz-trailer").and_then(|name| {
            let name = name.trim().to_ascii_lowercase();
            Algorithm::of_header(&name).map(|algorithm| (algorithm, None))
        });
        Ok(Self {
            checksum: checksums.next().or(trailer),
            wants_md5: !is_link || md5.is_some(),
            form,
            chunk_key,
            length,
            md5,
        })
    }
}

impl Shared {
    /// Takes a body for a key; what comes back is on disk, and an orphan until it is recorded.
    pub(crate) async fn receive(
        &self,
        key: &Key,
        announced: Announced,
        body: Body,
    ) -> Result<Finished, Trouble> {
        let _slot = self.uploads.try_acquire().map_err(|_| Trouble::Busy)?;
        let mut room = self.take_room(key, announced.length.unwrap_or(0)).await?;
        let hashes = Hashes {
            md5: announced.wants_md5,
            checksum: announced.checksum.as_ref().map(|(algorithm, _)| *algorithm),
        };
        let mut sink = self.objects.begin(hashes).await?;
        let decoder = Decoder::new(&announced.form, announced.chunk_key.clone());
        if decoder.is_none() && !matches!(announced.form, BodyForm::Plain | BodyForm::Hashed(_)) {
            return Err(Trouble::Anonymous);
        }
        let limit = announced.length.unwrap_or(OBJECT_BYTES_MAX);
        let trailers = fill(&mut sink, body, decoder, (limit, &mut room)).await?;
        if announced
            .length
            .is_some_and(|length| length != sink.taken())
        {
            return Err(Trouble::Incomplete);
        }
        let finished = sink.finish().await?;
        if let Err(trouble) = compare(&announced, &trailers, &finished) {
            self.objects.remove(vec![finished.id]).await;
            return Err(trouble);
        }
        self.metrics.uploads.inc();
        self.metrics.bytes.inc_by(finished.bytes);
        self.retries.settle(key);
        Ok(finished)
    }

    /// Keeps bytes that are here already as an object.
    pub(crate) async fn receive_bytes(&self, key: &Key, bytes: Bytes) -> Result<Finished, Trouble> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let _room = self.take_room(key, length).await?;
        let hashes = Hashes {
            md5: true,
            checksum: None,
        };
        let mut sink = self.objects.begin(hashes).await?;
        sink.write(bytes).await?;
        let finished = sink.finish().await?;
        self.retries.settle(key);
        Ok(finished)
    }
}

/// How fast a body has to come.
#[derive(Debug, Clone, Copy)]
struct Pace {
    stretch: Duration,
    bytes: u64,
}

/// A body of which each stretch brings enough, or it is given up. Only the time counts in which the client
/// is waited for: a slow disk is not held against it.
struct Paced {
    body: Body,
    pace: Pace,
    waited: Duration,
    came: u64,
}

impl Paced {
    fn new(body: Body, pace: Pace) -> Self {
        Self {
            body,
            pace,
            waited: Duration::ZERO,
            came: 0,
        }
    }

    /// The next bytes; nothing at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        let mut silence = Duration::ZERO;
        loop {
            let left = self.pace.stretch.saturating_sub(self.waited);
            let left = left.min(SILENCE_LIMIT.saturating_sub(silence));
            let begun = Instant::now();
            let frame = tokio::time::timeout(left, self.body.frame()).await;
            let waited = begun.elapsed();
            self.waited += waited;
            silence += waited;
            match frame {
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(Trouble::Incomplete),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.came += u64::try_from(data.len()).unwrap_or(u64::MAX);
                        self.check()?;
                        return Ok(Some(data));
                    }
                }
                Err(_) if silence >= SILENCE_LIMIT => {
                    return Err(Trouble::Silent(SILENCE_LIMIT.as_secs()));
                }
                Err(_) => self.check()?,
            }
        }
    }

    /// Whether the stretch brought enough, at its end.
    fn check(&mut self) -> Result<(), Trouble> {
        if self.waited < self.pace.stretch {
            return Ok(());
        }
        if self.came < self.pace.bytes {
            let seconds = self.pace.stretch.as_secs().max(1);
            let rate = base::config::format_bytes(self.pace.bytes / seconds);
            return Err(Trouble::Trickle(rate));
        }
        self.waited = Duration::ZERO;
        self.came = 0;
        Ok(())
    }
}

/// Headers behind a body.
type Trailers = Vec<(String, String)>;

/// Writes a body as it comes.
async fn fill(
    sink: &mut Sink,
    body: Body,
    mut decoder: Option<Decoder>,
    (limit, room): (u64, &mut Taken<'_>),
) -> Result<Trailers, Trouble> {
    let mut body = Paced::new(body, PACE);
    while let Some(mut data) = body.next().await? {
        let Some(decoder) = &mut decoder else {
            take(sink, data, (limit, room)).await?;
            continue;
        };
        while let Some(piece) = decoder.next(&mut data)? {
            take(sink, piece, (limit, room)).await?;
        }
    }
    match decoder {
        Some(decoder) => Ok(decoder.finish()?),
        None => Ok(Vec::new()),
    }
}

async fn take(
    sink: &mut Sink,
    bytes: Bytes,
    (limit, room): (u64, &mut Taken<'_>),
) -> Result<(), Trouble> {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let reached = sink.taken().saturating_add(length);
    if reached > limit {
        return Err(Trouble::Incomplete);
    }
    room.reach(reached)?;
    sink.write(bytes).await?;
    Ok(())
}

/// Whether what came is what was announced.
fn compare(
    announced: &Announced,
    trailers: &[(String, String)],
    finished: &Finished,
) -> Result<(), Trouble> {
    if let BodyForm::Hashed(hash) = &announced.form
        && *hash != finished.sha256
    {
        return Err(Trouble::BadDigest("x-amz-content-sha256"));
    }
    if announced.md5.is_some() && announced.md5 != finished.md5 {
        return Err(Trouble::BadDigest("Content-MD5"));
    }
    let Some((algorithm, in_header)) = &announced.checksum else {
        return Ok(());
    };
    let header = algorithm.header();
    let behind = trailers.iter().find(|(name, _)| name == header);
    let given = in_header.as_ref().or(behind.map(|(_, value)| value));
    let found = finished.checksum.as_ref().map(|(_, value)| value);
    if given.is_none() || given != found {
        return Err(Trouble::BadDigest(header));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const QUICK: Pace = Pace {
        stretch: Duration::from_secs(10),
        bytes: 10_000,
    };

    /// A body that brings pieces of this length, each after a pause.
    fn trickle(length: usize, pause: Duration, pieces: usize) -> Body {
        Body::from_stream(stream::unfold(0, move |sent| async move {
            if sent == pieces {
                return None;
            }
            tokio::time::sleep(pause).await;
            let piece = Bytes::from(vec![0; length]);
            Some((Ok::<_, std::io::Error>(piece), sent + 1))
        }))
    }

    /// How many bytes were taken, and why no more.
    async fn taken(body: Body) -> (usize, Option<&'static str>) {
        let mut body = Paced::new(body, QUICK);
        let mut taken = 0;
        loop {
            match body.next().await {
                Ok(Some(data)) => taken += data.len(),
                Ok(None) => return (taken, None),
                Err(Trouble::Trickle(_)) => return (taken, Some("trickle")),
                Err(Trouble::Silent(_)) => return (taken, Some("silence")),
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_to_keep_its_pace() {
        let second = Duration::from_secs(1);
        assert_eq!(taken(trickle(1_001, second, 60)).await, (60_060, None));
        let (bytes, why) = taken(trickle(1, second, 60)).await;
        assert_eq!(why, Some("trickle"));
        assert!(bytes <= 10, "{bytes}");
        // A quick beginning is no licence.
        let quick = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![0; 1 << 20]))]);
        let rest = trickle(1, second, 60).into_data_stream();
        let rest = futures_util::StreamExt::map(rest, |piece| piece.map_err(std::io::Error::other));
        let body = Body::from_stream(futures_util::StreamExt::chain(quick, rest));
        assert_eq!(taken(body).await.1, Some("trickle"));
        // What is short may come as it likes.
        assert_eq!(taken(trickle(1, second, 5)).await, (5, None));
        assert_eq!(taken(trickle(1, 2 * SILENCE_LIMIT, 5)).await.0, 0);
    }
}

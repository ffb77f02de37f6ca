//! Bodies of requests, read whole into a room that is bounded for all of them together.

use std::io::Read as _;
use std::sync::Arc;

use axum::body::Body;
use base::error::Class;
use base::http::read_body;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refused;

/// Bytes of all bodies that are worked on at once, packed and unpacked.
const ROOM_BYTES_MAX: usize = 256 << 20;
/// Bodies up to this size need no room: the number of connections bounds them.
const SMALL_BYTES: usize = 16 << 10;

/// The room for bodies.
#[derive(Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM_BYTES_MAX)))
    }
}

impl Room {
    /// Room for so many bytes, until it is dropped.
    pub(super) fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refused> {
        let needed = if bytes <= SMALL_BYTES { 0 } else { bytes };
        let needed = u32::try_from(needed).map_err(|_| Refused::Crowded)?;
        let room = Arc::clone(&self.0).try_acquire_many_owned(needed);
        room.map_err(|_| Refused::Crowded)
    }

    /// Reads a body of at most `limit` bytes. Who says that it is more is told before it is sent.
    pub(super) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        limit: usize,
    ) -> Result<(Bytes, OwnedSemaphorePermit), Refused> {
        let announced = headers.get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let too_large = || Refused::TooLarge(limit as u64);
        if announced.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let expected = announced.unwrap_or(limit);
        let room = self.take(expected)?;
        match read_body(body, expected).await {
            Ok(body) => Ok((body, room)),
            Err(Class::TooLarge) => Err(too_large()),
            Err(class) => Err(Refused::Body(class)),
        }
    }
}

/// The value of a header that is not empty.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let value = headers.get(name)?.to_str().unwrap_or("?");
    (!value.is_empty()).then_some(value)
}

/// How long a body says that it is without gzip, in its last four bytes (RFC 1952 2.3.1); 0 when it does
/// not begin like one.
pub(super) fn unzipped_bytes(body: &[u8]) -> usize {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return 0;
    }
    let last = body.last_chunk::<4>().copied().unwrap_or_default();
    usize::try_from(u32::from_le_bytes(last)).unwrap_or(usize::MAX)
}

/// A body without gzip, which has to be as long as it says.
#[expect(clippy::disallowed_methods, reason = "bounded by `take`")]
pub(super) fn unzipped(body: &[u8], bytes: usize) -> Result<Vec<u8>, Refused> {
    let mut plain = Vec::new();
    let bound = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(1);
    let mut reader = GzDecoder::new(body).take(bound);
    let read = reader.read_to_end(&mut plain);
    match read {
        Ok(_) if plain.len() == bytes => Ok(plain),
        _ => Err(Refused::Packed("it is not valid gzip")),
    }
}

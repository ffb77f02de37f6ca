//! Any bytes of a file, without the others: what is near to what was read before is there already.

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::super::objects::{ObjectError, Objects, Segment};
use super::error::LookError;

/// Bytes that are read at a time: heads of small files stand close to one another.
const WINDOW_BYTES: usize = 64 << 10;

/// A file.
#[derive(Debug)]
pub(super) struct Source {
    objects: Objects,
    segments: Vec<Segment>,
    /// Where each of them begins.
    starts: Vec<u64>,
    bytes: u64,
    /// What was read last, and where it begins.
    window: (u64, Bytes),
}

impl Source {
    pub(super) fn new(objects: &Objects, segments: Vec<Segment>) -> Self {
        let mut bytes = 0_u64;
        let mut starts = Vec::new();
        for segment in &segments {
            starts.push(bytes);
            bytes = bytes.saturating_add(segment.bytes);
        }
        Self {
            objects: objects.clone(),
            segments,
            starts,
            bytes,
            window: (0, Bytes::new()),
        }
    }

    /// Bytes of the whole file.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes from `offset` on, fewer than `length` only at the end of the file.
    pub(super) async fn read(&mut self, offset: u64, length: usize) -> Result<Bytes, LookError> {
        let rest = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = length.min(rest);
        if let Some(found) = self.find(offset, length) {
            return Ok(found);
        }
        let ahead = length.max(WINDOW_BYTES).min(rest);
        let range = (offset, u64::try_from(ahead).unwrap_or(u64::MAX));
        let mut stream = self.stream(range).await?;
        let mut window = BytesMut::with_capacity(ahead);
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| {
                let error = std::io::Error::other(error);
                ObjectError::at("an object can't be read")(error)
            })?;
            window.extend_from_slice(&piece);
        }
        self.window = (offset, window.freeze());
        self.find(offset, length).ok_or(LookError::NoFile)
    }

    /// A range as it comes. It has to be within the file.
    pub(super) async fn stream(
        &self,
        (offset, length): (u64, u64),
    ) -> Result<BodyDataStream, ObjectError> {
        if length == 0 {
            return Ok(Body::empty().into_data_stream());
        }
        // Of thousands of segments only those that have some of it.
        let first = self.starts.partition_point(|start| *start <= offset);
        let first = first.saturating_sub(1);
        let begin = self.starts.get(first).copied().unwrap_or(0);
        let end = offset.saturating_add(length);
        let last = self.starts.partition_point(|start| *start < end);
        let segments = self.segments.get(first..last).unwrap_or_default();
        let range = (offset.saturating_sub(begin), length);
        let body = self.objects.read(segments.to_vec(), range).await?;
        Ok(body.into_data_stream())
    }

    fn find(&self, offset: u64, length: usize) -> Option<Bytes> {
        let (begin, window) = &self.window;
        let begin = usize::try_from(offset.checked_sub(*begin)?).ok()?;
        let end = begin.checked_add(length)?;
        (end <= window.len()).then(|| window.slice(begin..end))
    }
}

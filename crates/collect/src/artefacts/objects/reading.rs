//! Reading: a range of bytes over one or more objects, as a stream of pieces.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, SeekFrom};

use super::folder::Folder;

/// Bytes that are read at a time.
const PIECE_BYTES: u64 = 256 << 10;

/// An object as a part of a longer file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) object: String,
    pub(crate) bytes: u64,
}

/// What is left to be read.
struct Reader {
    folder: Folder,
    segments: std::vec::IntoIter<Segment>,
    /// To be passed over.
    skip: u64,
    left: u64,
    open: Option<(File, u64)>,
}

/// `length` bytes of all segments together, from `start` on.
pub(crate) fn body_of(
    folder: &Folder,
    segments: Vec<Segment>,
    (start, length): (u64, u64),
) -> Body {
    let reader = Reader {
        folder: folder.clone(),
        segments: segments.into_iter(),
        skip: start,
        left: length,
        open: None,
    };
    Body::from_stream(stream::try_unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, reader)))
    }))
}

impl Reader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        loop {
            if let Some((file, rest)) = &mut self.open
                && *rest > 0
            {
                let wanted = PIECE_BYTES.min(*rest).min(self.left);
                let mut piece = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
                let read = file.take(wanted).read_buf(&mut piece).await?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let read = u64::try_from(read).unwrap_or(u64::MAX);
                *rest -= read;
                self.left -= read;
                return Ok(Some(piece.into()));
            }
            let Some(segment) = self.segments.next() else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            if self.skip >= segment.bytes {
                self.skip -= segment.bytes;
                continue;
            }
            let mut file = File::open(self.folder.object(&segment.object)).await?;
            file.set_max_buf_size(usize::try_from(PIECE_BYTES).unwrap_or(usize::MAX));
            if self.skip > 0 {
                file.seek(SeekFrom::Start(self.skip)).await?;
            }
            self.open = Some((file, segment.bytes - self.skip));
            self.skip = 0;
        }
    }
}

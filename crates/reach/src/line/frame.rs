//! Frames of JSON on a stream: four bytes of length (big endian), then the text. Nothing is read
//! beyond a frame, so raw bytes may follow it.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream broke or ended.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The other end wants to send more than we take.
    #[error("a frame of {bytes} bytes, at most {limit} are taken")]
    TooLarge {
        /// What it announced.
        bytes: usize,
        /// What we take.
        limit: usize,
    },
    /// Not what the protocol says.
    #[error("a frame that can't be understood")]
    Json(#[from] serde_json::Error),
}

/// Reads one frame of at most `limit` bytes. Not safe to drop half way: the stream is then of no
/// further use.
pub(crate) async fn read_frame<T, S>(stream: &mut S, limit: usize) -> Result<T, FrameError>
where
    T: DeserializeOwned,
    S: AsyncRead + Unpin,
{
    let bytes = stream.read_u32().await? as usize;
    if bytes > limit {
        return Err(FrameError::TooLarge { bytes, limit });
    }
    let mut text = vec![0; bytes];
    stream.read_exact(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}

/// Writes one frame and flushes it.
pub(crate) async fn write_frame<T, S>(stream: &mut S, value: &T) -> Result<(), FrameError>
where
    T: Serialize,
    S: AsyncWrite + Unpin,
{
    let frame = encode(value)?;
    stream.write_all(&frame).await?;
    stream.flush().await?;
    Ok(())
}

/// The bytes of a frame.
fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    let text = serde_json::to_vec(value)?;
    let bytes = text.len();
    let length = u32::try_from(bytes).map_err(|_| FrameError::TooLarge {
        bytes,
        limit: u32::MAX as usize,
    })?;
    let mut frame = Vec::with_capacity(4 + bytes);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&text);
    Ok(frame)
}

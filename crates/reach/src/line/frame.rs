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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::line::Message;

    fn read(mut bytes: &[u8]) -> (Result<Message, FrameError>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let read = runtime.block_on(read_frame(&mut bytes, 1000));
        (read, bytes.len())
    }

    #[test]
    fn a_frame_is_read_and_nothing_after_it() {
        let mut bytes = encode(&Message::Ready).unwrap();
        bytes.extend_from_slice(b"rest");
        let (message, left) = read(&bytes);
        assert_eq!((message.unwrap(), left), (Message::Ready, 4));
        let newer = encode(&serde_json::json!({"type": "newer", "more": 1})).unwrap();
        assert_eq!(read(&newer).0.unwrap(), Message::Unknown);
    }

    #[test]
    fn a_frame_that_is_too_large_is_not_waited_for() {
        let (message, _) = read(&1001_u32.to_be_bytes());
        let limit = 1000;
        assert!(
            matches!(message, Err(FrameError::TooLarge { bytes: 1001, limit: l }) if l == limit)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0_u32..200) {
            let framed = [&length.to_be_bytes()[..], &bytes].concat();
            drop(read(&framed));
            drop(read(&bytes));
        }
    }
}

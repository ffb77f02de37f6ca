//! Copies between a stream of a line and a connection, each direction to its own end.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use super::limits::COPY_BUFFER;
use super::stream::LineStream;

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Bytes from the line to the connection.
    pub from_line: u64,
    /// Bytes from the connection to the line.
    pub to_line: u64,
}

/// Copies both ways until both directions have ended. The end of one direction is passed on and
/// leaves the other one open; an error breaks both.
///
/// # Errors
/// Either side broke; the stream is reset, so that the other end learns of it.
pub async fn copy<T>(mut line: LineStream, mut connection: T) -> io::Result<Copied>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let copied = tokio::io::copy_bidirectional_with_sizes(
        &mut line,
        &mut connection,
        COPY_BUFFER,
        COPY_BUFFER,
    )
    .await;
    match copied {
        Ok((from_line, to_line)) => Ok(Copied { from_line, to_line }),
        Err(error) => {
            line.abort();
            Err(error)
        }
    }
}

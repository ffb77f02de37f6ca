//! The head of an HTTP/1.1 message, for `CONNECT` and for the upgrade to WebSocket. It is read byte
//! by byte, because what follows it belongs to someone else.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::limits::HEAD_BYTES_MAX;

/// A status line and header lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// The first line.
    pub(crate) first: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// The first header of a name, in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        let mut words = self.first.split(' ');
        words
            .next()
            .filter(|version| version.starts_with("HTTP/1."))?;
        words.next()?.parse().ok()
    }
}

/// Reads up to the empty line and not a byte further.
pub(crate) async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Head> {
    let mut bytes = Vec::with_capacity(256);
    while !bytes.ends_with(b"\r\n\r\n") {
        if bytes.len() >= HEAD_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the head is too long",
            ));
        }
        bytes.push(stream.read_u8().await?);
    }
    parse(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP/1.1 head"))
}

fn parse(bytes: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split("\r\n");
    let first = lines.next()?.to_owned();
    let mut headers = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(Head { first, headers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_head_is_read_and_nothing_after_it() {
        let mut input: &[u8] =
            b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nX:  a:b \r\n\r\nrest";
        let head = read_head(&mut input).await.unwrap();
        assert_eq!(head.status(), Some(101));
        assert_eq!(head.header("upgrade"), Some("websocket"));
        assert_eq!(head.header("x"), Some("a:b"));
        assert_eq!(input, b"rest");
    }

    #[tokio::test]
    async fn a_head_without_end_is_an_error() {
        let endless = vec![b'a'; HEAD_BYTES_MAX + 10];
        assert!(read_head(&mut endless.as_slice()).await.is_err());
        assert!(read_head(&mut b"HTTP/1.1 200".as_slice()).await.is_err());
        assert!(
            read_head(&mut b"SSH-2.0-x\r\nnonsense\r\n\r\n".as_slice())
                .await
                .is_err()
        );
    }
}

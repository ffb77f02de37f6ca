//! Answers that come bit by bit: streams of events, and more records than fit into memory.

use std::time::Duration;

use base::client::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::{CommandError, Outcome};

/// The longest line of a stream: a payload as JSON takes up to six times its length.
const LINE_BYTES_MAX: usize = 64 << 20;
/// The longest wait for more of a line: a search for rare words looks at many payloads before it finds
/// the next.
const PATIENCE: Duration = Duration::from_mins(5);

/// An answer that comes bit by bit.
pub(in crate::commands) struct Incoming {
    body: Body,
    name: String,
}

impl Incoming {
    /// From the hub of this name.
    pub(in crate::commands) fn new(body: Body, name: &str) -> Self {
        Self {
            body,
            name: name.to_owned(),
        }
    }

    /// What comes next within this time; nothing at the end.
    pub(in crate::commands) async fn next(&mut self, patience: Duration) -> Outcome<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(patience, self.body.frame()).await;
            let silent = |_| CommandError::Away(format!("{} is silent", self.name));
            let Some(frame) = frame.map_err(silent)? else {
                return Ok(None);
            };
            let broken = |_| CommandError::Away(format!("the connection to {} broke", self.name));
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// The same, line by line.
    pub(in crate::commands) fn lines(self) -> Lines {
        Lines {
            incoming: self,
            buffer: LineBuffer::default(),
        }
    }
}

/// An answer of lines.
pub(in crate::commands) struct Lines {
    incoming: Incoming,
    buffer: LineBuffer,
}

impl Lines {
    /// The next line without its end; nothing after the last. What has no end is no line: the
    /// answer was cut there.
    pub(in crate::commands) async fn next(&mut self) -> Outcome<Option<BytesMut>> {
        loop {
            if let Some(line) = self.buffer.take() {
                return Ok(Some(line));
            }
            if self.buffer.bytes.len() > LINE_BYTES_MAX {
                let text = format!("{} sends a line without an end", self.incoming.name);
                return Err(CommandError::wrong(text));
            }
            match self.incoming.next(PATIENCE).await? {
                Some(bytes) => self.buffer.bytes.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}

/// What came and was not taken yet.
#[derive(Debug, Default)]
struct LineBuffer {
    bytes: BytesMut,
    /// How much from the beginning on has no line end.
    searched: usize,
}

impl LineBuffer {
    /// The first line without its end, if it is whole.
    fn take(&mut self) -> Option<BytesMut> {
        let rest = self.bytes.get(self.searched..).unwrap_or_default();
        let Some(at) = rest.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.bytes.len();
            return None;
        };
        let mut line = self.bytes.split_to(self.searched + at + 1);
        line.truncate(line.len() - 1);
        self.searched = 0;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_be_cut_anywhere() {
        let text = b"{\"a\":1}\n\n{\"b\":\"\xc3\xa9\"}\nunfinished";
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut buffer = LineBuffer::default();
                let mut found = Vec::new();
                for piece in [&text[..first], &text[first..second], &text[second..]] {
                    buffer.bytes.extend_from_slice(piece);
                    found.extend(std::iter::from_fn(|| buffer.take()));
                }
                let expected = [&b"{\"a\":1}"[..], b"", b"{\"b\":\"\xc3\xa9\"}"];
                assert_eq!(found, expected, "{first} {second}");
                assert_eq!(&buffer.bytes[..], b"unfinished");
            }
        }
    }
}

//! A blocking client on one kept connection: what it sends repeats a pattern, and what comes is compared
//! with it, so that nothing huge is in memory.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The longest one answer may take.
const READ_LIMIT: Duration = Duration::from_mins(5);
/// Bytes that are read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// The connection.
pub(super) struct Line {
    reader: BufReader<TcpStream>,
    host: String,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    /// From the last byte sent to the last byte read.
    pub(super) waited: Duration,
    pub(super) body: Vec<u8>,
}

impl Line {
    /// Connects.
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_LIMIT))?;
        Ok(Self {
            reader: BufReader::with_capacity(64 << 10, stream),
            host: address.to_string(),
        })
    }

    /// A question without a body.
    pub(super) fn get(&mut self, path: &str, headers: &str) -> io::Result<Answer> {
        self.send("GET", (path, headers), (&[], 0))
    }

    /// Sends `length` bytes, which repeat the pattern.
    pub(super) fn put(&mut self, path: &str, body: (&[u8], u64)) -> io::Result<Answer> {
        self.send("PUT", (path, ""), body)
    }

    /// Sends anything, and reads the answer as a whole.
    pub(super) fn send(
        &mut self,
        method: &str,
        (path, headers): (&str, &str),
        (pattern, length): (&[u8], u64),
    ) -> io::Result<Answer> {
        self.begin(
            method,
            path,
            &format!("content-length: {length}\r\n{headers}"),
        )?;
        let mut left = length;
        while left > 0 {
            let piece = usize::try_from(left).unwrap_or(usize::MAX);
            let piece = &pattern[..piece.min(pattern.len())];
            self.reader.get_mut().write_all(piece)?;
            left -= piece.len() as u64;
        }
        let begun = Instant::now();
        let (status, length) = self.head()?;
        let mut body = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.reader.read_exact(&mut body)?;
        Ok(Answer {
            status,
            waited: begun.elapsed(),
            body,
        })
    }

    /// Reads a body of so many bytes and compares it with the pattern.
    pub(super) fn compare(
        &mut self,
        path: &str,
        (pattern, length): (&[u8], u64),
    ) -> io::Result<()> {
        self.begin("GET", path, "")?;
        let (status, announced) = self.head()?;
        if status != 200 || announced != length {
            let text = format!("{status} with {announced} bytes instead of {length}");
            return Err(io::Error::other(text));
        }
        let mut piece = vec![0; PIECE_BYTES];
        let (mut at, mut left) = (0, length);
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX);
            let wanted = wanted.min(PIECE_BYTES).min(pattern.len() - at);
            self.reader.read_exact(&mut piece[..wanted])?;
            if piece[..wanted] != pattern[at..at + wanted] {
                return Err(io::Error::other("what came is not what was sent"));
            }
            at = (at + wanted) % pattern.len();
            left -= wanted as u64;
        }
        Ok(())
    }

    fn begin(&mut self, method: &str, path: &str, headers: &str) -> io::Result<()> {
        let host = &self.host;
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n");
        self.reader.get_mut().write_all(head.as_bytes())
    }

    /// The status, and how long the body is.
    fn head(&mut self) -> io::Result<(u16, u64)> {
        let status = self.text()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("the answer is not HTTP"))?;
        let mut length = 0;
        loop {
            let line = self.text()?.to_ascii_lowercase();
            if line.is_empty() {
                return Ok((status, length));
            }
            if line.starts_with("transfer-encoding:") {
                return Err(io::Error::other("an answer without a length"));
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
    }

    /// A line without its end.
    fn text(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

//! A blocking client on one kept connection: as little of its own time as possible in what is
//! measured. It knows Content-Length and chunked bodies.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The longest one answer may take.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// The connection.
#[derive(Debug)]
pub struct Keep {
    reader: BufReader<TcpStream>,
    request: Vec<u8>,
    body: Vec<u8>,
}

impl Keep {
    /// Connects; every request will ask for `path` with these header lines.
    pub fn open(address: SocketAddr, path: &str, headers: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_LIMIT))?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n");
        let reader = BufReader::with_capacity(64 * 1024, stream);
        Ok(Self {
            reader,
            request: request.into_bytes(),
            body: Vec::new(),
        })
    }

    /// Asks once and gives the time until the last byte; anything but 200 is an error.
    pub fn ask(&mut self) -> io::Result<Duration> {
        let begun = Instant::now();
        self.reader.get_mut().write_all(&self.request)?;
        let status = self.line()?;
        let mut length = None;
        let mut is_chunked = false;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            }
            is_chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
        self.body.clear();
        if is_chunked {
            self.chunks()?;
        } else {
            let length = length.ok_or_else(|| io::Error::other("an answer without a length"))?;
            self.take(length)?;
        }
        let elapsed = begun.elapsed();
        if status.starts_with("HTTP/1.1 200") {
            return Ok(elapsed);
        }
        let reason = String::from_utf8_lossy(&self.body).into_owned();
        Err(io::Error::other(format!("{status}: {reason}")))
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Reads a line without its end.
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// Reads that many bytes of body.
    fn take(&mut self, length: usize) -> io::Result<()> {
        let old = self.body.len();
        self.body.resize(old + length, 0);
        self.reader.read_exact(&mut self.body[old..])
    }

    /// Reads chunks until the last.
    fn chunks(&mut self) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let length = line.split(';').next().unwrap_or_default();
            let length = usize::from_str_radix(length.trim(), 16).map_err(io::Error::other)?;
            if length == 0 {
                self.line()?;
                return Ok(());
            }
            self.take(length)?;
            self.line()?;
        }
    }
}

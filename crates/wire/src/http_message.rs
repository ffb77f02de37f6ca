//! An HTTP/1.1 response that travels inside another message (RFC 9112), as pushprox-client pushes
//! one: its head, and its body in the pieces in which it comes.

use bytes::{Buf, Bytes, BytesMut};

/// The largest head.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Header lines of a head, or of a trailer.
pub const HEADERS_MAX: usize = 100;
/// The longest line that says how long a chunk is.
const CHUNK_LINE_BYTES_MAX: usize = 1 << 10;

/// Why it is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The first line.
    #[error("it does not begin with the status line of an HTTP response")]
    StatusLine,
    /// The headers.
    #[error("its headers are malformed, or more than {HEADERS_MAX}")]
    Headers,
    /// No end of the head.
    #[error("its head is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    /// `Content-Length` and `Transfer-Encoding`.
    #[error("its headers contradict one another about its length")]
    Length,
    /// A chunk.
    #[error("a chunk of its body is malformed")]
    Chunk,
    /// It ended early.
    #[error("it ended before its body was complete")]
    Early,
}

/// The head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status code, 100 to 999.
    pub status: u16,
    /// Names as they came, and values.
    pub headers: Vec<(String, Vec<u8>)>,
    framing: Framing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilEnd,
}

/// The body, as far as it has come.
#[derive(Debug)]
pub struct Body {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes are to come.
    Length(u64),
    UntilEnd,
    ChunkLine,
    /// So many bytes of this chunk are to come.
    Chunk(u64),
    /// The line break behind a chunk.
    ChunkEnd,
    Trailer,
    Done,
}

/// Reads a head from the beginning of `input`; with it how many bytes it has. Nothing when more has to
/// come first.
///
/// # Errors
/// It is none, or too long.
pub fn parse_head(input: &[u8]) -> Result<Option<(Head, usize)>, MessageError> {
    let too_long = input.len() > HEAD_BYTES_MAX;
    let unfinished = || {
        if too_long {
            Err(MessageError::HeadTooLong)
        } else {
            Ok(None)
        }
    };
    let Some(end) = memchr::memchr(b'\n', input) else {
        return unfinished();
    };
    let (line, rest) = input.split_at(end + 1);
    let status = status(line).ok_or(MessageError::StatusLine)?;
    let mut space = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let parsed = httparse::parse_headers(rest, &mut space).map_err(|_| MessageError::Headers)?;
    let httparse::Status::Complete((length, found)) = parsed else {
        return unfinished();
    };
    let headers: Vec<(String, Vec<u8>)> = found
        .iter()
        .map(|header| (header.name.to_owned(), header.value.to_vec()))
        .collect();
    let framing = framing(status, &headers)?;
    let head = Head {
        status,
        headers,
        framing,
    };
    Ok(Some((head, end + 1 + length)))
}

impl Head {
    /// The first header of that name, in any letters, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(found, _)| found.eq_ignore_ascii_case(name));
        std::str::from_utf8(&found?.1).ok()
    }

    /// The length of the body, if it is told.
    pub fn content_length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilEnd => None,
        }
    }

    /// The body behind it.
    pub fn body(&self) -> Body {
        let state = match self.framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkLine,
            Framing::UntilEnd => State::UntilEnd,
        };
        Body { state }
    }
}

impl Body {
    /// Takes the next piece of the body from the front of `input`; nothing when more has to come
    /// first, or when it is complete.
    ///
    /// # Errors
    /// A chunk is malformed.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, MessageError> {
        loop {
            match self.state {
                State::Done => return Ok(None),
                State::UntilEnd => {
                    return Ok((!input.is_empty()).then(|| input.split().freeze()));
                }
                State::Length(left) | State::Chunk(left) => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let piece = input.split_to(taken).freeze();
                    let left = left - taken as u64;
                    self.state = match (self.state, left) {
                        (State::Chunk(_), 0) => State::ChunkEnd,
                        (State::Chunk(_), left) => State::Chunk(left),
                        (_, 0) => State::Done,
                        (_, left) => State::Length(left),
                    };
                    return Ok(Some(piece));
                }
                State::ChunkLine => {
                    let Some(line) = line(input)? else {
                        return Ok(None);
                    };
                    self.state = match chunk_size(&line).ok_or(MessageError::Chunk)? {
                        0 => State::Trailer,
                        size => State::Chunk(size),
                    };
                }
                State::ChunkEnd => {
                    let Some(line) = line(input)? else {
                        return Ok(None);
                    };
                    if !line.is_empty() {
                        return Err(MessageError::Chunk);
                    }
                    self.state = State::ChunkLine;
                }
                State::Trailer => {
                    let Some(line) = line(input)? else {
                        return Ok(None);
                    };
                    // What stands in the trailer tells a scraper nothing.
                    if line.is_empty() {
                        self.state = State::Done;
                    }
                }
            }
        }
    }

    /// What the end of the input means.
    ///
    /// # Errors
    /// The body is not complete.
    pub fn finish(&self) -> Result<(), MessageError> {
        match self.state {
            State::Done | State::UntilEnd => Ok(()),
            _ => Err(MessageError::Early),
        }
    }
}

/// `HTTP/1.1 200 OK`. Go's `Response.Write` writes the version that it was given: `HTTP/0.0` in the
/// errors that pushprox-client makes up.
fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let (version, rest) = line.strip_prefix("HTTP/")?.split_once(' ')?;
    let (major, minor) = version.split_once('.')?;
    let is_digit = |text: &str| text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_digit());
    let code = rest.split(' ').next()?;
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digit(major) || !is_digit(minor) || !is_code {
        return None;
    }
    code.parse().ok().filter(|code| *code >= 100)
}

fn framing(status: u16, headers: &[(String, Vec<u8>)]) -> Result<Framing, MessageError> {
    let values = |name: &'static str| {
        let is_it = move |(found, _): &&(String, Vec<u8>)| found.eq_ignore_ascii_case(name);
        headers.iter().filter(is_it).map(|(_, value)| value)
    };
    if status < 200 || status == 204 || status == 304 {
        return Ok(Framing::Length(0));
    }
    let mut encodings = values("transfer-encoding");
    let mut lengths = values("content-length");
    match (encodings.next(), lengths.next()) {
        (None, None) => Ok(Framing::UntilEnd),
        (Some(encoding), None) if encodings.next().is_none() => {
            let is_chunked = encoding.eq_ignore_ascii_case(b"chunked");
            is_chunked
                .then_some(Framing::Chunked)
                .ok_or(MessageError::Length)
        }
        (None, Some(length)) if lengths.next().is_none() => {
            let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(length).ok().filter(|_| is_number);
            let length = text.and_then(|text| text.parse().ok());
            length.map(Framing::Length).ok_or(MessageError::Length)
        }
        _ => Err(MessageError::Length),
    }
}

/// Takes a line without its end, when it is there.
fn line(input: &mut BytesMut) -> Result<Option<BytesMut>, MessageError> {
    let window = input.get(..CHUNK_LINE_BYTES_MAX).unwrap_or(input);
    let Some(end) = memchr::memchr(b'\n', window) else {
        if input.len() >= CHUNK_LINE_BYTES_MAX {
            return Err(MessageError::Chunk);
        }
        return Ok(None);
    };
    let mut line = input.split_to(end);
    input.advance(1);
    if line.last() == Some(&b'\r') {
        line.truncate(line.len() - 1);
    }
    Ok(Some(line))
}

/// Hexadecimal digits, and perhaps an extension.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let size = line.split(|byte| *byte == b';').next()?;
    let size = std::str::from_utf8(size).ok()?.trim();
    let is_hex = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(size, 16).ok().filter(|_| is_hex)
}

#[cfg(test)]
mod tests;

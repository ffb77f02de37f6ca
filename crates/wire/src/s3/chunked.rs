//! Bodies in the chunks of `aws-chunked`: sizes, signatures of chunks, headers behind the last one.
//! Payload is given out as it comes; that the body is whole and signed is known at its end only, so
//! nothing may become of it before [`Decoder::finish`].
//!
//! Source: Amazon S3 API Reference, "Signature Calculations for the Authorization Header: Transferring
//! Payload in Multiple Chunks" and "Using trailing headers".

use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};

use super::request::{BodyForm, ChunkKey, digits, is_same, sha256_of_nothing};
use crate::sigv4::{sha256_hex, signature};

/// The longest line that says how long a chunk is.
const LINE_BYTES_MAX: usize = 1024;
/// All headers behind the last chunk.
const TRAILER_BYTES_MAX: usize = 16 << 10;
/// Digits of a size.
const SIZE_DIGITS_MAX: usize = 16;
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// Why a body is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Not chunks.
    #[error("the chunks of the body are malformed: {0}")]
    Malformed(&'static str),
    /// The signature of a chunk, or of what stands behind them.
    #[error("the signature of a chunk does not fit")]
    Mismatch,
    /// It ended too early, or went on behind its end.
    #[error("the body is not as long as its chunks say")]
    Incomplete,
}

/// Where in the body it is.
#[derive(Debug)]
enum Place {
    Size,
    Data { left: u64 },
    DataEnd,
    Trailer,
    End,
}

/// Reads the chunks of one body.
#[derive(Debug)]
pub struct Decoder {
    place: Place,
    has_trailer: bool,
    line: BytesMut,
    signing: Option<Signing>,
    /// Of the chunk that is being read.
    claimed: String,
    trailers: Vec<(String, String)>,
    trailer_bytes: usize,
    is_trailer_signed: bool,
}

struct Signing {
    key: ChunkKey,
    before: String,
    hash: digest::Context,
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signing").finish_non_exhaustive()
    }
}

impl Signing {
    fn check_chunk(&mut self, claimed: &str) -> Result<(), ChunkError> {
        let empty = digest::Context::new(&digest::SHA256);
        let hash = digits(&std::mem::replace(&mut self.hash, empty).finish());
        let nothing = sha256_of_nothing();
        self.check(
            "AWS4-HMAC-SHA256-PAYLOAD",
            &format!("{nothing}\n{hash}"),
            claimed,
        )
    }

    fn check(&mut self, kind: &str, hashes: &str, claimed: &str) -> Result<(), ChunkError> {
        let ChunkKey {
            key, date, scope, ..
        } = &self.key;
        let text = format!("{kind}\n{date}\n{scope}\n{}\n{hashes}", self.before);
        let made = signature(key, &text);
        if !is_same(&made, claimed) {
            return Err(ChunkError::Mismatch);
        }
        self.before = made;
        Ok(())
    }
}

impl Decoder {
    /// For a body of this form; nothing when it is not in chunks, or its chunks are signed and there
    /// is no key.
    pub fn new(form: &BodyForm, key: Option<ChunkKey>) -> Option<Self> {
        let (has_trailer, signing) = match form {
            BodyForm::Plain | BodyForm::Hashed(_) => return None,
            BodyForm::UnsignedChunks => (true, None),
            BodyForm::SignedChunks { has_trailer } => {
                let key = key?;
                let before = key.seed.clone();
                let hash = digest::Context::new(&digest::SHA256);
                (*has_trailer, Some(Signing { key, before, hash }))
            }
        };
        Some(Self {
            place: Place::Size,
            has_trailer,
            line: BytesMut::new(),
            signing,
            claimed: String::new(),
            trailers: Vec::new(),
            trailer_bytes: 0,
            is_trailer_signed: false,
        })
    }

    /// Takes from the front of `input` and gives the next piece of payload; nothing when all of the
    /// input is used up.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, ChunkError> {
        while !input.is_empty() {
            match self.place {
                Place::Size => {
                    if let Some(line) = self.take_line(input)? {
                        self.begin_chunk(&line)?;
                    }
                }
                Place::Data { left } => return self.take_data(input, left).map(Some),
                Place::DataEnd => {
                    if let Some(line) = self.take_line(input)? {
                        if !line.is_empty() {
                            return Err(ChunkError::Malformed("a chunk is longer than it says"));
                        }
                        self.place = Place::Size;
                    }
                }
                Place::Trailer => {
                    if let Some(line) = self.take_line(input)? {
                        self.take_trailer(&line)?;
                    }
                }
                Place::End => return Err(ChunkError::Incomplete),
            }
        }
        Ok(None)
    }

    /// The headers behind the last chunk, names in lower case, once the body has ended.
    pub fn finish(self) -> Result<Vec<(String, String)>, ChunkError> {
        // Some clients leave out the last empty line.
        let is_at_end = match self.place {
            Place::End => true,
            Place::Trailer => self.line.is_empty(),
            Place::Size | Place::Data { .. } | Place::DataEnd => false,
        };
        if !is_at_end {
            return Err(ChunkError::Incomplete);
        }
        if self.signing.is_some() && self.has_trailer && !self.is_trailer_signed {
            return Err(ChunkError::Mismatch);
        }
        Ok(self.trailers)
    }

    /// A line without its end, when it is whole.
    fn take_line(&mut self, input: &mut Bytes) -> Result<Option<String>, ChunkError> {
        let end = memchr::memchr(b'\n', input);
        let taken = end.map_or(input.len(), |end| end + 1);
        if self.line.len() + taken > LINE_BYTES_MAX {
            return Err(ChunkError::Malformed("a line is too long"));
        }
        self.line.extend_from_slice(&input.split_to(taken));
        if end.is_none() {
            return Ok(None);
        }
        let line = self.line.split();
        let line = line.trim_ascii_end();
        let text = std::str::from_utf8(line).map_err(|_| ChunkError::Malformed("not a text"))?;
        Ok(Some(text.to_owned()))
    }

    fn begin_chunk(&mut self, line: &str) -> Result<(), ChunkError> {
        let (size, extension) = line.split_once(';').unwrap_or((line, ""));
        let is_size = (1..=SIZE_DIGITS_MAX).contains(&size.len())
            && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = u64::from_str_radix(size, 16).ok().filter(|_| is_size);
        let left = size.ok_or(ChunkError::Malformed("the size of a chunk"))?;
        let claimed = extension.strip_prefix("chunk-signature=");
        claimed.unwrap_or_default().clone_into(&mut self.claimed);
        if left > 0 {
            self.place = Place::Data { left };
            return Ok(());
        }
        if let Some(signing) = &mut self.signing {
            signing.check_chunk(&self.claimed)?;
        }
        self.place = Place::Trailer;
        Ok(())
    }

    fn take_data(&mut self, input: &mut Bytes, left: u64) -> Result<Bytes, ChunkError> {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let data = input.split_to(length);
        if let Some(signing) = &mut self.signing {
            signing.hash.update(&data);
        }
        let left = left - u64::try_from(length).unwrap_or(left);
        if left > 0 {
            self.place = Place::Data { left };
            return Ok(data);
        }
        if let Some(signing) = &mut self.signing {
            signing.check_chunk(&self.claimed)?;
        }
        self.place = Place::DataEnd;
        Ok(data)
    }

    fn take_trailer(&mut self, line: &str) -> Result<(), ChunkError> {
        self.trailer_bytes += line.len() + 2;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(ChunkError::Malformed("too much behind the last chunk"));
        }
        if line.is_empty() {
            // A header may be followed by an empty line before its signature.
            let is_waiting = self.signing.is_some() && self.has_trailer && !self.is_trailer_signed;
            if !is_waiting {
                self.place = Place::End;
            }
            return Ok(());
        }
        let (name, value) = line
            .split_once(':')
            .ok_or(ChunkError::Malformed("a header behind the last chunk"))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if !self.has_trailer {
            return Err(ChunkError::Malformed("headers behind the last chunk"));
        }
        if name != TRAILER_SIGNATURE {
            self.trailers.push((name, value.to_owned()));
            return Ok(());
        }
        let lines = self.trailers.iter();
        let lines: Vec<String> = lines
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let hash = sha256_hex(lines.concat().as_bytes());
        if let Some(signing) = &mut self.signing {
            signing.check("AWS4-HMAC-SHA256-TRAILER", &hash, value)?;
            self.is_trailer_signed = true;
        }
        Ok(())
    }
}

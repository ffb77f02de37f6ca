//! Answers of the kind `STREAMED_XOR_CHUNKS`: frames of a length, a checksum and a message with one
//! series, of which a long one takes several.

use crate::histogram::Histogram;
use crate::protobuf::{Malformed, Reader, Writer};
use crate::tsdb::chunk::{self, Sample};
use crate::tsdb::encode;

use super::{CHUNKS, SAMPLES};

/// The media type of such an answer.
pub const STREAMED_MEDIA_TYPE: &str =
    "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
/// Bytes of chunks from which on a series goes on in another frame; readers refuse frames of 50 MB.
const FRAME_BYTES: usize = 1 << 20;

/// Whether a request would rather have chunks: kinds are named in the order in which they are liked.
pub fn prefers_chunks(message: &[u8]) -> Result<bool, Malformed> {
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        if field.number != 2 {
            continue;
        }
        for kind in field.varints()? {
            match kind? {
                CHUNKS => return Ok(true),
                SAMPLES => return Ok(false),
                _ => {}
            }
        }
    }
    Ok(false)
}

/// A chunk of samples.
#[derive(Debug)]
struct Chunk {
    first: i64,
    last: i64,
    encoding: u8,
    data: Vec<u8>,
}

/// Gathers the samples of a series, in the order of their times.
#[derive(Debug, Default)]
pub struct SeriesChunks {
    chunks: Vec<Chunk>,
    /// Numbers that are in no chunk yet.
    floats: Vec<(i64, f64)>,
}

impl SeriesChunks {
    /// Adds a number.
    pub fn float(&mut self, time: i64, value: f64) {
        self.floats.push((time, value));
        if self.floats.len() >= encode::SAMPLES_MAX {
            self.cut();
        }
    }

    /// Adds a histogram.
    pub fn histogram(&mut self, time: i64, histogram: &Histogram) {
        self.cut();
        self.chunks.push(Chunk {
            first: time,
            last: time,
            encoding: encode::HISTOGRAM,
            data: encode::histogram(time, histogram),
        });
    }

    fn cut(&mut self) {
        if let (Some((first, _)), Some((last, _))) = (self.floats.first(), self.floats.last()) {
            self.chunks.push(Chunk {
                first: *first,
                last: *last,
                encoding: encode::FLOATS,
                data: encode::floats(&self.floats),
            });
            self.floats.clear();
        }
    }

    /// Appends the frames of the series, the result of the query of this number, and is empty again.
    pub fn frames<'l>(
        &mut self,
        out: &mut Vec<u8>,
        query: usize,
        labels: &(impl Iterator<Item = (&'l [u8], &'l [u8])> + Clone),
    ) {
        self.cut();
        let mut chunks = self.chunks.drain(..).peekable();
        while chunks.peek().is_some() {
            let mut message = Writer::default();
            message.message(1, |series| {
                for (name, value) in labels.clone() {
                    series.message(1, |label| {
                        label.bytes(1, name);
                        label.bytes(2, value);
                    });
                }
                let mut bytes = 0;
                while bytes < FRAME_BYTES
                    && let Some(chunk) = chunks.next()
                {
                    bytes += chunk.data.len();
                    series.message(2, |out| {
                        out.signed(1, chunk.first);
                        out.signed(2, chunk.last);
                        out.unsigned(3, u64::from(chunk.encoding));
                        out.bytes(4, &chunk.data);
                    });
                }
            });
            message.unsigned(2, query as u64);
            frame(out, &message.finish());
        }
    }
}

fn frame(out: &mut Vec<u8>, message: &[u8]) {
    let mut length = Writer::default();
    length.varint(message.len() as u64);
    out.extend(length.finish());
    out.extend(crc32c::crc32c(message).to_be_bytes());
    out.extend(message);
}

/// A series in a frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StreamedSeries<'a> {
    /// The number of its query.
    pub query: u64,
    /// Names and values.
    pub labels: Vec<(&'a str, &'a str)>,
    /// By their times in milliseconds since 1970.
    pub samples: Vec<(i64, Sample)>,
}

/// Reads the frames of an answer.
///
/// # Errors
/// A frame is cut off, is not what its checksum says, or makes no sense.
pub fn read(mut body: &[u8]) -> Result<Vec<StreamedSeries<'_>>, Malformed> {
    let mut found = Vec::new();
    while !body.is_empty() {
        let (message, rest) = unframed(body).ok_or(Malformed::Meaning("a frame is cut off"))?;
        body = rest;
        let mut series = StreamedSeries::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field.number {
                1 => series.read(field.bytes()?)?,
                2 => series.query = field.unsigned()?,
                _ => {}
            }
        }
        found.push(series);
    }
    Ok(found)
}

/// The message of the first frame, if it is whole, and what follows.
fn unframed(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (place, byte) in body.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let (checksum, rest) = body.get(place + 1..)?.split_first_chunk::<4>()?;
            let (message, rest) = rest.split_at_checked(length)?;
            let is_right = u32::from_be_bytes(*checksum) == crc32c::crc32c(message);
            return is_right.then_some((message, rest));
        }
    }
    None
}

impl<'a> StreamedSeries<'a> {
    fn read(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field.number {
                1 => {
                    let (mut name, mut value) = ("", "");
                    let mut label = Reader::new(field.bytes()?);
                    while let Some(field) = label.field()? {
                        match field.number {
                            1 => name = field.text()?,
                            2 => value = field.text()?,
                            _ => {}
                        }
                    }
                    self.labels.push((name, value));
                }
                2 => self.chunk(field.bytes()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn chunk(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let (mut encoding, mut data) = (0, &[][..]);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field.number {
                3 => encoding = field.unsigned()?,
                4 => data = field.bytes()?,
                _ => {}
            }
        }
        let encoding = u8::try_from(encoding).unwrap_or(u8::MAX);
        let see = &mut |time, sample| self.samples.push((time, sample));
        let read = chunk::read_data(encoding, data, see);
        read.map_err(|_| Malformed::Meaning("a chunk of samples"))
    }
}

#[cfg(test)]
mod tests;

//! What the log says: descriptions of series, samples, and what else has to be there after a
//! restart.

use crate::bytes::{Reader, put_bytes, put_signed, put_varint, unzigzag, zigzag};
use crate::extra::{Exemplar, Metadata};
use crate::histogram::{self, Histogram};
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::number;
use crate::tombstone;

const SERIES: u8 = 1;
const FLOATS: u8 = 2;
const STARTED_FLOATS: u8 = 3;
const HISTOGRAM: u8 = 4;
const DELETE: u8 = 5;
const EXEMPLAR: u8 = 6;
const METADATA: u8 = 7;
const CLOSED: u8 = 8;

/// Who reads records. Ids are those of the file that the record stands in.
pub(crate) trait Visitor {
    /// What comes stands in another file, which describes its series anew.
    fn begin_file(&mut self) {}
    /// From here on `id` means this series.
    fn series(&mut self, id: u32, labels: Labels);
    /// A sample; `start` is 0 when none was given.
    fn float(&mut self, id: u32, time: i64, value: f64, start: i64);
    /// A sample that is a histogram.
    fn histogram(&mut self, id: u32, time: i64, start: i64, value: Histogram);
    /// Samples from `start` to `end` of what matches are gone.
    fn delete(&mut self, matchers: &[Matcher], start: i64, end: i64);
    /// An exemplar.
    fn exemplar(&mut self, exemplar: Exemplar);
    /// What is known of a metric.
    fn metadata(&mut self, metric: &str, metadata: Metadata);
    /// The process ended in order.
    fn closed(&mut self);
}

/// Gathers the records of one batch. Descriptions of series stand before all samples.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    out: Vec<u8>,
    plain: Floats,
    started: Floats,
    /// Of the latest sample.
    pub(crate) latest: Option<i64>,
    /// Bytes of `out` that describe series.
    pub(crate) description_bytes: usize,
}

/// Samples with distances to the one before: most are the next series at the same time.
#[derive(Debug, Default)]
struct Floats {
    bytes: Vec<u8>,
    count: u64,
    id: u32,
    time: i64,
}

impl Floats {
    fn put(&mut self, id: u32, time: i64) {
        let distance = i64::from(id) - i64::from(self.id) - 1;
        let is_same_time = time == self.time;
        put_varint(
            &mut self.bytes,
            zigzag(distance) << 1 | u64::from(is_same_time),
        );
        if !is_same_time {
            put_signed(&mut self.bytes, time.wrapping_sub(self.time));
        }
        self.id = id;
        self.time = time;
        self.count += 1;
    }

    fn finish(&mut self, kind: u8, out: &mut Vec<u8>) {
        if self.count > 0 {
            out.push(kind);
            put_varint(out, self.count);
            out.extend_from_slice(&self.bytes);
        }
    }
}

impl Encoder {
    /// Bytes so far.
    pub(crate) fn length(&self) -> usize {
        self.out.len() + self.plain.bytes.len() + self.started.bytes.len()
    }

    pub(crate) fn series(&mut self, id: u32, labels: &Labels) {
        let before = self.out.len();
        self.out.push(SERIES);
        put_varint(&mut self.out, u64::from(id));
        put_bytes(&mut self.out, labels.as_bytes());
        self.description_bytes += self.out.len() - before;
    }

    pub(crate) fn float(&mut self, id: u32, time: i64, value: f64, start: i64) {
        self.latest = self.latest.max(Some(time));
        if start == 0 {
            self.plain.put(id, time);
            number::put(&mut self.plain.bytes, value);
        } else {
            self.started.put(id, time);
            put_signed(&mut self.started.bytes, start.wrapping_sub(time));
            number::put(&mut self.started.bytes, value);
        }
    }

    pub(crate) fn histogram(&mut self, id: u32, time: i64, start: i64, value: &Histogram) {
        self.latest = self.latest.max(Some(time));
        self.out.push(HISTOGRAM);
        put_varint(&mut self.out, u64::from(id));
        put_signed(&mut self.out, time);
        put_signed(&mut self.out, start);
        histogram::put(&mut self.out, value);
    }

    pub(crate) fn delete(&mut self, matchers: &[Matcher], start: i64, end: i64) {
        self.out.push(DELETE);
        put_signed(&mut self.out, start);
        put_signed(&mut self.out, end);
        tombstone::put_matchers(&mut self.out, matchers);
    }

    pub(crate) fn exemplar(&mut self, exemplar: &Exemplar) {
        self.out.push(EXEMPLAR);
        exemplar.put(&mut self.out);
    }

    pub(crate) fn metadata(&mut self, metric: &str, metadata: &Metadata) {
        self.out.push(METADATA);
        put_bytes(&mut self.out, metric.as_bytes());
        metadata.put(&mut self.out);
    }

    pub(crate) fn closed(&mut self) {
        self.out.push(CLOSED);
    }

    /// The records, in the order in which they have to be read.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.plain.finish(FLOATS, &mut self.out);
        self.started.finish(STARTED_FLOATS, &mut self.out);
        self.out
    }
}

/// Reads records one by one; `None` when they make no sense.
pub(crate) fn read(bytes: &[u8], visitor: &mut impl Visitor) -> Option<()> {
    let mut from = Reader::new(bytes);
    while !from.is_empty() {
        match from.byte()? {
            SERIES => {
                let id = from.small()?;
                visitor.series(id, Labels::read(&mut from)?);
            }
            kind @ (FLOATS | STARTED_FLOATS) => {
                read_floats(&mut from, kind == STARTED_FLOATS, visitor)?;
            }
            HISTOGRAM => {
                let (id, time, start) = (from.small()?, from.signed()?, from.signed()?);
                visitor.histogram(id, time, start, histogram::read(&mut from)?);
            }
            DELETE => {
                let (start, end) = (from.signed()?, from.signed()?);
                visitor.delete(&tombstone::read_matchers(&mut from)?, start, end);
            }
            EXEMPLAR => visitor.exemplar(Exemplar::read(&mut from)?),
            METADATA => {
                let metric = from.text()?;
                visitor.metadata(metric, Metadata::read(&mut from)?);
            }
            CLOSED => visitor.closed(),
            _ => return None,
        }
    }
    Some(())
}

fn read_floats(from: &mut Reader<'_>, is_started: bool, visitor: &mut impl Visitor) -> Option<()> {
    let count = from.varint()?;
    let (mut id, mut time) = (0_i64, 0_i64);
    for _ in 0..count {
        let head = from.varint()?;
        id = id.checked_add(unzigzag(head >> 1))?.checked_add(1)?;
        if head & 1 == 0 {
            time = time.wrapping_add(from.signed()?);
        }
        let start = if is_started {
            time.wrapping_add(from.signed()?)
        } else {
            0
        };
        visitor.float(u32::try_from(id).ok()?, time, number::read(from)?, start);
    }
    Some(())
}

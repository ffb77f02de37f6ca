//! Samples of one series in memory, in the order of their times: distances of distances of times
//! and XOR of values, as in Facebook's Gorilla (VLDB 2015, section 4.1). When a chunk is closed, its
//! values can become a block of decimals, which is smaller for most counters.

use std::sync::Arc;

use crate::block::{self, Scratch};

/// Samples of a chunk.
pub(crate) const CHUNK_SAMPLES_MAX: u16 = 256;

/// Bits of a distance of distances after `10`, `110` and `1110`; after `1111` come all 64.
const TIME_BITS: [u32; 3] = [7, 13, 20];

/// Bits that a filled [`BitReader`] has at least.
const FILLED_BITS: u32 = 56;

/// A chunk that grows.
#[derive(Debug, Default)]
pub(crate) struct OpenChunk {
    bits: BitWriter,
    count: u16,
    first: i64,
    last: i64,
    step: i64,
    value: u64,
    leading: u8,
    length: u8,
    /// Places from which on a start time holds; none is 0.
    starts: Vec<(u16, i64)>,
}

/// A chunk that does not change any more; clones share the bytes.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    /// Times and values by turns, or the times first.
    bytes: Arc<[u8]>,
    form: Form,
    pub(crate) count: u16,
    pub(crate) first: i64,
    pub(crate) last: i64,
    starts: Option<Arc<[(u16, i64)]>>,
}

/// How a chunk is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it grew.
    Grown,
    /// As it grew, because a block would not be smaller.
    Kept,
    /// Times, and a block of values from this byte on.
    Block(u16),
}

/// Samples side by side; `starts` is as long as the others, or empty when all are 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    /// Milliseconds since 1970.
    pub times: Vec<i64>,
    /// What was measured.
    pub values: Vec<f64>,
    /// When the counter began, in milliseconds since 1970.
    pub starts: Vec<i64>,
}

impl Columns {
    /// Adds a sample at the end.
    pub(crate) fn push(&mut self, time: i64, value: f64, start: i64) {
        if start != 0 && self.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
        }
        if start != 0 || !self.starts.is_empty() {
            self.starts.push(start);
        }
        self.times.push(time);
        self.values.push(value);
    }

    pub(crate) fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.starts.clear();
    }

    /// The start time of a sample; 0 is none.
    pub fn start(&self, at: usize) -> i64 {
        self.starts.get(at).copied().unwrap_or(0)
    }

    /// Times, values and starts.
    pub fn iter(&self) -> impl Iterator<Item = (i64, f64, i64)> {
        let samples = self.times.iter().zip(&self.values).enumerate();
        samples.map(|(at, (time, value))| (*time, *value, self.start(at)))
    }
}

impl OpenChunk {
    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    pub(crate) fn first(&self) -> i64 {
        self.first
    }

    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// Bytes on the heap.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bits.bytes.capacity() + self.starts.capacity() * size_of::<(u16, i64)>()
    }

    /// Makes room for so many samples like those before.
    pub(crate) fn expect(&mut self, samples: usize) {
        let bytes = &mut self.bits.bytes;
        let each = bytes.len() / usize::from(self.count.max(1)) + 1;
        let left = usize::from(CHUNK_SAMPLES_MAX - self.count);
        let more = each * samples.min(left) + 8;
        if bytes.len() + more > bytes.capacity() {
            // Many come in a row: twice the room, and no more than a full chunk takes.
            bytes.reserve_exact(bytes.len().min(each * left + 8).max(more));
        }
    }

    /// Adds a sample that is later than all before.
    pub(crate) fn push(&mut self, time: i64, value: f64, start: i64) {
        let bits = value.to_bits();
        if self.count == 0 {
            self.first = time;
            self.bits.put(time.cast_unsigned(), 64);
            self.bits.put(bits, 64);
            // No window of bits to use again yet.
            self.length = 0;
        } else {
            let step = time.wrapping_sub(self.last);
            let change = step.wrapping_sub(self.step);
            self.step = step;
            // An unchanged step is one bit, 0, which goes along with those of the value.
            if change != 0 {
                put_time(&mut self.bits, change);
            }
            self.put_value(bits ^ self.value, u32::from(change == 0));
        }
        if start != self.start() {
            self.starts.push((self.count, start));
        }
        self.count += 1;
        self.last = time;
        self.value = bits;
    }

    fn start(&self) -> i64 {
        self.starts.last().map_or(0, |(_, start)| *start)
    }

    /// Adds what has changed of a value, after so many bits that are 0.
    fn put_value(&mut self, change: u64, zeros: u32) {
        if change == 0 {
            self.bits.put(0, zeros + 1);
            return;
        }
        let leading = small(change.leading_zeros()).min(31);
        let trailing = small(change.trailing_zeros());
        let end = self.leading + self.length;
        if self.length > 0 && leading >= self.leading && 64 - trailing <= end {
            let length = u32::from(self.length);
            let changed = change >> (64 - end);
            if length < 62 {
                self.bits.put(0b10 << length | changed, zeros + 2 + length);
                return;
            }
            self.bits.put(0b10, zeros + 2);
            self.bits.put(changed, length);
        } else {
            self.leading = leading;
            self.length = 64 - leading - trailing;
            let window = u64::from(leading) << 6 | u64::from(self.length - 1);
            self.bits.put(0b11 << 11 | window, zeros + 13);
            self.bits.put(change >> trailing, u32::from(self.length));
        }
    }

    /// The chunk as it is, in memory of its own.
    pub(crate) fn copy(&self) -> Chunk {
        Chunk {
            bytes: self.bits.to_bytes().into(),
            form: Form::Grown,
            count: self.count,
            first: self.first,
            last: self.last,
            starts: (!self.starts.is_empty()).then(|| self.starts.as_slice().into()),
        }
    }

    /// Ends the chunk and begins an empty one.
    pub(crate) fn close(&mut self) -> Chunk {
        let chunk = self.copy();
        *self = Self::default();
        chunk
    }
}

fn put_time(bits: &mut BitWriter, change: i64) {
    if change == 0 {
        bits.put(0, 1);
        return;
    }
    let zigzag = crate::bytes::zigzag(change);
    for (ones, width) in (1_u32..).zip(TIME_BITS) {
        if zigzag < 1 << width {
            let head = (1_u64 << (ones + 1)) - 2;
            bits.put(head, ones + 1);
            bits.put(zigzag, width);
            return;
        }
    }
    bits.put(0b1111, 4);
    bits.put(zigzag, 64);
}

fn small(bits: u32) -> u8 {
    u8::try_from(bits).unwrap_or(64)
}

impl Chunk {
    /// Bytes on the heap.
    pub(crate) fn memory_bytes(&self) -> usize {
        let starts = self.starts.as_ref().map_or(0, |starts| starts.len());
        self.bytes.len() + 16 + starts * size_of::<(u16, i64)>()
    }

    /// Whether [`Chunk::pack`] could make it smaller.
    pub(crate) fn is_loose(&self) -> bool {
        self.form == Form::Grown
    }

    /// Writes the values as a block, if that is smaller. It costs as much as adding the samples
    /// did, and is left to upkeep.
    pub(crate) fn pack(&mut self) {
        match self.packed() {
            Some(packed) => *self = packed,
            None => self.form = Form::Kept,
        }
    }

    fn packed(&self) -> Option<Self> {
        let mut samples = Columns::default();
        self.read(&mut samples);
        let values = block::write_small(&samples.values)?;
        let mut bits = BitWriter::default();
        let (mut before, mut step) = (self.first, 0_i64);
        for time in samples.times.iter().skip(1) {
            let next = time.wrapping_sub(before);
            put_time(&mut bits, next.wrapping_sub(step));
            (before, step) = (*time, next);
        }
        let mut bytes = bits.to_bytes();
        let block = u16::try_from(bytes.len()).ok()?;
        bytes.extend_from_slice(&values);
        let is_smaller = bytes.len() < self.bytes.len();
        is_smaller.then(|| Self {
            bytes: bytes.into(),
            form: Form::Block(block),
            ..self.clone()
        })
    }

    fn read_block(&self, block: u16, out: &mut Columns) {
        let (times, values) = self
            .bytes
            .split_at_checked(usize::from(block))
            .unwrap_or_default();
        let mut bits = BitReader::new(times);
        let (mut time, mut step) = (self.first, 0_i64);
        for at in 0..self.count {
            if at > 0 {
                step = step.wrapping_add(read_time(&mut bits));
                time = time.wrapping_add(step);
            }
            out.times.push(time);
        }
        let read = block::read_values(
            values,
            usize::from(self.count),
            &mut Scratch::default(),
            &mut out.values,
        );
        debug_assert!(read.is_some(), "it was written by this process");
    }

    /// Appends the samples to `out`.
    pub(crate) fn read(&self, out: &mut Columns) {
        let before = out.times.len();
        match self.form {
            Form::Block(block) => self.read_block(block, out),
            Form::Grown | Form::Kept => self.read_bits(out),
        }
        self.read_starts(before, out);
    }

    fn read_bits(&self, out: &mut Columns) {
        let before = out.times.len();
        let end = before + usize::from(self.count);
        out.times.resize(end, 0);
        out.values.resize(end, 0.0);
        let times = out.times.get_mut(before..).unwrap_or_default();
        let values = out.values.get_mut(before..).unwrap_or_default();
        let mut bits = BitReader::new(&self.bytes);
        let mut time = bits.take(64).cast_signed();
        let mut value = bits.take(64);
        let (mut step, mut leading, mut length) = (0_i64, 0_u32, 0_u32);
        for (at, (time_here, value_here)) in times.iter_mut().zip(values).enumerate() {
            if at > 0 {
                step = step.wrapping_add(read_time(&mut bits));
                time = time.wrapping_add(step);
                if bits.bit() {
                    if bits.bit() {
                        let window = bit_count(bits.take(11));
                        (leading, length) = (window >> 6, (window & 63) + 1);
                    }
                    let shift = 64_u32.saturating_sub(leading + length);
                    value ^= bits.take(length.max(1)) << shift;
                }
            }
            *time_here = time;
            *value_here = f64::from_bits(value);
        }
    }

    fn read_starts(&self, before: usize, out: &mut Columns) {
        if self.starts.is_none() && out.starts.is_empty() {
            return;
        }
        out.starts.resize(before, 0);
        let changes = self.starts.as_deref().unwrap_or_default();
        let mut start = 0;
        let mut rest = changes.iter().peekable();
        for at in 0..self.count {
            if let Some((_, next)) = rest.next_if(|(from, _)| *from == at) {
                start = *next;
            }
            out.starts.push(start);
        }
    }
}

fn bit_count(bits: u64) -> u32 {
    u32::try_from(bits).unwrap_or(0)
}

#[inline]
fn read_time(bits: &mut BitReader<'_>) -> i64 {
    if bits.bit() { read_step(bits) } else { 0 }
}

/// How much the distance of times has changed, after the bit that says that it has.
fn read_step(bits: &mut BitReader<'_>) -> i64 {
    for width in TIME_BITS {
        if !bits.bit() {
            return crate::bytes::unzigzag(bits.take(width));
        }
    }
    crate::bytes::unzigzag(bits.take(64))
}

#[derive(Debug, Default)]
struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that are not in `bytes` yet, from the highest on.
    waiting: u64,
    /// How many of them there are.
    used: u8,
}

impl BitWriter {
    /// Appends the lowest `count` bits, highest first; at least one.
    fn put(&mut self, value: u64, count: u32) {
        let value = value.checked_shl(64 - count).unwrap_or(0);
        self.waiting |= value >> self.used;
        let total = u32::from(self.used) + count;
        if total < 64 {
            self.used = small(total);
            return;
        }
        self.grow();
        self.bytes.extend_from_slice(&self.waiting.to_be_bytes());
        let left = total - 64;
        // What did not fit is the end of the value.
        self.waiting = value.checked_shl(count - left).unwrap_or(0);
        self.used = small(left);
    }

    /// Room grows by a quarter, because there are as many of these as series.
    fn grow(&mut self) {
        if self.bytes.len() + 8 > self.bytes.capacity() {
            self.bytes.reserve_exact((self.bytes.len() / 4).max(24));
        }
    }

    /// All bits, in whole bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let waiting = self.waiting.to_be_bytes();
        let count = usize::from(self.used).div_ceil(8);
        let mut bytes = Vec::with_capacity(self.bytes.len() + count);
        bytes.extend_from_slice(&self.bytes);
        bytes.extend_from_slice(waiting.get(..count).unwrap_or_default());
        bytes
    }
}

/// Reads bits; zeros after the end.
struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits that were read already stand highest and are shifted out.
    window: u64,
    have: u32,
}

impl<'a> BitReader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            window: 0,
            have: 0,
        }
    }

    /// The next bit.
    #[inline]
    fn bit(&mut self) -> bool {
        if self.have == 0 {
            self.fill();
        }
        let is_set = self.window.cast_signed() < 0;
        self.window <<= 1;
        self.have = self.have.saturating_sub(1);
        is_set
    }

    /// The next bits; from 1 to 64 of them.
    #[inline]
    fn take(&mut self, count: u32) -> u64 {
        if count > FILLED_BITS {
            return self.take_many(count);
        }
        if self.have < count {
            self.fill();
        }
        let taken = self.window.wrapping_shr(64 - count);
        self.window = self.window.wrapping_shl(count);
        self.have = self.have.saturating_sub(count);
        taken
    }

    fn take_many(&mut self, count: u32) -> u64 {
        let high = self.take(count - 32);
        high << 32 | self.take(32)
    }

    /// Afterwards there are at least [`FILLED_BITS`], unless the bytes end.
    #[inline]
    fn fill(&mut self) {
        if let Some(next) = self.bytes.first_chunk::<8>() {
            // What does not fit is read once more the next time.
            self.window |= u64::from_be_bytes(*next) >> self.have;
            let whole = (63 - self.have) / 8;
            self.bytes = self.bytes.get(whole as usize..).unwrap_or_default();
            self.have += whole * 8;
            return;
        }
        while self.have <= FILLED_BITS {
            let Some((next, rest)) = self.bytes.split_first() else {
                return;
            };
            self.window |= u64::from(*next) << (FILLED_BITS - self.have);
            self.have += 8;
            self.bytes = rest;
        }
    }
}

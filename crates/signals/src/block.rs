//! Blocks of values and of times for segments: each is the smallest of several forms, and comes
//! back bit by bit.

use pco::ChunkConfig;
use pco::DecompressorScratch;
use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};

use crate::bytes::{Reader, put_signed, put_varint, unzigzag, zigzag};
use crate::number;

/// Values of a block. Longer ones compress hardly better and cost more for a short query.
pub(crate) const BLOCK_VALUES_MAX: usize = 5_760;
/// What a reader accepts, so that damage cannot ask for any amount of memory.
const READ_VALUES_MAX: usize = 1 << 20;

/// Values below which the tables of pcodec cost more than they save.
const PCO_VALUES_MIN: usize = 24;
/// A block is no decimal block when more than one value in so many is an exception.
const EXCEPTION_SHARE: usize = 8;
/// Decimal places for which a block is tried.
const PLACES_TRIED: [usize; 6] = [0, 1, 2, 3, 4, 6];
/// Values that are looked at to find the decimal places.
const SAMPLE: usize = 64;

/// Values of a run, on average, from which on runs are the quick form.
const RUN_LENGTH_MIN: usize = 4;

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// For what is written every two hours and read again soon.
    Flush,
    /// For what stays.
    Compact,
}

impl Effort {
    fn level(self) -> usize {
        match self {
            Self::Flush => 4,
            Self::Compact => 8,
        }
    }
}

const RAW: u8 = 0;
const RUNS: u8 = 1;
const PCO: u8 = 2;
const DECIMAL_PCO: u8 = 3;
const DECIMAL_DELTAS: u8 = 4;
const REGULAR: u8 = 5;
const STEPS: u8 = 6;

/// The values as a block. The result can be read by [`read_values`] given their count.
pub(crate) fn write_values(values: &[f64], effort: Effort) -> Vec<u8> {
    let runs = write_runs(values);
    // Nothing below can be smaller than a few bytes.
    if runs.len() <= 12 {
        return runs;
    }
    let mut forms = vec![runs];
    let decimals = Decimals::of(values);
    forms.extend(decimals.as_ref().map(Decimals::with_deltas));
    if values.len() >= PCO_VALUES_MIN {
        forms.extend(decimals.and_then(|decimals| decimals.with_pco(effort)));
        forms.extend(write_pco(PCO, values, effort));
    }
    forms.push(write_raw(values));
    forms.sort_by_key(Vec::len);
    let mut back = Vec::with_capacity(values.len());
    let mut scratch = Scratch::default();
    for form in forms {
        back.clear();
        if read_values(&form, values.len(), &mut scratch, &mut back).is_some()
            && is_same(values, &back)
        {
            return form;
        }
    }
    write_raw(values)
}

/// The values as a block that is written and read quickly, for memory: equal values in a row, or
/// distances of decimals. `None` if they are neither.
pub(crate) fn write_small(values: &[f64]) -> Option<Vec<u8>> {
    let runs = values.chunk_by(|left, right| left.to_bits() == right.to_bits());
    if runs.count() * RUN_LENGTH_MIN <= values.len() {
        return Some(write_runs(values));
    }
    let decimals = Decimals::of(values)?;
    let out = decimals.with_deltas();
    let mut back = Vec::with_capacity(values.len());
    read_values(&out, values.len(), &mut Scratch::default(), &mut back)?;
    is_same(values, &back).then_some(out)
}

fn is_same(left: &[f64], right: &[f64]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(left, right)| left.to_bits() == right.to_bits())
}

/// Memory for reading blocks: who keeps it for the next one spares that block's reader to ask for some.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pco: Option<DecompressorScratch>,
    padded: Vec<u8>,
}

/// pcodec reads ahead by up to 4.6 KB, and makes a copy of what has less behind it, several times for
/// each block. Short blocks are copied once instead.
const PADDING: usize = 5 << 10;
const PADDED_BYTES_MAX: usize = 4 << 10;

impl Scratch {
    /// The bytes with something behind them, and the memory of pcodec.
    fn of<'a>(&'a mut self, body: &'a [u8]) -> (&'a [u8], &'a mut DecompressorScratch) {
        let pco = self.pco.get_or_insert_default();
        if body.len() > PADDED_BYTES_MAX {
            return (body, pco);
        }
        self.padded.resize(PADDED_BYTES_MAX + PADDING, 0);
        for (to, from) in self.padded.iter_mut().zip(body) {
            *to = *from;
        }
        let padded = self.padded.get(..body.len() + PADDING);
        (padded.unwrap_or(body), pco)
    }
}

/// Appends the values of a block to `out`.
pub(crate) fn read_values(
    block: &[u8],
    count: usize,
    scratch: &mut Scratch,
    out: &mut Vec<f64>,
) -> Option<()> {
    if count > READ_VALUES_MAX {
        return None;
    }
    let (form, body) = block.split_first()?;
    let mut body = Reader::new(body);
    match *form {
        RAW => {
            for _ in 0..count {
                out.push(body.double()?);
            }
        }
        RUNS => read_runs(&mut body, count, out)?,
        PCO => read_pco(body.rest(), count, scratch, out)?,
        DECIMAL_PCO | DECIMAL_DELTAS => read_decimal((*form, body), count, scratch, out)?,
        _ => return None,
    }
    Some(())
}

/// The times of a column as a block, to be read by [`read_times`] given their count.
pub(crate) fn write_times(times: &[i64], effort: Effort) -> Vec<u8> {
    let steps = write_steps(times);
    if steps.len() <= 16 || times.len() < PCO_VALUES_MIN {
        return steps;
    }
    let mut forms = vec![steps];
    forms.extend(write_pco(PCO, times, effort));
    forms.sort_by_key(Vec::len);
    let mut back = Vec::with_capacity(times.len());
    for form in forms {
        back.clear();
        if read_times(&form, times.len(), &mut back).is_some() && times == back {
            return form;
        }
    }
    write_steps(times)
}

/// Appends the times of a block to `out`.
pub(crate) fn read_times(block: &[u8], count: usize, out: &mut Vec<i64>) -> Option<()> {
    if count > READ_VALUES_MAX {
        return None;
    }
    let (form, body) = block.split_first()?;
    let mut body = Reader::new(body);
    match *form {
        REGULAR | STEPS => read_steps(*form, &mut body, count, out),
        PCO => read_pco(body.rest(), count, &mut Scratch::default(), out),
        _ => None,
    }
}

fn write_raw(values: &[f64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + values.len() * 8);
    out.push(RAW);
    for value in values {
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
    out
}

fn write_runs(values: &[f64]) -> Vec<u8> {
    let mut out = vec![RUNS];
    for run in values.chunk_by(|left, right| left.to_bits() == right.to_bits()) {
        if let Some(value) = run.first() {
            number::put(&mut out, *value);
            put_varint(&mut out, run.len() as u64);
        }
    }
    out
}

fn read_runs(from: &mut Reader<'_>, count: usize, out: &mut Vec<f64>) -> Option<()> {
    let end = out.len() + count;
    while out.len() < end {
        let value = number::read(from)?;
        let run = from.length()?;
        if run == 0 || run > end - out.len() {
            return None;
        }
        out.resize(out.len() + run, value);
    }
    Some(())
}

fn write_pco<T: Number>(form: u8, values: &[T], effort: Effort) -> Option<Vec<u8>> {
    let config = ChunkConfig::default().with_compression_level(effort.level());
    let file = FileCompressor::default();
    let out = file.write_header(vec![form]).ok()?;
    let mut chunk = file.chunk_compressor(values, &config).ok()?;
    let out = chunk.write_meta(out).ok()?;
    chunk.write_page(0, out).ok()
}

fn read_pco<T: Number + Default>(
    body: &[u8],
    count: usize,
    scratch: &mut Scratch,
    out: &mut Vec<T>,
) -> Option<()> {
    let (padded, scratch) = scratch.of(body);
    let (file, rest) = FileDecompressor::new(padded).ok()?;
    let (chunk, rest) = file.chunk_decompressor::<T, _>(rest).ok()?;
    let page = chunk.page_decompressor_with_scratch(rest, count, scratch);
    let mut page = page.ok()?;
    let before = out.len();
    out.resize(before + count, T::default());
    let progress = page.read(out.get_mut(before..)?).ok()?;
    // What stands behind the block is not part of it.
    let is_within = padded.len() - page.into_src().len() <= body.len();
    (progress.finished && progress.n_processed == count && is_within).then_some(())
}

/// Values as integers: places, exceptions with their place, and the integers.
struct Decimals {
    head: Vec<u8>,
    whole: Vec<i64>,
}

impl Decimals {
    /// `None` if too many of the values are no decimals.
    fn of(values: &[f64]) -> Option<Self> {
        let places = decimal_places(values)?;
        let mut whole = Vec::with_capacity(values.len());
        let mut exceptions = Vec::new();
        let mut exception_count = 0_usize;
        let mut last = 0;
        let mut gap = 0_u64;
        for value in values {
            if let Some(integer) = number::as_integer(*value, places) {
                last = integer;
                gap += 1;
            } else {
                put_varint(&mut exceptions, gap);
                number::put(&mut exceptions, *value);
                exception_count += 1;
                gap = 0;
            }
            whole.push(last);
        }
        if exception_count * EXCEPTION_SHARE > values.len() {
            return None;
        }
        let mut head = Vec::new();
        put_varint(&mut head, places as u64);
        put_varint(&mut head, exception_count as u64);
        head.extend_from_slice(&exceptions);
        Some(Self { head, whole })
    }

    /// The first integer and the distances.
    fn with_deltas(&self) -> Vec<u8> {
        let mut out = vec![DECIMAL_DELTAS];
        out.extend_from_slice(&self.head);
        let mut before = 0_i64;
        for integer in &self.whole {
            put_signed(&mut out, integer.wrapping_sub(before));
            before = *integer;
        }
        out
    }

    fn with_pco(&self, effort: Effort) -> Option<Vec<u8>> {
        let mut packed = write_pco(DECIMAL_PCO, &self.whole, effort)?;
        packed.splice(1..1, self.head.iter().copied());
        Some(packed)
    }
}

/// The fewest decimal places with which most values come back; `None` when there are none.
fn decimal_places(values: &[f64]) -> Option<usize> {
    let step = (values.len() / SAMPLE).max(1);
    let mut best = None;
    for places in PLACES_TRIED {
        let tried = values.iter().step_by(step);
        let (mut fits, mut all) = (0, 0);
        for value in tried {
            all += 1;
            fits += usize::from(number::as_integer(*value, places).is_some());
        }
        if fits == all {
            return Some(places);
        }
        if (all - fits) * EXCEPTION_SHARE <= all {
            best = best
                .filter(|(most, _)| *most >= fits)
                .or(Some((fits, places)));
        }
    }
    best.map(|(_, places)| places)
}

fn read_decimal(
    (form, mut body): (u8, Reader<'_>),
    count: usize,
    scratch: &mut Scratch,
    out: &mut Vec<f64>,
) -> Option<()> {
    let places = body.length()?;
    if places > number::PLACES_MAX {
        return None;
    }
    let exception_count = body.length()?;
    if exception_count > count {
        return None;
    }
    let before = out.len();
    let mut exceptions = Vec::with_capacity(exception_count);
    let mut at = before;
    for _ in 0..exception_count {
        at = at.checked_add(body.length()?)?;
        exceptions.push((at, number::read(&mut body)?));
        at += 1;
    }
    let mut whole = Vec::with_capacity(count);
    if form == DECIMAL_PCO {
        read_pco(body.rest(), count, scratch, &mut whole)?;
    } else {
        let mut last = 0_i64;
        for _ in 0..count {
            last = last.wrapping_add(body.signed()?);
            whole.push(last);
        }
    }
    // The division is what makes the double the nearest to the decimal.
    let divisor = number::as_double(1, places)?.recip().round();
    out.extend(whole.iter().map(|integer| *integer as f64 / divisor));
    for (at, value) in exceptions {
        *out.get_mut(at)? = value;
    }
    Some(())
}

/// Times at even distances are two numbers; others are distances of distances.
fn write_steps(times: &[i64]) -> Vec<u8> {
    let first = times.first().copied().unwrap_or(0);
    let second = times.get(1).copied().unwrap_or(first);
    let step = second.wrapping_sub(first);
    let mut out = Vec::new();
    let is_regular = times
        .windows(2)
        .all(|pair| matches!(pair, [left, right] if right.wrapping_sub(*left) == step));
    out.push(if is_regular { REGULAR } else { STEPS });
    put_signed(&mut out, first);
    put_signed(&mut out, step);
    if !is_regular {
        let (mut before, mut step) = (second, step);
        for time in times.iter().skip(2) {
            let next = time.wrapping_sub(before);
            put_varint(&mut out, zigzag(next.wrapping_sub(step)));
            (before, step) = (*time, next);
        }
    }
    out
}

fn read_steps(form: u8, from: &mut Reader<'_>, count: usize, out: &mut Vec<i64>) -> Option<()> {
    let mut time = from.signed()?;
    let mut step = from.signed()?;
    for at in 0..count {
        if at > 0 {
            if form == STEPS && at > 1 {
                step = step.wrapping_add(unzigzag(from.varint()?));
            }
            time = time.wrapping_add(step);
        }
        out.push(time);
    }
    Some(())
}

#[cfg(test)]
mod tests;

//! Chunks of native histograms, with whole counts and with fractions. All of a chunk have the same
//! buckets.

use super::bits::{Bits, Xor};
use super::chunk::{Clock, Sample};
use crate::histogram::{CUSTOM_BOUNDS_SCHEMA, Histogram, ResetHint, Span};

/// The staleness marker: such a sample has no buckets.
const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;
/// Spans, buckets and bounds of a histogram.
const PARTS_MAX: u64 = 1 << 16;
/// Given bounds are whole thousandths, or doubles.
const BOUND_PARTS: f64 = 1000.0;

/// What all histograms of a chunk have alike.
struct Layout {
    histogram: Histogram,
    positive: usize,
    negative: usize,
}

/// How many there are, what the first says about being counted anew, and the bits.
fn begin(data: &[u8]) -> Option<(u16, ResetHint, Bits<'_>)> {
    let (count, data) = data.split_first_chunk::<2>()?;
    let (flags, data) = data.split_first()?;
    let hint = match flags >> 6 {
        0b10 => ResetHint::Reset,
        0b01 => ResetHint::NotReset,
        0b11 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    Some((u16::from_be_bytes(*count), hint, Bits::new(data)))
}

fn layout(bits: &mut Bits<'_>, is_float: bool) -> Option<Layout> {
    let zero_threshold = match bits.read(8)? {
        0 => 0.0,
        255 => bits.double()?,
        exponent => 2_f64.powi(i32::try_from(exponent).ok()? - 244),
    };
    let schema = i32::try_from(bits.number()?).ok()?;
    let (positive_spans, positive) = spans(bits)?;
    let (negative_spans, negative) = spans(bits)?;
    let mut custom_bounds = Vec::new();
    if schema == CUSTOM_BOUNDS_SCHEMA {
        for _ in 0..parts(bits)? {
            custom_bounds.push(match bits.count()? {
                0 => bits.double()?,
                bound => (bound - 1) as f64 / BOUND_PARTS,
            });
        }
    }
    let histogram = Histogram {
        schema,
        is_float,
        zero_threshold,
        positive_spans,
        negative_spans,
        custom_bounds,
        ..Histogram::default()
    };
    Some(Layout {
        histogram,
        positive,
        negative,
    })
}

fn parts(bits: &mut Bits<'_>) -> Option<u64> {
    bits.count().filter(|count| *count <= PARTS_MAX)
}

/// Spans, and how many buckets they have.
fn spans(bits: &mut Bits<'_>) -> Option<(Vec<Span>, usize)> {
    let mut spans = Vec::new();
    let mut buckets = 0;
    for _ in 0..parts(bits)? {
        let length = u32::try_from(parts(bits)?).ok()?;
        let offset = i32::try_from(bits.number()?).ok()?;
        spans.push(Span { offset, length });
        buckets += length as usize;
    }
    let is_bounded = buckets as u64 <= PARTS_MAX;
    is_bounded.then_some((spans, buckets))
}

impl Layout {
    /// One of the chunk. That of a staleness marker has nothing but its sum.
    fn sample(
        &self,
        hint: ResetHint,
        [count, zero_count, sum]: [f64; 3],
        [positive, negative]: [Vec<f64>; 2],
    ) -> Sample {
        if sum.to_bits() == STALE_BITS {
            return Sample::Histogram(Histogram {
                is_float: self.histogram.is_float,
                sum,
                ..Histogram::default()
            });
        }
        Sample::Histogram(Histogram {
            reset_hint: hint,
            count,
            zero_count,
            sum,
            positive,
            negative,
            ..self.histogram.clone()
        })
    }
}

/// What the one of this number says: the first has the hint of the chunk.
fn hint_of(hint: ResetHint, number: u16) -> ResetHint {
    match (hint, number) {
        (ResetHint::Gauge, _) | (_, 0) => hint,
        _ => ResetHint::NotReset,
    }
}

/// Histograms with whole counts.
pub(super) fn whole(data: &[u8], see: &mut dyn FnMut(i64, Sample)) -> Option<()> {
    let (number_of, hint, mut bits) = begin(data)?;
    let bits = &mut bits;
    if number_of == 0 {
        return Some(());
    }
    let layout = layout(bits, false)?;
    let mut clock = Clock::at(bits.number()?);
    let mut count = Clock::at(bits.count()?.cast_signed());
    let mut zero_count = Clock::at(bits.count()?.cast_signed());
    let mut sum = Xor::first(bits)?;
    let mut buckets = Vec::new();
    let is_stale = |sum: Xor| sum.value().to_bits() == STALE_BITS;
    for _ in 0..layout.positive + layout.negative {
        buckets.push(Clock::at(bits.number()?));
    }
    for number in 0..number_of {
        if number > 0 {
            clock.tick(bits.number()?);
            count.tick(bits.number()?);
            zero_count.tick(bits.number()?);
            sum.next(bits)?;
            if !is_stale(sum) {
                for bucket in &mut buckets {
                    bucket.tick(bits.number()?);
                }
            }
        }
        let numbers = [
            count.time.cast_unsigned() as f64,
            zero_count.time.cast_unsigned() as f64,
            sum.value(),
        ];
        let (positive, negative) = buckets.split_at(layout.positive);
        let sides = [absolute(positive), absolute(negative)];
        see(
            clock.time,
            layout.sample(hint_of(hint, number), numbers, sides),
        );
    }
    Some(())
}

/// Each bucket is told by its difference to the one before.
fn absolute(buckets: &[Clock]) -> Vec<f64> {
    let mut sum = 0_i64;
    let sums = buckets.iter().map(|bucket| {
        sum = sum.wrapping_add(bucket.time);
        sum as f64
    });
    sums.collect()
}

/// Histograms whose counts may be fractions.
pub(super) fn fractional(data: &[u8], see: &mut dyn FnMut(i64, Sample)) -> Option<()> {
    let (number_of, hint, mut bits) = begin(data)?;
    let bits = &mut bits;
    if number_of == 0 {
        return Some(());
    }
    let layout = layout(bits, true)?;
    let mut clock = Clock::at(bits.number()?);
    let mut count = Xor::first(bits)?;
    let mut zero_count = Xor::first(bits)?;
    let mut sum = Xor::first(bits)?;
    let mut buckets = Vec::new();
    for _ in 0..layout.positive + layout.negative {
        buckets.push(Xor::first(bits)?);
    }
    for number in 0..number_of {
        if number > 0 {
            clock.tick(bits.number()?);
            count.next(bits)?;
            zero_count.next(bits)?;
            let sum = sum.next(bits)?;
            if sum.to_bits() != STALE_BITS {
                for bucket in &mut buckets {
                    bucket.next(bits)?;
                }
            }
        }
        let numbers = [count.value(), zero_count.value(), sum.value()];
        let (positive, negative) = buckets.split_at(layout.positive);
        let values = |side: &[Xor]| side.iter().map(Xor::value).collect();
        let sides = [values(positive), values(negative)];
        see(
            clock.time,
            layout.sample(hint_of(hint, number), numbers, sides),
        );
    }
    Some(())
}

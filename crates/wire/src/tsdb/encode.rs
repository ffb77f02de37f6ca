//! Chunks as Prometheus writes them, without the frame that they have in a file: numbers by what differs
//! from the one before; a native histogram as it is, by itself.

use super::bits::BitWriter;
use crate::histogram::{CUSTOM_BOUNDS_SCHEMA, Histogram, ResetHint, Span};

/// The encoding of [`floats`] in files and messages.
pub const FLOATS: u8 = 1;
/// The encoding of [`histogram`] in files and messages.
pub const HISTOGRAM: u8 = 3;
/// Samples of a chunk; Prometheus' have at most so many.
pub const SAMPLES_MAX: usize = 120;
/// Says that the zero bucket's width stands as it is.
const WIDTH_AS_IT_IS: u64 = 255;

/// A chunk of numbers by their times in milliseconds since 1970, of which there are at most
/// [`SAMPLES_MAX`]; others are left out.
pub fn floats(samples: &[(i64, f64)]) -> Vec<u8> {
    let samples = samples.get(..SAMPLES_MAX).unwrap_or(samples);
    let mut out = BitWriter::default();
    out.write(samples.len() as u64, 16);
    let (mut before, mut step) = (0_i64, 0_i64);
    let mut value = Value::default();
    for (number, (time, sample)) in samples.iter().enumerate() {
        let distance = time.wrapping_sub(before);
        match number {
            0 => out.signed_varint(*time),
            1 => out.varint(distance.cast_unsigned()),
            _ => out.time_change(distance.wrapping_sub(step)),
        }
        if number == 0 {
            value.first(&mut out, *sample);
        } else {
            step = distance;
            value.next(&mut out, *sample);
        }
        before = *time;
    }
    out.finish()
}

/// A number of which each is told by what differs from the one before.
#[derive(Debug, Default)]
struct Value {
    bits: u64,
    /// Zeros before and behind what differed last.
    zeros: Option<(u32, u32)>,
}

impl Value {
    fn first(&mut self, out: &mut BitWriter, value: f64) {
        self.bits = value.to_bits();
        out.write(self.bits, 64);
    }

    fn next(&mut self, out: &mut BitWriter, value: f64) {
        /// Five bits tell how many zeros stand before.
        const LEADING_MAX: u32 = 31;
        let changed = self.bits ^ value.to_bits();
        self.bits = value.to_bits();
        if changed == 0 {
            return out.write(0, 1);
        }
        let leading = changed.leading_zeros().min(LEADING_MAX);
        let trailing = changed.trailing_zeros();
        let fitting = self
            .zeros
            .filter(|(before, behind)| leading >= *before && trailing >= *behind);
        if let Some((before, behind)) = fitting {
            out.write(0b10, 2);
            return out.write(changed >> behind, 64 - before - behind);
        }
        self.zeros = Some((leading, trailing));
        let width = 64 - leading - trailing;
        out.write(0b11, 2);
        out.write(u64::from(leading), 5);
        // 64 does not fit into six bits, and nothing is never told.
        out.write(u64::from(width % 64), 6);
        out.write(changed >> trailing, width);
    }
}

/// A chunk of one histogram. Whole counts are told as fractions.
pub fn histogram(time: i64, histogram: &Histogram) -> Vec<u8> {
    let mut out = BitWriter::default();
    out.write(1, 16);
    let hint = match histogram.reset_hint {
        ResetHint::Unknown => 0b00,
        ResetHint::NotReset => 0b01,
        ResetHint::Reset => 0b10,
        ResetHint::Gauge => 0b11,
    };
    out.write(hint << 6, 8);
    if histogram.zero_threshold == 0.0 {
        out.write(0, 8);
    } else {
        out.write(WIDTH_AS_IT_IS, 8);
        out.write(histogram.zero_threshold.to_bits(), 64);
    }
    out.number(i64::from(histogram.schema));
    spans(&mut out, &histogram.positive_spans);
    spans(&mut out, &histogram.negative_spans);
    if histogram.schema == CUSTOM_BOUNDS_SCHEMA {
        out.count(histogram.custom_bounds.len() as u64);
        for bound in &histogram.custom_bounds {
            out.count(0);
            out.write(bound.to_bits(), 64);
        }
    }
    out.number(time);
    let totals = [histogram.count, histogram.zero_count, histogram.sum];
    let buckets = histogram.positive.iter().chain(&histogram.negative);
    for value in totals.iter().chain(buckets) {
        out.write(value.to_bits(), 64);
    }
    out.finish()
}

fn spans(out: &mut BitWriter, spans: &[Span]) {
    out.count(spans.len() as u64);
    for span in spans {
        out.count(u64::from(span.length));
        out.number(i64::from(span.offset));
    }
}

//! A native histogram as the log has it: field by field, counts of buckets as differences when they are
//! whole.

use super::super::varint::Cursor;
use crate::histogram::{CUSTOM_BOUNDS_SCHEMA, Histogram, ResetHint, Span};

/// Spans, buckets and bounds of a histogram.
const PARTS_MAX: usize = 1 << 16;

/// Reads one with whole counts, or with fractions.
pub(super) fn read(from: &mut Cursor<'_>, is_float: bool) -> Option<Histogram> {
    let reset_hint = match from.byte()? {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    let schema = i32::try_from(from.signed()?).ok()?;
    let zero_threshold = from.double()?;
    let (zero_count, count) = if is_float {
        (from.double()?, from.double()?)
    } else {
        (from.unsigned()? as f64, from.unsigned()? as f64)
    };
    let mut histogram = Histogram {
        schema,
        is_float,
        reset_hint,
        zero_threshold,
        zero_count,
        count,
        sum: from.double()?,
        positive_spans: spans(from)?,
        negative_spans: spans(from)?,
        positive: buckets(from, is_float)?,
        negative: buckets(from, is_float)?,
        custom_bounds: Vec::new(),
    };
    if schema == CUSTOM_BOUNDS_SCHEMA {
        for _ in 0..parts(from)? {
            histogram.custom_bounds.push(from.double()?);
        }
    }
    Some(histogram)
}

fn parts(from: &mut Cursor<'_>) -> Option<usize> {
    from.length().filter(|count| *count <= PARTS_MAX)
}

fn spans(from: &mut Cursor<'_>) -> Option<Vec<Span>> {
    let mut spans = Vec::new();
    for _ in 0..parts(from)? {
        spans.push(Span {
            offset: i32::try_from(from.signed()?).ok()?,
            length: u32::try_from(from.unsigned()?).ok()?,
        });
    }
    Some(spans)
}

fn buckets(from: &mut Cursor<'_>, is_float: bool) -> Option<Vec<f64>> {
    let mut buckets = Vec::new();
    let mut sum = 0_i64;
    for _ in 0..parts(from)? {
        buckets.push(if is_float {
            from.double()?
        } else {
            sum = sum.wrapping_add(from.signed()?);
            sum as f64
        });
    }
    Some(buckets)
}

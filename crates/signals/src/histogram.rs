//! Native histograms as values: counts in exponential or given buckets.

use crate::bytes::{Reader, put_signed, put_varint};
use crate::number;

/// Spans of one side of a histogram.
const SPANS_MAX: usize = 10_000;

/// Buckets that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Distance from the end of the span before, or the index of the first bucket.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

/// What a histogram says about being counted anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetHint {
    /// It has to be found out.
    #[default]
    Unknown,
    /// Counted anew with this sample.
    Reset,
    /// Surely not.
    NotReset,
    /// A gauge, which is never counted anew.
    Gauge,
}

/// One native histogram. Counts are absolute; whole ones are exact up to 2^53.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// Resolution: buckets grow by `2^(2^-schema)`; -53 is for given bounds.
    pub schema: i32,
    /// Whether the counts may be fractions.
    pub is_float: bool,
    /// What is known about being counted anew.
    pub reset_hint: ResetHint,
    /// Width of the bucket around zero.
    pub zero_threshold: f64,
    /// Observations in the bucket around zero.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Their sum; stale when its bits are those of the staleness marker.
    pub sum: f64,
    /// Where the positive buckets are.
    pub positive_spans: Vec<Span>,
    /// Where the negative buckets are.
    pub negative_spans: Vec<Span>,
    /// Counts of the positive buckets.
    pub positive: Vec<f64>,
    /// Counts of the negative buckets.
    pub negative: Vec<f64>,
    /// Upper bounds when they are given instead of computed.
    pub custom_bounds: Vec<f64>,
}

impl Histogram {
    /// Whether all bits are the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        put(&mut left, self);
        put(&mut right, other);
        left == right
    }

    /// About how many bytes it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let doubles = self.positive.len() + self.negative.len() + self.custom_bounds.len();
        let spans = self.positive_spans.len() + self.negative_spans.len();
        size_of::<Self>() + 8 * (doubles + spans)
    }
}

/// Appends a histogram.
pub(crate) fn put(out: &mut Vec<u8>, histogram: &Histogram) {
    let hint = match histogram.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    };
    out.push(hint << 1 | u8::from(histogram.is_float));
    put_signed(out, i64::from(histogram.schema));
    for value in [
        histogram.zero_threshold,
        histogram.zero_count,
        histogram.count,
        histogram.sum,
    ] {
        number::put(out, value);
    }
    for spans in [&histogram.positive_spans, &histogram.negative_spans] {
        put_varint(out, spans.len() as u64);
        for span in spans {
            put_signed(out, i64::from(span.offset));
            put_varint(out, u64::from(span.length));
        }
    }
    number::put_all(out, &histogram.positive);
    number::put_all(out, &histogram.negative);
    number::put_all(out, &histogram.custom_bounds);
}

/// Reads what [`put`] wrote.
pub(crate) fn read(from: &mut Reader<'_>) -> Option<Histogram> {
    let flags = from.byte()?;
    let reset_hint = match flags >> 1 {
        0 => ResetHint::Unknown,
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => return None,
    };
    Some(Histogram {
        is_float: flags & 1 == 1,
        reset_hint,
        schema: i32::try_from(from.signed()?).ok()?,
        zero_threshold: number::read(from)?,
        zero_count: number::read(from)?,
        count: number::read(from)?,
        sum: number::read(from)?,
        positive_spans: read_spans(from)?,
        negative_spans: read_spans(from)?,
        positive: number::read_all(from)?,
        negative: number::read_all(from)?,
        custom_bounds: number::read_all(from)?,
    })
}

fn read_spans(from: &mut Reader<'_>) -> Option<Vec<Span>> {
    let count = from.count()?;
    if count > SPANS_MAX {
        return None;
    }
    let span = |from: &mut Reader<'_>| {
        Some(Span {
            offset: i32::try_from(from.signed()?).ok()?,
            length: from.small()?,
        })
    };
    (0..count).map(|_| span(from)).collect()
}

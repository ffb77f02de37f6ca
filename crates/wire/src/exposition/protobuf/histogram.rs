//! Histograms of a page: buckets, a native one, or both.

use super::{Exemplar, PARTS_MAX, time};
use crate::histogram::{self, Numbering};
use crate::protobuf::{Malformed, Reader};

/// Numbers of the fields that both forms of native histograms have.
const NUMBERS: Numbering = Numbering {
    count_whole: 1,
    count_float: 4,
    sum: 2,
    schema: 5,
    zero_threshold: 6,
    zero_whole: 7,
    zero_float: 8,
    negative: [9, 10, 11],
    positive: [12, 13, 14],
    reset_hint: 0,
    custom_bounds: 0,
    zero_is_absent: true,
};

/// A histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram<'a> {
    /// All observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Buckets with given bounds, if there are any; the one without a bound may be missing.
    pub buckets: Vec<Bucket<'a>>,
    /// The native one, if there is one.
    pub native: Option<histogram::Histogram>,
    /// Examples of the native one.
    pub exemplars: Vec<Exemplar<'a>>,
    /// When it began to count, in milliseconds since 1970; 0 is not known.
    pub start: i64,
}

/// Observations up to a bound.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket<'a> {
    /// The bound.
    pub upper_bound: f64,
    /// Observations up to it, those of the buckets before included.
    pub cumulative_count: f64,
    /// An example.
    pub exemplar: Option<Exemplar<'a>>,
}

impl<'a> Histogram<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let (mut buckets, mut exemplars, mut start) = (Vec::new(), Vec::new(), 0);
        let native = histogram::read(message, &NUMBERS, |field| {
            match field.number {
                3 if buckets.len() >= PARTS_MAX => return Err(Malformed::Many(3, PARTS_MAX)),
                3 => buckets.push(Bucket::read(field.bytes()?)?),
                15 => start = time(field.bytes()?)?,
                16 if exemplars.len() >= PARTS_MAX => return Err(Malformed::Many(16, PARTS_MAX)),
                16 => exemplars.push(Exemplar::read(field.bytes()?)?),
                _ => {}
            }
            Ok(())
        })?;
        let has_buckets = !native.positive_spans.is_empty() || !native.negative_spans.is_empty();
        // One without any observation says with a threshold or an empty span that it is native.
        let is_native = has_buckets || native.zero_threshold > 0.0 || native.zero_count > 0.0;
        Ok(Self {
            count: native.count,
            sum: native.sum,
            buckets,
            native: is_native.then(|| without_empty_spans(native)),
            exemplars,
            start,
        })
    }
}

/// Leaves out the empty span that says that a histogram without observations is native.
fn without_empty_spans(mut histogram: histogram::Histogram) -> histogram::Histogram {
    for spans in [&mut histogram.positive_spans, &mut histogram.negative_spans] {
        if spans.iter().all(|span| span.length == 0) {
            spans.clear();
        }
    }
    histogram
}

impl<'a> Bucket<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut bucket = Self {
            upper_bound: 0.0,
            cumulative_count: 0.0,
            exemplar: None,
        };
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field.number {
                1 => bucket.cumulative_count = field.unsigned()? as f64,
                2 => bucket.upper_bound = field.double()?,
                3 => bucket.exemplar = Some(Exemplar::read(field.bytes()?)?),
                4 if field.double()? > 0.0 => bucket.cumulative_count = field.double()?,
                _ => {}
            }
        }
        Ok(bucket)
    }
}

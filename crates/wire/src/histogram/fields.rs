//! The fields of a native histogram in protobuf. Remote write and the exposition have the same ones under
//! different numbers.

use super::{Histogram, ResetHint, Span};
use crate::protobuf::{Field, Malformed, Reader, Writer};

/// Buckets of one side, and spans, and given bounds.
const BUCKETS_MAX: usize = 10_000;

/// Which number each field has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbering {
    pub(crate) count_whole: u32,
    pub(crate) count_float: u32,
    pub(crate) sum: u32,
    pub(crate) schema: u32,
    pub(crate) zero_threshold: u32,
    pub(crate) zero_whole: u32,
    pub(crate) zero_float: u32,
    /// Spans, differences, absolute counts.
    pub(crate) negative: [u32; 3],
    pub(crate) positive: [u32; 3],
    pub(crate) reset_hint: u32,
    pub(crate) custom_bounds: u32,
    /// A zero count of one kind may stand beside a count of the other kind, and means nothing.
    pub(crate) zero_is_absent: bool,
}

/// Remote write 1.0 and 2.0, and remote read.
pub(crate) const REMOTE: Numbering = Numbering {
    count_whole: 1,
    count_float: 2,
    sum: 3,
    schema: 4,
    zero_threshold: 5,
    zero_whole: 6,
    zero_float: 7,
    negative: [8, 9, 10],
    positive: [11, 12, 13],
    reset_hint: 14,
    custom_bounds: 16,
    zero_is_absent: false,
};

/// Reads a histogram; fields with other numbers go to `other`.
pub(crate) fn read<'a>(
    message: &'a [u8],
    numbers: &Numbering,
    mut other: impl FnMut(Field<'a>) -> Result<(), Malformed>,
) -> Result<Histogram, Malformed> {
    let mut histogram = Histogram::default();
    let (mut positive, mut negative) = (Side::default(), Side::default());
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        let number = field.number;
        if number == numbers.count_whole {
            histogram.count = whole(field.unsigned()?);
        } else if number == numbers.count_float {
            let count = field.double()?;
            if count > 0.0 || !numbers.zero_is_absent {
                (histogram.count, histogram.is_float) = (count, true);
            }
        } else if number == numbers.sum {
            histogram.sum = field.double()?;
        } else if number == numbers.schema {
            histogram.schema = field.zigzag32()?;
        } else if number == numbers.zero_threshold {
            histogram.zero_threshold = field.double()?;
        } else if number == numbers.zero_whole {
            histogram.zero_count = whole(field.unsigned()?);
        } else if number == numbers.zero_float {
            let count = field.double()?;
            if count > 0.0 || !numbers.zero_is_absent {
                histogram.zero_count = count;
            }
        } else if number == numbers.reset_hint {
            histogram.reset_hint = hint(field.unsigned()?);
        } else if number == numbers.custom_bounds {
            extend(&mut histogram.custom_bounds, field)?;
        } else if numbers.positive.contains(&number) {
            positive.read(field, numbers.positive)?;
        } else if numbers.negative.contains(&number) {
            negative.read(field, numbers.negative)?;
        } else {
            other(field)?;
        }
    }
    (histogram.positive_spans, histogram.positive) = positive.finish(histogram.is_float);
    (histogram.negative_spans, histogram.negative) = negative.finish(histogram.is_float);
    Ok(histogram)
}

/// One side of a histogram while it is read.
#[derive(Debug, Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl Side {
    fn read(&mut self, field: Field<'_>, numbers: [u32; 3]) -> Result<(), Malformed> {
        let [spans, deltas, _] = numbers;
        if field.number == spans {
            if self.spans.len() >= BUCKETS_MAX {
                return Err(Malformed::Many(field.number, BUCKETS_MAX));
            }
            self.spans.push(span(field.bytes()?)?);
            Ok(())
        } else if field.number == deltas {
            for delta in field.varints()? {
                if self.deltas.len() >= BUCKETS_MAX {
                    return Err(Malformed::Many(field.number, BUCKETS_MAX));
                }
                self.deltas.push(crate::protobuf::unzigzag(delta?));
            }
            Ok(())
        } else {
            extend(&mut self.counts, field)
        }
    }

    fn finish(self, is_float: bool) -> (Vec<Span>, Vec<f64>) {
        if is_float {
            return (self.spans, self.counts);
        }
        let mut count = 0_i64;
        let absolute = self.deltas.iter().map(|delta| {
            count = count.wrapping_add(*delta);
            count as f64
        });
        (self.spans, absolute.collect())
    }
}

fn extend(into: &mut Vec<f64>, field: Field<'_>) -> Result<(), Malformed> {
    let doubles = field.doubles()?;
    if into.len() + doubles.len() > BUCKETS_MAX {
        return Err(Malformed::Many(field.number, BUCKETS_MAX));
    }
    into.extend(doubles);
    Ok(())
}

fn span(message: &[u8]) -> Result<Span, Malformed> {
    let mut span = Span {
        offset: 0,
        length: 0,
    };
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field.number {
            1 => span.offset = field.zigzag32()?,
            2 => span.length = field.unsigned32()?,
            _ => {}
        }
    }
    Ok(span)
}

fn whole(count: u64) -> f64 {
    count as f64
}

fn hint(number: u64) -> ResetHint {
    match number {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

/// Writes the fields of a histogram.
pub(crate) fn write(histogram: &Histogram, numbers: &Numbering, out: &mut Writer) {
    if histogram.is_float {
        out.double_always(numbers.count_float, histogram.count);
    } else {
        out.unsigned_always(
            numbers.count_whole,
            rounded(histogram.count).cast_unsigned(),
        );
    }
    out.double(numbers.sum, histogram.sum);
    out.zigzag(numbers.schema, i64::from(histogram.schema));
    out.double(numbers.zero_threshold, histogram.zero_threshold);
    if histogram.is_float {
        out.double_always(numbers.zero_float, histogram.zero_count);
    } else {
        let count = rounded(histogram.zero_count).cast_unsigned();
        out.unsigned_always(numbers.zero_whole, count);
    }
    let sides = [
        (
            &histogram.negative_spans,
            &histogram.negative,
            numbers.negative,
        ),
        (
            &histogram.positive_spans,
            &histogram.positive,
            numbers.positive,
        ),
    ];
    for (spans, counts, [spans_number, deltas, absolute]) in sides {
        for span in spans {
            out.message(spans_number, |out| {
                out.zigzag(1, i64::from(span.offset));
                out.unsigned(2, u64::from(span.length));
            });
        }
        if histogram.is_float {
            out.doubles(absolute, counts);
        } else {
            let mut before = 0_i64;
            let deltas_of = counts.iter().map(|count| {
                let count = rounded(*count);
                let delta = count.wrapping_sub(before);
                before = count;
                crate::protobuf::zigzag(delta)
            });
            out.varints(deltas, deltas_of);
        }
    }
    let hint = match histogram.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    };
    if numbers.reset_hint > 0 {
        out.unsigned(numbers.reset_hint, hint);
    }
    if numbers.custom_bounds > 0 {
        out.doubles(numbers.custom_bounds, &histogram.custom_bounds);
    }
}

/// A whole count; what is beyond the range becomes the nearest end of it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "saturates, which is what is wanted of a count beyond the range"
)]
fn rounded(count: f64) -> i64 {
    count.round() as i64
}

//! Requests, read from the outside inwards. A message is walked once for what is said of it and once for
//! what is in it, because the order of fields is the sender's.

use std::borrow::Cow;

use super::attributes;
use super::{Attribute, Exemplar, Kind, Metric, Point, Value, Visitor};
use crate::protobuf::{Field, Malformed, Reader, Varints};

/// Points of one request.
pub const POINTS_MAX: usize = 1_000_000;
/// Attributes of one point, resource or exemplar.
pub const ATTRIBUTES_MAX: usize = 128;
/// Buckets, bounds, quantiles or exemplars of one point.
pub(super) const PARTS_MAX: usize = 10_000;

const NANOSECONDS_PER_MS: u64 = 1_000_000;
/// The flag of points without a value.
const NO_RECORDED_VALUE: u64 = 1;
/// The temporality of differences.
const DELTA: u64 = 1;

/// Reads a request and tells the visitor what is in it.
pub fn read(message: &[u8], visitor: &mut impl Visitor) -> Result<(), Malformed> {
    let mut points = 0;
    each(message, 1, |resource_metrics| {
        let mut resource = Vec::new();
        each(resource_metrics, 1, |message| {
            each(message, 1, |pair| attributes::push(&mut resource, 1, pair))
        })?;
        visitor.resource(&resource);
        each(resource_metrics, 2, |scope| {
            each(scope, 2, |message| metric(message, &mut points, visitor))
        })?;
        visitor.resource_end();
        Ok(())
    })
}

/// Gives all messages in a field of a message.
fn each<'a>(
    message: &'a [u8],
    number: u32,
    mut take: impl FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        if field.number == number {
            take(field.bytes()?)?;
        }
    }
    Ok(())
}

fn metric(message: &[u8], points: &mut usize, visitor: &mut impl Visitor) -> Result<(), Malformed> {
    let mut metric = Metric {
        name: "",
        description: "",
        unit: "",
        kind: Kind::Gauge,
        is_delta: false,
    };
    let mut data = None;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        let kind = match field.number {
            1 => {
                metric.name = field.text()?;
                continue;
            }
            2 => {
                metric.description = field.text()?;
                continue;
            }
            3 => {
                metric.unit = field.text()?;
                continue;
            }
            5 => Kind::Gauge,
            7 => Kind::Sum {
                is_monotonic: false,
            },
            9 => Kind::Histogram,
            10 => Kind::Exponential,
            11 => Kind::Summary,
            _ => continue,
        };
        metric.kind = kind;
        data = Some(field.bytes()?);
    }
    match data {
        Some(data) => points_of(data, metric, points, visitor),
        None => Ok(()),
    }
}

fn points_of<'a>(
    data: &'a [u8],
    mut metric: Metric<'a>,
    points: &mut usize,
    visitor: &mut impl Visitor,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(data);
    while let Some(field) = reader.field()? {
        match (field.number, &mut metric.kind) {
            (2, Kind::Sum { .. } | Kind::Histogram | Kind::Exponential) => {
                metric.is_delta = field.unsigned()? == DELTA;
            }
            (3, Kind::Sum { is_monotonic }) => *is_monotonic = field.unsigned()? != 0,
            _ => {}
        }
    }
    visitor.metric(&metric);
    each(data, 1, |message| {
        *points += 1;
        if *points > POINTS_MAX {
            return Err(Malformed::Many(1, POINTS_MAX));
        }
        let mut point = Point {
            attributes: Vec::new(),
            timestamp: 0,
            start: 0,
            is_stale: false,
            value: Value::Number(0.0),
            exemplars: Vec::new(),
        };
        match metric.kind {
            Kind::Gauge | Kind::Sum { .. } => number(message, &mut point)?,
            Kind::Histogram => histogram(message, &mut point)?,
            Kind::Exponential => exponential(message, &mut point)?,
            Kind::Summary => summary(message, &mut point)?,
        }
        visitor.point(&point);
        Ok(())
    })
}

/// Takes the times, which have the same numbers in all kinds of points.
fn time(field: Field<'_>, point: &mut Point<'_>) -> Result<bool, Malformed> {
    match field.number {
        2 => point.start = milliseconds(field)?,
        3 => point.timestamp = milliseconds(field)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn milliseconds(field: Field<'_>) -> Result<i64, Malformed> {
    let since = fixed(field)? / NANOSECONDS_PER_MS;
    Ok(i64::try_from(since).unwrap_or(i64::MAX))
}

fn fixed(field: Field<'_>) -> Result<u64, Malformed> {
    let mut numbers = field.fixed64s()?;
    match (numbers.next(), numbers.next()) {
        (Some(number), None) => Ok(number),
        _ => Err(Malformed::Type(field.number)),
    }
}

fn number<'a>(message: &'a [u8], point: &mut Point<'a>) -> Result<(), Malformed> {
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        if time(field, point)? {
            continue;
        }
        match field.number {
            4 => point.value = Value::Number(field.double()?),
            6 => point.value = Value::Number(fixed(field)?.cast_signed() as f64),
            5 => exemplar(field, point)?,
            7 => attributes::push(&mut point.attributes, 7, field.bytes()?)?,
            8 => point.is_stale = field.unsigned()? & NO_RECORDED_VALUE != 0,
            _ => {}
        }
    }
    Ok(())
}

fn histogram<'a>(message: &'a [u8], point: &mut Point<'a>) -> Result<(), Malformed> {
    let (mut count, mut sum) = (0, None);
    let (mut bounds, mut counts) = (Vec::new(), Vec::new());
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        if time(field, point)? {
            continue;
        }
        match field.number {
            4 => count = fixed(field)?,
            5 => sum = Some(field.double()?),
            6 => extend(&mut counts, field.fixed64s()?, 6)?,
            7 => extend(&mut bounds, field.doubles()?, 7)?,
            8 => exemplar(field, point)?,
            9 => attributes::push(&mut point.attributes, 9, field.bytes()?)?,
            10 => point.is_stale = field.unsigned()? & NO_RECORDED_VALUE != 0,
            _ => {}
        }
    }
    point.value = Value::Histogram {
        count,
        sum,
        bounds,
        counts,
    };
    Ok(())
}

fn exponential<'a>(message: &'a [u8], point: &mut Point<'a>) -> Result<(), Malformed> {
    let (mut count, mut sum, mut scale) = (0, None, 0);
    let (mut zero_count, mut zero_threshold) = (0, 0.0);
    let (mut positive, mut negative) = ((0, Vec::new()), (0, Vec::new()));
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        if time(field, point)? {
            continue;
        }
        match field.number {
            1 => attributes::push(&mut point.attributes, 1, field.bytes()?)?,
            4 => count = fixed(field)?,
            5 => sum = Some(field.double()?),
            6 => scale = field.zigzag32()?,
            7 => zero_count = fixed(field)?,
            8 => positive = buckets(field.bytes()?)?,
            9 => negative = buckets(field.bytes()?)?,
            10 => point.is_stale = field.unsigned()? & NO_RECORDED_VALUE != 0,
            11 => exemplar(field, point)?,
            14 => zero_threshold = field.double()?,
            _ => {}
        }
    }
    point.value = Value::Exponential {
        scale,
        count,
        sum,
        zero_threshold,
        zero_count,
        positive,
        negative,
    };
    Ok(())
}

fn buckets(message: &[u8]) -> Result<(i32, Vec<u64>), Malformed> {
    let (mut offset, mut counts) = (0, Vec::new());
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field.number {
            1 => offset = field.zigzag32()?,
            2 => {
                let numbers: Varints<'_> = field.varints()?;
                for number in numbers {
                    if counts.len() >= PARTS_MAX {
                        return Err(Malformed::Many(2, PARTS_MAX));
                    }
                    counts.push(number?);
                }
            }
            _ => {}
        }
    }
    Ok((offset, counts))
}

fn summary<'a>(message: &'a [u8], point: &mut Point<'a>) -> Result<(), Malformed> {
    let (mut count, mut sum, mut quantiles) = (0, 0.0, Vec::new());
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        if time(field, point)? {
            continue;
        }
        match field.number {
            4 => count = fixed(field)?,
            5 => sum = field.double()?,
            6 => {
                let (mut at, mut value) = (0.0, 0.0);
                let mut pair = Reader::new(field.bytes()?);
                while let Some(field) = pair.field()? {
                    match field.number {
                        1 => at = field.double()?,
                        2 => value = field.double()?,
                        _ => {}
                    }
                }
                extend(&mut quantiles, std::iter::once((at, value)), 6)?;
            }
            7 => attributes::push(&mut point.attributes, 7, field.bytes()?)?,
            8 => point.is_stale = field.unsigned()? & NO_RECORDED_VALUE != 0,
            _ => {}
        }
    }
    point.value = Value::Summary {
        count,
        sum,
        quantiles,
    };
    Ok(())
}

fn extend<T>(
    into: &mut Vec<T>,
    from: impl ExactSizeIterator<Item = T>,
    number: u32,
) -> Result<(), Malformed> {
    if into.len() + from.len() > PARTS_MAX {
        return Err(Malformed::Many(number, PARTS_MAX));
    }
    into.extend(from);
    Ok(())
}

fn exemplar<'a>(field: Field<'a>, point: &mut Point<'a>) -> Result<(), Malformed> {
    let mut exemplar = Exemplar {
        attributes: Vec::<Attribute<'a>>::new(),
        timestamp: 0,
        value: 0.0,
        trace_id: Cow::Borrowed(&[]),
        span_id: Cow::Borrowed(&[]),
    };
    let mut reader = Reader::new(field.bytes()?);
    while let Some(field) = reader.field()? {
        match field.number {
            2 => exemplar.timestamp = milliseconds(field)?,
            3 => exemplar.value = field.double()?,
            4 => exemplar.span_id = Cow::Borrowed(field.bytes()?),
            5 => exemplar.trace_id = Cow::Borrowed(field.bytes()?),
            6 => exemplar.value = fixed(field)?.cast_signed() as f64,
            7 => attributes::push(&mut exemplar.attributes, 7, field.bytes()?)?,
            _ => {}
        }
    }
    extend(
        &mut point.exemplars,
        std::iter::once(exemplar),
        field.number,
    )
}

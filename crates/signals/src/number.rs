//! Doubles in few bytes: whole numbers and decimals as integers, all others as they are. Bit by
//! bit the same when they come back.

use crate::bytes::{Reader, put_signed, put_varint, unzigzag, zigzag};

/// What Prometheus writes when a series ends: a NaN that arithmetic does not make.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Powers of ten that a double holds exactly and that decimals of monitoring use.
const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Decimal places that are tried for a single number, by their mark in the lowest two bits.
const PLACES: [usize; 3] = [0, 2, 3];
/// The mark of a number as it is.
const RAW: u64 = 3;
/// The mark of [`STALE`].
const STALE_MARK: u64 = RAW | 4;

/// Integers up to here are doubles without rounding, and leave room for the mark.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Decimal places at most.
pub(crate) const PLACES_MAX: usize = POWERS.len() - 1;

/// The integer that, divided by ten to the power of `places`, is this very double.
pub(crate) fn as_integer(value: f64, places: usize) -> Option<i64> {
    let scaled = value * POWERS.get(places)?;
    if scaled.is_nan() || scaled.abs() > WHOLE_MAX {
        return None;
    }
    // The nearest integer, or near it: the way back says whether it is the one.
    let whole = to_integer(scaled + 0.5_f64.copysign(scaled));
    let back = if places == 0 {
        whole as f64
    } else {
        as_double(whole, places)?
    };
    (back.to_bits() == value.to_bits()).then_some(whole)
}

/// The other way of [`as_integer`].
pub(crate) fn as_double(whole: i64, places: usize) -> Option<f64> {
    Some(whole as f64 / POWERS.get(places)?)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "callers have checked the range"
)]
fn to_integer(value: f64) -> i64 {
    value as i64
}

/// Appends a double.
pub(crate) fn put(out: &mut Vec<u8>, value: f64) {
    for (mark, places) in (0_u64..).zip(PLACES) {
        if let Some(whole) = as_integer(value, places) {
            put_varint(out, zigzag(whole) << 2 | mark);
            return;
        }
    }
    if value.to_bits() == STALE {
        put_varint(out, STALE_MARK);
        return;
    }
    put_varint(out, RAW);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Reads what [`put`] wrote.
pub(crate) fn read(from: &mut Reader<'_>) -> Option<f64> {
    let head = from.varint()?;
    match head {
        RAW => from.double(),
        STALE_MARK => Some(f64::from_bits(STALE)),
        _ => {
            let whole = unzigzag(head >> 2);
            if head.trailing_zeros() >= 2 {
                return Some(whole as f64);
            }
            let places = PLACES.get(usize::try_from(head & 3).ok()?)?;
            as_double(whole, *places)
        }
    }
}

/// Appends doubles one after the other.
pub(crate) fn put_all(out: &mut Vec<u8>, values: &[f64]) {
    put_signed(out, i64::try_from(values.len()).unwrap_or(i64::MAX));
    for value in values {
        put(out, *value);
    }
}

/// Reads what [`put_all`] wrote.
pub(crate) fn read_all(from: &mut Reader<'_>) -> Option<Vec<f64>> {
    let count = usize::try_from(from.signed()?).ok()?;
    if count > from.rest().len() {
        return None;
    }
    (0..count).map(|_| read(from)).collect()
}

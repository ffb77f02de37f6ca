//! Floats as text, in the forms that clients of Prometheus know, and read from it.

use std::fmt::{self, Write as _};

/// A float in its shortest form without an exponent, as the API and labels show it; `NaN`, `+Inf`
/// and `-Inf`.
#[derive(Debug, Clone, Copy)]
pub struct Plain(pub f64);

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match special(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A float in its shortest form, with an exponent where it is very large or small (`1e+06`), as
/// messages and histograms show it.
#[derive(Debug, Clone, Copy)]
pub struct Short(pub f64);

/// From this decimal exponent on a number is written with it.
const EXPONENT_FROM: i32 = 6;

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = special(self.0) {
            return f.write_str(name);
        }
        let (digits, exponent) = parts(self.0);
        if (-4..EXPONENT_FROM).contains(&exponent) {
            return write!(f, "{}", self.0);
        }
        with_exponent(f, &digits, exponent)
    }
}

/// A float as the HTTP API shows a sample's value: with an exponent only where it is below 1e-6 or at
/// least 1e21.
#[derive(Debug, Clone, Copy)]
pub struct Sampled(pub f64);

impl fmt::Display for Sampled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if !size.is_finite() || size == 0.0 || (1e-6..1e21).contains(&size) {
            return Plain(self.0).fmt(f);
        }
        let (digits, exponent) = parts(self.0);
        with_exponent(f, &digits, exponent)
    }
}

/// Integers up to here are exact in a float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Floats in here are never written with an exponent, and whole ones are below its end.
const NO_EXPONENT: std::ops::Range<f64> = 1e-4..1e15;

/// Writes a float as [`Sampled`] does, several times as fast: an answer has a million of them.
pub fn push_sampled(out: &mut String, value: f64) {
    if value.fract() == 0.0 && value.abs() < WHOLE_MAX && !is_negative_zero(value) {
        #[expect(clippy::cast_possible_truncation, reason = "whole, bounded above")]
        out.push_str(itoa::Buffer::new().format(value as i64));
        return;
    }
    // Elsewhere there would be an exponent, or an end that is not wanted.
    if NO_EXPONENT.contains(&value.abs()) {
        out.push_str(zmij::Buffer::new().format_finite(value));
    } else {
        write!(out, "{}", Sampled(value)).unwrap_or_default();
    }
}

fn is_negative_zero(value: f64) -> bool {
    value == 0.0 && value.is_sign_negative()
}

/// The shortest digits of a float, and their power of ten.
fn parts(value: f64) -> (String, i32) {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (digits.to_owned(), exponent.parse().unwrap_or(0))
}

fn with_exponent(f: &mut fmt::Formatter<'_>, digits: &str, exponent: i32) -> fmt::Result {
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(f, "{digits}e{sign}{:02}", exponent.abs())
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("+Inf")
    } else if value == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// A float as people and exporters write it: decimal, with an exponent, hexadecimal as an
/// integer of 63 bits, `Inf` and `NaN` in any case.
pub fn parse(text: &str) -> Option<f64> {
    let (is_negative, bare) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let first = bare.as_bytes().first()?;
    let magnitude = if let Some(digits) = bare.strip_prefix("0x").or(bare.strip_prefix("0X")) {
        i64::from_str_radix(digits, 16).ok()? as f64
    } else if first.is_ascii_digit() || *first == b'.' {
        // What is beyond a double is no infinity but a mistake.
        bare.parse().ok().filter(|value: &f64| value.is_finite())?
    } else {
        match bare.to_ascii_lowercase().as_str() {
            "inf" | "infinity" => f64::INFINITY,
            "nan" => return Some(f64::NAN),
            _ => return None,
        }
    };
    Some(if is_negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_numbers_have_no_exponent() {
        let cases = [
            (1e21, "1000000000000000000000"),
            (0.000_000_1, "0.0000001"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
            (-0.0, "-0"),
            (1.0, "1"),
        ];
        for (value, expected) in cases {
            assert_eq!(Plain(value).to_string(), expected);
        }
    }

    #[test]
    fn short_numbers_have_one_where_they_are_far() {
        let cases = [
            (1e6, "1e+06"),
            (2.5e-7, "2.5e-07"),
            (123_456.0, "123456"),
            (0.001, "0.001"),
            (-2.0, "-2"),
        ];
        for (value, expected) in cases {
            assert_eq!(Short(value).to_string(), expected);
        }
    }

    #[test]
    fn values_of_samples_have_one_where_prometheus_writes_one() {
        let cases = [
            (1e300, "1e+300"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (-5e-324, "-5e-324"),
            (2.5e-7, "2.5e-07"),
            (0.000_001, "0.000001"),
            (0.0, "0"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (value, expected) in cases {
            assert_eq!(Sampled(value).to_string(), expected);
        }
    }

    /// Powers of two and ten, numbers beside them, whole numbers and any bits.
    #[test]
    fn the_fast_way_writes_the_same() {
        let mut values = vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        for exponent in -324..=308 {
            let power: f64 = format!("1e{exponent}").parse().unwrap();
            values.extend([power, power.next_up(), power.next_down(), -power / 3.0]);
        }
        for exponent in 0..64 {
            let power = 2_f64.powi(exponent);
            values.extend([power, power - 1.0, -power - 1.0, power + 0.5]);
        }
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            values.push(f64::from_bits(bits));
            values.push((bits >> 40) as f64 / 1000.0);
        }
        for value in values {
            let mut written = String::new();
            push_sampled(&mut written, value);
            let slow = Sampled(value).to_string();
            // Of two that are as short and as near, one may take the even one.
            let is_same = written.parse() == Ok(value) && written.len() == slow.len();
            assert!(is_same || written == slow, "{written} {slow}");
        }
    }

    #[test]
    fn reads_what_exporters_write() {
        let cases = [
            ("1e3", 1000.0),
            (".2", 0.2),
            ("2.", 2.0),
            ("0x1f", 31.0),
            ("-inf", f64::NEG_INFINITY),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        assert!(parse("nAn").is_some_and(f64::is_nan));
        for text in ["", "+", "Hello World", "1x", "--1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

//! Floats as text, in the forms that clients of Prometheus know, and read from it.

use std::fmt;

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

//! Values as the acceptance files write them: `1+2x3`, `_`, `stale`, `{{sum:1}}x4`, times since when
//! values count.

use query::histogram::Histogram;
use query::source::STALE;

use super::histogram::{self, Literal};

/// A value of a series.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Float(f64),
    Histogram(Box<Literal>),
}

/// Milliseconds of `1m30s`, or of a number of seconds.
pub(crate) fn duration(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "times of tests are small")]
        return Some((seconds * 1000.0).round() as i64);
    }
    let (is_negative, bare) = match text.strip_prefix('-') {
        Some(bare) => (true, bare),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut total = 0;
    let mut rest = bare;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let count: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|letter: char| !letter.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total += count * unit;
        rest = &rest[end..];
    }
    Some(if is_negative { -total } else { total })
}

/// Splits at blanks outside of braces.
fn items(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut depth = 0;
    let mut begin = None;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if letter.is_whitespace() && depth == 0 {
            items.extend(begin.take().map(|begin: usize| &text[begin..at]));
        } else if begin.is_none() {
            begin = Some(at);
        }
    }
    items.extend(begin.map(|begin| &text[begin..]));
    items
}

/// Values of a series, none where one is left out.
pub(crate) fn values(text: &str) -> Result<Vec<Option<Value>>, String> {
    let mut values = Vec::new();
    for item in items(text) {
        expand(item, &mut values).ok_or_else(|| format!("no value: {item}"))?;
    }
    Ok(values)
}

/// How often, at the end of an item; `otherwise` when it does not say.
fn repetitions(text: &str, otherwise: usize) -> Option<usize> {
    match text.strip_prefix('x') {
        Some(count) => count.parse().ok(),
        None => text.is_empty().then_some(otherwise),
    }
}

fn expand(item: &str, values: &mut Vec<Option<Value>>) -> Option<()> {
    if let Some(rest) = item.strip_prefix('_') {
        let count = repetitions(rest, 1)?;
        values.extend(std::iter::repeat_n(None, count));
        return Some(());
    }
    if item.starts_with('{') {
        return expand_histograms(item, values);
    }
    let (mut value, rest) = match item.strip_prefix("stale") {
        Some(rest) => (STALE, rest),
        None => number(item)?,
    };
    let (increment, rest) = match rest.chars().next() {
        Some('+' | '-') => number(rest)?,
        _ => (0.0, rest),
    };
    values.push(Some(Value::Float(value)));
    for _ in 0..repetitions(rest, 0)? {
        // A marker would not survive an addition.
        if increment != 0.0 {
            value += increment;
        }
        values.push(Some(Value::Float(value)));
    }
    Some(())
}

/// The number at the begin of a text.
fn number(text: &str) -> Option<(f64, &str)> {
    let sign = usize::from(text.starts_with(['+', '-']));
    let bare = text[sign..].to_ascii_lowercase();
    let length = if bare.starts_with("inf") || bare.starts_with("nan") {
        3
    } else {
        let digits = |from: usize| {
            let rest = &bare[from..];
            let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
            from + end.unwrap_or(rest.len())
        };
        let mantissa = digits(0);
        let has_exponent = bare[mantissa..].starts_with('e');
        if has_exponent {
            let exponent_sign = usize::from(bare[mantissa + 1..].starts_with(['+', '-']));
            digits(mantissa + 1 + exponent_sign)
        } else {
            mantissa
        }
    };
    let end = sign + length;
    Some((query::number::parse(&text[..end])?, &text[end..]))
}

fn expand_histograms(item: &str, values: &mut Vec<Option<Value>>) -> Option<()> {
    let (first, rest) = histogram::take(item)?;
    let (increment, rest) = match rest.chars().next() {
        Some(sign @ ('+' | '-')) => {
            let (increment, rest) = histogram::take(&rest[1..])?;
            (Some((sign, increment)), rest)
        }
        _ => (None, rest),
    };
    values.push(Some(Value::Histogram(Box::new(first.clone()))));
    let mut current = first;
    for _ in 0..repetitions(rest, 0)? {
        if let Some((sign, increment)) = &increment {
            let change = if *sign == '+' {
                Histogram::add
            } else {
                Histogram::subtract
            };
            change(&mut current.histogram, &increment.histogram).ok()?;
        }
        values.push(Some(Value::Histogram(Box::new(current.clone()))));
    }
    Some(())
}

/// Times since when values count, relative to the values' times: `-30s-1mx2`.
pub(crate) fn starts(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut starts = Vec::new();
    for item in items(text) {
        expand_start(item, &mut starts).ok_or_else(|| format!("no start: {item}"))?;
    }
    Ok(starts)
}

fn expand_start(item: &str, starts: &mut Vec<Option<i64>>) -> Option<()> {
    if let Some(rest) = item.strip_prefix('_') {
        let count = repetitions(rest, 1)?;
        starts.extend(std::iter::repeat_n(None, count));
        return Some(());
    }
    let (spans, count) = match item.split_once('x') {
        Some((spans, count)) => (spans, count.parse().ok()?),
        None => (item, 0),
    };
    let second = spans[1..].find(['+', '-']).map(|at| at + 1);
    let (first, increment) = spans.split_at(second.unwrap_or(spans.len()));
    let increment = if increment.is_empty() {
        0
    } else {
        duration(increment)?
    };
    let mut start = duration(first)?;
    for _ in 0..=count {
        starts.push(Some(start));
        start += increment;
    }
    Some(())
}

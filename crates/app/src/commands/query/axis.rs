//! Where ticks stand and what they say, and numbers in few characters.

use time::OffsetDateTime;
use time::macros::format_description;

/// The labels of values are at least so many lines apart.
const ROWS_APART: usize = 3;
/// Blanks between labels of times.
const TIME_GAP: usize = 3;
const DAY: i64 = 86_400;
/// Times from one tick to the next, in seconds.
const TIME_STEPS: [i64; 26] = [
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1_800,
    3_600,
    7_200,
    10_800,
    21_600,
    43_200,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    91 * DAY,
    182 * DAY,
    364 * DAY,
    1_820 * DAY,
];
/// Prefixes of numbers.
const PREFIXES: [(f64, &str); 5] = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
/// Numbers from this on have no prefix.
const NUMBER_MAX: f64 = 1e18;
/// Numbers below this are written without a prefix.
const PLAIN_MAX: f64 = 1e4;

/// An axis of values: its ends, and its ticks from below.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values {
    pub(super) bottom: f64,
    pub(super) top: f64,
    pub(super) ticks: Vec<(f64, String)>,
}

/// An axis for values from `least` to `most` over so many lines.
pub(super) fn values(least: f64, most: f64, rows: usize) -> Values {
    let (least, most) = widened(least, most);
    let wanted = (rows / ROWS_APART).max(1) as f64;
    let step = round_up((most - least) / wanted);
    let bottom = (least / step).floor() * step;
    let top = (most / step).ceil() * step;
    let largest = bottom.abs().max(top.abs());
    let mut ticks = Vec::new();
    // Both ends are ticks, and rounding may only add one.
    for number in 0..=rows {
        let value = bottom + number as f64 * step;
        if value > top + step / 2.0 {
            break;
        }
        ticks.push((value, label(value, step, largest)));
    }
    Values { bottom, top, ticks }
}

/// Zero is shown where that costs little; and what never changes gets some room.
fn widened(least: f64, most: f64) -> (f64, f64) {
    let extent = most - least;
    if least > 0.0 && least < 2.0 * extent {
        (0.0, most)
    } else if most < 0.0 && -most < 2.0 * extent {
        (least, 0.0)
    } else if extent <= most.abs().max(least.abs()) * 1e-12 {
        match most {
            0.0 => (0.0, 1.0),
            most if most > 0.0 => (0.0, most * 1.25),
            most => (most * 1.25, 0.0),
        }
    } else {
        (least, most)
    }
}

/// The next of 1, 2, 2.5, 5 and 10 times a power of ten.
fn round_up(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factors = [1.0, 2.0, 2.5, 5.0, 10.0];
    let factor = factors
        .into_iter()
        .find(|factor| power * factor >= step * (1.0 - 1e-9));
    power * factor.unwrap_or(10.0)
}

fn label(value: f64, step: f64, largest: f64) -> String {
    if !(1e-4..NUMBER_MAX).contains(&largest) {
        return format!("{value:.2e}");
    }
    let (scale, prefix) = prefix(largest);
    // As many decimals as tell ticks apart.
    let decimals = decimals(step / scale);
    let text = format!("{:.decimals$}", value / scale);
    let is_zero = text.chars().all(|c| matches!(c, '0' | '.' | '-'));
    if is_zero {
        "0".to_owned()
    } else {
        text + prefix
    }
}

fn prefix(largest: f64) -> (f64, &'static str) {
    let fits = |(scale, _): &(f64, &str)| largest >= PLAIN_MAX && largest >= *scale;
    PREFIXES.into_iter().find(fits).unwrap_or((1.0, ""))
}

fn decimals(step: f64) -> usize {
    let is_told = |decimals: &usize| {
        let shown = format!("{step:.decimals$}").parse().unwrap_or(0.0);
        (step - shown).abs() <= step * 1e-6
    };
    (0..9).find(is_told).unwrap_or(9)
}

/// A number of about four digits.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        return "NaN".to_owned();
    } else if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    } else if value == 0.0 {
        return "0".to_owned();
    } else if !(1e-4..NUMBER_MAX).contains(&size) {
        return format!("{value:.2e}");
    }
    let (scale, prefix) = prefix(size);
    let scaled = value / scale;
    let decimals = match scaled.abs() {
        1_000.0.. => 0,
        100.0.. => 1,
        10.0.. => 2,
        1.0.. => 3,
        0.1.. => 4,
        0.01.. => 5,
        0.001.. => 6,
        _ => 7,
    };
    let text = format!("{scaled:.decimals$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{prefix}")
}

/// The ticks of an axis of times: their columns and what they say, in UTC.
pub(super) fn times(start: f64, end: f64, columns: usize) -> Vec<(usize, String)> {
    let extent = end - start;
    if extent <= 0.0 || columns < 2 {
        return moment(start, DAY)
            .map(|text| (0, text))
            .into_iter()
            .collect();
    }
    let column = |time: f64| nearest((time - start) / extent * (columns - 1) as f64);
    let apart = |step: i64| columns as f64 * step as f64 / extent;
    let wide = |step: i64| label_columns(step) + TIME_GAP;
    let step = TIME_STEPS
        .into_iter()
        .find(|step| apart(*step) >= wide(*step) as f64);
    let Some(step) = step else {
        return Vec::new();
    };
    let first = (start / step as f64).ceil() * step as f64;
    let mut ticks = Vec::new();
    // No more than columns, because they are wider than one.
    for number in 0..columns {
        let time = first + number as f64 * step as f64;
        if time > end {
            break;
        }
        if let Some(text) = moment(time, step) {
            ticks.push((column(time), text));
        }
    }
    ticks
}

/// A place among columns or lines.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float ends at the limits of the integer"
)]
pub(super) fn nearest(place: f64) -> usize {
    place.round().max(0.0) as usize
}

fn label_columns(step: i64) -> usize {
    match step {
        ..60 => "12:00:00".len(),
        60..DAY => "12:00".len(),
        _ => "2026-11-22".len(),
    }
}

fn moment(seconds: f64, step: i64) -> Option<String> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is no time of the calendar is refused"
    )]
    let time = OffsetDateTime::from_unix_timestamp(seconds.round() as i64).ok()?;
    let is_midnight = time.unix_timestamp() % DAY == 0;
    let text = match step {
        ..60 => time.format(format_description!("[hour]:[minute]:[second]")),
        60..DAY if is_midnight => {
            time.format(format_description!("[month repr:short] [day padding:none]"))
        }
        60..DAY => time.format(format_description!("[hour]:[minute]")),
        _ => time.format(format_description!("[year]-[month]-[day]")),
    };
    text.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Values) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn values_have_round_ticks() {
        let check = |least, most, expected: &[&str]| {
            let axis = values(least, most, 16);
            assert_eq!(texts(&axis), expected, "{least} {most}");
            assert!(axis.bottom <= least && axis.top >= most, "{axis:?}");
        };
        check(0.0, 9.7, &["0", "2", "4", "6", "8", "10"]);
        check(5.0, 5.0, &["0", "2", "4", "6", "8"]);
        check(0.0, 0.0, &["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        check(-1.0, 1.0, &["-1.0", "-0.5", "0", "0.5", "1.0"]);
        check(
            100.0,
            101.0,
            &["100.0", "100.2", "100.4", "100.6", "100.8", "101.0"],
        );
        check(
            1_000_000.0,
            9_500_000.0,
            &["0", "2M", "4M", "6M", "8M", "10M"],
        );
        check(
            0.0,
            2e-7,
            &["0.00e0", "5.00e-8", "1.00e-7", "1.50e-7", "2.00e-7"],
        );
        check(-8.0, -8.0, &["-10", "-8", "-6", "-4", "-2", "0"]);
    }

    #[test]
    fn numbers_are_short() {
        let check = |value: f64, expected: &str| assert_eq!(short(value), expected);
        check(0.0, "0");
        check(1.0, "1");
        check(0.123_456, "0.1235");
        check(1234.5, "1234");
        check(12_345.0, "12.35k");
        check(25_276_502_016.0, "25.28G");
        check(-3.5, "-3.5");
        check(1e-9, "1.00e-9");
        check(f64::NAN, "NaN");
        check(f64::NEG_INFINITY, "-Inf");
    }

    #[test]
    fn times_have_round_ticks() {
        // 2026-11-22 02:00 UTC.
        let start = 1_795_312_800.0;
        let check = |seconds: f64, columns: usize, expected: &[(usize, &str)]| {
            let found = times(start, start + seconds, columns);
            let found: Vec<_> = found
                .iter()
                .map(|(at, text)| (*at, text.as_str()))
                .collect();
            assert_eq!(found, expected, "{seconds} {columns}");
        };
        check(
            3_600.0,
            61,
            &[
                (0, "02:00"),
                (10, "02:10"),
                (20, "02:20"),
                (30, "02:30"),
                (40, "02:40"),
                (50, "02:50"),
                (60, "03:00"),
            ],
        );
        check(
            60.0,
            31,
            &[(0, "02:00:00"), (15, "02:00:30"), (30, "02:01:00")],
        );
        check(
            86_400.0,
            49,
            &[(8, "06:00"), (20, "12:00"), (32, "18:00"), (44, "Nov 23")],
        );
        check(0.0, 40, &[(0, "2026-11-22")]);
        check(
            7.0 * 86_400.0,
            60,
            &[
                (8, "2026-11-23"),
                (25, "2026-11-25"),
                (41, "2026-11-27"),
                (58, "2026-11-29"),
            ],
        );
    }
}

//! Functions of dates: a time in seconds since 1970 as a day, month or hour, in UTC.

use super::call::argument;
use super::series::Series;
use super::{Evaluation, Evaluator, Grid};
use crate::labels::Labels;
use crate::promql::ast::Call;

const DAY_SECONDS: i64 = 86_400;

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Date {
    year: i64,
    month: i64,
    day: i64,
    day_of_year: i64,
}

/// The date of a number of days since 1970. Years begin in March here, so that the leap day is the
/// last.
fn date(days: i64) -> Date {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let from_january = if month <= 2 {
        day_of_year - 306
    } else {
        day_of_year + 59 + i64::from(is_leap(year))
    };
    Date {
        year,
        month,
        day,
        day_of_year: from_january + 1,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(date: Date) -> i64 {
    match date.month {
        2 => 28 + i64::from(is_leap(date.year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn part(name: &str, seconds: f64) -> f64 {
    // Further away no calendar makes sense.
    if seconds.is_nan() || seconds.abs() >= 1e15 {
        return f64::NAN;
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    let seconds = seconds.trunc() as i64;
    let days = seconds.div_euclid(DAY_SECONDS);
    let of_day = seconds.rem_euclid(DAY_SECONDS);
    let number = match name {
        "hour" => of_day / 3600,
        "minute" => of_day / 60 % 60,
        // The first of January 1970 was a Thursday.
        "day_of_week" => (days + 4).rem_euclid(7),
        _ => {
            let date = date(days);
            match name {
                "day_of_month" => date.day,
                "day_of_year" => date.day_of_year,
                "days_in_month" => days_in_month(date),
                "month" => date.month,
                _ => date.year,
            }
        }
    };
    number as f64
}

impl Evaluator<'_> {
    /// A part of the date of each value, or of the step's time.
    pub(super) fn date(&self, call: &Call, grid: Grid) -> Evaluation<Vec<Series>> {
        let name = call.function.name;
        if call.arguments.is_empty() {
            let times = grid.times().map(|time| part(name, time as f64 / 1000.0));
            return Ok(vec![Series::floats(Labels::none(), times.collect())]);
        }
        let mut series = self.eval_vector(argument(call, 0)?, grid)?;
        self.map(&mut series, |seconds| part(name, seconds))?;
        Ok(series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_all_kinds_of_years() {
        let cases = [
            (0, (1970, 1, 1, 1)),
            (-1, (1969, 12, 31, 365)),
            (11_016, (2000, 2, 29, 60)),
            (11_017, (2000, 3, 1, 61)),
            (17_166, (2016, 12, 31, 366)),
            (47_541, (2100, 3, 1, 60)),
        ];
        for (days, expected) in cases {
            let found = date(days);
            let found = (found.year, found.month, found.day, found.day_of_year);
            assert_eq!(found, expected, "{days}");
        }
    }
}

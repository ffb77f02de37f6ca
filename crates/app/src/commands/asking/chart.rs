//! Charts of characters: bars and one column for each day.

use time::Date;
use time::macros::format_description;

/// A bar of eight eighths in each column.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
/// Columns by height.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The longest row of days: ten years.
const DAYS_MAX: usize = 3_660;
/// A day without records.
const NONE: char = '·';

/// A bar of up to `columns`, which stand for `most`. What is more than nothing is seen.
pub(in crate::commands) fn bar(value: u64, most: u64, columns: usize) -> String {
    if value == 0 || most == 0 {
        return String::new();
    }
    let whole = u128::try_from(columns).unwrap_or(0) * 8;
    let eighths = u128::from(value.min(most)) * whole / u128::from(most);
    let eighths = usize::try_from(eighths).unwrap_or(0).max(1);
    let mut bar = "█".repeat(eighths / 8);
    let rest = eighths % 8;
    bar.extend(rest.checked_sub(1).and_then(|at| EIGHTHS.get(at)));
    bar
}

/// A column for each value, the highest of them full.
pub(in crate::commands) fn sparkline(values: &[u64]) -> String {
    let most = values.iter().copied().max().unwrap_or(0);
    let column = |value: &u64| match *value {
        0 => NONE,
        value => {
            // From 0 to 7: only what reaches the most is full.
            let height = (u128::from(value) * 8).div_ceil(u128::from(most.max(1))) - 1;
            let height = usize::try_from(height).unwrap_or(0);
            HEIGHTS.get(height).copied().unwrap_or('█')
        }
    };
    values.iter().map(column).collect()
}

/// The same values in at most `columns` sums of equally many, and how many each has.
pub(in crate::commands) fn condensed(values: &[u64], columns: usize) -> (Vec<u64>, usize) {
    let each = values.len().div_ceil(columns.max(1)).max(1);
    // The newest sum is whole: what came last is what people look at.
    let odd = values.len() % each;
    let (first, rest) = values.split_at(odd);
    let mut sums: Vec<u64> = rest.chunks(each).map(|part| part.iter().sum()).collect();
    if odd > 0 {
        sums.insert(0, first.iter().sum());
    }
    (sums, each)
}

/// The number of a day such as 2026-11-21.
pub(in crate::commands) fn day_number(text: &str) -> Option<i32> {
    let date = Date::parse(text, format_description!("[year]-[month]-[day]"));
    Some(date.ok()?.to_julian_day())
}

/// A value for each day, also for those that nothing is known of. What is outside is left out.
pub(in crate::commands) fn days(
    first: i32,
    last: i32,
    known: impl IntoIterator<Item = (i32, u64)>,
) -> Vec<u64> {
    let count = usize::try_from(last - first + 1).unwrap_or(0).min(DAYS_MAX);
    let mut values = vec![0; count];
    for (day, value) in known {
        let at = usize::try_from(day - first).ok();
        if let Some(slot) = at.and_then(|at| values.get_mut(at)) {
            *slot += value;
        }
    }
    values
}

/// What columns of days are.
pub(in crate::commands) fn caption(first: i32, last: i32, each: usize) -> String {
    let date =
        |day| Date::from_julian_day(day).map_or_else(|_| String::new(), |day| day.to_string());
    let column = match each {
        0 | 1 => "A DAY".to_owned(),
        each => format!("{each} DAYS"),
    };
    format!("{column} A COLUMN, {} TO {}", date(first), date(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_in_proportion() {
        let check = |value: u64, most: u64, expected: &str| {
            assert_eq!(bar(value, most, 4), expected, "{value} of {most}");
        };
        check(0, 10, "");
        check(10, 10, "████");
        check(5, 10, "██");
        check(1, 32, "▏");
        check(9, 32, "█▏");
        check(1, u64::MAX, "▏");
        check(u64::MAX, u64::MAX, "████");
        check(1, 0, "");
    }

    #[test]
    fn days_are_columns() {
        assert_eq!(sparkline(&[0, 1, 4, 8]), "·▁▄█");
        assert_eq!(sparkline(&[3, 3]), "██");
        assert_eq!(sparkline(&[1, 1_000_000]), "▁█");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[0, u64::MAX]), "·█");
    }

    #[test]
    fn days_without_records_are_there() {
        let day = |text: &str| day_number(text).unwrap();
        let first = day("2026-02-27");
        let known = [
            (day("2026-03-01"), 5),
            (day("2026-02-27"), 1),
            (day("2026-04-01"), 9),
        ];
        assert_eq!(days(first, day("2026-03-02"), known), [1, 0, 5, 0]);
        assert!(days(first, first - 1, known).is_empty());
        assert_eq!(day_number("soon"), None);
        let shown = caption(first, day("2026-03-02"), 1);
        assert_eq!(shown, "A DAY A COLUMN, 2026-02-27 TO 2026-03-02");
    }

    #[test]
    fn too_many_days_become_sums() {
        assert_eq!(condensed(&[1, 2, 3], 3), (vec![1, 2, 3], 1));
        assert_eq!(condensed(&[1, 2, 3, 4, 5], 3), (vec![1, 5, 9], 2));
        assert_eq!(condensed(&[1; 31], 30).0.len(), 16);
        assert_eq!(condensed(&[], 3), (vec![], 1));
        let (sums, _) = condensed(&[2; 366], 40);
        assert!(sums.len() <= 40 && sums.iter().sum::<u64>() == 732);
    }
}

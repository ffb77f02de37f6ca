//! `landline records stats`: how many records have which value of a field.

use std::collections::BTreeMap;

use serde_json::Value;
use time::OffsetDateTime;

use super::hub::Hub;
use super::output::Output;
use super::query::{self, Query};
use super::{Outcome, StatsArguments, chart, text};

/// The width of bars, and on narrow terminals.
const BAR_COLUMNS: [usize; 2] = [20, 8];
/// Narrower than this a terminal is narrow.
const NARROW: usize = 100;
/// The widest names of values.
const NAME_COLUMNS: usize = 36;
/// The width without a terminal, and the most that is used of one.
const COLUMNS: usize = 120;
/// Columns of days, at least.
const DAY_COLUMNS_MIN: usize = 10;

/// Records of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    name: String,
    total: u64,
    /// By day.
    days: Vec<(i32, u64)>,
}

/// The days that are shown.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: i32,
    last: i32,
}

/// `landline records stats`
pub(super) async fn stats(hub: &Hub, arguments: &StatsArguments, output: &mut Output) -> Outcome {
    let now = query::now();
    let since = query::moment("since", &arguments.since, now)?;
    let until = match &arguments.until {
        Some(text) => Some(query::moment("until", text, now)?),
        None => None,
    };
    let mut query = Query::default()
        .with("by", &arguments.by)
        .with_some("project", arguments.project.as_ref())
        .with("since", &query::rfc3339(since)?);
    if let Some(until) = until {
        query = query.with("until", &query::rfc3339(until)?);
    }
    let answer = hub.get(&query.at("/v1/records/counts")).await?;
    if arguments.question.json {
        return output.json(&answer);
    }
    let span = Span {
        first: day_of(since),
        // The end is not part of the window: midnight belongs to the day before.
        last: day_of(until.map_or(now, |until| until - time::Duration::MILLISECOND)),
    };
    let rows = rows(&answer, &arguments.by);
    if rows.is_empty() {
        eprintln!("landline: no record came in this time");
        return Ok(());
    }
    let heading = arguments.by.to_uppercase();
    let rows = merged(rows, arguments.limit);
    let width = output.width().unwrap_or(COLUMNS).min(COLUMNS);
    output.lines(&lines(&heading, &rows, span, width))?;
    output.flush()
}

fn day_of(time: OffsetDateTime) -> i32 {
    time.to_offset(time::UtcOffset::UTC).to_julian_day()
}

/// The values of an answer, those with most records first.
fn rows(answer: &Value, by: &str) -> Vec<Row> {
    let mut found: BTreeMap<&str, Vec<(i32, u64)>> = BTreeMap::new();
    let days = answer.get("days").and_then(Value::as_array);
    for day in days.into_iter().flatten() {
        let number = day.get("day").and_then(Value::as_str);
        let counts = day.get("counts").and_then(Value::as_object);
        let Some(number) = number.and_then(chart::day_number) else {
            continue;
        };
        for (value, count) in counts.into_iter().flatten() {
            let count = count.as_u64().unwrap_or(0);
            found.entry(value).or_default().push((number, count));
        }
    }
    let row = |(value, days): (&str, Vec<(i32, u64)>)| Row {
        name: name(value, by),
        total: days.iter().map(|(_, count)| count).sum(),
        days,
    };
    let mut rows: Vec<Row> = found.into_iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.total));
    rows
}

fn name(value: &str, by: &str) -> String {
    match by {
        "classification" => text::classification(&text::harmless(value)),
        "severity" => format!("{value} {}", text::severity(value.parse().ok())),
        _ if value.is_empty() => "(empty)".to_owned(),
        _ => text::harmless(value),
    }
}

/// The first rows, and the rest as one.
fn merged(mut rows: Vec<Row>, limit: usize) -> Vec<Row> {
    let rest = rows.split_off(limit.min(rows.len()));
    if let [one] = rest.as_slice() {
        rows.push(one.clone());
    } else if !rest.is_empty() {
        rows.push(Row {
            name: format!("({} others)", text::number(rest.len() as u64)),
            total: rest.iter().map(|row| row.total).sum(),
            days: rest.into_iter().flat_map(|row| row.days).collect(),
        });
    }
    rows
}

/// A line for each row: name, number, share, bar, days.
fn lines(heading: &str, rows: &[Row], span: Span, width: usize) -> Vec<String> {
    let total: u64 = rows.iter().map(|row| row.total).sum();
    let most = rows.iter().map(|row| row.total).max().unwrap_or(0);
    let names = rows.iter().map(|row| text::width(&row.name));
    let names = names.chain([text::width(heading)]).max().unwrap_or(0);
    let counts = text::width(&text::number(total)).max("RECORDS".len());
    let [wide, narrow] = BAR_COLUMNS;
    let bars = if width < NARROW { narrow } else { wide };
    // The number, its share of four columns, the bar, and two blanks before each.
    let fixed = 2 + counts + 2 + 4 + 2 + bars + 2;
    let names = names
        .min(NAME_COLUMNS)
        .min(width.saturating_sub(fixed + DAY_COLUMNS_MIN).max(8));
    let room = width.saturating_sub(fixed + names).max(DAY_COLUMNS_MIN);
    let columns = |row: &Row| {
        let days = row.days.iter().copied();
        chart::condensed(&chart::days(span.first, span.last, days), room)
    };
    let each = rows.first().map_or(1, |row| columns(row).1);
    let caption = chart::caption(span.first, span.last, each);
    let head = format!(
        "{}  {:>counts$}  {:>4}",
        text::padded(heading, names),
        "RECORDS",
        ""
    );
    let mut lines = vec![head];
    for row in rows {
        lines.push(format!(
            "{}  {:>counts$}  {:>4}  {}  {}",
            text::padded(&text::cut(&row.name, names), names),
            text::number(row.total),
            share(row.total, total),
            text::padded(&chart::bar(row.total, most, bars), bars),
            chart::sparkline(&columns(row).0)
        ));
    }
    let all = text::number(total);
    lines.push(format!("{}  {all:>counts$}", text::padded("all", names)));
    lines.push(format!("\n{caption}; each row by its own most"));
    lines
}

/// A part in percent, without decimals.
fn share(part: u64, whole: u64) -> String {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    match percent {
        0 if part > 0 => "<1%".to_owned(),
        percent => format!("{percent}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer() -> Value {
        json!({"by": "severity", "days": [
            {"day": "2026-11-19", "counts": {"1": 10, "4": 1}},
            {"day": "2026-11-21", "counts": {"1": 989, "3": 4}},
        ]})
    }

    #[test]
    fn values_are_sorted_by_their_records() {
        let rows = rows(&answer(), "severity");
        let found: Vec<(&str, u64)> = rows
            .iter()
            .map(|row| (row.name.as_str(), row.total))
            .collect();
        assert_eq!(found, [("1 low", 999), ("3 high", 4), ("4 crit", 1)]);
        let shown = merged(rows.clone(), 1);
        assert_eq!(shown[1].name, "(2 others)");
        assert_eq!(shown[1].total, 5);
        assert_eq!(merged(rows.clone(), 2), rows, "one other is shown as it is");
    }

    #[test]
    fn rows_have_bars_and_days_within_the_width() {
        let span = Span {
            first: chart::day_number("2026-11-19").unwrap(),
            last: chart::day_number("2026-11-21").unwrap(),
        };
        let shown = lines("SEVERITY", &rows(&answer(), "severity"), span, 80);
        assert!(
            shown.iter().all(|line| text::width(line) <= 80),
            "{shown:?}"
        );
        assert_eq!(shown[1], "1 low         999   99%  ████████  ▁·█");
        assert_eq!(shown[3], "4 crit          1   <1%  ▏         █··");
        assert_eq!(shown[4], "all         1,004");
    }

    #[test]
    fn shares_are_whole_percents() {
        for (part, whole, expected) in [
            (1, 2, "50%"),
            (0, 2, "0%"),
            (1, 1000, "<1%"),
            (3, 3, "100%"),
        ] {
            assert_eq!(share(part, whole), expected);
        }
    }
}

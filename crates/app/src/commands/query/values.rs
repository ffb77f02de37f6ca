//! A table of values at one moment.

use super::answer::{Row, name};
use super::text;

/// Between the value and the series.
const GAP: &str = "  ";
/// A series is never cut shorter: rather let the terminal break the line.
const NAME_COLUMNS_MIN: usize = 16;

/// A line for each series: its value to the right, and what it is.
pub(super) fn table(rows: &[Row], terminal: Option<usize>) -> Vec<String> {
    let values: Vec<_> = rows.iter().map(|row| text::harmless(&row.value)).collect();
    let widest = values.iter().map(|value| text::width(value)).max();
    let widest = widest.unwrap_or(0).max("VALUE".len());
    let room = terminal.map(|terminal| {
        let left = terminal.saturating_sub(widest + GAP.len());
        left.max(NAME_COLUMNS_MIN)
    });
    let mut lines = vec![format!("{:>widest$}{GAP}SERIES", "VALUE")];
    for (row, value) in rows.iter().zip(values) {
        let blanks = " ".repeat(widest.saturating_sub(text::width(&value)));
        let name = name(&row.labels, &[]);
        let name = match room {
            Some(room) => text::cut(&name, room),
            None => name,
        };
        lines.push(format!("{blanks}{value}{GAP}{name}"));
    }
    lines
}

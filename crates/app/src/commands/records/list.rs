//! `landline records ls`, and how lists are printed page by page.

use serde_json::Value;
use time::OffsetDateTime;

use super::hub::Hub;
use super::output::Output;
use super::pages::{Cursor, PAGE, Pages};
use super::query;
use super::table::{Column, Layout, flexible, whole};
use super::{ListArguments, Outcome, text};

/// What lists show of a record.
pub(super) const RECORD: [Column; 7] = [
    whole("ID"),
    whole("AGE"),
    whole("SEV"),
    flexible("CLASSIFICATION", 14),
    flexible("MACHINE", 6),
    flexible("SYSTEM", 10),
    flexible("EXCERPT", 24),
];
/// `landline records ls`
pub(super) async fn list(hub: &Hub, arguments: &ListArguments, output: &mut Output) -> Outcome {
    let now = query::now();
    let query = arguments.search.add_to(arguments.filters.query(), now)?;
    let query = query
        .with_some("payload", arguments.payload.as_ref())
        .with_some("not_payload", arguments.not_payload.as_ref());
    let pages = Pages {
        hub,
        path: "/v1/records",
        key: "records",
        query,
        cursor: Cursor::new(&arguments.amount, PAGE),
    };
    let shown = Shown {
        columns: &RECORD,
        row: &|record| record_row(record, now),
        is_json: arguments.question.json,
        none: "no record fits",
    };
    print(pages, &shown, output).await
}

/// How a list is shown.
pub(super) struct Shown<'a> {
    pub(super) columns: &'a [Column],
    pub(super) row: &'a dyn Fn(&Value) -> Vec<String>,
    pub(super) is_json: bool,
    /// What is said of an empty one.
    pub(super) none: &'static str,
}

/// Prints all pages.
pub(super) async fn print(mut pages: Pages<'_>, shown: &Shown<'_>, output: &mut Output) -> Outcome {
    let mut layout: Option<Layout> = None;
    while let Some(rows) = pages.next().await? {
        if shown.is_json {
            rows.iter().try_for_each(|row| output.json_line(row))?;
            continue;
        }
        let rows: Vec<Vec<String>> = rows.iter().map(shown.row).collect();
        // The first page says how wide the columns are of all.
        let layout = match &layout {
            Some(layout) => layout,
            None => {
                let found = Layout::of(shown.columns, &rows, output.width());
                output.line(&found.head(shown.columns))?;
                layout.insert(found)
            }
        };
        for row in &rows {
            output.line(&layout.line(row))?;
        }
    }
    if layout.is_none() && !shown.is_json {
        eprintln!("landline: {}", shown.none);
    }
    output.flush()
}

/// The cells of [`RECORD`].
pub(super) fn record_row(record: &Value, now: OffsetDateTime) -> Vec<String> {
    let field = |name: &str| text::field(record, name);
    vec![
        field("id"),
        text::age(&field("received_at"), now),
        text::severity(record.get("severity").and_then(Value::as_i64)).to_owned(),
        text::classification(&field("classification")),
        text::machine(&field("machine_id")),
        format!("{} {}", field("system_name"), field("build")),
        field("excerpt"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use time::macros::datetime;

    #[test]
    fn a_record_is_a_row() {
        let record = json!({
            "id": 7, "received_at": "2026-11-21T16:45:00Z", "severity": 3,
            "classification": "org.clearlinux/crash/clr", "build": "34960",
            "machine_id": "9b3f0c5a9b3f0c5a9b3f0c5a9b3f0c5a", "system_name": "clear-linux-os",
            "excerpt": "Program: \u{1b}[31mx", "group": null,
        });
        let row = record_row(&record, datetime!(2026-11-21 16:50:00 UTC));
        let expected = [
            "7",
            "5m",
            "high",
            "crash/clr",
            "9b3f0c5a…",
            "clear-linux-os 34960",
            "Program: \u{fffd}[31mx",
        ];
        assert_eq!(row, expected);
    }
}

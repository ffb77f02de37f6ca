//! `landline artefacts ls`: groups, runs of a group, files of a run.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::address::Address;
use super::{CommandError, ListArguments, Outcome, RunFilters, groups};
use crate::commands::asking::hub::Hub;
use crate::commands::asking::output::Output;
use crate::commands::asking::query::{self, Query};
use crate::commands::asking::table::{Column, Layout, flexible, whole};
use crate::commands::asking::text;

/// What is asked for at once.
const PAGE: u64 = 500;
/// What is shown of a run.
const RUN: [Column; 8] = [
    whole("RUN"),
    whole("STATE"),
    whole("STATUS"),
    whole("FILES"),
    whole("SIZE"),
    whole("CHANGED"),
    whole("PINNED"),
    flexible("TAG", 8),
];
/// What is shown of a file.
const FILE: [Column; 3] = [whole("SIZE"), whole("CHANGED"), whole("NAME")];

/// `landline artefacts ls`
pub(super) async fn ls(hub: &Hub, arguments: &ListArguments, output: &mut Output) -> Outcome {
    let of_runs = arguments.of.as_ref().is_some_and(|of| of.run.is_none());
    if !of_runs && arguments.filters.is_given() {
        return Err(CommandError::wrong(
            "--status, --tag and the like are for the runs of a group: say which group",
        ));
    }
    match &arguments.of {
        None => groups::list(hub, &arguments.question, output).await,
        Some(of) if of.run.is_none() => runs(hub, (of, arguments), output).await,
        Some(of) => files(hub, (of, arguments), output).await,
    }
}

/// Prints a list page by page; the first page says how wide the columns are of all.
struct Lines<'a> {
    columns: &'a [Column],
    layout: Option<Layout>,
}

impl Lines<'_> {
    fn print(&mut self, rows: &[Vec<String>], output: &mut Output) -> Outcome {
        if rows.is_empty() {
            return Ok(());
        }
        let layout = match &self.layout {
            Some(layout) => layout,
            None => {
                let found = Layout::of(self.columns, rows, output.width());
                output.line(&found.head(self.columns))?;
                self.layout.insert(found)
            }
        };
        rows.iter()
            .try_for_each(|row| output.line(&layout.line(row)))
    }
}

async fn runs(
    hub: &Hub,
    (of, arguments): (&Address, &ListArguments),
    output: &mut Output,
) -> Outcome {
    let now = query::now();
    let query = Query::default().with("group", &of.group);
    let query = arguments.filters.add_to(query, now)?.with("limit", &PAGE);
    let mut lines = Lines {
        columns: &RUN,
        layout: None,
    };
    let mut before: Option<i64> = None;
    let mut has_any = false;
    loop {
        let query = query.clone().with_some("before", before.as_ref());
        let mut page = hub.get(&query.at("/v1/artefacts/runs")).await?;
        let runs = taken(&mut page, "runs");
        has_any |= !runs.is_empty();
        if arguments.question.json {
            runs.iter().try_for_each(|run| output.json_line(run))?;
        } else {
            let rows: Vec<Vec<String>> = runs.iter().map(|run| run_row(run, now)).collect();
            lines.print(&rows, output)?;
        }
        let next = page.get("next").and_then(Value::as_i64);
        // A list that does not get further is at its end, whatever it says.
        let goes_on = next.is_some_and(|next| before.is_none_or(|before| next < before));
        if !goes_on {
            break;
        }
        before = next;
    }
    if !has_any && !arguments.question.json {
        eprintln!("landline: no run of {} fits", text::harmless(&of.group));
    }
    output.flush()
}

fn run_row(run: &Value, now: OffsetDateTime) -> Vec<String> {
    let field = |name: &str| text::field(run, name);
    let values = |name: &str| {
        let values = run.get("fields").and_then(|fields| fields.get(name));
        let values = values.and_then(Value::as_array).into_iter().flatten();
        let values: Vec<String> = values
            .filter_map(|value| Some(text::harmless(value.as_str()?)))
            .collect();
        values.join(",")
    };
    vec![
        field("run"),
        field("state"),
        values("status"),
        field("files"),
        text::bytes(number(run, "bytes")),
        text::age(&field("changed_at"), now),
        pinned(run),
        values("tag"),
    ]
}

/// What tables show of a pin.
pub(super) fn pinned(thing: &Value) -> String {
    match thing.get("pinned").and_then(Value::as_bool) {
        Some(true) => "pinned".to_owned(),
        _ => "-".to_owned(),
    }
}

/// A field that is a number.
pub(super) fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// A list that is a field.
pub(super) fn taken(page: &mut Value, name: &str) -> Vec<Value> {
    match page.get_mut(name).map(Value::take) {
        Some(Value::Array(rows)) => rows,
        _ => Vec::new(),
    }
}

async fn files(
    hub: &Hub,
    (of, arguments): (&Address, &ListArguments),
    output: &mut Output,
) -> Outcome {
    let now = query::now();
    let path = format!("{}/files", of.path_of_run());
    let query = Query::default()
        .with_some("prefix", of.name.as_ref())
        .with("folders", &!arguments.recursive)
        .with("limit", &PAGE);
    let mut lines = Lines {
        columns: &FILE,
        layout: None,
    };
    let mut after: Option<String> = None;
    let mut has_any = false;
    loop {
        let query = query.clone().with_some("after", after.as_ref());
        let mut page = hub.get(&query.at(&path)).await?;
        let (folders, files) = (taken(&mut page, "folders"), taken(&mut page, "files"));
        let joined = taken(&mut page, "joined");
        has_any |= !(folders.is_empty() && files.is_empty());
        if arguments.question.json {
            for folder in &folders {
                output.json_line(&json!({"folder": folder}))?;
            }
            for file in &joined {
                output.json_line(&json!({"joined": file}))?;
            }
            files.iter().try_for_each(|file| output.json_line(file))?;
        } else {
            let folders = folders.iter().filter_map(Value::as_str);
            let folders = folders.map(|name| {
                let name = text::harmless(name);
                vec!["folder".to_owned(), String::new(), name]
            });
            let joined = joined.iter().map(joined_row);
            let files = files.iter().map(|file| file_row(file, now));
            let rows: Vec<Vec<String>> = folders.chain(joined).chain(files).collect();
            lines.print(&rows, output)?;
        }
        let next = page.get("next").and_then(Value::as_str);
        match next.map(str::to_owned) {
            Some(next) if after.as_ref().is_none_or(|after| next > *after) => after = Some(next),
            _ => break,
        }
    }
    if !has_any && !arguments.question.json {
        eprintln!("landline: nothing is in {}", text::harmless(&of.key()));
    }
    output.flush()
}

fn file_row(file: &Value, now: OffsetDateTime) -> Vec<String> {
    let field = |name: &str| text::field(file, name);
    let versions = match number(file, "versions") {
        0 | 1 => String::new(),
        versions => format!("  ({versions} versions)"),
    };
    vec![
        text::bytes(number(file, "bytes")),
        text::age(&field("changed_at"), now),
        format!("{}{versions}", field("name")),
    ]
}

/// What was sent in parts, as the one file that it is.
fn joined_row(file: &Value) -> Vec<String> {
    let name = text::field(file, "name");
    let parts = number(file, "parts");
    vec![
        text::bytes(number(file, "bytes")),
        String::new(),
        format!("{name}  ({parts} parts as one)"),
    ]
}

impl RunFilters {
    fn is_given(&self) -> bool {
        let texts = [
            &self.status,
            &self.tag,
            &self.version,
            &self.scenario,
            &self.text,
            &self.since,
            &self.until,
            &self.state,
        ];
        texts.iter().any(|text| text.is_some()) || !self.field.is_empty() || self.pinned
    }

    /// As `/v1/artefacts/runs` takes them.
    fn add_to(&self, query: Query, now: OffsetDateTime) -> Outcome<Query> {
        let mut query = query
            .with_some("status", self.status.as_ref())
            .with_some("tag", self.tag.as_ref())
            .with_some("version", self.version.as_ref())
            .with_some("scenario", self.scenario.as_ref())
            .with_some("text", self.text.as_ref())
            .with_some("state", self.state.as_ref());
        for field in &self.field {
            query = query.with("field", &field.replacen('=', ":", 1));
        }
        if self.pinned {
            query = query.with("pinned", &true);
        }
        for (name, value) in [("since", &self.since), ("until", &self.until)] {
            if let Some(text) = value {
                let moment = query::moment(name, text, now)?;
                query = query.with(name, &query::rfc3339(moment)?);
            }
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn rows_show_what_is_known() {
        let now = datetime!(2026-11-21 16:50:00 UTC);
        let run = json!({
            "run": "7", "state": "closed", "files": 2, "bytes": 1_536, "pinned": true,
            "changed_at": "2026-11-21T16:45:00Z",
            "fields": {"status": ["passed"], "tag": ["a", "b\u{1b}[0m"]},
        });
        let expected = [
            "7",
            "closed",
            "passed",
            "2",
            "1.5 KiB",
            "5m",
            "pinned",
            "a,b\u{fffd}[0m",
        ];
        assert_eq!(run_row(&run, now), expected);
        let file = json!({
            "name": "a.tar", "bytes": 10, "versions": 2, "changed_at": "2026-11-21T16:49:00Z",
        });
        assert_eq!(file_row(&file, now), ["10 B", "1m", "a.tar  (2 versions)"]);
        let joined = json!({"name": "p.tar", "parts": 3, "bytes": 0});
        assert_eq!(joined_row(&joined), ["0 B", "", "p.tar  (3 parts as one)"]);
    }
}

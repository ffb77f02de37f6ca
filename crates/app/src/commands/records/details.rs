//! What lists leave out of records: payloads and rarer fields, for a page of records.
//!
//! Only `/v1/records` knows all filters, and only `/api/records` gives many whole records at once. So
//! the first says which records, and the second is read beside it, newest first, like the other side of
//! a zip. What it passes over, because it looks back 30 days only or knows fewer filters, is asked for
//! one by one.

use serde_json::{Map, Value};

use super::hub::{Hub, Wanted};
use super::incoming::Lines;
use super::query::Query;
use super::{CommandError, Outcome};

/// How a program asks for one record a line.
const LINES_TYPE: &str = "application/x-ndjson";
/// The most records of one answer.
const LINES_MAX: usize = 1_000;
/// Records that are passed over for one page, before asking one by one is less work.
const PASSED_MAX: usize = 2_000;
/// The names of the original collector for what we call otherwise.
const RENAMED: [(&str, &str); 2] = [
    ("machine_type", "host_type"),
    ("payload_version", "payload_format_version"),
];
/// What is the same in both.
const SAME: [&str; 8] = [
    "event_id",
    "arch",
    "kernel_version",
    "board_name",
    "cpu_model",
    "bios_version",
    "record_format_version",
    "payload",
];

type Record = Map<String, Value>;

/// The whole records of a page, in its order.
pub(super) struct Details<'a> {
    hub: &'a Hub,
    query: Query,
    stream: Option<Stream>,
    passed: usize,
}

/// One answer of `/api/records`.
struct Stream {
    lines: Lines,
    count: usize,
    /// The record of the last line.
    last: i64,
    /// The same, when it was not the one that was wanted.
    held: Option<(i64, Record)>,
}

impl<'a> Details<'a> {
    /// For a page with these records; `query` is at most as narrow as theirs.
    pub(super) async fn of(hub: &'a Hub, query: Query, page: &[Value]) -> Outcome<Self> {
        let mut details = Self {
            hub,
            query,
            stream: None,
            passed: 0,
        };
        let first = page.first().and_then(id_of);
        let last = page.last().and_then(id_of);
        if let (Some(first), Some(last)) = (first, last) {
            details.query = details
                .query
                .with("from_id", &last)
                .with("limit", &LINES_MAX);
            details.open(first.saturating_add(1)).await?;
        }
        Ok(details)
    }

    async fn open(&mut self, before: i64) -> Outcome {
        let wanted = Wanted {
            accept: LINES_TYPE,
            seen: None,
            body: None,
        };
        let path = self.query.clone().with("before_id", &before);
        let incoming = self.hub.open(&path.at("/api/records"), wanted).await?;
        self.stream = Some(Stream {
            lines: incoming.lines(),
            count: 0,
            last: before,
            held: None,
        });
        Ok(())
    }

    /// All of this record of the page; nothing when it was removed meanwhile.
    pub(super) async fn whole(&mut self, summary: Value) -> Outcome<Option<Record>> {
        let Value::Object(mut record) = summary else {
            return Ok(None);
        };
        let Some(id) = record.get("id").and_then(Value::as_i64) else {
            return Ok(None);
        };
        match self.find(id).await? {
            Some(original) => add(&mut record, original),
            None => match self.hub.get(&format!("/v1/records/{id}")).await {
                Ok(Value::Object(all)) => record = all,
                Ok(_) | Err(CommandError::Refused { status: 404, .. }) => return Ok(None),
                Err(error) => return Err(error),
            },
        }
        record.remove("excerpt");
        record.remove("why_grouped");
        Ok(Some(record))
    }

    /// The record on the stream, if that has it.
    async fn find(&mut self, id: i64) -> Outcome<Option<Record>> {
        while let Some(stream) = &mut self.stream {
            match stream.next().await? {
                Some((at, record)) if at == id => return Ok(Some(record)),
                Some((at, record)) if at < id => {
                    stream.held = Some((at, record));
                    return Ok(None);
                }
                Some(_) => {
                    self.passed += 1;
                    if self.passed > PASSED_MAX {
                        self.stream = None;
                    }
                }
                None => {
                    let (is_full, last) = (stream.count >= LINES_MAX, stream.last);
                    self.stream = None;
                    if is_full {
                        self.open(last).await?;
                    }
                }
            }
        }
        Ok(None)
    }
}

impl Stream {
    async fn next(&mut self) -> Outcome<Option<(i64, Record)>> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        let Some(line) = self.lines.next().await? else {
            return Ok(None);
        };
        let record: Record = serde_json::from_slice(&line)
            .map_err(|_| CommandError::wrong("the hub sends a record that is not JSON"))?;
        let id = record.get("id").and_then(Value::as_i64);
        let id =
            id.ok_or_else(|| CommandError::wrong("the hub sends a record without a number"))?;
        self.count += 1;
        self.last = id;
        Ok(Some((id, record)))
    }
}

/// Adds to a summary what the original's form of the record has beyond it.
fn add(record: &mut Record, mut original: Record) {
    for name in SAME {
        record.insert(name.to_owned(), original.remove(name).unwrap_or_default());
    }
    for (theirs, ours) in RENAMED {
        record.insert(ours.to_owned(), original.remove(theirs).unwrap_or_default());
    }
}

fn id_of(record: &Value) -> Option<i64> {
    record.get("id").and_then(Value::as_i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_of_a_record_become_one() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let mut record = object(json!({"id": 7, "external": true, "created_at": null}));
        let original = json!({
            "id": 7, "external": true, "machine_type": "a|b|c", "payload_version": 2,
            "record_version": 4, "record_format_version": 4, "event_id": "e", "arch": "x86_64",
            "kernel_version": "6.1.0", "board_name": "b", "cpu_model": "c", "bios_version": "v",
            "payload": "p", "ts_capture": "2026-11-21 16:50:00 UTC",
        });
        add(&mut record, object(original));
        let expected = json!({
            "id": 7, "external": true, "created_at": null, "host_type": "a|b|c",
            "payload_format_version": 2, "record_format_version": 4, "event_id": "e",
            "arch": "x86_64", "kernel_version": "6.1.0", "board_name": "b", "cpu_model": "c",
            "bios_version": "v", "payload": "p",
        });
        assert_eq!(Value::Object(record), expected);
    }
}

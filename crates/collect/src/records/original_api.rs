//! `GET /api/records`, as programs ask the original for records. What we add are cursors:
//! `after_id` gives the oldest first, `before_id` the newest first, and `next` in the answer is what
//! to ask with next.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Policy, Routes};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use state::StateError;

use super::filter::Conditions;
use super::original::OriginalRecord;
use super::packed::{Column, Row};
use super::reader::Reader;
use super::search::Field;
use super::stored::{Order, StoredRecord, WHOLE};
use super::stream::{self, Render, Wanted};
use super::time::{self, DAY_MILLISECONDS};
use super::{Shared, csv};

/// Records of one answer, and what is given without a limit.
const LIMIT_MAX: usize = 1_000;
/// The original looks back no further.
const WINDOW_DAYS: i64 = 30;
/// How a program asks for one record a line.
const LINES_TYPE: &str = "application/x-ndjson";

pub(crate) fn routes(shared: &Arc<Shared>, policy: impl Fn() -> Policy) -> Routes {
    let shared_list = Arc::clone(shared);
    let list = move |reader: Extension<Reader>,
                     query: Query<HashMap<String, String>>,
                     headers: HeaderMap| async move {
        list(&shared_list, &reader, &query, &headers).await
    };
    Routes::default()
        .get("/api/records", policy(), list)
        .merge(csv::routes(shared, policy))
}

async fn list(
    shared: &Arc<Shared>,
    reader: &Reader,
    query: &HashMap<String, String>,
    headers: &HeaderMap,
) -> Response {
    let mut wanted = match read(query, time::now()) {
        Ok(wanted) => wanted,
        Err(message) => return refuse(Class::Invalid, message),
    };
    let limit = wanted.limit;
    let projects = reader.projects(&shared.projects, None);
    let count = shared.projects.count();
    wanted.conditions.projects(&projects, count);
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let (content_type, body) = if accept.is_some_and(|accept| accept.contains(LINES_TYPE)) {
        (LINES_TYPE, stream::body(shared, wanted, Lines).await)
    } else {
        (
            "application/json",
            stream::body(shared, wanted, List { limit }).await,
        )
    };
    match body {
        Ok(body) => ([(CONTENT_TYPE, content_type)], body).into_response(),
        Err(error) => {
            let text = base::client::chain(&error);
            tracing::warn!(error = text, "records can't be read");
            refuse(error.class(), "the records can't be read now")
        }
    }
}

/// The original's envelope.
struct List {
    limit: usize,
}

impl Render for List {
    const COLUMNS: &'static [Column] = WHOLE;

    fn begin(&self) -> String {
        "{\"records\":[".to_owned()
    }

    fn record(&self, index: usize, row: Row<'_>, out: &mut String) -> Result<bool, StateError> {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&json_of(row)?);
        Ok(true)
    }

    fn end(&self, count: usize, last: Option<i64>) -> String {
        let next = last.filter(|_| count >= self.limit);
        format!("],\"next\":{}}}\n", json!(next))
    }
}

/// One record a line.
struct Lines;

impl Render for Lines {
    const COLUMNS: &'static [Column] = WHOLE;

    fn record(&self, _: usize, row: Row<'_>, out: &mut String) -> Result<bool, StateError> {
        out.push_str(&json_of(row)?);
        out.push('\n');
        Ok(true)
    }
}

fn json_of(row: Row<'_>) -> Result<String, StateError> {
    let stored = StoredRecord::of(row)?;
    let shown = OriginalRecord::new(&stored.record, Some(stored.id), stored.received_at);
    Ok(shown.into_json())
}

fn refuse(class: Class, message: &str) -> Response {
    let status: StatusCode = class.status();
    (status, axum::Json(json!({"message": message}))).into_response()
}

/// The original's parameters with its checks; it passes over those that it does not know.
fn read(query: &HashMap<String, String>, now: i64) -> Result<Wanted, &'static str> {
    let get = |name: &str| query.get(name).map(String::as_str);
    // PostgreSQL takes no NUL in a text; no record has one there.
    if query.values().any(|value| value.contains('\0')) {
        return Err("a value has a NUL in it");
    }
    let number = |name: &str, message| match get(name) {
        Some(text) => digits(text).map(Some).ok_or(message),
        None => Ok(None),
    };
    let mut conditions = Conditions::default();
    if let Some(classification) = get("classification") {
        if classification.split('/').count() != 3 {
            return Err("Classification value is invalid");
        }
        conditions.field(Field::Classification, classification);
    }
    if let Some(severity) = number("severity", "Severity should be a numeric value")? {
        if !(1..=4).contains(&severity) {
            return Err("Severity value is out of range");
        }
        conditions.field_number(Field::Severity, severity);
    }
    if let Some(build) = get("build") {
        let build = build.replace(['"', '\''], "");
        let is_printable = build.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if build.len() >= 200 || !is_printable {
            return Err("Build value is invalid");
        }
        conditions.field(Field::Build, &build);
    }
    if let Some(machine_id) = get("machine_id") {
        if machine_id.chars().count() > 32 {
            return Err("Machine id value is invalid");
        }
        conditions.field(Field::Machine, machine_id);
    }
    let days = number("created_in_days", "Created (in days) value is invalid")?;
    let seconds = number("created_in_sec", "Created (in seconds) value is invalid")?;
    let window_max = WINDOW_DAYS * DAY_MILLISECONDS;
    let window = match (days, seconds) {
        (Some(days), _) => days.saturating_mul(DAY_MILLISECONDS),
        (None, Some(seconds)) => seconds.saturating_mul(1000),
        (None, None) => window_max,
    };
    conditions.received_since(now - window.min(window_max));
    if let Some(id) = number("from_id", "From id value is invalid")? {
        conditions.from(id);
    }
    if let Some(captured) = number("ts_capture", "Capture timestamp value is invalid")? {
        conditions.number("created_at", ">", captured);
    }
    if let Some(before) = number("before_id", "Before id value is invalid")? {
        conditions.below(before);
    }
    let mut order = Order::NewestFirst;
    if let Some(after) = number("after_id", "After id value is invalid")? {
        conditions.from(after.saturating_add(1));
        order = Order::OldestFirst;
    }
    let limit = number("limit", "Record limit value is invalid")?;
    let limit = limit.map_or(Ok(LIMIT_MAX), usize::try_from);
    let limit = limit.ok().filter(|limit| *limit <= LIMIT_MAX);
    Ok(Wanted {
        conditions,
        words: None,
        order,
        limit: limit.ok_or("Record limit value is invalid")?,
    })
}

/// A number in decimal digits only; one that is too large counts as the largest.
fn digits(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(i64::MAX))
}

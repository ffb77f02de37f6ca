//! Export as the original's: the same address, columns and escapes.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Policy, Routes, text_response};
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use state::StateError;

use super::Shared;
use super::error::ApiError;
use super::expressions::Expressions;
use super::filter::Conditions;
use super::packed::{Column, Row};
use super::reader::Reader;
use super::search::{Field, Words};
use super::stored::Order;
use super::stream::{self, Render, Wanted};
use super::time;

/// Rows of what is shown in the browser.
const INLINE_ROWS_MAX: usize = 10_000;
/// Rows of a file: more than this no spreadsheet opens, and an answer has to end.
const FILE_ROWS_MAX: usize = 10_000_000;
const COLUMNS: &str = "\"id\",\"external\",\"server_timestamp\",\"severity\",\"classification\",\"build\",\"machine_id\",\"payload\"\n";

pub(crate) fn routes(shared: &Arc<Shared>, policy: impl Fn() -> Policy) -> Routes {
    let shared = Arc::clone(shared);
    let export = move |reader: Extension<Reader>,
                       Path(file): Path<String>,
                       query: Query<HashMap<String, String>>| async move {
        export(&shared, &reader, &file, &query).await
    };
    Routes::default().get("/telemetryui/records/export/{file}", policy(), export)
}

async fn export(
    shared: &Arc<Shared>,
    reader: &Reader,
    file: &str,
    query: &HashMap<String, String>,
) -> Response {
    let number = file
        .strip_prefix("records-")
        .and_then(|rest| rest.strip_suffix(".csv"))
        .filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(number) = number else {
        let text = "exports are at /telemetryui/records/export/records-<number>.csv";
        return text_response(Class::NotFound, text, None);
    };
    let is_inline = match query.get("format_type").map(String::as_str) {
        Some("inline") => true,
        Some("attach") | None => false,
        Some(_) => {
            let text = "format_type is `inline` or `attach`";
            return text_response(Class::Invalid, text, None);
        }
    };
    let mut conditions = match conditions(shared, query).await {
        Ok(conditions) => conditions,
        Err(error) => return text_response(error.class(), &error.shown(), None),
    };
    let project = query.get("project").map(String::as_str);
    let project = project.filter(|project| !project.is_empty());
    let projects = reader.projects(&shared.projects, project);
    conditions.projects(&projects, shared.projects.count());
    let (csv, words) = match Csv::of(query).and_then(|csv| Ok((csv, words(query)?))) {
        Ok(both) => both,
        Err(error) => return text_response(error.class(), &error.shown(), None),
    };
    let limit = if is_inline {
        INLINE_ROWS_MAX
    } else {
        FILE_ROWS_MAX
    };
    let wanted = Wanted {
        conditions,
        words,
        order: Order::NewestFirst,
        limit,
    };
    let body = match stream::body(shared, wanted, csv).await {
        Ok(body) => body,
        Err(error) => {
            tracing::warn!(error = base::client::chain(&error), "records can't be read");
            return text_response(error.class(), "the records can't be read now", Some(5));
        }
    };
    let content_type = if is_inline {
        "text/plain; charset=utf-8"
    } else {
        "text/csv; charset=utf-8"
    };
    let mut response = ([(CONTENT_TYPE, content_type)], body).into_response();
    if !is_inline
        && let Ok(value) =
            HeaderValue::from_str(&format!("attachment; filename=export-{number}.csv"))
    {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    response
}

/// The filters of the original's form.
async fn conditions(
    shared: &Shared,
    query: &HashMap<String, String>,
) -> Result<Conditions, ApiError> {
    let invalid = |text: &str| ApiError::Invalid(text.to_owned());
    let mut conditions = Conditions::default();
    let get = |name: &str| {
        query
            .get(name)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    };
    for field in [Field::System, Field::Build, Field::Machine, Field::Event] {
        let name = field.column();
        if let Some(value) = get(name) {
            conditions.field(field, &super::query::plain(name, value)?);
        }
    }
    if let Some(pattern) = get("classification") {
        super::query::classification(shared, &mut conditions, pattern).await?;
    }
    if let Some(severity) = get("severity") {
        let severity: i64 = severity
            .parse()
            .map_err(|_| invalid("severity is 1 to 4"))?;
        conditions.field_number(Field::Severity, severity);
    }
    if let Some(group) = get("group") {
        let group = group
            .parse()
            .map_err(|_| invalid("group is the id of a crash group"))?;
        conditions.group(group);
    }
    match get("data_source") {
        Some("internal") => conditions.field_number(Field::External, 0),
        Some("external") => conditions.field_number(Field::External, 1),
        Some("all") | None => {}
        Some(_) => return Err(invalid("data_source is `internal` or `external`")),
    }
    for name in ["since", "until"] {
        if let Some(value) = get(name) {
            let received = super::query::moment(name, value)?;
            match name {
                "since" => conditions.received_since(received),
                _ => conditions.received_before(received),
            }
        }
    }
    for (name, operator, hour) in [
        ("from_date", ">=", "00:00:00"),
        ("to_date", "<=", "23:59:59"),
    ] {
        if let Some(date) = get(name) {
            let seconds = time::parse(&format!("{date}T{hour}Z"))
                .ok_or_else(|| invalid(&format!("{name} is a date such as 2026-11-21")))?
                .div_euclid(1000);
            conditions.number("created_at", operator, seconds);
        }
    }
    Ok(conditions)
}

/// The search that `text` asks for.
fn words(query: &HashMap<String, String>) -> Result<Option<Words>, ApiError> {
    let text = query.get("text").filter(|text| !text.is_empty());
    let words = text.map(|text| super::query::words(text)).transpose()?;
    Ok(words)
}

/// The rows whose payloads fit.
struct Csv(Expressions);

impl Csv {
    /// `payload` and `not_payload` are regular expressions, as the original's.
    fn of(query: &HashMap<String, String>) -> Result<Self, ApiError> {
        let get = |name: &str| query.get(name).map(String::as_str);
        let expressions = Expressions::of(get("payload"), get("not_payload"))?;
        Ok(Self(expressions))
    }
}

impl Render for Csv {
    const LEAVES_OUT: bool = true;
    const COLUMNS: &'static [Column] = &[
        Column::Number("records.id"),
        Column::Number("external"),
        Column::Number("received_at"),
        Column::Number("severity"),
        Column::Text("classification"),
        Column::Text("build"),
        Column::Text("machine_id"),
        Column::Bytes("body"),
    ];

    fn begin(&self) -> String {
        COLUMNS.to_owned()
    }

    fn record(&self, _: usize, row: Row<'_>, out: &mut String) -> Result<bool, StateError> {
        use std::fmt::Write as _;
        let body = row.bytes(7)?;
        if !self.0.fit(body) {
            return Ok(false);
        }
        let (id, received, severity) = (row.number(0)?, row.number(2)?, row.number(3)?);
        let external = if row.number(1)? == 0 { "False" } else { "True" };
        let received = time::original(received.div_euclid(1000));
        // Writing into a string does not fail.
        let _written = write!(out, "\"{id}\",\"{external}\",\"{received}\",\"{severity}\"");
        for column in 4..=6 {
            field(row.text(column)?, out);
        }
        // Looking for what is no UTF-8 is slower than finding that there is none.
        match std::str::from_utf8(body) {
            Ok(text) => field(text, out),
            Err(_) => field(&String::from_utf8_lossy(body), out),
        }
        out.push('\n');
        Ok(true)
    }
}

fn field(text: &str, out: &mut String) {
    out.push_str(",\"");
    escape(text, out);
    out.push('"');
}

/// Quotes are doubled; what is not printable ASCII is written as Python's `unicode-escape` does.
fn escape(text: &str, out: &mut String) {
    use std::fmt::Write as _;
    let mut rest = text;
    // Most of a payload needs nothing and is copied in runs.
    while let Some(at) = special(rest.as_bytes()) {
        let (plain, special) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(plain);
        let mut characters = special.chars();
        let Some(character) = characters.next() else {
            return;
        };
        rest = characters.as_str();
        // Writing into a string does not fail.
        let _written = match character {
            '"' => out.write_str("\"\""),
            '\\' => out.write_str("\\\\"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            '\0'..='\u{ff}' => write!(out, "\\x{:02x}", u32::from(character)),
            '\0'..='\u{ffff}' => write!(out, "\\u{:04x}", u32::from(character)),
            _ => write!(out, "\\U{:08x}", u32::from(character)),
        };
    }
    out.push_str(rest);
}

/// Where the first byte stands that is not copied as it is.
fn special(bytes: &[u8]) -> Option<usize> {
    let is_special = |byte: &u8| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\');
    // Without a way out in the middle, the processor looks at all of a chunk at once.
    let is_plain =
        |chunk: &&[u8; 32]| !chunk.iter().fold(false, |any, byte| any | is_special(byte));
    let (chunks, _) = bytes.as_chunks::<32>();
    let skipped = chunks.iter().take_while(is_plain).count() * 32;
    let rest = bytes.get(skipped..)?;
    rest.iter().position(is_special).map(|at| skipped + at)
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn as_the_original_escapes() {
        let mut out = String::new();
        escape("a \"b\"\n\tc\\ é € 😀\0", &mut out);
        assert_eq!(out, "a \"\"b\"\"\\n\\tc\\\\ \\xe9 \\u20ac \\U0001f600\\x00");
    }

    #[test]
    fn wherever_it_stands() {
        for length in [31, 32, 33, 64, 100] {
            for at in 0..length {
                let (before, behind) = ("a".repeat(at), "~".repeat(length - at));
                let mut out = String::new();
                escape(&format!("{before}\n{behind}"), &mut out);
                assert_eq!(out, format!("{before}\\n{behind}"));
            }
        }
    }
}

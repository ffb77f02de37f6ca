//! The records of a group one by one: how many each machine and build has, and their backtraces.

use std::collections::HashMap;
use std::sync::Arc;

use axum::{Extension, Json};
use base::http::Routes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wire::telemetrics::backtrace;

use super::row_of;
use crate::records::api::{Answer, Asked, Named, Policies, asked, number, why_grouped};
use crate::records::error::ApiError;
use crate::records::filter::Conditions;
use crate::records::packed::Column;
use crate::records::query::plain;
use crate::records::reader::Reader;
use crate::records::search::Field;
use crate::records::stored::{self, Order};
use crate::records::{Shared, time};

/// Records that are counted: each is a row to be read.
const COUNTED_MAX: usize = 5_000;
/// Machines with a build that one answer has.
const ROWS_DEFAULT: usize = 100;
const ROWS_MAX: usize = 1_000;
/// Backtraces that one answer has, as many as the original shows.
const BACKTRACES_MAX: usize = 50;
/// What is read of the records that are counted.
const COUNTED: &[Column] = &[
    Column::Number("id"),
    Column::Number("received_at"),
    Column::Text("machine_id"),
    Column::Text("build"),
];

/// What is read of records for their backtraces: these stand in the first 64 KiB of payloads.
const TRACED: &[Column] = &[
    Column::Number("records.id"),
    Column::Number("received_at"),
    Column::Text("machine_id"),
    Column::Text("build"),
    Column::Text("classification"),
    Column::Bytes("COALESCE(substr(body, 1, 65536), body)"),
];

pub(super) fn routes(shared: &Arc<Shared>, policies: &Policies<'_>) -> Routes {
    let (counting, showing) = (Arc::clone(shared), Arc::clone(shared));
    let count = move |reader: Extension<Reader>, id: Named, query: Asked<Limit>| async move {
        count(&counting, &reader, number(&id)?, asked(query)?).await
    };
    let show = move |reader: Extension<Reader>, id: Named, query: Asked<Wanted>| async move {
        show(&showing, &reader, number(&id)?, asked(query)?).await
    };
    Routes::default()
        .get("/v1/records/groups/{id}/machines", (policies.read)(), count)
        .get(
            "/v1/records/groups/{id}/backtraces",
            (policies.read)(),
            show,
        )
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    machine_id: Option<String>,
    build: Option<String>,
    limit: Option<usize>,
}

/// Records of one machine with one build.
#[derive(Debug, Serialize)]
struct Counted {
    machine_id: String,
    build: String,
    records: u64,
    last_seen: Option<String>,
    latest: i64,
}

async fn count(shared: &Shared, reader: &Reader, id: i64, query: Limit) -> Answer<Value> {
    let limit = within(query.limit, ROWS_DEFAULT, ROWS_MAX)?;
    let mut read = shared.state.read().await?;
    row_of(shared, &mut read, (reader, id)).await?;
    let mut conditions = Conditions::default();
    conditions.group(id);
    let tail = format!("ORDER BY id DESC LIMIT {}", COUNTED_MAX + 1);
    let rows = conditions
        .fetch_packed(&mut read, COUNTED, ("FROM records", &tail))
        .await?;
    drop(read);
    let mut counts: HashMap<(String, String), Counted> = HashMap::new();
    for row in rows.rows().take(COUNTED_MAX) {
        let (machine_id, build) = (row.text(2)?.to_owned(), row.text(3)?.to_owned());
        let counted = counts.entry((machine_id.clone(), build.clone()));
        // The newest comes first.
        let counted = counted.or_insert(Counted {
            machine_id,
            build,
            records: 0,
            last_seen: time::rfc3339(row.number(1)?),
            latest: row.number(0)?,
        });
        counted.records += 1;
    }
    let mut machines: Vec<Counted> = counts.into_values().collect();
    machines.sort_by(|one, two| {
        let by_count = two.records.cmp(&one.records);
        by_count.then(two.latest.cmp(&one.latest))
    });
    machines.truncate(limit);
    Ok(Json(json!({
        "machines": machines,
        "counted": rows.len().min(COUNTED_MAX),
        "is_complete": rows.len() <= COUNTED_MAX,
    })))
}

async fn show(shared: &Shared, reader: &Reader, id: i64, query: Wanted) -> Answer<Value> {
    let limit = within(query.limit, BACKTRACES_MAX, BACKTRACES_MAX)?;
    let mut conditions = Conditions::default();
    conditions.group(id);
    if let Some(machine) = &query.machine_id {
        conditions.field(Field::Machine, &plain("machine_id", machine)?);
    }
    if let Some(build) = &query.build {
        conditions.field(Field::Build, &plain("build", build)?);
    }
    let mut read = shared.state.read().await?;
    row_of(shared, &mut read, (reader, id)).await?;
    let window = (Order::NewestFirst, limit);
    let (_, rows) = stored::select(&mut read, TRACED, &conditions, window).await?;
    drop(read);
    let mut backtraces = Vec::new();
    for row in rows.rows() {
        let payload = String::from_utf8_lossy(row.bytes(5)?);
        let why = why_grouped(shared, (row.text(4)?, &payload)).unwrap_or_default();
        backtraces.push(json!({
            "id": row.number(0)?,
            "received_at": time::rfc3339(row.number(1)?),
            "machine_id": row.text(2)?,
            "build": row.text(3)?,
            "program": backtrace::program(&payload),
            "pid": backtrace::pid(&payload),
            "signal": why.get("signal"),
            "frames": why.get("frames"),
        }));
    }
    Ok(Json(json!({"backtraces": backtraces})))
}

/// A limit from 1 to `most`.
fn within(limit: Option<usize>, default: usize, most: usize) -> Result<usize, ApiError> {
    let limit = limit.unwrap_or(default);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::Invalid(format!("limit is 1 to {most}")))
}

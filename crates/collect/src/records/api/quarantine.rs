//! What is in quarantine.

use std::sync::Arc;

use axum::{Extension, Json};
use base::http::Routes;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::Row as _;

use super::{Answer, Asked, Policies, asked};
use crate::records::Shared;
use crate::records::error::ApiError;
use crate::records::filter::Conditions;
use crate::records::reader::Reader;
use crate::records::time;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;

pub(super) fn routes(shared: &Arc<Shared>, policies: &Policies<'_>) -> Routes {
    let shared = Arc::clone(shared);
    let list = move |reader: Extension<Reader>, query: Asked<Page>| async move {
        list(&shared, &reader, query).await
    };
    Routes::default().get("/v1/records/quarantine", (policies.read)(), list)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    project: Option<String>,
    before: Option<i64>,
    limit: Option<usize>,
}

async fn list(shared: &Shared, reader: &Reader, query: Asked<Page>) -> Answer<Value> {
    let page = asked(query)?;
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::Invalid(format!("limit is 1 to {LIMIT_MAX}")));
    }
    let mut conditions = Conditions::default();
    let projects = reader.projects(&shared.projects, page.project.as_deref());
    conditions.one_of("project", &projects);
    if let Some(before) = page.before {
        conditions.number("id", "<", before);
    }
    let head =
        "SELECT id, project, received_at, reason, message, fields, body FROM record_quarantine";
    let tail = format!("ORDER BY id DESC LIMIT {limit}");
    let mut read = shared.state.read().await?;
    let rows = conditions.fetch(&mut read, head, &tail).await?;
    let mut submissions = Vec::new();
    let mut last = None;
    for row in &rows {
        let id: i64 = row.try_get(0)?;
        last = Some(id);
        let project: i64 = row.try_get(1)?;
        let fields: String = row.try_get(5)?;
        let fields: Value = serde_json::from_str(&fields).unwrap_or_default();
        let body: Vec<u8> = row.try_get(6)?;
        submissions.push(json!({
            "id": id,
            "project": shared.projects.name(project),
            "received_at": time::rfc3339(row.try_get(2)?),
            "reason": row.try_get::<String, _>(3)?,
            "message": row.try_get::<String, _>(4)?,
            "fields": fields,
            "payload": String::from_utf8_lossy(&body),
        }));
    }
    let next = last.filter(|_| rows.len() == limit);
    Ok(Json(json!({"submissions": submissions, "next": next})))
}

//! What is in quarantine.

use std::sync::Arc;

use axum::{Extension, Json};
use base::http::Routes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use wire::telemetrics::Submission;

use super::{Answer, Asked, Named, Policies, asked, number, seen};
use crate::records::Shared;
use crate::records::error::ApiError;
use crate::records::filter::Conditions;
use crate::records::intake;
use crate::records::query::moment;
use crate::records::reader::Reader;
use crate::records::time;

const ONE: &str = "/v1/records/quarantine/{id}";
const RELEASE: &str = "/v1/records/quarantine/{id}/release";
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;
/// Bytes of a payload that the list shows.
const BEGINNING: usize = 4_096;
/// All but the payload.
const FACTS: &str = "SELECT id, project, received_at, reason, message, fields, \
     CAST(length(body) AS BIGINT) AS size";
const NOT_THERE: &str = "there is no such submission in quarantine";

pub(super) fn routes(shared: &Arc<Shared>, policies: &Policies<'_>) -> Routes {
    let with = || Arc::clone(shared);
    let (listed, shown, released, removed) = (with(), with(), with(), with());
    let list = move |reader: Extension<Reader>, query: Asked<Page>| async move {
        list(&listed, &reader, query).await
    };
    let show = move |reader: Extension<Reader>, id: Named| async move {
        show(&shown, &reader, number(&id)?).await
    };
    let release = move |reader: Extension<Reader>, id: Named| async move {
        release(&released, &reader, number(&id)?).await
    };
    let remove = move |reader: Extension<Reader>, id: Named| async move {
        remove(&removed, &reader, number(&id)?).await
    };
    Routes::default()
        .get("/v1/records/quarantine", (policies.read)(), list)
        .get(ONE, (policies.read)(), show)
        .post(RELEASE, (policies.update)(), release)
        .delete(ONE, (policies.update)(), remove)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    project: Option<String>,
    /// When it was received: not before, and before. `from` and `to` mean the same.
    #[serde(alias = "from")]
    since: Option<String>,
    #[serde(alias = "to")]
    until: Option<String>,
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
    let projects = seen(shared, reader, page.project.as_deref())?;
    conditions.one_of("project", &projects);
    if let Some(since) = &page.since {
        conditions.received_since(moment("since", since)?);
    }
    if let Some(until) = &page.until {
        conditions.received_before(moment("until", until)?);
    }
    if let Some(before) = page.before {
        if before < 0 {
            let text = "before is the id of a submission";
            return Err(ApiError::Invalid(text.to_owned()));
        }
        conditions.number("id", "<", before);
    }
    let head = format!("{FACTS}, substr(body, 1, {BEGINNING}) AS payload FROM record_quarantine");
    // One more says whether there is a next page.
    let tail = format!("ORDER BY id DESC LIMIT {}", limit + 1);
    let mut read = shared.state.read().await?;
    let rows = conditions.fetch(&mut read, &head, &tail).await?;
    let submissions = rows.iter().take(limit).map(|row| shape(shared, row));
    let submissions: Vec<Value> = submissions.collect::<Result<_, _>>()?;
    let last = submissions.last().map(|submission| &submission["id"]);
    let next = last.filter(|_| rows.len() > limit);
    Ok(Json(json!({"submissions": submissions, "next": next})))
}

/// One with its whole payload.
async fn show(shared: &Shared, reader: &Reader, id: i64) -> Answer<Value> {
    let mut conditions = Conditions::default();
    conditions.number("id", "=", id);
    conditions.one_of("project", &reader.projects(&shared.projects, None));
    let head = format!("{FACTS}, body AS payload FROM record_quarantine");
    let mut read = shared.state.read().await?;
    let rows = conditions.fetch(&mut read, &head, "").await?;
    let row = rows.first().ok_or(ApiError::NotFound(NOT_THERE))?;
    Ok(Json(shape(shared, row)?))
}

/// A submission as the API shows it.
fn shape(shared: &Shared, row: &AnyRow) -> Result<Value, ApiError> {
    let project: i64 = row.try_get("project")?;
    let fields: String = row.try_get("fields")?;
    let fields: Value = serde_json::from_str(&fields).unwrap_or_default();
    // SQLite says NULL where there is nothing to take a part of.
    let payload: Option<Vec<u8>> = row.try_get("payload")?;
    let size: Option<i64> = row.try_get("size")?;
    Ok(json!({
        "id": row.try_get::<i64, _>("id")?,
        "project": shared.projects.name(project),
        "received_at": time::rfc3339(row.try_get("received_at")?),
        "reason": row.try_get::<String, _>("reason")?,
        "message": row.try_get::<String, _>("message")?,
        "fields": fields,
        "payload": String::from_utf8_lossy(&payload.unwrap_or_default()),
        "payload_bytes": size.unwrap_or(0),
    }))
}

/// A submission that may be changed, with its project.
async fn find(shared: &Shared, reader: &Reader, id: i64) -> Result<(i64, Submission), ApiError> {
    let mut conditions = Conditions::default();
    conditions.number("id", "=", id);
    conditions.one_of("project", &reader.projects(&shared.projects, None));
    let head = "SELECT project, fields, body FROM record_quarantine";
    let mut read = shared.state.read().await?;
    let rows = conditions.fetch(&mut read, head, "").await?;
    let row = rows.first().ok_or(ApiError::NotFound(NOT_THERE))?;
    let project: i64 = row.try_get(0)?;
    reader.allow_update(&shared.projects, project)?;
    let fields: String = row.try_get(1)?;
    let fields: Map<String, Value> = serde_json::from_str(&fields).unwrap_or_default();
    let body: &[u8] = row.try_get(2)?;
    let fields = fields.iter();
    let fields = fields.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()));
    let headers = fields.map(|(name, text)| (name, text.as_bytes()));
    Ok((project, Submission::from_headers(headers, body)))
}

/// Makes a record of a submission that is valid by the rules as they are now, or that a rule put aside.
async fn release(shared: &Shared, reader: &Reader, id: i64) -> Answer<Value> {
    let (project, submission) = find(shared, reader, id).await?;
    let kept = intake::release(shared, project, &submission).await?;
    delete(shared, id).await?;
    let target = format!("submission:{id}");
    let details = json!({"record": kept});
    reader
        .note("record_quarantine.released", target, details)
        .await;
    Ok(Json(json!({"record": kept})))
}

async fn remove(shared: &Shared, reader: &Reader, id: i64) -> Answer<Value> {
    find(shared, reader, id).await?;
    delete(shared, id).await?;
    let target = format!("submission:{id}");
    reader
        .note("record_quarantine.removed", target, json!({}))
        .await;
    Ok(Json(json!({"removed": id})))
}

async fn delete(shared: &Shared, id: i64) -> Result<(), ApiError> {
    let sql = "DELETE FROM record_quarantine WHERE id = $1";
    let mut write = shared.state.write().await?;
    sqlx::query(sql).bind(id).execute(&mut write).await?;
    Ok(write.commit().await?)
}

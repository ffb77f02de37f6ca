//! Groups that somebody said are one, and their separation. Records follow in the background.

use std::sync::Arc;

use axum::body::Body;
use axum::{Extension, Json};
use base::http::{Routes, read_body};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value, json};
use sqlx::Row as _;
use state::Read;

use super::{CHANGE_BYTES_MAX, row_of};
use crate::records::api::{Answer, Named, Policies, number};
use crate::records::error::ApiError;
use crate::records::reader::Reader;
use crate::records::{Shared, insert, regroup};

/// Groups that one group is shown to have taken in.
const MERGED_MAX: i64 = 1_000;

pub(super) fn routes(shared: &Arc<Shared>, policies: &Policies<'_>) -> Routes {
    let (merging, splitting) = (Arc::clone(shared), Arc::clone(shared));
    let merge = move |reader: Extension<Reader>, id: Named, body: Body| async move {
        merge(&merging, &reader, number(&id)?, body).await
    };
    let split = move |reader: Extension<Reader>, id: Named| async move {
        split(&splitting, &reader, number(&id)?).await
    };
    Routes::default()
        .post("/v1/records/groups/{id}/merge", (policies.update)(), merge)
        .post("/v1/records/groups/{id}/split", (policies.update)(), split)
}

/// Into which group.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    #[serde(deserialize_with = "whole_number")]
    into: i64,
}

/// A number without a fraction, however it is written: to JSON, `7.0` is 7.
fn whole_number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let number = Number::deserialize(from)?;
    let written = number.to_string();
    let digits = written.strip_suffix(".0").unwrap_or(&written);
    let wrong = || D::Error::custom(format!("{written} is not the id of a group"));
    digits.parse().map_err(|_| wrong())
}

/// A group that is a part of another.
#[derive(Debug, Serialize)]
pub(super) struct Merged {
    id: i64,
    function: String,
    module: String,
}

/// The groups that are a part of this one.
pub(super) async fn merged(shared: &Shared, id: i64) -> Result<Vec<Merged>, ApiError> {
    let sql = "SELECT id, function_name, module FROM record_groups WHERE merged_into = $1 \
         ORDER BY id LIMIT $2";
    let mut read = shared.state.read().await?;
    let rows = sqlx::query(sql).bind(id).bind(MERGED_MAX);
    let mut all = Vec::new();
    for row in rows.fetch_all(&mut read).await? {
        all.push(Merged {
            id: row.try_get(0)?,
            function: row.try_get(1)?,
            module: row.try_get(2)?,
        });
    }
    Ok(all)
}

/// The project of a group that may be changed.
async fn project_of(
    shared: &Shared,
    read: &mut Read,
    (reader, id): (&Reader, i64),
) -> Result<i64, ApiError> {
    let row = row_of(shared, read, (reader, id)).await?;
    let project: i64 = row.try_get("project")?;
    reader.allow_update(&shared.projects, project)?;
    Ok(project)
}

async fn merge(shared: &Shared, reader: &Reader, id: i64, body: Body) -> Answer<Value> {
    let invalid = |text: &str| ApiError::Invalid(text.to_owned());
    let conflict = |text: &str| ApiError::Conflict(text.to_owned());
    let body = read_body(body, CHANGE_BYTES_MAX).await;
    let body = body.map_err(|_| invalid("the body is a JSON object of at most 4 KiB"))?;
    let Merge { into } =
        serde_json::from_slice(&body).map_err(|error| ApiError::Invalid(error.to_string()))?;
    let mut read = shared.state.read().await?;
    let project = project_of(shared, &mut read, (reader, id)).await?;
    if project != project_of(shared, &mut read, (reader, into)).await? {
        return Err(conflict("groups of two projects can't be one"));
    }
    drop(read);
    let mut write = shared.state.write().await?;
    insert::lock(&mut write).await?;
    // Into what the other is a part of, and not into itself.
    let sql = "SELECT CASE WHEN merged_into > 0 THEN merged_into ELSE id END FROM record_groups \
         WHERE id = $1";
    let target = sqlx::query(sql).bind(into).fetch_one(&mut write).await?;
    let target: i64 = target.try_get(0)?;
    if target == id {
        return Err(conflict("a group can't be a part of itself"));
    }
    let sql = "UPDATE record_groups SET merged_into = $1 WHERE id = $2 OR merged_into = $2";
    let query = sqlx::query(sql).bind(target).bind(id);
    query.execute(&mut write).await?;
    regroup::begin(&mut write).await?;
    write.commit().await?;
    let (group, details) = (format!("record_group:{id}"), json!({"into": target}));
    reader.note("record_group.merged", group, details).await;
    Ok(Json(json!({"id": id, "merged_into": target})))
}

/// Makes a group that is a part of another one of its own again.
async fn split(shared: &Shared, reader: &Reader, id: i64) -> Answer<Value> {
    let mut read = shared.state.read().await?;
    project_of(shared, &mut read, (reader, id)).await?;
    drop(read);
    let mut write = shared.state.write().await?;
    insert::lock(&mut write).await?;
    let sql = "UPDATE record_groups SET merged_into = 0 WHERE id = $1 AND merged_into > 0";
    let done = sqlx::query(sql).bind(id).execute(&mut write).await?;
    if done.rows_affected() == 0 {
        let text = "the group is no part of another";
        return Err(ApiError::Conflict(text.to_owned()));
    }
    regroup::begin(&mut write).await?;
    write.commit().await?;
    let group = format!("record_group:{id}");
    reader.note("record_group.split", group, json!({})).await;
    Ok(Json(json!({"id": id, "merged_into": null})))
}

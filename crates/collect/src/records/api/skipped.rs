//! Frames that are never guilty, and how far the records are that are grouped anew because of them.

use std::sync::Arc;

use axum::body::Body;
use axum::{Extension, Json};
use base::http::{Routes, read_body};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::Row as _;

use super::{Answer, Policies};
use crate::records::error::ApiError;
use crate::records::reader::Reader;
use crate::records::skipped::{ALL, SKIPPED_MAX};
use crate::records::{Shared, insert, regroup};

const CHANGE_BYTES_MAX: usize = 64 << 10;
/// The longest name of a function or module.
const NAME_CHARACTERS_MAX: usize = 1 << 10;

pub(super) fn routes(shared: &Arc<Shared>, policies: &Policies<'_>) -> Routes {
    let with = || Arc::clone(shared);
    let (listed, changed, watched) = (with(), with(), with());
    let list = move || async move { list(&listed).await };
    let change = move |reader: Extension<Reader>, body: Body| async move {
        change(&changed, &reader, body).await
    };
    let progress = move || async move {
        let mut read = watched.state.read().await.map_err(ApiError::from)?;
        let progress = regroup::progress(&mut read).await;
        Ok::<_, ApiError>(Json(progress?))
    };
    Routes::default()
        .get("/v1/records/regroup", (policies.read)(), progress)
        .get("/v1/records/skipped-frames", (policies.read)(), list)
        .post("/v1/records/skipped-frames", (policies.update)(), change)
}

/// A frame, as payloads write it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    function: String,
    module: String,
}

/// Frames to skip from now on, and frames that count again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default)]
    add: Vec<Frame>,
    #[serde(default)]
    remove: Vec<Frame>,
}

async fn list(shared: &Shared) -> Answer<Value> {
    let mut read = shared.state.read().await?;
    let rows = sqlx::query(ALL).bind(SKIPPED_MAX).fetch_all(&mut read);
    let mut frames = Vec::new();
    for row in rows.await? {
        frames.push(Frame {
            function: row.try_get(0)?,
            module: row.try_get(1)?,
        });
    }
    let progress = regroup::progress(&mut read).await?;
    Ok(Json(json!({"frames": frames, "regroup": progress})))
}

/// Frames are for all projects, so whoever changes them may change the groups of all.
async fn change(shared: &Shared, reader: &Reader, body: Body) -> Answer<Value> {
    reader.allow_update_of_all(&shared.projects)?;
    let invalid = |text: &str| ApiError::Invalid(text.to_owned());
    let body = read_body(body, CHANGE_BYTES_MAX).await;
    let body = body.map_err(|_| invalid("the body is a JSON object of at most 64 KiB"))?;
    let change: Change =
        serde_json::from_slice(&body).map_err(|error| ApiError::Invalid(error.to_string()))?;
    let frames = change.add.iter().chain(&change.remove);
    let is_wrong = |name: &str| {
        name.is_empty() || name.contains('\0') || name.chars().count() > NAME_CHARACTERS_MAX
    };
    let mut names = frames.flat_map(|frame| [&frame.function, &frame.module]);
    if names.any(|name| is_wrong(name)) {
        return Err(invalid(
            "function and module are as the payload writes them, of at most 1,024 characters",
        ));
    }
    if change.add.is_empty() && change.remove.is_empty() {
        return Err(invalid("give frames to `add` or to `remove`"));
    }
    let mut write = shared.state.write().await?;
    insert::lock(&mut write).await?;
    for (frames, sql) in [
        (
            &change.add,
            "INSERT INTO record_skipped_frames (function_name, module) VALUES ($1, $2) \
             ON CONFLICT (function_name, module) DO NOTHING",
        ),
        (
            &change.remove,
            "DELETE FROM record_skipped_frames WHERE function_name = $1 AND module = $2",
        ),
    ] {
        for frame in frames {
            sqlx::query(sql)
                .bind(frame.function.as_str())
                .bind(frame.module.as_str())
                .execute(&mut write)
                .await?;
        }
    }
    let count: i64 = sqlx::query("SELECT COUNT(*) FROM record_skipped_frames")
        .fetch_one(&mut write)
        .await?
        .try_get(0)?;
    if count > SKIPPED_MAX {
        return Err(invalid("at most 10,000 frames are skipped"));
    }
    regroup::begin(&mut write).await?;
    write.commit().await?;
    let details = json!({"added": change.add, "removed": change.remove});
    let target = "records".to_owned();
    reader.note("record_frames.changed", target, details).await;
    list(shared).await
}

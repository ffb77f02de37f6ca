//! Removing runs and groups on demand. What is pinned stays.

use axum::Json;
use axum::extract::Request;
use axum::response::IntoResponse;
use serde_json::json;

use super::query::Query;
use super::{Answer, ApiError, enter, group_of, run_of, runs};
use crate::artefacts::Shared;
use crate::artefacts::catalogue::Removal;
use crate::artefacts::time;
use crate::artefacts::visitor::Act;
use crate::records::Change;

/// Runs of a group that are read at a time.
const PAGE: i64 = 100;

fn pinned(what: &str, path: &str) -> ApiError {
    ApiError::Conflict(format!(
        "{what} is pinned: send `PATCH {path}` with {{\"pinned\": false}} first"
    ))
}

/// What is there now, whatever was set for how long it is kept.
async fn asked_now(shared: &Shared) -> Result<Removal, ApiError> {
    Ok(Removal {
        changed_before: None,
        newest: shared.catalogue.newest_version().await?,
        asked_at: time::now(),
        retention: None,
    })
}

pub(super) async fn run(shared: &Shared, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    let (group, run) = run_of(&head)?;
    let visitor = enter(&head, &group, Act::Delete)?;
    Query::of(&head)?.finish()?;
    let found = runs::find(shared, (&group, &run)).await?;
    let group_path = head.uri.path().rsplit_once('/').map(|(path, _)| path);
    let group_path = group_path.unwrap_or_default().replace("/runs/", "/groups/");
    if found.is_group_pinned {
        return Err(pinned("the group", &group_path));
    }
    if found.is_pinned {
        return Err(pinned("the run", head.uri.path()));
    }
    let removal = asked_now(shared).await?;
    // Before it: whoever asked may leave in the middle.
    let noted = Change {
        kind: "artefact_run.removed",
        target: format!("artefact_run:{group}/{run}"),
        details: json!({"files": found.files}),
    };
    shared.note((&head, Some(&visitor)), noted).await;
    let (files, is_gone) = shared.remove_run(found.id, removal).await?;
    if !is_gone && files == 0 {
        let text = "the run was pinned or changed meanwhile: nothing was removed";
        return Err(ApiError::Conflict(text.to_owned()));
    }
    Ok(Json(json!({"removed": files})).into_response())
}

pub(super) async fn group(shared: &Shared, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    let name = group_of(&head)?;
    let visitor = enter(&head, &name, Act::Delete)?;
    Query::of(&head)?.finish()?;
    let group = shared.catalogue.group(&name).await?;
    let group = group.ok_or(ApiError::NotFound("group"))?.row;
    if group.is_pinned {
        return Err(pinned("the group", head.uri.path()));
    }
    let removal = asked_now(shared).await?;
    // Before it: whoever asked may leave in the middle.
    let noted = Change {
        kind: "artefact_group.removed",
        target: format!("artefact_group:{name}"),
        details: json!({}),
    };
    shared.note((&head, Some(&visitor)), noted).await;
    let (mut removed, mut after) = (0_u64, 0_i64);
    loop {
        let page = shared
            .catalogue
            .runs_to_remove(group.id, (after, None), PAGE);
        let page = page.await?;
        let Some(last) = page.last() else { break };
        after = *last;
        for run in page {
            let (_, is_gone) = shared.remove_run(run, removal).await?;
            removed += u64::from(is_gone);
        }
    }
    shared.catalogue.forget_group(group.id, true).await?;
    Ok(Json(json!({"removed": removed})).into_response())
}

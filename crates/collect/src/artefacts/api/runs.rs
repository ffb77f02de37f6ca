//! Runs: the search, one, and its pin.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Request;
use axum::response::IntoResponse;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wire::s3::xml::timestamp;

use super::groups::{acts, given};
use super::query::{Query, invalid};
use super::sight::Sight;
use super::{Answer, ApiError, enter, read_change, run_of, visitor};
use crate::artefacts::Shared;
use crate::artefacts::catalogue::{Run, RunState, Search};
use crate::artefacts::krkn::TELEMETRY_FILE;
use crate::artefacts::visitor::{Act, Visitor};
use crate::records::Change;

/// Runs of a page: usually, and at most.
const LIMITS: (usize, usize) = (50, 500);
/// Fields of one search.
const FIELDS_MAX: usize = 24;

#[derive(Serialize)]
struct Runs {
    runs: Vec<ShownRun>,
    /// To be asked for as `before`.
    next: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct ShownRun {
    id: i64,
    group: String,
    run: String,
    state: &'static str,
    created_at: String,
    changed_at: String,
    files: u64,
    bytes: u64,
    pinned: bool,
    expires_at: Option<String>,
    pub(super) fields: BTreeMap<String, Vec<String>>,
    may: Vec<Act>,
    #[serde(skip_serializing_if = "Option::is_none")]
    has_telemetry: Option<bool>,
}

pub(super) fn shown(shared: &Shared, visitor: &Visitor, run: Run) -> ShownRun {
    let retention = shared.config.effective(&run.group, &run.settings).retention;
    let is_kept = run.is_pinned || run.is_group_pinned;
    let expires_at = retention.filter(|_| !is_kept).map(|keep| {
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        timestamp(run.changed_at.saturating_add(keep))
    });
    ShownRun {
        id: run.id,
        state: run.state.as_str(),
        created_at: timestamp(run.created_at),
        changed_at: timestamp(run.changed_at),
        files: run.files,
        bytes: run.bytes,
        pinned: run.is_pinned,
        expires_at,
        fields: run.fields,
        may: acts(visitor, &run.group),
        group: run.group,
        run: run.name,
        has_telemetry: None,
    }
}

pub(super) async fn list(shared: &Shared, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    let visitor = visitor(&head)?;
    let mut search = read_search(&head)?;
    match &search.group {
        Some(group) if !visitor.may(group, Act::Read) => return Err(ApiError::NotFound("group")),
        Some(_) => {}
        None => {
            let sight = Sight::of(shared, &visitor).await?;
            if let Some(text) = &search.text {
                search.named = sight.named(text);
            }
            search.seen = sight.seen()?;
        }
    }
    let found = shared.catalogue.search(&search).await?;
    let last = found.last().map(|run| run.id);
    let next = last.filter(|_| found.len() == search.limit);
    // A group may have been made since it was looked which there are.
    let seen = found
        .into_iter()
        .filter(|run| visitor.may(&run.group, Act::Read));
    let runs = seen.map(|run| shown(shared, &visitor, run)).collect();
    Ok(Json(Runs { runs, next }).into_response())
}

fn read_search(head: &Parts) -> Result<Search, ApiError> {
    let mut query = Query::of(head)?;
    let mut fields = Vec::new();
    // What is asked for most often has a word of its own.
    for (name, field) in [
        ("status", "status"),
        ("tag", "tag"),
        ("version", "cluster_version"),
        ("scenario", "scenario"),
    ] {
        let values = query.all(name).into_iter();
        fields.extend(values.map(|value| (field.to_owned(), value)));
    }
    let is_word = |(name, value): &(String, String)| {
        name != "status" || matches!(value.as_str(), "passed" | "failed")
    };
    if !fields.iter().all(is_word) {
        return Err(invalid("status is passed or failed"));
    }
    for field in query.all("field") {
        let field = field.split_once(':');
        let (name, value) = field.ok_or_else(|| invalid("a field is `name:value`"))?;
        fields.push((name.to_owned(), value.to_owned()));
    }
    if fields.len() > FIELDS_MAX {
        return Err(invalid(
            "at most 24 fields, tag, status, version and scenario included",
        ));
    }
    let state = query.text("state")?.map(|text| {
        let expected = "state is open, telemetry_received or closed";
        RunState::parse(&text).ok_or_else(|| invalid(expected))
    });
    let search = Search {
        group: query.text("group")?,
        text: query.text("text")?,
        fields,
        state: state.transpose()?,
        is_pinned: query.boolean("pinned")?,
        since: query.time("since")?,
        until: query.time("until")?,
        before: query.number("before")?,
        limit: query.limit(LIMITS)?,
        ..Search::default()
    };
    query.finish()?;
    Ok(search)
}

/// A run as it is shown.
async fn show(shared: &Shared, visitor: &Visitor, (group, run): (&str, &str)) -> Answer {
    let found = find(shared, (group, run)).await?;
    let telemetry = format!("{group}/{run}/{TELEMETRY_FILE}");
    let has_telemetry = shared.catalogue.has_file(&telemetry).await?;
    let mut shown = shown(shared, visitor, found);
    shown.has_telemetry = Some(has_telemetry);
    Ok(Json(shown).into_response())
}

pub(super) async fn find(shared: &Shared, (group, run): (&str, &str)) -> Result<Run, ApiError> {
    let found = shared.catalogue.run(group, run).await?;
    found.ok_or(ApiError::NotFound("run"))
}

pub(super) async fn one(shared: &Shared, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    let (group, run) = run_of(&head)?;
    let visitor = enter(&head, &group, Act::Read)?;
    Query::of(&head)?.finish()?;
    show(shared, &visitor, (&group, &run)).await
}

/// What people change of a run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default, deserialize_with = "given")]
    pinned: Option<bool>,
}

pub(super) async fn change(shared: &Shared, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let (group, run) = run_of(&head)?;
    let visitor = enter(&head, &group, Act::Update)?;
    Query::of(&head)?.finish()?;
    let wanted: Wanted = read_change(body).await?;
    let found = find(shared, (&group, &run)).await?;
    if let Some(pinned) = wanted.pinned {
        if !shared.catalogue.pin_run(found.id, pinned).await? {
            return Err(ApiError::NotFound("run"));
        }
        let noted = Change {
            kind: "artefact_run.changed",
            target: format!("artefact_run:{group}/{run}"),
            details: json!({"pinned": pinned}),
        };
        shared.note((&head, Some(&visitor)), noted).await;
    }
    show(shared, &visitor, (&group, &run)).await
}

//! Imports of another collector's records.

use std::sync::Arc;

use axum::body::Body;
use axum::{Extension, Json};
use base::http::{Routes, read_body};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::cursor::Place;
use super::{Answer, Asked, Named, Policies, asked, number};
use crate::records::Shared;
use crate::records::error::ApiError;
use crate::records::import::{self, Import};
use crate::records::imported::{
    BATCH_BYTES_MAX, BATCH_MAX, Batch, Begin, GuiltyNote, ID_MAX, NOTES_MAX,
};
use crate::records::project::Project;
use crate::records::reader::{Act, Reader};

const ALL: &str = "/v1/records/imports";
const ONE: &str = "/v1/records/imports/{id}";
const BATCHES: &str = "/v1/records/imports/{id}/batches";
const NOTES: &str = "/v1/records/imports/{id}/notes";
const FINISH: &str = "/v1/records/imports/{id}/finish";
const ABANDON: &str = "/v1/records/imports/{id}/abandon";
/// Imports of a page.
const LIMIT_MAX: usize = 1_000;
/// Bytes of what begins an import.
const BEGIN_BYTES_MAX: usize = 4 << 10;
/// Bytes of notes that are sent at once.
const NOTES_BYTES_MAX: usize = 4 << 20;
/// Bytes of a source's name.
const SOURCE_CHARACTERS_MAX: usize = 256;

pub(super) fn routes(shared: &Arc<Shared>, policies: &Policies<'_>) -> Routes {
    let with = || Arc::clone(shared);
    let (listed, shown, begun) = (with(), with(), with());
    let (kept, noted, finished, abandoned) = (with(), with(), with(), with());
    let list = move |reader: Extension<Reader>, query: Asked<Page>| async move {
        list(&listed, &reader, query).await
    };
    let show = move |reader: Extension<Reader>, id: Named| async move {
        show(&shown, &reader, number(&id)?).await
    };
    let begin = move |reader: Extension<Reader>, body: Body| async move {
        begin(&begun, &reader, body).await
    };
    let keep = move |reader: Extension<Reader>, id: Named, body: Body| async move {
        keep(&kept, &reader, number(&id)?, body).await
    };
    let note = move |reader: Extension<Reader>, id: Named, body: Body| async move {
        note(&noted, &reader, number(&id)?, body).await
    };
    let finish = move |reader: Extension<Reader>, id: Named| async move {
        finish(&finished, &reader, number(&id)?).await
    };
    let abandon = move |reader: Extension<Reader>, id: Named| async move {
        abandon(&abandoned, &reader, number(&id)?).await
    };
    Routes::default()
        .get(ALL, (policies.read)(), list)
        .get(ONE, (policies.read)(), show)
        .post(ALL, (policies.update)(), begin)
        .post(BATCHES, (policies.update)(), keep)
        .post(NOTES, (policies.update)(), note)
        .post(FINISH, (policies.update)(), finish)
        .post(ABANDON, (policies.update)(), abandon)
}

/// Ids and frames that are skipped are those of all projects, so whoever imports may change all.
fn allow(shared: &Shared, reader: &Reader) -> Result<(), ApiError> {
    let mut projects = shared.projects.all();
    if projects.all(|project| reader.may(&project.config.name, Act::Update)) {
        Ok(())
    } else {
        Err(ApiError::Forbidden)
    }
}

fn may_see(shared: &Shared, reader: &Reader, import: &Import) -> bool {
    let seen = reader.projects(&shared.projects, None);
    seen.contains(&import.project)
}

/// Which imports are listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    cursor: Option<String>,
    limit: Option<usize>,
}

async fn list(shared: &Shared, reader: &Reader, query: Asked<Page>) -> Answer<Value> {
    let page = asked(query)?;
    let limit = page.limit.unwrap_or(LIMIT_MAX);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::Invalid(format!("limit is 1 to {LIMIT_MAX}")));
    }
    let cursor = page.cursor.as_deref().map(Place::of).transpose()?;
    let behind = cursor.map(|place| (place.number, place.id));
    let projects = reader.projects(&shared.projects, None);
    let mut read = shared.state.read().await?;
    // One more says whether there is a next page.
    let mut imports = import::list(&mut read, &projects, (behind, limit + 1)).await?;
    let has_next = imports.len() > limit;
    imports.truncate(limit);
    let last = imports.last().filter(|_| has_next);
    let next = last.map(|import| Place {
        number: import.changed_at,
        id: import.id,
    });
    let shown = imports.iter().map(|import| import.shown(&shared.projects));
    let shown: Vec<_> = shown.collect();
    let next = next.map(|next| next.to_string());
    Ok(Json(json!({"imports": shown, "next": next})))
}

async fn show(shared: &Shared, reader: &Reader, id: i64) -> Answer<Map<String, Value>> {
    let mut read = shared.state.read().await?;
    let import = import::find(&mut read, id).await?;
    if !may_see(shared, reader, &import) {
        return Err(ApiError::NotFound("there is no such import"));
    }
    Ok(Json(import::details(shared, &mut read, &import).await?))
}

/// A body of at most so many bytes.
async fn body_of<T: DeserializeOwned>(body: Body, limit: usize) -> Result<T, ApiError> {
    let body = read_body(body, limit).await;
    let wrong = |_| {
        ApiError::Invalid(format!(
            "the body is a JSON object of at most {limit} bytes"
        ))
    };
    let invalid = |error: serde_json::Error| ApiError::Invalid(error.to_string());
    // Without a tree of values between: a body of the largest size would be several times as large.
    serde_json::from_slice(&body.map_err(wrong)?).map_err(invalid)
}

/// The project of this name, or the only one.
fn project_of<'a>(shared: &'a Shared, name: Option<&str>) -> Result<&'a Project, ApiError> {
    let mut projects = shared.projects.all();
    let found = match name {
        Some(name) => projects.find(|project| project.config.name == name),
        None => projects.next().filter(|_| projects.next().is_none()),
    };
    found.map(AsRef::as_ref).ok_or_else(|| {
        let all = shared.projects.all();
        let mut names: Vec<&str> = all.map(|project| project.config.name.as_str()).collect();
        names.sort_unstable();
        ApiError::Conflict(format!(
            "name the project that the records come to (`--project`): {}",
            names.join(", ")
        ))
    })
}

async fn begin(shared: &Shared, reader: &Reader, body: Body) -> Answer<Map<String, Value>> {
    allow(shared, reader)?;
    let wanted: Begin = body_of(body, BEGIN_BYTES_MAX).await?;
    let project = project_of(shared, wanted.project.as_deref())?;
    let is_plain = wanted.source.chars().all(|c| !c.is_control());
    if !(1..=SOURCE_CHARACTERS_MAX).contains(&wanted.source.chars().count()) || !is_plain {
        let text =
            format!("source is a text of 1 to {SOURCE_CHARACTERS_MAX} characters on one line");
        return Err(ApiError::Invalid(text));
    }
    if wanted.first < 0 || wanted.last < 0 || wanted.records < 0 {
        let text = "first and last are ids from 0 on, records is their count";
        return Err(ApiError::Invalid(text.to_owned()));
    }
    if wanted.first > wanted.last {
        let text = "the first id comes behind the last";
        return Err(ApiError::Conflict(text.to_owned()));
    }
    if wanted.last > ID_MAX && !wanted.new_ids {
        let text = format!("ids above {ID_MAX} can't be kept: import with new ids (`--new-ids`)");
        return Err(ApiError::Conflict(text));
    }
    let import = import::begin(shared, project, &wanted).await?;
    if !wanted.dry_run {
        let target = format!("record_import:{}", import.id);
        let details = json!({"source": wanted.source, "project": project.config.name,
            "last": import.last, "reached": import.reached, "new_ids": import.has_new_ids});
        reader.note("record_import.begun", target, details).await;
    }
    Ok(Json(import.shown(&shared.projects)))
}

async fn keep(shared: &Shared, reader: &Reader, id: i64, body: Body) -> Answer<Map<String, Value>> {
    allow(shared, reader)?;
    let busy = || ApiError::Unavailable;
    let _turn = shared.import.try_acquire().map_err(|_| busy())?;
    let batch: Batch = body_of(body, BATCH_BYTES_MAX).await?;
    check(&batch)?;
    let mut read = shared.state.read().await?;
    let import = import::find(&mut read, id).await?;
    drop(read);
    let mut projects = shared.projects.all();
    let project = projects.find(|project| project.id == import.project);
    let project = project.ok_or_else(|| {
        ApiError::Conflict("the configuration no longer names the import's project".to_owned())
    })?;
    let import = import::keep(shared, project, (id, &batch)).await?;
    Ok(Json(import.shown(&shared.projects)))
}

/// Whether the rows of a batch are those between its ends.
fn check(batch: &Batch) -> Result<(), ApiError> {
    if batch.records.len() > BATCH_MAX {
        let text = format!("a batch has at most {BATCH_MAX} records");
        return Err(ApiError::Invalid(text));
    }
    if batch.after < 0 || batch.records.iter().any(|record| record.id < 1) {
        let text = "after is an id from 0 on, those of records are from 1 on";
        return Err(ApiError::Invalid(text.to_owned()));
    }
    let mut last = batch.after;
    let mut is_in_order = true;
    for record in &batch.records {
        is_in_order &= record.id > last;
        last = record.id;
    }
    if !is_in_order || last > batch.through {
        let text = "the ids of a batch go up, from behind `after` to `through`";
        return Err(ApiError::Conflict(text.to_owned()));
    }
    Ok(())
}

/// Notes on guilty frames.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    notes: Vec<GuiltyNote>,
}

async fn note(shared: &Shared, reader: &Reader, id: i64, body: Body) -> Answer<Map<String, Value>> {
    allow(shared, reader)?;
    let given: Notes = body_of(body, NOTES_BYTES_MAX).await?;
    let has_nul = |note: &GuiltyNote| {
        [&note.function, &note.module, &note.comment].map(|text| text.contains('\0')) != [false; 3]
    };
    if given.notes.len() > NOTES_MAX || given.notes.iter().any(has_nul) {
        let text = format!("there are at most {NOTES_MAX} notes at once, none with a NUL");
        return Err(ApiError::Invalid(text));
    }
    let mut read = shared.state.read().await?;
    let import = import::find(&mut read, id).await?;
    drop(read);
    import::note(shared, id, &given.notes).await?;
    Ok(Json(import.shown(&shared.projects)))
}

async fn finish(shared: &Shared, reader: &Reader, id: i64) -> Answer<Map<String, Value>> {
    allow(shared, reader)?;
    let (import, has_ended) = import::finish(shared, id).await?;
    let mut read = shared.state.read().await?;
    let shown = import::details(shared, &mut read, &import).await?;
    drop(read);
    if has_ended {
        let target = format!("record_import:{id}");
        let details = json!({"kept": shown.get("kept"), "quarantined": shown.get("quarantined")});
        reader.note("record_import.done", target, details).await;
    }
    Ok(Json(shown))
}

async fn abandon(shared: &Shared, reader: &Reader, id: i64) -> Answer<Map<String, Value>> {
    allow(shared, reader)?;
    let import = import::abandon(shared, id).await?;
    let target = format!("record_import:{id}");
    let details = json!({"reached": import.reached, "last": import.last});
    reader
        .note("record_import.abandoned", target, details)
        .await;
    Ok(Json(import.shown(&shared.projects)))
}

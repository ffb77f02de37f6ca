//! `/v1/records…`: records for programs and for our own pages. `docs/api/openapi.yaml` describes it.

mod counts;
mod cursor;
mod export;
mod groups;
mod imports;
mod machines;
mod population;
mod quarantine;
mod skipped;
mod tail;
mod whole;

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::{Extension, Json};
use base::http::{Policy, Routes};
use serde::Serialize;
use serde_json::{Value, json};
use wire::telemetrics::{backtrace, fingerprint};

use self::whole::Whole;
use super::Shared;
use super::config::NAME_CHARACTERS_MAX;
use super::error::ApiError;
use super::expressions::look::{self, BOUNDS, Wanted};
use super::filter::Conditions;
use super::query::Filters;
use super::reader::Reader;
use super::retention;
use super::search::{self, Words};
use super::stored::{self, Order, SUMMARY, StoredRecord, Summary, WHOLE, excerpt};

/// What a handler gives.
type Answer<T> = Result<Json<T>, ApiError>;

/// The policies of the paths: for seeing, and for changing.
pub(crate) struct Policies<'a> {
    pub(crate) read: &'a dyn Fn() -> Policy,
    pub(crate) update: &'a dyn Fn() -> Policy,
}

pub(crate) fn routes(shared: &Arc<Shared>, policies: &Policies<'_>) -> Routes {
    let with = || Arc::clone(shared);
    let (one, all, old) = (with(), with(), with());
    let passed = move |reader: Extension<Reader>| async move {
        Ok::<_, ApiError>(Json(retention::look(&old, &reader).await?))
    };
    let list = move |reader: Extension<Reader>, query: Asked<Filters>| async move {
        list(&all, &reader, query).await
    };
    let show = move |reader: Extension<Reader>, id: Named| async move {
        show(&one, &reader, number(&id)?).await
    };
    Routes::default()
        .get("/v1/records", (policies.read)(), list)
        .get("/v1/records/{id}", (policies.read)(), show)
        .get("/v1/records/retention", (policies.read)(), passed)
        .merge(counts::routes(shared, policies))
        .merge(export::routes(shared, policies))
        .merge(population::routes(shared, policies))
        .merge(groups::routes(shared, policies))
        .merge(imports::routes(shared, policies))
        .merge(machines::routes(shared, policies))
        .merge(quarantine::routes(shared, policies))
        .merge(skipped::routes(shared, policies))
        .merge(tail::routes(shared, policies))
}

/// A query, or why it can't be read.
type Asked<T> = Result<Query<T>, QueryRejection>;
/// The number in a path, or why it is none.
type Named = Result<Path<i64>, PathRejection>;

fn asked<T>(query: Asked<T>) -> Result<T, ApiError> {
    let query = query.map_err(|rejection| ApiError::Invalid(rejection.body_text()))?;
    Ok(query.0)
}

/// The numbers of the projects that may be seen: all, or the one of this name.
fn seen(shared: &Shared, reader: &Reader, wanted: Option<&str>) -> Result<Vec<i64>, ApiError> {
    if wanted.is_some_and(|name| name.chars().count() > NAME_CHARACTERS_MAX) {
        let text = format!("the name of a project has at most {NAME_CHARACTERS_MAX} characters");
        return Err(ApiError::Invalid(text));
    }
    Ok(reader.projects(&shared.projects, wanted))
}

fn number(path: &Named) -> Result<i64, ApiError> {
    let text = "the path ends with a number from 1 on";
    let Ok(Path(id)) = path else {
        return Err(ApiError::Invalid(text.to_owned()));
    };
    match *id {
        id @ 1.. => Ok(id),
        _ => Err(ApiError::Invalid(text.to_owned())),
    }
}

/// A page of records.
#[derive(Serialize)]
struct Page {
    records: Vec<Summary>,
    next: Option<i64>,
    /// Whether a bound ended it before it was full; said where payloads are looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_partial: Option<bool>,
}

impl Page {
    fn new((records, next): (Vec<Summary>, Option<i64>)) -> Self {
        Self {
            records,
            next,
            is_partial: None,
        }
    }
}

async fn list(shared: &Shared, reader: &Reader, query: Asked<Filters>) -> Answer<Page> {
    let filters = asked(query)?;
    filters.refuse_cursor()?;
    let limit = filters.limit()?;
    let mut conditions = filters.conditions(shared).await?;
    let projects = seen(shared, reader, filters.project.as_deref())?;
    conditions.projects(&projects, shared.projects.count());
    let (words, expressions) = (filters.words()?, filters.expressions()?);
    if !expressions.are_none() {
        let wanted = Wanted {
            conditions,
            words,
            expressions,
        };
        return looked_at(shared, wanted, limit).await;
    }
    if let Some(words) = words {
        return searched(shared, &words, conditions, limit).await;
    }
    Ok(Json(Page::new(page(shared, &conditions, limit).await?)))
}

/// The newest records that fit, and after which id the next page begins, if there is one.
async fn page(
    shared: &Shared,
    conditions: &Conditions,
    limit: usize,
) -> Result<(Vec<Summary>, Option<i64>), ApiError> {
    // One more says whether there is a next page.
    let (mut found, mut records) = summaries(shared, conditions, limit + 1).await?;
    let has_next = found.len() > limit;
    found.truncate(limit);
    let last = found.last().copied();
    // Of what was found, some may have been removed before it was read.
    records.retain(|record| last.is_some_and(|last| record.id >= last));
    Ok((records, last.filter(|_| has_next)))
}

/// A page of the records with these words. It may be short and have a next one: a search that would
/// look at too many payloads is given in parts.
async fn searched(
    shared: &Shared,
    words: &Words,
    conditions: Conditions,
    limit: usize,
) -> Answer<Page> {
    let mut found = search::search(&shared.state, words, &conditions, limit + 1).await?;
    let has_next = found.ids.len() > limit;
    found.ids.truncate(limit);
    let records = summaries_of(shared, &found.ids).await?;
    let last = found.ids.last().filter(|_| has_next);
    let next = last.copied().or(found.ended_at);
    Ok(Json(Page::new((records, next))))
}

/// A page of the records whose payloads fit expressions.
async fn looked_at(shared: &Shared, wanted: Wanted, limit: usize) -> Answer<Page> {
    let place = (&shared.state, &shared.looking);
    let looked = look::look(place, wanted, (limit, BOUNDS)).await?;
    let records = summaries_of(shared, &looked.ids).await?;
    let is_partial = Some(looked.is_partial);
    Ok(Json(Page {
        is_partial,
        ..Page::new((records, looked.next))
    }))
}

/// What lists show of these, newest first.
async fn summaries_of(shared: &Shared, ids: &[i64]) -> Result<Vec<Summary>, ApiError> {
    let mut of_ids = Conditions::default();
    of_ids.one_of("id", ids);
    let (_, records) = summaries(shared, &of_ids, ids.len()).await?;
    Ok(records)
}

/// The newest records that fit, and the ids that were found.
async fn summaries(
    shared: &Shared,
    conditions: &Conditions,
    limit: usize,
) -> Result<(Vec<i64>, Vec<Summary>), ApiError> {
    let mut read = shared.state.read().await?;
    let window = (Order::NewestFirst, limit);
    let (found, rows) = stored::select(&mut read, SUMMARY, conditions, window).await?;
    let records = rows.rows().map(|row| Summary::of(row, &shared.projects));
    Ok((found, records.collect::<Result<_, _>>()?))
}

/// A record as it is shown alone.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    whole: Whole<'a>,
    excerpt: String,
    why_grouped: Option<Value>,
}

async fn show(shared: &Shared, reader: &Reader, id: i64) -> Answer<Value> {
    let stored = find(shared, reader, id).await?;
    let shown = Shown {
        whole: Whole::of(&stored, &shared.projects),
        excerpt: excerpt(stored.record.payload.as_bytes()),
        why_grouped: stored.group.and_then(|_| {
            why_grouped(
                shared,
                (&stored.record.classification, &stored.record.payload),
            )
        }),
    };
    Ok(Json(json!(shown)))
}

/// A record that may be seen.
async fn find(shared: &Shared, reader: &Reader, id: i64) -> Result<StoredRecord, ApiError> {
    let mut conditions = Conditions::default();
    conditions.number("id", "=", id);
    conditions.one_of("project", &reader.projects(&shared.projects, None));
    let mut read = shared.state.read().await?;
    let window = (Order::NewestFirst, 1);
    let (_, rows) = stored::select(&mut read, WHOLE, &conditions, window).await?;
    let row = rows.first();
    let row = row.ok_or(ApiError::NotFound(
        "there is no such record, or it was removed",
    ))?;
    Ok(StoredRecord::of(row)?)
}

/// How a record came to its group by the rules as they are now.
fn why_grouped(shared: &Shared, (classification, payload): (&str, &str)) -> Option<Value> {
    let skipped = shared.skipped.get();
    let is_skipped = |function: &str, module: &str| skipped.contains(function, module);
    let why = fingerprint::explain(classification, payload, is_skipped)?;
    let guilty = backtrace::guilty(&backtrace::frames(payload), is_skipped);
    let guilty = guilty.map(|guilty| guilty.index);
    let frames: Vec<Value> = why
        .frames
        .iter()
        .enumerate()
        .map(|(index, frame)| {
            json!({
                "function": frame.function,
                "module": frame.module,
                "normalised": frame.normalised,
                "is_used": frame.is_used,
                "is_guilty": guilty == Some(index),
                "why": frame.why,
            })
        })
        .collect();
    Some(json!({
        "version": why.version,
        "key": why.key,
        "signal": why.signal,
        "frames": frames,
    }))
}

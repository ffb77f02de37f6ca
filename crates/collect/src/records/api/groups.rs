//! Crash groups.

mod members;
mod merging;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::{Extension, Json};
use base::http::{Routes, read_body};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use state::{Read, StateError};

use super::cursor::Place;
use super::{Answer, Asked, Named, Policies, asked, find, number, seen, summaries, why_grouped};
use crate::records::error::ApiError;
use crate::records::filter::Conditions;
use crate::records::query::plain;
use crate::records::reader::Reader;
use crate::records::time::{self, DAY_MILLISECONDS};
use crate::records::{Shared, build};

const COLUMNS: &str = "SELECT id, project, classification, function_name, module, first_seen, \
     last_seen, first_build, last_build, last_record, records, state, merged_into, is_hidden, comment, \
     regressed_in FROM record_groups";
const DAYS_DEFAULT: i64 = 7;
const DAYS_MAX: i64 = 366;
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;
/// Groups that are looked at for one answer: those of the window's newest.
const GROUPS_MAX: usize = 10_000;
const COMMENT_CHARACTERS_MAX: usize = 80;
const CHANGE_BYTES_MAX: usize = 4 << 10;
/// Records of a group that its page shows.
const LATEST: usize = 20;
const NO_GROUP: &str = "there is no such crash group";

pub(super) fn routes(shared: &Arc<Shared>, policies: &Policies<'_>) -> Routes {
    let with = || Arc::clone(shared);
    let (all, one, other) = (with(), with(), with());
    let list = move |reader: Extension<Reader>, query: Asked<Window>| async move {
        list(&all, &reader, query).await
    };
    let show = move |reader: Extension<Reader>, id: Named| async move {
        show(&one, &reader, number(&id)?).await
    };
    let change = move |reader: Extension<Reader>, id: Named, body: Body| async move {
        change(&other, &reader, number(&id)?, body).await
    };
    Routes::default()
        .get("/v1/records/groups", (policies.read)(), list)
        .get("/v1/records/groups/{id}", (policies.read)(), show)
        .post("/v1/records/groups/{id}", (policies.update)(), change)
        .merge(merging::routes(shared, policies))
        .merge(members::routes(shared, policies))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    project: Option<String>,
    days: Option<i64>,
    build: Option<String>,
    #[serde(default)]
    hidden: bool,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// What people change of a group.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default, deserialize_with = "given")]
    comment: Option<String>,
    #[serde(default, deserialize_with = "given")]
    is_hidden: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    state: Option<State>,
}

/// A value: `null` is none, and does not mean that the field was left out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Open,
    Resolved,
}

async fn list(shared: &Shared, reader: &Reader, query: Asked<Window>) -> Answer<Value> {
    let window = asked(query)?;
    let days = window.days.unwrap_or(DAYS_DEFAULT);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(ApiError::Invalid(format!("days is 1 to {DAYS_MAX}")));
    }
    let build = window.build.as_deref();
    let build = build.map(|build| plain("build", build)).transpose()?;
    let limit = window.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::Invalid(format!("limit is 1 to {LIMIT_MAX}")));
    }
    let cursor = window.cursor.as_deref().map(Place::of).transpose()?;
    let first_day = time::now().div_euclid(DAY_MILLISECONDS) - days + 1;
    let mut conditions = Conditions::default();
    let projects = seen(shared, reader, window.project.as_deref())?;
    conditions.one_of("project", &projects);
    conditions.number("last_seen", ">=", first_day * DAY_MILLISECONDS);
    conditions.number("merged_into", "=", 0);
    if !window.hidden {
        conditions.number("is_hidden", "=", 0);
    }
    let tail = format!("ORDER BY last_seen DESC LIMIT {GROUPS_MAX}");
    let mut read = shared.state.read().await?;
    let rows = conditions.fetch(&mut read, COLUMNS, &tail).await?;
    let ids: Vec<i64> = rows
        .iter()
        .map(|row| row.try_get("id"))
        .collect::<Result<_, _>>()?;
    let mut builds = builds_of(&mut read, &ids, first_day).await?;
    if let Some(build) = build {
        builds.retain(|_, builds| builds.contains_key(&build));
    }
    let count = |id: i64| {
        let builds = builds.get(&id);
        builds.map_or(0, |builds| builds.values().sum())
    };
    let counted = ids
        .iter()
        .zip(&rows)
        .map(|(id, row)| (count(*id), *id, row));
    let (counted, next) = page_of(counted, cursor, limit);
    let shown: Vec<i64> = counted.iter().map(|(_, id, _)| *id).collect();
    let machines = machines_of(&mut read, &shown, first_day).await?;
    let known = Known { builds, machines };
    let groups: Vec<Map<String, Value>> = counted
        .iter()
        .map(|(_, _, row)| group(shared, row, &known))
        .collect::<Result<_, _>>()?;
    let next = next.map(|next| next.to_string());
    Ok(Json(json!({"groups": groups, "next": next})))
}

/// Those with most records behind the cursor, of as many the newest first, and where the next page begins
/// if there is one. What has none does not count.
fn page_of<T>(
    counted: impl Iterator<Item = (i64, i64, T)>,
    cursor: Option<Place>,
    limit: usize,
) -> (Vec<(i64, i64, T)>, Option<Place>) {
    let is_shown =
        |count: i64, id: i64| count > 0 && cursor.is_none_or(|place| place.is_before((count, id)));
    let mut page: Vec<(i64, i64, T)> = counted
        .filter(|(count, id, _)| is_shown(*count, *id))
        .collect();
    page.sort_unstable_by_key(|(count, id, _)| Reverse((*count, *id)));
    let has_next = page.len() > limit;
    page.truncate(limit);
    let last = page.last().filter(|_| has_next);
    let next = last.map(|(count, id, _)| Place {
        number: *count,
        id: *id,
    });
    (page, next)
}

type Builds = HashMap<i64, HashMap<String, i64>>;
type Counts = HashMap<i64, i64>;

/// What is known of groups in a window.
struct Known {
    builds: Builds,
    machines: Counts,
}

impl Known {
    async fn of_one(read: &mut Read, id: i64, first_day: i64) -> Result<Self, ApiError> {
        Ok(Self {
            builds: builds_of(read, &[id], first_day).await?,
            machines: machines_of(read, &[id], first_day).await?,
        })
    }
}

/// Records per group and build since a day.
async fn builds_of(read: &mut Read, ids: &[i64], first_day: i64) -> Result<Builds, ApiError> {
    let mut builds: Builds = HashMap::new();
    for chunk in ids.chunks(LIMIT_MAX) {
        let mut conditions = Conditions::default();
        conditions.one_of("group_id", chunk);
        conditions.number("day", ">=", first_day);
        let head = "SELECT group_id, build, CAST(SUM(records) AS BIGINT) FROM record_group_days";
        // Records that were moved to another group may leave a zero.
        let tail = "GROUP BY group_id, build HAVING SUM(records) > 0";
        for row in conditions.fetch(read, head, tail).await? {
            let counts = builds.entry(row.try_get(0)?).or_default();
            counts.insert(row.try_get(1)?, row.try_get(2)?);
        }
    }
    Ok(builds)
}

/// A group as the API shows it.
fn group(shared: &Shared, row: &AnyRow, known: &Known) -> Result<Map<String, Value>, StateError> {
    let id: i64 = row.try_get("id")?;
    let project: i64 = row.try_get("project")?;
    let is_hidden: i64 = row.try_get("is_hidden")?;
    let merged_into: i64 = row.try_get("merged_into")?;
    let empty = HashMap::new();
    let builds = known.builds.get(&id).unwrap_or(&empty);
    let text = |column: &str| row.try_get::<String, _>(column);
    let seen = |column: &str| row.try_get::<i64, _>(column).map(time::rfc3339);
    let shown = json!({
        "id": id,
        "project": shared.projects.name(project),
        "function": text("function_name")?,
        "module": text("module")?,
        "classification": text("classification")?,
        "first_seen": seen("first_seen")?,
        "last_seen": seen("last_seen")?,
        "first_build": text("first_build")?,
        "last_build": text("last_build")?,
        "total": row.try_get::<i64, _>("records")?,
        "count": builds.values().sum::<i64>(),
        "machines": known.machines.get(&id).copied().unwrap_or(0),
        "builds": builds,
        "state": text("state")?,
        "regressed_in": (text("state")? == "regressed").then_some(text("regressed_in")?),
        "merged_into": (merged_into > 0).then_some(merged_into),
        "is_hidden": is_hidden != 0,
        "comment": text("comment")?,
    });
    match shown {
        Value::Object(shown) => Ok(shown),
        _ => Ok(Map::new()),
    }
}

/// Machines of groups since a day.
async fn machines_of(read: &mut Read, ids: &[i64], first_day: i64) -> Result<Counts, ApiError> {
    let mut conditions = Conditions::default();
    conditions.one_of("group_id", ids);
    conditions.number("last_day", ">=", first_day);
    let head = "SELECT group_id, CAST(SUM(machines) AS BIGINT) FROM record_group_population";
    let mut machines = Counts::new();
    for row in conditions.fetch(read, head, "GROUP BY group_id").await? {
        machines.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(machines)
}

/// The row of a group that may be seen.
async fn row_of(
    shared: &Shared,
    read: &mut Read,
    (reader, id): (&Reader, i64),
) -> Result<AnyRow, ApiError> {
    let mut conditions = Conditions::default();
    conditions.number("id", "=", id);
    conditions.one_of("project", &reader.projects(&shared.projects, None));
    let rows = conditions.fetch(read, COLUMNS, "").await?;
    rows.into_iter().next().ok_or(ApiError::NotFound(NO_GROUP))
}

async fn show(shared: &Shared, reader: &Reader, id: i64) -> Answer<Value> {
    let today = time::now().div_euclid(DAY_MILLISECONDS);
    let first_day = today - DAYS_MAX + 1;
    let mut read = shared.state.read().await?;
    let row = row_of(shared, &mut read, (reader, id)).await?;
    let known = Known::of_one(&mut read, id, first_day).await?;
    let mut shown = group(shared, &row, &known)?;
    let sql = "SELECT day, CAST(SUM(records) AS BIGINT) FROM record_group_days \
         WHERE group_id = $1 AND day >= $2 GROUP BY day HAVING SUM(records) > 0 ORDER BY day";
    let rows = sqlx::query(sql)
        .bind(id)
        .bind(first_day)
        .fetch_all(&mut read)
        .await?;
    drop(read);
    let mut days = Vec::new();
    for row in rows {
        let count: i64 = row.try_get(1)?;
        days.push(json!({"day": time::date(row.try_get(0)?), "count": count}));
    }
    shown.insert("days".to_owned(), days.into());
    let mut conditions = Conditions::default();
    conditions.group(id);
    let (_, latest) = summaries(shared, &conditions, LATEST).await?;
    shown.insert("latest".to_owned(), json!(latest));
    let merged = merging::merged(shared, id).await?;
    shown.insert("merged".to_owned(), json!(merged));
    // Retention may have removed it.
    let last = find(shared, reader, row.try_get("last_record")?).await.ok();
    let why = last.and_then(|stored| {
        why_grouped(
            shared,
            (&stored.record.classification, &stored.record.payload),
        )
    });
    shown.insert("why_grouped".to_owned(), json!(why));
    Ok(Json(Value::Object(shown)))
}

async fn change(shared: &Shared, reader: &Reader, id: i64, body: Body) -> Answer<Value> {
    let invalid = |text: &str| ApiError::Invalid(text.to_owned());
    let body = read_body(body, CHANGE_BYTES_MAX).await;
    let body = body.map_err(|_| invalid("the body is a JSON object of at most 4 KiB"))?;
    let change: Change =
        serde_json::from_slice(&body).map_err(|error| ApiError::Invalid(error.to_string()))?;
    let comment = change.comment.as_deref().unwrap_or_default();
    if comment.chars().count() > COMMENT_CHARACTERS_MAX || comment.contains('\0') {
        return Err(invalid("a comment has at most 80 characters, and no NUL"));
    }
    if change.comment.is_none() && change.is_hidden.is_none() && change.state.is_none() {
        return Err(invalid("give at least one of comment, is_hidden and state"));
    }
    let first_day = time::now().div_euclid(DAY_MILLISECONDS) - DAYS_DEFAULT + 1;
    let mut read = shared.state.read().await?;
    let row = row_of(shared, &mut read, (reader, id)).await?;
    let project: i64 = row.try_get("project")?;
    reader.allow_update(&shared.projects, project)?;
    // The newest build that has it, and not the one that was heard of last.
    let builds = builds_of(&mut read, &[id], 0).await?;
    let newest = builds.get(&id).into_iter().flat_map(HashMap::keys);
    let newest = newest.max_by(|one, two| build::compare(one, two)).cloned();
    drop(read);
    let state = match change.state {
        Some(State::Open) => "open",
        Some(State::Resolved) => "resolved",
        None => "",
    };
    let sql = "UPDATE record_groups SET \
         comment = CASE WHEN $2 = 1 THEN $3 ELSE comment END, \
         is_hidden = CASE WHEN $4 >= 0 THEN $4 ELSE is_hidden END, \
         resolved_in = CASE WHEN $5 = 'resolved' THEN $6 ELSE resolved_in END, \
         regressed_in = CASE WHEN $5 <> '' THEN '' ELSE regressed_in END, \
         state = CASE WHEN $5 <> '' THEN $5 ELSE state END WHERE id = $1";
    let mut write = shared.state.write().await?;
    sqlx::query(sql)
        .bind(id)
        .bind(i64::from(change.comment.is_some()))
        .bind(comment)
        .bind(change.is_hidden.map_or(-1, i64::from))
        .bind(state)
        .bind(newest.unwrap_or_default())
        .execute(&mut write)
        .await?;
    write.commit().await?;
    let details = json!(change);
    let target = format!("record_group:{id}");
    reader.note("record_group.changed", target, details).await;
    let mut read = shared.state.read().await?;
    let row = row_of(shared, &mut read, (reader, id)).await?;
    let known = Known::of_one(&mut read, id, first_day).await?;
    let shown = group(shared, &row, &known)?;
    Ok(Json(Value::Object(shown)))
}

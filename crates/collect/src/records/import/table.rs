//! The imports that there are: how one begins, goes on, and is given up.

use serde_json::{Map, Value, json};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use state::{Read, StateError, Write};

use super::forget_older;
use crate::records::error::ApiError;
use crate::records::filter::Conditions;
use crate::records::imported::Begin;
use crate::records::project::{Project, Projects};
use crate::records::search::index::STATE;
use crate::records::{Shared, insert, time};

const COLUMNS: &str = "SELECT id, source, project, state, new_ids, last_id, records, reached, kept, \
     quarantined, begun_at, changed_at FROM record_imports";
/// Notes that are told one by one.
const NOTES_TOLD_MAX: i64 = 1_000;
const RUNNING: &str = "running";
pub(super) const DONE: &str = "done";
const NOT_THERE: ApiError = ApiError::NotFound("there is no such import");

/// An import.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    pub(crate) id: i64,
    source: String,
    pub(crate) project: i64,
    state: String,
    /// Records don't keep their ids.
    pub(crate) has_new_ids: bool,
    /// The highest id there.
    pub(crate) last: i64,
    records: i64,
    /// Up to which id it is.
    pub(crate) reached: i64,
    kept: i64,
    quarantined: i64,
    begun_at: i64,
    pub(crate) changed_at: i64,
}

impl Import {
    fn of(row: &AnyRow) -> Result<Self, StateError> {
        let new_ids: i64 = row.try_get(4)?;
        Ok(Self {
            id: row.try_get(0)?,
            source: row.try_get(1)?,
            project: row.try_get(2)?,
            state: row.try_get(3)?,
            has_new_ids: new_ids != 0,
            last: row.try_get(5)?,
            records: row.try_get(6)?,
            reached: row.try_get(7)?,
            kept: row.try_get(8)?,
            quarantined: row.try_get(9)?,
            begun_at: row.try_get(10)?,
            changed_at: row.try_get(11)?,
        })
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state == RUNNING
    }

    fn is_done(&self) -> bool {
        self.state == DONE
    }

    /// As the API shows it.
    pub(crate) fn shown(&self, projects: &Projects) -> Map<String, Value> {
        let found = projects.all().find(|project| project.id == self.project);
        let keep = found.and_then(|project| project.config.retention.unfiltered);
        let shown = json!({
            "id": self.id,
            "source": self.source,
            "project": projects.name(self.project),
            "state": self.state,
            "new_ids": self.has_new_ids,
            "last": self.last,
            "records": self.records,
            "reached": self.reached,
            "kept": self.kept,
            "quarantined": self.quarantined,
            "begun_at": time::rfc3339(self.begun_at),
            "changed_at": time::rfc3339(self.changed_at),
            "keep_seconds": keep.map(|keep| keep.as_secs()),
        });
        match shown {
            Value::Object(shown) => shown,
            _ => Map::new(),
        }
    }
}

/// The import of a number.
pub(crate) async fn find(read: &mut Read, id: i64) -> Result<Import, ApiError> {
    let sql = format!("{COLUMNS} WHERE id = $1");
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id);
    let row = query.fetch_optional(read).await?.ok_or(NOT_THERE)?;
    Ok(Import::of(&row)?)
}

/// The same in a transaction.
pub(super) async fn find_in(write: &mut Write, id: i64) -> Result<Import, ApiError> {
    let sql = format!("{COLUMNS} WHERE id = $1");
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id);
    let row = query.fetch_optional(write).await?.ok_or(NOT_THERE)?;
    Ok(Import::of(&row)?)
}

/// Imports of these projects, the one that went on last first: at most so many, behind the one that
/// changed at this time and has this id.
pub(crate) async fn list(
    read: &mut Read,
    projects: &[i64],
    (behind, limit): (Option<(i64, i64)>, usize),
) -> Result<Vec<Import>, ApiError> {
    let mut conditions = Conditions::default();
    conditions.one_of("project", projects);
    if let Some((changed_at, id)) = behind {
        let (changed_at, id) = (conditions.value(changed_at), conditions.value(id));
        conditions.plain(&format!(
            "(changed_at < {changed_at} OR (changed_at = {changed_at} AND id < {id}))"
        ));
    }
    let tail = format!("ORDER BY changed_at DESC, id DESC LIMIT {limit}");
    let rows = conditions.fetch(read, COLUMNS, &tail).await?;
    Ok(rows.iter().map(Import::of).collect::<Result<_, _>>()?)
}

/// An import with why rows are no records, and what became of the notes on guilty frames.
pub(crate) async fn details(
    shared: &Shared,
    read: &mut Read,
    import: &Import,
) -> Result<Map<String, Value>, ApiError> {
    let mut shown = import.shown(&shared.projects);
    let sql = "SELECT reason, records FROM record_import_reasons WHERE import_id = $1";
    let mut reasons = Map::new();
    let rows = sqlx::query(sql).bind(import.id).fetch_all(&mut *read);
    for row in rows.await? {
        let count: i64 = row.try_get(1)?;
        reasons.insert(row.try_get(0)?, count.into());
    }
    shown.insert("reasons".to_owned(), Value::Object(reasons));
    let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(placed), 0) AS BIGINT) \
         FROM record_import_guilty WHERE import_id = $1";
    let query = sqlx::query(sql).bind(import.id);
    let row = query.fetch_one(&mut *read).await?;
    let (given, placed): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let sql = "SELECT guilty, function_name, module, comment, is_hidden FROM record_import_guilty \
         WHERE import_id = $1 AND placed = 0 ORDER BY guilty LIMIT $2";
    let mut left = Vec::new();
    let rows = sqlx::query(sql).bind(import.id).bind(NOTES_TOLD_MAX);
    for row in rows.fetch_all(&mut *read).await? {
        let is_hidden: i64 = row.try_get(4)?;
        left.push(json!({
            "id": row.try_get::<i64, _>(0)?,
            "function": row.try_get::<String, _>(1)?,
            "module": row.try_get::<String, _>(2)?,
            "comment": row.try_get::<String, _>(3)?,
            "is_hidden": is_hidden != 0,
        }));
    }
    let notes = json!({"given": given, "placed": placed, "left": left});
    shown.insert("notes".to_owned(), notes);
    Ok(shown)
}

/// Begins an import, or goes on with the one of this source. Its ids are free, if records are to keep
/// theirs, and stay so: intake goes on above them.
pub(crate) async fn begin(
    shared: &Shared,
    project: &Project,
    wanted: &Begin,
) -> Result<Import, ApiError> {
    let mut write = shared.state.write().await?;
    insert::lock(&mut write).await?;
    let sql = format!("{COLUMNS} WHERE source = $1");
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(wanted.source.as_str());
    let found = query.fetch_optional(&mut write).await?;
    let found = found.as_ref().map(Import::of).transpose()?;
    let import = match found {
        Some(import) => go_on(shared, &mut write, (project, wanted), import).await?,
        None => make(&mut write, project, wanted).await?,
    };
    if !wanted.dry_run {
        write.commit().await?;
    }
    Ok(import)
}

async fn make(write: &mut Write, project: &Project, wanted: &Begin) -> Result<Import, ApiError> {
    if !wanted.new_ids {
        take_ids(write, (0, wanted.first), wanted.last).await?;
    }
    let sql = "INSERT INTO record_imports (source, project, state, new_ids, last_id, records, \
         reached, kept, quarantined, begun_at, changed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $8, 0, 0, $7, $7) RETURNING id";
    let row = sqlx::query(sql)
        .bind(wanted.source.as_str())
        .bind(project.id)
        .bind(RUNNING)
        .bind(i64::from(wanted.new_ids))
        .bind(wanted.last)
        .bind(wanted.records)
        .bind(time::now())
        .bind((wanted.first - 1).max(0))
        .fetch_one(&mut *write)
        .await?;
    hold_index(write).await?;
    find_in(write, row.try_get(0)?).await
}

/// Goes on with an import, up to what its source has now.
async fn go_on(
    shared: &Shared,
    write: &mut Write,
    (project, wanted): (&Project, &Begin),
    import: Import,
) -> Result<Import, ApiError> {
    if import.project != project.id {
        let name = shared.projects.name(import.project);
        let name = name.unwrap_or("one that the configuration no longer names");
        let text = format!("records of this database were imported into another project: {name}");
        return Err(ApiError::Conflict(text));
    }
    let last = wanted.last.max(import.last);
    if last == import.reached && import.is_done() {
        return Ok(import);
    }
    let new_ids = import.has_new_ids || wanted.new_ids;
    if !new_ids {
        // What runs holds the ids up to its end.
        let held = if import.is_running() {
            import.last
        } else {
            import.reached
        };
        let taken = take_ids(write, (import.id, held + 1), last).await;
        match taken {
            // The rest has to wait for the end.
            Err(ApiError::Conflict(_)) if import.is_running() => return Ok(import),
            taken => taken?,
        }
    }
    let sql = "UPDATE record_imports SET state = $2, new_ids = $3, last_id = $4, records = $5, \
         changed_at = $6 WHERE id = $1";
    sqlx::query(sql)
        .bind(import.id)
        .bind(RUNNING)
        .bind(i64::from(new_ids))
        .bind(last)
        .bind(wanted.records)
        .bind(time::now())
        .execute(&mut *write)
        .await?;
    hold_index(write).await?;
    find_in(write, import.id).await
}

/// What is being added to the index of words was read before the import: it has to be looked at again.
async fn hold_index(write: &mut Write) -> Result<(), StateError> {
    let sql = "UPDATE record_index_state SET changes = changes + 1 WHERE id = $1";
    sqlx::query(sql).bind(STATE).execute(&mut *write).await?;
    forget_older(write).await
}

/// Sees that ids are free from `first` to `last`, and that intake does not take them. Needs the lock of
/// intake. `own` is the import that wants them.
async fn take_ids(write: &mut Write, (own, first): (i64, i64), last: i64) -> Result<(), ApiError> {
    const REMEDY: &str = "import with new ids (`--new-ids`), or into an empty collector";
    let sql = "SELECT id FROM record_imports WHERE state = $1 AND new_ids = 0 AND id <> $2 LIMIT 1";
    let query = sqlx::query(sql).bind(RUNNING).bind(own);
    if let Some(row) = query.fetch_optional(&mut *write).await? {
        let other: i64 = row.try_get(0)?;
        let text = format!(
            "import {other} is not finished, and its records keep their ids: finish it, or give it up \
             (`landline records import --abandon {other}`)"
        );
        return Err(ApiError::Conflict(text));
    }
    for (table, what) in [("records", "record"), ("record_quarantine", "submission")] {
        let sql = format!("SELECT id FROM {table} WHERE id >= $1 AND id <= $2 ORDER BY id LIMIT 1");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql));
        let taken = query.bind(first).bind(last).fetch_optional(&mut *write);
        if let Some(row) = taken.await? {
            let id: i64 = row.try_get(0)?;
            let text = format!(
                "records can't keep their ids {first} to {last}: there is a {what} {id} here \
                 already; {REMEDY}"
            );
            return Err(ApiError::Conflict(text));
        }
    }
    let sql = "UPDATE record_sequence SET next = $1 WHERE id = 1 AND next < $1";
    sqlx::query(sql).bind(last + 1).execute(write).await?;
    Ok(())
}

/// Gives an import up; what came in stays.
pub(crate) async fn abandon(shared: &Shared, id: i64) -> Result<Import, ApiError> {
    let mut write = shared.state.write().await?;
    insert::lock(&mut write).await?;
    let sql = "UPDATE record_imports SET state = 'abandoned', changed_at = $2 \
         WHERE id = $1 AND state = $3";
    let query = sqlx::query(sql).bind(id).bind(time::now()).bind(RUNNING);
    query.execute(&mut write).await?;
    let import = find_in(&mut write, id).await?;
    write.commit().await?;
    Ok(import)
}

//! Removal of records whose time has passed, in small transactions. A record that a filter is about is
//! kept as long as the longest of them says; only a record that no filter is about is kept as long as
//! `unfiltered` says. What was counted of it stays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::supervise::{BoxError, Criticality, Restart, Scope, Service};
use serde::Serialize;
use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{State, StateError, Write};

use super::Shared;
use super::config::{Filter, Retention};
use super::filter::Conditions;
use super::import;
use super::insert::counts;
use super::insert::rows::placeholders;
use super::packed::{Column, Row};
use super::reader::Reader;
use super::recount;
use super::search::index::{CHUNKS, ROW_IDS, STATE};
use super::search::{self, Field};
use super::stored::{self, Order};
use super::time;

/// How often it is looked.
const INTERVAL: Duration = Duration::from_hours(1);
/// How long after a start: a machine that starts has other things to do.
const FIRST: Duration = Duration::from_mins(1);
/// Records that are looked at in one statement.
const PAGE: usize = 1_000;
/// Records that are removed in one transaction: intake waits for it.
const BATCH: usize = 128;
/// What is removed of a record.
const RECORDS: [&str; 2] = ["record_payloads", "records"];
/// Chunks of the index that are removed in one transaction.
const BITS_AT_ONCE: i64 = 512;
/// Between two transactions.
const PAUSE: Duration = Duration::from_millis(20);
/// Submissions in quarantine; beyond it the oldest go.
const QUARANTINE_MAX: i64 = 100_000;
const TRY_AGAIN: Restart = Restart::OnFailure {
    first: Duration::from_secs(10),
    ceiling: Duration::from_mins(10),
};

/// What a look found, or would remove.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Passed {
    /// Records that were looked at.
    pub(crate) looked_at: usize,
    /// Whose time has passed.
    pub(crate) records: usize,
    /// The same by classification.
    pub(crate) classifications: BTreeMap<String, usize>,
}

/// Looks every hour.
pub(crate) fn service(shared: &Arc<Shared>) -> Service {
    let shared = Arc::clone(shared);
    let body = move |scope: Scope| {
        let shared = Arc::clone(&shared);
        async move {
            let mut wait = FIRST;
            loop {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = scope.stopping() => return Ok::<(), BoxError>(()),
                }
                let passed = run(&shared, &scope).await?;
                if passed.records > 0 {
                    tracing::info!(records = passed.records, "records removed by retention");
                }
                remove_submissions(&shared, &scope).await?;
                let is_stopping = || scope.is_stopping();
                remove_index(&shared.state, &is_stopping).await?;
                recount::machines_of_groups(&shared.state, &is_stopping).await?;
                wait = INTERVAL;
            }
        }
    };
    Service::restarting("records.retention", Criticality::Plain, TRY_AGAIN, body)
}

/// What would be removed now of the projects that somebody may see.
pub(crate) async fn look(shared: &Shared, reader: &Reader) -> Result<Passed, StateError> {
    let seen = reader.projects(&shared.projects, None);
    let mut passed = Passed::default();
    for project in shared.projects.all() {
        if seen.contains(&project.id) {
            walk(shared, project.id, (false, &|| false), &mut passed).await?;
        }
    }
    Ok(passed)
}

async fn run(shared: &Shared, scope: &Scope) -> Result<Passed, StateError> {
    let mut passed = Passed::default();
    let mut read = shared.state.read().await?;
    let rows = sqlx::query("SELECT id FROM record_projects");
    let rows = rows.fetch_all(&mut read).await?;
    drop(read);
    for row in rows {
        let project = row.try_get(0)?;
        walk(
            shared,
            project,
            (true, &|| scope.is_stopping()),
            &mut passed,
        )
        .await?;
    }
    Ok(passed)
}

/// What decides how long a record is kept.
const JUDGED: &[Column] = &[
    Column::Number("id"),
    Column::Number("received_at"),
    Column::Number("severity"),
    Column::Text("classification"),
    Column::Text("build"),
    Column::Text("machine_id"),
];

/// Looks at all records of a project that are old enough for any rule, the oldest first.
async fn walk(
    shared: &Shared,
    project: i64,
    (removes, is_stopping): (bool, &(dyn Fn() -> bool + Sync)),
    passed: &mut Passed,
) -> Result<(), StateError> {
    let now = time::now();
    let retention = &retention_of(shared, project);
    let Some(shortest) = shortest(retention) else {
        return Ok(());
    };
    let before = now.saturating_sub(milliseconds(shortest));
    let mut last = 0;
    while !is_stopping() {
        let mut conditions = Conditions::default();
        conditions.field_number(Field::Project, project);
        conditions.received_before(before);
        conditions.from(last + 1);
        let window = (Order::OldestFirst, PAGE);
        let mut read = shared.state.read().await?;
        let hits = search::find(&mut read, &conditions, window).await?;
        let found: Vec<i64> = hits.iter().map(|hit| hit.id).collect();
        let rows = stored::without_payload(&mut read, JUDGED, &found).await?;
        drop(read);
        last = found.last().copied().unwrap_or(last);
        if removes && !found.is_empty() {
            // What is gone can't be counted any more.
            drop(counts::catch_up(&shared.state).await?);
        }
        let mut ids = Vec::new();
        for row in rows.rows() {
            let keep = keep_row(retention, row)?;
            let received = row.number(1)?;
            if keep.is_some_and(|keep| received < now.saturating_sub(milliseconds(keep))) {
                ids.push(row.number(0)?);
                let classification = row.text(3)?.to_owned();
                *passed.classifications.entry(classification).or_default() += 1;
            }
        }
        passed.looked_at += rows.len();
        passed.records += ids.len();
        if removes {
            remove(&shared.state, &RECORDS, &ids).await?;
        }
        if found.len() < PAGE {
            break;
        }
    }
    Ok(())
}

/// How long the record of a row is kept.
fn keep_row(retention: &Retention, row: Row<'_>) -> Result<Option<Duration>, StateError> {
    let severity = u8::try_from(row.number(2)?).unwrap_or_default();
    let (classification, build, machine_id) = (row.text(3)?, row.text(4)?, row.text(5)?);
    Ok(keep(retention, |filter| {
        filter.fits_parts(classification, severity, build, machine_id)
    }))
}

/// The shortest time after which anything of a project may go; nothing when all is kept for ever.
fn shortest(retention: &Retention) -> Option<Duration> {
    let filters = retention.filters.iter().filter_map(|filter| filter.keep);
    filters.chain(retention.unfiltered).min()
}

/// How long a record is kept; nothing means for ever.
fn keep(retention: &Retention, fits: impl Fn(&Filter) -> bool) -> Option<Duration> {
    let mut fitting = retention
        .filters
        .iter()
        .filter(|filter| fits(&filter.of))
        .peekable();
    if fitting.peek().is_none() {
        return retention.unfiltered;
    }
    let mut longest = Duration::ZERO;
    for filter in fitting {
        longest = longest.max(filter.keep?);
    }
    Some(longest)
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

async fn remove(state: &State, tables: &[&'static str], ids: &[i64]) -> Result<(), StateError> {
    for batch in ids.chunks(BATCH) {
        let marks = placeholders(1, batch.len());
        let mut write = state.write().await?;
        for table in tables {
            let sql = format!("DELETE FROM {table} WHERE id IN ({marks})");
            let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
            for id in batch {
                query = query.bind(*id);
            }
            query.execute(&mut write).await?;
        }
        write.commit().await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Submissions in quarantine go by the time of their project's unfiltered records, and the oldest when
/// there are too many.
async fn remove_submissions(shared: &Shared, scope: &Scope) -> Result<(), StateError> {
    let now = time::now();
    let sql = "SELECT COALESCE(MIN(id), 0) FROM \
         (SELECT id FROM record_quarantine ORDER BY id DESC LIMIT $1) AS kept";
    let mut read = shared.state.read().await?;
    let kept = sqlx::query(sql).bind(QUARANTINE_MAX);
    let first_kept: i64 = kept.fetch_one(&mut read).await?.try_get(0)?;
    drop(read);
    let mut last = 0;
    while !scope.is_stopping() {
        let sql = "SELECT id, project, received_at FROM record_quarantine WHERE id > $1 \
             ORDER BY id LIMIT $2";
        let mut read = shared.state.read().await?;
        let page = i64::try_from(PAGE).unwrap_or(i64::MAX);
        let rows = sqlx::query(sql).bind(last).bind(page);
        let rows = rows.fetch_all(&mut read).await?;
        drop(read);
        let mut ids = Vec::new();
        for row in &rows {
            last = row.try_get(0)?;
            let (project, received): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
            let keep = retention_of(shared, project).unfiltered;
            let is_over =
                keep.is_some_and(|keep| received < now.saturating_sub(milliseconds(keep)));
            if is_over || last < first_kept {
                ids.push(last);
            }
        }
        remove(&shared.state, &["record_quarantine"], &ids).await?;
        if rows.len() < PAGE {
            break;
        }
    }
    Ok(())
}

/// What a project's configuration says; the usual times for one that the configuration left out.
fn retention_of(shared: &Shared, project: i64) -> Retention {
    let mut projects = shared.projects.all();
    let found = projects.find(|found| found.id == project);
    found.map_or_else(Retention::default, |found| found.config.retention.clone())
}

/// Removes the index of ids below the oldest record.
async fn remove_index(
    state: &State,
    is_stopping: &(dyn Fn() -> bool + Sync),
) -> Result<(), StateError> {
    let sql = "SELECT COALESCE(MIN(id), 0) FROM records";
    let mut read = state.read().await?;
    // An import that begins from here on adds older ones.
    let changes = import::changes_of_index(&mut read).await?;
    let oldest: i64 = sqlx::query(sql).fetch_one(&mut read).await?.try_get(0)?;
    let first_row = oldest.min(import::complete_below(&mut read).await?) / ROW_IDS;
    drop(read);
    let first_bits = first_row * i64::from(CHUNKS);
    while !is_stopping() {
        let mut write = state.write().await?;
        if !are_imports_as(&mut write, changes).await? {
            return Ok(());
        }
        // A few at a time: intake waits for each transaction.
        let sql = "DELETE FROM record_bits WHERE id IN \
             (SELECT id FROM record_bits WHERE id < $1 ORDER BY id LIMIT $2)";
        let query = sqlx::query(sql).bind(first_bits).bind(BITS_AT_ONCE);
        let removed = query.execute(&mut write).await?.rows_affected();
        write.commit().await?;
        if removed == 0 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let sql = "DELETE FROM record_index_rows WHERE blocks_row < $1";
    let mut write = state.write().await?;
    if !are_imports_as(&mut write, changes).await? {
        return Ok(());
    }
    sqlx::query(sql).bind(first_row).execute(&mut write).await?;
    write.commit().await
}

/// Whether no import has begun or changed the index since; none does to the end of the transaction.
async fn are_imports_as(write: &mut Write, changes: i64) -> Result<bool, StateError> {
    let sql = "UPDATE record_index_state SET changes = changes WHERE id = $1 AND changes = $2";
    let query = sqlx::query(sql).bind(STATE).bind(changes);
    Ok(query.execute(write).await?.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::records::config::Keep;
    use crate::records::pattern::Pattern;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn the_longest_time_holds() {
        let of = |classification: &str, severity, keep| Keep {
            of: Filter {
                classification: Some(Pattern::new(classification)),
                severity,
                ..Filter::default()
            },
            keep,
        };
        let retention = Retention {
            unfiltered: Some(35 * DAY),
            filters: vec![
                of("*", Some(1), Some(5 * DAY)),
                of("org.clearlinux/mce/*", None, None),
                of("org.clearlinux/hello/*", None, Some(DAY)),
            ],
        };
        let kept = |classification: &str, severity| {
            keep(&retention, |filter| {
                filter.fits_parts(classification, severity, "1", "m")
            })
        };
        assert_eq!(kept("org.clearlinux/crash/clr", 3), Some(35 * DAY));
        assert_eq!(kept("org.clearlinux/crash/clr", 1), Some(5 * DAY));
        assert_eq!(kept("org.clearlinux/hello/world", 1), Some(5 * DAY));
        assert_eq!(kept("org.clearlinux/hello/world", 2), Some(DAY));
        // What is kept for ever is kept, though its severity says otherwise.
        assert_eq!(kept("org.clearlinux/mce/corrected", 1), None);
        assert_eq!(shortest(&retention), Some(DAY));
    }
}

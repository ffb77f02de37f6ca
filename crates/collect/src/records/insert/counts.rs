//! Records per day, by what people plot. Intake counts some hundred at a time, by one statement in the
//! database: rows of counts that are changed for each record would cost as much as the record. What
//! reads counts has the rest counted first.

use std::collections::HashMap;
use std::time::Duration;

use base::client::chain;
use sqlx::Row as _;
use state::{Read, State, StateError, Statement, Value, Write};
use tokio::time::timeout;

use super::Numbered;
use super::rows::Rows;
use crate::records::time::DAY_MILLISECONDS;

/// Records that wait to be counted until intake counts them.
pub(crate) const UNCOUNTED_MAX: i64 = 256;

/// How long somebody who reads waits for the newest to be counted.
const REFRESH_LIMIT: Duration = Duration::from_secs(1);
/// Ids that one statement counts: it has an end, however many wait.
const IDS_MAX: i64 = 10_000;

/// Counts what was kept and not counted yet, and gives a connection for reading.
pub(crate) async fn catch_up(state: &State) -> Result<Read, StateError> {
    let mut read = state.read().await?;
    if !are_behind(&mut read).await? {
        return Ok(read);
    }
    // Others read while this one waits for its turn to write.
    drop(read);
    let mut write = state.write().await?;
    catch_up_in(&mut write).await?;
    write.commit().await?;
    state.read().await
}

/// The same where it can be done soon: counts can be read from a full disk too.
pub(crate) async fn refreshed(state: &State) -> Result<Read, StateError> {
    let mut read = state.read().await?;
    if !are_behind(&mut read).await? {
        return Ok(read);
    }
    drop(read);
    match timeout(REFRESH_LIMIT, catch_up(state)).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => {
            tracing::warn!(error = chain(&error), "the newest records are not counted");
            state.read().await
        }
        Err(_) => state.read().await,
    }
}

async fn are_behind(read: &mut Read) -> Result<bool, StateError> {
    let sql = "SELECT next, counted FROM record_sequence WHERE id = 1";
    let row = sqlx::query(sql).fetch_one(read).await?;
    let (next, counted): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok(counted < next - 1)
}

/// The same in a transaction, which nothing of intake runs beside from here on.
pub(crate) async fn catch_up_in(write: &mut Write) -> Result<(), StateError> {
    let sql = "UPDATE record_sequence SET next = next WHERE id = 1 RETURNING next, counted";
    let row = sqlx::query(sql).fetch_one(&mut *write).await?;
    let (next, mut counted): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    while counted < next - 1 {
        counted = count(write, counted, next - 1).await?;
    }
    Ok(())
}

/// Counts the records behind one id, up to another or [`IDS_MAX`]; gives up to which. Needs the lock of
/// intake.
pub(crate) async fn count(write: &mut Write, after: i64, through: i64) -> Result<i64, StateError> {
    let through = through.min(after.saturating_add(IDS_MAX));
    let columns = "classification, severity, system_name, build, external";
    let day = format!("received_at / {DAY_MILLISECONDS}");
    let counted = || {
        Statement::new("FROM records WHERE id > ")
            .value(Value::Number(after))
            .sql(" AND id <= ")
            .value(Value::Number(through))
    };
    let days = Statement::new("INSERT INTO record_counts (project, day, ")
        .sql(&format!(
            "{columns}, records) SELECT project, {day}, {columns}, COUNT(*) "
        ))
        .then(counted())
        .sql(&format!(" GROUP BY 1, 2, {columns} {ADD_DAYS}"));
    let hosts =
        Statement::new("INSERT INTO record_host_counts (project, day, host_type, records) ")
            .sql(&format!("SELECT project, {day}, host_type, COUNT(*) "))
            .then(counted())
            .sql(&format!(" GROUP BY 1, 2, host_type {ADD_HOSTS}"));
    let done = Statement::new("UPDATE record_sequence SET counted = ")
        .value(Value::Number(through))
        .sql(" WHERE id = 1");
    write.change(vec![days, hosts, done]).await?;
    Ok(through)
}

const ADD_DAYS: &str = "ON CONFLICT \
     (project, day, classification, severity, system_name, build, external) \
     DO UPDATE SET records = record_counts.records + excluded.records";
const ADD_HOSTS: &str = "ON CONFLICT (project, day, host_type) \
     DO UPDATE SET records = record_host_counts.records + excluded.records";

/// Counts records that come with ids of elsewhere. All others have to be counted before, in the same
/// transaction.
pub(crate) async fn add(write: &mut Write, records: &[Numbered<'_>]) -> Result<(), StateError> {
    add_days(write, records).await?;
    add_hosts(write, records).await?;
    let sql = "UPDATE record_sequence SET counted = next - 1 WHERE id = 1";
    sqlx::query(sql).execute(write).await?;
    Ok(())
}

async fn add_days(write: &mut Write, records: &[Numbered<'_>]) -> Result<(), StateError> {
    const COLUMNS: [&str; 8] = [
        "project",
        "day",
        "classification",
        "severity",
        "system_name",
        "build",
        "external",
        "records",
    ];
    let mut counts: HashMap<_, i64> = HashMap::new();
    for numbered in records {
        let (project, record) = (numbered.new.project, &numbered.new.record);
        let texts = [&record.classification, &record.system_name, &record.build];
        let counted = (record.severity, record.external);
        let key = (project, numbered.day(), texts, counted);
        *counts.entry(key).or_default() += 1;
    }
    let mut table = Rows::into("record_counts", &COLUMNS).on_conflict(ADD_DAYS);
    for ((project, day, [classification, system, build], counted), count) in counts {
        let (severity, external) = counted;
        table
            .number(project)
            .number(day)
            .text(classification)
            .number(severity.into())
            .text(system)
            .text(build)
            .number(external.into())
            .number(count);
    }
    table.write(write).await
}

async fn add_hosts(write: &mut Write, records: &[Numbered<'_>]) -> Result<(), StateError> {
    const COLUMNS: [&str; 4] = ["project", "day", "host_type", "records"];
    let mut counts: HashMap<_, i64> = HashMap::new();
    for numbered in records {
        let host_type = numbered.new.record.host_type.as_str();
        let key = (numbered.new.project, numbered.day(), host_type);
        *counts.entry(key).or_default() += 1;
    }
    let mut table = Rows::into("record_host_counts", &COLUMNS).on_conflict(ADD_HOSTS);
    for ((project, day, host_type), count) in counts {
        table
            .number(project)
            .number(day)
            .text(host_type)
            .number(count);
    }
    table.write(write).await
}

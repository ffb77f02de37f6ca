//! To which group of crashes a record belongs, and what is known of the group after it.

use std::collections::HashMap;

use sqlx::Row as _;
use state::{StateError, Write};

use super::rows::Rows;
use super::{Moment, Numbered};
use crate::records::build;
use crate::records::entry::Crash;

/// The records of one group in a batch.
struct Members<'a> {
    project: i64,
    crash: &'a Crash,
    records: Vec<&'a Numbered<'a>>,
}

/// Notes the crashes of a batch; gives the group of each record, 0 for none.
pub(crate) async fn note(
    write: &mut Write,
    records: &[Numbered<'_>],
    moment: Moment,
) -> Result<Vec<i64>, StateError> {
    let mut members: HashMap<(i64, &str), Members<'_>> = HashMap::new();
    for record in records {
        let Some(crash) = &record.new.crash else {
            continue;
        };
        let key = (record.new.project, crash.fingerprint.as_str());
        let group = members.entry(key).or_insert_with(|| Members {
            project: record.new.project,
            crash,
            records: Vec::new(),
        });
        group.records.push(record);
    }
    let mut ids: HashMap<i64, i64> = HashMap::new();
    for group in members.values() {
        let id = note_group(write, group, moment).await?;
        note_days(write, id, &group.records, moment).await?;
        ids.extend(group.records.iter().map(|record| (record.id, id)));
    }
    let group_of = |record: &Numbered<'_>| ids.get(&record.id).copied().unwrap_or(0);
    Ok(records.iter().map(group_of).collect())
}

/// Makes or updates the group. No other transaction of intake runs beside, so reading before
/// writing is safe; what people change of a group are other columns, or `state`, which is compared.
async fn note_group(
    write: &mut Write,
    group: &Members<'_>,
    moment: Moment,
) -> Result<i64, StateError> {
    let count = i64::try_from(group.records.len()).unwrap_or(i64::MAX);
    let Some(last) = group.records.last() else {
        return Ok(0);
    };
    let record = &last.new.record;
    let sql = "SELECT own.id, target.id, target.state, target.resolved_in FROM record_groups AS own \
         JOIN record_groups AS target ON target.id = \
         CASE WHEN own.merged_into > 0 THEN own.merged_into ELSE own.id END \
         WHERE own.project = $1 AND own.fingerprint = $2";
    let found = sqlx::query(sql)
        .bind(group.project)
        .bind(group.crash.fingerprint.as_str())
        .fetch_optional(&mut *write)
        .await?;
    let Some(row) = found else {
        return make_group(write, group, (count, last), moment).await;
    };
    let id: i64 = row.try_get(1)?;
    let (state, resolved_in): (String, String) = (row.try_get(2)?, row.try_get(3)?);
    let is_newer = |record: &&Numbered<'_>| build::is_newer(&record.new.record.build, &resolved_in);
    let comes_back = state == "resolved" && group.records.iter().any(is_newer);
    let sql = "UPDATE record_groups SET last_seen = $2, last_build = $3, last_record = $4, \
         records = records + $5, \
         state = CASE WHEN $6 = 1 AND state = 'resolved' THEN 'regressed' ELSE state END \
         WHERE id = $1";
    sqlx::query(sql)
        .bind(id)
        .bind(moment.now)
        .bind(record.build.as_str())
        .bind(last.id)
        .bind(count)
        .bind(i64::from(comes_back))
        .execute(&mut *write)
        .await?;
    Ok(id)
}

async fn make_group(
    write: &mut Write,
    group: &Members<'_>,
    (count, last): (i64, &Numbered<'_>),
    moment: Moment,
) -> Result<i64, StateError> {
    let record = &last.new.record;
    let sql = "INSERT INTO record_groups (project, fingerprint, classification, function_name, \
         module, first_seen, last_seen, first_build, last_build, last_record, records, state, \
         resolved_in, merged_into, is_hidden, comment) \
         VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $7, $8, $9, 'new', '', 0, 0, '') RETURNING id";
    let row = sqlx::query(sql)
        .bind(group.project)
        .bind(group.crash.fingerprint.as_str())
        .bind(record.classification.as_str())
        .bind(group.crash.function.as_str())
        .bind(group.crash.module.as_str())
        .bind(moment.now)
        .bind(record.build.as_str())
        .bind(last.id)
        .bind(count)
        .fetch_one(&mut *write)
        .await?;
    Ok(row.try_get(0)?)
}

/// Counts per day and build, and the machines.
async fn note_days(
    write: &mut Write,
    id: i64,
    records: &[&Numbered<'_>],
    moment: Moment,
) -> Result<(), StateError> {
    let mut builds: HashMap<&str, i64> = HashMap::new();
    let mut machines: Vec<&str> = Vec::new();
    for record in records {
        *builds.entry(&record.new.record.build).or_default() += 1;
        machines.push(&record.new.record.machine_id);
    }
    let mut table = Rows::into(
        "record_group_days",
        &["group_id", "day", "build", "records"],
    );
    for (build, count) in builds {
        table
            .number(id)
            .number(moment.day)
            .text(build)
            .number(count);
    }
    let conflict = "ON CONFLICT (group_id, day, build) \
         DO UPDATE SET records = record_group_days.records + excluded.records";
    table.insert(write, conflict).await?;
    machines.sort_unstable();
    machines.dedup();
    let columns = ["group_id", "machine_id", "last_day"];
    let mut table = Rows::into("record_group_machines", &columns);
    for machine in machines {
        table.number(id).text(machine).number(moment.day);
    }
    let conflict = "ON CONFLICT (group_id, machine_id) DO UPDATE SET last_day = excluded.last_day";
    table.insert(write, conflict).await
}

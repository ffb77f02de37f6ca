//! To which group of crashes a record belongs, and what is known of the group after it.

use std::collections::HashMap;

use sqlx::Row as _;
use state::{StateError, Write};

use super::Numbered;
use super::rows::Rows;
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
        let id = note_group(write, group).await?;
        note_days(write, id, &group.records).await?;
        ids.extend(group.records.iter().map(|record| (record.id, id)));
    }
    let group_of = |record: &Numbered<'_>| ids.get(&record.id).copied().unwrap_or(0);
    Ok(records.iter().map(group_of).collect())
}

/// Makes or updates the group. No other transaction of intake runs beside, so reading before
/// writing is safe; what people change of a group are other columns, or `state`, which is compared.
async fn note_group(write: &mut Write, group: &Members<'_>) -> Result<i64, StateError> {
    let count = i64::try_from(group.records.len()).unwrap_or(i64::MAX);
    let by_time = |record: &&&Numbered<'_>| (record.received_at, record.id);
    let first = group.records.iter().min_by_key(by_time);
    let last = group.records.iter().max_by_key(by_time);
    let (Some(first), Some(last)) = (first, last) else {
        return Ok(0);
    };
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
        return make_group(write, group, count, [first, last]).await;
    };
    let id: i64 = row.try_get(1)?;
    let (state, resolved_in): (String, String) = (row.try_get(2)?, row.try_get(3)?);
    let is_newer = |record: &&Numbered<'_>| build::is_newer(&record.new.record.build, &resolved_in);
    let comes_back = state == "resolved" && group.records.iter().any(is_newer);
    // What another collector took before may come later.
    let sql = "UPDATE record_groups SET records = records + $8, \
         first_build = CASE WHEN first_seen > $2 THEN $3 ELSE first_build END, \
         last_build = CASE WHEN last_seen <= $4 THEN $5 ELSE last_build END, \
         last_record = CASE WHEN last_seen <= $4 THEN $6 ELSE last_record END, \
         first_seen = CASE WHEN first_seen > $2 THEN $2 ELSE first_seen END, \
         last_seen = CASE WHEN last_seen <= $4 THEN $4 ELSE last_seen END, \
         state = CASE WHEN $7 = 1 AND state = 'resolved' THEN 'regressed' ELSE state END \
         WHERE id = $1";
    sqlx::query(sql)
        .bind(id)
        .bind(first.received_at)
        .bind(first.new.record.build.as_str())
        .bind(last.received_at)
        .bind(last.new.record.build.as_str())
        .bind(last.id)
        .bind(i64::from(comes_back))
        .bind(count)
        .execute(&mut *write)
        .await?;
    Ok(id)
}

async fn make_group(
    write: &mut Write,
    group: &Members<'_>,
    count: i64,
    [first, last]: [&Numbered<'_>; 2],
) -> Result<i64, StateError> {
    let sql = "INSERT INTO record_groups (project, fingerprint, classification, function_name, \
         module, first_seen, last_seen, first_build, last_build, last_record, records, state, \
         resolved_in, merged_into, is_hidden, comment) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'new', '', 0, 0, '') RETURNING id";
    let row = sqlx::query(sql)
        .bind(group.project)
        .bind(group.crash.fingerprint.as_str())
        .bind(last.new.record.classification.as_str())
        .bind(group.crash.function.as_str())
        .bind(group.crash.module.as_str())
        .bind(first.received_at)
        .bind(last.received_at)
        .bind(first.new.record.build.as_str())
        .bind(last.new.record.build.as_str())
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
) -> Result<(), StateError> {
    let mut builds: HashMap<(i64, &str), i64> = HashMap::new();
    let mut machines: HashMap<&str, i64> = HashMap::new();
    for record in records {
        let day = record.day();
        *builds.entry((day, &record.new.record.build)).or_default() += 1;
        let last = machines.entry(&record.new.record.machine_id).or_insert(day);
        *last = day.max(*last);
    }
    let mut table = Rows::into(
        "record_group_days",
        &["group_id", "day", "build", "records"],
    );
    for ((day, build), count) in builds {
        table.number(id).number(day).text(build).number(count);
    }
    let conflict = "ON CONFLICT (group_id, day, build) \
         DO UPDATE SET records = record_group_days.records + excluded.records";
    table.insert(write, conflict).await?;
    let mut machines: Vec<(&str, i64)> = machines.into_iter().collect();
    machines.sort_unstable();
    let columns = ["group_id", "machine_id", "last_day"];
    let mut table = Rows::into("record_group_machines", &columns);
    for (machine, day) in machines {
        table.number(id).text(machine).number(day);
    }
    let conflict = "ON CONFLICT (group_id, machine_id) DO UPDATE SET last_day = \
         CASE WHEN excluded.last_day > record_group_machines.last_day \
         THEN excluded.last_day ELSE record_group_machines.last_day END";
    table.insert(write, conflict).await
}

//! To which group of crashes a record belongs, and what is known of the group after it.

use std::collections::{BTreeMap, HashMap};

use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{StateError, Write};

use super::Numbered;
use super::rows::{CHUNK, Rows, filled_up, placeholders};
use crate::records::build;
use crate::records::entry::Crash;

/// The records of one group in a batch.
struct Members<'a> {
    project: i64,
    crash: &'a Crash,
    records: Vec<&'a Numbered<'a>>,
}

/// What is known of a group before a batch.
struct Known {
    id: i64,
    state: String,
    resolved_in: String,
}

/// Notes the crashes of a batch; gives the group of each record, 0 for none. No other transaction of
/// intake runs beside, so reading before writing is safe; what people change of a group are other
/// columns, or `state`, which is compared.
pub(crate) async fn note(
    write: &mut Write,
    records: &[Numbered<'_>],
) -> Result<Vec<i64>, StateError> {
    let mut members: BTreeMap<(i64, &str), Members<'_>> = BTreeMap::new();
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
    if members.is_empty() {
        return Ok(vec![0; records.len()]);
    }
    let keys: Vec<(i64, &str)> = members.keys().copied().collect();
    let known = known(write, &keys).await?;
    let mut ids: HashMap<i64, i64> = HashMap::new();
    let mut of_group: BTreeMap<i64, (&Known, Vec<&Numbered<'_>>)> = BTreeMap::new();
    for (key, group) in &members {
        let id = match known.get(&(key.0, key.1.to_owned())) {
            Some(known) => {
                // Several were merged into one: its row is changed once.
                let (_, records) = of_group.entry(known.id).or_insert((known, Vec::new()));
                records.extend(&group.records);
                known.id
            }
            None => make_group(write, group).await?,
        };
        ids.extend(group.records.iter().map(|record| (record.id, id)));
    }
    let of_group: Vec<(&Known, &[&Numbered<'_>])> = of_group
        .values()
        .map(|(known, records)| (*known, records.as_slice()))
        .collect();
    update_groups(write, &of_group).await?;
    let grouped: Vec<(i64, &Numbered<'_>)> = records
        .iter()
        .filter_map(|record| Some((*ids.get(&record.id)?, record)))
        .collect();
    note_days(write, &grouped).await?;
    note_machines(write, &grouped).await?;
    let group_of = |record: &Numbered<'_>| ids.get(&record.id).copied().unwrap_or(0);
    Ok(records.iter().map(group_of).collect())
}

/// The groups of these projects and fingerprints, and some that were not asked for: what they were
/// merged into counts.
async fn known(
    write: &mut Write,
    keys: &[(i64, &str)],
) -> Result<HashMap<(i64, String), Known>, StateError> {
    let mut known = HashMap::new();
    for chunk in keys.chunks(CHUNK) {
        let chunk = filled_up(chunk);
        let projects = placeholders(1, chunk.len());
        let fingerprints = placeholders(1 + chunk.len(), chunk.len());
        let sql = format!(
            "SELECT own.project, own.fingerprint, target.id, target.state, target.resolved_in \
             FROM record_groups AS own JOIN record_groups AS target ON target.id = \
             CASE WHEN own.merged_into > 0 THEN own.merged_into ELSE own.id END \
             WHERE own.project IN ({projects}) AND own.fingerprint IN ({fingerprints})"
        );
        let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
        for (project, _) in &chunk {
            query = query.bind(*project);
        }
        for (_, fingerprint) in &chunk {
            query = query.bind(*fingerprint);
        }
        for row in query.fetch_all(&mut *write).await? {
            let group = Known {
                id: row.try_get(2)?,
                state: row.try_get(3)?,
                resolved_in: row.try_get(4)?,
            };
            known.insert((row.try_get(0)?, row.try_get(1)?), group);
        }
    }
    Ok(known)
}

/// The records of a group that were received first and last.
fn first_and_last<'a>(records: &[&'a Numbered<'a>]) -> Option<[&'a Numbered<'a>; 2]> {
    let by_time = |record: &&&Numbered<'_>| (record.received_at, record.id);
    let first = records.iter().min_by_key(by_time)?;
    let last = records.iter().max_by_key(by_time)?;
    Some([first, last])
}

/// Notes more records of groups that are known.
async fn update_groups(
    write: &mut Write,
    groups: &[(&Known, &[&Numbered<'_>])],
) -> Result<(), StateError> {
    const COLUMNS: [&str; 8] = [
        "id",
        "first_seen",
        "first_build",
        "last_seen",
        "last_build",
        "last_record",
        "comes_back",
        "records",
    ];
    // What another collector took before may come later.
    const SET: &str = "records = record_groups.records + given.column8, \
         first_build = CASE WHEN first_seen > given.column2 THEN given.column3 ELSE first_build END, \
         last_build = CASE WHEN last_seen <= given.column4 THEN given.column5 ELSE last_build END, \
         last_record = CASE WHEN last_seen <= given.column4 THEN given.column6 ELSE last_record END, \
         first_seen = CASE WHEN first_seen > given.column2 THEN given.column2 ELSE first_seen END, \
         last_seen = CASE WHEN last_seen <= given.column4 THEN given.column4 ELSE last_seen END, \
         state = CASE WHEN given.column7 = 1 AND state = 'resolved' THEN 'regressed' ELSE state END";
    let mut table = Rows::into("record_groups", &COLUMNS);
    for (known, records) in groups {
        let Some([first, last]) = first_and_last(records) else {
            continue;
        };
        let is_newer =
            |record: &&Numbered<'_>| build::is_newer(&record.new.record.build, &known.resolved_in);
        let comes_back = known.state == "resolved" && records.iter().any(is_newer);
        table
            .number(known.id)
            .number(first.received_at)
            .text(&first.new.record.build)
            .number(last.received_at)
            .text(&last.new.record.build)
            .number(last.id)
            .number(comes_back.into())
            .number(i64::try_from(records.len()).unwrap_or(i64::MAX));
    }
    table.update(write, SET).await
}

async fn make_group(write: &mut Write, group: &Members<'_>) -> Result<i64, StateError> {
    let Some([first, last]) = first_and_last(&group.records) else {
        return Ok(0);
    };
    let count = i64::try_from(group.records.len()).unwrap_or(i64::MAX);
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

/// Counts records per group, day and build.
async fn note_days(write: &mut Write, grouped: &[(i64, &Numbered<'_>)]) -> Result<(), StateError> {
    let mut counts: BTreeMap<(i64, i64, &str), i64> = BTreeMap::new();
    for (group, record) in grouped {
        let key = (*group, record.day(), record.new.record.build.as_str());
        *counts.entry(key).or_default() += 1;
    }
    let columns = ["group_id", "day", "build", "records"];
    let mut table = Rows::into("record_group_days", &columns);
    for ((group, day, build), count) in counts {
        table.number(group).number(day).text(build).number(count);
    }
    let conflict = "ON CONFLICT (group_id, day, build) \
         DO UPDATE SET records = record_group_days.records + excluded.records";
    table.insert(write, conflict).await
}

/// Notes on which day a machine had a crash of a group last.
async fn note_machines(
    write: &mut Write,
    grouped: &[(i64, &Numbered<'_>)],
) -> Result<(), StateError> {
    let mut machines: BTreeMap<(i64, &str), i64> = BTreeMap::new();
    for (group, record) in grouped {
        let key = (*group, record.new.record.machine_id.as_str());
        let last = machines.entry(key).or_insert(record.day());
        *last = record.day().max(*last);
    }
    let columns = ["group_id", "machine_id", "last_day"];
    let mut table = Rows::into("record_group_machines", &columns);
    for ((group, machine), day) in machines {
        table.number(group).text(machine).number(day);
    }
    let conflict = "ON CONFLICT (group_id, machine_id) DO UPDATE SET last_day = \
         CASE WHEN excluded.last_day > record_group_machines.last_day \
         THEN excluded.last_day ELSE record_group_machines.last_day END";
    table.insert(write, conflict).await
}

//! To which group of crashes a record belongs, and what is known of the group after it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::Row as _;
use sqlx::any::AnyRow;
use state::{StateError, Statement, Value, Write};

use super::Numbered;
use super::before::GROUP;
use super::rows::{self, Rows, filled};
use crate::records::build;
use crate::records::entry::{Crash, NewRecord};

/// A group, a machine, the day of a crash of it, and how many there are.
const MACHINES: [&str; 4] = ["group_id", "machine_id", "last_day", "records"];
/// A machine leaves the day on which it was seen last, if there is one, and comes to another. A question
/// for each machine and no join: PostgreSQL may plan to read all machines for one, while there are few, and
/// keep to that.
const MOVED: (&str, &str) = (
    "INSERT INTO record_group_population (group_id, last_day, machines) \
     SELECT group_id, CASE WHEN sign < 0 THEN known_day ELSE new_day END AS day, \
     CAST(SUM(sign) AS BIGINT) FROM \
     (SELECT column1 AS group_id, column3 AS new_day, \
     (SELECT last_day FROM record_group_machines \
      WHERE group_id = given.column1 AND machine_id = given.column2) AS known_day FROM",
    ") AS seen CROSS JOIN (SELECT 1 AS sign UNION ALL SELECT -1) AS signs \
     WHERE group_id >= 0 AND (known_day < new_day OR (known_day IS NULL AND sign > 0)) \
     GROUP BY 1, 2 ON CONFLICT (group_id, last_day) \
     DO UPDATE SET machines = record_group_population.machines + excluded.machines",
);
const LATEST: &str = "ON CONFLICT (group_id, machine_id) DO UPDATE SET \
     records = record_group_machines.records + excluded.records, last_day = \
     CASE WHEN excluded.last_day > record_group_machines.last_day \
     THEN excluded.last_day ELSE record_group_machines.last_day END";

/// The records of one group in a batch.
struct Members<'a> {
    project: i64,
    crash: &'a Crash,
    records: Vec<&'a Numbered<'a>>,
}

/// What is known of a group before a batch.
pub(crate) struct Known {
    id: i64,
    state: String,
    resolved_in: String,
}

/// Groups by project and fingerprint.
pub(crate) type Groups = HashMap<(i64, String), Known>;

/// The projects and fingerprints of crashes, each once.
pub(crate) fn keys<'a>(records: impl IntoIterator<Item = &'a NewRecord>) -> Vec<(i64, &'a str)> {
    let keys = records.into_iter().filter_map(|new| {
        let crash = new.crash.as_ref()?;
        Some((new.project, crash.fingerprint.as_str()))
    });
    keys.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Asks for the groups of these projects and fingerprints, and for some that were not asked for: what
/// they were merged into counts. The question is for `length` of them, and has the columns of
/// [`super::before`].
pub(super) fn question(keys: Vec<(i64, &str)>, length: usize) -> Option<Statement<'_>> {
    let keys = filled(keys, length)?;
    let projects = keys.iter().map(|(project, _)| Value::Number(*project));
    let prints = keys.iter().map(|(_, print)| Value::Text(print));
    let question = Statement::new(&format!(
        "SELECT {GROUP}, target.id, own.project, 0, 0, 0, 0, "
    ))
    .sql("own.fingerprint, target.state, target.resolved_in ")
    .sql("FROM record_groups AS own JOIN record_groups AS target ON target.id = ")
    .sql("CASE WHEN own.merged_into > 0 THEN own.merged_into ELSE own.id END ")
    .sql("WHERE own.project IN (")
    .list(projects)
    .sql(") AND own.fingerprint IN (")
    .list(prints)
    .sql(")");
    Some(question)
}

/// A row that the [`question`] was answered with.
pub(super) fn read(row: &AnyRow) -> Result<((i64, String), Known), StateError> {
    let group = Known {
        id: row.try_get(1)?,
        state: row.try_get(8)?,
        resolved_in: row.try_get(9)?,
    };
    Ok(((row.try_get(2)?, row.try_get(7)?), group))
}

/// Makes the groups that are not there yet; gives the group of each record, 0 for none, and what is to be
/// written of all of them. No other transaction of intake runs beside, so reading before writing is safe;
/// what people change of a group are other columns, or `state`, which is compared.
pub(crate) async fn note<'a>(
    write: &mut Write,
    records: &'a [Numbered<'a>],
    known: &Groups,
) -> Result<(Vec<i64>, Vec<Rows<'a>>), StateError> {
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
        return Ok((vec![0; records.len()], Vec::new()));
    }
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
    let grouped: Vec<(i64, &Numbered<'_>)> = records
        .iter()
        .filter_map(|record| Some((*ids.get(&record.id)?, record)))
        .collect();
    let mut tables = vec![changed(&of_group), days(&grouped)];
    tables.extend(machines(&grouped));
    let group_of = |record: &Numbered<'_>| ids.get(&record.id).copied().unwrap_or(0);
    Ok((records.iter().map(group_of).collect(), tables))
}

/// The records of a group that were received first and last.
fn first_and_last<'a>(records: &[&'a Numbered<'a>]) -> Option<[&'a Numbered<'a>; 2]> {
    let by_time = |record: &&&Numbered<'_>| (record.received_at, record.id);
    let first = records.iter().min_by_key(by_time)?;
    let last = records.iter().max_by_key(by_time)?;
    Some([first, last])
}

/// More records of groups that are known.
fn changed<'a>(groups: &[(&Known, &[&'a Numbered<'a>])]) -> Rows<'a> {
    const COLUMNS: [&str; 9] = [
        "id",
        "first_seen",
        "first_build",
        "last_seen",
        "last_build",
        "last_record",
        "comes_back",
        "records",
        "regressed_in",
    ];
    // What another collector took before may come later.
    const SET: &str = "records = record_groups.records + given.column8, \
         first_build = CASE WHEN first_seen > given.column2 THEN given.column3 ELSE first_build END, \
         last_build = CASE WHEN last_seen <= given.column4 THEN given.column5 ELSE last_build END, \
         last_record = CASE WHEN last_seen <= given.column4 THEN given.column6 ELSE last_record END, \
         first_seen = CASE WHEN first_seen > given.column2 THEN given.column2 ELSE first_seen END, \
         last_seen = CASE WHEN last_seen <= given.column4 THEN given.column4 ELSE last_seen END, \
         regressed_in = CASE WHEN given.column7 = 1 AND state = 'resolved' THEN given.column9 \
         ELSE regressed_in END, \
         state = CASE WHEN given.column7 = 1 AND state = 'resolved' THEN 'regressed' ELSE state END";
    let mut table = Rows::changing("record_groups", &COLUMNS, SET);
    for (known, records) in groups {
        let Some([first, last]) = first_and_last(records) else {
            continue;
        };
        // The first build of the batch in which it is back.
        let resolved = Some(known).filter(|known| known.state == "resolved");
        let back = resolved.and_then(|known| {
            let builds = records.iter().map(|record| &record.new.record.build);
            let newer = builds.filter(|build| build::is_newer(build, &known.resolved_in));
            newer.min_by(|one, two| build::compare(one, two))
        });
        table
            .number(known.id)
            .number(first.received_at)
            .text(&first.new.record.build)
            .number(last.received_at)
            .text(&last.new.record.build)
            .number(last.id)
            .number(back.is_some().into())
            .number(i64::try_from(records.len()).unwrap_or(i64::MAX))
            .text(back.map_or("", String::as_str));
    }
    table
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

/// Records per group, day and build.
fn days<'a>(grouped: &[(i64, &'a Numbered<'a>)]) -> Rows<'a> {
    const COLUMNS: [&str; 4] = ["group_id", "day", "build", "records"];
    const ADD: &str = "ON CONFLICT (group_id, day, build) \
         DO UPDATE SET records = record_group_days.records + excluded.records";
    let mut counts: BTreeMap<(i64, i64, &str), i64> = BTreeMap::new();
    for (group, record) in grouped {
        let key = (*group, record.day(), record.new.record.build.as_str());
        *counts.entry(key).or_default() += 1;
    }
    let mut table = Rows::into("record_group_days", &COLUMNS).on_conflict(ADD);
    for ((group, day, build), count) in counts {
        table.number(group).number(day).text(build).number(count);
    }
    table
}

/// How many machines had a crash of a group last on which day, and then on which day each had.
fn machines<'a>(grouped: &[(i64, &'a Numbered<'a>)]) -> [Rows<'a>; 2] {
    let mut machines: BTreeMap<(i64, &str), (i64, i64)> = BTreeMap::new();
    for (group, record) in grouped {
        let key = (*group, record.new.record.machine_id.as_str());
        let (last, count) = machines.entry(key).or_insert((record.day(), 0));
        *last = record.day().max(*last);
        *count += 1;
    }
    machine_rows(&machines)
}

/// Of each group and machine the last day and the number of records.
fn machine_rows<'a>(machines: &BTreeMap<(i64, &'a str), (i64, i64)>) -> [Rows<'a>; 2] {
    let mut tables = [
        Rows::between(&MACHINES, MOVED),
        Rows::into("record_group_machines", &MACHINES).on_conflict(LATEST),
    ];
    for table in &mut tables {
        for ((group, machine), (day, count)) in machines {
            table.number(*group).text(machine);
            table.number(*day).number(*count);
        }
    }
    tables
}

/// Notes one crash of a machine, as intake does.
pub(crate) async fn note_machine(
    write: &mut Write,
    group: i64,
    (machine, day): (&str, i64),
) -> Result<(), StateError> {
    let one = BTreeMap::from([((group, machine), (day, 1))]);
    rows::write_together(write, &machine_rows(&one), &[]).await
}

/// Takes back one crash of a machine: with the last one the machine is none of the group's.
pub(crate) async fn forget_machine(
    write: &mut Write,
    group: i64,
    machine: &str,
) -> Result<(), StateError> {
    let sql = "UPDATE record_group_machines SET records = records - 1 \
         WHERE group_id = $1 AND machine_id = $2";
    let query = sqlx::query(sql).bind(group).bind(machine);
    query.execute(&mut *write).await?;
    let sql = "DELETE FROM record_group_machines \
         WHERE group_id = $1 AND machine_id = $2 AND records <= 0 RETURNING last_day";
    let query = sqlx::query(sql).bind(group).bind(machine);
    let Some(row) = query.fetch_optional(&mut *write).await? else {
        return Ok(());
    };
    let last_day: i64 = row.try_get(0)?;
    let sql = "UPDATE record_group_population SET machines = machines - 1 \
         WHERE group_id = $1 AND last_day = $2";
    let query = sqlx::query(sql).bind(group).bind(last_day);
    query.execute(&mut *write).await?;
    Ok(())
}

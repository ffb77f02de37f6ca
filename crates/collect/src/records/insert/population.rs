//! Which machines sent a heartbeat, which crashed, and how many of each build did so last on which day.
//! The second makes every window a sum over days.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{StateError, Write};

use super::Numbered;
use super::rows::{CHUNK, Rows, filled_up};
use crate::records::entry;

/// The end of the classification of heartbeats.
const HEARTBEAT: &str = "/heartbeat/ping";
/// Machines that live.
pub(crate) const ALIVE: &str = "heartbeat";
/// Machines on which something crashed that is grouped.
pub(crate) const CRASHED: &str = "crash";
/// Machines that are remembered.
const NOTED_MAX: usize = 200_000;

/// A machine as one build of a project has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Machine<'a> {
    project: i64,
    kind: &'static str,
    build: &'a str,
    external: i64,
    id: &'a str,
}

/// Machines that are known to have been noted today, so that the database is not asked again for each
/// heartbeat.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    day: i64,
    machines: HashSet<i64>,
}

impl Noted {
    /// Adds what was committed.
    pub(crate) fn add(&mut self, day: i64, machines: Vec<i64>) {
        if self.day != day || self.machines.len() >= NOTED_MAX {
            self.machines.clear();
        }
        self.day = day;
        self.machines.extend(machines);
    }

    fn contains(&self, day: i64, machine: i64) -> bool {
        self.day == day && self.machines.contains(&machine)
    }
}

/// Notes the heartbeats and crashes of a batch; gives what is to be [`Noted`] once it is committed.
pub(crate) async fn note(
    write: &mut Write,
    records: &[Numbered<'_>],
    noted: &Noted,
) -> Result<Vec<i64>, StateError> {
    let mut keys = Vec::new();
    let mut machines = Vec::new();
    for numbered in records {
        let (new, day) = (numbered.new, numbered.day());
        let kind = match &new.crash {
            Some(_) => CRASHED,
            None if new.record.classification.ends_with(HEARTBEAT) => ALIVE,
            None => continue,
        };
        let machine = Machine {
            project: new.project,
            kind,
            build: &new.record.build,
            external: new.record.external.into(),
            id: &new.record.machine_id,
        };
        let source = if machine.external == 0 {
            ""
        } else {
            "external"
        };
        let key = entry::digest(machine.project, &[kind, machine.build, source, machine.id]);
        if !noted.contains(day, key) {
            keys.push(key);
            machines.push((machine, day));
        }
    }
    // Of each machine its last day.
    machines.sort_unstable_by(|one, other| other.cmp(one));
    machines.dedup_by_key(|(machine, _)| *machine);
    machines.reverse();
    for chunk in machines.chunks(CHUNK) {
        note_chunk(write, chunk).await?;
    }
    Ok(keys)
}

async fn note_chunk(write: &mut Write, machines: &[(Machine<'_>, i64)]) -> Result<(), StateError> {
    const MACHINES: [&str; 6] = [
        "project",
        "kind",
        "build",
        "external",
        "machine_id",
        "last_day",
    ];
    const POPULATION: [&str; 6] = [
        "project", "kind", "last_day", "build", "external", "machines",
    ];
    let seen = last_days(write, machines).await?;
    let mut table = Rows::into("record_machines", &MACHINES);
    let mut changes: BTreeMap<(i64, &str, i64, &str, i64), i64> = BTreeMap::new();
    for ((machine, today), before) in machines.iter().zip(seen) {
        if before.is_some_and(|day| day >= *today) {
            continue;
        }
        let (project, kind) = (machine.project, machine.kind);
        let (build, external) = (machine.build, machine.external);
        if let Some(day) = before {
            let key = (project, kind, day, build, external);
            *changes.entry(key).or_default() -= 1;
        }
        let key = (project, kind, *today, build, external);
        *changes.entry(key).or_default() += 1;
        table
            .number(project)
            .text(kind)
            .text(build)
            .number(external)
            .text(machine.id)
            .number(*today);
    }
    let conflict = "ON CONFLICT (project, kind, build, external, machine_id) \
         DO UPDATE SET last_day = excluded.last_day";
    table.insert(write, conflict).await?;
    let mut table = Rows::into("record_population", &POPULATION);
    for ((project, kind, day, build, external), change) in changes {
        table
            .number(project)
            .text(kind)
            .number(day)
            .text(build)
            .number(external)
            .number(change);
    }
    let conflict = "ON CONFLICT (project, kind, last_day, build, external) \
         DO UPDATE SET machines = record_population.machines + excluded.machines";
    table.insert(write, conflict).await
}

/// On which day each of these machines was seen last, as far as it was.
async fn last_days(
    write: &mut Write,
    machines: &[(Machine<'_>, i64)],
) -> Result<Vec<Option<i64>>, StateError> {
    let condition = |row: usize| {
        let columns = ["project", "kind", "build", "external", "machine_id"];
        let equal = |(column, name): (usize, &&str)| format!("{name} = ${}", row * 5 + column + 1);
        let all: Vec<String> = columns.iter().enumerate().map(equal).collect();
        format!("({})", all.join(" AND "))
    };
    let asked = filled_up(machines);
    let conditions: Vec<String> = (0..asked.len()).map(condition).collect();
    let sql = format!(
        "SELECT project, kind, build, external, machine_id, last_day FROM record_machines WHERE {}",
        conditions.join(" OR ")
    );
    let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
    for (machine, _) in &asked {
        query = query
            .bind(machine.project)
            .bind(machine.kind)
            .bind(machine.build)
            .bind(machine.external)
            .bind(machine.id);
    }
    let mut days: HashMap<(i64, String, String, i64, String), i64> = HashMap::new();
    for row in query.fetch_all(&mut *write).await? {
        let who = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let key = (who.0, who.1, who.2, row.try_get(3)?, row.try_get(4)?);
        days.insert(key, row.try_get(5)?);
    }
    let day_of = |(machine, _): &(Machine<'_>, i64)| {
        let (kind, build) = (machine.kind.to_owned(), machine.build.to_owned());
        let id = machine.id.to_owned();
        let key = (machine.project, kind, build, machine.external, id);
        days.get(&key).copied()
    };
    Ok(machines.iter().map(day_of).collect())
}

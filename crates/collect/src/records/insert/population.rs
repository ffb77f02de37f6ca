//! Which machines sent a heartbeat, which crashed, and how many of each build did so last on which day.
//! The second makes every window a sum over days.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::Row as _;
use state::{StateError, Write};

use super::Numbered;
use super::rows::{self, CHUNK, Rows, filled_up, placeholders};
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

impl Machine<'_> {
    /// By what the table knows it.
    fn key(&self) -> i64 {
        let source = if self.external == 0 { "" } else { "external" };
        entry::digest(self.project, &[self.kind, self.build, source, self.id])
    }
}

/// Notes the heartbeats and crashes of a batch; gives what is to be [`Noted`] once it is committed.
pub(crate) async fn note(
    write: &mut Write,
    records: &[Numbered<'_>],
    noted: &Noted,
) -> Result<Vec<i64>, StateError> {
    // Of each machine its last day.
    let mut machines: BTreeMap<i64, (Machine<'_>, i64)> = BTreeMap::new();
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
        let key = machine.key();
        if !noted.contains(day, key) {
            let (_, last) = machines.entry(key).or_insert((machine, day));
            *last = day.max(*last);
        }
    }
    let machines: Vec<(i64, Machine<'_>, i64)> = machines
        .into_iter()
        .map(|(key, (machine, day))| (key, machine, day))
        .collect();
    for chunk in machines.chunks(CHUNK) {
        note_chunk(write, chunk).await?;
    }
    Ok(machines.into_iter().map(|(key, ..)| key).collect())
}

async fn note_chunk(
    write: &mut Write,
    machines: &[(i64, Machine<'_>, i64)],
) -> Result<(), StateError> {
    const POPULATION: [&str; 6] = [
        "project", "kind", "last_day", "build", "external", "machines",
    ];
    let keys: Vec<i64> = machines.iter().map(|(key, ..)| *key).collect();
    let seen = last_days(write, &keys).await?;
    let mut table = Rows::into("record_machines", &["id", "last_day"]);
    let mut changes: BTreeMap<(i64, &str, i64, &str, i64), i64> = BTreeMap::new();
    for (key, machine, today) in machines {
        let before = seen.get(key);
        if before.is_some_and(|day| day >= today) {
            continue;
        }
        let (project, kind) = (machine.project, machine.kind);
        let (build, external) = (machine.build, machine.external);
        if let Some(day) = before {
            let key = (project, kind, *day, build, external);
            *changes.entry(key).or_default() -= 1;
        }
        let change = (project, kind, *today, build, external);
        *changes.entry(change).or_default() += 1;
        table.number(*key).number(*today);
    }
    let conflict = "ON CONFLICT (id) DO UPDATE SET last_day = excluded.last_day";
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

/// On which day each of these machines was seen last, of those that were.
async fn last_days(write: &mut Write, keys: &[i64]) -> Result<HashMap<i64, i64>, StateError> {
    let keys = filled_up(keys);
    let marks = placeholders(1, keys.len());
    let sql = format!("SELECT id, last_day FROM record_machines WHERE id IN ({marks})");
    let mut days = HashMap::new();
    for row in rows::fetch(write, sql, &keys).await? {
        days.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(days)
}

//! Which machines sent a heartbeat, and how many of each build did so last on which day. The second
//! makes every window a sum over days.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{StateError, Write};

use super::rows::{CHUNK, Rows};
use super::{Moment, Numbered};
use crate::records::entry;

/// The end of the classification of heartbeats.
const HEARTBEAT: &str = "/heartbeat/ping";
/// Machines that are remembered.
const NOTED_MAX: usize = 200_000;

/// A machine as one build of a project has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Machine<'a> {
    project: i64,
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

/// Notes the heartbeats of a batch; gives what is to be [`Noted`] once it is committed.
pub(crate) async fn note(
    write: &mut Write,
    records: &[Numbered<'_>],
    moment: Moment,
    noted: &Noted,
) -> Result<Vec<i64>, StateError> {
    let heartbeats = records
        .iter()
        .map(|numbered| numbered.new)
        .filter(|new| new.record.classification.ends_with(HEARTBEAT));
    let mut keys = Vec::new();
    let mut machines = Vec::new();
    for new in heartbeats {
        let machine = Machine {
            project: new.project,
            build: &new.record.build,
            external: new.record.external.into(),
            id: &new.record.machine_id,
        };
        let source = if machine.external == 0 {
            ""
        } else {
            "external"
        };
        let key = entry::digest(machine.project, &[machine.build, source, machine.id]);
        if !noted.contains(moment.day, key) {
            keys.push(key);
            machines.push(machine);
        }
    }
    machines.sort_unstable();
    machines.dedup();
    for chunk in machines.chunks(CHUNK) {
        note_chunk(write, chunk, moment).await?;
    }
    Ok(keys)
}

async fn note_chunk(
    write: &mut Write,
    machines: &[Machine<'_>],
    moment: Moment,
) -> Result<(), StateError> {
    let seen = last_days(write, machines).await?;
    let mut table = Rows::into(
        "record_machines",
        &["project", "build", "external", "machine_id", "last_day"],
    );
    let mut changes: BTreeMap<(i64, i64, &str, i64), i64> = BTreeMap::new();
    for machine in machines {
        let owned = (machine.project, machine.build, machine.external);
        let key = (owned.0, owned.1.to_owned(), owned.2, machine.id.to_owned());
        let before = seen.get(&key).copied();
        if before.is_some_and(|day| day >= moment.day) {
            continue;
        }
        let (project, build, external) = owned;
        if let Some(day) = before {
            *changes.entry((project, day, build, external)).or_default() -= 1;
        }
        *changes
            .entry((project, moment.day, build, external))
            .or_default() += 1;
        table
            .number(project)
            .text(build)
            .number(external)
            .text(machine.id)
            .number(moment.day);
    }
    let conflict = "ON CONFLICT (project, build, external, machine_id) \
         DO UPDATE SET last_day = excluded.last_day";
    table.insert(write, conflict).await?;
    let mut table = Rows::into(
        "record_population",
        &["project", "last_day", "build", "external", "machines"],
    );
    for ((project, day, build, external), change) in changes {
        table
            .number(project)
            .number(day)
            .text(build)
            .number(external)
            .number(change);
    }
    let conflict = "ON CONFLICT (project, last_day, build, external) \
         DO UPDATE SET machines = record_population.machines + excluded.machines";
    table.insert(write, conflict).await
}

/// On which day these machines were seen last, as far as they were.
async fn last_days(
    write: &mut Write,
    machines: &[Machine<'_>],
) -> Result<HashMap<(i64, String, i64, String), i64>, StateError> {
    let conditions: Vec<String> = (0..machines.len())
        .map(|row| {
            let at = |column| row * 4 + column;
            format!(
                "(project = ${} AND build = ${} AND external = ${} AND machine_id = ${})",
                at(1),
                at(2),
                at(3),
                at(4)
            )
        })
        .collect();
    let sql = format!(
        "SELECT project, build, external, machine_id, last_day FROM record_machines WHERE {}",
        conditions.join(" OR ")
    );
    let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
    for machine in machines {
        query = query
            .bind(machine.project)
            .bind(machine.build)
            .bind(machine.external)
            .bind(machine.id);
    }
    let mut days = HashMap::new();
    for row in query.fetch_all(&mut *write).await? {
        let key = (
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
        );
        days.insert(key, row.try_get(4)?);
    }
    Ok(days)
}

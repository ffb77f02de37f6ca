//! Which machines sent a heartbeat, which crashed, and how many of each build did so last on which day.
//! The second makes every window a sum over days.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sqlx::Row as _;
use sqlx::any::AnyRow;
use state::{StateError, Statement, Value};

use super::Numbered;
use super::before::MACHINE;
use super::rows::{Rows, filled};
use crate::records::entry::{self, NewRecord};

/// The end of the classification of heartbeats.
const HEARTBEAT: &str = "/heartbeat/ping";
/// Machines that live.
pub(crate) const ALIVE: &str = "heartbeat";
/// Machines on which something crashed that is grouped.
pub(crate) const CRASHED: &str = "crash";
/// Machines that did either: those of which crash-free machines are a share.
const SEEN: &str = "seen";
/// Machines that are remembered, each up to twice.
const NOTED_MAX: usize = 400_000;

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

/// The machines of heartbeats and crashes that have not been [`Noted`] on their day, by what the table
/// knows them: up to two of a record.
pub(crate) fn keys<'a>(
    records: impl IntoIterator<Item = (&'a NewRecord, i64)>,
    noted: &Noted,
) -> Vec<i64> {
    let keys = records.into_iter().flat_map(|(new, day)| {
        let keys = machines_of(new).map(|machine| machine.key());
        keys.filter(move |key| !noted.contains(day, *key))
    });
    keys.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Asks on which day each of these machines was seen last, of those that were; the question is for
/// `length` of them, and has the columns of [`super::before`].
pub(super) fn question(keys: Vec<i64>, length: usize) -> Option<Statement<'static>> {
    let keys = filled(keys, length)?.into_iter().map(Value::Number);
    let sql = format!("SELECT {MACHINE}, id, last_day, 0, 0, 0, 0, '', '', '' ");
    let question = Statement::new(&sql).sql("FROM record_machines WHERE id IN (");
    Some(question.list(keys).sql(")"))
}

/// A row that the [`question`] was answered with: a machine and its last day.
pub(super) fn read(row: &AnyRow) -> Result<(i64, i64), StateError> {
    Ok((row.try_get(1)?, row.try_get(2)?))
}

/// What is to be written of the heartbeats and crashes of a batch, and which machines are to be [`Noted`]
/// once it is committed. `seen` is on which day machines were seen last before it.
pub(crate) fn note<'a>(
    records: &'a [Numbered<'a>],
    seen: &HashMap<i64, i64>,
    noted: &Noted,
) -> ([Rows<'a>; 3], Vec<i64>) {
    const MACHINES: [&str; 2] = ["id", "last_day"];
    const POPULATION: [&str; 6] = [
        "project", "kind", "last_day", "build", "external", "machines",
    ];
    const SEEN_COLUMNS: [&str; 5] = ["project", "last_day", "build", "external", "machines"];
    const ADD_SEEN: &str = "ON CONFLICT (project, last_day, build, external) \
         DO UPDATE SET machines = record_seen.machines + excluded.machines";
    const LATEST: &str = "ON CONFLICT (id) DO UPDATE SET last_day = excluded.last_day";
    const ADD: &str = "ON CONFLICT (project, kind, last_day, build, external) \
         DO UPDATE SET machines = record_population.machines + excluded.machines";
    // Of each machine its last day.
    let mut machines: BTreeMap<i64, (Machine<'_>, i64)> = BTreeMap::new();
    for numbered in records {
        for machine in machines_of(numbered.new) {
            let (key, day) = (machine.key(), numbered.day());
            if !noted.contains(day, key) {
                let (_, last) = machines.entry(key).or_insert((machine, day));
                *last = day.max(*last);
            }
        }
    }
    let mut last_days = Rows::into("record_machines", &MACHINES).on_conflict(LATEST);
    let mut changes: BTreeMap<(i64, &str, i64, &str, i64), i64> = BTreeMap::new();
    for (key, (machine, today)) in &machines {
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
        last_days.number(*key).number(*today);
    }
    let mut population = Rows::into("record_population", &POPULATION).on_conflict(ADD);
    let mut all_seen = Rows::into("record_seen", &SEEN_COLUMNS).on_conflict(ADD_SEEN);
    for ((project, kind, day, build, external), change) in changes {
        let table = if kind == SEEN {
            all_seen.number(project)
        } else {
            population.number(project).text(kind)
        };
        table.number(day).text(build);
        table.number(external).number(change);
    }
    let tables = [last_days, population, all_seen];
    (tables, machines.into_keys().collect())
}

/// The machine of a heartbeat or of a crash, and the same as one that was seen.
fn machines_of(new: &NewRecord) -> impl Iterator<Item = Machine<'_>> {
    let kind = match &new.crash {
        Some(_) => Some(CRASHED),
        None => Some(ALIVE).filter(|_| new.record.classification.ends_with(HEARTBEAT)),
    };
    let kinds = kind.into_iter().flat_map(|kind| [kind, SEEN]);
    kinds.map(|kind| Machine {
        project: new.project,
        kind,
        build: &new.record.build,
        external: new.record.external.into(),
        id: &new.record.machine_id,
    })
}

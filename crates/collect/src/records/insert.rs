//! One transaction of intake: the records, their payloads, what is counted of them, and what went
//! into quarantine. The first statement takes the next ids and with them a lock on their row, so
//! transactions follow one another also where several processes write, and ids become visible in
//! their order.

pub(crate) mod counts;
pub(crate) mod groups;
pub(crate) mod population;
pub(crate) mod rows;

use std::collections::HashMap;

use sqlx::Row as _;
use sqlx::any::AnyRow;
use state::{State, StateError, Write};

pub(crate) use self::population::Noted;
use self::rows::{Rows, Statement, Value};
use super::entry::{Entry, NewRecord, NewSubmission, Stored};
use super::time::{self, DAY_MILLISECONDS};

/// What is touched by every transaction that keeps a record.
pub(crate) const TOPIC: &str = "records";

/// A record that is new, with its number.
pub(crate) struct Numbered<'a> {
    pub(crate) id: i64,
    /// Unix milliseconds: those of the transaction, or when another collector took it.
    pub(crate) received_at: i64,
    pub(crate) new: &'a NewRecord,
}

impl Numbered<'_> {
    /// Days since 1970, in UTC: it is counted there.
    pub(crate) fn day(&self) -> i64 {
        self.received_at.div_euclid(DAY_MILLISECONDS)
    }
}

/// Keeps intake and all that changes groups apart, from here to the end of the transaction. It comes
/// first in each of them, so that none waits for another that waits for it.
pub(crate) async fn lock(write: &mut Write) -> Result<(), StateError> {
    let sql = "UPDATE record_sequence SET next = next WHERE id = 1";
    sqlx::query(sql).execute(write).await?;
    Ok(())
}

/// Keeps all of them or none; the answers are in the order of the entries.
pub(crate) async fn write(
    state: &State,
    entries: &[Entry],
    noted: &mut Noted,
) -> Result<Vec<Stored>, StateError> {
    let mut write = state.write().await?;
    let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    let sql = "UPDATE record_sequence SET next = next + $1 WHERE id = 1 RETURNING next, counted";
    let row = sqlx::query(sql).bind(count).fetch_one(&mut write).await?;
    let (next, counted): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    // Only now: whoever was before us has an earlier time and smaller ids.
    let now = time::now();
    let mut before = Before::ask(&mut write, (entries, now), noted).await?;
    let (mut stored, mut records, mut submissions) = (Vec::new(), Vec::new(), Vec::new());
    for (id, entry) in (next - count..).zip(entries) {
        let fresh = Stored {
            id,
            received_at: now,
            is_repeated: false,
        };
        let seen = match entry {
            Entry::Record(new) => before.records.entry(key_of(new)),
            Entry::Quarantine(new) => before.submissions.entry(Key::of_submission(new)),
        };
        let mut is_new = false;
        let found = *seen.or_insert_with(|| {
            is_new = true;
            fresh
        });
        let is_repeated = !is_new;
        match entry {
            _ if is_repeated => {}
            Entry::Record(new) => records.push(Numbered {
                id,
                received_at: now,
                new,
            }),
            Entry::Quarantine(new) => submissions.push((id, &**new)),
        }
        stored.push(Stored {
            is_repeated,
            ..found
        });
    }
    insert_submissions(&mut write, &submissions, now).await?;
    let (_, machines) = keep(&mut write, &records, &before.fleet, noted).await?;
    if next - 1 - counted >= counts::UNCOUNTED_MAX {
        counts::count(&mut write, counted, next - 1).await?;
    }
    write.commit().await?;
    noted.add(now.div_euclid(DAY_MILLISECONDS), machines);
    Ok(stored)
}

/// Keeps new records, their groups and machines; needs the lock of intake, and [`counts`] count them.
/// `fleet` was asked about them in the same transaction. Gives the group of each, 0 for none, and the
/// machines that are to be [`Noted`] once it is committed.
pub(crate) async fn keep(
    write: &mut Write,
    records: &[Numbered<'_>],
    fleet: &Fleet,
    noted: &Noted,
) -> Result<(Vec<i64>, Vec<i64>), StateError> {
    if records.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    // Together what has about as many rows.
    let (groups, tables) = groups::note(write, records, &fleet.groups).await?;
    rows::write_together(write, &tables).await?;
    let (tables, machines) = population::note(records, &fleet.last_days, noted);
    rows::write_together(write, &tables).await?;
    rows::write_together(write, &record_rows(records, &groups)).await?;
    write.touch(TOPIC);
    Ok((groups, machines))
}

/// What the state knows of a batch before it is kept.
struct Before {
    records: HashMap<Key, Stored>,
    submissions: HashMap<Key, Stored>,
    fleet: Fleet,
}

/// What it knows of the groups and machines of a batch.
pub(crate) struct Fleet {
    groups: groups::Groups,
    last_days: HashMap<i64, i64>,
}

impl Before {
    /// Asks for all that is needed of a batch that comes `now`.
    async fn ask(
        write: &mut Write,
        (entries, now): (&[Entry], i64),
        noted: &Noted,
    ) -> Result<Self, StateError> {
        let records = || {
            entries.iter().filter_map(|entry| match entry {
                Entry::Record(new) => Some(&**new),
                Entry::Quarantine(_) => None,
            })
        };
        let digests: Vec<i64> = records().map(|new| new.digest).collect();
        let submissions: Vec<i64> = entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Record(_) => None,
                Entry::Quarantine(new) => Some(new.digest),
            })
            .collect();
        let prints = groups::keys(records());
        let today = now.div_euclid(DAY_MILLISECONDS);
        let machines = population::keys(records().map(|new| (new, today)), noted);
        // All of one length, so that there are few texts.
        let length = rows::length_of(entries.len());
        let questions = [
            digest_questions(write, RECORDS_OF, &digests, length),
            digest_questions(write, SUBMISSIONS_OF, &submissions, length),
            groups::questions(write, &prints, length),
            population::questions(write, &machines, length),
        ];
        let [records, submissions, groups, machines] = rows::together(write, questions).await?;
        let fleet = Fleet {
            groups: groups::read(&groups)?,
            last_days: population::read(&machines)?,
        };
        Ok(Self {
            records: known(&records)?,
            submissions: known(&submissions)?,
            fleet,
        })
    }
}

impl Fleet {
    /// Asks about these records, with days of their own.
    pub(crate) async fn ask(
        write: &mut Write,
        records: &[Numbered<'_>],
    ) -> Result<Self, StateError> {
        let prints = groups::keys(records.iter().map(|numbered| numbered.new));
        let days = records
            .iter()
            .map(|numbered| (numbered.new, numbered.day()));
        let machines = population::keys(days, &Noted::default());
        let length = rows::length_of(records.len());
        let questions = [
            groups::questions(write, &prints, length),
            population::questions(write, &machines, length),
        ];
        let [groups, machines] = rows::together(write, questions).await?;
        Ok(Self {
            groups: groups::read(&groups)?,
            last_days: population::read(&machines)?,
        })
    }
}

/// What makes two submissions the same: the digest, and what it could be confused by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    digest: i64,
    project: i64,
    machine_id: String,
    event_id: String,
    created: i64,
    payload_bytes: i64,
}

impl Key {
    fn of_submission(new: &NewSubmission) -> Self {
        Self {
            digest: new.digest,
            project: new.project,
            machine_id: String::new(),
            event_id: String::new(),
            created: 0,
            payload_bytes: 0,
        }
    }
}

/// The key of a record. One without a digest is never taken for another.
fn key_of(new: &NewRecord) -> Key {
    Key {
        digest: new.digest,
        project: new.project,
        machine_id: new.record.machine_id.clone(),
        event_id: new.record.event_id.clone(),
        created: new.record.created,
        payload_bytes: bytes_of(new),
    }
}

fn bytes_of(new: &NewRecord) -> i64 {
    i64::try_from(new.record.payload.len()).unwrap_or(i64::MAX)
}

/// What is kept already with these digests, in the columns that [`known`] reads.
const RECORDS_OF: &str = "SELECT id, received_at, digest, project, machine_id, event_id, created_at, \
     payload_bytes FROM records WHERE digest IN (";
const SUBMISSIONS_OF: &str = "SELECT id, received_at, digest, project, '', '', 0, 0 \
     FROM record_quarantine WHERE digest IN (";

fn digest_questions(
    write: &Write,
    sql: &str,
    digests: &[i64],
    length: usize,
) -> Vec<Statement<'static>> {
    let ask = |chunk: Vec<i64>| {
        Statement::new(sql)
            .list(write, chunk.into_iter().map(Value::Number))
            .sql(")")
    };
    rows::chunks_of(digests, length).map(ask).collect()
}

fn known(rows: &[AnyRow]) -> Result<HashMap<Key, Stored>, StateError> {
    let mut known = HashMap::new();
    for row in rows {
        let key = Key {
            digest: row.try_get(2)?,
            project: row.try_get(3)?,
            machine_id: row.try_get(4)?,
            event_id: row.try_get(5)?,
            created: row.try_get(6)?,
            payload_bytes: row.try_get(7)?,
        };
        let stored = Stored {
            id: row.try_get(0)?,
            received_at: row.try_get(1)?,
            is_repeated: true,
        };
        known.insert(key, stored);
    }
    Ok(known)
}

/// The rows of records and of their payloads.
fn record_rows<'a>(records: &'a [Numbered<'a>], groups: &[i64]) -> [Rows<'a>; 2] {
    const COLUMNS: [&str; 22] = [
        "id",
        "project",
        "received_at",
        "created_at",
        "severity",
        "external",
        "record_version",
        "payload_version",
        "group_id",
        "digest",
        "payload_bytes",
        "classification",
        "machine_id",
        "build",
        "system_name",
        "event_id",
        "arch",
        "host_type",
        "kernel_version",
        "board_name",
        "cpu_model",
        "bios_version",
    ];
    const PAYLOAD_COLUMNS: [&str; 2] = ["id", "body"];
    let mut table = Rows::into("records", &COLUMNS);
    let mut payloads = Rows::into("record_payloads", &PAYLOAD_COLUMNS);
    for (numbered, group) in records.iter().zip(groups) {
        let (id, new) = (&numbered.id, numbered.new);
        let record = &new.record;
        table
            .number(*id)
            .number(new.project)
            .number(numbered.received_at)
            .number(record.created)
            .number(record.severity.into())
            .number(record.external.into())
            .number(record.record_format_version.into())
            .number(record.payload_format_version)
            .number(*group)
            .number(new.digest)
            .number(bytes_of(new))
            .text(&record.classification)
            .text(&record.machine_id)
            .text(&record.build)
            .text(&record.system_name)
            .text(&record.event_id)
            .text(&record.arch)
            .text(&record.host_type)
            .text(&record.kernel_version)
            .text(&record.board_name)
            .text(&record.cpu_model)
            .text(&record.bios_version);
        payloads.number(*id).bytes(record.payload.as_bytes());
    }
    [table, payloads]
}

/// Puts submissions into quarantine, each under its number.
pub(crate) async fn insert_submissions(
    write: &mut Write,
    submissions: &[(i64, &NewSubmission)],
    now: i64,
) -> Result<(), StateError> {
    const COLUMNS: [&str; 8] = [
        "id",
        "project",
        "received_at",
        "reason",
        "message",
        "fields",
        "digest",
        "body",
    ];
    let mut table = Rows::into("record_quarantine", &COLUMNS);
    for (id, new) in submissions {
        table
            .number(*id)
            .number(new.project)
            .number(now)
            .text(new.reason)
            .text(&new.message)
            .text(&new.fields)
            .number(new.digest)
            .bytes(new.payload.as_bytes());
    }
    table.write(write).await
}

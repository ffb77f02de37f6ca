//! One transaction of intake: the records, their payloads, what is counted of them, and what went
//! into quarantine. The first statement takes the next ids and with them a lock on their row, so
//! transactions follow one another also where several processes write, and ids become visible in
//! their order.

pub(crate) mod counts;
mod groups;
pub(crate) mod population;
pub(crate) mod rows;

use std::collections::HashMap;

use sqlx::Row as _;
use state::{State, StateError, Write};

pub(crate) use self::population::Noted;
use self::rows::{Rows, placeholders};
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
    let mut known = known_records(&mut write, entries).await?;
    let mut quarantined = known_submissions(&mut write, entries).await?;
    let (mut stored, mut records, mut submissions) = (Vec::new(), Vec::new(), Vec::new());
    for (id, entry) in (next - count..).zip(entries) {
        let fresh = Stored {
            id,
            received_at: now,
            is_repeated: false,
        };
        let seen = match entry {
            Entry::Record(new) => known.entry(key_of(new)),
            Entry::Quarantine(new) => quarantined.entry(Key::of_submission(new)),
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
    let (_, machines) = keep(&mut write, &records, noted).await?;
    if next - 1 - counted >= counts::UNCOUNTED_MAX {
        counts::count(&mut write, counted, next - 1).await?;
    }
    write.commit().await?;
    noted.add(now.div_euclid(DAY_MILLISECONDS), machines);
    Ok(stored)
}

/// Keeps new records, their groups and machines; needs the lock of intake, and [`counts`] count them.
/// Gives the group of each, 0 for none, and the machines that are to be [`Noted`] once it is committed.
pub(crate) async fn keep(
    write: &mut Write,
    records: &[Numbered<'_>],
    noted: &Noted,
) -> Result<(Vec<i64>, Vec<i64>), StateError> {
    if records.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let groups = groups::note(write, records).await?;
    insert_records(write, records, &groups).await?;
    let machines = population::note(write, records, noted).await?;
    write.touch(TOPIC);
    Ok((groups, machines))
}

/// What makes two submissions the same: the digest, and what it could be confused by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    digest: i64,
    project: i64,
    machine_id: String,
    created: i64,
}

impl Key {
    fn of_submission(new: &NewSubmission) -> Self {
        Self {
            digest: new.digest,
            project: new.project,
            machine_id: String::new(),
            created: 0,
        }
    }
}

/// The key of a record. One without a digest is never taken for another.
fn key_of(new: &NewRecord) -> Key {
    Key {
        digest: new.digest,
        project: new.project,
        machine_id: new.record.machine_id.clone(),
        created: new.record.created,
    }
}

/// Which records of the batch are kept already.
async fn known_records(
    write: &mut Write,
    entries: &[Entry],
) -> Result<HashMap<Key, Stored>, StateError> {
    let digests: Vec<i64> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Record(new) => Some(new.digest),
            Entry::Quarantine(_) => None,
        })
        .collect();
    let columns = "id, received_at, digest, project, machine_id, created_at";
    let mut known = HashMap::new();
    for chunk in digests.chunks(rows::CHUNK) {
        let chunk = rows::filled_up(chunk);
        let marks = placeholders(1, chunk.len());
        let sql = format!("SELECT {columns} FROM records WHERE digest IN ({marks})");
        for row in rows::fetch(write, sql, &chunk).await? {
            let key = Key {
                digest: row.try_get(2)?,
                project: row.try_get(3)?,
                machine_id: row.try_get(4)?,
                created: row.try_get(5)?,
            };
            known.insert(key, stored_of(&row)?);
        }
    }
    Ok(known)
}

async fn known_submissions(
    write: &mut Write,
    entries: &[Entry],
) -> Result<HashMap<Key, Stored>, StateError> {
    let digests: Vec<i64> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Record(_) => None,
            Entry::Quarantine(new) => Some(new.digest),
        })
        .collect();
    let mut known = HashMap::new();
    for chunk in digests.chunks(rows::CHUNK) {
        let chunk = rows::filled_up(chunk);
        let marks = placeholders(1, chunk.len());
        let sql = format!(
            "SELECT id, received_at, digest, project FROM record_quarantine WHERE digest IN ({marks})"
        );
        for row in rows::fetch(write, sql, &chunk).await? {
            let key = Key {
                digest: row.try_get(2)?,
                project: row.try_get(3)?,
                machine_id: String::new(),
                created: 0,
            };
            known.insert(key, stored_of(&row)?);
        }
    }
    Ok(known)
}

fn stored_of(row: &sqlx::any::AnyRow) -> Result<Stored, StateError> {
    Ok(Stored {
        id: row.try_get(0)?,
        received_at: row.try_get(1)?,
        is_repeated: true,
    })
}

async fn insert_records(
    write: &mut Write,
    records: &[Numbered<'_>],
    groups: &[i64],
) -> Result<(), StateError> {
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
    let mut table = Rows::into("records", &COLUMNS);
    let mut payloads = Rows::into("record_payloads", &["id", "body"]);
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
            .number(i64::try_from(record.payload.len()).unwrap_or(i64::MAX))
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
    table.insert(write, "").await?;
    payloads.insert(write, "").await
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
    table.insert(write, "").await
}

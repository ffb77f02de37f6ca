//! One transaction of intake: the records, their payloads, what is counted of them, and what went
//! into quarantine. The first statement takes the next ids and with them a lock on their row, so
//! transactions follow one another also where several processes write, and ids become visible in
//! their order.

pub(crate) mod before;
pub(crate) mod counts;
pub(crate) mod groups;
pub(crate) mod population;
pub(crate) mod rows;
#[cfg(test)]
mod tests;

use state::{StateError, Write};

use self::before::Before;
pub(crate) use self::before::Fleet;
pub(crate) use self::population::Noted;
use self::rows::Rows;
use super::entry::{Entry, NewRecord, NewSubmission, Stored};
use super::time::DAY_MILLISECONDS;

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

/// Keeps all of them or none, in a transaction that has just begun; the answers are in the order of the
/// entries.
pub(crate) async fn write(
    mut write: Write,
    entries: &[Entry],
    noted: &mut Noted,
) -> Result<Vec<Stored>, StateError> {
    let (sequence, mut before) = Before::begin(&mut write, entries, noted).await?;
    let (next, now) = (sequence.next, sequence.now);
    let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    let (mut stored, mut records, mut submissions) = (Vec::new(), Vec::new(), Vec::new());
    for (id, entry) in (next - count..).zip(entries) {
        let fresh = Stored {
            id,
            received_at: now,
            is_repeated: false,
        };
        let known = before.known(entry);
        let is_repeated = known.is_some();
        let found = *known.get_or_insert(fresh);
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
    if next - 1 - sequence.counted >= counts::UNCOUNTED_MAX {
        counts::count(&mut write, sequence.counted, next - 1).await?;
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
    write.touch(TOPIC);
    let (groups, mut counted) = groups::note(write, records, &fleet.groups).await?;
    let (tables, machines) = population::note(records, &fleet.last_days, noted);
    counted.extend(tables);
    rows::write_together(write, &record_rows(records, &groups), &counted).await?;
    Ok((groups, machines))
}

fn bytes_of(new: &NewRecord) -> i64 {
    i64::try_from(new.record.payload.len()).unwrap_or(i64::MAX)
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

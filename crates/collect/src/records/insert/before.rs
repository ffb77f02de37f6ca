//! What is asked of the state before a batch is kept, all at once. An answer has ten columns: what it
//! tells of, six numbers and three texts.

use std::collections::HashMap;

use sqlx::Row as _;
use sqlx::any::AnyRow;
use state::{StateError, Statement, Value, Write};

use super::groups::Groups;
use super::population::Noted;
use super::rows::CHUNK;
use super::{Numbered, bytes_of, groups, population, rows};
use crate::records::entry::{Entry, NewRecord, NewSubmission, Stored};
use crate::records::time::{self, DAY_MILLISECONDS};

/// What an answer tells of: a record that is kept already,
const RECORD: i64 = 1;
/// a submission that is,
const SUBMISSION: i64 = 2;
/// a group of crashes,
pub(super) const GROUP: i64 = 3;
/// or the last day of a machine.
pub(super) const MACHINE: i64 = 4;

/// What the state knows of a batch before it is kept.
pub(super) struct Before {
    records: HashMap<Key, Option<Stored>>,
    submissions: HashMap<Key, Option<Stored>>,
    pub(super) fleet: Fleet,
}

/// What it knows of the groups and machines of a batch.
#[derive(Default)]
pub(crate) struct Fleet {
    pub(super) groups: Groups,
    pub(super) last_days: HashMap<i64, i64>,
}

/// The ids of a batch.
pub(super) struct Sequence {
    /// The one behind the last of the batch.
    pub(super) next: i64,
    /// Up to which id records are counted.
    pub(super) counted: i64,
    /// When the batch came, in Unix milliseconds.
    pub(super) now: i64,
}

impl Before {
    /// Takes ids for a batch, and with them the lock of intake, and asks for all that is needed of it.
    pub(super) async fn begin(
        write: &mut Write,
        entries: &[Entry],
        noted: &Noted,
    ) -> Result<(Sequence, Self), StateError> {
        let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        let sequence = Statement::new("UPDATE record_sequence SET next = next + ")
            .value(Value::Number(count))
            .sql(" WHERE id = 1 RETURNING next, counted");
        let asked_on = time::now().div_euclid(DAY_MILLISECONDS);
        let mut questions = questions_of(entries, asked_on, noted);
        let first = questions.next().unwrap_or_default();
        let [taken, mut answers] = write.ask([sequence, first]).await?;
        let row = taken.first().ok_or(sqlx::Error::RowNotFound)?;
        let sequence = Sequence {
            next: row.try_get(0)?,
            counted: row.try_get(1)?,
            // Only now: whoever was before us has an earlier time and smaller ids.
            now: time::now(),
        };
        let today = sequence.now.div_euclid(DAY_MILLISECONDS);
        if today != asked_on {
            // Machines that were noted on the day before have to be asked for.
            answers.clear();
            questions = questions_of(entries, today, noted);
        }
        for question in questions {
            let [more] = write.ask([question]).await?;
            answers.extend(more);
        }
        Ok((sequence, Self::read(&answers)?))
    }

    fn read(rows: &[AnyRow]) -> Result<Self, StateError> {
        let mut before = Self {
            records: HashMap::new(),
            submissions: HashMap::new(),
            fleet: Fleet::default(),
        };
        for row in rows {
            let known = match row.try_get(0)? {
                RECORD => &mut before.records,
                SUBMISSION => &mut before.submissions,
                _ => {
                    before.fleet.read(row)?;
                    continue;
                }
            };
            let (key, stored) = known_in(row)?;
            known.insert(key, Some(stored));
        }
        Ok(before)
    }

    /// The place of what is kept already of an entry, by the state or earlier in the batch.
    pub(super) fn known(&mut self, entry: &Entry) -> &mut Option<Stored> {
        match entry {
            Entry::Record(new) => self.records.entry(Key::of_record(new)),
            Entry::Quarantine(new) => self.submissions.entry(Key::of_submission(new)),
        }
        .or_default()
    }
}

impl Fleet {
    /// Asks about these records, with days of their own.
    pub(crate) async fn ask(
        write: &mut Write,
        records: &[Numbered<'_>],
    ) -> Result<Self, StateError> {
        let length = rows::length_of(records.len());
        let mut fleet = Self::default();
        for chunk in records.chunks(CHUNK) {
            let prints = groups::keys(chunk.iter().map(|numbered| numbered.new));
            let days = chunk.iter().map(|numbered| (numbered.new, numbered.day()));
            let machines = population::keys(days, &Noted::default());
            let questions = [
                groups::question(prints, length),
                population::question(machines, 2 * length),
            ];
            let Some(question) = all_of(questions) else {
                continue;
            };
            let [answers] = write.ask([question]).await?;
            for row in &answers {
                fleet.read(row)?;
            }
        }
        Ok(fleet)
    }

    fn read(&mut self, row: &AnyRow) -> Result<(), StateError> {
        if row.try_get::<i64, _>(0)? == GROUP {
            let (key, group) = groups::read(row)?;
            self.groups.insert(key, group);
        } else {
            let (machine, day) = population::read(row)?;
            self.last_days.insert(machine, day);
        }
        Ok(())
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
    /// One without a digest is never taken for another.
    fn of_record(new: &NewRecord) -> Self {
        Self {
            digest: new.digest,
            project: new.project,
            machine_id: new.record.machine_id.clone(),
            event_id: new.record.event_id.clone(),
            created: new.record.created,
            payload_bytes: bytes_of(new),
        }
    }

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

/// All that is to be known of a batch that comes on this day, asked for some entries at a time.
fn questions_of<'a>(
    entries: &'a [Entry],
    day: i64,
    noted: &'a Noted,
) -> impl Iterator<Item = Statement<'a>> {
    // All of one length, so that there are few texts.
    let length = rows::length_of(entries.len());
    let chunks = entries.chunks(CHUNK);
    chunks.filter_map(move |chunk| question_of(chunk, length, (day, noted)))
}

fn question_of<'a>(
    entries: &'a [Entry],
    length: usize,
    (day, noted): (i64, &Noted),
) -> Option<Statement<'a>> {
    let records = || {
        entries.iter().filter_map(|entry| match entry {
            Entry::Record(new) => Some(&**new),
            Entry::Quarantine(_) => None,
        })
    };
    let submissions = entries.iter().filter_map(|entry| match entry {
        Entry::Record(_) => None,
        Entry::Quarantine(new) => Some(new.digest),
    });
    let kept = format!(
        "SELECT {RECORD}, id, received_at, digest, project, created_at, payload_bytes, \
         machine_id, event_id, '' FROM records WHERE digest IN ("
    );
    let quarantined = format!(
        "SELECT {SUBMISSION}, id, received_at, digest, project, 0, 0, '', '', '' \
         FROM record_quarantine WHERE digest IN ("
    );
    let with_digests = |sql: &str, digests| {
        let digests = rows::filled(digests, length)?
            .into_iter()
            .map(Value::Number);
        Some(Statement::new(sql).list(digests).sql(")"))
    };
    let machines = population::keys(records().map(|new| (new, day)), noted);
    all_of([
        with_digests(&kept, records().map(|new| new.digest).collect()),
        with_digests(&quarantined, submissions.collect()),
        groups::question(groups::keys(records()), length),
        population::question(machines, 2 * length),
    ])
}

/// One question for several.
fn all_of<'a>(questions: impl IntoIterator<Item = Option<Statement<'a>>>) -> Option<Statement<'a>> {
    let questions = questions.into_iter().flatten();
    questions.reduce(|all, next| all.sql(" UNION ALL ").then(next))
}

fn known_in(row: &AnyRow) -> Result<(Key, Stored), StateError> {
    let key = Key {
        digest: row.try_get(3)?,
        project: row.try_get(4)?,
        created: row.try_get(5)?,
        payload_bytes: row.try_get(6)?,
        machine_id: row.try_get(7)?,
        event_id: row.try_get(8)?,
    };
    let stored = Stored {
        id: row.try_get(1)?,
        received_at: row.try_get(2)?,
        is_repeated: true,
    };
    Ok((key, stored))
}

//! Groups made anew from the records that are kept, after somebody changed which frames are skipped or
//! which groups are one:
//! in the background, a few records in a transaction, oldest first. Where it is, is in the state, so a
//! restart goes on and everybody sees how far it is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base::client::chain;
use base::supervise::{BoxError, Criticality, Scope, Service};
use serde::Serialize;
use sqlx::Row as _;
use state::{Read, StateError, Write};

use super::Shared;
use super::entry::Crash;
use super::filter::Conditions;
use super::insert;
use super::insert::groups::{forget_machine, note_machine};
use super::intake;
use super::stored::{self, Order, StoredRecord, WHOLE};
use super::time::{self, DAY_MILLISECONDS};

/// What is touched when frames to skip were added or removed.
pub(crate) const TOPIC: &str = "record_skipped_frames";
/// Records of one transaction.
const BATCH: usize = 64;
/// How long after a change records may still be grouped as before it, in milliseconds.
const UNDER_WAY: i64 = 30_000;
/// Between two looks for these.
const LATER: Duration = Duration::from_secs(2);
/// Between two transactions: intake comes first.
const PAUSE: Duration = Duration::from_millis(20);
/// How often it is looked when nobody wakes it.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// How far it is.
#[derive(Debug, Serialize)]
pub(crate) struct Progress {
    /// Whether records are still looked at.
    pub(crate) is_running: bool,
    /// Up to which id they were.
    pub(crate) reached: i64,
    /// Up to which id they will be.
    pub(crate) end: i64,
    /// Records that came to another group.
    pub(crate) moved: i64,
}

/// Waits for changes and works them off.
pub(crate) fn service(shared: &Arc<Shared>) -> Service {
    let shared = Arc::clone(shared);
    let body = move |scope: Scope| async move {
        let mut watch = shared.state.watch(TOPIC);
        loop {
            if let Err(error) = work_off(&shared, &scope).await {
                tracing::warn!(error = chain(&error), "records are not grouped anew yet");
            }
            tokio::select! {
                () = watch.changed() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = scope.stopping() => return Ok::<(), BoxError>(()),
            }
        }
    };
    Service::new("records.regroup", Criticality::Plain, body)
}

/// Has all records that are kept now looked at again. Part of the transaction that changes the frames.
/// Needs the lock of intake.
pub(crate) async fn begin(write: &mut Write) -> Result<(), StateError> {
    let sql = "UPDATE record_regroup SET reached = 0, moved = 0, begun_at = $1, \
         end_id = (SELECT next - 1 FROM record_sequence WHERE id = 1) WHERE id = 1";
    let query = sqlx::query(sql).bind(time::now());
    query.execute(&mut *write).await?;
    write.touch(TOPIC);
    Ok(())
}

/// How far it is.
pub(crate) async fn progress(read: &mut Read) -> Result<Progress, StateError> {
    let sql = "SELECT reached, end_id, moved FROM record_regroup WHERE id = 1";
    let row = sqlx::query(sql).fetch_one(read).await?;
    let (reached, end): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Progress {
        is_running: reached < end,
        reached,
        end,
        moved: row.try_get(2)?,
    })
}

async fn work_off(shared: &Shared, scope: &Scope) -> Result<(), StateError> {
    shared.skipped.refresh(&shared.state).await?;
    while !scope.is_stopping() {
        let mut read = shared.state.read().await?;
        let mut progress = progress(&mut read).await?;
        if !progress.is_running {
            let Some(end) = later_end(&mut read).await? else {
                return Ok(());
            };
            if end == progress.end {
                // Nothing came; soon the others know, too.
                drop(read);
                tokio::select! {
                    () = tokio::time::sleep(LATER) => {}
                    () = scope.stopping() => {}
                }
                continue;
            }
            progress.end = end;
        }
        let mut conditions = Conditions::default();
        conditions.from(progress.reached + 1);
        conditions.below(progress.end + 1);
        conditions.is_grouped();
        let window = (Order::OldestFirst, BATCH);
        let (ids, rows) = stored::select_page(&mut read, WHOLE, &conditions, window).await?;
        drop(read);
        let records: Vec<StoredRecord> = rows
            .rows()
            .map(StoredRecord::of)
            .collect::<Result<_, _>>()?;
        // Those that were found may have been removed before they were read.
        let reached = ids.last().copied().unwrap_or(progress.end);
        let steps = (progress.reached, reached, progress.end);
        move_all(shared, &records, steps).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// For a while after a change, records that were under way or that other processes took were grouped by
/// the frames as they were: up to which id there may be such. Nothing when that time is over.
async fn later_end(read: &mut Read) -> Result<Option<i64>, StateError> {
    let sql = "SELECT record_regroup.begun_at, record_sequence.next FROM record_regroup \
         JOIN record_sequence ON record_sequence.id = record_regroup.id WHERE record_regroup.id = 1";
    let row = sqlx::query(sql).fetch_one(read).await?;
    let (begun_at, next): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok((time::now() - begun_at < UNDER_WAY).then_some(next - 1))
}

/// Moves what belongs elsewhere and notes how far it is; nothing when another process was there first.
async fn move_all(
    shared: &Shared,
    records: &[StoredRecord],
    (before, reached, end): (i64, i64, i64),
) -> Result<(), StateError> {
    let mut write = shared.state.write().await?;
    insert::lock(&mut write).await?;
    let sql = "UPDATE record_regroup SET reached = $1, end_id = $3 WHERE id = 1 AND reached = $2";
    let noted = sqlx::query(sql).bind(reached).bind(before).bind(end);
    if noted.execute(&mut write).await?.rows_affected() == 0 {
        return Ok(());
    }
    // As it is in this transaction: a change after it sets the beginning back.
    let skipped = shared.skipped.read_in(&mut write).await?;
    let mut groups = HashMap::new();
    let mut moved: i64 = 0;
    let mut lost: BTreeMap<i64, Lost> = BTreeMap::new();
    for stored in records {
        let Some(crash) = intake::crash_of(&stored.record, &skipped) else {
            continue;
        };
        let key = (stored.project, crash.fingerprint.clone());
        let group = match groups.get(&key) {
            Some(group) => *group,
            None => {
                let group = group_of(&mut write, stored, &crash).await?;
                groups.insert(key, group);
                group
            }
        };
        if stored.group != Some(group) && move_one(&mut write, stored, group).await? {
            moved += 1;
            let before = stored.group.unwrap_or(0);
            let lost = lost.entry(before).or_insert_with(|| Lost::of(stored));
            lost.add(stored);
        }
    }
    // Once for a group: each looks at many of the records that it has left.
    for (group, lost) in lost {
        set_ends(&mut write, group, lost).await?;
    }
    let sql = "UPDATE record_regroup SET moved = moved + $1 WHERE id = 1";
    sqlx::query(sql).bind(moved).execute(&mut write).await?;
    write.commit().await
}

/// The group of a crash, made when there is none; its label is what is guilty now.
async fn group_of(
    write: &mut Write,
    stored: &StoredRecord,
    crash: &Crash,
) -> Result<i64, StateError> {
    let sql = "INSERT INTO record_groups (project, fingerprint, classification, function_name, \
         module, first_seen, last_seen, first_build, last_build, last_record, records, state, \
         resolved_in, merged_into, is_hidden, comment) \
         VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $7, $8, 0, 'open', '', 0, 0, '') \
         ON CONFLICT (project, fingerprint) \
         DO UPDATE SET function_name = excluded.function_name, module = excluded.module \
         RETURNING CASE WHEN merged_into > 0 THEN merged_into ELSE id END";
    let row = sqlx::query(sql)
        .bind(stored.project)
        .bind(crash.fingerprint.as_str())
        .bind(stored.record.classification.as_str())
        .bind(crash.function.as_str())
        .bind(crash.module.as_str())
        .bind(stored.received_at)
        .bind(stored.record.build.as_str())
        .bind(stored.id)
        .fetch_one(&mut *write)
        .await?;
    Ok(row.try_get(0)?)
}

/// Takes a record out of the counts of its group and adds it to those of the other.
///
/// Gives `false` when it was removed or moved meanwhile.
async fn move_one(
    write: &mut Write,
    stored: &StoredRecord,
    group: i64,
) -> Result<bool, StateError> {
    let day = stored.received_at.div_euclid(DAY_MILLISECONDS);
    let build = stored.record.build.as_str();
    let before = stored.group.unwrap_or(0);
    let sql = "UPDATE records SET group_id = $1 WHERE id = $2 AND group_id = $3";
    let query = sqlx::query(sql).bind(group).bind(stored.id).bind(before);
    if query.execute(&mut *write).await?.rows_affected() == 0 {
        return Ok(false);
    }
    for (group, change) in [(before, -1), (group, 1)] {
        let sql = "INSERT INTO record_group_days (group_id, day, build, records) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (group_id, day, build) \
             DO UPDATE SET records = record_group_days.records + excluded.records";
        sqlx::query(sql)
            .bind(group)
            .bind(day)
            .bind(build)
            .bind(change)
            .execute(&mut *write)
            .await?;
        let sql = "UPDATE record_groups SET records = records + $2, \
             first_build = CASE WHEN $2 > 0 AND first_seen > $3 THEN $4 ELSE first_build END, \
             last_build = CASE WHEN $2 > 0 AND last_seen < $3 THEN $4 ELSE last_build END, \
             last_record = CASE WHEN $2 > 0 AND last_seen < $3 THEN $5 ELSE last_record END, \
             first_seen = CASE WHEN $2 > 0 AND first_seen > $3 THEN $3 ELSE first_seen END, \
             last_seen = CASE WHEN $2 > 0 AND last_seen < $3 THEN $3 ELSE last_seen END \
             WHERE id = $1";
        sqlx::query(sql)
            .bind(group)
            .bind(change)
            .bind(stored.received_at)
            .bind(build)
            .bind(stored.id)
            .execute(&mut *write)
            .await?;
    }
    let machine = stored.record.machine_id.as_str();
    note_machine(write, group, (machine, day)).await?;
    forget_machine(write, before, machine).await?;
    let sql = "DELETE FROM record_group_days WHERE group_id = $1 AND day = $2 AND records <= 0";
    let query = sqlx::query(sql).bind(before).bind(day);
    query.execute(&mut *write).await?;
    Ok(true)
}

/// What a group lost to others in a batch: between which times, and the greatest id.
#[derive(Debug, Clone, Copy)]
struct Lost {
    first: i64,
    last: i64,
    latest: i64,
}

impl Lost {
    fn of(stored: &StoredRecord) -> Self {
        Self {
            first: stored.received_at,
            last: stored.received_at,
            latest: stored.id,
        }
    }

    fn add(&mut self, stored: &StoredRecord) {
        self.first = self.first.min(stored.received_at);
        self.last = self.last.max(stored.received_at);
        self.latest = self.latest.max(stored.id);
    }
}

/// Makes right when a group that lost records was seen first and last, if it lost those. What retention has
/// removed still counts there.
async fn set_ends(write: &mut Write, group: i64, lost: Lost) -> Result<(), StateError> {
    let sql = "SELECT first_seen, last_seen, last_record FROM record_groups WHERE id = $1";
    let found = sqlx::query(sql).bind(group).fetch_optional(&mut *write);
    let Some(row) = found.await? else {
        return Ok(());
    };
    let (first_seen, last_seen): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let last_record: i64 = row.try_get(2)?;
    if lost.first <= first_seen {
        set_end(write, group, &FIRST).await?;
    }
    if lost.last >= last_seen || lost.latest >= last_record {
        set_end(write, group, &LAST).await?;
    }
    Ok(())
}

/// How the first and the last record of a group are found and noted.
struct End {
    /// The day.
    day: &'static str,
    /// The record of that day; not of the day itself when retention has removed it.
    record: &'static str,
    note: &'static str,
}

const FIRST: End = End {
    day: "SELECT MIN(day) FROM record_group_days WHERE group_id = $1 AND records > 0",
    record: "SELECT id, received_at, build FROM (SELECT id, received_at, build FROM records \
         WHERE group_id = $1 AND group_id > 0 ORDER BY id LIMIT 1000) AS ends \
         WHERE received_at >= $2 AND received_at < $3 ORDER BY received_at, id LIMIT 1",
    note: "UPDATE record_groups SET first_seen = $2, \
         first_build = CASE WHEN $4 > 0 THEN $3 ELSE first_build END WHERE id = $1",
};
const LAST: End = End {
    day: "SELECT MAX(day) FROM record_group_days WHERE group_id = $1 AND records > 0",
    record: "SELECT id, received_at, build FROM (SELECT id, received_at, build FROM records \
         WHERE group_id = $1 AND group_id > 0 ORDER BY id DESC LIMIT 1000) AS ends \
         WHERE received_at >= $2 AND received_at < $3 ORDER BY received_at DESC, id DESC LIMIT 1",
    note: "UPDATE record_groups SET last_seen = $2, \
         last_build = CASE WHEN $4 > 0 THEN $3 ELSE last_build END, \
         last_record = CASE WHEN $4 > 0 THEN $4 ELSE last_record END WHERE id = $1",
};

/// Nothing changes when nothing is left.
async fn set_end(write: &mut Write, group: i64, end: &End) -> Result<(), StateError> {
    let row = sqlx::query(end.day)
        .bind(group)
        .fetch_one(&mut *write)
        .await?;
    let Some(day) = row.try_get::<Option<i64>, _>(0)? else {
        return Ok(());
    };
    let (from, to) = (day * DAY_MILLISECONDS, (day + 1) * DAY_MILLISECONDS);
    let found = sqlx::query(end.record).bind(group).bind(from).bind(to);
    let (id, seen, build): (i64, i64, String) = match found.fetch_optional(&mut *write).await? {
        Some(row) => (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?),
        // Retention has removed it, or it is not among those with the first or last ids.
        None => (0, from, String::new()),
    };
    sqlx::query(end.note)
        .bind(group)
        .bind(seen)
        .bind(build)
        .bind(id)
        .execute(&mut *write)
        .await?;
    Ok(())
}

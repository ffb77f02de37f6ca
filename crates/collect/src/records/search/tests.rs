//! The index against reading everything, with random questions.

use base::supervise::Supervisor;
use sqlx::any::AnyRow;
use state::{Location, State};
use wire::telemetrics::Record;

use super::*;
use crate::records::entry::{self, Entry, NewRecord};
use crate::records::insert::{self, Noted};
use crate::records::migrations::MIGRATIONS;

/// Two rows of the index and some that it has not reached.
const RECORDS: usize = 9_000;

fn record(random: &mut fastrand::Rng) -> Record {
    Record {
        severity: [1, 1, 1, 2, 3, 4][random.usize(..6)],
        classification: format!("a/b/c{}", random.u32(..8)),
        machine_id: format!("m{}", random.u32(..2_000)),
        kernel_version: "6.1.0".to_owned(),
        event_id: format!("{:032x}", random.u128(..)),
        build: format!("{}", 100 + random.u32(..30)),
        external: random.u32(..500) == 0,
        payload: format!("word{} word{}", random.u32(..3_000), random.u32(..9)),
        ..entry::plain_record()
    }
}

/// A state with records of two projects; those of one are few.
async fn filled(folder: &std::path::Path) -> State {
    let location = Location::Sqlite(folder.join("state.db"));
    let state = State::open(&location, &[MIGRATIONS], &Supervisor::new()).await;
    let state = state.unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut noted = Noted::default();
    for batch in 0..RECORDS / 250 {
        let entry = |index| {
            let record = record(&mut random);
            Entry::Record(Box::new(NewRecord {
                project: if index == 0 { 2 } else { 1 },
                digest: entry::record_digest(1, &record),
                record,
                crash: None,
            }))
        };
        let entries: Vec<Entry> = (0..250).map(entry).collect();
        insert::write(state.write().await.unwrap(), &entries, &mut noted)
            .await
            .unwrap();
        // Holes, as retention leaves them, and times that differ.
        let mut write = state.write().await.unwrap();
        let at = 1_000 * i64::try_from(batch).unwrap();
        for sql in [
            "UPDATE records SET received_at = $1 WHERE received_at > 1000000",
            "DELETE FROM records WHERE id % 97 = 5 AND received_at = $1",
        ] {
            sqlx::query(sql).bind(at).execute(&mut write).await.unwrap();
        }
        write.commit().await.unwrap();
    }
    state
}

/// A question: some of all filters, with values that many, few or none have.
fn question(random: &mut fastrand::Rng) -> Conditions {
    let mut conditions = Conditions::default();
    if random.u32(..3) == 0 {
        conditions.field(Field::Machine, &format!("m{}", random.u32(..2_200)));
    }
    if random.u32(..3) == 0 {
        let class = |number| format!("a/b/c{number}");
        let classes = (0..random.u32(..3)).map(class).collect();
        conditions.field_in(Field::Classification, classes);
    }
    if random.u32(..4) == 0 {
        conditions.field(Field::Build, &format!("{}", 100 + random.u32(..31)));
    }
    if random.u32(..4) == 0 {
        conditions.field_number(Field::Severity, random.i64(1..=4));
    }
    if random.u32(..4) == 0 {
        conditions.field_number(Field::External, random.i64(..2));
    }
    if random.u32(..4) == 0 {
        conditions.projects(&[2], 2);
    }
    if random.u32(..3) == 0 {
        conditions.received_since(random.i64(..40_000));
    }
    if random.u32(..3) == 0 {
        conditions.received_before(random.i64(..40_000));
    }
    if random.u32(..3) == 0 {
        conditions.from(random.i64(..10_000));
    }
    if random.u32(..3) == 0 {
        conditions.below(random.i64(..10_000));
    }
    conditions
}

fn ids(rows: &[AnyRow]) -> Vec<i64> {
    rows.iter().map(|row| row.try_get(0).unwrap()).collect()
}

#[tokio::test]
async fn the_index_finds_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let state = filled(folder.path()).await;
    let mut rows = 0;
    while index::build_next(&state).await.unwrap() {
        rows += 1;
    }
    assert_eq!(rows, 2, "of {RECORDS} records");
    let mut random = fastrand::Rng::with_seed(11);
    let mut read = state.read().await.unwrap();
    let mut found_some = 0;
    for _ in 0..600 {
        let conditions = question(&mut random);
        let order = [Order::NewestFirst, Order::OldestFirst][random.usize(..2)];
        let limit = [1, 50, 10_000][random.usize(..3)];
        let found = find(&mut read, &conditions, (order, limit)).await;
        let tail = format!("ORDER BY id {} LIMIT {limit}", order.sql());
        let all = conditions
            .fetch(&mut read, "SELECT id FROM records", &tail)
            .await;
        let found: Vec<i64> = found.unwrap().iter().map(|hit| hit.id).collect();
        assert_eq!(
            found,
            ids(&all.unwrap()),
            "{conditions:?} {order:?} {limit}"
        );
        found_some += usize::from(!found.is_empty());
    }
    assert!((100..500).contains(&found_some), "{found_some}");
}

#[tokio::test]
async fn a_rare_value_is_looked_for_in_few_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let state = filled(folder.path()).await;
    while index::build_next(&state).await.unwrap() {}
    let mut read = state.read().await.unwrap();
    let mut conditions = Conditions::default();
    conditions.field(Field::Machine, "m17");
    let rows = conditions
        .fetch(&mut read, "SELECT id FROM records", "")
        .await;
    let below = 2 * index::ROW_IDS;
    let there = ids(&rows.unwrap())
        .into_iter()
        .filter(|id| *id < below)
        .count();
    conditions.below(below);
    let hints = conditions.hints().clone();
    let mut candidates = Candidates::new(&mut read, hints, Order::NewestFirst)
        .await
        .unwrap();
    let mut looked_at = 0;
    while let Some(place) = candidates.next(&mut read).await.unwrap() {
        let Place::Runs(runs) = place else {
            panic!("the index has reached these ids");
        };
        looked_at += runs.iter().map(|run| run.end - run.start).sum::<i64>();
    }
    let most = i64::try_from(there).unwrap() * index::BLOCK_IDS * 2;
    assert!(looked_at <= most, "{looked_at} ids for {there} records");
}

/// An older version has an index of its own, and notes there that it imports below the end of ours.
#[tokio::test]
async fn what_an_older_version_imports_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let state = filled(folder.path()).await;
    while index::build_next(&state).await.unwrap() {}
    let mut write = state.write().await.unwrap();
    for sql in [
        "UPDATE records SET machine_id = 'imported' WHERE id = 100",
        "UPDATE record_index_state SET changes = changes + 1 WHERE id = 1",
    ] {
        let done = sqlx::query(sql).execute(&mut write).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{sql}");
    }
    write.commit().await.unwrap();
    let mut conditions = Conditions::default();
    conditions.field(Field::Machine, "imported");
    let mut found = Vec::new();
    for _ in 0..2 {
        let mut read = state.read().await.unwrap();
        let hits = find(&mut read, &conditions, (Order::NewestFirst, 9)).await;
        found.push(hits.unwrap().len());
        drop(read);
        while index::build_next(&state).await.unwrap() {}
    }
    assert_eq!(found, [0, 1]);
}

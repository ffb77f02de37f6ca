//! Batches that are asked about in several goes.

use base::supervise::Supervisor;
use sqlx::Row as _;
use state::{Location, State};
use wire::telemetrics::Record;

use super::*;
use crate::records::entry::{self, Crash};
use crate::records::migrations::MIGRATIONS;

/// More than two questions.
const ENTRIES: usize = 150;
/// Groups, each with machines in every question.
const GROUPS: usize = 3;
/// Machines of a group.
const MACHINES: usize = 40;

/// A crash; the number of the event makes it another one.
fn crash(number: usize, event: usize) -> Entry {
    let record = Record {
        classification: "org.clearlinux/crash/clr".to_owned(),
        machine_id: format!("machine{}", number / GROUPS % MACHINES),
        event_id: event.to_string(),
        payload: "#0 inner()".to_owned(),
        ..entry::plain_record()
    };
    let function = format!("inner{}", number % GROUPS);
    Entry::Record(Box::new(NewRecord {
        project: 1,
        digest: entry::record_digest(1, &record),
        record,
        crash: Some(Crash {
            fingerprint: function.clone(),
            function,
            module: "app".to_owned(),
        }),
    }))
}

async fn keep(state: &State, entries: &[Entry], noted: &mut Noted) -> Vec<Stored> {
    let begun = state.write().await.unwrap();
    write(begun, entries, noted).await.unwrap()
}

/// Records of each group, and machines as they are counted and as they are known.
async fn groups(state: &State) -> Vec<[i64; 3]> {
    let sql = "SELECT records, \
         (SELECT SUM(machines) FROM record_group_population WHERE group_id = g.id), \
         (SELECT COUNT(*) FROM record_group_machines WHERE group_id = g.id) \
         FROM record_groups g ORDER BY id";
    let mut read = state.read().await.unwrap();
    let rows = sqlx::query(sql).fetch_all(&mut read).await.unwrap();
    let numbers = |row: &sqlx::any::AnyRow| [row.get(0), row.get(1), row.get(2)];
    rows.iter().map(numbers).collect()
}

#[tokio::test]
async fn large_batches_are_known_and_counted_as_small_ones_are() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("state.db"));
    let state = State::open(&location, &[MIGRATIONS], &Supervisor::new()).await;
    let (state, mut noted) = (state.unwrap(), Noted::default());
    let mut entries: Vec<Entry> = (0..ENTRIES).map(|number| crash(number, number)).collect();
    // The first comes once more at the end of the same batch.
    entries.push(crash(0, 0));
    let stored = keep(&state, &entries, &mut noted).await;
    let repeated: Vec<usize> = (0..=ENTRIES).filter(|at| stored[*at].is_repeated).collect();
    assert_eq!(repeated, [ENTRIES]);
    assert_eq!(stored[ENTRIES].id, stored[0].id);
    let machines = i64::try_from(MACHINES).unwrap();
    let records = i64::try_from(ENTRIES / GROUPS).unwrap();
    assert_eq!(
        groups(&state).await,
        [[records, machines, machines]; GROUPS]
    );
    // All of it again: each is known, wherever in the batch it stands.
    let again = keep(&state, &entries, &mut noted).await;
    assert!(again.iter().all(|stored| stored.is_repeated));
    let ids = |stored: &[Stored]| stored.iter().map(|stored| stored.id).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&stored));
    assert_eq!(
        groups(&state).await,
        [[records, machines, machines]; GROUPS]
    );
    // Other events of the same machines and groups.
    let more: Vec<Entry> = (0..ENTRIES)
        .map(|number| crash(number, ENTRIES + number))
        .collect();
    let stored = keep(&state, &more, &mut noted).await;
    assert!(stored.iter().all(|stored| !stored.is_repeated));
    assert_eq!(
        groups(&state).await,
        [[2 * records, machines, machines]; GROUPS]
    );
}

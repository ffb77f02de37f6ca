//! One suite for both back ends: what holds on SQLite holds on PostgreSQL.

use base::supervise::Supervisor;
use sqlx::Row;
use state::{Location, Migration, State};

const NOTES: &[Migration] = &[Migration {
    owner: "notes",
    version: 1,
    name: "notes",
    sql: "CREATE TABLE notes (id {SERIAL}, body {BYTES} NOT NULL)",
}];

#[tokio::test]
async fn smoke() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("state.db"));
    let supervisor = Supervisor::new();
    let state = State::open(&location, &[NOTES], &supervisor).await.unwrap();
    let mut watch = state.watch("notes");
    let mut write = state.write().await.unwrap();
    sqlx::query("INSERT INTO notes (body) VALUES ($1)")
        .bind(b"a".as_slice())
        .execute(&mut write)
        .await
        .unwrap();
    write.touch("notes");
    write.commit().await.unwrap();
    watch.changed().await;
    let mut read = state.read().await.unwrap();
    let row = sqlx::query("SELECT id, body FROM notes")
        .fetch_one(&mut *read)
        .await
        .unwrap();
    assert_eq!(row.get::<Vec<u8>, _>(1), b"a");
}

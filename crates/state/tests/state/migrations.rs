//! Migrations: once, all or nothing, by one of several, and never against another history.

use base::error::Class;
use base::supervise::Supervisor;
use state::{Migration, State, StateError};

use crate::site::{NOTES, Site};

crate::on_both! {
    several_openings_migrate_once,
    a_list_grows,
    an_older_program_runs_on_newer_tables,
    a_failing_migration_leaves_nothing,
    another_history_is_refused,
    gaps_are_refused,
}

const fn step(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration {
        owner: "other",
        version,
        name,
        sql,
    }
}

const RECORDED: &str = "SELECT COUNT(*) FROM migrations WHERE applied_at > 1600000000000";

async fn several_openings_migrate_once(site: &Site) {
    let all = [site.open(), site.open(), site.open(), site.open()];
    let all = futures_util::future::join_all(all).await;
    for opened in all {
        assert_eq!(opened.number(RECORDED).await, 3);
        assert_eq!(opened.number("SELECT COUNT(*) FROM counters").await, 2);
        opened.close().await;
    }
}

async fn a_list_grows(site: &Site) {
    let list = [
        step(1, "first", "CREATE TABLE first (id BIGINT)"),
        step(
            2,
            "more",
            "ALTER TABLE first ADD COLUMN more TEXT NOT NULL DEFAULT ''",
        ),
    ];
    for known in 0..=2 {
        let supervisor = Supervisor::new();
        let lists: [&[Migration]; 2] = [NOTES, &list[..known]];
        State::open(&site.location, &lists, &supervisor)
            .await
            .unwrap();
    }
    let opened = site.open().await;
    assert_eq!(opened.number(RECORDED).await, 5);
    assert_eq!(opened.number("SELECT COUNT(more) FROM first").await, 0);
    opened.close().await;
}

async fn an_older_program_runs_on_newer_tables(site: &Site) {
    let newer = site.open().await;
    let supervisor = Supervisor::new();
    let older = State::open(&site.location, &[&NOTES[..1]], &supervisor)
        .await
        .unwrap();
    let mut write = older.write().await.unwrap();
    sqlx::query("INSERT INTO notes (size) VALUES (7)")
        .execute(&mut write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    assert_eq!(newer.number("SELECT size FROM notes").await, 7);
    newer.close().await;
}

async fn a_failing_migration_leaves_nothing(site: &Site) {
    let list = [
        step(1, "good", "CREATE TABLE good (id BIGINT)"),
        step(
            2,
            "bad",
            "CREATE TABLE half (id BIGINT); CREATE TABLE broken (;",
        ),
    ];
    let supervisor = Supervisor::new();
    let error = State::open(&site.location, &[&list], &supervisor)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            StateError::Migrate {
                owner: "other",
                version: 2,
                name: "bad",
                ..
            }
        ),
        "{error:?}"
    );
    let opened = site.open().await;
    assert_eq!(opened.number(RECORDED).await, 3);
    let mut read = opened.state.read().await.unwrap();
    for table in ["SELECT * FROM good", "SELECT * FROM half"] {
        assert!(
            sqlx::query(table).fetch_all(&mut read).await.is_err(),
            "{table}"
        );
    }
    drop(read);
    opened.close().await;
}

async fn another_history_is_refused(site: &Site) {
    let first = [step(1, "mine", "CREATE TABLE mine (id BIGINT)")];
    let second = [step(1, "yours", "CREATE TABLE yours (id BIGINT)")];
    let supervisor = Supervisor::new();
    State::open(&site.location, &[&first], &supervisor)
        .await
        .unwrap();
    let error = State::open(&site.location, &[&second], &supervisor)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Internal);
    assert_eq!(
        error.to_string(),
        "migration 1 of other is \"mine\" in the database and \"yours\" in this program; use the \
         program that made this database, or another database"
    );
}

async fn gaps_are_refused(site: &Site) {
    let list = [step(1, "one", "SELECT 1"), step(3, "three", "SELECT 1")];
    let supervisor = Supervisor::new();
    let error = State::open(&site.location, &[&list], &supervisor)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StateError::MigrationOrder { version: 3, .. }),
        "{error:?}"
    );
}

//! Tests of the tables with many rows.

use base::supervise::Supervisor;
use state::Location;

use super::*;
use crate::artefacts::migrations::MIGRATIONS;

/// Files of a run, `count` from 0 on, with names that a text of SQL makes of `i`.
async fn insert(catalogue: &Catalogue, (from, count): (i64, i64), name: &str) {
    let mut write = catalogue.state.write().await.unwrap();
    let numbers = "WITH RECURSIVE n(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)";
    for rest in [
        format!(
            "INSERT INTO artefact_files (run_id, key, version, bytes, etag, modified) \
             {numbers} SELECT 1, CAST('g/r/' || {name} AS BLOB), i, 1, 'e', 1 FROM n"
        ),
        format!(
            "INSERT INTO artefact_objects (id, version, upload, position, bytes, etag, created_at) \
             {numbers} SELECT 'o' || i, i, '', 1, 1, 'e', 1 FROM n"
        ),
    ] {
        let query = sqlx::query::<Any>(AssertSqlSafe(rest));
        let query = query.bind(from).bind(from + count - 1);
        query.execute(&mut write).await.unwrap();
    }
    write.commit().await.unwrap();
}

#[tokio::test]
async fn parts_are_found_among_many_names() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("state.db"));
    let state = State::open(&location, &[MIGRATIONS], &Supervisor::new()).await;
    let catalogue = Catalogue::new(&state.unwrap());
    // As those of `log.txt`, but with more behind the digits.
    insert(&catalogue, (100_000, 25_000), "'log-' || i || '-old.txt'").await;
    insert(&catalogue, (1, 3), "'log-0' || (i - 1) || '.txt'").await;
    let is_part = |key: &str| !key.ends_with("-old.txt");
    let range: (&[u8], &[u8]) = (b"g/r/log-0", b"g/r/log-:");
    let found = catalogue.current_segments(range, is_part).await.unwrap();
    let keys: Vec<String> = found
        .unwrap()
        .into_iter()
        .map(|part| part.object.key)
        .collect();
    assert_eq!(keys, ["g/r/log-00.txt", "g/r/log-01.txt", "g/r/log-02.txt"]);
    let all = catalogue.current_segments(range, |_| true).await.unwrap();
    assert!(all.is_none(), "more than are read at once");
    let keys = ["g/r/log-00.txt", "g/r/none"].map(str::to_owned);
    assert!(catalogue.has_any(&keys).await.unwrap());
    assert!(!catalogue.has_any(&keys[1..]).await.unwrap());
}

//! The SQL that may be used: types, nulls, and the clauses that both back ends know.

use base::error::Class;
use sqlx::Row;
use state::StateError;

use crate::site::Site;

crate::on_both! {
    values_come_back_as_they_went,
    clauses_that_crates_rely_on,
    errors_have_classes,
    rows_stream,
    settings_are_in_force,
    a_failed_statement_leaves_the_connection_usable,
}

async fn values_come_back_as_they_went(site: &Site) {
    let opened = site.open().await;
    let mut write = opened.state.write().await.unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    let insert = "INSERT INTO notes (name, size, body) VALUES ($1, $2, $3)";
    for size in [i64::MIN, 0, i64::MAX] {
        let query = sqlx::query(insert).bind(format!("naïve {size} 'x' \u{1F4DE}"));
        let query = query.bind(size).bind(bytes.clone());
        query.execute(&mut write).await.unwrap();
    }
    let query = sqlx::query(insert).bind(None::<String>).bind(None::<i64>);
    query
        .bind(None::<Vec<u8>>)
        .execute(&mut write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    let mut read = opened.state.read().await.unwrap();
    let rows = sqlx::query("SELECT id, name, size, body FROM notes ORDER BY id")
        .fetch_all(&mut *read)
        .await
        .unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    for (row, size) in rows.iter().zip([i64::MIN, 0, i64::MAX]) {
        assert_eq!(row.get::<i64, _>("size"), size);
        assert_eq!(
            row.get::<String, _>("name"),
            format!("naïve {size} 'x' \u{1F4DE}")
        );
        assert_eq!(row.get::<Vec<u8>, _>("body"), bytes);
    }
    assert_eq!(rows[3].get::<Option<String>, _>(1), None);
    assert_eq!(rows[3].get::<Option<i64>, _>(2), None);
    assert_eq!(rows[3].get::<Option<Vec<u8>>, _>(3), None);
    drop(read);
    opened.close().await;
}

async fn clauses_that_crates_rely_on(site: &Site) {
    let opened = site.open().await;
    let mut write = opened.state.write().await.unwrap();
    let upsert = "INSERT INTO counters (name, value) VALUES ($1, $2) ON CONFLICT (name) \
         DO UPDATE SET value = counters.value + excluded.value RETURNING value";
    for expected in [5_i64, 10] {
        let query = sqlx::query_scalar(upsert).bind("three").bind(5_i64);
        let value: i64 = query.fetch_one(&mut write).await.unwrap();
        assert_eq!(value, expected);
    }
    let take =
        "UPDATE counters SET value = value - 1 WHERE name = $1 AND value > 0 RETURNING value";
    let query = sqlx::query_scalar::<_, i64>(take).bind("one");
    assert_eq!(query.fetch_optional(&mut write).await.unwrap(), None);
    let sum = "SELECT COUNT(*), CAST(SUM(value) AS BIGINT), EXISTS (SELECT 1 FROM notes) \
         FROM counters WHERE name LIKE $1 || '%' AND ($2 IS NULL OR value > $2)";
    let query = sqlx::query(sum).bind("t").bind(None::<i64>);
    let row = query.fetch_one(&mut write).await.unwrap();
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (2, 10));
    let done = sqlx::query("DELETE FROM counters WHERE value = $1").bind(0_i64);
    assert_eq!(done.execute(&mut write).await.unwrap().rows_affected(), 2);
    write.commit().await.unwrap();
    opened.close().await;
}

async fn errors_have_classes(site: &Site) {
    let opened = site.open().await;
    let insert = "INSERT INTO notes (name) VALUES ('same')";
    let mut write = opened.state.write().await.unwrap();
    sqlx::query(insert).execute(&mut write).await.unwrap();
    let error: StateError = sqlx::query(insert)
        .execute(&mut write)
        .await
        .unwrap_err()
        .into();
    assert!(error.is_unique_violation(), "{error:?}");
    assert_eq!(error.class(), Class::Conflict);
    drop(write);
    let mut read = opened.state.read().await.unwrap();
    let error: StateError = sqlx::query("SELECT name FROM notes")
        .fetch_one(&mut read)
        .await
        .map(drop)
        .unwrap_err()
        .into();
    assert_eq!(
        error.class(),
        Class::NotFound,
        "rolled back with the failure"
    );
    let error: StateError = sqlx::query("SELECT nothing FROM nowhere")
        .fetch_one(&mut read)
        .await
        .map(drop)
        .unwrap_err()
        .into();
    assert_eq!(error.class(), Class::Internal);
    if !site.is_postgres() {
        let wrong = sqlx::query(insert).execute(&mut read).await;
        assert!(wrong.is_err(), "a reader must not write");
    }
    drop(read);
    opened.close().await;
}

async fn rows_stream(site: &Site) {
    use futures_util::TryStreamExt;
    let opened = site.open().await;
    let mut write = opened.state.write().await.unwrap();
    for size in 0..1000_i64 {
        let query = sqlx::query("INSERT INTO notes (size) VALUES ($1)").bind(size);
        query.execute(&mut write).await.unwrap();
    }
    write.commit().await.unwrap();
    let mut read = opened.state.read().await.unwrap();
    let mut rows = sqlx::query("SELECT size FROM notes ORDER BY size").fetch(&mut read);
    let mut sum = 0;
    while let Some(row) = rows.try_next().await.unwrap() {
        sum += row.get::<i64, _>(0);
    }
    assert_eq!(sum, 499_500);
    drop(rows);
    // A stream that is not read to its end takes its connection along, not the pool.
    for _ in 0..20 {
        let mut read = opened.state.read().await.unwrap();
        let mut rows = sqlx::query("SELECT size FROM notes").fetch(&mut read);
        rows.try_next().await.unwrap();
    }
    drop(read);
    opened.close().await;
}

/// What durability, order and limits rest on.
async fn settings_are_in_force(site: &Site) {
    let sqlite = [
        ("PRAGMA synchronous", 2),
        ("PRAGMA foreign_keys", 1),
        ("PRAGMA busy_timeout", 5000),
        ("PRAGMA trusted_schema", 0),
    ];
    let postgres = [
        (
            "SELECT setting::bigint FROM pg_settings WHERE name = 'statement_timeout'",
            30_000,
        ),
        (
            "SELECT setting::bigint FROM pg_settings WHERE name = 'lock_timeout'",
            5000,
        ),
        (
            "SELECT setting::bigint FROM pg_settings WHERE name = 'client_connection_check_interval'",
            500,
        ),
        (
            "SELECT COUNT(*) FROM pg_stat_activity WHERE pid = pg_backend_pid() \
             AND application_name = 'landline'",
            1,
        ),
    ];
    let opened = site.open().await;
    for (sql, expected) in if site.is_postgres() { postgres } else { sqlite } {
        let mut write = opened.state.write().await.unwrap();
        let query = sqlx::query_scalar::<_, i64>(sql);
        assert_eq!(
            query.fetch_one(&mut write).await.unwrap(),
            expected,
            "{sql}"
        );
        drop(write);
        assert_eq!(opened.number(sql).await, expected, "{sql}, reading");
    }
    opened.close().await;
}

async fn a_failed_statement_leaves_the_connection_usable(site: &Site) {
    let opened = site.open().await;
    for _ in 0..30 {
        let mut write = opened.state.write().await.unwrap();
        let failed = sqlx::query("SELECT broken").execute(&mut write).await;
        assert!(failed.is_err());
    }
    let mut write = opened.state.write().await.unwrap();
    let insert = sqlx::query("INSERT INTO notes (size) VALUES (1)");
    insert.execute(&mut write).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(opened.number("SELECT COUNT(*) FROM notes").await, 1);
    opened.close().await;
}

//! Transactions: all or nothing, whatever happens to the one who writes.

use std::time::Duration;

use tokio::time::timeout;

use crate::child::Child;
use crate::site::{Opened, SOON, Site};

crate::on_both! {
    a_commit_is_seen_and_a_drop_is_not,
    a_cancelled_writer_rolls_back_and_frees_its_place,
    writers_of_two_pools_lose_nothing,
    writers_of_two_processes_lose_nothing,
    a_killed_process_leaves_all_or_nothing,
    a_nested_transaction_is_part_of_ours,
}

const BOTH: &str = "SELECT CAST(SUM(value) AS BIGINT) FROM counters";

/// Reads, then writes: loses updates unless the lock of a name keeps others out in between.
pub(crate) async fn add_one(opened: &Opened) {
    let mut write = opened.state.write().await.unwrap();
    write.lock("counters").await.unwrap();
    let value: i64 = sqlx::query_scalar("SELECT value FROM counters WHERE name = 'one'")
        .fetch_one(&mut write)
        .await
        .unwrap();
    sqlx::query("UPDATE counters SET value = $1 WHERE name = 'one'")
        .bind(value + 1)
        .execute(&mut write)
        .await
        .unwrap();
    sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'two'")
        .execute(&mut write)
        .await
        .unwrap();
    write.commit().await.unwrap();
}

async fn a_commit_is_seen_and_a_drop_is_not(site: &Site) {
    let opened = site.open().await;
    let other = site.open().await;
    add_one(&opened).await;
    assert_eq!(other.number(BOTH).await, 2);
    for _ in 0..20 {
        let mut write = opened.state.write().await.unwrap();
        sqlx::query("UPDATE counters SET value = 1000")
            .execute(&mut write)
            .await
            .unwrap();
        assert_eq!(other.number(BOTH).await, 2, "not committed yet");
        drop(write);
        add_one(&other).await;
        let mut write = other.state.write().await.unwrap();
        sqlx::query("UPDATE counters SET value = 1")
            .execute(&mut write)
            .await
            .unwrap();
        write.commit().await.unwrap();
    }
    assert_eq!(opened.number(BOTH).await, 2);
    opened.close().await;
    other.close().await;
}

async fn a_cancelled_writer_rolls_back_and_frees_its_place(site: &Site) {
    let opened = site.open().await;
    // Counts to a number that takes far longer than anyone waits.
    let slow = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000) \
         SELECT COUNT(*) FROM n";
    for round in 0..3 {
        let mut write = opened.state.write().await.unwrap();
        sqlx::query("UPDATE counters SET value = 1000")
            .execute(&mut write)
            .await
            .unwrap();
        let query = sqlx::query(slow).execute(&mut write);
        let cancelled = timeout(Duration::from_millis(5), query).await;
        assert!(cancelled.is_err(), "round {round}: {cancelled:?}");
        drop(write);
        timeout(SOON, add_one(&opened)).await.unwrap();
    }
    assert_eq!(opened.number(BOTH).await, 6);
    opened.close().await;
}

async fn writers_of_two_pools_lose_nothing(site: &Site) {
    let opened = [site.open().await, site.open().await];
    let writers = (0..16).map(|index| {
        let opened = &opened[index % 2];
        async move {
            for _ in 0..20 {
                add_one(opened).await;
            }
        }
    });
    futures_util::future::join_all(writers).await;
    assert_eq!(opened[0].number(BOTH).await, 640);
    for opened in opened {
        opened.close().await;
    }
}

async fn writers_of_two_processes_lose_nothing(site: &Site) {
    let opened = site.open().await;
    let mut children = [Child::start(site, "add 100"), Child::start(site, "add 100")];
    for _ in 0..100 {
        add_one(&opened).await;
    }
    for child in &mut children {
        assert!(child.wait().success());
    }
    assert_eq!(opened.number(BOTH).await, 600);
    opened.close().await;
}

/// Kills a process that writes in the middle of its work, ten times. What it said to be committed
/// is there, and no transaction is there in part.
async fn a_killed_process_leaves_all_or_nothing(site: &Site) {
    let opened = site.open().await;
    let mut least = 0;
    for round in 0..10_u64 {
        let mut child = Child::start(site, "add 1000000");
        let acknowledged = child.kill_after_lines(3 + 7 * round);
        least += i64::try_from(acknowledged).unwrap();
        let one = opened
            .number("SELECT value FROM counters WHERE name = 'one'")
            .await;
        let two = opened
            .number("SELECT value FROM counters WHERE name = 'two'")
            .await;
        assert_eq!(one, two, "round {round}: half a transaction");
        assert!(one >= least, "round {round}: {one} of {least} are there");
        least = one;
    }
    timeout(SOON, add_one(&opened)).await.unwrap();
    opened.close().await;
}

async fn a_nested_transaction_is_part_of_ours(site: &Site) {
    use sqlx::Connection;
    let opened = site.open().await;
    let mut write = opened.state.write().await.unwrap();
    for keep in [true, false] {
        let mut inner = write.begin().await.unwrap();
        sqlx::query("UPDATE counters SET value = value + 1")
            .execute(&mut *inner)
            .await
            .unwrap();
        if keep {
            inner.commit().await.unwrap();
        } else {
            inner.rollback().await.unwrap();
        }
    }
    write.commit().await.unwrap();
    assert_eq!(opened.number(BOTH).await, 2);
    let mut write = opened.state.write().await.unwrap();
    let mut inner = write.begin().await.unwrap();
    sqlx::query("UPDATE counters SET value = 1000")
        .execute(&mut *inner)
        .await
        .unwrap();
    inner.commit().await.unwrap();
    drop(write);
    assert_eq!(opened.number(BOTH).await, 2);
    opened.close().await;
}

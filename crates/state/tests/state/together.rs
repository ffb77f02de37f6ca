//! Several statements in one go.

use std::time::Duration;

use sqlx::Row as _;
use state::{Statement, Value};
use tokio::time::timeout;

use crate::site::{SOON, Site};

crate::on_both! {
    each_question_has_its_rows,
    changes_come_together,
    what_is_told_with_the_changes_is_told_once,
}

const COUNT: &str = "INSERT INTO counters (name, value) VALUES (";
const ADD: &str = ") ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value";

fn add(name: &str, value: i64) -> Statement<'_> {
    let values = [Value::Text(name), Value::Number(value)];
    Statement::new(COUNT).list(values).sql(ADD)
}

fn value_of(name: &str) -> Statement<'_> {
    let statement = Statement::new("SELECT value FROM counters WHERE name = ");
    statement.value(Value::Text(name))
}

async fn each_question_has_its_rows(site: &Site) {
    let opened = site.open().await;
    let mut write = opened.state.write().await.unwrap();
    let changes = vec![add("one", 1), add("two", 2), add("three", 3)];
    write.change(changes).await.unwrap();
    let doubled = Statement::new("UPDATE counters SET value = value * ")
        .value(Value::Number(2))
        .sql(" WHERE name <> ")
        .value(Value::Text("one"))
        .sql(" RETURNING value");
    let asked = [value_of("one"), value_of("nobody"), doubled];
    let answers = write.ask(asked).await.unwrap();
    let mut answers = answers.map(|rows| {
        let values = rows.iter().map(|row| row.get::<i64, _>(0));
        values.collect::<Vec<_>>()
    });
    answers[2].sort_unstable();
    assert_eq!(answers, [vec![1], vec![], vec![4, 6]]);
    drop(write);
    opened.close().await;
}

async fn changes_come_together(site: &Site) {
    let opened = site.open().await;
    let mut write = opened.state.write().await.unwrap();
    write.change(vec![add("seen", 5)]).await.unwrap();
    // A change reads what was there before all of them, or after those in front of it.
    let body = [0_u8, 255];
    let note = Statement::new("INSERT INTO notes (name, size, body) SELECT ")
        .value(Value::Text("a mark: ?"))
        .sql(", value, ")
        .value(Value::Bytes(&body))
        .sql(" FROM counters WHERE name = 'seen'");
    write.change(vec![note, add("seen", 2)]).await.unwrap();
    write.change(Vec::new()).await.unwrap();
    let failing = vec![
        add("seen", 1),
        Statement::new("UPDATE nothing SET name = 1"),
    ];
    write.commit().await.unwrap();
    let mut write = opened.state.write().await.unwrap();
    write.change(failing).await.unwrap_err();
    drop(write);
    let mut read = opened.state.read().await.unwrap();
    let row = sqlx::query("SELECT name, size, body FROM notes")
        .fetch_one(&mut read)
        .await
        .unwrap();
    assert_eq!(row.get::<String, _>(0), "a mark: ?");
    assert_eq!(row.get::<i64, _>(1), 5);
    assert_eq!(row.get::<Vec<u8>, _>(2), body);
    let row = sqlx::query("SELECT value FROM counters WHERE name = 'seen'")
        .fetch_one(&mut read)
        .await
        .unwrap();
    assert_eq!(row.get::<i64, _>(0), 7);
    drop(read);
    opened.close().await;
}

async fn what_is_told_with_the_changes_is_told_once(site: &Site) {
    let opened = [site.open().await, site.open().await];
    let mut watch = opened[1].state.watch("told");
    let quiet = Duration::from_millis(700);
    let settled = async { while timeout(quiet, watch.changed()).await.is_ok() {} };
    timeout(SOON, settled).await.unwrap();
    let mut write = opened[0].state.write().await.unwrap();
    write.touch("told");
    write.touch("also");
    write.change(vec![add("told", 1)]).await.unwrap();
    write.touch("told");
    write.change(vec![add("told", 1)]).await.unwrap();
    // Nothing is told before the commit.
    assert!(timeout(quiet, watch.changed()).await.is_err());
    write.commit().await.unwrap();
    timeout(SOON, watch.changed()).await.unwrap();
    let mut read = opened[0].state.read().await.unwrap();
    if !read.is_postgres() {
        let sql = "SELECT version FROM changes WHERE topic = 'told'";
        let row = sqlx::query(sql).fetch_one(&mut read).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), 1);
    }
    drop(read);
    for opened in opened {
        opened.close().await;
    }
}

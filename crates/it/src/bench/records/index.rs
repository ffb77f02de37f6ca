//! What the index of words and fields costs: it follows behind intake, so it is made again while nothing
//! else is done.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

/// Rows of the index that are made again at most, and the records of each.
const ROWS: i64 = 16;
const RECORDS: i64 = 4_096;
/// How long all of it may take.
const LIMIT: Duration = Duration::from_mins(2);
const REACHED: &str = "SELECT rows_done FROM record_index_state WHERE id = 2";

/// The database of the program.
enum State {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Has the newest rows made again; `cpu` is that of program and database together, in seconds. Null where
/// there is no whole row.
pub(super) async fn measure(file: &Path, url: Option<&str>, cpu: impl Fn() -> f64) -> Value {
    let mut state = match url {
        Some(url) => State::Postgres(PgConnection::connect(url).await.unwrap()),
        None => {
            let options = SqliteConnectOptions::new().filename(file);
            State::Sqlite(options.connect().await.unwrap())
        }
    };
    let mut reached = settled(&mut state).await;
    let rows = ROWS.min(reached);
    if rows == 0 {
        return Value::Null;
    }
    let sql = format!(
        "UPDATE record_index_state SET rows_done = rows_done - {rows} WHERE id = 2 \
         RETURNING rows_done"
    );
    let end = reached;
    let (begun, before) = (Instant::now(), cpu());
    reached = state.ask(&sql).await;
    while reached < end {
        assert!(begun.elapsed() < LIMIT, "row {reached} of {end}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        reached = state.ask(REACHED).await;
    }
    let records = rows * RECORDS;
    let each = (cpu() - before) / records as f64;
    json!({"records": records, "cpu_ms": (each * 1e7).round() / 1e4})
}

/// How many rows there are once it follows no more.
async fn settled(state: &mut State) -> i64 {
    let begun = Instant::now();
    let mut reached = -1;
    loop {
        let now = state.ask(REACHED).await;
        if now == reached {
            return now;
        }
        assert!(begun.elapsed() < LIMIT, "the index grows on");
        reached = now;
        // Longer than it waits between two looks.
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

impl State {
    async fn ask(&mut self, sql: &str) -> i64 {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        let answer = match self {
            Self::Sqlite(connection) => sqlx::query_scalar(sql).fetch_one(connection).await,
            Self::Postgres(connection) => sqlx::query_scalar(sql).fetch_one(connection).await,
        };
        answer.unwrap()
    }
}

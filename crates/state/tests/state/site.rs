//! A new, empty database for one test, and the state opened on it as often as the test likes.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use base::secret::Secret;
use base::supervise::{Exit, Supervisor};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use state::{Location, Migration, State};
use tempfile::TempDir;

/// How long anything may take that should happen.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Tables that the tests share.
pub(crate) const NOTES: &[Migration] = &[
    Migration {
        owner: "notes",
        version: 1,
        name: "notes",
        sql: "CREATE TABLE notes (id {SERIAL}, name TEXT UNIQUE, size BIGINT, body {BYTES}); \
              CREATE INDEX notes_by_size ON notes (size);",
    },
    Migration {
        owner: "notes",
        version: 2,
        name: "counters",
        sql: "CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL); \
              INSERT INTO counters (name, value) VALUES ('one', 0), ('two', 0);",
    },
];

/// One database.
pub(crate) struct Site {
    pub(crate) location: Location,
    /// For PostgreSQL: the server's URL with all rights, and the database.
    admin: Option<(String, String)>,
    _folder: Option<TempDir>,
}

/// An open state and what keeps it.
pub(crate) struct Opened {
    pub(crate) state: State,
    pub(crate) supervisor: Supervisor,
}

impl Site {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            location: Location::Sqlite(folder.path().join("data/a b?c#d%20.db")),
            admin: None,
            _folder: Some(folder),
        }
    }

    /// None, and a skipped test, without a server.
    pub(crate) async fn postgres() -> Option<Self> {
        let Ok(url) = std::env::var("LANDLINE_TEST_POSTGRES_URL") else {
            skip("LANDLINE_TEST_POSTGRES_URL is not set");
            return None;
        };
        let unique = tempfile::Builder::new().rand_bytes(12).tempdir().unwrap();
        let name = unique.path().file_name().unwrap().to_str().unwrap();
        let name = format!("state{}", name.to_lowercase().replace('.', "_"));
        administer(&url, &format!("CREATE DATABASE {name}")).await;
        let (server, _) = url.rsplit_once('/').unwrap();
        Some(Self {
            location: Location::Postgres(Secret::new(format!("{server}/{name}"))),
            admin: Some((url, name)),
            _folder: None,
        })
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.admin.is_some()
    }

    /// The file of SQLite.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.location {
            Location::Sqlite(path) => path.clone(),
            Location::Postgres(_) => panic!("PostgreSQL has no file"),
        }
    }

    /// Opens as a further process would, with pools and service of its own.
    pub(crate) async fn open(&self) -> Opened {
        Opened::at(&self.location).await
    }

    pub(crate) async fn finish(self) {
        if let Some((url, name)) = &self.admin {
            administer(url, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

impl Opened {
    pub(crate) async fn at(location: &Location) -> Self {
        let supervisor = Supervisor::new();
        let state = State::open(location, &[NOTES], &supervisor).await.unwrap();
        supervisor.start();
        Self { state, supervisor }
    }

    pub(crate) async fn close(self) {
        let report = self.supervisor.shutdown(Exit::Fast).await;
        assert!(report.late.is_empty(), "{report:?}");
    }

    /// The first column of the first row, as a number.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let mut read = self.state.read().await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut read).await.unwrap()
    }
}

async fn administer(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection
        .execute(AssertSqlSafe(sql.to_owned()))
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// Reports the running test as skipped, as `cargo xtask test` counts it.
pub(crate) fn skip(reason: &str) {
    let test = std::env::var("NEXTEST_TEST_NAME");
    let test = test.unwrap_or_else(|_| std::thread::current().name().unwrap_or("?").to_owned());
    let line = format!("SKIPPED: {test}: {reason}");
    println!("{line}");
    if let Ok(path) = std::env::var("LANDLINE_TEST_SKIPS") {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

//! Where the state is, and how one connection to it is made and set up.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base::secret::Secret;
use sqlx::any::AnyConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AnyConnection, ConnectOptions, Row};
use tokio::time::{sleep, timeout};

use crate::StateError;

/// How long making a connection may take. Together with [`crate::pool::CHECK_LIMIT`] it is less
/// than a second: a database that is down is an error within that time.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_millis(650);
/// Before the change to writing ahead is asked for again.
const JOURNAL_PAUSE: Duration = Duration::from_millis(5);
/// SQLite's `SQLITE_BUSY`; further bits of a code say more.
const SQLITE_BUSY: i64 = 5;
/// How much of its log SQLite keeps on disk between two peaks, in bytes: what 65,536 pages take. If it were
/// less, the writer would shorten the file each time and make it longer again, and a disk that is told
/// what is free takes its time for that.
const SQLITE_LOG_KEPT_BYTES: u32 = 272 << 20;

/// Every commit is on disk before it is answered. A second process waits for the first one's
/// transaction for `busy_timeout` milliseconds. Double quotes around a misspelt column and
/// functions in a foreign schema are refused. What a statement needs to be undone alone stays in
/// memory, up to 8 MiB of pages are kept (the unit of `cache_size` is -1 KiB). [`crate::checkpoint`]
/// folds the log into the file; the writer does it itself only when that falls behind by 256 MiB. No
/// statement makes an index of its own: it would read a whole table for it.
const SQLITE_SESSION: &str = "PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; \
     PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint = 65536; \
     PRAGMA automatic_index = OFF;";
const SQLITE_READ_ONLY: &str = "PRAGMA query_only = ON";
/// The server ends what the client has forgotten or lost: limits in milliseconds. From version 14
/// on it notices in the middle of a statement that the client is gone, and lets go of its locks. Long
/// values are packed by LZ4 where the server has it, which takes a fraction of its own way's time.
/// Statements have indexes; a plan that was made while a table was empty reads all of it for ever, until
/// the server counts what is in it, or collects and sorts all that an index would have given in order.
/// Without these plans the rest would seem dear enough to be compiled.
const POSTGRES_SESSION: &str = "SET client_min_messages = warning; SET statement_timeout = 30000; \
     SET lock_timeout = 5000; SET idle_in_transaction_session_timeout = 30000; \
     SET default_transaction_isolation = 'read committed'; \
     SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off; \
     SELECT set_config('client_connection_check_interval', '500', false) \
     WHERE current_setting('server_version_num')::int >= 140000; \
     SELECT set_config('default_toast_compression', 'lz4', false) FROM pg_settings \
     WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)";

/// Where the state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A file, made with its folder when it is not there. It has to be on a local disk.
    Sqlite(PathBuf),
    /// A URL `postgres://user:password@host:port/database`, with the parameters of libpq such as
    /// `sslmode=verify-full` and `sslrootcert=path`. It must lead to a server, or to a pooler in
    /// session mode: a pooler in transaction mode loses notifications.
    Postgres(Secret),
}

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    Write,
}

/// All that is needed to make a connection.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) backend: Backend,
    /// What errors call it: the file, or host, port and database.
    pub(crate) place: String,
    options: AnyConnectOptions,
}

impl Target {
    /// Checks the location; for SQLite the file is there afterwards.
    pub(crate) fn new(location: &Location) -> Result<Self, StateError> {
        sqlx::any::install_default_drivers();
        match location {
            Location::Sqlite(path) => Self::sqlite(path),
            Location::Postgres(url) => Self::postgres(url),
        }
    }

    fn sqlite(path: &Path) -> Result<Self, StateError> {
        let failed = |source| StateError::CreateFile {
            path: path.to_owned(),
            source,
        };
        let Some(url) = std::path::absolute(path)
            .map_err(failed)?
            .to_str()
            .map(url_of)
        else {
            return Err(StateError::PathNotText {
                path: path.to_owned(),
            });
        };
        create_private(path).map_err(failed)?;
        Ok(Self {
            backend: Backend::Sqlite,
            place: path.display().to_string(),
            options: AnyConnectOptions::from_str(&url)
                .map_err(|source| StateError::Url { source })?,
        })
    }

    fn postgres(url: &Secret) -> Result<Self, StateError> {
        let wrong = |source| StateError::Url { source };
        let mut options = AnyConnectOptions::from_str(url.expose()).map_err(wrong)?;
        let url = &mut options.database_url;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            let reason = "the scheme is neither postgres nor postgresql";
            return Err(wrong(sqlx::Error::Configuration(reason.into())));
        }
        if !url.query_pairs().any(|(key, _)| key == "application_name") {
            url.query_pairs_mut()
                .append_pair("application_name", "landline");
        }
        let parsed = PgConnectOptions::from_url(url).map_err(wrong)?;
        let database = parsed.get_database().unwrap_or(parsed.get_username());
        let place = format!("{}:{}/{database}", parsed.get_host(), parsed.get_port());
        Ok(Self {
            backend: Backend::Postgres,
            place,
            options,
        })
    }

    /// The options of the driver for PostgreSQL itself, for what the common one can't do.
    pub(crate) fn postgres_options(&self) -> Result<PgConnectOptions, StateError> {
        let options = PgConnectOptions::from_url(&self.options.database_url);
        options.map_err(|source| StateError::Url { source })
    }

    /// A connection that is set up for its purpose, within [`CONNECT_LIMIT`].
    pub(crate) async fn connect(&self, purpose: Purpose) -> Result<AnyConnection, StateError> {
        match timeout(CONNECT_LIMIT, self.connect_unbounded(purpose)).await {
            Ok(result) => result,
            Err(_) => Err(StateError::NoAnswer {
                place: self.place.clone(),
                limit: CONNECT_LIMIT,
            }),
        }
    }

    async fn connect_unbounded(&self, purpose: Purpose) -> Result<AnyConnection, StateError> {
        let failed = |source| StateError::Connect {
            place: self.place.clone(),
            source: Arc::new(source),
        };
        let mut connection = self.options.connect().await.map_err(failed)?;
        let setup = match self.backend {
            Backend::Sqlite => SQLITE_SESSION,
            Backend::Postgres => POSTGRES_SESSION,
        };
        run(&mut connection, setup).await.map_err(failed)?;
        if self.backend == Backend::Sqlite {
            match purpose {
                Purpose::Read => run(&mut connection, SQLITE_READ_ONLY)
                    .await
                    .map_err(failed)?,
                Purpose::Write => self.keep_log(&mut connection).await?,
            }
        }
        Ok(connection)
    }

    /// Has SQLite write ahead; the mode stays in the file. While another process changes the mode of a
    /// new file, SQLite says at once that it is locked, without waiting for `busy_timeout`: two that
    /// both want to would wait for each other. So it is asked again, within [`CONNECT_LIMIT`].
    async fn keep_log(&self, connection: &mut AnyConnection) -> Result<(), StateError> {
        let failed = |source| StateError::Connect {
            place: self.place.clone(),
            source: Arc::new(source),
        };
        let limit = format!("PRAGMA journal_size_limit = {SQLITE_LOG_KEPT_BYTES}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(limit))
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        let mode = loop {
            let answer = sqlx::query("PRAGMA journal_mode = WAL")
                .fetch_one(&mut *connection)
                .await
                .and_then(|row| row.try_get::<String, _>(0));
            match answer {
                Err(error) if is_busy(&error) => sleep(JOURNAL_PAUSE).await,
                answer => break answer.map_err(failed)?,
            }
        };
        if mode == "wal" {
            return Ok(());
        }
        Err(StateError::Journal {
            place: self.place.clone(),
            mode,
        })
    }
}

/// Whether SQLite says that another connection is in the way.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    let code: Option<i64> = code.and_then(|code| code.parse().ok());
    code.is_some_and(|code| code & 0xff == SQLITE_BUSY)
}

async fn run(connection: &mut AnyConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

/// The URL of a file. The driver's own way to it leaves out `%`, `?` and `#`.
fn url_of(path: &str) -> String {
    let hex = |digit: u8| char::from(b"0123456789ABCDEF"[usize::from(digit)]);
    let mut url = "sqlite://".to_owned();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    url
}

/// Makes folder and file for this user only. SQLite gives its log the rights of the file.
fn create_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map(drop)
}

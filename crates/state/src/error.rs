//! What can go wrong with the state, who is to blame, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::error::Class;
use sqlx::error::ErrorKind;

/// SQLite's primary result codes that pass by themselves or with more disk: perm, busy, locked,
/// read-only, I/O, full, cannot open (sqlite.org/rescode.html).
const SQLITE_UNAVAILABLE: [i64; 7] = [3, 5, 6, 8, 10, 13, 14];
/// The primary result code is the low byte of an extended one.
const SQLITE_PRIMARY_MASK: i64 = 0xff;
/// The primary result code of a disk that is full.
const SQLITE_FULL: i64 = 13;
/// The same of PostgreSQL.
const POSTGRES_FULL: &str = "53100";
/// PostgreSQL's code of a statement that was cancelled, here by `statement_timeout`.
const POSTGRES_CANCELLED: &str = "57014";
/// PostgreSQL's classes and codes that pass: connection, resources, operator intervention,
/// read-only standby, serialization failure, deadlock, lock not available
/// (its manual, appendix A).
const POSTGRES_UNAVAILABLE: [&str; 7] = ["08", "53", "57P", "25006", "40001", "40P01", "55P03"];

/// Why something could not be done with the state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder or file of the SQLite database can't be made.
    #[error("create {}; check that its folder exists and this user may write there", path.display())]
    CreateFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A path that SQLite can't be given.
    #[error("{} is not UTF-8; choose another path for the state", path.display())]
    PathNotText {
        /// The file.
        path: PathBuf,
    },
    /// The URL of the database is wrong.
    #[error(
        "the URL of the state is not understood; write postgres://user:password@host:port/database"
    )]
    Url {
        /// Why; never contains the URL.
        source: sqlx::Error,
    },
    /// No connection could be made.
    #[error("connect to the state at {place}; check that it runs and accepts this user")]
    Connect {
        /// The file, or host, port and database.
        place: String,
        /// Why; those who waited for the same attempt share it.
        source: Arc<sqlx::Error>,
    },
    /// The database did not answer.
    #[error("the state at {place} did not answer within {limit:?}; check the host and the network")]
    NoAnswer {
        /// The file, or host, port and database.
        place: String,
        /// How long was waited.
        limit: Duration,
    },
    /// Every connection was in use for as long as one may wait.
    #[error("all connections to the state were in use for {limit:?}; try again")]
    Busy {
        /// How long was waited.
        limit: Duration,
    },
    /// The state was closed by the exit of the process.
    #[error("the state is closed: the process is about to end")]
    Closed,
    /// SQLite can't keep a write-ahead log in this place.
    #[error(
        "SQLite keeps its journal of {place} as {mode:?} and not as a write-ahead log; move the \
         state to a local disk"
    )]
    Journal {
        /// The file.
        place: String,
        /// The mode that SQLite chose.
        mode: String,
    },
    /// A list of migrations is not in order.
    #[error("the migrations of {owner:?} are not numbered from 1 without gaps, at {version}")]
    MigrationOrder {
        /// Whose list it is.
        owner: String,
        /// The version that is out of order.
        version: i64,
    },
    /// The database was migrated by a program with another history.
    #[error(
        "migration {version} of {owner} is {found:?} in the database and {expected:?} in this \
         program; use the program that made this database, or another database"
    )]
    MigrationDiffers {
        /// Whose list it is.
        owner: &'static str,
        /// The version.
        version: i64,
        /// The name in the database.
        found: String,
        /// The name in this program.
        expected: &'static str,
    },
    /// A migration failed; nothing of it or of its neighbours has happened.
    #[error("migration {version} of {owner} ({name})")]
    Migrate {
        /// Whose list it is.
        owner: &'static str,
        /// The version.
        version: i64,
        /// The name.
        name: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// The migrations took too long, or another process that migrates did.
    #[error("migrating the state took longer than {limit:?}; look for a process that holds it")]
    MigrateLimit {
        /// How long was waited.
        limit: Duration,
    },
    /// The end of a transaction failed. Whether it counts is not known when the connection broke.
    #[error("commit to the state; look whether the change is there before trying again")]
    Commit {
        /// Why.
        source: sqlx::Error,
    },
    /// A statement failed.
    #[error("a statement to the state failed")]
    Statement {
        /// Why.
        #[from]
        source: sqlx::Error,
    },
}

impl StateError {
    /// Who is to blame, and what a client is told.
    pub fn class(&self) -> Class {
        match self {
            Self::CreateFile { .. }
            | Self::PathNotText { .. }
            | Self::Url { .. }
            | Self::Journal { .. }
            | Self::MigrationOrder { .. }
            | Self::MigrationDiffers { .. } => Class::Internal,
            Self::Connect { .. }
            | Self::NoAnswer { .. }
            | Self::Busy { .. }
            | Self::MigrateLimit { .. }
            | Self::Closed => Class::Unavailable,
            Self::Commit { source } | Self::Statement { source } | Self::Migrate { source, .. } => {
                class_of(source)
            }
        }
    }

    /// Whether the database has no room on its disk.
    pub fn is_disk_full(&self) -> bool {
        let (Self::Statement { source } | Self::Commit { source } | Self::Migrate { source, .. }) =
            self
        else {
            return false;
        };
        source.as_database_error().is_some_and(|error| {
            let code = error.code().unwrap_or_default();
            match sqlite_code(error) {
                Some(primary) => primary == SQLITE_FULL,
                None => code == POSTGRES_FULL,
            }
        })
    }

    /// The error once more, for those who waited for the same attempt to connect.
    pub(crate) fn repeat(&self) -> Option<Self> {
        match self {
            Self::Connect { place, source } => Some(Self::Connect {
                place: place.clone(),
                source: source.clone(),
            }),
            Self::NoAnswer { place, limit } => Some(Self::NoAnswer {
                place: place.clone(),
                limit: *limit,
            }),
            _ => None,
        }
    }

    /// Whether a value that has to be unique was there already.
    pub fn is_unique_violation(&self) -> bool {
        match self {
            Self::Statement { source } | Self::Commit { source } => source
                .as_database_error()
                .is_some_and(sqlx::error::DatabaseError::is_unique_violation),
            _ => false,
        }
    }
}

fn class_of(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::RowNotFound => Class::NotFound,
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Class::Timeout,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Class::Unavailable,
        sqlx::Error::Database(error) => class_of_answer(error.as_ref()),
        _ => Class::Internal,
    }
}

fn class_of_answer(error: &dyn sqlx::error::DatabaseError) -> Class {
    if error.is_unique_violation() || error.is_foreign_key_violation() {
        return Class::Conflict;
    }
    if !matches!(error.kind(), ErrorKind::Other) {
        return Class::Internal;
    }
    let code = error.code().unwrap_or_default();
    if let Some(primary) = sqlite_code(error) {
        return if SQLITE_UNAVAILABLE.contains(&primary) {
            Class::Unavailable
        } else {
            Class::Internal
        };
    }
    if code == POSTGRES_CANCELLED {
        Class::Timeout
    } else if POSTGRES_UNAVAILABLE
        .iter()
        .any(|known| code.starts_with(known))
    {
        Class::Unavailable
    } else {
        Class::Internal
    }
}

/// The primary result code of an error of SQLite.
fn sqlite_code(error: &dyn sqlx::error::DatabaseError) -> Option<i64> {
    error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    let code = error.code().unwrap_or_default();
    Some(code.parse().unwrap_or(0_i64) & SQLITE_PRIMARY_MASK)
}

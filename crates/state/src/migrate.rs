//! Migrations: forward only, each once, all that are missing or none. The previous version of the
//! program must still run on the result, so a migration only adds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::clock;
use sqlx::{AssertSqlSafe, Row};

use crate::StateError;
use crate::connect::Backend;
use crate::lease::Lease;

/// How long all migrations together may take, and waiting for another process that migrates.
const MIGRATE_LIMIT: Duration = Duration::from_mins(10);
/// Who holds this lock migrates: the letters "Landline".
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(5503063402452905573)";
/// Migrations may take longer than what clients ask for.
const POSTGRES_PATIENCE: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
     SET LOCAL idle_in_transaction_session_timeout = 0";
const RECORDS: &str = "CREATE TABLE IF NOT EXISTS migrations (owner TEXT NOT NULL, \
     version BIGINT NOT NULL, name TEXT NOT NULL, applied_at BIGINT NOT NULL, \
     PRIMARY KEY (owner, version))";

/// One step of a crate's tables. Steps are never changed once they were released, and only add
/// tables, indexes, or columns that are optional or have a default: while a process is being
/// replaced, and after a step back to the previous version, the older program runs on the newer
/// tables. Steps that a newer program has recorded are therefore left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// The crate whose tables these are; the same in all steps of a list.
    pub owner: &'static str,
    /// 1, 2, 3, … within the list.
    pub version: i64,
    /// What it adds, in a few words; a recorded step of another name is an error.
    pub name: &'static str,
    /// One or more statements.
    ///
    /// # Words
    /// `{BYTES}` stands for the type of bytes, `{SERIAL}` for the definition of a primary key that
    /// counts upwards by itself.
    pub sql: &'static str,
}

/// The tables of this crate.
pub(crate) const OWN: &[Migration] = &[Migration {
    owner: "state",
    version: 1,
    name: "changes",
    sql: "CREATE TABLE changes (topic TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL)",
}];

/// Applies what is missing, in one transaction. Of several processes that start at once, one does
/// it and the others wait for it.
pub(crate) async fn apply(lease: &mut Lease, lists: &[&[Migration]]) -> Result<(), StateError> {
    for list in lists {
        check_order(list)?;
    }
    match tokio::time::timeout(MIGRATE_LIMIT, apply_unbounded(lease, lists)).await {
        Ok(result) => result,
        Err(_) => Err(StateError::MigrateLimit {
            limit: MIGRATE_LIMIT,
        }),
    }
}

fn check_order(list: &[Migration]) -> Result<(), StateError> {
    let owner = list.first().map_or("", |first| first.owner);
    for (index, step) in (1..).zip(list) {
        if step.version != index || step.owner != owner {
            return Err(StateError::MigrationOrder {
                owner: step.owner.to_owned(),
                version: step.version,
            });
        }
    }
    Ok(())
}

async fn apply_unbounded(lease: &mut Lease, lists: &[&[Migration]]) -> Result<(), StateError> {
    lease.begin().await?;
    // Statements go to the connection itself from here on: the limit is that of the whole.
    if lease.backend() == Backend::Postgres {
        let connection = lease.connection_mut();
        sqlx::raw_sql(POSTGRES_PATIENCE).execute(connection).await?;
        let connection = lease.connection_mut();
        sqlx::raw_sql(POSTGRES_LOCK).execute(connection).await?;
    }
    sqlx::raw_sql(RECORDS)
        .execute(lease.connection_mut())
        .await?;
    for step in lists.iter().copied().flatten() {
        if !is_recorded(lease, step).await? {
            apply_one(lease, step).await?;
        }
    }
    lease
        .commit()
        .await
        .map_err(|source| StateError::Commit { source })
}

async fn is_recorded(lease: &mut Lease, step: &Migration) -> Result<bool, StateError> {
    let row = sqlx::query("SELECT name FROM migrations WHERE owner = $1 AND version = $2")
        .bind(step.owner)
        .bind(step.version)
        .fetch_optional(lease.connection_mut())
        .await?;
    let Some(row) = row else {
        return Ok(false);
    };
    let found: String = row.try_get(0)?;
    if found == step.name {
        return Ok(true);
    }
    Err(StateError::MigrationDiffers {
        owner: step.owner,
        version: step.version,
        found,
        expected: step.name,
    })
}

async fn apply_one(lease: &mut Lease, step: &Migration) -> Result<(), StateError> {
    let failed = |source| StateError::Migrate {
        owner: step.owner,
        version: step.version,
        name: step.name,
        source,
    };
    let sql = AssertSqlSafe(fill(step.sql, lease.backend()));
    let done = sqlx::raw_sql(sql).execute(lease.connection_mut()).await;
    done.map_err(failed)?;
    sqlx::query(
        "INSERT INTO migrations (owner, version, name, applied_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(step.owner)
    .bind(step.version)
    .bind(step.name)
    .bind(unix_milliseconds(clock::wall()))
    .execute(lease.connection_mut())
    .await
    .map_err(failed)?;
    tracing::info!(
        owner = step.owner,
        version = step.version,
        name = step.name,
        "migrated"
    );
    Ok(())
}

/// Puts the words of one database in the places of [`Migration::sql`].
fn fill(sql: &str, backend: Backend) -> String {
    let (bytes, serial) = match backend {
        Backend::Sqlite => ("BLOB", "INTEGER PRIMARY KEY AUTOINCREMENT"),
        Backend::Postgres => (
            "BYTEA",
            "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        ),
    };
    sql.replace("{BYTES}", bytes).replace("{SERIAL}", serial)
}

/// A time as the tables keep it. Before 1970 there was no Landline.
pub(crate) fn unix_milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

//! Folds SQLite's log into its file beside the writer. Left to itself the writer does it, and whoever
//! waits for that commit waits for thousands of pages.

use std::time::Duration;

use base::supervise::{Criticality, Phase, Service, Supervisor};
use sqlx::{AnyConnection, Connection as _, Row};

use crate::StateError;
use crate::connect::{Backend, Purpose};
use crate::pool::Pool;

/// How often it is looked whether there is enough to fold.
const INTERVAL: Duration = Duration::from_millis(100);
/// The same while nothing is committed.
const QUIET_INTERVAL: Duration = Duration::from_secs(1);
/// Commits that are worth it. Pages that all of them changed are written once.
const COMMITS: u64 = 64;
/// Pages of the log after which it begins anew, for which the writer has to wait until the disk has all that
/// was folded: some 25 ms, so it is not often. It is three quarters of what the writer folds by itself.
const PAGES: i64 = 49_152;
/// How much longer it has to be when that failed.
const PAGES_MORE: i64 = 2_048;
/// Before a connection is made again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Registers the service, where there is something to fold.
pub(crate) fn register(writers: &Pool, supervisor: &Supervisor) {
    if writers.target().backend != Backend::Sqlite {
        return;
    }
    let writers = writers.clone();
    let service = Service::new("state-checkpoint", Criticality::Plain, |scope| async move {
        loop {
            // Nothing is lost by an error: the writer folds a log that has become long.
            let failed =
                |error| tracing::warn!(%error, "the state's log is not folded into its file");
            match connect(&writers).await {
                Err(error) => failed(error),
                Ok(mut connection) => {
                    let ended = tokio::select! {
                        () = scope.stopping() => None,
                        ended = run(&mut connection, &writers) => Some(ended),
                    };
                    // The last one that closes removes the log, and that is whoever is late.
                    let closed = connection.close().await;
                    match ended {
                        None => return Ok(()),
                        Some(ended) => ended
                            .and(closed.map_err(StateError::from))
                            .unwrap_or_else(failed),
                    }
                }
            }
            tokio::select! {
                () = scope.stopping() => return Ok(()),
                () = tokio::time::sleep(TRY_AGAIN) => {}
            }
        }
    });
    supervisor.register(service.stops_at(Phase::Flush));
}

async fn connect(writers: &Pool) -> Result<AnyConnection, StateError> {
    let mut connection = writers.target().connect(Purpose::Write).await?;
    // Whoever reads or writes comes first; there is a next time.
    sqlx::query("PRAGMA busy_timeout = 0")
        .execute(&mut connection)
        .await?;
    Ok(connection)
}

/// Folds until something fails.
async fn run(connection: &mut AnyConnection, writers: &Pool) -> Result<(), StateError> {
    let mut folded = writers.commits();
    let mut seen = folded;
    let mut enough = PAGES;
    loop {
        let commits = writers.commits();
        let is_quiet = commits == std::mem::replace(&mut seen, commits);
        tokio::time::sleep(if is_quiet { QUIET_INTERVAL } else { INTERVAL }).await;
        let commits = writers.commits();
        if commits - folded < COMMITS {
            continue;
        }
        folded = commits;
        let pages = fold(connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
        if pages < PAGES {
            enough = PAGES;
        }
        if pages < enough {
            continue;
        }
        // Somebody who reads may keep it from beginning anew.
        enough = pages + PAGES_MORE;
        // What was written meanwhile, without making the writer wait, and then the rest. A writer that is
        // busy has the lock nearly always: without its turn the log would go on growing.
        fold(connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
        let Ok(_turn) = writers.permit().await else {
            continue;
        };
        fold(connection, "PRAGMA wal_checkpoint(RESTART)").await?;
    }
}

/// Gives how many pages the log has.
async fn fold(connection: &mut AnyConnection, how: &'static str) -> Result<i64, StateError> {
    let row = sqlx::query(how).fetch_one(connection).await?;
    Ok(row.try_get(1)?)
}

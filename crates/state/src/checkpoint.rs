//! Folds SQLite's log into its file beside the writer. Left to itself the writer does it, and whoever
//! waits for that commit waits for thousands of pages.

use std::time::Duration;

use base::supervise::{Criticality, Phase, Service, Supervisor};
use sqlx::{AnyConnection, Row};

use crate::StateError;
use crate::connect::{Backend, Purpose};
use crate::pool::Pool;

/// How often it is looked whether there is enough to fold.
const INTERVAL: Duration = Duration::from_millis(100);
/// Commits that are worth it. Pages that all of them changed are written once.
const COMMITS: u64 = 64;
/// Pages of the log after which it begins anew, for which the writer has to wait a moment: only what
/// came since the fold before is left to do then.
const PAGES: i64 = 16_384;
/// Before a connection is made again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Registers the service, where there is something to fold.
pub(crate) fn register(writers: &Pool, supervisor: &Supervisor) {
    if writers.target().backend != Backend::Sqlite {
        return;
    }
    let writers = writers.clone();
    let service = Service::new("state-checkpoint", Criticality::Plain, |scope| async move {
        let work = async {
            loop {
                if let Err(error) = run(&writers).await {
                    // Nothing is lost by it: the writer folds a log that has become long.
                    tracing::warn!(%error, "the state's log is not folded into its file");
                }
                tokio::time::sleep(TRY_AGAIN).await;
            }
        };
        tokio::select! {
            () = scope.stopping() => {}
            () = work => {}
        }
        Ok(())
    });
    supervisor.register(service.stops_at(Phase::Flush));
}

async fn run(writers: &Pool) -> Result<(), StateError> {
    let mut connection = writers.target().connect(Purpose::Write).await?;
    // Whoever reads or writes comes first; there is a next time.
    sqlx::query("PRAGMA busy_timeout = 0")
        .execute(&mut connection)
        .await?;
    let mut folded = writers.commits();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let commits = writers.commits();
        if commits - folded < COMMITS {
            continue;
        }
        folded = commits;
        let pages = fold(&mut connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
        if pages >= PAGES {
            // What was written meanwhile, without making the writer wait, and then the rest.
            fold(&mut connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
            fold(&mut connection, "PRAGMA wal_checkpoint(RESTART)").await?;
        }
    }
}

/// Gives how many pages the log has.
async fn fold(connection: &mut AnyConnection, how: &'static str) -> Result<i64, StateError> {
    let row = sqlx::query(how).fetch_one(connection).await?;
    Ok(row.try_get(1)?)
}

//! SQLite tells nobody about another process's commit, so the table of changes is read again and
//! again while someone watches.

use std::time::Duration;

use tokio::time::sleep;

use super::{Hub, versions};
use crate::StateError;
use crate::pool::Pool;

/// How often the table is read: how late a watcher hears of another process.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

pub(super) async fn run(pool: &Pool, hub: &Hub) {
    let mut is_failing = false;
    loop {
        hub.watched().await;
        sleep(POLL_INTERVAL).await;
        match look(pool, hub).await {
            Ok(()) => is_failing = false,
            Err(error) if is_failing => tracing::debug!(%error, "cannot look for changes yet"),
            Err(error) => {
                is_failing = true;
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "cannot look for changes in the state; trying on");
            }
        }
    }
}

async fn look(pool: &Pool, hub: &Hub) -> Result<(), StateError> {
    let mut lease = pool.acquire().await?;
    hub.compare(versions(&mut lease).await?);
    Ok(())
}

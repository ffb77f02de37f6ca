//! PostgreSQL's notifications, on a connection of their own. Whenever that connection is new,
//! everything counts as changed, because nobody knows what was missed.

use std::time::Duration;

use base::retry::Backoff;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{sleep, timeout};

use super::{CHANNEL, Hub};
use crate::connect::{CONNECT_LIMIT, Target};

/// A connection that has been silent for so long is asked whether it still works.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// How long its answer may take.
const CHECK_LIMIT: Duration = Duration::from_secs(1);
/// Between two attempts to connect.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(250),
    ceiling: Duration::from_secs(5),
};

pub(super) async fn run(target: &Target, hub: &Hub) {
    hub.watched().await;
    let mut failures = 0_u32;
    loop {
        let error = match connect(target).await {
            Ok(listener) => {
                if failures > 0 {
                    tracing::info!(place = target.place, "the state notifies again");
                }
                failures = 0;
                hub.wake_all();
                follow(listener, hub).await
            }
            Err(error) => error,
        };
        failures = failures.saturating_add(1);
        if failures == 1 {
            tracing::warn!(
                place = target.place,
                error,
                "the state does not notify; trying on"
            );
        }
        sleep(BACKOFF.delay(failures, fastrand::f64())).await;
    }
}

/// A listener on a pool of its own: one that broke may never give its connection back.
async fn connect(target: &Target) -> Result<PgListener, String> {
    let options = target
        .postgres_options()
        .map_err(|error| error.to_string())?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_LIMIT)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy_with(options);
    let work = async {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok::<_, sqlx::Error>(listener)
    };
    match timeout(CONNECT_LIMIT + CHECK_LIMIT, work).await {
        Ok(Ok(listener)) => Ok(listener),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

/// Passes notifications on until the connection is lost, and says why.
async fn follow(mut listener: PgListener, hub: &Hub) -> String {
    loop {
        // Receiving can be dropped: a message is taken whole or not at all.
        match timeout(CHECK_INTERVAL, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => hub.wake(notification.payload()),
            Ok(Ok(None)) => return "the connection was closed".to_owned(),
            Ok(Err(error)) => return error.to_string(),
            Err(_) => {
                let check = sqlx::query("SELECT 1").execute(&mut listener);
                match timeout(CHECK_LIMIT, check).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return error.to_string(),
                    Err(_) => return "the connection is silent".to_owned(),
                }
            }
        }
    }
}

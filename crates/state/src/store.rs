//! The state as the rest of the program holds it.

use std::sync::Arc;

use base::supervise::{Phase, Supervisor};

use crate::connect::{Backend, Purpose, Target};
use crate::lease::Lease;
use crate::pool::Pool;
use crate::watch::Hub;
use crate::{Location, Migration, Read, StateError, Watch, Write, checkpoint, migrate, watch};

/// Connections for reading from SQLite: about as many as can use a disk at once.
const SQLITE_READERS_MAX: usize = 4;
/// SQLite has one writer.
const SQLITE_WRITERS_MAX: usize = 1;
/// Connections for reading from PostgreSQL. Five processes with these, their writers and a
/// listener each fit into the 100 connections that a server has by default.
const POSTGRES_READERS_MAX: usize = 8;
/// Connections for writing to PostgreSQL.
const POSTGRES_WRITERS_MAX: usize = 8;
/// How often opening asks a state that does not answer in time before it gives up.
const OPEN_TRIES: u32 = 10;

/// The open state; clones share it.
#[derive(Debug, Clone)]
pub struct State {
    readers: Pool,
    writers: Pool,
    hub: Arc<Hub>,
}

impl State {
    /// Opens, makes what is not there, and migrates; the lists are applied in their order.
    ///
    /// Registers a service that wakes watchers about other processes' changes, which runs once the
    /// supervisor is started, and closes everything in the exit's last phase.
    ///
    /// Fails, within a second when the database is not to be reached, with a text that says what
    /// to do.
    pub async fn open(
        location: &Location,
        migrations: &[&[Migration]],
        supervisor: &Supervisor,
    ) -> Result<Self, StateError> {
        let target = Target::new(location)?;
        let (readers_max, writers_max) = match target.backend {
            Backend::Sqlite => (SQLITE_READERS_MAX, SQLITE_WRITERS_MAX),
            Backend::Postgres => (POSTGRES_READERS_MAX, POSTGRES_WRITERS_MAX),
        };
        let writers = Pool::new(target.clone(), Purpose::Write, writers_max, supervisor);
        let readers = Pool::new(target, Purpose::Read, readers_max, supervisor);
        let mut lease = first(&writers).await?;
        let mut lists = vec![migrate::OWN];
        lists.extend_from_slice(migrations);
        migrate::apply(&mut lease, &lists).await?;
        let hub = Arc::new(Hub::new(watch::versions(&mut lease).await?));
        drop(lease);
        let state = Self {
            readers,
            writers,
            hub,
        };
        watch::register(&state.readers, &state.hub, supervisor);
        checkpoint::register(&state.writers, supervisor);
        let (readers, writers) = (state.readers.clone(), state.writers.clone());
        supervisor.on_exit(Phase::Close, "state", move |_| async move {
            readers.close().await;
            // The last connection that closes folds SQLite's log into its file.
            writers.close().await;
        });
        Ok(state)
    }

    /// A connection for reading. Fails within a second when the database is down, and after five
    /// when all connections stay in use.
    pub async fn read(&self) -> Result<Read, StateError> {
        self.readers.acquire().await.map(Read::new)
    }

    /// A transaction. Fails within a second when the database is down, and after five when others
    /// keep writing.
    pub async fn write(&self) -> Result<Write, StateError> {
        let lease = self.writers.begin().await?;
        Ok(Write::new(lease, self.hub.clone()))
    }

    /// Wakes when something that touches `topic` is committed from now on, by this process or
    /// another.
    pub fn watch(&self, topic: &'static str) -> Watch {
        self.hub.watch(topic)
    }
}

/// The first connection. Nobody waits for an answer yet, so a machine that is busy starting everything
/// gets some tries; what says no is not asked again.
async fn first(writers: &Pool) -> Result<Lease, StateError> {
    for _ in 1..OPEN_TRIES {
        match writers.acquire().await {
            Err(error @ StateError::NoAnswer { .. }) => tracing::warn!(%error, "trying again"),
            outcome => return outcome,
        }
    }
    writers.acquire().await
}

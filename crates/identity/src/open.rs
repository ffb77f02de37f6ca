//! Opening: the first start creates the cluster, each start takes up the authorities, and a service
//! keeps what is trusted up to date.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock;
use base::supervise::{BoxError, Criticality, Phase, Restart, Scope, Service};
use state::{State, Write};

use crate::audit::{Caller, Event};
use crate::authorities::{self, Keys, TRUST_TOPIC};
use crate::authority::MACHINE_LIFE;
use crate::error::IdentityError;
use crate::lock_store::{self, LOCKS_TOPIC};
use crate::passwords::Passwords;
use crate::seal::{KeySource, Sealer};
use crate::trust::Trust;
use crate::{Clock, Identity, Inner, names, row};

/// How often what is trusted is read again even when nobody told of a change.
const REFRESH_INTERVAL: Duration = Duration::from_mins(5);
/// How often it is looked whether a rotation that goes on by itself can.
const ADVANCE_INTERVAL: Duration = Duration::from_secs(1);
/// Delays after a failed refresh: what was trusted stays trusted meanwhile.
const RESTART: Restart = Restart::OnFailure {
    first: Duration::from_secs(1),
    ceiling: Duration::from_secs(30),
};

/// What an identity is opened with.
#[derive(Clone)]
pub struct Settings {
    /// The name of the cluster.
    pub cluster: String,
    /// The key that seals private keys. Processes that share a state have to share it.
    pub key: KeySource,
    /// How long certificates of machines live.
    pub machine_life: Duration,
    /// Gives the time.
    pub clock: Clock,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("cluster", &self.cluster)
            .field("machine_life", &self.machine_life)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// With the clock of the machine, and the life that certificates of machines usually have.
    pub fn new(cluster: &str, key: KeySource) -> Self {
        Self {
            cluster: cluster.to_owned(),
            key,
            machine_life: MACHINE_LIFE,
            clock: Arc::new(clock::wall),
        }
    }
}

impl Identity {
    /// Opens the identity of a cluster, and creates it in an empty state.
    pub async fn open(state: State, settings: Settings) -> Result<Self, IdentityError> {
        let Settings {
            cluster,
            key,
            machine_life,
            clock,
        } = settings;
        let cluster = cluster.as_str();
        names::check_name("cluster", cluster)?;
        let is_new = found_cluster(&state).await?.is_none();
        let sealer = Sealer::of(&key, is_new)?;
        if is_new {
            create(&state, &sealer, cluster, crate::milliseconds(clock())).await?;
        }
        let found = found_cluster(&state).await?;
        if found.as_deref() != Some(cluster) {
            return Err(IdentityError::Cluster {
                found: found.unwrap_or_default(),
                expected: cluster.to_owned(),
            });
        }
        let bundle = authorities::bundle(&mut state.read().await?).await?;
        let inner = Inner {
            trust: Trust::new(bundle)?,
            state,
            cluster: cluster.to_owned(),
            sealer,
            passwords: Passwords::default(),
            refusals: Mutex::default(),
            unknown_names: Mutex::default(),
            keys: Mutex::new(Keys::default()),
            assertions: Mutex::default(),
            machine_life,
            clock,
        };
        let identity = Self {
            inner: Arc::new(inner),
        };
        identity.refresh().await?;
        // A wrong sealing key is found at the start, not when the first machine joins.
        identity.authorities().check_keys().await?;
        Ok(identity)
    }

    /// Reads what is trusted, and who is locked, from the state.
    pub async fn refresh(&self) -> Result<(), IdentityError> {
        let mut read = self.state().read().await?;
        let bundle = authorities::bundle(&mut read).await?;
        let locks = lock_store::all(&mut read, self.now()).await?;
        self.inner.trust.replace(bundle)?;
        self.inner.trust.set_locks(locks);
        self.assertions().forget();
        Ok(())
    }

    /// The service that keeps [`Identity::trust`] up to date with what any process changes.
    pub fn service(&self) -> Service {
        let identity = self.clone();
        Service::restarting("identity", Criticality::Plain, RESTART, move |scope| {
            let identity = identity.clone();
            async move { identity.keep_up(&scope).await }
        })
        // What drains is still asked who may go on.
        .stops_at(Phase::Flush)
    }

    async fn keep_up(&self, scope: &Scope) -> Result<(), BoxError> {
        let mut trust = self.state().watch(TRUST_TOPIC);
        let mut locks = self.state().watch(LOCKS_TOPIC);
        loop {
            // Before the first wait too: something may have changed while this did not run.
            self.refresh().await?;
            let is_rotating = self.authorities().advance().await?;
            let wait = if is_rotating {
                ADVANCE_INTERVAL
            } else {
                REFRESH_INTERVAL
            };
            tokio::select! {
                () = trust.changed() => {}
                () = locks.changed() => {}
                () = tokio::time::sleep(wait) => {}
                () = scope.stopping() => return Ok(()),
            }
        }
    }
}

/// The name of the cluster in the state, if there is one.
async fn found_cluster(state: &State) -> Result<Option<String>, IdentityError> {
    let mut read = state.read().await?;
    let found = sqlx::query("SELECT name FROM clusters WHERE id = 1")
        .fetch_optional(&mut read)
        .await?;
    found.map(|found| row::text(&found, "name")).transpose()
}

/// Creates the cluster, unless another process was first.
async fn create(
    state: &State,
    sealer: &Sealer,
    cluster: &str,
    now: i64,
) -> Result<(), IdentityError> {
    let mut write = state.write().await?;
    if !insert_cluster(&mut write, cluster, now).await? {
        return Ok(());
    }
    authorities::create_all(&mut write, sealer, cluster, now).await?;
    let event = Event::success(
        "cluster.created",
        &Caller::system(),
        format!("cluster:{cluster}"),
    );
    crate::audit::append(&mut write, now, &[event]).await?;
    Ok(write.commit().await?)
}

async fn insert_cluster(write: &mut Write, cluster: &str, now: i64) -> Result<bool, IdentityError> {
    let done = sqlx::query(
        "INSERT INTO clusters (id, name, generation, first_user_at, created_at)
         VALUES (1, $1, 1, 0, $2) ON CONFLICT (id) DO NOTHING",
    )
    .bind(cluster)
    .bind(now)
    .execute(&mut *write)
    .await?;
    Ok(done.rows_affected() == 1)
}

//! Who may do what. One `Identity` holds the authorities of a cluster, its join tokens, machines,
//! users, roles, sessions, API tokens, locks and the audit log, all kept in the state. What only
//! needs to recognise others (`trust`, `own_certificate`, `peer`) works without a state, so that a
//! node uses the same code.
//!
//! Every change, and every refusal, is an event of the audit log, written in the transaction of the
//! change.

pub mod api_tokens;
pub mod app_sessions;
pub mod assertions;
pub mod audit;
pub mod authorities;
pub mod authority;
pub mod certificates;
pub mod credential;
mod error;
pub mod invitations;
mod lock_store;
pub mod locks;
pub mod members;
pub mod migrations;
pub mod names;
mod open;
pub mod own_certificate;
mod passwords;
pub mod peer;
pub mod principal;
mod random;
mod role_store;
pub mod roles;
pub mod rotation;
mod row;
pub mod seal;
pub mod sessions;
pub mod sign_in;
pub mod signed;
pub mod ssh_authority;
#[cfg(test)]
mod test_support;
pub mod tokens;
mod totp;
pub mod trust;
pub mod users;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::secret::Secret;
use state::{State, Write};

use crate::audit::{Audit, Budget, Event};
use crate::authorities::{Authorities, Keys};
pub use crate::error::{IdentityError, Refusal};
pub use crate::lock_store::{LOCKS_TOPIC, Locks};
pub use crate::open::Settings;
use crate::passwords::Passwords;
pub use crate::passwords::{PASSWORD_BYTES_MAX, PASSWORD_CHARACTERS_MIN, PasswordError};
pub use crate::random::RandomError;
pub use crate::role_store::Roles;
use crate::seal::Sealer;
use crate::sign_in::UnknownNames;
use crate::trust::Trust;

/// Gives the time; tests and simulations bring their own.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The identity of one cluster; clones share it.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    state: State,
    cluster: String,
    sealer: Sealer,
    trust: Trust,
    passwords: Passwords,
    refusals: Mutex<Budget>,
    unknown_names: Mutex<UnknownNames>,
    keys: Mutex<Keys>,
    assertions: Mutex<Option<Arc<assertions::Signer>>>,
    machine_life: Duration,
    clock: Clock,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("cluster", &self.inner.cluster)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The name of the cluster.
    pub fn cluster(&self) -> &str {
        &self.inner.cluster
    }

    /// What is trusted now, as verifiers. It follows changes while [`Identity::service`] runs.
    pub fn trust(&self) -> Trust {
        self.inner.trust.clone()
    }

    /// Join tokens.
    pub fn tokens(&self) -> tokens::Tokens<'_> {
        tokens::Tokens { identity: self }
    }

    /// The machines of the cluster: who joined, renewing, removing.
    pub fn members(&self) -> members::Members<'_> {
        members::Members { identity: self }
    }

    /// The authorities and their rotation.
    pub fn authorities(&self) -> Authorities<'_> {
        Authorities { identity: self }
    }

    /// Certificates of people.
    pub fn certificates(&self) -> certificates::Certificates<'_> {
        certificates::Certificates { identity: self }
    }

    /// Users, their passwords and second factors.
    pub fn users(&self) -> users::Users<'_> {
        users::Users { identity: self }
    }

    /// One-time links with which a person sets a password.
    pub fn invitations(&self) -> invitations::Invitations<'_> {
        invitations::Invitations { identity: self }
    }

    /// Signing in, and the sessions that come of it.
    pub fn sessions(&self) -> sessions::Sessions<'_> {
        sessions::Sessions { identity: self }
    }

    /// What carries sessions over to hosts of applications.
    pub fn app_sessions(&self) -> app_sessions::AppSessions<'_> {
        app_sessions::AppSessions { identity: self }
    }

    /// Tokens of scripts.
    pub fn api_tokens(&self) -> api_tokens::ApiTokens<'_> {
        api_tokens::ApiTokens { identity: self }
    }

    /// What apps are told of who uses them.
    pub fn assertions(&self) -> assertions::Assertions<'_> {
        assertions::Assertions { identity: self }
    }

    /// Roles.
    pub fn roles(&self) -> Roles<'_> {
        Roles { identity: self }
    }

    /// Locks.
    pub fn locks(&self) -> Locks<'_> {
        Locks { identity: self }
    }

    /// The audit log.
    pub fn audit(&self) -> Audit<'_> {
        Audit { identity: self }
    }

    /// A secret for one purpose, made of the sealing key: the same in all processes of the cluster, and
    /// after a restart.
    pub fn derived_secret(&self, purpose: &str) -> Secret {
        self.inner.sealer.derive(purpose)
    }

    pub(crate) fn state(&self) -> &State {
        &self.inner.state
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.inner.sealer
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.inner.passwords
    }

    /// How long certificates of machines live.
    pub(crate) fn machine_life(&self) -> Duration {
        self.inner.machine_life
    }

    /// The time, in Unix milliseconds.
    pub(crate) fn now(&self) -> i64 {
        milliseconds((self.inner.clock)())
    }

    /// Writes the events and commits: the end of every change.
    pub(crate) async fn finish(
        &self,
        mut write: Write,
        events: &[Event],
    ) -> Result<(), IdentityError> {
        audit::append(&mut write, self.now(), events).await?;
        Ok(write.commit().await?)
    }

    /// Records the refusal and gives it back as an error. Whoever calls has dropped its own
    /// transaction: nothing of it may last.
    pub(crate) async fn refuse(&self, event: Event, refusal: Refusal) -> IdentityError {
        let event = event.with("reason", refusal.code());
        if let Err(error) = self.audit().record_refusal(event).await {
            // The refusal holds in any case; that it is not in the log has to be seen.
            tracing::error!(%error, "a refusal could not be recorded in the audit log");
        }
        refusal.into()
    }

    /// Whether one more refusal of that kind is recorded, and how many were not before it.
    pub(crate) fn admit_refusal(&self, kind: &'static str, now: i64) -> Option<u64> {
        self.inner
            .refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(kind, now)
    }
}

/// A time as the tables keep it.
pub(crate) fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The moment `life` after `now`, in Unix milliseconds.
pub(crate) fn after(now: i64, life: std::time::Duration) -> i64 {
    now.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX))
}

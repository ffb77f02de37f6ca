//! Keeping locks. They act at once: on the next request, on the next handshake, and through
//! [`LOCKS_TOPIC`] on what is open.

use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{Any, Executor};
use state::{Read, Write};

use crate::audit::{Caller, Event};
use crate::error::{IdentityError, Refusal};
use crate::locks::{Lock, LockSet, LockTarget};
use crate::{Identity, after, names, random, row};

/// The topic of `State::watch` that is touched when a lock is made or removed.
pub const LOCKS_TOPIC: &str = "identity_locks";
/// Locks of operators at once.
const LOCKS_MAX: i64 = 10_000;
/// Locks that are looked at: those of operators first, then the newest of those who were removed.
const LOADED_MAX: i64 = 100_000;
/// Why those are locked who were removed: what they have open ends by a lock.
const REMOVED: &str = "removed from the cluster";
/// How long such a lock lasts at least: a hub that can't reach the state for a while has to hear of
/// it afterwards.
const REMOVED_LIFE: Duration = Duration::from_mins(10);

const SELECT: &str = "SELECT id, kind, name, reason, expires_at, created_at, created_by FROM locks
     WHERE expires_at = 0 OR expires_at > $1
     ORDER BY CASE WHEN reason = $2 THEN 1 ELSE 0 END, created_at DESC, id LIMIT $3";

/// Those that may be on somebody: locks on roles are few.
const ABOUT: &str = "SELECT id, kind, name, reason, expires_at, created_at, created_by FROM locks
     WHERE ((kind = 'user' AND name = $1) OR (kind = 'node' AND name = $2)
            OR (kind = 'token' AND name = $3) OR kind = 'role')
         AND (expires_at = 0 OR expires_at > $4)";

/// Locks.
#[derive(Debug, Clone, Copy)]
pub struct Locks<'a> {
    pub(crate) identity: &'a Identity,
}

impl Locks<'_> {
    /// Locks somebody, for ever or for a time; returns the identifier of the lock.
    pub async fn add(
        self,
        caller: &Caller,
        target: LockTarget,
        reason: &str,
        life: Option<Duration>,
    ) -> Result<String, IdentityError> {
        names::check_name("lock target", target.name())?;
        let now = self.identity.now();
        let mut write = self.identity.state().write().await?;
        let lock = Lock {
            id: random::short_id()?,
            reason: reason.chars().take(200).collect(),
            expires_at: life.map(|life| after(now, life)),
            created_at: now,
            created_by: caller.actor.to_string(),
            target,
        };
        prune(&mut write, now).await?;
        insert(&mut write, &lock).await?;
        let event = Event::success("lock.created", caller, lock.target.to_string())
            .with("id", &lock.id)
            .with("reason", &lock.reason)
            .with("expires_at", lock.expires_at);
        self.identity.finish(write, &[event]).await?;
        self.identity.refresh().await?;
        Ok(lock.id)
    }

    /// Removes a lock.
    pub async fn remove(self, caller: &Caller, id: &str) -> Result<(), IdentityError> {
        let mut write = self.identity.state().write().await?;
        let found = sqlx::query("DELETE FROM locks WHERE id = $1 RETURNING kind, name")
            .bind(id)
            .fetch_optional(&mut write)
            .await?;
        let found = found.ok_or_else(|| IdentityError::NotFound {
            what: "lock",
            name: names::shortened(id),
        })?;
        write.touch(LOCKS_TOPIC);
        let target = format!(
            "{}:{}",
            row::text(&found, "kind")?,
            row::text(&found, "name")?
        );
        let event = Event::success("lock.removed", caller, target).with("id", id);
        self.identity.finish(write, &[event]).await?;
        self.identity.refresh().await
    }

    /// The locks that hold.
    pub async fn list(self) -> Result<Vec<Lock>, IdentityError> {
        let mut read = self.identity.state().read().await?;
        let mut locks = rows(&mut read, self.identity.now()).await?;
        locks.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(locks)
    }
}

/// Keeps a lock.
pub(crate) async fn insert(write: &mut Write, lock: &Lock) -> Result<(), IdentityError> {
    sqlx::query(
        "INSERT INTO locks (id, kind, name, reason, expires_at, created_at, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(lock.id.as_str())
    .bind(lock.target.kind())
    .bind(lock.target.name())
    .bind(lock.reason.as_str())
    .bind(lock.expires_at.unwrap_or_default())
    .bind(lock.created_at)
    .bind(lock.created_by.as_str())
    .execute(&mut *write)
    .await?;
    write.touch(LOCKS_TOPIC);
    Ok(())
}

/// Locks somebody who is removed in the same transaction, at least until `until`, in Unix
/// milliseconds: what they have open ends.
pub(crate) async fn insert_removed(
    write: &mut Write,
    caller: &Caller,
    (target, until): (LockTarget, i64),
    now: i64,
) -> Result<(), IdentityError> {
    let lock = Lock {
        id: random::short_id()?,
        target,
        reason: REMOVED.to_owned(),
        expires_at: Some(until.max(after(now, REMOVED_LIFE))),
        created_at: now,
        created_by: caller.actor.to_string(),
    };
    forget_ended(write, now).await?;
    insert(write, &lock).await
}

/// Lets somebody in again who has the name of one that was removed.
pub(crate) async fn lift_removed(
    write: &mut Write,
    target: &LockTarget,
) -> Result<(), IdentityError> {
    let done = sqlx::query("DELETE FROM locks WHERE kind = $1 AND name = $2 AND reason = $3")
        .bind(target.kind())
        .bind(target.name())
        .bind(REMOVED)
        .execute(&mut *write)
        .await?;
    if done.rows_affected() > 0 {
        write.touch(LOCKS_TOPIC);
    }
    Ok(())
}

async fn forget_ended(write: &mut Write, now: i64) -> Result<(), IdentityError> {
    sqlx::query("DELETE FROM locks WHERE expires_at > 0 AND expires_at <= $1")
        .bind(now)
        .execute(&mut *write)
        .await?;
    Ok(())
}

async fn prune(write: &mut Write, now: i64) -> Result<(), IdentityError> {
    forget_ended(write, now).await?;
    let found = sqlx::query("SELECT COUNT(*) AS count FROM locks WHERE reason <> $1")
        .bind(REMOVED)
        .fetch_one(&mut *write)
        .await?;
    if row::number(&found, "count")? >= LOCKS_MAX {
        let text = "there are 10000 locks already: remove some".to_owned();
        return Err(IdentityError::NotReady(text));
    }
    Ok(())
}

/// All locks that hold.
pub(crate) async fn all(read: &mut Read, now: i64) -> Result<LockSet, IdentityError> {
    Ok(LockSet::new(rows(read, now).await?))
}

async fn rows(read: &mut Read, now: i64) -> Result<Vec<Lock>, IdentityError> {
    let rows = sqlx::query(SELECT)
        .bind(now)
        .bind(REMOVED)
        .bind(LOADED_MAX)
        .fetch_all(&mut *read)
        .await?;
    rows.iter().map(of_row).collect()
}

/// Refuses when one of `targets` is locked, as this transaction sees it.
pub(crate) async fn check<C>(
    connection: &mut C,
    targets: &[LockTarget],
    now: i64,
) -> Result<Result<(), Refusal>, IdentityError>
where
    for<'c> &'c mut C: Executor<'c, Database = Any>,
{
    // Nobody is two users, machines or tokens.
    let name = |kind: &str| {
        let mut named = targets.iter().filter(|target| target.kind() == kind);
        named.next().map_or("", LockTarget::name)
    };
    let rows = sqlx::query(ABOUT)
        .bind(name("user"))
        .bind(name("node"))
        .bind(name("token"))
        .bind(now)
        .fetch_all(connection)
        .await?;
    let locks: Vec<Lock> = rows.iter().map(of_row).collect::<Result<_, _>>()?;
    Ok(match LockSet::new(locks).find(targets, now) {
        Some(lock) => Err(Refusal::Locked(lock.reason.clone())),
        None => Ok(()),
    })
}

fn of_row(found: &AnyRow) -> Result<Lock, IdentityError> {
    let (kind, name) = (row::text(found, "kind")?, row::text(found, "name")?);
    let expires_at = row::number(found, "expires_at")?;
    Ok(Lock {
        id: row::text(found, "id")?,
        target: LockTarget::parse(&kind, &name).ok_or(IdentityError::Stored("lock"))?,
        reason: row::text(found, "reason")?,
        expires_at: (expires_at != 0).then_some(expires_at),
        created_at: row::number(found, "created_at")?,
        created_by: row::text(found, "created_by")?,
    })
}

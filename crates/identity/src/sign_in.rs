//! Proving a password, and what wrong ones cost. An attempt is counted before the password is looked
//! at, so that many at once don't get more tries than one after the other.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use base::retry::Backoff;
use base::secret::Secret;
use sqlx::any::AnyRow;

use crate::error::{IdentityError, Refusal};
use crate::{Identity, after, row};

/// Wrong passwords in a row that cost nothing.
pub const FREE_ATTEMPTS: i64 = 5;
/// What each further one costs. Sessions that are open and tokens go on meanwhile.
pub const WAIT: Backoff = Backoff {
    first: Duration::from_secs(30),
    ceiling: Duration::from_mins(15),
};
/// After so long without an attempt the count begins anew.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);
/// Names without a user whose attempts are remembered.
const UNKNOWN_NAMES_MAX: usize = 1000;

/// A user who knew the password.
pub(crate) struct Proved {
    pub(crate) roles: Vec<String>,
    pub(crate) password_hash: String,
    /// The sealed key of the authenticator app, if one is confirmed.
    pub(crate) totp_key: Option<String>,
}

/// Attempts for names that nobody has. They wait like those of users, so that the waiting tells
/// nobody which names there are.
#[derive(Debug, Default)]
pub(crate) struct UnknownNames {
    attempts: BTreeMap<String, Attempts>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Attempts {
    count: i64,
    last_at: i64,
    waits_until: i64,
}

const COUNT: &str = "UPDATE users
     SET failures = CASE WHEN failed_at < $2 THEN 1 ELSE failures + 1 END, failed_at = $1
     WHERE name = $3 AND waits_until <= $1
     RETURNING failures, roles, password_hash, totp_key, totp_is_confirmed";

/// Whether the password is that of `name`; the count of attempts stays until the caller resets it.
pub(crate) async fn prove(
    identity: &Identity,
    name: &str,
    password: Secret,
) -> Result<Result<Proved, Refusal>, IdentityError> {
    let now = identity.now();
    let counted = match count(identity, name, now).await? {
        Ok(counted) => counted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let stored = counted
        .as_ref()
        .map(|found| row::text(found, "password_hash"));
    let stored = stored.transpose()?.filter(|hash| !hash.is_empty());
    let is_right = identity
        .passwords()
        .verify(password, stored.clone())
        .await?;
    let (Some(found), Some(password_hash), true) = (counted, stored, is_right) else {
        return Ok(Err(Refusal::Credentials));
    };
    let is_confirmed = row::number(&found, "totp_is_confirmed")? != 0;
    Ok(Ok(Proved {
        roles: row::json(&found, "roles", "user")?,
        password_hash,
        totp_key: is_confirmed
            .then(|| row::text(&found, "totp_key"))
            .transpose()?,
    }))
}

/// Counts an attempt, unless the name has to wait. Nothing when nobody has the name.
async fn count(
    identity: &Identity,
    name: &str,
    now: i64,
) -> Result<Result<Option<AnyRow>, Refusal>, IdentityError> {
    let mut write = identity.state().write().await?;
    let forgotten = i64::try_from(FORGOTTEN_AFTER.as_millis()).unwrap_or(i64::MAX);
    let found = sqlx::query(COUNT)
        .bind(now)
        .bind(now.saturating_sub(forgotten))
        .bind(name)
        .fetch_optional(&mut write)
        .await?;
    if let Some(found) = found {
        let waits_until = wait(row::number(&found, "failures")?, now);
        sqlx::query("UPDATE users SET waits_until = $1 WHERE name = $2")
            .bind(waits_until)
            .bind(name)
            .execute(&mut write)
            .await?;
        write.commit().await?;
        return Ok(Ok(Some(found)));
    }
    let waiting = sqlx::query("SELECT waits_until FROM users WHERE name = $1")
        .bind(name)
        .fetch_optional(&mut write)
        .await?;
    if waiting.is_none() {
        // A commit like that of a name that somebody has, so that the time tells nothing either.
        sqlx::query("UPDATE clusters SET created_at = created_at WHERE id = 1")
            .execute(&mut write)
            .await?;
    }
    write.commit().await?;
    Ok(match waiting {
        Some(waiting) => Err(too_many(row::number(&waiting, "waits_until")?, now)),
        None => {
            let unknown = identity.inner.unknown_names.lock();
            let mut unknown = unknown.unwrap_or_else(PoisonError::into_inner);
            unknown.count(name, now).map(|()| None)
        }
    })
}

/// Until when one has to wait after so many attempts in a row.
fn wait(count: i64, now: i64) -> i64 {
    if count < FREE_ATTEMPTS {
        return 0;
    }
    let failures = u32::try_from(count - FREE_ATTEMPTS + 1).unwrap_or(u32::MAX);
    after(now, WAIT.delay(failures, 0.0))
}

fn too_many(waits_until: i64, now: i64) -> Refusal {
    Refusal::TooManyAttempts(((waits_until - now).max(0) + 999) / 1000)
}

impl UnknownNames {
    fn count(&mut self, name: &str, now: i64) -> Result<(), Refusal> {
        // The key is short however long the name is that a stranger sent.
        let key = crate::random::sha256_hex(name.as_bytes());
        let mut attempts = self.attempts.get(&key).copied().unwrap_or_default();
        if attempts.waits_until > now {
            return Err(too_many(attempts.waits_until, now));
        }
        if after(attempts.last_at, FORGOTTEN_AFTER) < now {
            attempts.count = 0;
        }
        attempts.count += 1;
        attempts.last_at = now;
        attempts.waits_until = wait(attempts.count, now);
        if self.attempts.len() >= UNKNOWN_NAMES_MAX {
            let oldest = self
                .attempts
                .iter()
                .min_by_key(|(_, attempts)| attempts.last_at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.attempts.remove(&oldest);
            }
        }
        self.attempts.insert(key, attempts);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_ends_and_is_forgotten() {
        assert_eq!(wait(4, 100), 0);
        assert_eq!(wait(5, 100), 30_100);
        assert_eq!(wait(6, 100), 60_100);
        assert_eq!(wait(1000, 100), 900_100);
        let mut unknown = UnknownNames::default();
        for _ in 0..FREE_ATTEMPTS {
            assert_eq!(unknown.count("ghost", 1000), Ok(()));
        }
        let refused = unknown.count("ghost", 1001);
        assert_eq!(refused, Err(Refusal::TooManyAttempts(30)));
        assert_eq!(unknown.count("other", 1001), Ok(()));
        assert_eq!(unknown.count("ghost", 31_000), Ok(()));
        assert!(unknown.count("ghost", 31_001).is_err());
        let next_day = 31_000 + 25 * 3_600_000;
        for _ in 0..FREE_ATTEMPTS {
            assert_eq!(unknown.count("ghost", next_day), Ok(()));
        }
        for index in 0..2 * UNKNOWN_NAMES_MAX {
            assert_eq!(
                unknown.count(&format!("name-{index}"), next_day + 1),
                Ok(())
            );
        }
        assert_eq!(unknown.attempts.len(), UNKNOWN_NAMES_MAX);
    }
}

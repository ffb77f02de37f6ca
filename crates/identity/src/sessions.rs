//! Signing in, and the web sessions that come of it. A session is a random credential of which the
//! hash is kept; it ends when nobody uses it, and in any case after some days.

use std::net::IpAddr;
use std::time::Duration;

use base::secret::Secret;
use serde::Serialize;
use sqlx::any::AnyRow;
use state::{Read, Write};

use crate::audit::{Caller, Event};
use crate::credential::CredentialKind;
use crate::error::{IdentityError, Refusal};
use crate::principal::{self, Principal, Via};
use crate::sign_in::{self, Proved};
use crate::users::SecondFactor;
use crate::{Identity, after, lock_store, names, random, row, totp};

/// A session ends after this time without a request.
pub const SESSION_IDLE: Duration = Duration::from_hours(12);
/// A session ends after this time in any case.
pub const SESSION_LIFE: Duration = Duration::from_hours(7 * 24);
/// Uses are noted at most this often.
const SEEN_INTERVAL_MS: i64 = 60_000;
/// Sessions of one user; the oldest goes.
const SESSIONS_MAX: i64 = 50;
/// The longest description of a client, in characters.
const CLIENT_CHARACTERS_MAX: usize = 200;

/// Who wants to sign in.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The name.
    pub name: String,
    /// The password.
    pub password: Secret,
    /// The code of an authenticator app.
    pub code: Option<Secret>,
    /// Where they connect from.
    pub address: Option<IpAddr>,
    /// What the client calls itself.
    pub client: String,
}

/// A session that was just begun.
#[derive(Debug)]
pub struct NewSession {
    /// Its identifier.
    pub id: String,
    /// Its text, for the cookie. It is not to be had again.
    pub secret: Secret,
    /// The user.
    pub user: String,
    /// When it ends in any case, in Unix milliseconds.
    pub expires_at: i64,
}

/// A session as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its identifier.
    pub id: String,
    /// The user.
    pub user: String,
    /// Where it was begun.
    pub address: String,
    /// What the client called itself.
    pub client: String,
    /// When it was used last, to the minute, in Unix milliseconds.
    pub seen_at: i64,
    /// When it ends in any case, in Unix milliseconds.
    pub expires_at: i64,
    /// When it was begun, in Unix milliseconds.
    pub created_at: i64,
}

/// Sessions.
#[derive(Debug, Clone, Copy)]
pub struct Sessions<'a> {
    pub(crate) identity: &'a Identity,
}

impl Sessions<'_> {
    /// Begins a session for who proves to be a user. Refusals don't say what was wrong.
    pub async fn sign_in(self, sign_in: &SignIn) -> Result<NewSession, IdentityError> {
        let name = names::shortened(&sign_in.name);
        let caller = Caller::anonymous(sign_in.address);
        match self.try_sign_in(sign_in).await {
            // Asking for the code is a step of every sign-in with one.
            Err(IdentityError::Refused(Refusal::SecondFactorNeeded)) => {
                Err(Refusal::SecondFactorNeeded.into())
            }
            Err(IdentityError::Refused(refusal)) => {
                let event = Event::success("user.sign_in", &caller, format!("user:{name}"));
                Err(self.identity.refuse(event, refusal).await)
            }
            other => other,
        }
    }

    /// Who makes a request with this session. Notes the use.
    pub async fn verify(self, secret: &Secret) -> Result<Principal, IdentityError> {
        let hash = CredentialKind::Session
            .hash(secret)
            .map_err(Refusal::Form)?;
        let now = self.identity.now();
        let mut read = self.identity.state().read().await?;
        let found = sqlx::query("SELECT * FROM web_sessions WHERE hash = $1 AND expires_at > $2")
            .bind(hash)
            .bind(now)
            .fetch_optional(&mut read)
            .await?;
        self.go_on(read, found, now).await
    }

    /// Who has the session of this row, if it has not ended. Notes the use.
    pub(crate) async fn go_on(
        self,
        mut read: Read,
        found: Option<AnyRow>,
        now: i64,
    ) -> Result<Principal, IdentityError> {
        let session = of_row(&found.ok_or(Refusal::SessionEnded)?)?;
        if session.seen_at <= idle_before(now) {
            return Err(Refusal::SessionEnded.into());
        }
        let via = (
            Via::Session(session.id.clone()),
            None,
            Refusal::SessionEnded,
        );
        let principal = principal::load(self.identity, &mut read, &session.user, via).await?;
        drop(read);
        if now - session.seen_at > SEEN_INTERVAL_MS
            && let Err(error) = self.note_use(&session.id, session.seen_at, now).await
        {
            // It is none of theirs: with a full disk what is there can be read.
            tracing::warn!(%error, "a use could not be noted");
        }
        Ok(principal)
    }

    /// Notes a use; of several at one moment the first.
    async fn note_use(self, id: &str, before: i64, now: i64) -> Result<(), IdentityError> {
        let mut write = self.identity.state().write().await?;
        sqlx::query("UPDATE web_sessions SET seen_at = $1 WHERE id = $2 AND seen_at = $3")
            .bind(now)
            .bind(id)
            .bind(before)
            .execute(&mut write)
            .await?;
        Ok(write.commit().await?)
    }

    /// The sessions of a user, newest first.
    pub async fn list(self, user: &str) -> Result<Vec<Session>, IdentityError> {
        let now = self.identity.now();
        let mut read = self.identity.state().read().await?;
        let rows = sqlx::query(
            "SELECT * FROM web_sessions WHERE user_name = $1 AND expires_at > $2 AND seen_at > $3
             ORDER BY created_at DESC LIMIT $4",
        )
        .bind(user)
        .bind(now)
        .bind(idle_before(now))
        .bind(SESSIONS_MAX)
        .fetch_all(&mut read)
        .await?;
        rows.iter().map(of_row).collect()
    }

    /// Ends one session of a user, or all of them when `id` is empty.
    pub async fn end(self, caller: &Caller, user: &str, id: &str) -> Result<(), IdentityError> {
        let mut write = self.identity.state().write().await?;
        let done =
            sqlx::query("DELETE FROM web_sessions WHERE user_name = $1 AND ($2 = '' OR id = $2)")
                .bind(user)
                .bind(id)
                .execute(&mut write)
                .await?;
        let event = Event::success("session.ended", caller, format!("user:{user}"))
            .with("id", id)
            .with("count", done.rows_affected());
        self.identity.finish(write, &[event]).await
    }

    async fn try_sign_in(self, sign_in: &SignIn) -> Result<NewSession, IdentityError> {
        let name = sign_in.name.as_str();
        if names::check_name("user", name).is_err() {
            return Err(Refusal::Credentials.into());
        }
        let proved = sign_in::prove(self.identity, name, sign_in.password.clone()).await??;
        let now = self.identity.now();
        let step = self.second_factor(sign_in, &proved, now)?;
        let mut write = self.identity.state().write().await?;
        // Each sign-in removes sessions that ended, whosever they are.
        write.lock("identity_sessions").await?;
        let targets = principal::targets(name, &proved.roles);
        lock_store::check(&mut write, &targets, now).await??;
        note_sign_in(&mut write, name, (&proved, step), now).await?;
        let session = insert(&mut write, sign_in, now).await?;
        let caller = Caller::user(name, sign_in.address);
        let factors: Vec<_> = (step > 0)
            .then_some(SecondFactor::Totp)
            .into_iter()
            .collect();
        let event = Event::success("user.sign_in", &caller, format!("user:{name}"))
            .with("session", &session.id)
            .with("second_factors", factors);
        self.identity.finish(write, &[event]).await?;
        Ok(session)
    }

    /// The step of the code; 0 when none is asked for.
    fn second_factor(
        self,
        sign_in: &SignIn,
        proved: &Proved,
        now: i64,
    ) -> Result<i64, IdentityError> {
        let Some(sealed) = &proved.totp_key else {
            return Ok(0);
        };
        let code = sign_in.code.as_ref().ok_or(Refusal::SecondFactorNeeded)?;
        let place = crate::users::totp_place(&sign_in.name);
        let key = self.identity.sealer().open_sealed(&place, sealed)?;
        let step = totp::find_step(&key, code, now, 0);
        Ok(step.ok_or(Refusal::Credentials)?)
    }
}

/// Notes the sign-in, if nothing was changed meanwhile and the code was not used before: one
/// statement, so that of two that bring the same code one gets in.
async fn note_sign_in(
    write: &mut Write,
    name: &str,
    (proved, step): (&Proved, i64),
    now: i64,
) -> Result<(), IdentityError> {
    let done = sqlx::query(
        "UPDATE users SET failures = 0, waits_until = 0, signed_in_at = $1,
             totp_last_step = CASE WHEN $2 > totp_last_step THEN $2 ELSE totp_last_step END
         WHERE name = $3 AND password_hash = $4
           AND ((totp_is_confirmed = 0 AND $2 = 0) OR totp_last_step < $2)",
    )
    .bind(now)
    .bind(step)
    .bind(name)
    .bind(proved.password_hash.as_str())
    .execute(&mut *write)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    Err(Refusal::Credentials.into())
}

/// A session that was used last at this time or before has ended.
fn idle_before(now: i64) -> i64 {
    now.saturating_sub(i64::try_from(SESSION_IDLE.as_millis()).unwrap_or(i64::MAX))
}

async fn insert(
    write: &mut Write,
    sign_in: &SignIn,
    now: i64,
) -> Result<NewSession, IdentityError> {
    let fresh = CredentialKind::Session.generate()?;
    let id = random::short_id()?;
    let expires_at = after(now, SESSION_LIFE);
    let address = sign_in.address.map(|address| address.to_string());
    let client: String = sign_in.client.chars().take(CLIENT_CHARACTERS_MAX).collect();
    sqlx::query(
        "DELETE FROM web_sessions WHERE expires_at <= $1 OR seen_at <= $4 OR id IN
             (SELECT id FROM web_sessions WHERE user_name = $2
              ORDER BY created_at DESC, id LIMIT 1000 OFFSET $3)",
    )
    .bind(now)
    .bind(sign_in.name.as_str())
    .bind(SESSIONS_MAX - 1)
    .bind(idle_before(now))
    .execute(&mut *write)
    .await?;
    sqlx::query(
        "INSERT INTO web_sessions
             (id, hash, user_name, address, client, seen_at, expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $6)",
    )
    .bind(id.as_str())
    .bind(fresh.hash)
    .bind(sign_in.name.as_str())
    .bind(address.unwrap_or_default())
    .bind(client)
    .bind(now)
    .bind(expires_at)
    .execute(&mut *write)
    .await?;
    Ok(NewSession {
        id,
        secret: fresh.secret,
        user: sign_in.name.clone(),
        expires_at,
    })
}

fn of_row(found: &AnyRow) -> Result<Session, IdentityError> {
    Ok(Session {
        id: row::text(found, "id")?,
        user: row::text(found, "user_name")?,
        address: row::text(found, "address")?,
        client: row::text(found, "client")?,
        seen_at: row::number(found, "seen_at")?,
        expires_at: row::number(found, "expires_at")?,
        created_at: row::number(found, "created_at")?,
    })
}

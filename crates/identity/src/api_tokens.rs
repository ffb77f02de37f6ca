//! Tokens of scripts, sent as `Authorization: Bearer`. One is some user's, and never allows more
//! than that user may do; scopes narrow it further.

use std::net::IpAddr;
use std::time::Duration;

use base::secret::Secret;
use serde::Serialize;
use sqlx::any::AnyRow;

use crate::audit::{Caller, Event};
use crate::credential::CredentialKind;
use crate::error::{IdentityError, Refusal};
use crate::locks::LockTarget;
use crate::principal::{self, Principal, SCOPES_MAX, Scope, Via};
use crate::{Identity, after, lock_store, names, random, row, users};

/// The longest life of an API token.
pub const API_TOKEN_LIFE_MAX: Duration = Duration::from_hours(5 * 365 * 24);
/// API tokens of one user.
const PER_USER_MAX: i64 = 1000;
/// API tokens of one list.
const LIST_MAX: i64 = 20_000;
/// Uses are noted at most this often.
const USED_INTERVAL_MS: i64 = 60_000;

/// What a new API token is to be.
#[derive(Debug, Clone)]
pub struct NewApiToken {
    /// Whose it is.
    pub user: String,
    /// What for, for the list.
    pub purpose: String,
    /// What it is limited to; `*:*` for all that the user may do.
    pub scopes: Vec<Scope>,
    /// How long.
    pub life: Duration,
}

/// An API token that was just made.
#[derive(Debug)]
pub struct IssuedApiToken {
    /// Its identifier.
    pub id: String,
    /// Its text. It is not to be had again.
    pub secret: Secret,
    /// When it ends, in Unix milliseconds.
    pub expires_at: i64,
}

/// An API token as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiToken {
    /// Its identifier.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// What for.
    pub purpose: String,
    /// What it is limited to.
    pub scopes: Vec<Scope>,
    /// When it was used last, to the minute, in Unix milliseconds; 0 when never.
    pub used_at: i64,
    /// When it ends, in Unix milliseconds.
    pub expires_at: i64,
    /// When it was made, in Unix milliseconds.
    pub created_at: i64,
    /// Who made it.
    pub created_by: String,
}

/// API tokens.
#[derive(Debug, Clone, Copy)]
pub struct ApiTokens<'a> {
    pub(crate) identity: &'a Identity,
}

impl ApiTokens<'_> {
    /// Makes a token.
    pub async fn add(
        self,
        caller: &Caller,
        token: &NewApiToken,
    ) -> Result<IssuedApiToken, IdentityError> {
        if token.life.is_zero() || token.life > API_TOKEN_LIFE_MAX {
            let text = "an API token lives for up to five years".to_owned();
            return Err(IdentityError::Invalid(text));
        }
        if token.scopes.is_empty() || token.scopes.len() > SCOPES_MAX {
            let text = "an API token has 1 to 32 scopes, for instance `*:*`".to_owned();
            return Err(IdentityError::Invalid(text));
        }
        let now = self.identity.now();
        let fresh = CredentialKind::Api.generate()?;
        let id = random::short_id()?;
        let expires_at = after(now, token.life);
        let purpose: String = token.purpose.chars().take(200).collect();
        let mut write = self.identity.state().write().await?;
        sqlx::query("DELETE FROM api_tokens WHERE expires_at <= $1")
            .bind(now)
            .execute(&mut write)
            .await?;
        // The user must be there and not have too many: otherwise nothing is inserted.
        let done = sqlx::query(
            "INSERT INTO api_tokens
                 (id, hash, user_name, purpose, scopes, used_at, expires_at, created_at, created_by)
             SELECT $1, $2, name, $4, $5, 0, $6, $7, $8 FROM users
             WHERE name = $3
               AND (SELECT COUNT(*) FROM api_tokens WHERE user_name = $3) < $9",
        )
        .bind(id.as_str())
        .bind(fresh.hash)
        .bind(token.user.as_str())
        .bind(purpose.as_str())
        .bind(row::to_json(&token.scopes))
        .bind(expires_at)
        .bind(now)
        .bind(caller.actor.to_string())
        .bind(PER_USER_MAX)
        .execute(&mut write)
        .await?;
        if done.rows_affected() == 0 {
            return Err(users::not_found(&token.user));
        }
        let event = Event::success("api_token.created", caller, format!("token:{id}"))
            .with("user", &token.user)
            .with("purpose", purpose)
            .with("scopes", &token.scopes)
            .with("expires_at", expires_at);
        self.identity.finish(write, &[event]).await?;
        Ok(IssuedApiToken {
            id,
            secret: fresh.secret,
            expires_at,
        })
    }

    /// Who makes a request with this token. Refusals are recorded.
    pub async fn verify(
        self,
        secret: &Secret,
        address: Option<IpAddr>,
    ) -> Result<Principal, IdentityError> {
        match self.try_verify(secret).await {
            Err(IdentityError::Refused(refusal)) => {
                let caller = Caller::anonymous(address);
                let event = Event::success("api_token.used", &caller, "token:");
                Err(self.identity.refuse(event, refusal).await)
            }
            other => other,
        }
    }

    /// The tokens of a user, or of all when it is empty.
    pub async fn list(self, user: &str) -> Result<Vec<ApiToken>, IdentityError> {
        let mut read = self.identity.state().read().await?;
        let rows = sqlx::query(
            "SELECT * FROM api_tokens WHERE ($1 = '' OR user_name = $1) AND expires_at > $2
             ORDER BY created_at, id LIMIT $3",
        )
        .bind(user)
        .bind(self.identity.now())
        .bind(LIST_MAX)
        .fetch_all(&mut read)
        .await?;
        rows.iter().map(of_row).collect()
    }

    /// Whether there is a token of that identifier.
    pub async fn exists(self, id: &str) -> Result<bool, IdentityError> {
        let mut read = self.identity.state().read().await?;
        let found = sqlx::query("SELECT 1 FROM api_tokens WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut read)
            .await?;
        Ok(found.is_some())
    }

    /// Removes a token. It acts at once, and ends what was opened with it by a lock of ten minutes.
    pub async fn remove(self, caller: &Caller, id: &str) -> Result<(), IdentityError> {
        let mut write = self.identity.state().write().await?;
        let done = sqlx::query("DELETE FROM api_tokens WHERE id = $1")
            .bind(id)
            .execute(&mut write)
            .await?;
        if done.rows_affected() == 0 {
            return Err(IdentityError::NotFound {
                what: "API token",
                name: names::shortened(id),
            });
        }
        let lock = (LockTarget::Token(id.to_owned()), 0);
        lock_store::insert_removed(&mut write, caller, lock, self.identity.now()).await?;
        let event = Event::success("api_token.removed", caller, format!("token:{id}"));
        self.identity.finish(write, &[event]).await?;
        self.identity.refresh().await
    }

    async fn try_verify(self, secret: &Secret) -> Result<Principal, IdentityError> {
        let hash = CredentialKind::Api.hash(secret).map_err(Refusal::Form)?;
        let now = self.identity.now();
        let mut read = self.identity.state().read().await?;
        let found = sqlx::query("SELECT * FROM api_tokens WHERE hash = $1")
            .bind(hash)
            .fetch_optional(&mut read)
            .await?;
        let token = of_row(&found.ok_or(Refusal::TokenUnknown)?)?;
        if token.expires_at <= now {
            return Err(Refusal::TokenExpired.into());
        }
        let via = Via::ApiToken(token.id.clone());
        let via = (via, Some(token.scopes), Refusal::TokenUnknown);
        let principal = principal::load(self.identity, &mut read, &token.user, via).await?;
        drop(read);
        if now - token.used_at > USED_INTERVAL_MS
            && let Err(error) = self.note_use(&token.id, token.used_at, now).await
        {
            // It is none of theirs: with a full disk what is there can be read.
            tracing::warn!(%error, "a use could not be noted");
        }
        Ok(principal)
    }

    /// Notes a use; of several at one moment the first.
    async fn note_use(self, id: &str, before: i64, now: i64) -> Result<(), IdentityError> {
        let mut write = self.identity.state().write().await?;
        sqlx::query("UPDATE api_tokens SET used_at = $1 WHERE id = $2 AND used_at = $3")
            .bind(now)
            .bind(id)
            .bind(before)
            .execute(&mut write)
            .await?;
        Ok(write.commit().await?)
    }
}

fn of_row(found: &AnyRow) -> Result<ApiToken, IdentityError> {
    Ok(ApiToken {
        id: row::text(found, "id")?,
        user: row::text(found, "user_name")?,
        purpose: row::text(found, "purpose")?,
        scopes: row::json(found, "scopes", "API token")?,
        used_at: row::number(found, "used_at")?,
        expires_at: row::number(found, "expires_at")?,
        created_at: row::number(found, "created_at")?,
        created_by: row::text(found, "created_by")?,
    })
}

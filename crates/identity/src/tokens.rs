//! Join tokens: what lets a machine in. Shown once, kept as a hash, used up in one statement, so that
//! of many that come at once no more get in than the token has uses.

use std::time::Duration;

use base::secret::Secret;
use serde::Serialize;
use sqlx::any::AnyRow;
use state::{Read, Write};

use crate::audit::{Caller, Event};
use crate::credential::CredentialKind;
use crate::error::{IdentityError, Refusal};
use crate::names::{self, Labels};
use crate::peer::MachineRole;
use crate::{Identity, after, random, row};

/// The longest life of a token.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_hours(365 * 24);
/// Uses of one token.
pub const TOKEN_USES_MAX: i64 = 100_000;
/// Tokens at once.
const TOKENS_MAX: i64 = 10_000;
/// How long a token that is used up or expired stays in the table, so that those who come late are
/// told why.
const TOKEN_KEPT: Duration = Duration::from_hours(30 * 24);

/// What a new token allows.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// As what a machine may join.
    pub roles: Vec<MachineRole>,
    /// Under which name only; empty for any.
    pub name: String,
    /// Labels that the machine gets, and may not have other values of.
    pub labels: Labels,
    /// How many may join with it.
    pub uses: i64,
    /// How long.
    pub life: Duration,
}

/// A token as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Its identifier.
    pub id: String,
    /// As what a machine may join.
    pub roles: Vec<MachineRole>,
    /// Under which name only; empty for any.
    pub name: String,
    /// Labels that the machine gets.
    pub labels: Labels,
    /// How many may still join.
    pub uses_left: i64,
    /// When it ends, in Unix milliseconds.
    pub expires_at: i64,
    /// When it was made, in Unix milliseconds.
    pub created_at: i64,
    /// Who made it.
    pub created_by: String,
}

/// A token that was just made.
#[derive(Debug)]
pub struct IssuedToken {
    /// Its identifier.
    pub id: String,
    /// Its text. It is not to be had again.
    pub secret: Secret,
    /// When it ends, in Unix milliseconds.
    pub expires_at: i64,
    /// The pins of the authorities, for the other machine's configuration.
    pub pins: Vec<String>,
}

/// Join tokens.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    pub(crate) identity: &'a Identity,
}

const SELECT: &str = "SELECT id, roles, name, labels, uses_left, expires_at, created_at, created_by
     FROM join_tokens WHERE uses_left > 0 AND expires_at > $1 ORDER BY created_at, id LIMIT $2";
/// The decision and the change in one statement: of two that come at once, the second one waits for
/// the first one's commit and then finds what is left.
const USE: &str = "UPDATE join_tokens SET uses_left = uses_left - 1
     WHERE hash = $1 AND uses_left > 0 AND expires_at > $2
     RETURNING id, roles, name, labels, uses_left, expires_at, created_at, created_by";

impl Tokens<'_> {
    /// Makes a token.
    pub async fn add(
        self,
        caller: &Caller,
        token: &NewToken,
    ) -> Result<IssuedToken, IdentityError> {
        token.check()?;
        let now = self.identity.now();
        let fresh = CredentialKind::Join.generate()?;
        let id = random::short_id()?;
        let expires_at = after(now, token.life);
        let mut write = self.identity.state().write().await?;
        prune(&mut write, now).await?;
        sqlx::query(
            "INSERT INTO join_tokens
                 (id, hash, roles, name, labels, uses_left, expires_at, created_at, created_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id.as_str())
        .bind(fresh.hash)
        .bind(row::to_json(&token.roles))
        .bind(token.name.as_str())
        .bind(row::to_json(&token.labels))
        .bind(token.uses)
        .bind(expires_at)
        .bind(now)
        .bind(caller.actor.to_string())
        .execute(&mut write)
        .await?;
        let event = Event::success("token.created", caller, format!("token:{id}"))
            .with("roles", &token.roles)
            .with("name", &token.name)
            .with("labels", &token.labels)
            .with("uses", token.uses)
            .with("expires_at", expires_at);
        self.identity.finish(write, &[event]).await?;
        Ok(IssuedToken {
            id,
            secret: fresh.secret,
            expires_at,
            pins: self.identity.trust().pins()?,
        })
    }

    /// The tokens that can still be used.
    pub async fn list(self) -> Result<Vec<Token>, IdentityError> {
        let mut read = self.identity.state().read().await?;
        let rows = sqlx::query(SELECT)
            .bind(self.identity.now())
            .bind(TOKENS_MAX)
            .fetch_all(&mut read)
            .await?;
        rows.iter().map(of_row).collect()
    }

    /// Removes a token: nobody joins with it any more.
    pub async fn remove(self, caller: &Caller, id: &str) -> Result<(), IdentityError> {
        let mut write = self.identity.state().write().await?;
        let done = sqlx::query("DELETE FROM join_tokens WHERE id = $1")
            .bind(id)
            .execute(&mut write)
            .await?;
        if done.rows_affected() == 0 {
            return Err(IdentityError::NotFound {
                what: "token",
                name: names::shortened(id),
            });
        }
        let event = Event::success("token.removed", caller, format!("token:{id}"));
        self.identity.finish(write, &[event]).await
    }
}

impl NewToken {
    fn check(&self) -> Result<(), IdentityError> {
        names::check_labels(&self.labels)?;
        if !self.name.is_empty() {
            names::check_name("machine", &self.name)?;
        }
        if self.roles.is_empty() {
            let text = "a join token needs at least one role".to_owned();
            return Err(IdentityError::Invalid(text));
        }
        if !(1..=TOKEN_USES_MAX).contains(&self.uses) {
            let text = "a join token has 1 to 100000 uses".to_owned();
            return Err(IdentityError::Invalid(text));
        }
        if self.life.is_zero() || self.life > TOKEN_LIFE_MAX {
            let text = "a join token lives for up to a year".to_owned();
            return Err(IdentityError::Invalid(text));
        }
        Ok(())
    }
}

/// Whether there is or was a token with this hash.
pub(crate) async fn is_known(read: &mut Read, hash: &str) -> Result<bool, IdentityError> {
    let found = sqlx::query("SELECT id FROM join_tokens WHERE hash = $1")
        .bind(hash)
        .fetch_optional(&mut *read)
        .await?;
    Ok(found.is_some())
}

/// Uses the token with this hash once. Nothing has happened unless the transaction is committed.
pub(crate) async fn consume(
    write: &mut Write,
    hash: &str,
    now: i64,
) -> Result<Result<Token, Refusal>, IdentityError> {
    let found = sqlx::query(USE)
        .bind(hash)
        .bind(now)
        .fetch_optional(&mut *write)
        .await?;
    if let Some(found) = found {
        return Ok(Ok(of_row(&found)?));
    }
    let found = sqlx::query("SELECT uses_left FROM join_tokens WHERE hash = $1")
        .bind(hash)
        .fetch_optional(&mut *write)
        .await?;
    let Some(found) = found else {
        return Ok(Err(Refusal::TokenUnknown));
    };
    let is_used = row::number(&found, "uses_left")? <= 0;
    Ok(Err(if is_used {
        Refusal::TokenUsed
    } else {
        Refusal::TokenExpired
    }))
}

async fn prune(write: &mut Write, now: i64) -> Result<(), IdentityError> {
    let kept = i64::try_from(TOKEN_KEPT.as_millis()).unwrap_or(i64::MAX);
    sqlx::query("DELETE FROM join_tokens WHERE expires_at < $1")
        .bind(now.saturating_sub(kept))
        .execute(&mut *write)
        .await?;
    let found = sqlx::query("SELECT COUNT(*) AS count FROM join_tokens")
        .fetch_one(&mut *write)
        .await?;
    if row::number(&found, "count")? >= TOKENS_MAX {
        let text = "there are 10000 join tokens already: remove some".to_owned();
        return Err(IdentityError::NotReady(text));
    }
    Ok(())
}

fn of_row(found: &AnyRow) -> Result<Token, IdentityError> {
    Ok(Token {
        id: row::text(found, "id")?,
        roles: row::json(found, "roles", "join token")?,
        name: row::text(found, "name")?,
        labels: row::json(found, "labels", "join token")?,
        uses_left: row::number(found, "uses_left")?,
        expires_at: row::number(found, "expires_at")?,
        created_at: row::number(found, "created_at")?,
        created_by: row::text(found, "created_by")?,
    })
}

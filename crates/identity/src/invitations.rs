//! One-time links with which a person sets a password: the first administrator's, a new user's, and
//! that of a user who forgot theirs.

use std::net::IpAddr;
use std::time::Duration;

use base::secret::Secret;
use state::Write;

use crate::audit::{Caller, Event};
use crate::credential::CredentialKind;
use crate::error::{IdentityError, Refusal};
use crate::users::{self, ADMIN, NewUser, USERS_LOCK};
use crate::{Identity, after, names, random, row};

/// How long an invitation is good when nobody says otherwise.
pub const INVITATION_LIFE: Duration = Duration::from_hours(24);
/// The longest that one is good: it opens an account.
pub const INVITATION_LIFE_MAX: Duration = Duration::from_hours(30 * 24);
/// Invitations that one user may have at a time.
const PER_USER_MAX: i64 = 10;

/// An invitation that was just made.
#[derive(Debug)]
pub struct IssuedInvitation {
    /// Its identifier.
    pub id: String,
    /// Its text, for the link. It is not to be had again.
    pub secret: Secret,
    /// Who is invited; empty for the first administrator, who chooses a name.
    pub user: String,
    /// When it ends, in Unix milliseconds.
    pub expires_at: i64,
}

/// Whom an invitation is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invited {
    /// The user; empty for the first administrator, who chooses a name.
    pub user: String,
    /// Whether they have a password already, so that this is for another one.
    pub has_password: bool,
}

/// Somebody accepts an invitation.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// The text of the invitation.
    pub secret: Secret,
    /// The name that the first administrator chooses; otherwise that of the invited user, or empty.
    pub user: String,
    /// The new password.
    pub password: Secret,
    /// Where they connect from.
    pub address: Option<IpAddr>,
}

/// Invitations.
#[derive(Debug, Clone, Copy)]
pub struct Invitations<'a> {
    pub(crate) identity: &'a Identity,
}

impl Identity {
    /// The invitation of the first administrator, as long as there was never one who could sign in:
    /// a new one each time, and those before it end. Nothing afterwards.
    pub async fn first_start(&self) -> Result<Option<IssuedInvitation>, IdentityError> {
        let mut write = self.state().write().await?;
        write.lock(USERS_LOCK).await?;
        if has_first_user(&mut write).await? {
            return Ok(None);
        }
        let caller = Caller::system();
        sqlx::query("DELETE FROM invitations WHERE is_first = 1 AND used_at = 0")
            .execute(&mut write)
            .await?;
        let invitation = insert(self, &mut write, &caller, ("", INVITATION_LIFE)).await?;
        let event = Event::success("invitation.created", &caller, "user:")
            .with("id", &invitation.id)
            .with("is_first", true);
        self.finish(write, &[event]).await?;
        Ok(Some(invitation))
    }
}

impl Invitations<'_> {
    /// Lets a user set a new password within the usual time. The old one works until they do.
    pub async fn add(self, caller: &Caller, user: &str) -> Result<IssuedInvitation, IdentityError> {
        self.add_for(caller, user, INVITATION_LIFE).await
    }

    /// The same within `life`, at most [`INVITATION_LIFE_MAX`].
    pub async fn add_for(
        self,
        caller: &Caller,
        user: &str,
        life: Duration,
    ) -> Result<IssuedInvitation, IdentityError> {
        check_life(life)?;
        let mut write = self.identity.state().write().await?;
        write.lock(USERS_LOCK).await?;
        let found = sqlx::query("SELECT name FROM users WHERE name = $1")
            .bind(user)
            .fetch_optional(&mut write)
            .await?;
        found.ok_or_else(|| users::not_found(user))?;
        let invitation = insert(self.identity, &mut write, caller, (user, life)).await?;
        let event = Event::success("invitation.created", caller, format!("user:{user}"))
            .with("id", &invitation.id);
        self.identity.finish(write, &[event]).await?;
        Ok(invitation)
    }

    /// Whom the invitation is for, without using it up. A refusal is recorded.
    pub async fn look(
        self,
        secret: &Secret,
        address: Option<IpAddr>,
    ) -> Result<Invited, IdentityError> {
        match self.try_look(secret).await {
            Err(IdentityError::Refused(refusal)) => {
                let caller = Caller::anonymous(address);
                let event = Event::success("invitation.opened", &caller, "user:");
                Err(self.identity.refuse(event, refusal).await)
            }
            other => other,
        }
    }

    /// Sets the password of the invited user, takes away their authenticator app and ends their
    /// sessions. Returns their name.
    pub async fn accept(self, acceptance: &Acceptance) -> Result<String, IdentityError> {
        let caller = Caller::anonymous(acceptance.address);
        match self.try_accept(acceptance).await {
            Err(IdentityError::Refused(refusal)) => {
                let target = format!("user:{}", names::shortened(&acceptance.user));
                let event = Event::success("invitation.accepted", &caller, target);
                Err(self.identity.refuse(event, refusal).await)
            }
            other => other,
        }
    }

    async fn try_accept(self, acceptance: &Acceptance) -> Result<String, IdentityError> {
        let hash = CredentialKind::Invitation.hash(&acceptance.secret);
        let hash = hash.map_err(Refusal::Form)?;
        let now = self.identity.now();
        // Looked at before the password is hashed, so that strangers don't get hashes for nothing.
        self.find(&hash, now).await?;
        let password_hash = self
            .identity
            .passwords()
            .hash(acceptance.password.clone())
            .await?;
        let mut write = self.identity.state().write().await?;
        // A user's rows are in several tables; with the lock nobody waits in a circle for them.
        write.lock(USERS_LOCK).await?;
        let found = sqlx::query(
            "UPDATE invitations SET used_at = $1
             WHERE hash = $2 AND used_at = 0 AND expires_at > $1 RETURNING user_name, is_first",
        )
        .bind(now)
        .bind(hash)
        .fetch_optional(&mut write)
        .await?;
        let found = found.ok_or(Refusal::Invitation)?;
        let mut user = row::text(&found, "user_name")?;
        let is_first = row::number(&found, "is_first")? != 0;
        if is_first {
            user.clone_from(&acceptance.user);
            create_first(&mut write, &user, now).await?;
        } else if !acceptance.user.is_empty() && acceptance.user != user {
            return Err(Refusal::Invitation.into());
        }
        set_password(&mut write, &user, &password_hash).await?;
        end_first(&mut write, &user, now).await?;
        let caller = Caller::user(user.as_str(), acceptance.address);
        let event = Event::success("invitation.accepted", &caller, format!("user:{user}"))
            .with("is_first", is_first);
        self.identity.finish(write, &[event]).await?;
        Ok(user)
    }

    async fn try_look(self, secret: &Secret) -> Result<Invited, IdentityError> {
        let hash = CredentialKind::Invitation.hash(secret);
        let hash = hash.map_err(Refusal::Form)?;
        let user = self.find(&hash, self.identity.now()).await?;
        let known = self.identity.users().get(&user).await?;
        Ok(Invited {
            has_password: known.is_some_and(|known| known.has_password),
            user,
        })
    }

    /// The user of an invitation that is still good.
    async fn find(self, hash: &str, now: i64) -> Result<String, IdentityError> {
        let mut read = self.identity.state().read().await?;
        let found = sqlx::query(
            "SELECT user_name FROM invitations
             WHERE hash = $1 AND used_at = 0 AND expires_at > $2",
        )
        .bind(hash)
        .bind(now)
        .fetch_optional(&mut read)
        .await?;
        row::text(&found.ok_or(Refusal::Invitation)?, "user_name")
    }
}

async fn has_first_user(write: &mut Write) -> Result<bool, IdentityError> {
    let found = sqlx::query("SELECT first_user_at FROM clusters WHERE id = 1")
        .fetch_one(&mut *write)
        .await?;
    Ok(row::number(&found, "first_user_at")? != 0)
}

/// Makes the first administrator. Of two who come at once, one is the first.
async fn create_first(write: &mut Write, user: &str, now: i64) -> Result<(), IdentityError> {
    names::check_user_name(user)?;
    let done =
        sqlx::query("UPDATE clusters SET first_user_at = $1 WHERE id = 1 AND first_user_at = 0")
            .bind(now)
            .execute(&mut *write)
            .await?;
    if done.rows_affected() == 0 {
        return Err(Refusal::Invitation.into());
    }
    let new = NewUser {
        name: user.to_owned(),
        roles: vec![ADMIN.to_owned()],
        logins: Vec::new(),
    };
    users::insert(write, &new, "system", now).await
}

/// The link of the first administrator ends when an administrator came in by another way.
async fn end_first(write: &mut Write, user: &str, now: i64) -> Result<(), IdentityError> {
    let found = sqlx::query("SELECT roles FROM users WHERE name = $1")
        .bind(user)
        .fetch_one(&mut *write)
        .await?;
    let roles: Vec<String> = row::json(&found, "roles", "user")?;
    if !roles.iter().any(|role| role == ADMIN) {
        return Ok(());
    }
    sqlx::query("UPDATE clusters SET first_user_at = $1 WHERE id = 1 AND first_user_at = 0")
        .bind(now)
        .execute(&mut *write)
        .await?;
    sqlx::query("DELETE FROM invitations WHERE is_first = 1 AND used_at = 0")
        .execute(&mut *write)
        .await?;
    Ok(())
}

async fn set_password(write: &mut Write, user: &str, hash: &str) -> Result<(), IdentityError> {
    let done = sqlx::query(
        "UPDATE users SET password_hash = $1, failures = 0, waits_until = 0, totp_key = '',
             totp_is_confirmed = 0, totp_last_step = 0
         WHERE name = $2",
    )
    .bind(hash)
    .bind(user)
    .execute(&mut *write)
    .await?;
    if done.rows_affected() == 0 {
        return Err(Refusal::Invitation.into());
    }
    sqlx::query("DELETE FROM invitations WHERE user_name = $1 AND used_at = 0")
        .bind(user)
        .execute(&mut *write)
        .await?;
    users::end_sessions(write, user).await
}

pub(crate) fn check_life(life: Duration) -> Result<(), IdentityError> {
    if life.is_zero() || life > INVITATION_LIFE_MAX {
        let text = "an invitation is good for up to 30 days".to_owned();
        return Err(IdentityError::Invalid(text));
    }
    Ok(())
}

/// Keeps an invitation; for the first administrator when the user is empty.
pub(crate) async fn insert(
    identity: &Identity,
    write: &mut Write,
    caller: &Caller,
    (user, life): (&str, Duration),
) -> Result<IssuedInvitation, IdentityError> {
    let now = identity.now();
    let fresh = CredentialKind::Invitation.generate()?;
    let id = random::short_id()?;
    let expires_at = after(now, life);
    // Those that ended go, and the oldest of a user who has too many.
    sqlx::query(
        "DELETE FROM invitations WHERE expires_at <= $1 OR id IN
             (SELECT id FROM invitations WHERE user_name = $2
              ORDER BY created_at DESC, id LIMIT 1000 OFFSET $3)",
    )
    .bind(now)
    .bind(user)
    .bind(PER_USER_MAX - 1)
    .execute(&mut *write)
    .await?;
    sqlx::query(
        "INSERT INTO invitations
             (id, hash, user_name, is_first, used_at, expires_at, created_at, created_by)
         VALUES ($1, $2, $3, $4, 0, $5, $6, $7)",
    )
    .bind(id.as_str())
    .bind(fresh.hash)
    .bind(user)
    .bind(i64::from(user.is_empty()))
    .bind(expires_at)
    .bind(now)
    .bind(caller.actor.to_string())
    .execute(&mut *write)
    .await?;
    Ok(IssuedInvitation {
        id,
        secret: fresh.secret,
        user: user.to_owned(),
        expires_at,
    })
}

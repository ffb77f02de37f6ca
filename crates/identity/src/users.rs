//! Users: people with roles. A new one has no password; an invitation lets them set it. Signing in
//! is `sign_in`.

mod second_factor;

use std::time::Duration;

use base::secret::Secret;
use serde::Serialize;
use sqlx::any::AnyRow;
use state::Write;

pub(crate) use self::second_factor::place as totp_place;
pub use self::second_factor::{SecondFactor, TotpEnrolment};
use crate::audit::{Caller, Event};
use crate::error::{IdentityError, Refusal};
use crate::invitations::{self, INVITATION_LIFE, IssuedInvitation};
use crate::locks::LockTarget;
use crate::sign_in;
use crate::{Identity, lock_store, names, role_store, row};

/// Roles of one user, and logins.
pub const USER_LIST_MAX: usize = 64;
/// Users of one list.
const USERS_MAX: i64 = 10_000;
/// The role that someone always has to have.
pub(crate) const ADMIN: &str = "admin";
/// One lock for what depends on more than one user, or changes a user in several tables.
pub(crate) const USERS_LOCK: &str = "identity_users";

/// Who is to be let in.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The name.
    pub name: String,
    /// Their roles.
    pub roles: Vec<String>,
    /// The accounts on machines that their SSH certificates open.
    pub logins: Vec<String>,
}

/// A user as they are listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// The name.
    pub name: String,
    /// Their roles.
    pub roles: Vec<String>,
    /// The accounts on machines that their SSH certificates open.
    pub logins: Vec<String>,
    /// Whether they have accepted their invitation.
    pub has_password: bool,
    /// What they use beside the password.
    pub second_factors: Vec<SecondFactor>,
    /// Until when they must wait after wrong passwords, in Unix milliseconds; 0 when not at all.
    pub waits_until: i64,
    /// When they signed in last, in Unix milliseconds; 0 when never.
    pub signed_in_at: i64,
    /// When they were added, in Unix milliseconds.
    pub created_at: i64,
    /// By whom.
    pub created_by: String,
}

/// Users.
#[derive(Debug, Clone, Copy)]
pub struct Users<'a> {
    pub(crate) identity: &'a Identity,
}

impl Users<'_> {
    /// Adds a user; the invitation lets them set a password within the usual time.
    pub async fn add(
        self,
        caller: &Caller,
        user: &NewUser,
    ) -> Result<IssuedInvitation, IdentityError> {
        self.add_for(caller, user, INVITATION_LIFE).await
    }

    /// The same within `life`, at most [`invitations::INVITATION_LIFE_MAX`].
    pub async fn add_for(
        self,
        caller: &Caller,
        user: &NewUser,
        life: Duration,
    ) -> Result<IssuedInvitation, IdentityError> {
        invitations::check_life(life)?;
        names::check_user_name(&user.name)?;
        check_list("role", &user.roles)?;
        check_list("login", &user.logins)?;
        let mut write = self.identity.state().write().await?;
        write.lock("identity_roles").await?;
        write.lock(USERS_LOCK).await?;
        role_store::check_names(&mut write, &user.roles).await?;
        insert(
            &mut write,
            user,
            &caller.actor.to_string(),
            self.identity.now(),
        )
        .await?;
        lock_store::lift_removed(&mut write, &LockTarget::User(user.name.clone())).await?;
        let invitation =
            invitations::insert(self.identity, &mut write, caller, (&user.name, life)).await?;
        let event = Event::success("user.created", caller, format!("user:{}", user.name))
            .with("roles", &user.roles)
            .with("logins", &user.logins);
        self.identity.finish(write, &[event]).await?;
        self.identity.refresh().await?;
        Ok(invitation)
    }

    /// All users, by name.
    pub async fn list(self) -> Result<Vec<User>, IdentityError> {
        let mut read = self.identity.state().read().await?;
        let rows = sqlx::query("SELECT * FROM users ORDER BY name LIMIT $1")
            .bind(USERS_MAX)
            .fetch_all(&mut read)
            .await?;
        rows.iter().map(of_row).collect()
    }

    /// The user of that name.
    pub async fn get(self, name: &str) -> Result<Option<User>, IdentityError> {
        let mut read = self.identity.state().read().await?;
        let found = sqlx::query("SELECT * FROM users WHERE name = $1")
            .bind(name)
            .fetch_optional(&mut read)
            .await?;
        found.as_ref().map(of_row).transpose()
    }

    /// Gives a user other roles and logins. It acts at once.
    pub async fn update(self, caller: &Caller, user: &NewUser) -> Result<(), IdentityError> {
        check_list("role", &user.roles)?;
        check_list("login", &user.logins)?;
        let mut write = self.identity.state().write().await?;
        write.lock("identity_roles").await?;
        write.lock(USERS_LOCK).await?;
        role_store::check_names(&mut write, &user.roles).await?;
        if !user.roles.iter().any(|role| role == ADMIN) {
            check_other_admin(&mut write, &user.name).await?;
        }
        let done = sqlx::query("UPDATE users SET roles = $1, logins = $2 WHERE name = $3")
            .bind(row::to_json(&user.roles))
            .bind(row::to_json(&user.logins))
            .bind(user.name.as_str())
            .execute(&mut write)
            .await?;
        if done.rows_affected() == 0 {
            return Err(not_found(&user.name));
        }
        let event = Event::success("user.changed", caller, format!("user:{}", user.name))
            .with("roles", &user.roles)
            .with("logins", &user.logins);
        self.identity.finish(write, &[event]).await
    }

    /// Removes a user with their sessions, API tokens and invitations, and ends what they have open
    /// by a lock of ten minutes, which goes when somebody of that name is added. The last
    /// administrator stays.
    pub async fn remove(self, caller: &Caller, name: &str) -> Result<(), IdentityError> {
        let mut write = self.identity.state().write().await?;
        write.lock(USERS_LOCK).await?;
        check_other_admin(&mut write, name).await?;
        let done = sqlx::query("DELETE FROM users WHERE name = $1")
            .bind(name)
            .execute(&mut write)
            .await?;
        if done.rows_affected() == 0 {
            return Err(not_found(name));
        }
        for sql in [
            "DELETE FROM web_sessions WHERE user_name = $1",
            "DELETE FROM api_tokens WHERE user_name = $1",
            "DELETE FROM invitations WHERE user_name = $1",
        ] {
            sqlx::query(sql).bind(name).execute(&mut write).await?;
        }
        let lock = (LockTarget::User(name.to_owned()), 0);
        lock_store::insert_removed(&mut write, caller, lock, self.identity.now()).await?;
        let event = Event::success("user.removed", caller, format!("user:{name}"));
        self.identity.finish(write, &[event]).await?;
        self.identity.refresh().await
    }

    /// Sets another password for a user who knows the present one. Their other sessions end.
    pub async fn change_password(
        self,
        caller: &Caller,
        name: &str,
        (present, new): (Secret, Secret),
    ) -> Result<(), IdentityError> {
        let target = format!("user:{}", names::shortened(name));
        let proved = sign_in::prove(self.identity, name, present).await?;
        let proved = match proved {
            Ok(proved) => proved,
            Err(refusal) => {
                let event = Event::success("user.password_changed", caller, target);
                return Err(self.identity.refuse(event, refusal).await);
            }
        };
        let hash = self.identity.passwords().hash(new).await?;
        let mut write = self.identity.state().write().await?;
        let done = sqlx::query(
            "UPDATE users SET password_hash = $1, failures = 0, waits_until = 0
             WHERE name = $2 AND password_hash = $3",
        )
        .bind(hash)
        .bind(name)
        .bind(proved.password_hash)
        .execute(&mut write)
        .await?;
        if done.rows_affected() == 0 {
            return Err(Refusal::Credentials.into());
        }
        end_sessions(&mut write, name).await?;
        let event = Event::success("user.password_changed", caller, target);
        self.identity.finish(write, &[event]).await
    }
}

pub(crate) async fn end_sessions(write: &mut Write, name: &str) -> Result<(), IdentityError> {
    sqlx::query("DELETE FROM web_sessions WHERE user_name = $1")
        .bind(name)
        .execute(&mut *write)
        .await?;
    Ok(())
}

/// Keeps a user without a password.
pub(crate) async fn insert(
    write: &mut Write,
    user: &NewUser,
    created_by: &str,
    now: i64,
) -> Result<(), IdentityError> {
    let done = sqlx::query(
        "INSERT INTO users
             (name, roles, logins, password_hash, totp_key, totp_is_confirmed, totp_last_step,
              failures, failed_at, waits_until, signed_in_at, created_at, created_by)
         VALUES ($1, $2, $3, '', '', 0, 0, 0, 0, 0, 0, $4, $5) ON CONFLICT (name) DO NOTHING",
    )
    .bind(user.name.as_str())
    .bind(row::to_json(&user.roles))
    .bind(row::to_json(&user.logins))
    .bind(now)
    .bind(created_by)
    .execute(&mut *write)
    .await?;
    if done.rows_affected() == 0 {
        return Err(IdentityError::Exists {
            what: "user",
            name: user.name.clone(),
        });
    }
    Ok(())
}

/// Refuses when there is no administrator with a password but `name`.
async fn check_other_admin(write: &mut Write, name: &str) -> Result<(), IdentityError> {
    let rows = sqlx::query("SELECT name, roles FROM users WHERE password_hash <> ''")
        .fetch_all(&mut *write)
        .await?;
    let mut is_admin = false;
    for found in &rows {
        let roles: Vec<String> = row::json(found, "roles", "user")?;
        if roles.iter().any(|role| role == ADMIN) {
            if row::text(found, "name")? != name {
                return Ok(());
            }
            is_admin = true;
        }
    }
    if is_admin {
        let text = format!("{name} is the only administrator: make another one first");
        return Err(IdentityError::NotReady(text));
    }
    Ok(())
}

fn check_list(what: &'static str, list: &[String]) -> Result<(), IdentityError> {
    if list.len() > USER_LIST_MAX {
        let text = format!("{} {what}s: a user has at most {USER_LIST_MAX}", list.len());
        return Err(IdentityError::Invalid(text));
    }
    for name in list {
        names::check_name(what, name)?;
    }
    Ok(())
}

pub(crate) fn not_found(name: &str) -> IdentityError {
    IdentityError::NotFound {
        what: "user",
        name: names::shortened(name),
    }
}

fn of_row(found: &AnyRow) -> Result<User, IdentityError> {
    let has_totp = row::number(found, "totp_is_confirmed")? != 0;
    Ok(User {
        name: row::text(found, "name")?,
        roles: row::json(found, "roles", "user")?,
        logins: row::json(found, "logins", "user")?,
        has_password: !row::text(found, "password_hash")?.is_empty(),
        second_factors: has_totp.then_some(SecondFactor::Totp).into_iter().collect(),
        waits_until: row::number(found, "waits_until")?,
        signed_in_at: row::number(found, "signed_in_at")?,
        created_at: row::number(found, "created_at")?,
        created_by: row::text(found, "created_by")?,
    })
}

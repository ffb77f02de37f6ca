//! Keeping roles. The built-in ones are not in the table.

use state::{Read, Write};

use crate::audit::{Caller, Event};
use crate::error::IdentityError;
use crate::roles::{BUILT_IN, Role, RoleError};
use crate::{Identity, names, row};

/// Own roles at once.
const ROLES_MAX: i64 = 1000;

/// Roles.
#[derive(Debug, Clone, Copy)]
pub struct Roles<'a> {
    pub(crate) identity: &'a Identity,
}

impl Roles<'_> {
    /// Makes or replaces a role. It acts at once for all who have it.
    pub async fn put(self, caller: &Caller, role: &Role) -> Result<(), IdentityError> {
        role.check()?;
        let mut write = self.identity.state().write().await?;
        write.lock("identity_roles").await?;
        let found = sqlx::query("SELECT COUNT(*) AS count FROM roles WHERE name <> $1")
            .bind(role.name.as_str())
            .fetch_one(&mut write)
            .await?;
        if row::number(&found, "count")? >= ROLES_MAX {
            let text = "there are 1000 roles already: remove some".to_owned();
            return Err(IdentityError::NotReady(text));
        }
        sqlx::query(
            "INSERT INTO roles (name, document, changed_at, changed_by) VALUES ($1, $2, $3, $4)
             ON CONFLICT (name) DO UPDATE SET document = excluded.document,
                 changed_at = excluded.changed_at, changed_by = excluded.changed_by",
        )
        .bind(role.name.as_str())
        .bind(row::to_json(role))
        .bind(self.identity.now())
        .bind(caller.actor.to_string())
        .execute(&mut write)
        .await?;
        let event = Event::success("role.changed", caller, format!("role:{}", role.name))
            .with("role", role);
        self.identity.finish(write, &[event]).await
    }

    /// Removes a role that nobody has. With somebody's role its denials would go too.
    pub async fn remove(self, caller: &Caller, name: &str) -> Result<(), IdentityError> {
        if Role::built_in(name).is_some() {
            return Err(RoleError::BuiltIn(name.to_owned()).into());
        }
        let mut write = self.identity.state().write().await?;
        write.lock("identity_roles").await?;
        let users = sqlx::query("SELECT name, roles FROM users")
            .fetch_all(&mut write)
            .await?;
        for found in &users {
            let roles: Vec<String> = row::json(found, "roles", "user")?;
            if roles.iter().any(|role| role == name) {
                let user = row::text(found, "name")?;
                let text = format!("user {user} has role {name}: give them another one first");
                return Err(IdentityError::NotReady(text));
            }
        }
        let done = sqlx::query("DELETE FROM roles WHERE name = $1")
            .bind(name)
            .execute(&mut write)
            .await?;
        if done.rows_affected() == 0 {
            return Err(IdentityError::NotFound {
                what: "role",
                name: names::shortened(name),
            });
        }
        let event = Event::success("role.removed", caller, format!("role:{name}"));
        self.identity.finish(write, &[event]).await
    }

    /// All roles, the built-in ones first.
    pub async fn list(self) -> Result<Vec<Role>, IdentityError> {
        let mut read = self.identity.state().read().await?;
        let rows = sqlx::query("SELECT document FROM roles ORDER BY name")
            .fetch_all(&mut read)
            .await?;
        let mut roles: Vec<Role> = BUILT_IN.into_iter().filter_map(Role::built_in).collect();
        for found in &rows {
            roles.push(row::json(found, "document", "role")?);
        }
        Ok(roles)
    }
}

/// The roles of these names. One that is missing would take its denials with it, so it is an error.
pub(crate) async fn load(read: &mut Read, names: &[String]) -> Result<Vec<Role>, IdentityError> {
    let mut roles = Vec::new();
    for name in names {
        if let Some(role) = Role::built_in(name) {
            roles.push(role);
            continue;
        }
        let found = sqlx::query("SELECT document FROM roles WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(&mut *read)
            .await?;
        let found = found.ok_or(IdentityError::Stored("role"))?;
        roles.push(row::json(&found, "document", "role")?);
    }
    Ok(roles)
}

/// Refuses names of roles that are not there. Holds the lock with which roles are removed.
pub(crate) async fn check_names(write: &mut Write, wanted: &[String]) -> Result<(), IdentityError> {
    for name in wanted {
        if Role::built_in(name).is_some() {
            continue;
        }
        let found = sqlx::query("SELECT name FROM roles WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(&mut *write)
            .await?;
        if found.is_none() {
            return Err(IdentityError::NotFound {
                what: "role",
                name: names::shortened(name),
            });
        }
    }
    Ok(())
}

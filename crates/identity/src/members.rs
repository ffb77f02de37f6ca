//! The machines of the cluster: who holds certificates. Joining with a token, renewing at half life,
//! coming back after an absence, and removing. Where a machine is connected is not known here.

mod join;
pub mod renew;
mod sign;

use std::net::IpAddr;

use base::secret::Secret;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use crate::audit::{Caller, Event};
use crate::error::IdentityError;
use crate::locks::LockTarget;
use crate::names::{self, Labels};
use crate::peer::MachineRole;
use crate::trust::TrustBundle;
use crate::{Identity, lock_store, row};

/// Machines of one page of a list.
pub const PAGE_MEMBERS_MAX: i64 = 1000;

/// What a machine says to join.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// The join token.
    pub token: Secret,
    /// A PKCS #10 request, PEM or DER, see `authority::new_key`. Only its key counts.
    pub request: Vec<u8>,
    /// As what it wants to join.
    pub role: MachineRole,
    /// Under which name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Where it connects from.
    pub address: Option<IpAddr>,
}

/// What a machine gets for joining or renewing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// Its identifier, the same for ever.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// What it may be.
    pub role: MachineRole,
    /// Its labels, with those of the token.
    pub labels: Labels,
    /// Its certificate as PEM, for servers with the authority behind it.
    pub certificate: String,
    /// When the certificate ends, in Unix milliseconds.
    pub expires_at: i64,
    /// What it is to trust.
    pub trust: TrustBundle,
    /// The hub's time in Unix milliseconds: a machine whose clock differs by more than a minute
    /// says so.
    pub now: i64,
}

/// A machine as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its identifier.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// What it may be.
    pub role: MachineRole,
    /// Its labels.
    pub labels: Labels,
    /// The token with which it joined; empty when it is a process of the hub.
    pub token_id: String,
    /// The serial number of its certificate.
    pub serial: String,
    /// When its certificate ends, in Unix milliseconds.
    pub expires_at: i64,
    /// The generation of what it trusts, as it said last.
    pub trust_generation: i64,
    /// When it joined, in Unix milliseconds.
    pub joined_at: i64,
    /// When it got its certificate, in Unix milliseconds.
    pub renewed_at: i64,
}

/// The machines of the cluster.
#[derive(Debug, Clone, Copy)]
pub struct Members<'a> {
    pub(crate) identity: &'a Identity,
}

/// A row, with what is not listed.
pub(crate) struct Stored {
    pub(crate) member: Member,
    pub(crate) pinned_labels: Labels,
    pub(crate) key_hash: String,
}

const BY_UUID: &str = "SELECT * FROM members WHERE uuid = $1";
const BY_NAME: &str = "SELECT * FROM members WHERE name = $1";

impl Members<'_> {
    /// Machines after the name `after`, by name.
    pub async fn list(self, after: &str) -> Result<Vec<Member>, IdentityError> {
        let mut read = self.identity.state().read().await?;
        let rows = sqlx::query("SELECT * FROM members WHERE name > $1 ORDER BY name LIMIT $2")
            .bind(after)
            .bind(PAGE_MEMBERS_MAX)
            .fetch_all(&mut read)
            .await?;
        rows.iter().map(|found| Ok(of_row(found)?.member)).collect()
    }

    /// The machine of that identifier.
    pub async fn get(self, uuid: &str) -> Result<Option<Member>, IdentityError> {
        let mut read = self.identity.state().read().await?;
        let found = sqlx::query(BY_UUID)
            .bind(uuid)
            .fetch_optional(&mut read)
            .await?;
        found.map(|found| Ok(of_row(&found)?.member)).transpose()
    }

    /// The machine of that name.
    pub async fn find(self, name: &str) -> Result<Option<Member>, IdentityError> {
        let mut read = self.identity.state().read().await?;
        let found = sqlx::query(BY_NAME)
            .bind(name)
            .fetch_optional(&mut read)
            .await?;
        found.map(|found| Ok(of_row(&found)?.member)).transpose()
    }

    /// Notes that a machine trusts this generation now, see `TrustBundle::generation`. A rotation
    /// waits for that.
    pub async fn acknowledge_trust(self, uuid: &str, generation: i64) -> Result<(), IdentityError> {
        // Most say what is known already, with each new line: they don't get the writer.
        let known = self.get(uuid).await?;
        if known.is_none_or(|member| member.trust_generation >= generation) {
            return Ok(());
        }
        let mut write = self.identity.state().write().await?;
        let held = self.identity.trust().bundle().generation;
        sqlx::query(
            "UPDATE members SET trust_generation = $1 WHERE uuid = $2 AND trust_generation < $1",
        )
        .bind(generation.min(held))
        .bind(uuid)
        .execute(&mut write)
        .await?;
        Ok(write.commit().await?)
    }

    /// Removes a machine. It is locked at least until its certificate has ended, so that it is out at
    /// once; its name is free.
    pub async fn remove(self, caller: &Caller, uuid: &str) -> Result<(), IdentityError> {
        let now = self.identity.now();
        let mut write = self.identity.state().write().await?;
        let found = sqlx::query("DELETE FROM members WHERE uuid = $1 RETURNING name, expires_at")
            .bind(uuid)
            .fetch_optional(&mut write)
            .await?;
        let found = found.ok_or_else(|| not_found(uuid))?;
        let expires_at = row::number(&found, "expires_at")?;
        // Also when it has ended: a line that was begun before goes on without it.
        let lock = (LockTarget::Node(uuid.to_owned()), expires_at);
        lock_store::insert_removed(&mut write, caller, lock, now).await?;
        let event = Event::success("node.removed", caller, format!("node:{uuid}"))
            .with("name", row::text(&found, "name")?);
        self.identity.finish(write, &[event]).await?;
        self.identity.refresh().await
    }
}

fn not_found(uuid: &str) -> IdentityError {
    IdentityError::NotFound {
        what: "machine",
        name: names::shortened(uuid),
    }
}

pub(crate) fn of_row(found: &AnyRow) -> Result<Stored, IdentityError> {
    let role = MachineRole::parse(&row::text(found, "role")?);
    let member = Member {
        uuid: row::text(found, "uuid")?,
        name: row::text(found, "name")?,
        role: role.ok_or(IdentityError::Stored("machine"))?,
        labels: row::json(found, "labels", "machine")?,
        token_id: row::text(found, "token_id")?,
        serial: row::text(found, "serial")?,
        expires_at: row::number(found, "expires_at")?,
        trust_generation: row::number(found, "trust_generation")?,
        joined_at: row::number(found, "joined_at")?,
        renewed_at: row::number(found, "renewed_at")?,
    };
    Ok(Stored {
        member,
        pinned_labels: row::json(found, "pinned_labels", "machine")?,
        key_hash: row::text(found, "key_hash")?,
    })
}

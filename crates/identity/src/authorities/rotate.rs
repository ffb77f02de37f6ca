//! Moving a rotation on, and what has to be true before.

use serde::Serialize;
use state::{Read, Write};

use super::{Authorities, AuthorityKind, TRUST_TOPIC, create, parse_phase};
use crate::audit::{Caller, Event};
use crate::error::IdentityError;
use crate::rotation::{Generation, Phase};
use crate::row;

/// Names of machines that are given in an answer.
const NAMES_MAX: i64 = 20;

/// Where a rotation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RotationStatus {
    /// The phase.
    pub phase: Phase,
    /// Where one may go.
    pub next: &'static [Phase],
    /// When this phase began, in Unix milliseconds.
    pub changed_at: i64,
    /// What has to happen before the next phase; empty when nothing.
    pub waits_for: Vec<String>,
}

impl Authorities<'_> {
    /// Where the rotation of that kind stands.
    pub async fn rotation(self, kind: AuthorityKind) -> Result<RotationStatus, IdentityError> {
        let now = self.identity.now();
        let mut read = self.identity.state().read().await?;
        let found = sqlx::query("SELECT phase, changed_at FROM rotations WHERE kind = $1")
            .bind(kind.as_str())
            .fetch_one(&mut read)
            .await?;
        let phase = parse_phase(&found)?;
        let next = phase.next();
        let first = next.first().copied().unwrap_or(Phase::Standby);
        Ok(RotationStatus {
            phase,
            next,
            changed_at: row::number(&found, "changed_at")?,
            waits_for: obstacles(&mut read, kind, (phase, first), now).await?,
        })
    }

    /// Goes to the next phase, or back. Refused while somebody would be cut off: machines that don't
    /// know the new authority yet, or certificates of the one that goes. `is_forced` goes anyway.
    pub async fn rotate(
        self,
        caller: &Caller,
        kind: AuthorityKind,
        to: Phase,
        is_forced: bool,
    ) -> Result<(), IdentityError> {
        let now = self.identity.now();
        let mut write = self.identity.state().write().await?;
        write.lock("identity_rotation").await?;
        let from = super::phase(&mut write, kind).await?;
        from.check(to)?;
        let obstacles = obstacles(&mut write, kind, (from, to), now).await?;
        if !obstacles.is_empty() && !is_forced {
            return Err(IdentityError::NotReady(obstacles.join("; ")));
        }
        if to == Phase::Init {
            let cluster = self.identity.cluster();
            let sealer = self.identity.sealer();
            create(
                &mut write,
                sealer,
                (cluster, kind, Generation::Incoming),
                now,
            )
            .await?;
        }
        if to == Phase::Standby {
            drop_one(&mut write, kind, from.dropped_at_end()).await?;
        }
        note_phase(&mut write, kind, to, now).await?;
        write.touch(TRUST_TOPIC);
        let event = Event::success(
            "authority.rotated",
            caller,
            format!("authority:{}", kind.as_str()),
        )
        .with("from", from)
        .with("to", to)
        .with("forced_over", &obstacles);
        self.identity.finish(write, &[event]).await?;
        self.identity.refresh().await
    }
}

/// Removes one of two authorities; the other one is then the only one.
async fn drop_one(
    write: &mut Write,
    kind: AuthorityKind,
    dropped: Generation,
) -> Result<(), IdentityError> {
    sqlx::query("DELETE FROM authorities WHERE kind = $1 AND slot = $2")
        .bind(kind.as_str())
        .bind(dropped.slot())
        .execute(&mut *write)
        .await?;
    sqlx::query("UPDATE authorities SET slot = $1 WHERE kind = $2")
        .bind(Generation::Outgoing.slot())
        .bind(kind.as_str())
        .execute(&mut *write)
        .await?;
    Ok(())
}

/// Writes the phase, under a new generation of what is trusted.
async fn note_phase(
    write: &mut Write,
    kind: AuthorityKind,
    to: Phase,
    now: i64,
) -> Result<(), IdentityError> {
    let found = sqlx::query(
        "UPDATE clusters SET generation = generation + 1 WHERE id = 1 RETURNING generation",
    )
    .fetch_one(&mut *write)
    .await?;
    let generation = row::number(&found, "generation")?;
    sqlx::query("UPDATE rotations SET phase = $1, changed_at = $2 WHERE kind = $3")
        .bind(to.as_str())
        .bind(now)
        .bind(kind.as_str())
        .execute(&mut *write)
        .await?;
    if to == Phase::Init {
        // Whoever knows this generation trusts both authorities.
        sqlx::query("UPDATE rotations SET needed_generation = $1 WHERE kind = $2")
            .bind(generation)
            .bind(kind.as_str())
            .execute(&mut *write)
            .await?;
    }
    Ok(())
}

/// A connection that statements can be given to.
pub(super) trait Session {
    /// The names that a statement finds for a number, a kind and a slot.
    async fn names(
        &mut self,
        sql: &'static str,
        now: i64,
        kind: &str,
        slot: &str,
    ) -> Result<Vec<String>, IdentityError>;
}

macro_rules! session {
    ($name:ty) => {
        impl Session for $name {
            async fn names(
                &mut self,
                sql: &'static str,
                now: i64,
                kind: &str,
                slot: &str,
            ) -> Result<Vec<String>, IdentityError> {
                let rows = sqlx::query(sql)
                    .bind(now)
                    .bind(kind)
                    .bind(slot)
                    .bind(NAMES_MAX)
                    .fetch_all(&mut *self)
                    .await?;
                rows.iter().map(|found| row::text(found, "name")).collect()
            }
        }
    };
}

session!(Read);
session!(Write);

const UNAWARE: &str = "SELECT name FROM members
     WHERE expires_at > $1 AND $3 = 'x509' AND trust_generation <
           (SELECT needed_generation FROM rotations WHERE kind = $2)
     ORDER BY name LIMIT $4";
const HOLDING: &str = "SELECT members.name AS name FROM members, authorities
     WHERE members.expires_at > $1 AND members.authority_id = authorities.id
       AND authorities.kind = $2 AND authorities.slot = $3
     ORDER BY members.name LIMIT $4";
const OUTSTANDING: &str = "SELECT id AS name FROM authorities
     WHERE issued_until > $1 AND kind = $2 AND slot = $3 ORDER BY id LIMIT $4";

/// Who would be cut off by going on.
async fn obstacles(
    session: &mut impl Session,
    kind: AuthorityKind,
    (from, to): (Phase, Phase),
    now: i64,
) -> Result<Vec<String>, IdentityError> {
    let word = kind.as_str();
    let mut obstacles = Vec::new();
    if matches!(to, Phase::UpdateClients | Phase::UpdateServers) {
        // The third value says that the question makes sense: members are about X.509 only.
        let unaware = session.names(UNAWARE, now, word, word).await?;
        if !unaware.is_empty() {
            let names = unaware.join(", ");
            obstacles.push(format!("these don't know the new authority yet: {names}"));
        }
    }
    if to == Phase::Standby {
        let slot = from.dropped_at_end().slot();
        let holding = session.names(HOLDING, now, word, slot).await?;
        if !holding.is_empty() {
            let names = holding.join(", ");
            obstacles.push(format!(
                "these hold certificates of the authority that goes: {names}"
            ));
        }
        if !session
            .names(OUTSTANDING, now, word, slot)
            .await?
            .is_empty()
        {
            obstacles.push("certificates of people or hosts are still valid".to_owned());
        }
    }
    Ok(obstacles)
}

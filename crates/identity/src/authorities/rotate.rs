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
/// One at a time.
const ROTATION_LOCK: &str = "identity_rotation";

/// Where a rotation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RotationStatus {
    /// What it is about.
    pub kind: &'static str,
    /// The phase.
    pub phase: Phase,
    /// Where one may go.
    pub next: &'static [Phase],
    /// Whether it goes on by itself.
    pub is_automatic: bool,
    /// When this phase began, in Unix milliseconds.
    pub changed_at: i64,
    /// What has to happen before the next phase; empty when nothing.
    pub waits_for: Vec<String>,
}

/// How to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// Also when somebody is cut off by it.
    pub is_forced: bool,
    /// All further steps follow by themselves, each when nobody is cut off by it.
    pub is_automatic: bool,
}

impl Authorities<'_> {
    /// Where the rotation of that kind stands.
    pub async fn rotation(self, kind: AuthorityKind) -> Result<RotationStatus, IdentityError> {
        let now = self.identity.now();
        let mut read = self.identity.state().read().await?;
        let sql = "SELECT phase, changed_at, is_automatic FROM rotations WHERE kind = $1";
        let found = sqlx::query(sql)
            .bind(kind.as_str())
            .fetch_one(&mut read)
            .await?;
        let phase = parse_phase(&found)?;
        let next = phase.next();
        let first = next.first().copied().unwrap_or(Phase::Standby);
        Ok(RotationStatus {
            kind: kind.as_str(),
            phase,
            next,
            is_automatic: row::number(&found, "is_automatic")? != 0,
            changed_at: row::number(&found, "changed_at")?,
            waits_for: obstacles(&mut read, kind, (phase, first), now).await?,
        })
    }

    /// Goes to the next phase, or back. Refused while somebody would be cut off: machines that don't
    /// know the new authority yet, or certificates of the one that goes.
    pub async fn rotate(
        self,
        caller: &Caller,
        kind: AuthorityKind,
        to: Phase,
        pace: Pace,
    ) -> Result<(), IdentityError> {
        let now = self.identity.now();
        let mut write = self.identity.state().write().await?;
        write.lock(ROTATION_LOCK).await?;
        let from = super::phase(&mut write, kind).await?;
        from.check(to)?;
        let obstacles = obstacles(&mut write, kind, (from, to), now).await?;
        if !obstacles.is_empty() && !pace.is_forced {
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
        let is_automatic = pace.is_automatic && to != Phase::Standby;
        note_pace(&mut write, kind, is_automatic).await?;
        write.touch(TRUST_TOPIC);
        let event = Event::success(
            "authority.rotated",
            caller,
            format!("authority:{}", kind.as_str()),
        )
        .with("from", from)
        .with("to", to)
        .with("automatic", is_automatic)
        .with("forced_over", &obstacles);
        self.identity.finish(write, &[event]).await?;
        self.identity.refresh().await
    }

    /// Lets a rotation go on by itself from where it stands; one that has not begun begins.
    pub async fn rotate_by_itself(
        self,
        caller: &Caller,
        kind: AuthorityKind,
    ) -> Result<(), IdentityError> {
        let mut write = self.identity.state().write().await?;
        write.lock(ROTATION_LOCK).await?;
        let phase = super::phase(&mut write, kind).await?;
        if phase == Phase::Standby {
            drop(write);
            let pace = Pace {
                is_automatic: true,
                ..Pace::default()
            };
            return self.rotate(caller, kind, Phase::Init, pace).await;
        }
        note_pace(&mut write, kind, true).await?;
        write.touch(TRUST_TOPIC);
        let target = format!("authority:{}", kind.as_str());
        let event = Event::success("authority.automatic", caller, target).with("phase", phase);
        self.identity.finish(write, &[event]).await
    }

    /// Takes each rotation that goes on by itself one step further, unless somebody would be cut
    /// off. Says whether there is one.
    pub(crate) async fn advance(self) -> Result<bool, IdentityError> {
        let mut is_under_way = false;
        for kind in AuthorityKind::ALL {
            let status = self.rotation(kind).await?;
            let next = status.next.first().copied();
            let Some(next) = next.filter(|_| status.is_automatic) else {
                continue;
            };
            is_under_way = true;
            if !status.waits_for.is_empty() {
                continue;
            }
            let pace = Pace {
                is_automatic: true,
                ..Pace::default()
            };
            match self.rotate(&Caller::system(), kind, next, pace).await {
                // Another process was faster, or somebody has come meanwhile.
                Ok(()) | Err(IdentityError::Phase(_) | IdentityError::NotReady(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(is_under_way)
    }
}

async fn note_pace(
    write: &mut Write,
    kind: AuthorityKind,
    is_automatic: bool,
) -> Result<(), IdentityError> {
    sqlx::query("UPDATE rotations SET is_automatic = $1 WHERE kind = $2")
        .bind(i64::from(is_automatic))
        .bind(kind.as_str())
        .execute(&mut *write)
        .await?;
    Ok(())
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

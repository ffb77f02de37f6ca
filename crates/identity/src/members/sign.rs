//! Signing and keeping: the part that joining, renewing and coming back share.

use sqlx::any::AnyRow;
use state::Write;

use super::{BY_NAME, BY_UUID, JoinAnswer, Stored, of_row};
use crate::authority::{Request, Subject};
use crate::error::{IdentityError, Refusal};
use crate::names::Labels;
use crate::peer::MachineRole;
use crate::rotation::Usage;
use crate::{Identity, random, row};

/// What is to be in a certificate and in the table.
pub(super) struct Wanted<'a> {
    pub(super) role: MachineRole,
    pub(super) name: &'a str,
    pub(super) labels: Labels,
    pub(super) pinned_labels: Labels,
    pub(super) token_id: &'a str,
    pub(super) web_names: &'a [String],
    /// The machine that it is already.
    pub(super) uuid: Option<String>,
    /// Whether who has this answer cannot but trust what is in it: a machine that joins.
    pub(super) is_joining: bool,
}

/// Signs a certificate and keeps whose it is.
pub(super) async fn sign(
    identity: &Identity,
    write: &mut Write,
    wanted: Wanted<'_>,
    request: &Request,
) -> Result<JoinAnswer, IdentityError> {
    let now = identity.now();
    let usage = if wanted.role.is_server() {
        Usage::Server
    } else {
        Usage::Client
    };
    let signer = identity.authorities().x509(write, usage).await?;
    let is_new = wanted.uuid.is_none();
    let uuid = match wanted.uuid {
        Some(uuid) => uuid,
        None => random::uuid()?,
    };
    let subject = Subject::Machine {
        cluster: identity.cluster(),
        role: wanted.role,
        uuid: &uuid,
        name: wanted.name,
        web_names: wanted.web_names,
    };
    let issued = signer
        .key
        .issue(subject, request, now, identity.machine_life())?;
    let trust = identity.trust().bundle();
    let sql = if is_new { INSERT } else { UPDATE };
    let kept = sqlx::query(sql)
        .bind(uuid.as_str())
        .bind(wanted.role.as_str())
        .bind(wanted.name)
        .bind(row::to_json(&wanted.labels))
        .bind(row::to_json(&wanted.pinned_labels))
        .bind(request.key_hash())
        .bind(wanted.token_id)
        .bind(signer.id.as_str())
        .bind(issued.serial.as_str())
        .bind(issued.expires_at)
        .bind(now)
        .bind(if wanted.is_joining {
            trust.generation
        } else {
            0
        })
        .execute(&mut *write)
        .await;
    if let Err(error) = kept {
        return Err(taken(error, wanted.name));
    }
    Ok(JoinAnswer {
        uuid,
        name: wanted.name.to_owned(),
        role: wanted.role,
        labels: wanted.labels,
        certificate: issued.chain_pem,
        expires_at: issued.expires_at,
        trust,
        now,
    })
}

const INSERT: &str = "INSERT INTO members
         (uuid, role, name, labels, pinned_labels, key_hash, token_id, authority_id, serial,
          expires_at, trust_generation, joined_at, renewed_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $12, $11, $11)";
const UPDATE: &str = "UPDATE members SET role = $2, name = $3, labels = $4, pinned_labels = $5,
         key_hash = $6, token_id = $7, authority_id = $8, serial = $9, expires_at = $10,
         renewed_at = $11,
         trust_generation = CASE WHEN trust_generation < $12 THEN $12 ELSE trust_generation END
     WHERE uuid = $1";

/// Another one took the name between our look and our statement.
fn taken(error: sqlx::Error, name: &str) -> IdentityError {
    let is_taken = error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation);
    if is_taken {
        Refusal::NameTaken(name.to_owned()).into()
    } else {
        error.into()
    }
}

/// The labels of a machine: its own with those of its token, unless they contradict.
pub(super) fn join_labels(own: &Labels, pinned: &Labels) -> Result<Labels, Refusal> {
    let mut labels = own.clone();
    for (key, value) in pinned {
        match own.get(key) {
            Some(other) if other != value => return Err(Refusal::TokenLabel(key.clone())),
            _ => {
                labels.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(labels)
}

pub(super) async fn by_uuid(
    write: &mut Write,
    uuid: &str,
) -> Result<Option<Stored>, IdentityError> {
    let found = sqlx::query(BY_UUID)
        .bind(uuid)
        .fetch_optional(&mut *write)
        .await?;
    stored(found.as_ref())
}

pub(super) async fn by_name(
    write: &mut Write,
    name: &str,
) -> Result<Option<Stored>, IdentityError> {
    let found = sqlx::query(BY_NAME)
        .bind(name)
        .fetch_optional(&mut *write)
        .await?;
    stored(found.as_ref())
}

fn stored(found: Option<&AnyRow>) -> Result<Option<Stored>, IdentityError> {
    found.map(of_row).transpose()
}

//! The authorities as they are kept: sealed keys, and the rotation that replaces one without a
//! handshake failing. What the phases mean is in `rotation`.

mod rotate;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use base::secret::Secret;
use serde::Serialize;
use sqlx::any::AnyRow;
use state::{Read, Write};

pub use self::rotate::{Pace, RotationStatus};
use crate::authority::{self, Authority};
use crate::error::IdentityError;
use crate::rotation::{Generation, Phase, Usage};
use crate::seal::Sealer;
use crate::ssh_authority::SshAuthority;
use crate::trust::TrustBundle;
use crate::{Identity, random, row};

/// The topic of `State::watch` that is touched when what is trusted changes.
pub const TRUST_TOPIC: &str = "identity_trust";
/// Authorities whose keys are kept in memory: two of each kind, and some that were.
const KEYS_MAX: usize = 12;

/// What an authority signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthorityKind {
    /// Certificates of TLS.
    X509,
    /// Certificates of SSH users.
    SshUser,
    /// Certificates of SSH hosts.
    SshHost,
}

/// The authorities.
#[derive(Debug, Clone, Copy)]
pub struct Authorities<'a> {
    pub(crate) identity: &'a Identity,
}

/// An authority as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuthorityView {
    /// What it signs.
    pub kind: String,
    /// Its identifier.
    pub id: String,
    /// `outgoing` or `incoming`; the only one of its kind is `outgoing`.
    pub slot: String,
    /// What others know it by: the pin of a certificate, the line of an SSH key.
    pub public: String,
    /// When it was made, in Unix milliseconds.
    pub created_at: i64,
}

/// Opened keys by the identifier of their authority.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    opened: BTreeMap<String, Key>,
}

/// An opened key.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    X509(Arc<Authority>),
    Ssh(Arc<SshAuthority>),
}

/// The authority that signs now.
#[derive(Debug, Clone)]
pub(crate) struct Signer<K> {
    pub(crate) id: String,
    pub(crate) key: K,
}

impl AuthorityKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::X509, Self::SshUser, Self::SshHost];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X509 => "x509",
            Self::SshUser => "ssh_user",
            Self::SshHost => "ssh_host",
        }
    }

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Generation {
    fn slot(self) -> &'static str {
        match self {
            Self::Outgoing => "outgoing",
            Self::Incoming => "incoming",
        }
    }
}

/// Where a sealed key belongs.
fn place(id: &str) -> String {
    format!("authority/{id}")
}

impl Authorities<'_> {
    /// The authority that signs X.509 certificates of that usage, read in the transaction that
    /// records the certificate.
    pub(crate) async fn x509(
        self,
        write: &mut Write,
        usage: Usage,
    ) -> Result<Signer<Arc<Authority>>, IdentityError> {
        let (id, key) = self.signer(write, AuthorityKind::X509, usage).await?;
        match key {
            Key::X509(key) => Ok(Signer { id, key }),
            Key::Ssh(_) => Err(IdentityError::Stored("authority")),
        }
    }

    /// The authority that signs SSH certificates of that kind.
    pub(crate) async fn ssh(
        self,
        write: &mut Write,
        kind: AuthorityKind,
    ) -> Result<Signer<Arc<SshAuthority>>, IdentityError> {
        let usage = match kind {
            AuthorityKind::SshHost => Usage::Server,
            AuthorityKind::X509 | AuthorityKind::SshUser => Usage::Client,
        };
        let (id, key) = self.signer(write, kind, usage).await?;
        match key {
            Key::Ssh(key) => Ok(Signer { id, key }),
            Key::X509(_) => Err(IdentityError::Stored("authority")),
        }
    }

    /// All authorities, of each kind the outgoing one first.
    pub async fn list(self) -> Result<Vec<AuthorityView>, IdentityError> {
        let mut read = self.identity.state().read().await?;
        let sql = "SELECT id, kind, slot, public, created_at FROM authorities
             ORDER BY kind, slot DESC";
        let rows = sqlx::query(sql).fetch_all(&mut read).await?;
        let view = |found: &AnyRow| {
            let kind = row::text(found, "kind")?;
            let public = row::text(found, "public")?;
            let public = if kind == AuthorityKind::X509.as_str() {
                authority::pin(&authority::certificate_of_pem(&public)?)?
            } else {
                public
            };
            Ok(AuthorityView {
                id: row::text(found, "id")?,
                kind,
                slot: row::text(found, "slot")?,
                public,
                created_at: row::number(found, "created_at")?,
            })
        };
        rows.iter().map(view).collect()
    }

    /// Opens every key once.
    pub(crate) async fn check_keys(self) -> Result<(), IdentityError> {
        let mut read = self.identity.state().read().await?;
        let rows = sqlx::query("SELECT id, kind, public, sealed_key FROM authorities")
            .fetch_all(&mut read)
            .await?;
        drop(read);
        for found in &rows {
            self.open_key(found)?;
        }
        Ok(())
    }

    async fn signer(
        self,
        write: &mut Write,
        kind: AuthorityKind,
        usage: Usage,
    ) -> Result<(String, Key), IdentityError> {
        let phase = phase(write, kind).await?;
        let found = sqlx::query(
            "SELECT id, kind, public, sealed_key FROM authorities WHERE kind = $1 AND slot = $2",
        )
        .bind(kind.as_str())
        .bind(phase.signer(usage).slot())
        .fetch_optional(&mut *write)
        .await?;
        let found = found.ok_or(IdentityError::Stored("authority"))?;
        Ok((row::text(&found, "id")?, self.open_key(&found)?))
    }

    /// The key of a row, opened once and then remembered.
    fn open_key(self, found: &AnyRow) -> Result<Key, IdentityError> {
        let id = row::text(found, "id")?;
        let keys = || {
            let keys = self.identity.inner.keys.lock();
            keys.unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(key) = keys().opened.get(&id) {
            return Ok(key.clone());
        }
        let sealed = row::text(found, "sealed_key")?;
        let plain = self.identity.sealer().open_sealed(&place(&id), &sealed)?;
        let plain = String::from_utf8(plain).map_err(|_| IdentityError::Stored("authority"))?;
        let plain = Secret::new(plain);
        let kind = AuthorityKind::parse(&row::text(found, "kind")?);
        let key = match kind.ok_or(IdentityError::Stored("authority"))? {
            AuthorityKind::X509 => {
                let public = row::text(found, "public")?;
                Key::X509(Arc::new(Authority::load(&public, &plain)?))
            }
            AuthorityKind::SshUser | AuthorityKind::SshHost => {
                Key::Ssh(Arc::new(SshAuthority::load(&plain)?))
            }
        };
        let mut keys = keys();
        if keys.opened.len() >= KEYS_MAX {
            keys.opened.clear();
        }
        keys.opened.insert(id, key.clone());
        Ok(key)
    }
}

/// Remembers until when a certificate of this authority is valid whose holder is not a member: the
/// authority can't go before.
pub(crate) async fn note_issued(
    write: &mut Write,
    id: &str,
    expires_at: i64,
) -> Result<(), IdentityError> {
    sqlx::query("UPDATE authorities SET issued_until = $1 WHERE id = $2 AND issued_until < $1")
        .bind(expires_at)
        .bind(id)
        .execute(&mut *write)
        .await?;
    Ok(())
}

/// Where the rotation of that kind stands, as this transaction sees it.
async fn phase(write: &mut Write, kind: AuthorityKind) -> Result<Phase, IdentityError> {
    let found = sqlx::query("SELECT phase FROM rotations WHERE kind = $1")
        .bind(kind.as_str())
        .fetch_one(&mut *write)
        .await?;
    parse_phase(&found)
}

fn parse_phase(found: &AnyRow) -> Result<Phase, IdentityError> {
    Phase::parse(&row::text(found, "phase")?).ok_or(IdentityError::Stored("rotation"))
}

/// The authorities of a new cluster.
pub(crate) async fn create_all(
    write: &mut Write,
    sealer: &Sealer,
    cluster: &str,
    now: i64,
) -> Result<(), IdentityError> {
    for kind in AuthorityKind::ALL {
        create(write, sealer, (cluster, kind, Generation::Outgoing), now).await?;
        sqlx::query(
            "INSERT INTO rotations (kind, phase, needed_generation, changed_at)
             VALUES ($1, $2, 0, $3)",
        )
        .bind(kind.as_str())
        .bind(Phase::Standby.as_str())
        .bind(now)
        .execute(&mut *write)
        .await?;
    }
    Ok(())
}

/// Creates and keeps one authority; returns its identifier.
async fn create(
    write: &mut Write,
    sealer: &Sealer,
    (cluster, kind, generation): (&str, AuthorityKind, Generation),
    now: i64,
) -> Result<String, IdentityError> {
    let id = random::short_id()?;
    let (public, key) = match kind {
        AuthorityKind::X509 => {
            let (authority, key) = Authority::generate(cluster, now)?;
            (authority.certificate_pem().to_owned(), key)
        }
        AuthorityKind::SshUser | AuthorityKind::SshHost => {
            let comment = format!("landline-{cluster}-{}", kind.as_str());
            let (authority, key) = SshAuthority::generate(&comment)?;
            (authority.public_key()?, key)
        }
    };
    sqlx::query(
        "INSERT INTO authorities (id, kind, slot, public, sealed_key, issued_until, created_at)
         VALUES ($1, $2, $3, $4, $5, 0, $6)",
    )
    .bind(id.as_str())
    .bind(kind.as_str())
    .bind(generation.slot())
    .bind(public)
    .bind(sealer.seal(&place(&id), key.expose().as_bytes())?)
    .bind(now)
    .execute(&mut *write)
    .await?;
    Ok(id)
}

/// What everyone has to know, as one statement sees it.
pub(crate) async fn bundle(read: &mut Read) -> Result<TrustBundle, IdentityError> {
    // One statement, so that authorities and generation belong together.
    let rows = sqlx::query(
        "SELECT clusters.name, clusters.generation, rotations.phase, authorities.kind,
                authorities.public
         FROM clusters, rotations, authorities
         WHERE clusters.id = 1 AND rotations.kind = 'x509'
         ORDER BY authorities.slot DESC",
    )
    .fetch_all(&mut *read)
    .await?;
    let first = rows.first().ok_or(IdentityError::Stored("cluster"))?;
    let of_kind = |kind: AuthorityKind| {
        let mut publics = Vec::new();
        for found in &rows {
            if row::text(found, "kind")? == kind.as_str() {
                publics.push(row::text(found, "public")?);
            }
        }
        Ok::<_, IdentityError>(publics)
    };
    Ok(TrustBundle {
        cluster: row::text(first, "name")?,
        generation: row::number(first, "generation")?,
        phase: parse_phase(first)?,
        authorities: of_kind(AuthorityKind::X509)?,
        ssh_users: of_kind(AuthorityKind::SshUser)?,
        ssh_hosts: of_kind(AuthorityKind::SshHost)?,
    })
}

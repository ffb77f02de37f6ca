//! The SSH authorities: certificates for users and for hosts that stock OpenSSH accepts. Keys are
//! Ed25519. It keeps nothing; where its key rests and when it changes is `authorities`.

use std::fmt;
use std::time::Duration;

use base::secret::Secret;
use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::Ed25519Keypair;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey};

use crate::authority::{BACKDATE, LIFE_MAX};
use crate::random::{self, RandomError};

/// Principals of one certificate.
pub const PRINCIPALS_MAX: usize = 64;
/// The longest public key that is signed, in bytes of its text.
pub const PUBLIC_KEY_BYTES_MAX: usize = 4 << 10;

/// An authority with its key.
pub struct SshAuthority {
    key: PrivateKey,
}

/// What a user's certificate says.
#[derive(Debug, Clone, Default)]
pub struct SshUser<'a> {
    /// The user's public key, as in `authorized_keys`.
    pub public_key: &'a str,
    /// The user's name, for the logs of the hosts.
    pub name: &'a str,
    /// The accounts that it opens.
    pub logins: &'a [String],
    /// The user's roles.
    pub roles: &'a [String],
    /// Where it may be used from, as a list of networks; anywhere when empty.
    pub source_address: &'a str,
    /// Whether ports may be forwarded.
    pub may_forward_ports: bool,
    /// Whether the agent may be forwarded.
    pub may_forward_agent: bool,
}

/// Why no SSH certificate was signed.
#[derive(Debug, thiserror::Error)]
pub enum SshAuthorityError {
    /// The public key can't be read.
    #[error("the SSH public key cannot be read: expected one line like `ssh-ed25519 AAAA…`")]
    PublicKey,
    /// A key that we don't sign.
    #[error("SSH keys must be Ed25519 or ECDSA, or one of these on a security key")]
    KeyKind,
    /// Nobody, or too many: a certificate without principals would open every account.
    #[error("an SSH certificate names 1 to 64 accounts or hosts")]
    Principals,
    /// Longer than the longest.
    #[error("an SSH certificate may live for up to 30 days")]
    Life,
    /// The stored authority can't be read.
    #[error("the stored SSH authority cannot be read: restore it from a backup")]
    Stored(#[source] ssh_key::Error),
    /// Signing failed.
    #[error("signing an SSH certificate failed")]
    Sign(#[source] ssh_key::Error),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl fmt::Debug for SshAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshAuthority").finish_non_exhaustive()
    }
}

impl SshAuthority {
    /// A new authority; `comment` stands behind its public key. Returns its key as text too.
    pub fn generate(comment: &str) -> Result<(Self, Secret), SshAuthorityError> {
        let pair = Ed25519Keypair::from_seed(&random::bytes()?);
        let key = PrivateKey::new(pair.into(), comment).map_err(SshAuthorityError::Sign)?;
        let text = key
            .to_openssh(LineEnding::LF)
            .map_err(SshAuthorityError::Sign)?;
        Ok((Self { key }, Secret::new(text.as_str())))
    }

    /// An authority that was kept.
    pub fn load(key: &Secret) -> Result<Self, SshAuthorityError> {
        let key = PrivateKey::from_openssh(key.expose()).map_err(SshAuthorityError::Stored)?;
        Ok(Self { key })
    }

    /// Its public key, as in `authorized_keys`.
    pub fn public_key(&self) -> Result<String, SshAuthorityError> {
        let key = self.key.public_key().to_openssh();
        key.map_err(SshAuthorityError::Sign)
    }

    /// Signs a certificate for a user, from `now` in Unix milliseconds for `life`.
    pub fn sign_user(
        &self,
        user: &SshUser<'_>,
        now: i64,
        life: Duration,
    ) -> Result<String, SshAuthorityError> {
        let mut builder = builder(user.public_key, CertType::User, now, life)?;
        name(&mut builder, user.name, user.logins)?;
        let mut extensions = vec![("permit-pty", "")];
        if user.may_forward_ports {
            extensions.push(("permit-port-forwarding", ""));
        }
        if user.may_forward_agent {
            extensions.push(("permit-agent-forwarding", ""));
        }
        let roles = user.roles.join(",");
        extensions.push(("landline-roles@landline", &roles));
        // OpenSSH wants extensions sorted (PROTOCOL.certkeys); the builder keeps them in a map.
        for (key, value) in extensions {
            builder
                .extension(key, value)
                .map_err(SshAuthorityError::Sign)?;
        }
        if !user.source_address.is_empty() {
            builder
                .critical_option("source-address", user.source_address)
                .map_err(SshAuthorityError::Sign)?;
        }
        self.sign(builder)
    }

    /// Signs a certificate for a host with these names, from `now` in Unix milliseconds for `life`.
    pub fn sign_host(
        &self,
        public_key: &str,
        names: &[String],
        now: i64,
        life: Duration,
    ) -> Result<String, SshAuthorityError> {
        let mut builder = builder(public_key, CertType::Host, now, life)?;
        let first = names.first().map(String::as_str).unwrap_or_default();
        name(&mut builder, first, names)?;
        self.sign(builder)
    }

    fn sign(&self, builder: Builder) -> Result<String, SshAuthorityError> {
        let certificate = builder.sign(&self.key).map_err(SshAuthorityError::Sign)?;
        certificate.to_openssh().map_err(SshAuthorityError::Sign)
    }
}

/// The line of `known_hosts` with which a stock client trusts the hosts of the cluster.
pub fn known_hosts_line(pattern: &str, public_key: &str) -> String {
    format!("@cert-authority {pattern} {public_key}")
}

fn builder(
    public_key: &str,
    kind: CertType,
    now: i64,
    life: Duration,
) -> Result<Builder, SshAuthorityError> {
    if public_key.len() > PUBLIC_KEY_BYTES_MAX {
        return Err(SshAuthorityError::PublicKey);
    }
    if life > LIFE_MAX {
        return Err(SshAuthorityError::Life);
    }
    let key = PublicKey::from_openssh(public_key.trim());
    let key = key.map_err(|_| SshAuthorityError::PublicKey)?;
    if !is_signed(key.key_data()) {
        return Err(SshAuthorityError::KeyKind);
    }
    let now = u64::try_from(now / 1000).unwrap_or_default();
    let nonce = random::bytes::<32>()?;
    let start = now.saturating_sub(BACKDATE.as_secs());
    let end = now.saturating_add(life.as_secs());
    let mut builder =
        Builder::new(nonce, key.key_data().clone(), start, end).map_err(SshAuthorityError::Sign)?;
    let serial = u64::from_be_bytes(random::bytes()?);
    builder.serial(serial).map_err(SshAuthorityError::Sign)?;
    builder.cert_type(kind).map_err(SshAuthorityError::Sign)?;
    Ok(builder)
}

fn name(
    builder: &mut Builder,
    key_id: &str,
    principals: &[String],
) -> Result<(), SshAuthorityError> {
    let is_empty = principals.iter().any(String::is_empty);
    if principals.is_empty() || is_empty || principals.len() > PRINCIPALS_MAX {
        return Err(SshAuthorityError::Principals);
    }
    builder.key_id(key_id).map_err(SshAuthorityError::Sign)?;
    for principal in principals {
        builder
            .valid_principal(principal)
            .map_err(SshAuthorityError::Sign)?;
    }
    Ok(())
}

fn is_signed(key: &KeyData) -> bool {
    matches!(
        key.algorithm(),
        Algorithm::Ed25519
            | Algorithm::Ecdsa { .. }
            | Algorithm::SkEd25519
            | Algorithm::SkEcdsaSha2NistP256
    )
}

#[cfg(test)]
mod tests;

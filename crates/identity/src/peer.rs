//! Who a certificate of the cluster names. It says nothing about trust: that the certificate is
//! ours and in time is checked by the verifiers of `trust`.

use std::fmt;

use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{names, random};

/// The scheme of the URIs in certificates.
const SCHEME: &str = "landline";
/// URIs of one certificate that are looked at.
const URIS_MAX: usize = 4;

/// What a machine may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineRole {
    /// Holds the authorities.
    Auth,
    /// The public door; lines end there.
    Proxy,
    /// A machine that dials out.
    Node,
}

/// A machine as its certificate names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct NodePeer {
    /// Given once, when it joined.
    pub uuid: String,
    /// The operator's name for it, unique in the cluster.
    pub name: String,
    /// What it may be.
    pub role: MachineRole,
    /// The cluster that it belongs to.
    pub cluster: String,
    /// When its certificate ends, in Unix milliseconds.
    pub expires_at: i64,
}

/// A person as their certificate names them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct UserPeer {
    /// The user.
    pub name: String,
    /// The cluster that they belong to.
    pub cluster: String,
    /// When the certificate ends, in Unix milliseconds.
    pub expires_at: i64,
}

/// Whoever a certificate names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Peer {
    /// A machine.
    Machine(NodePeer),
    /// A person.
    User(UserPeer),
}

/// Why a certificate names nobody here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The handshake brought no certificate.
    #[error("no client certificate was presented")]
    Missing,
    /// Not X.509.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// No URI, or more than one answer.
    #[error("the certificate does not name one machine or user of a cluster")]
    Nameless,
    /// Of somewhere else.
    #[error("the certificate is of cluster {found:?}, this is {expected:?}")]
    Cluster {
        /// The one in the certificate.
        found: String,
        /// Ours.
        expected: String,
    },
    /// Not issued by an authority of the cluster, or not in time.
    #[error("the certificate is refused: {0}")]
    Untrusted(String),
    /// No authority with the pin is in the chain.
    #[error("the server did not prove the pin: check `ca_pin`, and that this is the right server")]
    Pin,
    /// Another machine than the one that was dialled.
    #[error("another machine answered: {0}")]
    OtherMachine(String),
    /// Locked by an operator.
    #[error("locked: {0}")]
    Locked(String),
    /// The names are right, but it may not do this.
    #[error("the certificate is one of role {found}, not {expected}")]
    Role {
        /// What it is.
        found: String,
        /// What was needed.
        expected: String,
    },
}

impl MachineRole {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Proxy => "proxy",
            Self::Node => "node",
        }
    }

    /// The role of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Auth, Self::Proxy, Self::Node]
            .into_iter()
            .find(|role| role.as_str() == word)
    }

    /// Whether others connect to it as to a server.
    pub fn is_server(self) -> bool {
        match self {
            Self::Auth | Self::Proxy => true,
            Self::Node => false,
        }
    }
}

impl fmt::Display for MachineRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The URIs of a machine's certificate.
pub(crate) fn machine_uris(
    cluster: &str,
    role: MachineRole,
    uuid: &str,
    name: &str,
) -> Vec<String> {
    vec![
        format!("{SCHEME}://{cluster}/{role}/{uuid}"),
        format!("{SCHEME}://{cluster}/name/{name}"),
    ]
}

/// The URIs of a person's certificate.
pub(crate) fn user_uris(cluster: &str, name: &str) -> Vec<String> {
    vec![format!("{SCHEME}://{cluster}/user/{name}")]
}

impl Peer {
    /// Reads who the certificate of a finished handshake names, and checks the cluster.
    pub fn from_certificate(
        certificate: &CertificateDer<'_>,
        cluster: &str,
    ) -> Result<Self, PeerError> {
        let peer = Self::from_certificate_of_any_cluster(certificate)?;
        if peer.cluster() == cluster {
            return Ok(peer);
        }
        Err(PeerError::Cluster {
            found: names::shortened(peer.cluster()),
            expected: cluster.to_owned(),
        })
    }

    pub(crate) fn from_certificate_of_any_cluster(
        certificate: &CertificateDer<'_>,
    ) -> Result<Self, PeerError> {
        let (rest, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| PeerError::Unreadable)?;
        if !rest.is_empty() {
            return Err(PeerError::Unreadable);
        }
        let expires_at = parsed.validity().not_after.timestamp().saturating_mul(1000);
        parse_uris(&uris(&parsed)?, expires_at).ok_or(PeerError::Nameless)
    }

    /// The machine, if it is one of `roles`.
    pub fn machine(self, roles: &[MachineRole]) -> Result<NodePeer, PeerError> {
        let expected = || {
            let words: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            words.join(" or ")
        };
        match self {
            Self::Machine(peer) if roles.contains(&peer.role) => Ok(peer),
            Self::Machine(peer) => Err(PeerError::Role {
                found: peer.role.to_string(),
                expected: expected(),
            }),
            Self::User(_) => Err(PeerError::Role {
                found: "user".to_owned(),
                expected: expected(),
            }),
        }
    }

    fn cluster(&self) -> &str {
        match self {
            Self::Machine(peer) => &peer.cluster,
            Self::User(peer) => &peer.cluster,
        }
    }
}

fn uris(certificate: &X509Certificate<'_>) -> Result<Vec<String>, PeerError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| PeerError::Unreadable)?
        .ok_or(PeerError::Nameless)?;
    let uris = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
    Ok(uris.take(URIS_MAX + 1).collect())
}

/// Reads the URIs as [`machine_uris`] and [`user_uris`] write them, and nothing else: whatever is
/// left over makes the certificate nobody's.
fn parse_uris(uris: &[String], expires_at: i64) -> Option<Peer> {
    let parts: Vec<(&str, &str, &str)> =
        uris.iter().map(|uri| parts(uri)).collect::<Option<_>>()?;
    match parts[..] {
        [(cluster, "user", name)] => Some(Peer::User(UserPeer {
            name: name.to_owned(),
            cluster: cluster.to_owned(),
            expires_at,
        })),
        [(cluster, role, uuid), (same, "name", name)] if cluster == same => {
            random::is_uuid(uuid).then_some(())?;
            Some(Peer::Machine(NodePeer {
                uuid: uuid.to_owned(),
                name: name.to_owned(),
                role: MachineRole::parse(role)?,
                cluster: cluster.to_owned(),
                expires_at,
            }))
        }
        _ => None,
    }
}

/// Cluster, kind and value of one URI.
fn parts(uri: &str) -> Option<(&str, &str, &str)> {
    let rest = uri.strip_prefix(SCHEME)?.strip_prefix("://")?;
    let (cluster, rest) = rest.split_once('/')?;
    let (kind, value) = rest.split_once('/')?;
    names::check_name("cluster", cluster).ok()?;
    names::check_name("peer", value).ok()?;
    Some((cluster, kind, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn check(uris: &[&str], expected: Option<&str>) {
        let uris: Vec<String> = uris.iter().map(|uri| (*uri).to_owned()).collect();
        let found = parse_uris(&uris, 7).map(|peer| match peer {
            Peer::Machine(peer) => format!("{}:{}:{}", peer.role, peer.uuid, peer.name),
            Peer::User(peer) => format!("user:{}", peer.name),
        });
        assert_eq!(found.as_deref(), expected, "{uris:?}");
    }

    #[test]
    fn only_our_own_uris_name_somebody() {
        let node = format!("landline://home/node/{UUID}");
        let named = format!("node:{UUID}:web-1");
        check(&[&node, "landline://home/name/web-1"], Some(&named));
        check(&["landline://home/user/anna"], Some("user:anna"));
        check(&[], None);
        check(&[&node], None);
        check(&["landline://home/name/web-1", &node], None);
        check(&[&node, "landline://other/name/web-1"], None);
        check(
            &[&node, "landline://home/name/web-1", "https://a/b/c"],
            None,
        );
        check(&[&node, "landline://home/name/a/b"], None);
        check(&["landline://home/user/../node"], None);
        check(&["landline://home/admin/anna"], None);
        check(
            &["landline://home/node/1", "landline://home/name/web-1"],
            None,
        );
        check(&["landline:///user/anna"], None);
    }
}

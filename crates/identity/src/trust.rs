//! What a process of the cluster trusts, as rustls verifiers that follow changes without being
//! built anew. The same type serves the hub, which reads it from the state, and a node, which gets
//! it over its line. Names in certificates are URIs of ours; DNS names prove nothing here.

mod verifiers;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::client::danger::ServerCertVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::authority::{self, AuthorityError};
use crate::locks::{Lock, LockSet, LockTarget};
use crate::peer::{MachineRole, Peer, PeerError};
use crate::rotation::{Generation, Phase, Usage};

/// Authorities of one bundle: two during a rotation, with room for one that is added by hand.
pub const AUTHORITIES_MAX: usize = 4;

/// What everyone in the cluster has to know to recognise the others. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustBundle {
    /// The cluster.
    pub cluster: String,
    /// Grows with each change; an older bundle never replaces a newer one.
    pub generation: i64,
    /// Where the rotation of the X.509 authority stands.
    pub phase: Phase,
    /// Certificates of the X.509 authorities, PEM; during a rotation the outgoing one first.
    pub authorities: Vec<String>,
    /// Public keys that sign certificates of SSH users, as in `authorized_keys`.
    pub ssh_users: Vec<String>,
    /// Public keys that sign certificates of SSH hosts.
    pub ssh_hosts: Vec<String>,
}

impl TrustBundle {
    /// The authority, PEM, that signs certificates of that usage in this phase.
    pub fn signer(&self, usage: Usage) -> Option<&str> {
        let signer = match self.phase.signer(usage) {
            Generation::Outgoing => self.authorities.first(),
            Generation::Incoming => self.authorities.last(),
        };
        signer.map(String::as_str)
    }
}

/// What is trusted now; clones share it.
#[derive(Clone)]
pub struct Trust {
    shared: Arc<Shared>,
}

struct Shared {
    current: ArcSwap<Current>,
    locks: ArcSwap<LockSet>,
    /// Counts changes of either.
    version: watch::Sender<u64>,
}

struct Current {
    bundle: TrustBundle,
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
}

/// Why a bundle is not taken.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// No authority, or too many.
    #[error("a bundle of {0} authorities: expected 1 to 4")]
    Count(usize),
    /// One can't be read.
    #[error("an authority of the bundle cannot be read")]
    Authority(#[from] AuthorityError),
    /// One is not fit to be an authority.
    #[error("an authority of the bundle is not usable: {0}")]
    Unusable(String),
    /// Of another cluster.
    #[error("the bundle is of cluster {found:?}, this is {expected:?}")]
    Cluster {
        /// The one in the bundle.
        found: String,
        /// Ours.
        expected: String,
    },
}

/// Whether a server insists on a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No certificate, no connection: lines.
    Required,
    /// The same, but whether the holder is locked is asked of [`Trust::client_of`] after the
    /// handshake: an alert of TLS can't say why somebody is refused.
    RequiredThenExplained,
    /// Whoever brings one is checked: the door that browsers use too.
    Optional,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.shared.current.load();
        f.debug_struct("Trust")
            .field("cluster", &current.bundle.cluster)
            .field("generation", &current.bundle.generation)
            .finish_non_exhaustive()
    }
}

impl Trust {
    /// Trusts what `bundle` says.
    pub fn new(bundle: TrustBundle) -> Result<Self, TrustError> {
        let shared = Shared {
            current: ArcSwap::from_pointee(Current::new(bundle)?),
            locks: ArcSwap::default(),
            version: watch::Sender::new(0),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Takes a newer bundle; verifiers that were given out follow. Says whether it was newer.
    pub fn replace(&self, bundle: TrustBundle) -> Result<bool, TrustError> {
        let held = self.shared.current.load().bundle.clone();
        if held.cluster != bundle.cluster {
            return Err(TrustError::Cluster {
                found: crate::names::shortened(&bundle.cluster),
                expected: held.cluster,
            });
        }
        let next = Arc::new(Current::new(bundle)?);
        let before = self.shared.current.rcu(|current| {
            if current.bundle.generation < next.bundle.generation {
                next.clone()
            } else {
                current.clone()
            }
        });
        let is_newer = before.bundle.generation < next.bundle.generation;
        if is_newer {
            self.note_change();
        }
        Ok(is_newer)
    }

    /// Tells when another bundle or other locks have been taken.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    fn note_change(&self) {
        self.shared.version.send_modify(|version| *version += 1);
    }

    /// The bundle, to be kept or sent on.
    pub fn bundle(&self) -> TrustBundle {
        self.shared.current.load().bundle.clone()
    }

    /// The pins of the authorities, see [`authority::pin`].
    pub fn pins(&self) -> Result<Vec<String>, TrustError> {
        let bundle = self.bundle();
        pins_of(&bundle)
    }

    /// Refuses from now on whom these locks name.
    pub fn set_locks(&self, locks: LockSet) {
        if *self.shared.locks.load_full() != locks {
            self.shared.locks.store(Arc::new(locks));
            self.note_change();
        }
    }

    /// The lock on one of `targets` that holds at `now`, in Unix milliseconds.
    pub fn lock_on(&self, targets: &[LockTarget], now: i64) -> Option<Lock> {
        self.shared.locks.load().find(targets, now).cloned()
    }

    /// Checks certificates of clients: issued by a trusted authority, in time, naming a machine or
    /// user of this cluster who is not locked.
    pub fn client_verifier(&self, demand: ClientCertificates) -> Arc<dyn ClientCertVerifier> {
        Arc::new(verifiers::Clients {
            trust: self.clone(),
            demand,
        })
    }

    /// Checks the certificate of a server that must be a machine with one of `roles`, and the
    /// machine `uuid` if it is given. The name that was dialled plays no part.
    pub fn server_verifier(
        &self,
        roles: &'static [MachineRole],
        uuid: Option<String>,
    ) -> Arc<dyn ServerCertVerifier> {
        Arc::new(verifiers::Servers {
            trust: self.clone(),
            roles,
            uuid,
        })
    }

    /// Who the client of a finished handshake is. It checks everything again, because a resumed
    /// TLS session does not ask the verifier: its certificate may have ended or be locked since.
    pub fn client_of(
        &self,
        certificates: Option<&[CertificateDer<'_>]>,
        now: UnixTime,
    ) -> Result<Peer, PeerError> {
        let (first, others) = certificates
            .and_then(|all| all.split_first())
            .ok_or(PeerError::Missing)?;
        let current = self.shared.current.load();
        current
            .clients
            .verify_client_cert(first, others, now)
            .map_err(|error| PeerError::Untrusted(explain(&error)))?;
        self.named(first, now)
    }

    /// Whom the certificate names, unless they are locked.
    fn named(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<Peer, PeerError> {
        let current = self.shared.current.load();
        let peer = Peer::from_certificate(certificate, &current.bundle.cluster)?;
        self.check_locks(&peer, now)?;
        Ok(peer)
    }

    fn check_locks(&self, peer: &Peer, now: UnixTime) -> Result<(), PeerError> {
        let targets = match peer {
            Peer::Machine(peer) => vec![
                LockTarget::Node(peer.uuid.clone()),
                LockTarget::Role(peer.role.to_string()),
            ],
            Peer::User(peer) => vec![LockTarget::User(peer.name.clone())],
        };
        let now = i64::try_from(now.as_secs().saturating_mul(1000)).unwrap_or(i64::MAX);
        match self.lock_on(&targets, now) {
            Some(lock) => Err(PeerError::Locked(lock.reason)),
            None => Ok(()),
        }
    }
}

/// Checks the server of a first contact, when only a pin is known: an authority with that pin has
/// to be in its chain and must have signed it, and it must be a proxy or auth of the cluster.
pub fn pinned_verifier(pins: Vec<String>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(verifiers::Pinned { pins })
}

/// What was wrong with a peer, for a log or an operator: rustls prints only the names of our errors.
pub fn explain(error: &rustls::Error) -> String {
    use rustls::{CertificateError, Error, PeerIncompatible};
    match error {
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => "it speaks nothing newer than TLS 1.2".to_owned(),
        Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig) => {
            "it speaks no TLS 1.3; something on the way may end TLS".to_owned()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is of an authority that this cluster does not trust".to_owned()
        }
        Error::InvalidCertificate(CertificateError::Other(inner)) => inner.0.to_string(),
        other => other.to_string(),
    }
}

/// The pins of the authorities of a bundle, see [`authority::pin`].
pub fn pins_of(bundle: &TrustBundle) -> Result<Vec<String>, TrustError> {
    let certificates = bundle.authorities.iter();
    let pins = certificates.map(|pem| {
        let certificate = authority::certificate_of_pem(pem)?;
        Ok(authority::pin(&certificate)?)
    });
    pins.collect()
}

impl Current {
    fn new(bundle: TrustBundle) -> Result<Self, TrustError> {
        if bundle.authorities.is_empty() || bundle.authorities.len() > AUTHORITIES_MAX {
            return Err(TrustError::Count(bundle.authorities.len()));
        }
        let mut roots = RootCertStore::empty();
        for pem in &bundle.authorities {
            roots
                .add(authority::certificate_of_pem(pem)?)
                .map_err(|error| TrustError::Unusable(error.to_string()))?;
        }
        let roots = Arc::new(roots);
        let clients = verifiers::clients_of(roots.clone())?;
        Ok(Self {
            bundle,
            roots,
            clients,
        })
    }
}

#[cfg(test)]
mod tests;

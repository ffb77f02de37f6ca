//! Statements of one machine that others pass on, such as announcements of proxies: signed with the
//! key of the machine's certificate, so that they follow a rotation and need no key of their own.
//! That a statement is new is said inside it, and checked by whoever reads it.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, UnparsedPublicKey,
    VerificationAlgorithm,
};
use rustls::SignatureScheme;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::own_certificate::OwnCertificate;
use crate::peer::{MachineRole, NodePeer, PeerError};
use crate::trust::Trust;

/// The longest statement, in bytes.
pub const STATEMENT_BYTES_MAX: usize = 64 << 10;
/// Certificates that come with a statement.
const CHAIN_MAX: usize = 3;
/// Stands before everything that is signed, with the purpose behind it: a signature for one purpose,
/// or of a TLS handshake with the same key, counts for no other.
const CONTEXT: &str = "landline statement 1";

/// A signed statement, with the certificate of who made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// What is stated.
    pub statement: Vec<u8>,
    /// The certificate, DER, and the authority behind it.
    pub chain: Vec<Vec<u8>>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// Why a statement is not signed, or not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// No certificate is installed.
    #[error("there is no certificate to sign with yet")]
    NoCertificate,
    /// Longer than the longest.
    #[error("a statement has at most 64 KiB and 3 certificates")]
    TooLarge,
    /// The key can't sign, or not like that.
    #[error("signing a statement failed")]
    Sign,
    /// The signature does not fit.
    #[error("the signature of a statement does not fit")]
    Signature,
    /// Who made it is not believed.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

impl OwnCertificate {
    /// Signs a statement for one purpose, such as `announcement`.
    pub fn sign(&self, purpose: &str, statement: &[u8]) -> Result<Signed, SignedError> {
        if statement.len() > STATEMENT_BYTES_MAX {
            return Err(SignedError::TooLarge);
        }
        let key = self.key().ok_or(SignedError::NoCertificate)?;
        let schemes = [
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ED25519,
        ];
        let signer = key.key.choose_scheme(&schemes).ok_or(SignedError::Sign)?;
        let signature = signer
            .sign(&message(purpose, statement))
            .map_err(|_| SignedError::Sign)?;
        Ok(Signed {
            statement: statement.to_vec(),
            chain: key.cert.iter().map(|der| der.to_vec()).collect(),
            signature,
        })
    }
}

impl Trust {
    /// Who made a statement for `purpose`, if that is a machine with one of `roles` whose certificate
    /// is good at `now`.
    pub fn verify(
        &self,
        signed: &Signed,
        purpose: &str,
        roles: &[MachineRole],
        now: UnixTime,
    ) -> Result<NodePeer, SignedError> {
        if signed.statement.len() > STATEMENT_BYTES_MAX || signed.chain.len() > CHAIN_MAX {
            return Err(SignedError::TooLarge);
        }
        let chain = signed.chain.iter();
        let chain: Vec<_> = chain
            .map(|der| CertificateDer::from(der.as_slice()))
            .collect();
        let peer = self.client_of(Some(&chain), now)?.machine(roles)?;
        let first = chain.first().ok_or(PeerError::Missing)?;
        let (_, parsed) = X509Certificate::from_der(first).map_err(|_| PeerError::Unreadable)?;
        let public = parsed.public_key();
        let algorithm = algorithm(public).ok_or(SignedError::Signature)?;
        UnparsedPublicKey::new(algorithm, &public.subject_public_key.data)
            .verify(&message(purpose, &signed.statement), &signed.signature)
            .map_err(|_| SignedError::Signature)?;
        Ok(peer)
    }
}

fn message(purpose: &str, statement: &[u8]) -> Vec<u8> {
    let mut message = format!("{CONTEXT}\0{purpose}\0").into_bytes();
    message.extend_from_slice(statement);
    message
}

/// The algorithm of a key that [`crate::authority::Request`] takes.
fn algorithm(
    public: &x509_parser::x509::SubjectPublicKeyInfo<'_>,
) -> Option<&'static dyn VerificationAlgorithm> {
    // An uncompressed point has a byte and two coordinates (SEC 1, 2.3.3); Ed25519 has one
    // coordinate.
    match public.subject_public_key.data.len() {
        65 => Some(&ECDSA_P256_SHA256_ASN1),
        97 => Some(&ECDSA_P384_SHA384_ASN1),
        32 => Some(&ED25519),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Authority;
    use crate::test_support::{CLUSTER, bundle, certified, machine, now};

    const UUID: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    const PROXIES: &[MachineRole] = &[MachineRole::Proxy];

    fn unix_now() -> UnixTime {
        UnixTime::since_unix_epoch(std::time::Duration::from_millis(now().unsigned_abs()))
    }

    #[test]
    fn a_statement_counts_for_its_maker_and_purpose_only() {
        let (authority, _) = Authority::generate(CLUSTER, now()).unwrap();
        let trust = Trust::new(bundle(1, &[&authority])).unwrap();
        let proxy = certified(&authority, machine(MachineRole::Proxy, UUID, "hub"), now());
        let node = certified(&authority, machine(MachineRole::Node, UUID, "web-1"), now());
        let signed = proxy.sign("announcement", b"I am here").unwrap();
        let check = |signed: &Signed, purpose: &str| {
            trust
                .verify(signed, purpose, PROXIES, unix_now())
                .map(|peer| peer.name)
        };
        assert_eq!(check(&signed, "announcement"), Ok("hub".to_owned()));
        assert_eq!(check(&signed, "drain"), Err(SignedError::Signature));
        let mut changed = signed.clone();
        changed.statement.push(b'!');
        assert_eq!(check(&changed, "announcement"), Err(SignedError::Signature));
        let by_node = node.sign("announcement", b"I am here").unwrap();
        let refused = check(&by_node, "announcement");
        assert!(matches!(
            refused,
            Err(SignedError::Peer(PeerError::Role { .. }))
        ));
        let mut disguised = by_node;
        disguised.chain.clone_from(&signed.chain);
        assert_eq!(
            check(&disguised, "announcement"),
            Err(SignedError::Signature)
        );

        let (other, _) = Authority::generate(CLUSTER, now()).unwrap();
        let stranger = certified(&other, machine(MachineRole::Proxy, UUID, "hub"), now());
        let refused = check(
            &stranger.sign("announcement", b"x").unwrap(),
            "announcement",
        );
        assert!(matches!(
            refused,
            Err(SignedError::Peer(PeerError::Untrusted(_)))
        ));
        let late = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1 << 40));
        assert!(
            trust
                .verify(&signed, "announcement", PROXIES, late)
                .is_err()
        );
        let long = vec![0; STATEMENT_BYTES_MAX + 1];
        assert_eq!(proxy.sign("x", &long), Err(SignedError::TooLarge));
        let nothing = OwnCertificate::new().sign("x", b"");
        assert_eq!(nothing, Err(SignedError::NoCertificate));
    }
}

//! A machine's own certificate, as TLS servers and clients present it. Installing a renewed one
//! takes effect with the next handshake; nothing is built anew.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use base::secret::Secret;
use base::tls::provider;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::authority;
use crate::rotation::Usage;
use crate::trust::TrustBundle;

/// Certificate and key; clones share them.
#[derive(Clone, Default)]
pub struct OwnCertificate {
    current: Arc<ArcSwapOption<Current>>,
}

struct Current {
    key: Arc<CertifiedKey>,
    validity: Validity,
    /// The name of the authority that signed it, DER.
    issuer: Vec<u8>,
}

/// From when to when a certificate is valid, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From.
    pub starts_at: i64,
    /// To.
    pub expires_at: i64,
}

/// Why a certificate can't be installed.
#[derive(Debug, thiserror::Error)]
pub enum OwnCertificateError {
    /// The chain can't be read.
    #[error("the certificate cannot be read")]
    Chain,
    /// The key can't be read.
    #[error("the private key cannot be read")]
    Key,
    /// They don't belong together.
    #[error("certificate and key do not fit: {0}")]
    Pair(String),
}

impl fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnCertificate")
            .field("validity", &self.validity())
            .finish_non_exhaustive()
    }
}

impl OwnCertificate {
    /// Nothing installed yet: handshakes that need it fail.
    pub fn new() -> Self {
        Self::default()
    }

    /// Presents this chain from now on.
    pub fn install(&self, chain_pem: &str, key_pem: &Secret) -> Result<(), OwnCertificateError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| OwnCertificateError::Chain)?;
        let first = chain.first().ok_or(OwnCertificateError::Chain)?;
        let (validity, issuer) = read(first)?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.expose().as_bytes())
            .map_err(|_| OwnCertificateError::Key)?;
        let key = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|error| OwnCertificateError::Pair(error.to_string()))?;
        self.current.store(Some(Arc::new(Current {
            key: Arc::new(key),
            validity,
            issuer,
        })));
        Ok(())
    }

    /// Whether it was signed by the authority that signs such certificates now. Without one that is
    /// installed or can be read there is nothing to replace.
    pub fn is_of_signer(&self, bundle: &TrustBundle, usage: Usage) -> bool {
        let current = self.current.load();
        let signer = bundle.signer(usage);
        let signer = signer.and_then(|pem| authority::certificate_of_pem(pem).ok());
        let (Some(current), Some(signer)) = (current.as_ref(), signer) else {
            return true;
        };
        let parsed = X509Certificate::from_der(&signer);
        parsed.is_ok_and(|(_, parsed)| parsed.subject().as_raw() == current.issuer)
    }

    /// From when to when it is valid; nothing when none is installed.
    pub fn validity(&self) -> Option<Validity> {
        self.current.load().as_ref().map(|current| current.validity)
    }

    /// When it should be renewed, in Unix milliseconds: at half its life. `spread` from 0 to 1
    /// brings that forward by up to a tenth, so that machines that joined together don't renew
    /// together.
    pub fn renew_at(&self, spread: f64) -> Option<i64> {
        self.validity().map(|validity| validity.renew_at(spread))
    }

    pub(crate) fn key(&self) -> Option<Arc<CertifiedKey>> {
        self.current
            .load()
            .as_ref()
            .map(|current| current.key.clone())
    }
}

impl Validity {
    /// See [`OwnCertificate::renew_at`].
    pub fn renew_at(self, spread: f64) -> i64 {
        let half = (self.expires_at - self.starts_at) / 2;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a tenth of a certificate's life in milliseconds"
        )]
        let earlier = (half as f64 / 5.0 * spread.clamp(0.0, 1.0)) as i64;
        self.starts_at + half - earlier
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key()
    }
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.key()
    }

    fn has_certs(&self) -> bool {
        self.current.load().is_some()
    }
}

/// From when to when it is valid, and who signed it.
fn read(certificate: &CertificateDer<'_>) -> Result<(Validity, Vec<u8>), OwnCertificateError> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| OwnCertificateError::Chain)?;
    let milliseconds = |time: x509_parser::time::ASN1Time| time.timestamp().saturating_mul(1000);
    let validity = Validity {
        starts_at: milliseconds(parsed.validity().not_before),
        expires_at: milliseconds(parsed.validity().not_after),
    };
    Ok((validity, parsed.issuer().as_raw().to_vec()))
}

//! TLS settings: what a client or a listener is told, turned into rustls configurations. One crypto
//! provider (aws-lc-rs). Issuing certificates is not done here.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use serde::Serialize;

use crate::config::Field;
use crate::files;

/// The largest PEM file.
pub const PEM_BYTES_MAX: u64 = 4 << 20;

/// How a client treats a server. The default verifies against the system's roots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct ClientTls {
    /// PEM file of authorities that replaces the system's roots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// PEM file of the client's private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The name that the certificate must carry, when it is not the URL's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// No verification at all.
    pub insecure: bool,
}

/// Why TLS settings can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A PEM file can't be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate and key don't fit, or are of a kind that isn't supported.
    #[error("certificate and key: {0}")]
    Pair(String),
    /// Certificate without key or the reverse.
    #[error("a client certificate needs both `cert` and `key`")]
    Half,
    /// The system has no roots.
    #[error("no certificate authorities found on this system: install ca-certificates or set `ca`")]
    NoRoots,
}

impl ClientTls {
    /// Reads `{ca, cert, key, server_name, insecure}`.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let tls = Self {
            ca: section.optional("ca").and_then(|field| field.path()),
            cert: section.optional("cert").and_then(|field| field.path()),
            key: section.optional("key").and_then(|field| field.path()),
            server_name: section
                .optional("server_name")
                .and_then(|field| field.text()),
            insecure: section
                .optional("insecure")
                .and_then(|f| f.boolean())
                .unwrap_or(false),
        };
        section.finish();
        if tls.cert.is_some() != tls.key.is_some() {
            field.error(TlsError::Half.to_string(), None);
        }
        Some(tls)
    }

    /// The files it reads, so that a change can be noticed.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.ca, &self.cert, &self.key]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    /// Reads the files and builds the configuration of a client.
    pub fn build(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Pair(error.to_string()))?;
        let builder = if self.insecure {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(VerifyNothing))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let mut config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(read_chain(cert)?, read_key(key)?)
                .map_err(|error| TlsError::Pair(error.to_string()))?,
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(TlsError::Half),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let Some(path) = &self.ca else {
            return system_roots();
        };
        let mut roots = RootCertStore::empty();
        for certificate in read_chain(path)? {
            roots
                .add(certificate)
                .map_err(|error| unreadable(path, error.to_string()))?;
        }
        Ok(Arc::new(roots))
    }
}

/// The configuration of a listener from two PEM files.
pub fn server(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Pair(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(read_chain(cert)?, read_key(key)?)
        .map_err(|error| TlsError::Pair(error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The one crypto provider.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

/// Read once, when the first TLS connection goes out: reading them costs milliseconds at start.
fn system_roots() -> Result<Arc<RootCertStore>, TlsError> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    if roots.is_empty() {
        Err(TlsError::NoRoots)
    } else {
        Ok(Arc::clone(roots))
    }
}

fn unreadable(path: &Path, reason: String) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        reason,
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = files::read_limited(path, PEM_BYTES_MAX)
        .map_err(|error| unreadable(path, error.to_string()))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(path, error.to_string()))?;
    if chain.is_empty() {
        return Err(unreadable(path, "no certificate in it".to_owned()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = files::read_limited(path, PEM_BYTES_MAX)
        .map_err(|error| unreadable(path, error.to_string()))?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| unreadable(path, error.to_string()))
}

/// For `insecure: true` on one target: takes any certificate, still checks that the peer holds its
/// key.
#[derive(Debug)]
struct VerifyNothing;

impl ServerCertVerifier for VerifyNothing {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            signature,
            &provider().signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            signature,
            &provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

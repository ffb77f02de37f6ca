//! The verifiers behind `Trust`. They add to rustls' own checks who a certificate names.

use std::error::Error as StdError;
use std::sync::Arc;

use base::tls::provider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{ClientCertificates, Trust, TrustError};
use crate::authority;
use crate::peer::{MachineRole, Peer, PeerError};

/// Certificates of a server's chain that are looked at for a pin.
const CHAIN_MAX: usize = 8;
const SERVER_ROLES: &[MachineRole] = &[MachineRole::Auth, MachineRole::Proxy];

#[derive(Debug)]
pub(super) struct Clients {
    pub(super) trust: Trust,
    pub(super) demand: ClientCertificates,
}

#[derive(Debug)]
pub(super) struct Servers {
    pub(super) trust: Trust,
    pub(super) roles: &'static [MachineRole],
    pub(super) uuid: Option<String>,
}

#[derive(Debug)]
pub(super) struct Pinned {
    pub(super) pins: Vec<String>,
}

/// rustls' own verifier of clients for these roots.
pub(super) fn clients_of(
    roots: Arc<RootCertStore>,
) -> Result<Arc<dyn ClientCertVerifier>, TrustError> {
    WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| TrustError::Unusable(error.to_string()))
}

fn refused(error: impl StdError + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// Checks a server's chain against `roots`, and that it names a machine of `cluster`.
fn check_server(
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &RootCertStore,
    now: UnixTime,
) -> Result<(), Error> {
    let algorithms = provider().signature_verification_algorithms;
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(certificate)?,
        roots,
        intermediates,
        now,
        algorithms.all,
    )
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        match self.demand {
            ClientCertificates::Required | ClientCertificates::RequiredThenExplained => true,
            ClientCertificates::Optional => false,
        }
    }

    /// No hints: they are a promise for the life of the verifier, and the authorities change.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let current = self.trust.shared.current.load();
        let verified = current
            .clients
            .verify_client_cert(end_entity, intermediates, now)?;
        if self.demand == ClientCertificates::RequiredThenExplained {
            Peer::from_certificate(end_entity, &current.bundle.cluster).map_err(refused)?;
        } else {
            self.trust.named(end_entity, now).map_err(refused)?;
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls12(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls13(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let roots = self.trust.shared.current.load().roots.clone();
        check_server(end_entity, intermediates, &roots, now)?;
        let peer = self.trust.named(end_entity, now).map_err(refused)?;
        let peer = peer.machine(self.roles).map_err(refused)?;
        if self.uuid.as_ref().is_some_and(|uuid| *uuid != peer.uuid) {
            return Err(refused(PeerError::OtherMachine(peer.uuid)));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls12(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls13(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in intermediates.iter().take(CHAIN_MAX) {
            let pin = authority::pin(certificate).map_err(refused)?;
            if self.pins.contains(&pin) {
                roots.add(certificate.clone().into_owned())?;
            }
        }
        if roots.is_empty() {
            return Err(refused(PeerError::Pin));
        }
        check_server(end_entity, intermediates, &roots, now)?;
        let peer = Peer::from_certificate_of_any_cluster(end_entity).map_err(refused)?;
        peer.machine(SERVER_ROLES).map_err(refused)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls12(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls13(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

fn tls12(
    message: &[u8],
    cert: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = provider().signature_verification_algorithms;
    verify_tls12_signature(message, cert, signature, &algorithms)
}

fn tls13(
    message: &[u8],
    cert: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = provider().signature_verification_algorithms;
    verify_tls13_signature(message, cert, signature, &algorithms)
}

fn schemes() -> Vec<SignatureScheme> {
    provider()
        .signature_verification_algorithms
        .supported_schemes()
}

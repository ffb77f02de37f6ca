//! Handshakes in memory with what the identity gives out.

use std::sync::Arc;

use base::secret::Secret;
use base::tls::provider;
use identity::own_certificate::OwnCertificate;
use identity::peer::{MachineRole, Peer};
use identity::trust::{ClientCertificates, Trust, explain};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::site::CLUSTER;

const PROXIES: &[MachineRole] = &[MachineRole::Proxy];

/// Somebody with a certificate and an opinion whom to trust.
pub(crate) struct Party {
    pub(crate) own: OwnCertificate,
    pub(crate) trust: Trust,
}

impl Party {
    pub(crate) fn new(certificate: &str, key: &Secret, trust: Trust) -> Self {
        let own = OwnCertificate::new();
        own.install(certificate, key).unwrap();
        Self { own, trust }
    }
}

pub(crate) fn peer_of_pem(pem: &str) -> Peer {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    Peer::from_certificate(&certificate, CLUSTER).unwrap()
}

/// A whole handshake, until both sides have judged the other.
pub(crate) fn handshake(client: &Party, server: &Party) -> Result<Peer, String> {
    let versions = &[&rustls::version::TLS13];
    let clients = server.trust.client_verifier(ClientCertificates::Required);
    let server_config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(server.own.clone()));
    let client_config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(client.trust.server_verifier(PROXIES, None))
        .with_client_cert_resolver(Arc::new(client.own.clone()));
    let name = "any.name.invalid".try_into().unwrap();
    let mut to_server = ClientConnection::new(Arc::new(client_config), name).unwrap();
    let mut to_client = ServerConnection::new(Arc::new(server_config)).unwrap();
    for _ in 0..10 {
        let mut bytes = Vec::new();
        while to_server.wants_write() {
            to_server.write_tls(&mut bytes).unwrap();
        }
        to_client.read_tls(&mut &bytes[..]).unwrap();
        let done = to_client.process_new_packets();
        done.map_err(|error| format!("server: {}", explain(&error)))?;
        let mut bytes = Vec::new();
        while to_client.wants_write() {
            to_client.write_tls(&mut bytes).unwrap();
        }
        to_server.read_tls(&mut &bytes[..]).unwrap();
        let done = to_server.process_new_packets();
        done.map_err(|error| format!("client: {}", explain(&error)))?;
        let is_done = !to_server.is_handshaking() && !to_client.is_handshaking();
        if is_done && !to_server.wants_write() {
            let certificates = to_client.peer_certificates();
            let now = rustls_pki_types::UnixTime::now();
            let peer = server.trust.client_of(certificates, now);
            return peer.map_err(|error| error.to_string());
        }
    }
    Err("the handshake did not end".to_owned())
}

//! The middlebox that takes ALPN away. A client's hello is part of what its handshake signs, so
//! nobody can change it on the way: what really loses ALPN ends TLS itself, with a certificate of
//! its own, and begins another TLS towards the upstream. So does this.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::certificates;

/// The only protocol on both sides.
const HTTP: &[u8] = b"http/1.1";

/// Both ends of the middlebox.
#[derive(Clone)]
pub(super) struct Middlebox {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Middlebox {
    pub(super) fn new() -> Self {
        let pair = certificates::self_signed(&["localhost", "127.0.0.1"]);
        let mut server = ServerConfig::clone(&certificates::server_config(&pair, None));
        server.alpn_protocols = vec![HTTP.to_vec()];
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustAll(provider)))
            .with_no_client_auth();
        client.alpn_protocols = vec![HTTP.to_vec()];
        Self {
            server: Arc::new(server),
            client: Arc::new(client),
        }
    }

    /// Ends TLS, begins another, and passes what is inside.
    pub(super) async fn pass(&self, client: TcpStream, upstream: TcpStream) -> io::Result<()> {
        let mut client = TlsAcceptor::from(Arc::clone(&self.server))
            .accept(client)
            .await?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(&self.client));
        let mut upstream = connector.connect(name, upstream).await?;
        tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
        Ok(())
    }
}

/// A middlebox knows its upstream by its address.
#[derive(Debug)]
struct TrustAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

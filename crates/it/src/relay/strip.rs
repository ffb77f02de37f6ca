//! The middlebox that takes ALPN away. A client's hello is part of what its handshake signs, so
//! nobody can change it on the way: what really loses ALPN ends TLS itself, with a certificate of
//! its own, and begins another TLS towards the upstream. So does this.

use std::io;
use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
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
        // It knows its upstream by its address.
        let client = certificates::careless_client(HTTP, None);
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

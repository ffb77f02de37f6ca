//! Opens the connections of a client: over TCP or a dialer's way, with TLS on it or without.

use std::sync::{Arc, OnceLock};

use http::Uri;
use http::uri::Scheme;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{CONNECT_TIMEOUT, ClientError, Dial};
use crate::clock;
use crate::duplex::BoxDuplex;
use crate::tls::{ClientTls, TlsError};

/// How connections are opened.
#[derive(Debug)]
pub(super) struct Connector {
    settings: ClientTls,
    built: OnceLock<Result<Arc<ClientConfig>, TlsError>>,
    dial: Option<Arc<dyn Dial>>,
}

impl Connector {
    pub(super) fn new(settings: ClientTls, dial: Option<Arc<dyn Dial>>) -> Self {
        Self {
            settings,
            built: OnceLock::new(),
            dial,
        }
    }

    /// Whether a dialer opens the connections.
    pub(super) fn is_dialled(&self) -> bool {
        self.dial.is_some()
    }

    /// A connection to the host of `uri`, within [`CONNECT_TIMEOUT`].
    pub(super) async fn connect(&self, uri: &Uri) -> Result<BoxDuplex, ClientError> {
        let deadline = clock::now() + CONNECT_TIMEOUT;
        match tokio::time::timeout_at(deadline.into(), self.open(uri)).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::Timeout {
                waited_for: "connection",
            }),
        }
    }

    async fn open(&self, uri: &Uri) -> Result<BoxDuplex, ClientError> {
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        // `Uri::host` keeps the brackets of an IPv6 address; the resolver wants none.
        let host = uri
            .host()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream: BoxDuplex = match &self.dial {
            Some(dial) => {
                let stream = dial.dial(host, port).await;
                stream.map_err(|reason| ClientError::Away { reason })?
            }
            None => {
                let stream = TcpStream::connect((host, port)).await;
                let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
                Box::new(stream.map_err(|error| ClientError::Connect {
                    host: format!("{host}:{port}"),
                    reason: error.to_string(),
                })?)
            }
        };
        if !is_tls {
            return Ok(stream);
        }
        let failed = |reason: String| ClientError::Tls {
            host: format!("{host}:{port}"),
            reason,
        };
        let built = self.built.get_or_init(|| self.settings.build()).clone();
        let tls = TlsConnector::from(built.map_err(|error| failed(error.to_string()))?);
        let wanted = self.settings.server_name.as_deref().unwrap_or(host);
        let wanted = ServerName::try_from(wanted.to_owned());
        let wanted = wanted.map_err(|error| failed(error.to_string()))?;
        let stream = tls.connect(wanted, stream).await;
        Ok(Box::new(stream.map_err(|error| failed(error.to_string()))?))
    }
}

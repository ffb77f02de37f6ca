//! The other end of `POST /v1/apps/<app>/connect`: a listener on this machine whose connections go to
//! an application behind the hub.

use std::fmt;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use base::client::{Dial, Dialing};
use base::duplex::BoxDuplex;
use base::events::Topic;
use base::secret::Secret;
use base::supervise::{BoxError, Criticality, Scope, Service};
use base::tls::ClientTls;
use identity::trust::pinned_verifier;
use rustls::{CertificateError, ClientConfig};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use crate::line::{self, Egress};

/// The name of the protocol that both ends change to.
pub(crate) const PROTOCOL: &str = "landline-tcp";
/// The longest wait for a connection to the hub, with TLS.
const DIAL_LIMIT: Duration = Duration::from_secs(5);
/// The longest wait for the hub's answer: it waits up to five seconds for the node.
const ANSWER_LIMIT: Duration = Duration::from_secs(6);
/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 1_000;
/// What is read of the hub's reason.
const REASON_BYTES_MAX: u64 = 16 << 10;
/// The pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The buffer of each direction.
const COPY_BUFFER: usize = 64 << 10;

/// How the hub is reached.
#[derive(Clone)]
pub enum HubDoor {
    /// It is this very machine.
    Local(SocketAddr),
    /// With TLS.
    Tls {
        /// `host:port`.
        address: String,
        /// How it is recognised.
        tls: Arc<ClientConfig>,
        /// The way out of this network.
        egress: Egress,
    },
}

impl fmt::Debug for HubDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(address) => f.debug_tuple("Local").field(address).finish(),
            Self::Tls { address, .. } => f.debug_tuple("Tls").field(address).finish(),
        }
    }
}

/// A forward.
#[derive(Debug)]
pub struct Forward {
    /// The application: `<app>` or `<app>@<node>`.
    pub app: String,
    /// The hub.
    pub hub: HubDoor,
    /// An API token of a user who may use the application.
    pub token: Secret,
    /// Where connections come in; bound, non-blocking.
    pub listener: StdListener,
    /// Told once connections are taken.
    pub ready: &'static Topic<()>,
}

/// What is wrong with the hub's certificate, and what helps.
fn explain(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "this system does not trust its certificate: name the pin of the hub's authority with `--ca-pin`"
                .to_owned()
        }
        Some(error) => identity::trust::explain(error),
        None => error.to_string(),
    }
}

impl Dial for HubDoor {
    /// The host is that of the door, whatever is asked for.
    fn dial<'a>(&'a self, _: &'a str, _: u16) -> Dialing<'a> {
        Box::pin(self.connect())
    }
}

impl HubDoor {
    /// The door of a hub elsewhere. Its authority is one of `pins`; without pins its certificate
    /// has to be one that this system trusts.
    ///
    /// # Errors
    /// The system has no roots, or the crypto provider refuses its own defaults.
    pub fn tls(address: String, pins: Vec<String>, egress: Egress) -> Result<Self, BoxError> {
        let tls = if pins.is_empty() {
            ClientTls::default().build()?
        } else {
            let mut tls = ClientConfig::builder_with_provider(base::tls::provider())
                .with_safe_default_protocol_versions()?
                .dangerous()
                .with_custom_certificate_verifier(pinned_verifier(pins))
                .with_no_client_auth();
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            Arc::new(tls)
        };
        Ok(Self::Tls {
            address,
            tls,
            egress,
        })
    }

    async fn connect(&self) -> Result<BoxDuplex, String> {
        match self {
            Self::Local(address) => {
                let stream = TcpStream::connect(address).await;
                let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
                let stream = stream.map_err(|error| {
                    format!("connect to the hub at {address}: {error}; is landline running there?")
                })?;
                Ok(Box::new(stream))
            }
            Self::Tls {
                address,
                tls,
                egress,
            } => {
                let host = address
                    .rsplit_once(':')
                    .map_or(address.as_str(), |(host, _)| host);
                let host = host
                    .trim_start_matches('[')
                    .trim_end_matches(']')
                    .to_owned();
                let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
                let stream = egress.connect(address).await;
                let stream = stream.map_err(|error| line::chain(&error))?;
                let stream = TlsConnector::from(Arc::clone(tls))
                    .connect(name, stream)
                    .await;
                let stream =
                    stream.map_err(|error| format!("tls with {address}: {}", explain(&error)))?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl Forward {
    /// The service that it is.
    pub fn service(self) -> Service {
        Service::new("forward", Criticality::Critical, move |scope| async move {
            self.run(scope).await
        })
    }

    async fn run(self, scope: Scope) -> Result<(), BoxError> {
        let listener = TcpListener::from_std(self.listener.try_clone()?)?;
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        scope.bus().publish(self.ready, ());
        let forward = Arc::new(self);
        loop {
            let slot = tokio::select! {
                slot = Arc::clone(&slots).acquire_owned() => slot?,
                () = scope.stopping() => return Ok(()),
            };
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
                () = scope.stopping() => return Ok(()),
            };
            let forward = Arc::clone(&forward);
            scope.spawn("forwarded connection", async move {
                if let Err(error) = forward.carry(stream).await {
                    tracing::warn!(app = forward.app, error, "a connection was not forwarded");
                }
                drop(slot);
            });
        }
    }

    async fn carry(&self, mut client: TcpStream) -> Result<(), String> {
        client
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let mut hub = self.connect().await?;
        // Either end may break a connection: that is its choice and no fault of ours.
        match copy_bidirectional_with_sizes(&mut client, &mut hub, COPY_BUFFER, COPY_BUFFER).await {
            Ok((sent, received)) => tracing::debug!(sent, received, "a connection ended"),
            Err(error) => tracing::debug!(%error, "a connection broke"),
        }
        Ok(())
    }

    /// A connection to the application.
    async fn connect(&self) -> Result<BoxDuplex, String> {
        let dialed = tokio::time::timeout(DIAL_LIMIT, self.hub.connect()).await;
        let mut stream = dialed.unwrap_or_else(|_| {
            Err(format!(
                "no connection to the hub within {} s; check that it runs and that this machine may reach it",
                DIAL_LIMIT.as_secs()
            ))
        })?;
        let asked = tokio::time::timeout(ANSWER_LIMIT, self.ask(&mut stream)).await;
        asked.unwrap_or_else(|_| {
            Err(format!(
                "the hub gave no answer within {} s",
                ANSWER_LIMIT.as_secs()
            ))
        })?;
        Ok(stream)
    }

    async fn ask(&self, stream: &mut BoxDuplex) -> Result<(), String> {
        let host = match &self.hub {
            HubDoor::Local(address) => address.to_string(),
            HubDoor::Tls { address, .. } => address.clone(),
        };
        let request = format!(
            "POST /v1/apps/{}/connect HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\n\
             Upgrade: {PROTOCOL}\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
            self.app,
            self.token.expose()
        );
        let failed = |error: std::io::Error| format!("the hub broke off: {error}");
        stream.write_all(request.as_bytes()).await.map_err(failed)?;
        let head = line::read_head(stream).await.map_err(failed)?;
        let status = head.status().unwrap_or_default();
        if status == 101 {
            return Ok(());
        }
        let length = head
            .header("content-length")
            .and_then(|text| text.parse().ok());
        let mut body = Vec::new();
        let mut rest = stream.take(length.unwrap_or(0).min(REASON_BYTES_MAX));
        #[expect(clippy::disallowed_methods, reason = "`take` bounds it right above")]
        rest.read_to_end(&mut body).await.map_err(failed)?;
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = body
            .pointer("/error/message")
            .and_then(|message| message.as_str());
        Err(format!(
            "the hub answered {status}: {}",
            message.unwrap_or("without a reason; is it a landline hub with the role `proxy`?")
        ))
    }
}

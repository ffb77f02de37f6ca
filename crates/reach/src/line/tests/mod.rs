//! Lines over real sockets on loopback: the set-up that the tests share.

mod bench;
mod bulk;
mod faults;
mod lanes;
mod refusals;
mod roundabout;
mod slow;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::supervise::{Criticality, Scope, Service, Supervisor};
use base::tls::provider;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::*;

/// Bulk connections for which proxies have room.
const BULK_ROOM: usize = 40;

/// Short enough for a test, long enough for a machine under load.
pub(crate) const QUICK: Timing = Timing {
    ping_interval: Duration::from_millis(200),
    pong_limit: Duration::from_millis(800),
    silence: Duration::from_millis(200),
    busy_limit: Duration::from_millis(800),
};
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An authority of certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            root,
        }
    }

    fn issue(
        &self,
        role: &str,
        name: &str,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        let uri = format!("landline://home/{role}/{name}!");
        params
            .subject_alt_names
            .push(SanType::URI(uri.try_into().unwrap()));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        (vec![certificate.der().clone()], key.into())
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        Arc::new(roots)
    }

    pub(crate) fn server(&self, name: &str) -> Arc<ServerConfig> {
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots(), provider());
        let (chain, key) = self.issue("proxy", name);
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key);
        Arc::new(config.unwrap())
    }

    pub(crate) fn client(&self, name: &str) -> Arc<ClientConfig> {
        let (chain, key) = self.issue("node", name);
        let config = self.client_builder().with_client_auth_cert(chain, key);
        Arc::new(config.unwrap())
    }

    /// Trusts this authority and has no certificate.
    pub(crate) fn nobody(&self) -> Arc<ClientConfig> {
        Arc::new(self.client_builder().with_no_client_auth())
    }

    fn client_builder(
        &self,
    ) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(self.roots())
    }
}

/// Finds `landline://cluster/role/name!` in a certificate, as the real one finds it by X.509.
pub(crate) fn identify(role: &'static str) -> Identify {
    Arc::new(move |chain| {
        let text = String::from_utf8_lossy(chain.first().ok_or("no certificate")?).into_owned();
        let (_, rest) = text.split_once("landline://").ok_or("no name of ours")?;
        let (name, _) = rest.split_once('!').ok_or("no name of ours")?;
        let mut parts = name.split('/').map(str::to_owned);
        let mut next = || parts.next().ok_or("no name of ours");
        let (cluster, found, name) = (next()?, next()?, next()?);
        if found != role {
            return Err(format!(
                "it is the certificate of a {found}, not of a {role}"
            ));
        }
        Ok(Peer {
            id: format!("id-{name}"),
            name,
            role: found,
            cluster,
        })
    })
}

/// A scope in which tasks of a test live.
pub(crate) async fn scope() -> (Supervisor, Scope) {
    let supervisor = Supervisor::new();
    let (give, given) = oneshot::channel();
    supervisor.register(Service::new(
        "test",
        Criticality::Plain,
        |scope: Scope| async move {
            give.send(scope.clone()).unwrap();
            scope.closing().await;
            Ok(())
        },
    ));
    supervisor.start();
    (supervisor, given.await.unwrap())
}

/// A proxy that listens.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) acceptor: Acceptor,
    pub(crate) lines: mpsc::Receiver<Line>,
    pub(crate) give: mpsc::Sender<Line>,
    pub(crate) errors: mpsc::Receiver<AcceptError>,
    /// What agents have said about their membership.
    pub(crate) notes: mpsc::Receiver<String>,
}

impl Proxy {
    pub(crate) async fn start(authority: &Authority, name: &str, scope: &Scope) -> Self {
        Self::start_with(authority, name, scope, QUICK, true).await
    }

    pub(crate) async fn start_with(
        authority: &Authority,
        name: &str,
        scope: &Scope,
        timing: Timing,
        tells_address: bool,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let addresses = if tells_address {
            vec![address.to_string()]
        } else {
            Vec::new()
        };
        let (told, notes) = mpsc::channel(100);
        let settings = AcceptorSettings {
            tls: authority.server(name),
            identify: identify("node"),
            heard: Arc::new(move |_, text| drop(told.try_send(text))),
            welcome: Welcome {
                group: "all".to_owned(),
                generation: 1,
                addresses,
            },
            timing,
            lines_max: 1000,
            bulk_max: BULK_ROOM,
        };
        let acceptor = Acceptor::new(settings, scope.clone());
        let (give, lines) = mpsc::channel(100);
        let (fail, errors) = mpsc::channel(100);
        let (door, outer, kept) = (acceptor.clone(), scope.clone(), give.clone());
        scope.spawn("listener", async move {
            loop {
                let (stream, remote) = listener.accept().await.unwrap();
                prepare(&stream, Lane::Interactive);
                let (door, give, fail) = (door.clone(), give.clone(), fail.clone());
                outer.spawn("accept", async move {
                    match door.accept(Box::new(stream), remote).await {
                        Ok(Some(line)) => drop(give.try_send(line)),
                        Ok(None) => {}
                        Err(error) => drop(fail.try_send(error)),
                    }
                });
            }
        });
        Self {
            address,
            acceptor,
            lines,
            give: kept,
            errors,
            notes,
        }
    }

    pub(crate) async fn line(&mut self) -> Line {
        tokio::time::timeout(PATIENCE, self.lines.recv())
            .await
            .unwrap()
            .unwrap()
    }
}

pub(crate) fn settings(authority: &Authority) -> ConnectorSettings {
    ConnectorSettings {
        tls: authority.client("web-1"),
        outer_tls: None,
        identify: identify("proxy"),
        egress: Egress::default(),
        timing: QUICK,
        bulk_idle: 2,
    }
}

/// A line between a proxy and an agent, both here.
pub(crate) struct Rig {
    pub(crate) supervisor: Supervisor,
    pub(crate) scope: Scope,
    pub(crate) proxy: Proxy,
    pub(crate) line: Line,
    pub(crate) agent: AgentLine,
}

pub(crate) async fn rig() -> Rig {
    let authority = Authority::new();
    let (supervisor, scope) = scope().await;
    let mut proxy = Proxy::start(&authority, "p1", &scope).await;
    let connector = Connector::new(settings(&authority));
    let address = proxy.address.to_string();
    let agent = connector
        .connect(&address, targets(&scope), &scope)
        .await
        .unwrap();
    let line = proxy.line().await;
    line.want_bulk();
    Rig {
        supervisor,
        scope,
        proxy,
        line,
        agent,
    }
}

/// What the agent offers, by name: `echo`, `hello` (speaks first), `sink`, `source`, `hang`, and
/// `tcp:<address>`; the rest is refused.
pub(crate) fn targets(scope: &Scope) -> Handler {
    let scope = scope.clone();
    handler(move |request: OpenRequest| {
        let scope = scope.clone();
        async move {
            let name = request.target.name.as_str();
            if let Some(address) = name.strip_prefix("tcp:") {
                let stream = TcpStream::connect(address).await.map_err(|error| {
                    Refusal::new(
                        RefusalCode::Unavailable,
                        format!("connect to {address}: {error}"),
                    )
                })?;
                stream.set_nodelay(true).unwrap();
                return Ok(Served::Connection(Box::new(stream)));
            }
            let (near, mut far) = tokio::io::duplex(64 << 10);
            match name {
                "echo" => scope.spawn("echo", async move {
                    let (mut reader, mut writer) = tokio::io::split(far);
                    tokio::io::copy(&mut reader, &mut writer).await.ok();
                    writer.shutdown().await.ok();
                }),
                "hello" => scope.spawn("hello", async move {
                    far.write_all(b"SSH-2.0-x\r\n").await.ok();
                    far.read_u8().await.ok();
                }),
                "hang" => std::future::pending().await,
                "taken" => {
                    return Ok(Served::Taken(Box::new(|mut stream| {
                        Box::pin(async move {
                            stream.write_all(b"mine").await.ok();
                            stream.shutdown().await.ok();
                        })
                    })));
                }
                _ => {
                    let text = format!("web-1 offers no app {name:?}: see node.apps");
                    return Err(Refusal::new(RefusalCode::NotFound, text));
                }
            }
            Ok(Served::Connection(Box::new(near)))
        }
    })
}

pub(crate) fn request(name: &str) -> OpenRequest {
    let target = Target {
        kind: TargetKind::App,
        name: name.to_owned(),
        node: None,
    };
    OpenRequest {
        target,
        client: None,
        user: None,
    }
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = base::clock::now() + PATIENCE;
    while !condition() {
        assert!(base::clock::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Everything up to the end, of at most a megabyte.
pub(crate) async fn read_all(stream: &mut LineStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 16 << 10];
    loop {
        match stream.read(&mut chunk).await? {
            0 => return Ok(bytes),
            length => bytes.extend_from_slice(&chunk[..length]),
        }
        assert!(bytes.len() <= 1 << 20);
    }
}

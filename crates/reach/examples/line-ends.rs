//! The ends of lines as processes of their own, for `cargo xtask bench`: a proxy whose ports lead to
//! targets over one lane, the agent of it, and a crowd of idle nodes. Each says on standard output, in
//! one line of JSON, what others need to know, and runs until it is killed.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers: it prints, and ends when something is not as it should be"
)]

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::dial::{Fresh, dial};
use base::health::Health;
use base::secret::Secret;
use base::supervise::{Criticality, Scope, Service, Supervisor};
use base::tls::provider;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reach::config::{JoinConfig, NodeConfig};
use reach::line::{
    Acceptor, AcceptorSettings, AgentEvent, Connector, ConnectorSettings, Early, Egress, Identify,
    Lane, Line, OPEN_LIMIT, OpenRequest, Peer, Refusal, RefusalCode, Served, Target, TargetKind,
    Timing, Welcome, copy, handler, prepare,
};
use reach::node::{Enrolment, Node, NodeMetrics, NodeParts};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const USAGE: &str = "\
line-ends proxy DIRECTORY TARGET            certificates go into DIRECTORY
line-ends agent DIRECTORY ADDRESS
line-ends nodes DIRECTORY HUB PIN COUNT PER_SECOND TOKEN…";
/// Lines that the proxy takes.
const LINES_MAX: usize = 100;
/// Bulk connections that the agent dials ahead: each of the benchmark's streams finds one.
const BULK_IDLE: usize = 24;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // As the product does.
    base::memory::limit_arenas();
    base::memory::keep_freed();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        match words.as_slice() {
            ["proxy", directory, target] => {
                proxy(Path::new(directory), target.parse().unwrap()).await;
            }
            ["agent", directory, address] => agent(Path::new(directory), address).await,
            ["nodes", directory, hub, pin, count, per_second, tokens @ ..] => {
                let crowd = Crowd {
                    directory: PathBuf::from(directory),
                    hub: (*hub).to_owned(),
                    pin: (*pin).to_owned(),
                    tokens: tokens.iter().map(|token| Secret::new(*token)).collect(),
                };
                crowd
                    .start(count.parse().unwrap(), per_second.parse().unwrap())
                    .await;
            }
            _ => eprintln!("{USAGE}"),
        }
    });
}

fn say(value: &serde_json::Value) {
    println!("{value}");
    std::io::stdout().flush().unwrap();
}

/// Takes one line and opens two ports that lead to the target: over the interactive lane, and over bulk.
async fn proxy(directory: &Path, target: SocketAddr) {
    let (_supervisor, scope) = scope().await;
    let settings = AcceptorSettings {
        tls: certificates(directory),
        identify: anyone(),
        heard: Arc::new(|_, _| {}),
        welcome: Welcome::default(),
        timing: Timing::default(),
        lines_max: LINES_MAX,
        bulk_max: LINES_MAX * BULK_IDLE,
    };
    let acceptor = Acceptor::new(settings, scope.clone());
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    say(&serde_json::json!({"door": door.local_addr().unwrap()}));
    let line = loop {
        // What the bench looks at is not how quickly the lanes are made.
        let (stream, remote) = door.accept().await.unwrap();
        prepare(&stream, Lane::Interactive);
        if let Some(line) = acceptor.accept(Box::new(stream), remote).await.unwrap() {
            break line;
        }
    };
    let interactive = port(&line, target, Lane::Interactive, &scope).await;
    let bulk = port(&line, target, Lane::Bulk, &scope).await;
    let outer = scope.clone();
    scope.spawn("door", async move {
        while let Ok((stream, remote)) = door.accept().await {
            prepare(&stream, Lane::Bulk);
            let acceptor = acceptor.clone();
            outer.spawn("bulk connection", async move {
                drop(acceptor.accept(Box::new(stream), remote).await);
            });
        }
    });
    line.want_bulk();
    while line.state().bulk_idle < BULK_IDLE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    say(&serde_json::json!({"interactive": interactive, "bulk": bulk}));
    eprintln!("the line ended: {}", line.closed().await);
}

/// A port as an operator opens one.
async fn port(line: &Line, target: SocketAddr, lane: Lane, scope: &Scope) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (line, outer) = (line.clone(), scope.clone());
    let request = OpenRequest {
        target: Target {
            kind: TargetKind::Address,
            name: target.to_string(),
            node: None,
        },
        client: None,
        user: None,
    };
    scope.spawn("port", async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let mut stream = Fresh::accepted(stream);
            let (line, request) = (line.clone(), request.clone());
            outer.spawn("connection of a port", async move {
                let early = &mut Early::new(&mut stream);
                let opened = line.open_early(&request, lane, OPEN_LIMIT, Some(early));
                match opened.await {
                    Ok(opened) => drop(copy(opened, stream).await),
                    Err(error) => eprintln!("not opened: {error}"),
                }
            });
        }
    });
    address
}

/// Keeps a line to the proxy and dials what it is asked for.
async fn agent(directory: &Path, address: &str) {
    let (_supervisor, scope) = scope().await;
    let read = |name: &str| std::fs::read(directory.join(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(read("ca.der"))).unwrap();
    let tls = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from(read("agent.der"))],
            PrivatePkcs8KeyDer::from(read("agent.key")).into(),
        );
    let connector = Connector::new(ConnectorSettings {
        tls: Arc::new(tls.unwrap()),
        outer_tls: None,
        identify: anyone(),
        egress: Egress::default(),
        timing: Timing::default(),
        bulk_idle: BULK_IDLE,
    });
    let serve = handler(|request: OpenRequest| async move {
        let refuse = |error: std::io::Error| {
            Refusal::new(RefusalCode::Unavailable, format!("connect: {error}"))
        };
        let stream = dial(&request.target.name).await;
        let stream = stream.map_err(refuse)?;
        stream.set_nodelay(true).map_err(refuse)?;
        Ok(Served::Connection(Box::new(Fresh::dialled(stream))))
    });
    let mut line = connector.connect(address, serve, &scope).await.unwrap();
    loop {
        if let AgentEvent::Ended { reason } = line.next().await {
            eprintln!("the line ended: {reason}");
            return;
        }
    }
}

/// Many nodes in one process, each as a machine of its own has it, that offer nothing.
struct Crowd {
    directory: PathBuf,
    hub: String,
    pin: String,
    tokens: Vec<Secret>,
}

impl Crowd {
    async fn start(&self, count: usize, per_second: f64) {
        let supervisor = Supervisor::new();
        supervisor.start();
        let health = Health::new(Duration::from_mins(1));
        for number in 0..count {
            let token = self.tokens.get(number * self.tokens.len() / count).cloned();
            let data_dir = self.directory.join(number.to_string());
            std::fs::create_dir_all(&data_dir).unwrap();
            let node = Node::new(NodeParts {
                config: NodeConfig::default(),
                name: format!("agent-{number}"),
                enrolment: Enrolment::Remote {
                    join: JoinConfig {
                        proxy: self.hub.clone(),
                        token: None,
                        ca_pins: vec![self.pin.clone()],
                    },
                    token,
                },
                proxies: vec![self.hub.clone()],
                egress: Egress::default(),
                data_dir,
                metrics: NodeMetrics::default(),
                component: health.component(format!("node-{number}")),
            });
            supervisor.register(node.service());
            tokio::time::sleep(Duration::from_secs_f64(1.0 / per_second)).await;
        }
        say(&serde_json::json!({"started": count}));
        std::future::pending::<()>().await;
    }
}

/// A scope in which tasks live.
async fn scope() -> (Supervisor, Scope) {
    let supervisor = Supervisor::new();
    let (give, given) = oneshot::channel();
    let run = |scope: Scope| async move {
        drop(give.send(scope.clone()));
        scope.closing().await;
        Ok(())
    };
    supervisor.register(Service::new("ends", Criticality::Plain, run));
    supervisor.start();
    (supervisor, given.await.unwrap())
}

/// An authority, the proxy's certificate, and the agent's in the directory.
fn certificates(directory: &Path) -> Arc<ServerConfig> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::new(params, key);
    let issue = || {
        let key = KeyPair::generate().unwrap();
        let names = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = names.signed_by(&key, &issuer).unwrap().der().clone();
        (certificate, PrivatePkcs8KeyDer::from(key.serialize_der()))
    };
    let (agent, agent_key) = issue();
    for (name, bytes) in [
        ("ca.der", root.as_ref()),
        ("agent.der", agent.as_ref()),
        ("agent.key", agent_key.secret_pkcs8_der()),
    ] {
        std::fs::write(directory.join(name), bytes).unwrap();
    }
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let (certificate, key) = issue();
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate], key.into());
    Arc::new(config.unwrap())
}

/// The authority has issued two certificates, one for each end.
fn anyone() -> Identify {
    Arc::new(|_| {
        Ok(Peer {
            id: "peer".to_owned(),
            name: "peer".to_owned(),
            role: "peer".to_owned(),
            cluster: "bench".to_owned(),
        })
    })
}

//! What the tests of several modules share: certificates made in place, handshakes in memory, and
//! the outside programs that read what we sign.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base::tls::provider;
use rustls::client::danger::ServerCertVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use crate::authority::{self, Authority, Request, Subject};
use crate::own_certificate::OwnCertificate;
use crate::peer::MachineRole;
use crate::rotation::Phase;
use crate::trust::{TrustBundle, explain};

pub(crate) const CLUSTER: &str = "home";
pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// The time now, in Unix milliseconds.
pub(crate) fn now() -> i64 {
    let since = base::clock::wall().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}

pub(crate) fn bundle(generation: i64, authorities: &[&Authority]) -> TrustBundle {
    TrustBundle {
        cluster: CLUSTER.to_owned(),
        generation,
        phase: Phase::Standby,
        authorities: authorities
            .iter()
            .map(|authority| authority.certificate_pem().to_owned())
            .collect(),
        ssh_users: Vec::new(),
        ssh_hosts: Vec::new(),
    }
}

/// A subject of our cluster.
pub(crate) fn machine<'a>(role: MachineRole, uuid: &'a str, name: &'a str) -> Subject<'a> {
    Subject::Machine {
        cluster: CLUSTER,
        role,
        uuid,
        name,
        web_names: &[],
    }
}

/// A fresh key with a certificate for `subject` that begins at `now`.
pub(crate) fn certified(authority: &Authority, subject: Subject<'_>, now: i64) -> OwnCertificate {
    let (key, request) = authority::new_key("whatever").unwrap();
    let request = Request::parse(request.as_bytes()).unwrap();
    let issued = authority.issue(subject, &request, now, HOUR).unwrap();
    let own = OwnCertificate::new();
    own.install(&issued.chain_pem, &key).unwrap();
    own
}

pub(crate) fn server(own: &OwnCertificate, clients: Arc<dyn ClientCertVerifier>) -> ServerConfig {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(own.clone()))
}

pub(crate) fn client(own: &OwnCertificate, servers: Arc<dyn ServerCertVerifier>) -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(servers)
        .with_client_cert_resolver(Arc::new(own.clone()))
}

/// A whole handshake in memory, and one byte each way, so that both sides have judged the other.
/// Returns the server's connection, or who refused and why.
pub(crate) fn handshake(
    client: &ClientConfig,
    server: &ServerConfig,
) -> Result<ServerConnection, String> {
    let name = "any.name.invalid".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(client.clone()), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server.clone())).unwrap();
    for _ in 0..10 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut &bytes[..]).unwrap();
        let result = server.process_new_packets();
        result.map_err(|error| format!("server: {}", explain(&error)))?;
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut &bytes[..]).unwrap();
        let result = client.process_new_packets();
        result.map_err(|error| format!("client: {}", explain(&error)))?;
        if !client.is_handshaking() && !server.is_handshaking() && !client.wants_write() {
            return Ok(server);
        }
    }
    Err("the handshake did not end".to_owned())
}

/// What a program of the system prints about `input`; nothing, announced, when it is missing.
pub(crate) fn outside(program: &str, arguments: &[&str], input: &Path) -> Option<String> {
    let output = Command::new(program).args(arguments).arg(input).output();
    let Ok(output) = output else {
        skip(&format!("{program} is not installed"));
        return None;
    };
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reports the running test as skipped, as `crates/it/src/need.rs` does.
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED: {}: {reason}", thread.name().unwrap_or("unnamed"));
    #[expect(clippy::print_stdout, reason = "a skipped test says so loudly")]
    {
        println!("{line}");
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "where `cargo xtask test` collects them"
    )]
    let Ok(path) = std::env::var("LANDLINE_TEST_SKIPS") else {
        return;
    };
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).append(true).open(path);
    writeln!(file.unwrap(), "{line}").unwrap();
}

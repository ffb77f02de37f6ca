//! The tunnels that Landline is measured beside, each with two ports of its own: `ssh -R` with a server of
//! its own, rathole over TLS, and bore, which encrypts nothing. One that is not there is left out aloud.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::target::Targets;
use super::ways::{Running, Way};
use crate::prometheus::free_port;

/// The longest until a tunnel passes bytes.
const READY: Duration = Duration::from_secs(15);

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    /// The way through it.
    pub way: Way,
    _processes: Vec<Running>,
    _directory: tempfile::TempDir,
}

/// All peers that can be started here.
pub fn start(targets: Targets) -> Vec<Peer> {
    let peers = [
        ("ssh -R", ssh(targets)),
        ("rathole", rathole(targets)),
        ("bore", bore(targets)),
    ];
    let mut running = Vec::new();
    for (name, peer) in peers {
        match peer {
            Ok(peer) => running.push(peer),
            Err(reason) => eprintln!("SKIPPED: comparison with {name}: {reason}"),
        }
    }
    running
}

/// A program on PATH.
fn find(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(name));
    found
        .find(|program| program.is_file())
        .ok_or_else(|| format!("{name} is not on PATH"))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Waits until both ports take connections that the tunnel does not end at once.
fn finish(
    name: &'static str,
    ports: [u16; 2],
    mut processes: Vec<Running>,
    directory: tempfile::TempDir,
) -> Result<Peer, String> {
    let end = Instant::now() + READY;
    while !ports
        .iter()
        .all(|port| TcpStream::connect(local(*port)).is_ok())
    {
        if Instant::now() > end || processes.iter_mut().any(Running::has_ended) {
            return Err(format!("it did not start; its files were in {directory:?}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let pids = processes.iter().map(Running::pid).collect();
    Ok(Peer {
        way: Way::ports(name, local(ports[0]), local(ports[1]), pids),
        _processes: processes,
        _directory: directory,
    })
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// OpenSSH's server and client, with keys that were made a moment ago.
fn ssh(targets: Targets) -> Result<Peer, String> {
    let server = std::env::var("LANDLINE_TEST_SSHD").map_err(|_| "sshd is not installed")?;
    if !rustix::process::geteuid().is_root() {
        return Err("sshd needs root".to_owned());
    }
    let (ssh, keygen) = (find("ssh")?, find("ssh-keygen")?);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    // The folder into which the part without rights is locked; a package's boot script makes it.
    std::fs::create_dir_all("/run/sshd").map_err(|error| error.to_string())?;
    for key in ["host", "client"] {
        run(Command::new(&keygen)
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(path.join(key)))?;
    }
    std::fs::copy(path.join("client.pub"), path.join("authorized")).unwrap();
    let port = free_port();
    let shown = path.display();
    let config = write(
        path,
        "sshd_config",
        &format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nPidFile none\n\
             AuthorizedKeysFile {shown}/authorized\nStrictModes no\nPermitRootLogin yes\n\
             UsePAM no\nMaxSessions 10000\nMaxStartups 1000\n"
        ),
    );
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path.join("client"), private).unwrap();
    let server = Running::start(
        Command::new(server)
            .args(["-D", "-e", "-f"])
            .arg(&config)
            .stderr(Stdio::null()),
    );
    let end = Instant::now() + READY;
    while TcpStream::connect(local(port)).is_err() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    let ports = [free_port(), free_port()];
    let mut client = Command::new(ssh);
    client
        .args(["-F", "none", "-N", "-i"])
        .arg(path.join("client"));
    for option in [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
    ] {
        client.args(["-o", option]);
    }
    for (port, target) in ports.iter().zip([targets.tcp, targets.http]) {
        client.arg("-R").arg(format!("127.0.0.1:{port}:{target}"));
    }
    client.args(["-p", &port.to_string(), "root@127.0.0.1"]);
    let client = Running::start(&mut client);
    finish("ssh -R", ports, vec![server, client], directory)
}

/// rathole over TLS, with a certificate from openssl.
fn rathole(targets: Targets) -> Result<Peer, String> {
    let (program, openssl) = (find("rathole")?, find("openssl")?);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let file = |name: &str| path.join(name);
    run(Command::new(&openssl)
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .arg("-keyout")
        .arg(file("key.pem"))
        .arg("-out")
        .arg(file("certificate.pem")))?;
    run(Command::new(&openssl)
        .args(["pkcs12", "-export", "-passout", "pass:p", "-inkey"])
        .arg(file("key.pem"))
        .arg("-in")
        .arg(file("certificate.pem"))
        .arg("-out")
        .arg(file("both.p12")))?;
    let ports = [free_port(), free_port()];
    let (door, shown) = (local(free_port()), path.display());
    let server = format!(
        "[server]\nbind_addr = \"{door}\"\ndefault_token = \"t\"\n[server.transport]\ntype = \"tls\"\n\
         [server.transport.tls]\npkcs12 = \"{shown}/both.p12\"\npkcs12_password = \"p\"\n\
         [server.services.a]\nbind_addr = \"127.0.0.1:{}\"\n\
         [server.services.b]\nbind_addr = \"127.0.0.1:{}\"\n",
        ports[0], ports[1]
    );
    let client = format!(
        "[client]\nremote_addr = \"{door}\"\ndefault_token = \"t\"\n[client.transport]\ntype = \"tls\"\n\
         [client.transport.tls]\ntrusted_root = \"{shown}/certificate.pem\"\nhostname = \"localhost\"\n\
         [client.services.a]\nlocal_addr = \"{}\"\n[client.services.b]\nlocal_addr = \"{}\"\n",
        targets.tcp, targets.http
    );
    let end = |word: &str, name: &str, text: &str| {
        let mut command = Command::new(&program);
        command.arg(word).arg(write(path, name, text));
        Running::start(command.env("RUST_LOG", "off").stderr(Stdio::null()))
    };
    let server = end("--server", "server.toml", &server);
    std::thread::sleep(Duration::from_millis(300));
    let client = end("--client", "client.toml", &client);
    finish("rathole (TLS)", ports, vec![server, client], directory)
}

/// bore takes the ports that it is told, one client for each.
fn bore(targets: Targets) -> Result<Peer, String> {
    let program = find("bore")?;
    let directory = tempfile::tempdir().unwrap();
    let ports = [free_port(), free_port()];
    let quiet = |words: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(words)
            .env("RUST_LOG", "off")
            .stderr(Stdio::null());
        Running::start(&mut command)
    };
    let mut processes = vec![quiet(&[
        "server",
        "--bind-addr",
        "127.0.0.1",
        "--min-port",
        "1024",
    ])];
    std::thread::sleep(Duration::from_millis(300));
    for (port, target) in ports.iter().zip([targets.tcp, targets.http]) {
        let (local, public) = (target.port().to_string(), port.to_string());
        processes.push(quiet(&[
            "local",
            &local,
            "--to",
            "127.0.0.1",
            "--port",
            &public,
        ]));
    }
    finish("bore (plain)", ports, processes, directory)
}

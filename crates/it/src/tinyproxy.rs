//! A real HTTP proxy, tinyproxy, on a machine of its own: with a login, and `CONNECT` to one port only.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::namespace::Namespace;
use crate::wait::{self, SOON};

/// Its user.
pub const USER: &str = "landline";
/// Their password.
pub const PASSWORD: &str = "p-word_1";
/// After so many seconds without a byte it ends a connection.
pub const IDLE_SECONDS: u64 = 20;

/// The running proxy.
#[derive(Debug)]
pub struct Tinyproxy {
    directory: tempfile::TempDir,
    child: Child,
}

impl Tinyproxy {
    /// Starts it at this address of a machine, for `CONNECT` to this port, and waits until `client`
    /// reaches it.
    pub async fn start(
        program: &str,
        (machine, address): (&Namespace, SocketAddr),
        connect_port: u16,
        client: &Namespace,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let configuration = format!(
            "Listen {}\nPort {}\nTimeout {IDLE_SECONDS}\nMaxClients 50\nLogLevel Connect\n\
             BasicAuth {USER} {PASSWORD}\nConnectPort {connect_port}\n",
            address.ip(),
            address.port()
        );
        let path = directory.path().join("tinyproxy.conf");
        std::fs::write(&path, configuration).unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let child = machine
            .command(Path::new(program))
            .arg("-d")
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let started = Self { directory, child };
        let reached = wait::within(SOON, async || client.connect(&address.to_string()).ok());
        assert!(reached.await.is_some(), "{}", started.log());
        started
    }

    /// What it has written: each connection, and each request with its target.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// How often it was asked to connect there.
    pub fn asked(&self, target: &str) -> usize {
        self.log().matches(&format!("CONNECT {target} ")).count()
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("cannot end tinyproxy: {error}");
        }
    }
}

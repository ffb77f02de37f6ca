//! A PostgreSQL with its own defaults, durable, on loopback, in a folder that goes away. It refuses to
//! run as root and then runs as the user that its Debian package made.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::postgres::owner;
use crate::{proc, program, prometheus};

/// How long it may take to start.
const START: Duration = Duration::from_secs(20);

/// The running server.
#[derive(Debug)]
pub struct Server {
    /// Its database.
    pub url: String,
    child: Child,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Prepares a folder with `initdb` and starts `server` on it.
    pub fn start(server: &str, initdb: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let owner = owner();
        if let Some((user, group)) = owner {
            chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let data = directory.path().join("data");
        let as_owner = |program: &str| {
            let mut command = Command::new(program);
            if let Some((user, group)) = owner {
                command.uid(user).gid(group);
            }
            command.current_dir(directory.path()).stdin(Stdio::null());
            command
        };
        let made = as_owner(initdb)
            .args(["-A", "trust", "-U", "admin", "-E", "UTF8", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        let port = prometheus::free_port();
        let child = as_owner(server)
            .arg("-D")
            .arg(&data)
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            .args(["-p", &port.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + START;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "PostgreSQL does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self {
            url: format!("postgres://admin@127.0.0.1:{port}/postgres?sslmode=disable"),
            child,
            _directory: directory,
        }
    }

    /// Processor seconds of the server and all its processes that live, and of those that it has waited
    /// for.
    pub fn cpu_seconds(&self) -> f64 {
        let server = self.child.id();
        let all = proc::children(server).into_iter().chain([server]);
        all.filter_map(proc::cpu_seconds).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fast shutdown: whoever is connected is let go.
        program::send_signal(self.child.id(), Signal::INT);
        if let Err(error) = self.child.wait() {
            eprintln!("cannot wait for PostgreSQL: {error}");
        }
    }
}

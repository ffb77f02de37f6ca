//! nginx as the plain reverse proxy to compare with: one worker, kept connections to the upstream,
//! the bearer header added.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::upstream::{TOKEN, Upstream};
use crate::{proc, program, prometheus};

/// The running nginx.
#[derive(Debug)]
pub struct Nginx {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    _directory: tempfile::TempDir,
}

impl Nginx {
    /// Starts `program` in front of the upstream.
    pub fn start(program: &str, upstream: &Upstream) -> Self {
        Self::run(program, |address| configuration(address, upstream.address))
    }

    /// Starts `program` with the configuration for an address.
    pub fn run(program: &str, configuration: impl FnOnce(SocketAddr) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], prometheus::free_port()));
        let path = directory.path().join("nginx.conf");
        std::fs::write(&path, configuration(address)).unwrap();
        let prefix = directory.path();
        let child = Command::new(program)
            .arg("-p")
            .arg(prefix)
            .arg("-c")
            .arg(&path)
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let nginx = Self {
            address,
            child,
            _directory: directory,
        };
        let end = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "nginx does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        nginx
    }

    /// Processor seconds of the master and its workers.
    pub fn cpu_seconds(&self) -> f64 {
        self.pids().into_iter().filter_map(proc::cpu_seconds).sum()
    }

    /// The master and its workers.
    pub fn pids(&self) -> Vec<u32> {
        let master = self.child.id();
        proc::children(master).into_iter().chain([master]).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM and not KILL: the master takes its workers with it.
        program::send_signal(self.child.id(), rustix::process::Signal::TERM);
        if let Err(error) = self.child.wait() {
            eprintln!("cannot wait for nginx: {error}");
        }
    }
}

/// The worker of a master that runs as root stays root, so that it may use the temporary directory.
pub fn user_line() -> &'static str {
    if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    }
}

fn configuration(listen: SocketAddr, upstream: SocketAddr) -> String {
    let user = user_line();
    format!(
        "daemon off; {user} worker_processes 1; pid nginx.pid;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
           access_log off;\n\
           client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n\
           uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
           keepalive_requests 10000000;\n\
           upstream page {{ server {upstream}; keepalive 64; keepalive_requests 10000000; }}\n\
           server {{\n\
             listen {listen};\n\
             location / {{\n\
               proxy_pass http://page;\n\
               proxy_http_version 1.1;\n\
               proxy_buffers 64 16k;\n\
               proxy_set_header Connection \"\";\n\
               proxy_set_header Authorization \"Bearer {TOKEN}\";\n\
             }}\n\
           }}\n\
         }}\n"
    )
}

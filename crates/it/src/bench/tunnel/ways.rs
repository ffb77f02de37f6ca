//! The ways from a client to the targets: none, Landline's lanes, the whole product, and its peers.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::target::Targets;
use crate::cluster;
use crate::proc;
use crate::program::{Program, program_path};

/// A way, as clients see it.
pub struct Way {
    /// In the table.
    pub name: &'static str,
    /// Leads to the bytes.
    pub tcp: SocketAddr,
    /// Leads to the HTTP server.
    pub http: Option<Http>,
    /// The processes between client and target; their children count as well.
    pub processes: Vec<u32>,
}

/// How HTTP goes.
#[derive(Debug)]
pub struct Http {
    /// Where.
    pub url: String,
    /// Lines of the head.
    pub headers: Vec<String>,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Way {
    /// A way whose HTTP goes over a port like any bytes.
    pub fn ports(
        name: &'static str,
        tcp: SocketAddr,
        http: SocketAddr,
        processes: Vec<u32>,
    ) -> Self {
        let url = format!("http://{http}/");
        let headers = Vec::new();
        Self {
            name,
            tcp,
            http: Some(Http { url, headers }),
            processes,
        }
    }

    /// The processes that live now, with all that they have started.
    pub fn pids(&self) -> Vec<u32> {
        let mut all = self.processes.clone();
        let mut next = 0;
        while let Some(pid) = all.get(next).copied() {
            all.extend(proc::children(pid));
            next += 1;
        }
        all
    }

    /// What all of them have used.
    pub fn cpu_seconds(&self) -> f64 {
        let pids = self.pids();
        pids.into_iter().filter_map(proc::cpu_seconds).sum()
    }
}

/// A child process that ends with this value.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts a command whose output is read line by line.
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it says.
    pub fn line(&mut self) -> String {
        self.lines.next().expect("it goes on").unwrap()
    }

    /// The next line, as JSON.
    pub fn json(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Two processes with the real lines between them, without anything above.
#[derive(Debug)]
pub struct Lanes {
    ends: [Running; 2],
    interactive: SocketAddr,
    bulk: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Lanes {
    /// Starts both ends, with ports that lead to `target`; the agent's dials go to `door` of its choice.
    pub fn start(program: &Path, target: SocketAddr, relay: Option<&crate::relay::Relay>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let end = |word: &str, address: &str| {
            let mut command = Command::new(program);
            command.arg(word).arg(directory.path()).arg(address);
            Running::start(&mut command)
        };
        let mut proxy = end("proxy", &target.to_string());
        let door = proxy.json()["door"].as_str().unwrap().to_owned();
        let dialled = match relay {
            None => door,
            Some(relay) => {
                relay.set_upstreams(vec![door]);
                relay.address.to_string()
            }
        };
        let agent = end("agent", &dialled);
        let ports = proxy.json();
        let port = |key: &str| ports[key].as_str().unwrap().parse().unwrap();
        Self {
            interactive: port("interactive"),
            bulk: port("bulk"),
            ends: [proxy, agent],
            _directory: directory,
        }
    }

    /// Their processes.
    pub fn processes(&self) -> Vec<u32> {
        self.ends.iter().map(Running::pid).collect()
    }

    /// The port of the interactive lane.
    pub fn interactive(&self) -> SocketAddr {
        self.interactive
    }

    /// The port of the bulk lane.
    pub fn bulk(&self) -> SocketAddr {
        self.bulk
    }
}

/// The whole product: a hub, a node, and `landline forward`.
#[derive(Debug)]
pub struct Product {
    hub: Program,
    node: Program,
    forward: Running,
    port: SocketAddr,
    token: String,
}

impl Product {
    /// Starts all three and makes a user who may use both applications, which travel on this lane.
    pub async fn start(targets: Targets, lane: &str) -> Self {
        let public = json!({"public_addr": "hub.example.net:3080"});
        let hub = Program::start(&cluster::hub(public)).await;
        let apps = json!([
            {"name": "bytes", "tcp": targets.tcp.to_string(), "lane": lane},
            {"name": "pages", "url": format!("http://{}", targets.http), "lane": lane},
        ]);
        let node = cluster::join(&hub, "web-1", json!({"apps": apps})).await;
        let role = json!({"name": "apps", "allow": [
            {"kinds": ["apps"], "verbs": ["use"]}]});
        std::fs::write(hub.path("role.json"), role.to_string()).unwrap();
        run(&hub, &["roles", "add", "role.json"]);
        run(&hub, &["users", "add", "anna", "--role", "apps"]);
        let issued = run(
            &hub,
            &[
                "tokens", "add", "--role", "api", "--user", "anna", "--ttl", "1d", "--json",
            ],
        );
        let issued: Value = serde_json::from_str(&issued).unwrap();
        let token = issued["token"].as_str().unwrap().to_owned();
        std::fs::write(hub.path("api.token"), &token).unwrap();
        let mut command = Command::new(program_path());
        command
            .args([
                "forward",
                "bytes",
                "127.0.0.1:0",
                "--token-file",
                "api.token",
            ])
            .current_dir(hub.directory.path());
        let mut forward = Running::start(&mut command);
        let said = forward.line();
        let port = said.split(' ').next().unwrap().parse().unwrap();
        Self {
            hub,
            node,
            forward,
            port,
            token,
        }
    }

    /// The way through it. HTTP goes to the hub itself, by path.
    pub fn way(&self, name: &'static str) -> Way {
        let http = Http {
            url: format!("http://{}/apps/pages/", self.hub.main),
            headers: vec![format!("authorization: Bearer {}", self.token)],
        };
        Way {
            name,
            tcp: self.port,
            http: Some(http),
            processes: vec![self.hub.pid(), self.node.pid(), self.forward.pid()],
        }
    }
}

fn run(hub: &Program, arguments: &[&str]) -> String {
    let output = hub.command(arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

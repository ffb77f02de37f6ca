//! A real Prometheus with its data in a temporary directory, and its query API.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::client;
use crate::wait;

/// The longest its start may take.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// The running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    directory: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Prometheus {
    /// Starts `program` with this configuration and waits until it is ready.
    pub async fn start(program: &str, configuration: &str) -> Self {
        Self::start_with(program, configuration, &[]).await
    }

    /// The same with further arguments.
    pub async fn start_with(program: &str, configuration: &str, arguments: &[&str]) -> Self {
        Self::start_at(program, free_port(), configuration, arguments).await
    }

    /// Starts it with a configuration that is made for its own address.
    pub async fn start_on_itself(program: &str, configuration: impl Fn(&str) -> String) -> Self {
        let port = free_port();
        let configuration = configuration(&format!("127.0.0.1:{port}"));
        Self::start_at(program, port, &configuration, &[]).await
    }

    async fn start_at(program: &str, port: u16, configuration: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("prometheus.yml"), configuration).unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let child = Command::new(program)
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(arguments)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let prometheus = Self {
            directory,
            port,
            child,
        };
        let ready = prometheus.url("/-/ready");
        wait::until("Prometheus is ready", READY_LIMIT, async || {
            client::get(&ready, &[])
                .await
                .ok()
                .filter(|reply| reply.status == 200)
        })
        .await;
        prometheus
    }

    /// Its address, `host:port`.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its URL with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The result vector of an instant query.
    pub async fn query(&self, expression: &str) -> Vec<Value> {
        let encoded: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let reply = client::get(&self.url(&format!("/api/v1/query?query={encoded}")), &[]).await;
        let reply = reply.unwrap().json();
        assert_eq!(reply["status"], "success", "{expression}: {reply}");
        reply["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// The value of the first series of an instant query.
    pub async fn value(&self, expression: &str) -> Option<f64> {
        let result = self.query(expression).await;
        result.first()?["value"][1].as_str()?.parse().ok()
    }

    /// The active targets as its API lists them.
    pub async fn targets(&self) -> Vec<Value> {
        let reply = client::get(&self.url("/api/v1/targets?state=active"), &[])
            .await
            .unwrap();
        reply.json()["data"]["activeTargets"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// The folder that it keeps its data in.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Ends it at once; its data stays until this is dropped.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("cannot end Prometheus: {error}");
        }
    }
}

/// A port that was free a moment ago, for programs that cannot choose one themselves.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Gives `page` to `promtool check metrics`; its complaints, empty when all is well.
pub fn promtool_check(promtool: &str, page: &str) -> String {
    use std::io::Write;
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let complaints = String::from_utf8_lossy(&text).into_owned();
    if output.status.success() {
        String::new()
    } else {
        format!("{complaints}\nof the page:\n{page}")
    }
}

//! The servers that are measured beside one another, each with a folder of its own.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::program::{Launch, Program};
use crate::prometheus::free_port;
use crate::{client, proc, wait};

/// The longest start.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    /// Its name in the report.
    pub(super) name: &'static str,
    /// `host:port`.
    pub(super) authority: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Ours(Box<Program>),
    Peer(Child, tempfile::TempDir),
}

impl Server {
    /// Ours.
    pub(super) async fn landline(scrapes: &str) -> Self {
        Self::ours(launch(scrapes).start().await)
    }

    /// A program that runs.
    pub(super) fn ours(program: Program) -> Self {
        Self {
            name: "landline",
            authority: program.main.to_string(),
            kind: Kind::Ours(Box::new(program)),
        }
    }

    /// Debian's Prometheus.
    pub(super) async fn prometheus(program: &str, scrapes: &str) -> Self {
        let port = free_port();
        let arguments = [
            "--config.file=prometheus.yml".to_owned(),
            "--storage.tsdb.path=data".to_owned(),
            "--web.enable-remote-write-receiver".to_owned(),
            "--web.enable-admin-api".to_owned(),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        Self::peer(
            "prometheus",
            program,
            scrapes,
            (&arguments, port, "/-/ready"),
        )
        .await
    }

    /// Debian's VictoriaMetrics.
    pub(super) async fn victoria(program: &str, scrapes: &str) -> Self {
        let port = free_port();
        let arguments = [
            "-promscrape.config=prometheus.yml".to_owned(),
            "-storageDataPath=data".to_owned(),
            "-retentionPeriod=1".to_owned(),
            "-search.latencyOffset=0s".to_owned(),
            format!("-httpListenAddr=127.0.0.1:{port}"),
        ];
        Self::peer(
            "victoria-metrics",
            program,
            scrapes,
            (&arguments, port, "/health"),
        )
        .await
    }

    async fn peer(
        name: &'static str,
        program: &str,
        scrapes: &str,
        (arguments, port, ready): (&[String], u16, &str),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("prometheus.yml"), scrapes).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let server = Self {
            name,
            authority: format!("127.0.0.1:{port}"),
            kind: Kind::Peer(child, folder),
        };
        let url = format!("http://{}{ready}", server.authority);
        wait::until("the peer is ready", READY_LIMIT, async || {
            client::get(&url, &[])
                .await
                .ok()
                .filter(|reply| reply.status == 200)
        })
        .await;
        server
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        match &self.kind {
            Kind::Ours(program) => program.pid(),
            Kind::Peer(child, _) => child.id(),
        }
    }

    /// CPU seconds so far.
    pub(super) fn cpu(&self) -> f64 {
        proc::cpu_seconds(self.pid()).unwrap_or(f64::NAN)
    }

    /// Resident memory.
    pub(super) fn rss_mib(&self) -> f64 {
        proc::rss_kib(self.pid()).map_or(f64::NAN, |kib| kib as f64 / 1024.0)
    }

    /// The folder that it runs in.
    pub(super) fn folder(&self) -> &Path {
        match &self.kind {
            Kind::Ours(program) => program.directory.path(),
            Kind::Peer(_, folder) => folder.path(),
        }
    }

    /// Asks its API; the answer's `data`.
    pub(super) async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        let url = format!("http://{}{path}?{}", self.authority, query.finish());
        let reply = client::get(&url, &[]).await.unwrap();
        assert_eq!(reply.status, 200, "{}: {url}: {}", self.name, reply.text());
        reply.json()["data"].take()
    }

    /// The program of ours, when it is that.
    pub(super) fn program(&mut self) -> Option<&mut Program> {
        match &mut self.kind {
            Kind::Ours(program) => Some(program),
            Kind::Peer(..) => None,
        }
    }
}

/// Ours, to be started.
pub(super) fn launch(scrapes: &str) -> Launch {
    let configuration = serde_json::json!({
        "roles": ["monitor"],
        "listen": "127.0.0.1:0",
        "data_dir": "data",
        "monitor": {"prometheus": "prometheus.yml", "hosts": false, "gateway": false},
    });
    Launch::new(&configuration.to_string()).file("prometheus.yml", scrapes)
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Kind::Peer(child, _) = &mut self.kind {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

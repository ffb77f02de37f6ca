//! PostgreSQL goes away under load and comes back: who posts is told within a second, nothing that was
//! acknowledged is lost, and nobody has to restart anything. The server is one of its own, with the
//! durability that it has by default.

use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use it::need::need;
use it::postgres::owner;
use it::program::{Program, send_signal};
use it::prometheus::free_port;
use it::{client, proc, relayed, telemetrics, wait};
use rustix::process::Signal;
use serde_json::json;

use crate::records_fleet::{Answer, Fleet, assert_kept};

/// The longest until a client is told that a record can't be kept. What this machine adds is measured
/// beside it, see [`Slack`].
const TOLD: Duration = Duration::from_millis(1_250);
/// How much more than one answer of the probe a busy machine may add to one of the records: these come
/// many at once, and several threads take part in each.
const SLACK_FACTOR: u32 = 4;
/// The longest until records are taken again.
const RECOVERED: Duration = Duration::from_secs(10);
/// How long the server may take to start.
const STARTED: Duration = Duration::from_secs(30);

/// A server with a folder of its own.
struct Server {
    programs: [String; 2],
    owner: Option<(u32, u32)>,
    port: u16,
    child: Child,
    directory: tempfile::TempDir,
}

impl Server {
    /// None, and a skipped test, without the programs.
    async fn start() -> Option<Self> {
        let programs = [need("POSTGRES")?, need("INITDB")?];
        let owner = owner();
        let directory = tempfile::tempdir().unwrap();
        if let Some((user, group)) = owner {
            chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let mut initdb = command(&programs[1], &directory, owner);
        initdb.args([
            "-A",
            "trust",
            "-U",
            "admin",
            "-E",
            "UTF8",
            "--locale=C",
            "-D",
            "data",
        ]);
        let made = initdb.stdout(Stdio::null()).status().unwrap();
        assert!(made.success(), "initdb: {made}");
        let port = free_port();
        let child = launch(&programs[0], &directory, owner, port);
        let server = Self {
            programs,
            owner,
            port,
            child,
            directory,
        };
        server.answers().await;
        Some(server)
    }

    fn url(&self) -> String {
        format!("postgres://admin@127.0.0.1:{}/postgres", self.port)
    }

    /// Waits until it takes logins.
    async fn answers(&self) {
        use sqlx::Connection as _;
        wait::until("PostgreSQL takes logins", STARTED, async || {
            let connection = sqlx::PgConnection::connect(&self.url()).await.ok()?;
            connection.close().await.ok()
        })
        .await;
    }

    /// It and all processes that it has.
    fn processes(&self) -> Vec<u32> {
        let own = self.child.id();
        [own].into_iter().chain(proc::children(own)).collect()
    }

    /// Stops all of it in the middle of whatever it does.
    fn pause(&self) {
        for _ in 0..2 {
            self.processes()
                .into_iter()
                .for_each(|pid| send_signal(pid, Signal::STOP));
        }
    }

    fn resume(&self) {
        self.processes()
            .into_iter()
            .rev()
            .for_each(|pid| send_signal(pid, Signal::CONT));
    }

    /// Ends it as a crash would: without a word to whoever is connected, and with recovery at the next
    /// start.
    fn crash(&mut self) {
        send_signal(self.child.id(), Signal::QUIT);
        self.child.wait().unwrap();
    }

    async fn start_again(&mut self) {
        self.child = launch(&self.programs[0], &self.directory, self.owner, self.port);
        self.answers().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.resume();
        self.crash();
    }
}

fn command(program: &str, directory: &tempfile::TempDir, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command.current_dir(directory.path()).stdin(Stdio::null());
    command
}

fn launch(
    program: &str,
    directory: &tempfile::TempDir,
    owner: Option<(u32, u32)>,
    port: u16,
) -> Child {
    let mut command = command(program, directory, owner);
    command.args(["-D", "data", "-p", &port.to_string()]);
    command.args([
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
    ]);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// How long the same program takes meanwhile for what needs no database: what it takes longer is the
/// machine's doing and not that of the database.
struct Slack {
    /// In milliseconds.
    slowest: Arc<AtomicU64>,
    probe: tokio::task::JoinHandle<()>,
}

impl Slack {
    fn start(main: SocketAddr) -> Self {
        let slowest = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&slowest);
        let probe = tokio::spawn(async move {
            loop {
                let begun = Instant::now();
                let reply = client::get(&format!("http://{main}/healthz"), &[]).await;
                assert_eq!(reply.unwrap().status, 200);
                let took = u64::try_from(begun.elapsed().as_millis()).unwrap();
                seen.fetch_max(took, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { slowest, probe }
    }

    /// The longest that an answer may take on this machine.
    fn limit(&self) -> Duration {
        TOLD + Duration::from_millis(self.slowest.load(Ordering::Relaxed)) * SLACK_FACTOR
    }
}

impl Drop for Slack {
    fn drop(&mut self) {
        self.probe.abort();
    }
}

/// A collector under load, and its database.
struct Scene {
    server: Server,
    program: Program,
    fleet: Fleet,
    slack: Slack,
    /// The slowest answer to what was under way when the database went.
    caught: Duration,
}

impl Scene {
    async fn start() -> Option<Self> {
        let server = Server::start().await?;
        let state = json!({"state": server.url()});
        let program = Program::start(&telemetrics::configuration(&state, json!({}))).await;
        let fleet = Fleet::start(program.main);
        let slack = Slack::start(program.main);
        let scene = Self {
            server,
            program,
            fleet,
            slack,
            caught: Duration::ZERO,
        };
        scene.goes_on().await;
        Some(scene)
    }

    /// Waits until records are acknowledged.
    async fn goes_on(&self) -> Duration {
        let (begun, count) = (Instant::now(), self.fleet.count());
        wait::until("records are taken", RECOVERED, async || {
            (self.fleet.count() > count + 50).then_some(())
        })
        .await;
        begun.elapsed()
    }

    /// Lets the outage last, and looks at the answers to what was sent during it.
    async fn outage(&mut self, what: &str, lasts: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < lasts {
            let reply = client::get(&format!("http://{}/healthz", self.program.main), &[]).await;
            assert_eq!(reply.unwrap().status, 200);
            for path in [
                "/api/records",
                "/v1/records",
                "/v1/records/counts?by=severity",
            ] {
                let url = format!("http://{}{path}", self.program.main);
                let reply = client::get(&url, &[]).await.unwrap();
                assert_eq!(reply.status, 503, "{what}: {path} {}", reply.text());
                let (took, limit) = (reply.elapsed, self.slack.limit());
                assert!(took <= limit, "{what}: {path} {took:?}, not {limit:?}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let answers = self.fleet.answers();
        let is_during = |answer: &&Answer| answer.sent >= begun;
        let during: Vec<Answer> = answers.iter().filter(is_during).copied().collect();
        assert!(!during.is_empty());
        let slowest = during.iter().map(|answer| answer.elapsed).max().unwrap();
        let before = answers.iter().filter(|answer| answer.sent < begun);
        let caught = before.map(|answer| answer.elapsed).max().unwrap();
        relayed::note(&format!(
            "{what}: {} answers, slowest {slowest:?}; sent before it {caught:?}",
            during.len()
        ));
        for answer in &during {
            assert_eq!(answer.status, 503, "{what}: {answer:?}");
        }
        let limit = self.slack.limit();
        assert!(slowest <= limit, "{what}: {slowest:?}, not {limit:?}");
        self.caught = self.caught.max(caught);
    }

    /// Everything is there, and it is the process that it was.
    async fn finish(self) {
        assert_eq!(self.program.generations(), [self.program.pid()]);
        let acknowledged = self.fleet.finish().await;
        assert_kept(self.program.main, &acknowledged).await;
        let (caught, limit) = (self.caught, self.slack.limit());
        assert!(
            caught <= limit,
            "under way when it began: {caught:?}, not {limit:?}"
        );
    }
}

/// The server hangs: shorter and longer than a statement may take.
#[tokio::test]
async fn a_database_that_hangs_loses_nothing() {
    let Some(mut scene) = Scene::start().await else {
        return;
    };
    // What is under way when it begins is at another point of its way each time.
    for milliseconds in [1_500, 1_500, 1_500, 1_500, 14_000] {
        let lasts = Duration::from_millis(milliseconds);
        scene.server.pause();
        scene.outage("hangs", lasts).await;
        scene.server.resume();
        let recovered = scene.goes_on().await;
        relayed::note(&format!("taken again after {recovered:?}"));
    }
    scene.finish().await;
}

/// The server crashes and comes back.
#[tokio::test]
async fn a_database_that_crashes_loses_nothing() {
    let Some(mut scene) = Scene::start().await else {
        return;
    };
    for _ in 0..3 {
        scene.server.crash();
        scene.outage("crashed", Duration::from_secs(3)).await;
        scene.server.start_again().await;
        let recovered = scene.goes_on().await;
        relayed::note(&format!("taken again after {recovered:?}"));
    }
    scene.finish().await;
}

//! The real program as a child process: written configuration, free ports, its output kept, and
//! nothing left behind, whichever generation of it is alive at the end.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{self, Failure, Reply};
use crate::wait::{self, SOON};
use crate::{exposition, proc};

/// The longest a start may take on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// The variable that marks every process that a test has started.
const MARK: &str = "LANDLINE_TEST_RUN";

/// How to start it.
#[derive(Debug)]
pub struct Launch {
    /// The temporary directory: working directory, configuration, data.
    pub directory: tempfile::TempDir,
    /// Which file to execute.
    pub program: PathBuf,
    /// Variables added to the environment.
    pub environment: Vec<(String, String)>,
    /// What stands before the program on the command line, for a wrapper.
    pub wrapper: Vec<String>,
    /// Standard input: a listener for socket activation, otherwise nothing.
    pub input: Option<std::os::fd::OwnedFd>,
}

impl Launch {
    /// A launch with this configuration in a new temporary directory.
    pub fn new(configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("landline.yaml"), configuration).unwrap();
        let program = program_path();
        Self {
            directory,
            program,
            environment: Vec::new(),
            wrapper: Vec::new(),
            input: None,
        }
    }

    /// Puts a file beside the configuration, for example a secret.
    #[must_use]
    pub fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.path(name), content).unwrap();
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs a copy of the program, which the test may then replace on disk.
    #[must_use]
    pub fn own_copy(mut self) -> Self {
        let copy = self.path("landline");
        std::fs::copy(&self.program, &copy).unwrap();
        self.program = copy;
        self
    }

    /// A path in the temporary directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Program {
        let mut program = self.spawn();
        program.ready().await;
        program
    }

    /// Starts it without waiting.
    pub fn spawn(self) -> Program {
        let log = File::create(self.path("stderr.log")).unwrap();
        let mut command = start_command(&self.wrapper, &self.program);
        command.current_dir(self.directory.path());
        command
            .env(MARK, self.directory.path())
            .env_remove("NOTIFY_SOCKET");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(self.input.map_or_else(Stdio::null, Stdio::from));
        command
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log));
        let child = spawn(&mut command);
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        Program {
            directory: self.directory,
            wrapper: self.wrapper,
            child,
            main: unknown,
            gateway: unknown,
        }
    }
}

/// The running program.
#[derive(Debug)]
pub struct Program {
    /// Its working directory, with `landline.yaml` and `data`.
    pub directory: tempfile::TempDir,
    /// The address of the main listener.
    pub main: SocketAddr,
    /// The address of the gateway's own listener.
    pub gateway: SocketAddr,
    wrapper: Vec<String>,
    child: Child,
}

impl Program {
    /// Starts the program with this configuration and waits until it is ready.
    pub async fn start(configuration: &str) -> Self {
        Launch::new(configuration).start().await
    }

    /// Starts it again in the same directory, after it has ended, without its wrapper; `ready` waits for
    /// it.
    pub fn restart(&mut self) {
        self.restart_behind(&[]);
    }

    /// The same behind its wrapper.
    pub fn restart_wrapped(&mut self) {
        self.restart_behind(&self.wrapper.clone());
    }

    fn restart_behind(&mut self, wrapper: &[String]) {
        let listeners = self.path("data/listeners.json");
        assert!(
            std::fs::remove_file(listeners).is_ok(),
            "it was never ready"
        );
        let log = File::options()
            .append(true)
            .open(self.path("stderr.log"))
            .unwrap();
        let mut command = start_command(wrapper, &program_path());
        command
            .current_dir(self.directory.path())
            .env(MARK, self.directory.path())
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log));
        self.child = spawn(&mut command);
    }

    /// Waits for `listeners.json` and learns the ports; fails with the output when the program ends.
    pub async fn ready(&mut self) {
        let path = self.path("data/listeners.json");
        let seen = wait::within(READY_LIMIT, async || {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(Err(status));
            }
            let text = std::fs::read_to_string(&path).ok()?;
            serde_json::from_str::<serde_json::Value>(&text)
                .ok()
                .map(Ok)
        });
        let listeners = match seen.await {
            Some(Ok(listeners)) => listeners,
            Some(Err(status)) => panic!("not ready, ended with {status}:\n{}", self.stderr()),
            None => panic!("not ready after {READY_LIMIT:?}:\n{}", self.stderr()),
        };
        let address = |key: &str| listeners[key].as_str().and_then(|text| text.parse().ok());
        let Some(main) = address("main") else {
            panic!("no main listener in {listeners}")
        };
        self.main = main;
        self.gateway = address("gateway").unwrap_or(main);
    }

    /// A path in the working directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces a file in the working directory in one step.
    pub fn write(&self, name: &str, content: &str) {
        replace_file(&self.path(name), content.as_bytes());
    }

    /// The URL of a path on the gateway's listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway)
    }

    /// `GET` on the gateway's listener, on a fresh connection.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        match self.try_get(path, headers).await {
            Ok(reply) => reply,
            Err(error) => panic!("GET {path}: {error}\n{}", self.stderr()),
        }
    }

    /// Like [`Program::get`], giving the failure.
    pub async fn try_get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Reply, Failure> {
        client::get(&self.url(path), headers).await
    }

    /// A request on the main listener.
    pub async fn main(&self, method: &str, path: &str) -> Reply {
        let url = format!("http://{}{path}", self.main);
        match client::send(method, &url, &[], "").await {
            Ok(reply) => reply,
            Err(error) => panic!("{method} {path}: {error}\n{}", self.stderr()),
        }
    }

    /// The page of one target.
    pub async fn scrape(&self, name: &str) -> Reply {
        self.get(&format!("/metrics/{name}"), &[]).await
    }

    /// The program's own metrics.
    pub async fn metrics(&self) -> String {
        self.main("GET", "/metrics").await.text()
    }

    /// The value of one of its own metrics, 0 when absent.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        exposition::value(&self.metrics().await, name, labels).unwrap_or(0.0)
    }

    /// What `/v1/gateway/targets` says of one target, `null` when it does not list it.
    pub async fn target(&self, name: &str) -> serde_json::Value {
        let all = self.get("/v1/gateway/targets", &[]).await.json();
        find_named(&all, name).unwrap_or_default()
    }

    /// Waits until a target has this state.
    pub async fn target_state(&self, name: &str, state: &str) -> serde_json::Value {
        let what = format!("target {name} is {state}");
        wait::until(&what, SOON, async || {
            Some(self.target(name).await).filter(|target| target["state"] == state)
        })
        .await
    }

    /// The process that answers `/readyz` now: another one after a replacement.
    pub async fn serving_pid(&self) -> Option<u32> {
        let url = format!("http://{}/readyz", self.main);
        let reply = client::get(&url, &[]).await.ok()?;
        u32::try_from(reply.json()["pid"].as_u64()?).ok()
    }

    /// The process that the test has started.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory of the process that the test has started, KiB.
    pub fn rss_kib(&self) -> Option<u64> {
        proc::rss_kib(self.pid())
    }

    /// Signals the process that the test has started.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Waits for the end of the process that the test has started; its code, or -signal.
    pub async fn wait_exit(&mut self, limit: Duration) -> i32 {
        let status = wait::within(limit, async || self.child.try_wait().ok().flatten()).await;
        match status {
            Some(status) => code(status),
            None => panic!("still running after {limit:?}:\n{}", self.stderr()),
        }
    }

    /// Everything it and its replacements have written.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.path("stderr.log")).unwrap_or_default()
    }

    /// All living processes of this run, of every generation.
    pub fn generations(&self) -> Vec<u32> {
        let mut pids = proc::marked(&format!("{MARK}={}", self.directory.path().display()));
        pids.retain(|pid| proc::is_alive(*pid));
        pids
    }

    /// Runs another command of the program in the same directory.
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        command_in(self.directory.path(), arguments)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Why a test has failed often stands here only.
            eprintln!("the program's last words:\n{}", last_words(&self.stderr()));
        }
        // A successor may be on its way between the listing and the signal.
        let end = Instant::now() + wait::SOON;
        loop {
            let left = self.generations();
            if left.is_empty() || Instant::now() > end {
                break;
            }
            for pid in left {
                send_signal(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Err(error) = self.child.wait() {
            eprintln!("cannot wait for {}: {error}", self.child.id());
        }
    }
}

/// `landline start` behind a wrapper, or without one.
fn start_command(wrapper: &[String], program: &Path) -> Command {
    let mut words = wrapper.to_vec();
    words.push(program.to_string_lossy().into_owned());
    words.extend(["start", "--config", "landline.yaml"].map(str::to_owned));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// As much of the end of a log as somebody reads.
fn last_words(log: &str) -> &str {
    const BYTES_MAX: usize = 16 << 10;
    log.get(log.ceil_char_boundary(log.len().saturating_sub(BYTES_MAX))..)
        .unwrap_or_default()
}

/// Runs `landline <arguments>` in a directory until it ends.
pub fn command_in(directory: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(program_path());
    command
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null());
    command.env(MARK, directory).output().unwrap()
}

/// The program under test: `LANDLINE_TEST_PROGRAM`, or the one built beside this binary.
pub fn program_path() -> PathBuf {
    let path = std::env::var_os("LANDLINE_TEST_PROGRAM").map_or_else(beside, PathBuf::from);
    assert!(
        path.is_file(),
        "no program at {}: build it first (cargo build)",
        path.display()
    );
    std::path::absolute(path).unwrap()
}

/// Replaces a file in one step, as operators' tools do.
pub fn replace_file(path: &Path, content: &[u8]) {
    let next = path.with_extension("next");
    std::fs::write(&next, content).unwrap();
    if let Ok(old) = std::fs::metadata(path) {
        std::fs::set_permissions(&next, old.permissions()).unwrap();
    }
    std::fs::rename(&next, path).unwrap();
}

/// Starts a command. A program that was copied a moment ago can look as if it were still being
/// written, while another thread is between fork and exec: that passes.
fn spawn(command: &mut Command) -> Child {
    for _ in 0..100 {
        match command.spawn() {
            Ok(child) => return child,
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::yield_now();
            }
            Err(error) => panic!("cannot start {command:?}: {error}"),
        }
    }
    panic!("cannot start {command:?}: still being written");
}

/// Sends a signal; a process that is gone is no failure.
pub fn send_signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(Err(error)) = pid.map(|pid| kill_process(pid, signal)) {
        assert!(
            error == rustix::io::Errno::SRCH,
            "cannot signal {pid:?}: {error}"
        );
    }
}

/// The exit code, or the negative signal number.
pub fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| -status.signal().unwrap_or(0))
}

/// `target/debug/landline` for a test in `target/debug/deps` or a program in `target/debug`.
fn beside() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let mut directory = own.parent().unwrap().to_path_buf();
    if directory.ends_with("deps") {
        directory.pop();
    }
    directory.join("landline")
}

/// The object with this `name` anywhere in a JSON document.
fn find_named(value: &serde_json::Value, name: &str) -> Option<serde_json::Value> {
    match value {
        serde_json::Value::Object(map) if value["name"] == name && map.contains_key("state") => {
            Some(value.clone())
        }
        serde_json::Value::Object(map) => map.values().find_map(|inner| find_named(inner, name)),
        serde_json::Value::Array(list) => list.iter().find_map(|inner| find_named(inner, name)),
        _ => None,
    }
}

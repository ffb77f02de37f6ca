//! A private MariaDB: own folder, own port on loopback, no durability, gone with the run.

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::failure::{Attempt, Failure};
use crate::guardian::Stage;
use crate::{files, machine};

/// How long the server may take until it greets a client.
const READY_SECONDS_MAX: u64 = 60;
/// Starts with another port when the chosen one was taken in between.
const ATTEMPTS_MAX: usize = 3;
/// Lines of the server's log shown when it does not start.
const LOG_LINES_SHOWN: usize = 15;

/// The first byte of the greeting that MySQL's protocol has had since version 4.1.
const GREETING_VERSION: u8 = 10;

/// Small, quick, and closed to everything but loopback.
const SETTINGS: [&str; 13] = [
    "--skip-networking=0",
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--socket=server.sock",
    "--pid-file=server.pid",
    "--performance-schema=off",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=8M",
    "--max-connections=100",
    "--skip-log-bin",
];

/// A running server and how to reach it.
#[derive(Debug)]
pub(crate) struct Server {
    /// The process, leader of its own group.
    pub(crate) process: Child,
    /// With all rights.
    pub(crate) admin_url: String,
}

/// Prepares a data folder and starts `program` on a free port.
pub(crate) fn start(stage: &mut Stage, program: &Path) -> Result<Server, Failure> {
    let start = machine::now();
    let folder = stage.folder().join("mariadb");
    let data = folder.join("data");
    fs::create_dir_all(&data).attempt(|| format!("create {}", data.display()))?;
    let password = password()?;
    write_accounts(&folder.join("accounts.sql"), &password)?;
    prepare(stage, &folder)?;
    for attempt in 1..=ATTEMPTS_MAX {
        let address = free_address()?;
        let mut process = launch(stage, program, &folder, address.port())?;
        if greets(&mut process, address)? {
            let seconds = machine::seconds_since(start);
            machine::say(&format!("mariadb ready on {address} ({seconds})"));
            let admin_url = format!("mysql://admin:{password}@{address}/credentials");
            return Ok(Server { process, admin_url });
        }
        stage.end(&mut process)?;
        machine::say(&format!(
            "mariadb did not start (attempt {attempt} of {ATTEMPTS_MAX})"
        ));
    }
    let log = files::read_text(&folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let shown = lines
        .iter()
        .skip(lines.len().saturating_sub(LOG_LINES_SHOWN));
    let shown: Vec<&str> = shown.copied().collect();
    Err(Failure(format!(
        "mariadb does not start; the end of its log:\n{}",
        shown.join("\n")
    )))
}

/// Lays the system tables.
fn prepare(stage: &mut Stage, folder: &Path) -> Result<(), Failure> {
    let Some(installer) = machine::find_program("mariadb-install-db") else {
        return Err(Failure::new(
            "mariadb-install-db is not installed beside mariadbd",
        ));
    };
    let log = log_file(folder)?;
    let mut command = Command::new(installer);
    command.args(["--no-defaults", "--skip-test-db", "--skip-name-resolve"]);
    command.arg("--auth-root-authentication-method=normal");
    command.arg(format!("--datadir={}", folder.join("data").display()));
    if machine::is_root() {
        command.arg("--user=root");
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let mut child = stage.start(&mut command, true)?;
    let status = child
        .wait()
        .attempt(|| "wait for mariadb-install-db".to_owned())?;
    stage.forget(&child)?;
    if status.success() {
        return Ok(());
    }
    let log = files::read_text(&folder.join("log")).unwrap_or_default();
    Err(Failure(format!(
        "mariadb-install-db ended with {status}: {log}"
    )))
}

/// Starts the server in its own process group, so that Ctrl-C reaches the tests first.
fn launch(stage: &mut Stage, program: &Path, folder: &Path, port: u16) -> Result<Child, Failure> {
    let mut command = Command::new(program);
    command
        .arg("--no-defaults")
        .args(SETTINGS)
        .arg(format!("--port={port}"));
    command.arg(format!("--datadir={}", folder.join("data").display()));
    command.arg(format!(
        "--init-file={}",
        folder.join("accounts.sql").display()
    ));
    if machine::is_root() {
        command.arg("--user=root");
    }
    command
        .stdin(Stdio::null())
        .stdout(log_file(folder)?)
        .stderr(log_file(folder)?);
    stage.start(&mut command, true)
}

/// The database and its user, created by the server itself before it accepts anyone. The
/// account `root` has no password, so it is taken away.
fn write_accounts(path: &Path, password: &str) -> Result<(), Failure> {
    let text = format!(
        "CREATE DATABASE IF NOT EXISTS credentials CHARACTER SET utf8mb4;\n\
         CREATE USER IF NOT EXISTS 'admin'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON *.* TO 'admin'@'127.0.0.1' WITH GRANT OPTION;\n\
         DELETE FROM mysql.global_priv WHERE User = 'root' OR User = '';\n\
         FLUSH PRIVILEGES;\n"
    );
    fs::write(path, text).attempt(|| format!("write {}", path.display()))
}

/// The log, opened for adding.
pub(super) fn log_file(folder: &Path) -> Result<File, Failure> {
    let path = folder.join("log");
    let opened = File::options().create(true).append(true).open(&path);
    opened.attempt(|| format!("open {}", path.display()))
}

/// An address on loopback that was free a moment ago.
pub(super) fn free_address() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.attempt(|| "find a free port".to_owned())
}

/// A password of 128 random bits.
pub(super) fn password() -> Result<String, Failure> {
    let mut bytes = [0_u8; 16];
    let source = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    source.attempt(|| "read /dev/urandom".to_owned())?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// Waits until the server sends its greeting; false when it ended or took too long.
fn greets(process: &mut Child, address: SocketAddr) -> Result<bool, Failure> {
    let start = machine::now();
    while machine::now().duration_since(start).as_secs() < READY_SECONDS_MAX {
        let ended = process
            .try_wait()
            .attempt(|| "look after mariadbd".to_owned())?;
        if ended.is_some() {
            return Ok(false);
        }
        if greeting(address).is_ok_and(|version| version == GREETING_VERSION) {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(false)
}

/// The protocol version in the greeting: the first byte after the packet's four-byte head.
fn greeting(address: SocketAddr) -> std::io::Result<u8> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut head = [0_u8; 5];
    stream.read_exact(&mut head)?;
    let [_, _, _, _, version] = head;
    Ok(version)
}

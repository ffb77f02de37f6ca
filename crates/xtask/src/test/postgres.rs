//! A private PostgreSQL: own folder, own port on loopback, no durability, gone with the run. It
//! refuses to run as root, so it then runs as the user that its Debian package made.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::mariadb::{free_address, log_file, password};
use crate::failure::{Attempt, Failure};
use crate::guardian::Stage;
use crate::{files, machine};

/// How long the server may take until it takes logins.
const READY_SECONDS_MAX: u64 = 60;
/// Starts with another port when the chosen one was taken in between.
const ATTEMPTS_MAX: usize = 3;
/// Lines of the server's log shown when it does not start.
const LOG_LINES_SHOWN: usize = 15;
/// The user that Debian's package makes.
const USER: &str = "postgres";
/// Where Debian keeps the programs of each version; they are not on anyone's PATH.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Small, quick, and closed to everything but loopback.
const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=32MB",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
];

/// The beginning of a login as `admin`: length, protocol 3.0, names and values
/// (its manual, "Message Formats", StartupMessage).
const STARTUP: &[u8] = b"\0\0\0\x26\0\x03\0\0user\0admin\0database\0postgres\0\0";
/// The kind of message that asks for a password: the server takes logins.
const AUTHENTICATION: u8 = b'R';

/// The key and certificate of the server, in its folder.
const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";
/// What is in the certificate. It is no authority: as a server's own such a one is refused.
const OPENSSL_CONFIG: &str = "[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = postgres
[extensions]
basicConstraints = critical, CA:FALSE
subjectAltName = IP:127.0.0.1
";
/// With these it speaks TLS.
const TLS_SETTINGS: [&str; 3] = [
    "ssl=on",
    "ssl_cert_file=../server.pem",
    "ssl_key_file=../server.key",
];

/// A running server and how to reach it.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    /// With all rights; ends in the database, `/postgres`.
    pub(crate) url: String,
    /// The certificate with which it speaks TLS, which is its own authority; none without openssl.
    pub(crate) certificate: Option<PathBuf>,
}

/// The program of this name: the newest of Debian's, or the one on PATH.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let versions = files::entries(Path::new(VERSIONS)).unwrap_or_default();
    let version = |folder: &PathBuf| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .into_iter()
        .filter(|folder| folder.join("bin").join(name).is_file())
        .max_by_key(version);
    let found = newest.map(|folder| folder.join("bin").join(name));
    found.or_else(|| machine::find_program(name))
}

/// Prepares a data folder and starts `program` on a free port.
pub(crate) fn start(stage: &mut Stage, program: &Path) -> Result<Server, Failure> {
    let start = machine::now();
    let owner = owner()?;
    let folder = make_folder(stage, owner)?;
    let password = password()?;
    prepare(stage, &folder, owner, &password)?;
    let certificate = certify(stage, &folder, owner)?;
    for attempt in 1..=ATTEMPTS_MAX {
        let address = free_address()?;
        let is_tls = certificate.is_some();
        let mut process = launch(stage, program, (&folder, owner), address, is_tls)?;
        if takes_logins(&mut process, address)? {
            let seconds = machine::seconds_since(start);
            machine::say(&format!("postgresql ready on {address} ({seconds})"));
            let url = format!("postgres://admin:{password}@{address}/postgres");
            return Ok(Server {
                process,
                url,
                certificate,
            });
        }
        stop(stage, &mut process)?;
        machine::say(&format!(
            "postgresql did not start (attempt {attempt} of {ATTEMPTS_MAX})"
        ));
    }
    let log = files::read_text(&folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let first = lines.len().saturating_sub(LOG_LINES_SHOWN);
    let shown: Vec<&str> = lines.into_iter().skip(first).collect();
    Err(Failure(format!(
        "postgresql does not start; the end of its log:\n{}",
        shown.join("\n")
    )))
}

impl Server {
    /// Ends it at once and in order: killed, it would leave a segment of shared memory behind.
    pub(crate) fn stop(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        stop(stage, &mut self.process)
    }
}

/// Sends the signal for an immediate shutdown, which PostgreSQL itself bounds to some seconds.
fn stop(stage: &mut Stage, process: &mut Child) -> Result<(), Failure> {
    let mut shell = Command::new("sh");
    let id = process.id().to_string();
    machine::succeeds(shell.args(["-c", r#"kill -s QUIT -- "$1""#, "stop", &id]));
    process
        .wait()
        .attempt(|| "wait for the end of postgresql".to_owned())?;
    stage.forget(process)
}

/// The user and group to run as; none when this user may do it.
fn owner() -> Result<Option<(u32, u32)>, Failure> {
    if !machine::is_root() {
        return Ok(None);
    }
    let number = |flag| {
        machine::text_of(Command::new("id").args([flag, USER]))?
            .parse()
            .ok()
    };
    match (number("-u"), number("-g")) {
        (Some(user), Some(group)) => Ok(Some((user, group))),
        _ => Err(Failure(format!(
            "postgresql does not run as root, and there is no user {USER}"
        ))),
    }
}

/// The folder, which belongs to the owner. The stage around it opens to the owner's group, for
/// passing through only.
fn make_folder(stage: &Stage, owner: Option<(u32, u32)>) -> Result<PathBuf, Failure> {
    let folder = stage.folder().join("postgresql");
    let mut builder = fs::DirBuilder::new();
    builder
        .mode(0o700)
        .create(&folder)
        .attempt(|| format!("create {}", folder.display()))?;
    if let Some((user, group)) = owner {
        let opened = chown(stage.folder(), None, Some(group))
            .and_then(|()| fs::set_permissions(stage.folder(), Permissions::from_mode(0o710)))
            .and_then(|()| chown(&folder, Some(user), Some(group)));
        opened.attempt(|| format!("give {} to {USER}", folder.display()))?;
    }
    Ok(folder)
}

/// Lays the system tables.
fn prepare(
    stage: &mut Stage,
    folder: &Path,
    owner: Option<(u32, u32)>,
    password: &str,
) -> Result<(), Failure> {
    let Some(installer) = find("initdb") else {
        return Err(Failure::new("initdb is not installed beside postgres"));
    };
    let secret = folder.join("password");
    write_secret(&secret, owner, password).attempt(|| format!("write {}", secret.display()))?;
    let mut command = command(&installer, folder, owner)?;
    command.args(["--username=admin", "--auth=scram-sha-256", "--no-sync"]);
    command.args(["--encoding=UTF8", "--locale=C", "--pwfile=password"]);
    command.arg("--pgdata=data");
    let mut child = stage.start(&mut command, true)?;
    let status = child.wait().attempt(|| "wait for initdb".to_owned())?;
    stage.forget(&child)?;
    if status.success() {
        return Ok(());
    }
    let log = files::read_text(&folder.join("log")).unwrap_or_default();
    Err(Failure(format!("initdb ended with {status}: {log}")))
}

/// A certificate for the server's address, signed by itself; Debian's package brings openssl.
fn certify(
    stage: &mut Stage,
    folder: &Path,
    owner: Option<(u32, u32)>,
) -> Result<Option<PathBuf>, Failure> {
    let Some(openssl) = machine::find_program("openssl") else {
        machine::say("SKIPPED: tests of PostgreSQL over TLS: openssl is not installed");
        return Ok(None);
    };
    let config = folder.join("openssl.cnf");
    write_secret(&config, owner, OPENSSL_CONFIG)
        .attempt(|| format!("write {}", config.display()))?;
    let mut command = command(&openssl, folder, owner)?;
    command.args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]);
    command.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    command.args([
        "-config",
        "openssl.cnf",
        "-keyout",
        KEY,
        "-out",
        CERTIFICATE,
    ]);
    let mut child = stage.start(&mut command, true)?;
    let status = child.wait().attempt(|| "wait for openssl".to_owned())?;
    stage.forget(&child)?;
    if status.success() {
        return Ok(Some(folder.join(CERTIFICATE)));
    }
    let log = files::read_text(&folder.join("log")).unwrap_or_default();
    Err(Failure(format!("openssl ended with {status}: {log}")))
}

/// A file that only the owner reads.
fn write_secret(path: &Path, owner: Option<(u32, u32)>, text: &str) -> std::io::Result<()> {
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    match owner {
        Some((user, group)) => chown(path, Some(user), Some(group)),
        None => Ok(()),
    }
}

/// Starts the server in its own process group, so that Ctrl-C reaches the tests first.
fn launch(
    stage: &mut Stage,
    program: &Path,
    (folder, owner): (&Path, Option<(u32, u32)>),
    address: SocketAddr,
    is_tls: bool,
) -> Result<Child, Failure> {
    let mut command = command(program, folder, owner)?;
    command.args(["-D", "data", "-c", &format!("port={}", address.port())]);
    let tls = TLS_SETTINGS.iter().filter(|_| is_tls);
    for setting in SETTINGS.iter().chain(tls) {
        command.args(["-c", setting]);
    }
    stage.start(&mut command, true)
}

/// A program in the folder, as the owner, with its output in the log. Variables such as `PGPORT`
/// are kept from it.
fn command(program: &Path, folder: &Path, owner: Option<(u32, u32)>) -> Result<Command, Failure> {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
    command
        .stdin(Stdio::null())
        .stdout(log_file(folder)?)
        .stderr(log_file(folder)?);
    if let Some((user, group)) = owner {
        // Other groups of this process are dropped together with its user.
        command.uid(user).gid(group);
    }
    Ok(command)
}

/// Waits until the server asks for a password; false when it ended or took too long.
fn takes_logins(process: &mut Child, address: SocketAddr) -> Result<bool, Failure> {
    let start = machine::now();
    while machine::now().duration_since(start).as_secs() < READY_SECONDS_MAX {
        let ended = process
            .try_wait()
            .attempt(|| "look after postgresql".to_owned())?;
        if ended.is_some() {
            return Ok(false);
        }
        if answer(address).is_ok_and(|kind| kind == AUTHENTICATION) {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(false)
}

/// The kind of the first message that answers the beginning of a login.
fn answer(address: SocketAddr) -> std::io::Result<u8> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(STARTUP)?;
    let mut kind = [0_u8; 1];
    stream.read_exact(&mut kind)?;
    let [kind] = kind;
    Ok(kind)
}

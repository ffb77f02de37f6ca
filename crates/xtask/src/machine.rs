//! The machine around this program: terminal, environment, clock, checkout, programs on disk. The
//! only file of xtask that prints or reads the environment and the clock.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::failure::{Attempt, Failure};

/// Folders that hold Debian's daemons and are not on every user's PATH.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];

/// Prints one line (or several) for the person in front.
#[expect(clippy::print_stdout, reason = "the one place where xtask prints")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Passes on bytes that a child wrote to its standard error.
pub(crate) fn pass_on(bytes: &[u8]) -> std::io::Result<()> {
    std::io::stderr().lock().write_all(bytes)
}

/// Whether a person watches, so that children may use colour.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// A variable of the environment, when it is set and not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where xtask reads the environment"
)]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where xtask reads the clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since `start`, as the progress lines show them.
pub(crate) fn seconds_since(start: Instant) -> String {
    format!("{:.1} s", now().duration_since(start).as_secs_f64())
}

/// The root of the checkout: the nearest folder upwards that holds the workspace manifest.
pub(crate) fn root() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().attempt(|| "find the current directory".to_owned())?;
    for folder in here.ancestors() {
        let manifest = folder.join("Cargo.toml");
        if manifest.is_file() && crate::files::read_text(&manifest)?.contains("[workspace]") {
            return Ok(folder.to_owned());
        }
    }
    Err(Failure(format!(
        "no workspace manifest in {} or above it",
        here.display()
    )))
}

/// Where cargo puts what it builds. A CI machine that says nothing shares one folder between all
/// checkouts, so that dependencies are compiled once; otherwise it is where xtask itself was built.
pub(crate) fn target_folder() -> Result<PathBuf, Failure> {
    if variable("CI").is_some() && variable("CARGO_TARGET_DIR").is_none() {
        return Ok(cache_folder().join("target"));
    }
    let program = std::env::current_exe().attempt(|| "find the path of xtask".to_owned())?;
    let folder = program.parent().and_then(Path::parent);
    folder
        .map(Path::to_owned)
        .ok_or_else(|| Failure::new("xtask does not run from a target folder"))
}

/// Where what is brought to this machine stays for later runs, of any checkout.
pub(crate) fn cache_folder() -> PathBuf {
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("landline")
}

/// A program by name: on PATH first, then where Debian keeps daemons.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    folders
        .map(|folder| folder.join(name))
        .find(|candidate| is_executable(candidate))
}

/// Whether `path` is a file that someone may execute.
fn is_executable(path: &Path) -> bool {
    let metadata = path.metadata();
    metadata.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// How much of the disk of `folder` may still be used, in percent of the whole disk, when df says so.
pub(crate) fn free_percent(folder: &Path) -> Option<u64> {
    let text = text_of(Command::new("df").arg("-P").arg("--").arg(folder))?;
    let mut words = text.lines().last()?.split_whitespace().skip(1);
    let whole: u64 = words.next()?.parse().ok()?;
    let free: u64 = words.nth(1)?.parse().ok()?;
    (free * 100).checked_div(whole)
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    text_of(Command::new("id").arg("-u")).is_some_and(|id| id == "0")
}

/// Whether `command` runs and succeeds, with nothing shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// What `command` prints, trimmed, when it succeeds.
pub(crate) fn text_of(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

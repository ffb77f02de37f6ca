//! `web`: checks and tests the pages of `web/` and builds them into `web/dist`, from where the program
//! takes them. The tests ask only for what is not up to date.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::failure::{Attempt, Failure, Outcome};
use crate::{files, machine, rust};

const INSTALL: &[&str] = &["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
const BUILD: &[&str] = &["run", "build"];
/// What npm is asked for, in order.
const STEPS: [&[&str]; 4] = [INSTALL, &["run", "check"], &["run", "test"], BUILD];
/// The oldest Node.js that builds the pages, as `web/package.json` says.
const NODE_OLDEST: (u32, u32) = (20, 19);
/// What the pages are built from, as `crates/app/build.rs` has it.
const SOURCES: [&str; 6] = [
    "index.html",
    "package.json",
    "package-lock.json",
    "src",
    "tsconfig.json",
    "vite.config.ts",
];

/// Runs all steps; says that they were skipped where there is no npm.
pub(crate) fn run(_arguments: &[String]) -> Result<Outcome, Failure> {
    if machine::find_program("npm").is_none() {
        return Ok(Outcome::skipped("the pages", "npm is not installed"));
    }
    let folder = machine::root()?.join("web");
    for arguments in STEPS {
        npm(&folder, arguments)?;
    }
    Ok(Outcome::done(""))
}

/// The folder of the pages with its modules installed and `dist` built, for the tests; none, and a
/// loud line, when that can't be had here. Pages that do not build are a failure.
pub(crate) fn prepare() -> Result<Option<PathBuf>, Failure> {
    let folder = machine::root()?.join("web");
    if let Some(reason) = lack() {
        machine::say(&format!("SKIPPED: tests that need the pages: {reason}"));
        return Ok(None);
    }
    let lock = newest(&folder.join("package-lock.json"))?;
    if newest(&folder.join("node_modules/.package-lock.json"))? < lock
        && let Err(failure) = npm(&folder, INSTALL)
    {
        machine::say(&format!("SKIPPED: tests that need the pages: {failure}"));
        return Ok(None);
    }
    let mut changed = None;
    for source in SOURCES {
        changed = changed.max(newest(&folder.join(source))?);
    }
    if newest(&folder.join("dist/index.html"))? < changed {
        npm(&folder, BUILD)?;
    }
    Ok(Some(folder))
}

/// Why the pages can't be built on this machine.
fn lack() -> Option<String> {
    if machine::find_program("npm").is_none() {
        return Some("npm is not installed".to_owned());
    }
    let version = machine::text_of(Command::new("node").arg("--version")).unwrap_or_default();
    let mut numbers = version.trim_start_matches('v').split('.');
    let mut number = || numbers.next().and_then(|word| word.parse().ok());
    let found: (u32, u32) = (number().unwrap_or(0), number().unwrap_or(0));
    let (major, minor) = NODE_OLDEST;
    (found < NODE_OLDEST)
        .then(|| format!("node is {version:?}, they need {major}.{minor} or later"))
}

/// When a file, or anything in a folder, was changed last; nothing when it does not exist.
fn newest(path: &Path) -> Result<Option<SystemTime>, Failure> {
    if path.is_dir() {
        let mut newest_of_all = None;
        for entry in files::entries(path)? {
            newest_of_all = newest_of_all.max(newest(&entry)?);
        }
        return Ok(newest_of_all);
    }
    if !path.exists() {
        return Ok(None);
    }
    let changed = path.metadata().and_then(|found| found.modified());
    changed
        .map(Some)
        .attempt(|| format!("look at {}", path.display()))
}

fn npm(folder: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let mut npm = Command::new("npm");
    npm.args(arguments).current_dir(folder);
    rust::run(&mut npm, &format!("npm {}", arguments.join(" ")))
}

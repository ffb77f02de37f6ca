//! Calls of cargo: the environment that every call shares, and the two commands that are nothing
//! but such a call.

use std::path::PathBuf;
use std::process::Command;

use crate::failure::{Attempt, Failure, Outcome};
use crate::machine;

/// What `cargo run` adds to the environment of xtask and build scripts must not see, or they would
/// run again for every other caller.
const LEFT_BEHIND: [&str; 7] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION",
    "CARGO_CRATE_NAME",
    "CARGO_BIN_NAME",
    "LD_LIBRARY_PATH",
];

/// cargo in the root of the checkout, of the same tool chain that built xtask.
pub(crate) fn cargo(arguments: &[&str]) -> Result<Command, Failure> {
    let program = machine::variable("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    for name in LEFT_BEHIND {
        command.env_remove(name);
    }
    command.env("CARGO_TARGET_DIR", machine::target_folder()?);
    command.args(arguments).current_dir(machine::root()?);
    Ok(command)
}

/// Runs `command` to its end with its output shown; an exit code other than zero is a failure.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<(), Failure> {
    let status = command.status().attempt(|| format!("start {what}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure(format!("{what} ended with {status}")))
    }
}

/// Whether cargo has the subcommand `name` (an installed `cargo-<name>`).
pub(crate) fn has(name: &str) -> Result<bool, Failure> {
    Ok(machine::succeeds(&mut cargo(&[name, "--version"])?))
}

/// The path at which cargo leaves a program of `profile` (`debug` or `release`).
pub(crate) fn built(profile: &str, name: &str) -> Result<PathBuf, Failure> {
    let path = machine::target_folder()?.join(profile).join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure(format!(
        "cargo built {name}, but it is not at {}",
        path.display()
    )))
}

/// `fmt`: formats the workspace; `--check` only compares.
pub(crate) fn format(arguments: &[String]) -> Result<Outcome, Failure> {
    let mut command = cargo(&["fmt", "--all"])?;
    run(command.args(arguments), "cargo fmt")?;
    Ok(Outcome::done(""))
}

/// `lint`: clippy over every target of every crate, warnings denied.
pub(crate) fn lint(_arguments: &[String]) -> Result<Outcome, Failure> {
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    run(&mut cargo(&arguments)?, "cargo clippy")?;
    Ok(Outcome::done(""))
}

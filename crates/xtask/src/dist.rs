//! `dist`: what a package needs, in `dist/`: the program without symbols, shell completions and the
//! manual page. It builds for this machine only and packs nothing.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::{Attempt, Failure, Outcome};
use crate::{machine, rust};

/// What the program writes about itself: arguments, then the file that takes the output.
const WRITTEN: [(&[&str], &str); 4] = [
    (&["completions", "bash"], "completions/landline.bash"),
    (&["completions", "zsh"], "completions/_landline"),
    (&["completions", "fish"], "completions/landline.fish"),
    (&["manual"], "landline.1"),
];

/// Builds, strips, and lets the program write its completions and manual.
pub(crate) fn run(_arguments: &[String]) -> Result<Outcome, Failure> {
    let folder = machine::root()?.join("dist");
    if folder.exists() {
        fs::remove_dir_all(&folder).attempt(|| "empty dist/".to_owned())?;
    }
    fs::create_dir_all(folder.join("completions")).attempt(|| "create dist/".to_owned())?;
    rust::run(
        &mut rust::cargo(&["build", "--release", "-p", "app"])?,
        "cargo build --release",
    )?;
    let program = folder.join("landline");
    let built = rust::built("release", "landline")?;
    fs::copy(&built, &program).attempt(|| format!("copy {}", built.display()))?;
    rust::run(
        Command::new("strip").arg("--strip-all").arg(&program),
        "strip (binutils)",
    )?;
    for (arguments, name) in WRITTEN {
        write_output(&program, arguments, &folder.join(name))?;
    }
    let size = program
        .metadata()
        .attempt(|| "measure dist/landline".to_owned())?
        .len();
    machine::say(&format!(
        "dist/landline {:.1} MiB, completions, manual",
        mebibytes(size)
    ));
    Ok(Outcome::done(""))
}

/// Saves what `program` prints for `arguments`; nothing printed is a failure.
fn write_output(program: &Path, arguments: &[&str], path: &Path) -> Result<(), Failure> {
    let file = File::create(path).attempt(|| format!("create {}", path.display()))?;
    let what = format!("landline {}", arguments.join(" "));
    rust::run(
        Command::new(program)
            .args(arguments)
            .stdout(Stdio::from(file)),
        &what,
    )?;
    let size = path
        .metadata()
        .attempt(|| format!("measure {}", path.display()))?
        .len();
    if size == 0 {
        Err(Failure(format!("{what} printed nothing")))
    } else {
        Ok(())
    }
}

/// Bytes as MiB for a person.
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

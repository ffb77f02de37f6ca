//! The Python that has krkn's library, boto3 and aws-cli, in a virtual environment of its own: they come from
//! PyPI, at versions that are written here. It is made once and kept beside what cargo builds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Attempt, Failure};
use crate::{machine, rust};

/// By which variable tests learn of it.
pub(super) const VARIABLE: &str = "LANDLINE_TEST_KRKN";
/// What is installed, with all that it needs.
const PACKAGES: [&str; 3] = ["krkn-lib==7.0.3", "boto3==1.44.5", "awscli==1.46.3"];
/// The folder, by the version of what is in it.
const FOLDER: &str = "python-krkn-2";

/// Its interpreter; nothing, with the reason said, when it can't be made here.
pub(super) fn python() -> Result<Option<PathBuf>, Failure> {
    let folder = machine::target_folder()?.join(FOLDER);
    let python = folder.join("bin/python");
    if is_complete(&python) {
        return Ok(Some(python));
    }
    let Some(base) = machine::find_program("python3") else {
        machine::say("SKIPPED: tests with krkn's library and boto3: there is no python3");
        return Ok(None);
    };
    machine::say("installing krkn-lib, boto3 and aws-cli from PyPI into a virtual environment");
    if let Err(failure) = install(&base, &folder) {
        machine::say(&format!(
            "SKIPPED: tests with krkn's library and boto3: {}",
            failure.0
        ));
        return Ok(None);
    }
    Ok(is_complete(&python).then_some(python))
}

/// Whether everything is there: what was broken off lacks something.
fn is_complete(python: &Path) -> bool {
    let script = "import awscli, boto3, krkn_lib.telemetry.k8s";
    python.is_file() && machine::succeeds(Command::new(python).args(["-c", script]))
}

fn install(base: &Path, folder: &Path) -> Result<(), Failure> {
    if folder.exists() {
        fs::remove_dir_all(folder).attempt(|| format!("remove {}", folder.display()))?;
    }
    let mut venv = Command::new(base);
    venv.args(["-m", "venv"]).arg(folder);
    rust::run(&mut venv, "python3 -m venv (Debian: python3-venv)")?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    pip.args(PACKAGES);
    rust::run(&mut pip, "pip install")
}

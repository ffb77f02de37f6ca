//! schemathesis, which tries an API by its description: in a virtual environment of Python that stays
//! on the machine from run to run. Packages of Python need no rights, so nothing is asked of the person.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Attempt, Failure};
use crate::{files, machine};

/// The packages with their versions.
const PACKAGES: &str = include_str!("schemathesis.txt");
/// The copy of [`PACKAGES`] that says that all of them are there.
const DONE: &str = "installed.txt";

/// The Python that has it, installed when it is missing; nothing, and a line that says why, when it
/// can't be had here.
pub(super) fn python(base: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    let folder = machine::cache_folder().join("schemathesis");
    if is_whole(&folder) {
        return Ok(Some(interpreter(&folder)));
    }
    let Some(base) = base else {
        return Ok(missing(
            "there is no Python that can make virtual environments",
        ));
    };
    let start = machine::now();
    machine::say("installing schemathesis for Python: tries the API by its description");
    let beside = machine::cache_folder().join(format!("schemathesis.{}", std::process::id()));
    let installed = install(base, &beside);
    if !matches!(installed, Ok(true)) {
        drop(fs::remove_dir_all(&beside));
        return installed.map(|_| missing("pip can't bring it: is the network there?"));
    }
    // What is old goes away, and another run may have been quicker: its folder is as good.
    if !is_whole(&folder) {
        drop(fs::remove_dir_all(&folder));
    }
    let renamed = fs::rename(&beside, &folder);
    drop(fs::remove_dir_all(&beside));
    if !is_whole(&folder) {
        renamed.attempt(|| format!("name {}", folder.display()))?;
    }
    let seconds = machine::seconds_since(start);
    machine::say(&format!("schemathesis installed ({seconds})"));
    Ok(Some(interpreter(&folder)))
}

/// Makes the environment with all packages; says whether that was possible.
fn install(base: &Path, folder: &Path) -> Result<bool, Failure> {
    fs::create_dir_all(folder).attempt(|| format!("create {}", folder.display()))?;
    let list = folder.join("wanted.txt");
    fs::write(&list, PACKAGES).attempt(|| format!("write {}", list.display()))?;
    if !machine::succeeds(Command::new(base).args(["-m", "venv"]).arg(folder)) {
        return Ok(false);
    }
    let mut pip = Command::new(interpreter(folder));
    pip.args(["-m", "pip", "install", "--quiet", "--only-binary", ":all:"]);
    pip.args(["--disable-pip-version-check", "--retries", "2"]);
    pip.arg("--requirement").arg(&list);
    let is_installed = pip.status().attempt(|| "start pip".to_owned())?.success();
    if is_installed {
        let done = folder.join(DONE);
        fs::rename(&list, &done).attempt(|| format!("name {}", done.display()))?;
    }
    Ok(is_installed)
}

/// Whether a folder has all packages in their versions, for a Python that is still there.
fn is_whole(folder: &Path) -> bool {
    files::read_text(&folder.join(DONE)).is_ok_and(|list| list == PACKAGES)
        && machine::succeeds(Command::new(interpreter(folder)).args(["-c", "import schemathesis"]))
}

fn interpreter(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}

fn missing(reason: &str) -> Option<PathBuf> {
    machine::say(&format!("SKIPPED: tests that need schemathesis: {reason}"));
    None
}

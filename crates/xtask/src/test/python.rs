//! The Pythons that have what tests need of PyPI, each in a virtual environment of its own, at versions
//! that are written here. They are made once and kept beside what cargo builds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Variables;
use crate::failure::{Attempt, Failure};
use crate::{machine, rust};

/// A virtual environment.
struct Environment {
    /// By which variable tests learn of its interpreter.
    variable: &'static str,
    /// What is installed, with all that it needs.
    packages: &'static [&'static str],
    /// What has to work in it: an environment whose making was broken off lacks something.
    check: &'static str,
    /// The folder, by the version of what is in it.
    folder: &'static str,
}

const ENVIRONMENTS: [Environment; 2] = [
    Environment {
        variable: "LANDLINE_TEST_KRKN",
        packages: &["krkn-lib==7.0.3", "boto3==1.44.5", "awscli==1.46.3"],
        check: "import awscli, boto3, krkn_lib.telemetry.k8s",
        folder: "python-krkn-2",
    },
    Environment {
        variable: "LANDLINE_TEST_PARQUET",
        packages: &["pyarrow==26.0.1", "duckdb==2.0.0"],
        check: "import duckdb, pyarrow.parquet",
        folder: "python-parquet-1",
    },
];

/// Their interpreters; of one that can't be made here nothing, with the reason said.
pub(super) fn all() -> Result<Variables, Failure> {
    let mut variables = Variables::new();
    for environment in &ENVIRONMENTS {
        variables.push((environment.variable, environment.python()?));
    }
    Ok(variables)
}

impl Environment {
    fn python(&self) -> Result<Option<PathBuf>, Failure> {
        let folder = machine::target_folder()?.join(self.folder);
        let python = folder.join("bin/python");
        if self.is_complete(&python) {
            return Ok(Some(python));
        }
        let names = self.packages.join(", ");
        let Some(base) = machine::find_program("python3") else {
            machine::say(&format!("SKIPPED: tests with {names}: there is no python3"));
            return Ok(None);
        };
        machine::say(&format!(
            "installing {names} from PyPI into a virtual environment"
        ));
        if let Err(failure) = self.install(&base, &folder) {
            machine::say(&format!("SKIPPED: tests with {names}: {}", failure.0));
            return Ok(None);
        }
        Ok(self.is_complete(&python).then_some(python))
    }

    fn is_complete(&self, python: &Path) -> bool {
        python.is_file() && machine::succeeds(Command::new(python).args(["-c", self.check]))
    }

    fn install(&self, base: &Path, folder: &Path) -> Result<(), Failure> {
        if folder.exists() {
            fs::remove_dir_all(folder).attempt(|| format!("remove {}", folder.display()))?;
        }
        let mut venv = Command::new(base);
        venv.args(["-m", "venv"]).arg(folder);
        rust::run(&mut venv, "python3 -m venv (Debian: python3-venv)")?;
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check"]);
        pip.args(self.packages);
        rust::run(&mut pip, "pip install")
    }
}

//! What the tests need from the machine, by which variable a test learns of it, and which Debian
//! package brings it. A test whose variable is unset reports itself as skipped.
//!
//! Beyond this table the tests get LANDLINE_TEST_PROGRAM (the program), LANDLINE_TEST_SKIPS (a file
//! for `SKIPPED: <test>: <reason>` lines), LANDLINE_TEST_MYSQL_ADMIN_URL and
//! LANDLINE_TEST_POSTGRES_URL (the private servers, with all rights),
//! LANDLINE_TEST_POSTGRES_CERTIFICATE (the file of the certificate with which the latter speaks TLS),
//! LANDLINE_TEST_SCHEMATHESIS (the Python that has schemathesis), LANDLINE_TEST_WEB (the folder `web`
//! with its modules, whose pages the program has), LANDLINE_TEST_PICTURES (where pictures of pages are
//! left to be looked at), LANDLINE_TEST_KRKN (the Python of a virtual environment with krkn's library,
//! boto3 and aws-cli), LANDLINE_TEST_PARQUET (that of one with pyarrow and DuckDB), and LANDLINE_TEST_S3S_FS (a real S3 server).

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Variables, install, postgres, schemathesis};
use crate::failure::Failure;
use crate::machine;

/// A program that tests use.
#[derive(Debug)]
pub(crate) struct Need {
    /// Its name on disk.
    pub(crate) program: &'static str,
    /// The variable that carries its path.
    pub(crate) variable: &'static str,
    /// The Debian package.
    pub(crate) package: &'static str,
    /// What it is for, shown before it is installed.
    pub(crate) purpose: &'static str,
}

/// All needs.
const NEEDS: [Need; 21] = [
    Need {
        program: "mariadbd",
        variable: "LANDLINE_TEST_MARIADBD",
        package: "mariadb-server",
        purpose: "the database of credentials",
    },
    Need {
        program: "mariadb-install-db",
        variable: "LANDLINE_TEST_MARIADB_INSTALL_DB",
        package: "mariadb-server",
        purpose: "prepares that database",
    },
    Need {
        program: "postgres",
        variable: "LANDLINE_TEST_POSTGRES",
        package: "postgresql",
        purpose: "the state of more than one machine",
    },
    Need {
        program: "initdb",
        variable: "LANDLINE_TEST_INITDB",
        package: "postgresql",
        purpose: "prepares that state",
    },
    Need {
        program: "prometheus",
        variable: "LANDLINE_TEST_PROMETHEUS",
        package: "prometheus",
        purpose: "scrapes through the gateway",
    },
    Need {
        program: "promtool",
        variable: "LANDLINE_TEST_PROMTOOL",
        package: "prometheus",
        purpose: "judges pages of metrics",
    },
    Need {
        program: "victoria-metrics",
        variable: "LANDLINE_TEST_VICTORIA_METRICS",
        package: "victoria-metrics",
        purpose: "is measured beside the store of samples",
    },
    Need {
        program: "vmagent",
        variable: "LANDLINE_TEST_VMAGENT",
        package: "victoria-metrics",
        purpose: "a sender of remote write with a queue of its own",
    },
    Need {
        program: "fiu-run",
        variable: "LANDLINE_TEST_FIU_RUN",
        package: "fiu-utils",
        purpose: "lets operations on files fail",
    },
    Need {
        program: "prometheus-node-exporter",
        variable: "LANDLINE_TEST_NODE_EXPORTER",
        package: "prometheus-node-exporter",
        purpose: "says of a machine what ours has to say",
    },
    Need {
        program: "nginx",
        variable: "LANDLINE_TEST_NGINX",
        package: "nginx-light",
        purpose: "the plain reverse proxy that the benchmark compares with",
    },
    Need {
        program: "sshd",
        variable: "LANDLINE_TEST_SSHD",
        package: "openssh-server",
        purpose: "the tunnel `ssh -R` that the benchmark compares with",
    },
    Need {
        program: "tinyproxy",
        variable: "LANDLINE_TEST_TINYPROXY",
        // Without the service that the package `tinyproxy` brings.
        package: "tinyproxy-bin",
        purpose: "the HTTP proxy that a node has to go out through",
    },
    Need {
        program: "wrk",
        variable: "LANDLINE_TEST_WRK",
        package: "wrk",
        purpose: "the HTTP client of the benchmark",
    },
    Need {
        program: "curl",
        variable: "LANDLINE_TEST_CURL",
        package: "curl",
        purpose: "an independent digest client",
    },
    Need {
        program: "rclone",
        variable: "LANDLINE_TEST_RCLONE",
        package: "rclone",
        purpose: "a client of S3 that copies folders",
    },
    Need {
        program: "python3",
        variable: "LANDLINE_TEST_PYTHON",
        package: "python3-botocore",
        purpose: "botocore, an independent SigV4 signer",
    },
    Need {
        program: "python3 -m venv",
        variable: "LANDLINE_TEST_VENV",
        package: "python3-venv",
        purpose: "holds schemathesis, which tries the API by its description",
    },
    Need {
        program: "chromium",
        variable: "LANDLINE_TEST_CHROMIUM",
        package: "chromium",
        purpose: "the browser that uses the pages",
    },
    Need {
        program: "node",
        variable: "LANDLINE_TEST_NODE",
        package: "nodejs",
        purpose: "drives that browser",
    },
    Need {
        program: "npm",
        variable: "LANDLINE_TEST_NPM",
        package: "npm",
        purpose: "builds the pages",
    },
];

/// Finds everything, installs what is missing when that is allowed, and says what stays missing.
pub(crate) fn gather() -> Result<(Variables, bool), Failure> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| find(need).is_none()).collect();
    if !missing.is_empty() {
        install::install(&missing)?;
    }
    let mut variables: Variables = NEEDS
        .iter()
        .map(|need| (need.variable, find(need)))
        .collect();
    let named = |present: bool| {
        let chosen = NEEDS
            .iter()
            .filter(move |need| find(need).is_some() == present);
        chosen
            .map(|need| need.program)
            .collect::<Vec<_>>()
            .join(", ")
    };
    machine::say(&format!("found {}", named(true)));
    let absent = named(false);
    if !absent.is_empty() {
        machine::say(&format!("SKIPPED: tests that need {absent}: not installed"));
    }
    let venv = value(&variables, "LANDLINE_TEST_VENV");
    let schemathesis = schemathesis::python(venv.as_deref())?;
    let is_missing = !absent.is_empty() || schemathesis.is_none();
    variables.push(("LANDLINE_TEST_SCHEMATHESIS", schemathesis));
    Ok((variables, is_missing))
}

/// One program of the table, installed when that is allowed.
pub(crate) fn one(program: &str) -> Result<Option<PathBuf>, Failure> {
    let Some(need) = NEEDS.iter().find(|need| need.program == program) else {
        return Err(Failure(format!("{program} is not in the table of needs")));
    };
    if find(need).is_none() {
        install::install(&[need])?;
    }
    Ok(find(need))
}

/// The value of a variable, when it has one.
pub(crate) fn value(variables: &Variables, name: &str) -> Option<PathBuf> {
    variables
        .iter()
        .find(|(variable, _)| *variable == name)?
        .1
        .clone()
}

/// Where a need is met. Debian keeps PostgreSQL's programs in folders of their own. Python counts only
/// with the modules that are needed, and Debian's own is asked first, because that is the one the
/// packages serve.
fn find(need: &Need) -> Option<PathBuf> {
    if need.package == "postgresql" {
        return postgres::find(need.program);
    }
    let code = match need.package {
        "python3-botocore" => "import botocore.auth",
        // What schemathesis needs, too.
        "python3-venv" => "import venv, ensurepip, sys; assert sys.version_info >= (3, 10)",
        _ => return machine::find_program(need.program),
    };
    let can = |python: &PathBuf| runs(python, code);
    let debian = Some(PathBuf::from("/usr/bin/python3")).filter(can);
    debian.or_else(|| machine::find_program("python3").filter(can))
}

/// Whether this interpreter runs this to its end.
fn runs(python: &Path, code: &str) -> bool {
    machine::succeeds(Command::new(python).args(["-c", code]))
}

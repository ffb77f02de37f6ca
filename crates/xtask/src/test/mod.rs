//! `test`: everything between a bare machine and passing tests. It finds or installs the peers that
//! the tests talk to, starts private instances, runs the tests, and leaves nothing behind but what it
//! installed.
//!
//! What a test may rely on is in the environment; [`needs`] lists the variables.

mod install;
mod mariadb;
pub(crate) mod needs;
mod postgres;
mod python;
mod s3s;
mod schemathesis;
mod summary;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Attempt, Failure, Outcome};
use crate::guardian::Stage;
use crate::{files, machine, rust, web};
use summary::{Runner, Summary};

/// Of the disk, in percent; what the tests themselves write is far less than one.
const LEAST_FREE_PERCENT: u64 = 6;

/// Names and values that the tests get; a name without a value is taken out of the environment.
type Variables = Vec<(&'static str, Option<PathBuf>)>;

/// Prepares, runs, cleans up, and closes with the line of totals.
pub(crate) fn run(arguments: &[String]) -> Result<Outcome, Failure> {
    let filters = arguments
        .strip_prefix(&["--".to_owned()])
        .unwrap_or(arguments);
    let (variables, missing) = needs::gather()?;
    let mut stage = Stage::new()?;
    let result = run_on(&mut stage, variables, filters);
    let folder = stage.folder().to_owned();
    let skips = read_skips(&folder.join("skips"));
    drop(stage);
    let (ran, summary) = result?;
    close(&summary, &skips?, missing, filters.is_empty(), ran)
}

/// Everything that needs the stage, so that the stage is cleared whatever happens here.
fn run_on(
    stage: &mut Stage,
    mut variables: Variables,
    filters: &[String],
) -> Result<(bool, Summary), Failure> {
    let skips = stage.folder().join("skips");
    File::create_new(&skips).attempt(|| format!("create {}", skips.display()))?;
    // Before the program, which takes the pages along.
    variables.push(("LANDLINE_TEST_WEB", web::prepare()?));
    let pictures = machine::target_folder()?.join("pictures");
    variables.push(("LANDLINE_TEST_PICTURES", Some(pictures)));
    let program = build_program(stage.folder())?;
    variables.push(("LANDLINE_TEST_SKIPS", Some(skips)));
    variables.push(("LANDLINE_TEST_PROGRAM", Some(program)));
    let mut server = match needs::value(&variables, "LANDLINE_TEST_MARIADBD") {
        Some(program) => Some(mariadb::start(stage, &program)?),
        None => None,
    };
    let admin_url = server.as_ref().map(|server| server.admin_url.clone());
    variables.push((
        "LANDLINE_TEST_MYSQL_ADMIN_URL",
        admin_url.map(PathBuf::from),
    ));
    let mut postgres = match needs::value(&variables, "LANDLINE_TEST_POSTGRES") {
        Some(program) => Some(postgres::start(stage, &program)?),
        None => None,
    };
    let url = postgres.as_ref().map(|server| PathBuf::from(&server.url));
    variables.push(("LANDLINE_TEST_POSTGRES_URL", url));
    let certificate = postgres
        .as_ref()
        .and_then(|server| server.certificate.clone());
    variables.push(("LANDLINE_TEST_POSTGRES_CERTIFICATE", certificate));
    variables.extend(python::all()?);
    variables.push((s3s::VARIABLE, s3s::program()?));
    // Hundreds of connections at once need no handshakes; what is about TLS says so in its URL.
    variables.push(("PGSSLMODE", Some(PathBuf::from("disable"))));
    let result = run_tests(stage, &variables, filters);
    if let Some(server) = &mut postgres {
        server.stop(stage)?;
    }
    if let Some(server) = &mut server {
        stage.end(&mut server.process)?;
    }
    result
}

/// Builds the program and copies it away, so that a build from another checkout that shares the
/// target folder cannot replace it in the middle of the tests.
fn build_program(folder: &Path) -> Result<PathBuf, Failure> {
    let start = machine::now();
    let arguments = ["build", "--quiet", "-p", "app", "--profile", "dev"];
    rust::run(&mut rust::cargo(&arguments)?, "cargo build -p app")?;
    let copy = folder.join("landline");
    let built = rust::built("debug", "landline")?;
    fs::copy(&built, &copy).attempt(|| format!("copy {}", built.display()))?;
    machine::say(&format!(
        "landline built ({})",
        machine::seconds_since(start)
    ));
    Ok(copy)
}

/// Builds and runs the tests with nextest, or with cargo's own runner where nextest is missing.
fn run_tests(
    stage: &mut Stage,
    variables: &Variables,
    filters: &[String],
) -> Result<(bool, Summary), Failure> {
    let nextest = rust::has("nextest")?;
    let start = machine::now();
    let build: &[&str] = if nextest {
        &["nextest", "run", "--no-run"]
    } else {
        &["test", "--no-run", "--quiet"]
    };
    let mut build = rust::cargo(build)?;
    build.arg("--workspace");
    if nextest {
        build.args([
            "--config-file",
            "crates/xtask/nextest.toml",
            "--cargo-quiet",
        ]);
    }
    rust::run(&mut build, "building the tests")?;
    machine::say(&format!("tests built ({})", machine::seconds_since(start)));
    check_room(stage.folder())?;
    let mut command = if nextest {
        nextest_command(filters)?
    } else {
        machine::say("cargo-nextest is not installed: using cargo test");
        let mut command = rust::cargo(&["test", "--workspace", "--no-fail-fast"])?;
        command.args(filters).stdout(Stdio::piped());
        command
    };
    for (name, value) in variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    watch(
        stage,
        if nextest {
            Runner::Nextest
        } else {
            Runner::Cargo
        },
        &mut command,
    )
}

/// Fails while the disk is so full that the store of samples, which stops at 5 %, may refuse writes: a
/// hundred tests would fail in places that say nothing of it.
fn check_room(folder: &Path) -> Result<(), Failure> {
    let Some(free) = machine::free_percent(folder) else {
        return Ok(());
    };
    if free > LEAST_FREE_PERCENT {
        return Ok(());
    }
    Err(Failure(format!(
        "{free} % of the disk of {} is free, and the tests need more than {LEAST_FREE_PERCENT} %: make \
         room, for instance in {}",
        folder.display(),
        machine::target_folder()?.display()
    )))
}

/// nextest over the workspace with our profile. It reports on standard error.
fn nextest_command(filters: &[String]) -> Result<Command, Failure> {
    let profile = if machine::variable("CI").is_some() {
        "ci"
    } else {
        "default"
    };
    let mut command = rust::cargo(&["nextest", "run", "--workspace", "--no-tests=pass"])?;
    command.args([
        "--config-file",
        "crates/xtask/nextest.toml",
        "--profile",
        profile,
    ]);
    command.args(["--cargo-quiet", "--color"]);
    command.arg(if machine::is_watched() {
        "always"
    } else {
        "never"
    });
    command.args(filters).stderr(Stdio::piped());
    Ok(command)
}

/// Runs the tests, shows what they print as it comes, and reads the totals out of it.
fn watch(
    stage: &mut Stage,
    runner: Runner,
    command: &mut Command,
) -> Result<(bool, Summary), Failure> {
    let mut child = stage.start(command, false)?;
    let mut summary = Summary::default();
    let pipe: Option<Box<dyn std::io::Read>> = match (child.stderr.take(), child.stdout.take()) {
        (Some(stderr), _) => Some(Box::new(stderr)),
        (None, Some(stdout)) => Some(Box::new(stdout)),
        (None, None) => None,
    };
    let mut reader = BufReader::new(pipe.ok_or_else(|| Failure::new("no output to watch"))?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let size = reader.read_until(b'\n', &mut line);
        if size.attempt(|| "read what the tests print".to_owned())? == 0 {
            break;
        }
        machine::pass_on(&line).attempt(|| "show what the tests print".to_owned())?;
        summary.read_line(runner, &String::from_utf8_lossy(&line));
    }
    let status = child.wait().attempt(|| "wait for the tests".to_owned())?;
    stage.forget(&child)?;
    Ok((status.success(), summary))
}

/// The skip lines that tests left, without repetitions.
fn read_skips(path: &Path) -> Result<BTreeSet<String>, Failure> {
    if !path.is_file() {
        return Ok(BTreeSet::new());
    }
    let text = files::read_text(path)?;
    Ok(text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(str::to_owned)
        .collect())
}

/// Prints what was skipped and the totals. A test that skipped itself returned early, so the runner
/// counted it as passed; here it is not.
fn close(
    summary: &Summary,
    skips: &BTreeSet<String>,
    missing: bool,
    everything: bool,
    ran: bool,
) -> Result<Outcome, Failure> {
    for line in skips {
        machine::say(line);
    }
    let mut skipped = summary::skipped_tests(skips);
    let passed = summary.passed.saturating_sub(skipped);
    if everything && summary.left_out > 0 {
        machine::say(&format!(
            "SKIPPED: {} tests marked as ignored",
            summary.left_out
        ));
        skipped += summary.left_out;
    }
    if missing && skips.is_empty() {
        machine::say("programs are missing (above), but no test asked for them");
    }
    let totals = format!(
        "{passed} passed, {} failed, {skipped} skipped",
        summary.failed
    );
    machine::say(&totals);
    if summary.passed + summary.failed == 0 {
        return Err(Failure::new("no test has run; is the filter right?"));
    }
    if ran && summary.failed == 0 {
        return Ok(Outcome::Done {
            note: totals,
            skipped,
        });
    }
    Err(Failure(format!("the tests did not pass: {totals}")))
}

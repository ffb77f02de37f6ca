//! `ci`: every check in one command, the same on a laptop and on a hosted machine. A step that
//! fails does not hide the steps after it; the table at the end is the verdict.

use crate::failure::{Failure, Outcome};
use crate::{fuzz, machine, rust, test, tidy, web};

/// A step by name and the function that does it.
type Step = (&'static str, fn() -> Result<Outcome, Failure>);

/// The steps, cheapest first.
const STEPS: [Step; 7] = [
    ("fmt", || rust::format(&["--check".to_owned()])),
    ("tidy", || tidy::run(&[])),
    // Before the program is built, which takes the pages along.
    ("web", || web::run(&[])),
    ("lint", || rust::lint(&[])),
    ("test", || test::run(&[])),
    ("fuzz", || {
        fuzz::run(&["--seconds".to_owned(), "10".to_owned()])
    }),
    ("deny", deny),
];

/// Runs all steps and prints one table.
pub(crate) fn run(_arguments: &[String]) -> Result<Outcome, Failure> {
    let start = machine::now();
    let mut table = Vec::new();
    let mut failed = 0_usize;
    let mut skipped = 0_usize;
    let mut checks_skipped = 0_usize;
    for (name, step) in STEPS {
        machine::say(&format!("\n== {name}"));
        let step_start = machine::now();
        let (verdict, note) = match step() {
            Ok(Outcome::Done {
                note,
                skipped: some,
            }) => {
                checks_skipped += some;
                ("ok", note)
            }
            Ok(Outcome::Skipped(reason)) => {
                skipped += 1;
                ("SKIPPED", reason)
            }
            Err(failure) => {
                failed += 1;
                machine::say(&format!("{name}: {failure}"));
                ("FAILED", first_line(&failure.0))
            }
        };
        let seconds = machine::seconds_since(step_start);
        machine::say(&format!("== {name} {verdict} ({seconds})"));
        table.push(format!("{name:<8} {verdict:<8} {seconds:>9}  {note}"));
    }
    machine::say(&format!(
        "\nstep     verdict       time  note\n{}",
        table.join("\n")
    ));
    let total = machine::seconds_since(start);
    let done = STEPS.len() - failed - skipped;
    machine::say(&format!(
        "{done} steps ok, {failed} failed, {skipped} skipped, and {checks_skipped} tests skipped \
         in {total}"
    ));
    if failed > 0 {
        Err(Failure(format!("{failed} steps failed")))
    } else {
        Ok(Outcome::done(""))
    }
}

/// cargo-deny over `deny.toml`, when it is installed. Advisories need a database from the network;
/// a machine without it still checks the rest.
fn deny() -> Result<Outcome, Failure> {
    if !rust::has("deny")? {
        return Ok(Outcome::skipped(
            "cargo-deny",
            "not installed (cargo install cargo-deny)",
        ));
    }
    let local = ["deny", "check", "bans", "licenses", "sources"];
    rust::run(&mut rust::cargo(&local)?, "cargo deny check")?;
    if !machine::succeeds(&mut rust::cargo(&["deny", "fetch", "db"])?) {
        return Ok(Outcome::skipped(
            "advisories",
            "their database is out of reach; the rest is ok",
        ));
    }
    let advisories = ["deny", "check", "--disable-fetch", "advisories"];
    rust::run(
        &mut rust::cargo(&advisories)?,
        "cargo deny check advisories",
    )?;
    Ok(Outcome::done(""))
}

/// What fits into the table.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

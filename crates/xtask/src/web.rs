//! `web`: checks and tests the pages of `web/` and builds them into `web/dist`, from where the program
//! takes them.

use std::process::Command;

use crate::failure::{Failure, Outcome};
use crate::{machine, rust};

/// What npm is asked for, in order.
const STEPS: [&[&str]; 4] = [
    &["ci", "--ignore-scripts", "--no-audit", "--no-fund"],
    &["run", "check"],
    &["run", "test"],
    &["run", "build"],
];

/// Runs all steps; says that they were skipped where there is no npm.
pub(crate) fn run(_arguments: &[String]) -> Result<Outcome, Failure> {
    if machine::find_program("npm").is_none() {
        return Ok(Outcome::skipped("the pages", "npm is not installed"));
    }
    let folder = machine::root()?.join("web");
    for arguments in STEPS {
        let mut npm = Command::new("npm");
        npm.args(arguments).current_dir(&folder);
        rust::run(&mut npm, &format!("npm {}", arguments.join(" ")))?;
    }
    Ok(Outcome::done(""))
}

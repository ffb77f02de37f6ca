//! `relay`: runs the relay that the tests of lines have between a node and its hub. It lives in crate
//! `it`; this only builds and calls it.

use crate::failure::{Failure, Outcome};
use crate::rust;

/// Runs it; the arguments are its own, and so is standard input.
pub(crate) fn run(arguments: &[String]) -> Result<Outcome, Failure> {
    let words = [
        "run",
        "--quiet",
        "-p",
        "it",
        "--bin",
        "landline-relay",
        "--",
    ];
    let mut command = rust::cargo(&words)?;
    rust::run(command.args(arguments), "landline-relay")?;
    Ok(Outcome::done(""))
}

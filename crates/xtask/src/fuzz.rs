//! `fuzz`: runs the fuzz targets. They live in crate `it`; this only builds and calls them.

use crate::failure::{Failure, Outcome};
use crate::{machine, rust};

/// Where the program of fuzz targets is written.
const SOURCE: &str = "crates/it/src/bin/landline-fuzz.rs";

/// Runs one target, or all, for the asked time.
pub(crate) fn run(arguments: &[String]) -> Result<Outcome, Failure> {
    if !machine::root()?.join(SOURCE).is_file() {
        return Ok(Outcome::skipped(
            "fuzz",
            &format!("{SOURCE} does not exist"),
        ));
    }
    let mut command = rust::cargo(&["run", "-p", "it", "--bin", "landline-fuzz", "--"])?;
    if !arguments
        .iter()
        .any(|argument| argument.starts_with("--seconds"))
    {
        command.args(["--seconds", "10"]);
    }
    rust::run(command.args(arguments), "landline-fuzz")?;
    Ok(Outcome::done(""))
}

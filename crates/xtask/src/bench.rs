//! `bench`: builds the release program and hands it, with the peer it is measured against, to the
//! benchmark in crate `it`. The measuring itself is not done here.

use crate::failure::{Failure, Outcome};
use crate::test::needs;
use crate::{machine, rust};

/// Where the benchmark is written.
const SOURCE: &str = "crates/it/src/bin/landline-bench.rs";

/// Runs the benchmark of one area; what follows its name is passed on.
pub(crate) fn run(arguments: &[String]) -> Result<Outcome, Failure> {
    if arguments.first().map(String::as_str) != Some("gateway") {
        return Err(Failure::new(
            "say what to measure: `cargo xtask bench gateway [--quick]`",
        ));
    }
    if !machine::root()?.join(SOURCE).is_file() {
        return Ok(Outcome::skipped(
            "bench gateway",
            &format!("{SOURCE} does not exist"),
        ));
    }
    let build = ["build", "--release", "-p", "app", "-p", "it", "--bins"];
    rust::run(&mut rust::cargo(&build)?, "cargo build --release")?;
    let mut bench = std::process::Command::new(rust::built("release", "landline-bench")?);
    bench.args(arguments).current_dir(machine::root()?);
    bench.env("LANDLINE_TEST_PROGRAM", rust::built("release", "landline")?);
    match needs::one("nginx")? {
        Some(nginx) => bench.env("LANDLINE_TEST_NGINX", nginx),
        None => bench.env_remove("LANDLINE_TEST_NGINX"),
    };
    rust::run(&mut bench, "landline-bench")?;
    Ok(Outcome::done(""))
}

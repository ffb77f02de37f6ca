//! `bench`: builds the release program and hands it, with the peer it is measured against, to the
//! benchmark in crate `it`. The measuring itself is not done here.

use crate::failure::{Failure, Outcome};
use crate::test::needs;
use crate::{machine, rust};

/// Where the benchmark is written.
const SOURCE: &str = "crates/it/src/bin/landline-bench.rs";

/// What can be measured.
const AREAS: [&str; 6] = [
    "gateway",
    "tunnel",
    "agents",
    "records",
    "artefacts",
    "signals",
];
/// What the areas compare with or measure by, as the table of needs knows it.
const NEEDS: [(&str, &str); 7] = [
    ("nginx", "LANDLINE_TEST_NGINX"),
    ("sshd", "LANDLINE_TEST_SSHD"),
    ("wrk", "LANDLINE_TEST_WRK"),
    ("postgres", "LANDLINE_TEST_POSTGRES"),
    ("initdb", "LANDLINE_TEST_INITDB"),
    ("prometheus", "LANDLINE_TEST_PROMETHEUS"),
    ("victoria-metrics", "LANDLINE_TEST_VICTORIA_METRICS"),
];

/// Runs the benchmark of one area; what follows its name is passed on.
pub(crate) fn run(arguments: &[String]) -> Result<Outcome, Failure> {
    let area = arguments.first().map_or("", String::as_str);
    if !AREAS.contains(&area) {
        return Err(Failure::new(
            "say what to measure: `cargo xtask bench gateway|tunnel|agents|records|artefacts|signals [--quick]`",
        ));
    }
    if !machine::root()?.join(SOURCE).is_file() {
        return Ok(Outcome::skipped(
            &format!("bench {area}"),
            &format!("{SOURCE} does not exist"),
        ));
    }
    let build = ["build", "--release", "-p", "app", "-p", "it", "--bins"];
    rust::run(&mut rust::cargo(&build)?, "cargo build --release")?;
    let mut bench = std::process::Command::new(rust::built("release", "landline-bench")?);
    bench.args(arguments).current_dir(machine::root()?);
    bench.env("LANDLINE_TEST_PROGRAM", rust::built("release", "landline")?);
    if matches!(area, "tunnel" | "agents") {
        let build = [
            "build",
            "--release",
            "-p",
            "reach",
            "--example",
            "line-ends",
        ];
        rust::run(&mut rust::cargo(&build)?, "cargo build --release --example")?;
        let ends = rust::built("release/examples", "line-ends")?;
        bench.env("LANDLINE_TEST_LINE_ENDS", ends);
    }
    for (program, variable) in NEEDS {
        let is_needed = match area {
            "gateway" | "artefacts" => program == "nginx",
            "tunnel" => matches!(program, "sshd" | "wrk"),
            "records" => matches!(program, "postgres" | "initdb"),
            "signals" => matches!(program, "prometheus" | "victoria-metrics"),
            _ => false,
        };
        match is_needed
            .then(|| needs::one(program))
            .transpose()?
            .flatten()
        {
            Some(path) => bench.env(variable, path),
            None => bench.env_remove(variable),
        };
    }
    rust::run(&mut bench, "landline-bench")?;
    Ok(Outcome::done(""))
}

//! The acceptance files of PromQL over HTTP: the scripts and comparisons of the crate `query`, with
//! series that go in by remote write and questions to the API v1. The runner is first proved against a
//! real Prometheus, as far as that one's version says the same.
//!
//! What HTTP does not tell of a histogram is not compared: its schema, empty buckets, and hints of resets.
#![allow(
    clippy::string_slice,
    reason = "what reads the scripts slices them, and they are ASCII"
)]

mod answer;
#[path = "../../../query/tests/query/promqltest/compare.rs"]
mod compare;
mod door;
#[path = "../../../query/tests/query/promqltest/histogram.rs"]
mod histogram;
#[path = "../../../query/tests/query/promqltest/memory.rs"]
mod memory;
#[path = "../../../query/tests/query/promqltest/notation.rs"]
mod notation;
#[path = "../../../query/tests/query/promqltest/pinned.rs"]
mod pinned;
#[path = "../../../query/tests/query/promqltest/run.rs"]
mod run;
#[path = "../../../query/tests/query/promqltest/script.rs"]
mod script;

use std::path::{Path, PathBuf};

use it::need::{need, skip};
use it::relayed::note;

use door::Http;
use run::Report;

/// Cases that fail over HTTP, by file and line, each with its reason.
const KNOWN: &[(&str, usize, &str)] = &[];

/// What of each file a Prometheus 2.42 says as the files want it: files, evaluations that pass. The others
/// need what is younger than it: ranges without their left end, annotations, functions, syntax, native
/// histograms in most places.
const OF_THE_ORIGINAL: &[(&str, usize)] = &[
    ("aggregators.test", 109),
    ("at_modifier.test", 48),
    ("collision.test", 2),
    ("functions.test", 233),
    ("histograms.test", 65),
    ("literals.test", 23),
    ("operators.test", 139),
    ("range_queries.test", 6),
    ("selectors.test", 31),
    ("staleness.test", 11),
    ("subquery.test", 17),
    ("trig_functions.test", 19),
];

/// The folder `shared/vectors/promqltest` in one of the folders above the crate.
fn folder() -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above
        .map(|folder| folder.join("shared/vectors/promqltest"))
        .find(|found| found.is_dir());
    if found.is_none() {
        skip("no shared/vectors above the crate");
    }
    found
}

fn report(folder: &Path, name: &str, door: &mut Http) -> Report {
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    let commands = script::parse(&text).unwrap_or_else(|error| panic!("{name}:{error}"));
    run::run(&commands, door)
}

/// Runs a file and compares what fails with the list of what is known to fail.
fn check(name: &str) {
    let Some(folder) = folder() else {
        return;
    };
    let mut door = Http::landline();
    let report = report(&folder, name, &mut door);
    let known = KNOWN.iter().filter(|(file, _, _)| *file == name);
    let known: Vec<usize> = known.map(|(_, line, _)| *line).collect();
    let (evaluations, failed) = (report.evaluations, report.failures.len());
    note(&format!(
        "{name}: {evaluations} evaluations, {failed} failed"
    ));
    let mut unknown = Vec::new();
    for failure in &report.failures {
        if !known.contains(&failure.line) {
            let (line, expression) = (failure.line, &failure.expression);
            let reason = &failure.reason;
            unknown.push(format!("{name}:{line}: {expression}\n    {reason}"));
        }
    }
    let refused = &door.refused;
    assert!(refused.is_empty(), "{name}: not stored: {refused:?}");
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    for line in known {
        let has_failed = report.failures.iter().any(|failure| failure.line == line);
        assert!(has_failed, "{name}:{line} is listed as failing but passes");
    }
    assert!(evaluations > 0, "{name} asks something");
}

/// The runner says of a real Prometheus what is known of it: were it wrong itself, less would pass.
#[test]
fn the_runner_is_right_about_a_prometheus() {
    let (Some(folder), Some(program)) = (folder(), need("PROMETHEUS")) else {
        return;
    };
    for (name, passing) in OF_THE_ORIGINAL {
        let mut door = Http::prometheus(program.clone());
        let report = report(&folder, name, &mut door);
        let passed = report.evaluations - report.failures.len();
        note(&format!(
            "{name}: a Prometheus passes {passed} of {}, {} loads refused",
            report.evaluations,
            door.refused.len()
        ));
        assert!(passed >= *passing, "{name}: {:?}", report.failures);
    }
}

macro_rules! files {
    ($($test:ident: $file:literal,)*) => {
        $(
            #[test]
            fn $test() {
                check($file);
            }
        )*

        /// Every file of the folder has its test.
        #[test]
        fn no_file_is_forgotten() {
            let Some(folder) = folder() else {
                return;
            };
            let known = [$($file),*];
            for file in std::fs::read_dir(folder).unwrap() {
                let name = file.unwrap().file_name();
                let name = name.to_string_lossy().into_owned();
                assert!(known.contains(&name.as_str()), "{name} has no test");
            }
        }
    };
}

files! {
    aggregators: "aggregators.test",
    at_modifier: "at_modifier.test",
    collision: "collision.test",
    duration_expression: "duration_expression.test",
    extended_vectors: "extended_vectors.test",
    fill_modifier: "fill-modifier.test",
    functions: "functions.test",
    histograms: "histograms.test",
    info: "info.test",
    limit: "limit.test",
    literals: "literals.test",
    name_label_dropping: "name_label_dropping.test",
    native_histograms: "native_histograms.test",
    operators: "operators.test",
    range_queries: "range_queries.test",
    selectors: "selectors.test",
    staleness: "staleness.test",
    start_timestamps: "start_timestamps.test",
    subquery: "subquery.test",
    trig_functions: "trig_functions.test",
    type_and_unit: "type_and_unit.test",
}

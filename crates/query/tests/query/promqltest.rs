//! The acceptance files of PromQL, read in place: one test per file, skipped aloud when the files are
//! not there. What is sent to the evaluator in process here can be sent through another door by
//! another [`run::Door`].

mod compare;
mod histogram;
pub(crate) mod memory;
mod notation;
mod pinned;
mod run;
pub(crate) mod script;

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Cases that fail, by file and line, each with its reason. A case that passes has no place here.
const KNOWN: &[(&str, usize, &str)] = &[];

/// The folder `shared/vectors/promqltest` in one of the folders above the crate.
fn folder() -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above
        .map(|folder| folder.join("shared/vectors/promqltest"))
        .find(|found| found.is_dir())
}

#[expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a skip must be seen"
)]
fn skip() {
    let line = "SKIPPED: promqltest files: no shared/vectors above the crate";
    println!("{line}");
    if let Ok(list) = std::env::var("LANDLINE_TEST_SKIPS") {
        let file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(list);
        file.and_then(|mut file| writeln!(file, "{line}"))
            .expect("the list of skips is writable");
    }
}

/// Runs a file and compares what fails with the list of what is known to fail.
#[expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "counts must be seen; a small file of known size"
)]
fn check(name: &str) {
    let Some(folder) = folder() else {
        return skip();
    };
    let text = std::fs::read_to_string(folder.join(name)).expect("the file is readable");
    let commands = script::parse(&text).unwrap_or_else(|error| panic!("{name}:{error}"));
    let outcome = run::run(&commands, &mut memory::Memory::default());
    let known: Vec<usize> = KNOWN
        .iter()
        .filter(|(file, _, _)| *file == name)
        .map(|(_, line, _)| *line)
        .collect();
    println!(
        "{name}: {} evaluations, {} failed, {} of them known",
        outcome.evaluations,
        outcome.failures.len(),
        known.len()
    );
    let unknown: Vec<String> = outcome
        .failures
        .iter()
        .filter(|failure| !known.contains(&failure.line))
        .map(|failure| {
            format!(
                "{name}:{}: {}\n    {}",
                failure.line, failure.expression, failure.reason
            )
        })
        .collect();
    let passing: Vec<usize> = known
        .into_iter()
        .filter(|line| outcome.failures.iter().all(|failure| failure.line != *line))
        .collect();
    assert!(
        unknown.is_empty(),
        "{} failures:\n{}",
        unknown.len(),
        unknown.join("\n")
    );
    assert!(
        passing.is_empty(),
        "{name}: listed as failing but passing: {passing:?}"
    );
    assert!(outcome.evaluations > 0, "{name} asks something");
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
                return skip();
            };
            let known = [$($file),*];
            for file in std::fs::read_dir(folder).expect("the folder is readable") {
                let name = file.expect("the entry is readable").file_name();
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

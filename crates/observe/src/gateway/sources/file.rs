//! A file with a list of targets, the same entries as under `gateway.targets`.

use std::collections::BTreeMap;
use std::path::Path;

use base::config::{Context, Document, Field, Severity};
use base::files;

use super::Reading;
use crate::gateway::config::read_targets;

/// The largest file.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Problems that are shown.
const PROBLEMS_SHOWN: usize = 10;

/// Reads the file. One wrong entry refuses the whole file, so that the last good list stays.
pub(super) fn read(
    path: &Path,
    folder: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<Reading, String> {
    let text = files::read_text_limited(path, FILE_BYTES_MAX).map_err(|error| error.to_string())?;
    let document =
        Document::parse(&text).map_err(|error| format!("line {}: {error}", error.line))?;
    let folder = path.parent().unwrap_or(folder);
    let context = Context::new(folder, environment.clone());
    let targets = read_targets(&Field::root(&document.root, &context));
    let problems = context.take_problems();
    let errors: Vec<String> = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .take(PROBLEMS_SHOWN)
        .map(|problem| {
            format!(
                "line {}: {}: {}",
                problem.line, problem.path, problem.message
            )
        })
        .collect();
    if !errors.is_empty() {
        return Err(errors.join("; "));
    }
    Ok(Reading {
        targets: targets.unwrap_or_default(),
        refused: Vec::new(),
    })
}

//! What is wrong with a configuration, for people and for scripts. It names line, column and key
//! path and shows no source line: those lines are where secrets stand.

use std::fmt::Write as _;
use std::path::Path;

use base::config::{Problem, Severity};
use serde_json::json;

/// All problems as text; with colours when `is_coloured`.
pub(crate) fn render(file: &Path, problems: &[Problem], is_coloured: bool) -> String {
    let paint = |code: &str, text: &str| {
        if is_coloured {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    };
    let mut out = String::new();
    for problem in problems {
        let word = match problem.severity {
            Severity::Error => paint("1;31", "error"),
            Severity::Warning => paint("1;33", "warning"),
        };
        let path = if problem.path.is_empty() {
            "configuration"
        } else {
            &problem.path
        };
        let place = format!("{}:{}:{}", file.display(), problem.line, problem.column);
        // Writing to a String can't fail.
        let _ok = writeln!(out, "{word}: {}: {}", paint("1", path), problem.message);
        let _ok = writeln!(out, "  {} {place}", paint("34", "-->"));
        if let Some(help) = &problem.help {
            let _ok = writeln!(out, "  {} {help}", paint("36", "help:"));
        }
    }
    let count = |severity| {
        problems
            .iter()
            .filter(|problem| problem.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if errors + warnings > 0 {
        let _ok = writeln!(out, "{errors} errors, {warnings} warnings");
    }
    out
}

/// All problems for scripts.
pub(crate) fn to_json(file: &Path, problems: &[Problem]) -> serde_json::Value {
    json!({"file": file.display().to_string(), "problems": problems})
}

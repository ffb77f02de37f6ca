//! Rules about documents: every relative link leads to something that exists.

use std::path::Path;

use super::{Finding, Rule};
use crate::failure::Failure;
use crate::files;

const LINK: Rule = Rule {
    name: "link",
    reason: "a reader who follows a link must arrive",
};

/// All rules of this file.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    for path in files::list(root, &[".md"])? {
        let text = files::read_text(&root.join(&path))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for (line, target) in links(&text) {
            let from_root = target.strip_prefix('/');
            let place = from_root.map_or_else(|| folder.join(&target), Into::into);
            if !root.join(place).exists() {
                let problem = format!("{target} does not exist");
                findings.push(Finding::new(&path, line, &LINK, problem));
            }
        }
    }
    Ok(findings)
}

/// The relative targets in a document with their lines; code is left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let prose = without_code(line);
        let mut targets: Vec<&str> = prose.split("](").skip(1).filter_map(inline).collect();
        targets.extend(definition(&prose));
        let paths = targets.into_iter().filter_map(relative);
        found.extend(paths.map(|path| (index + 1, path.to_owned())));
    }
    found
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// The target at the start of what follows `](`.
fn inline(rest: &str) -> Option<&str> {
    let target = rest.split(')').next()?.split_whitespace().next()?;
    Some(target.trim_start_matches('<').trim_end_matches('>'))
}

/// The target of a line `[name]: target`.
fn definition(line: &str) -> Option<&str> {
    let (name, target) = line.strip_prefix('[')?.split_once("]: ")?;
    if name.contains(']') {
        None
    } else {
        target.split_whitespace().next()
    }
}

/// The path part of a target that stays inside the checkout.
fn relative(target: &str) -> Option<&str> {
    let path = target.split('#').next().unwrap_or_default();
    let elsewhere = target.contains("://") || target.starts_with("mailto:");
    if path.is_empty() || elsewhere {
        None
    } else {
        Some(path)
    }
}

#[cfg(test)]
mod tests;

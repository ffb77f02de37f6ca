//! Rules about manifests: which crate may use which, what every manifest inherits from the
//! workspace, and how many packages the lock file may hold.

use std::path::{Path, PathBuf};

use super::{Finding, Rule};
use crate::failure::Failure;
use crate::files;

/// Packages in the lock file: SQLite, PostgreSQL and SSH certificates brought the last fifty.
const PACKAGES_MAX: usize = 400;

/// What each crate may use of the others: arrows point downwards only.
const EDGES: [(&str, &[&str]); 14] = [
    ("base", &[]),
    ("wire", &["base"]),
    ("bucket", &["base", "wire"]),
    // Light enough to be built and tested by itself in seconds.
    ("signals", &[]),
    ("collect", &["base", "bucket", "wire", "state"]),
    ("observe", &["base", "wire"]),
    ("query", &[]),
    ("monitor", &["base", "bucket", "wire", "query", "signals"]),
    ("state", &["base"]),
    ("identity", &["base", "state"]),
    ("reach", &["base", "wire", "identity", "state"]),
    (
        "app",
        &[
            "base", "wire", "state", "identity", "collect", "monitor", "observe", "reach",
            "signals",
        ],
    ),
    // `observe` and `query` for their fuzz targets only: the tests know the program from outside.
    ("it", &["wire", "observe", "query"]),
    ("xtask", &[]),
];

/// The one crate that uses nothing at all.
const STANDARD_ONLY: &str = "xtask";

/// Keys of `[package]` that come from the workspace.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

const EDGE: Rule = Rule {
    name: "crate edge",
    reason: "siblings that never import one another can be changed, tested and split alone",
};
const INHERIT: Rule = Rule {
    name: "inherit from the workspace",
    reason: "one version of everything and one set of lints",
};
const LOCK: Rule = Rule {
    name: "lock file",
    reason: "every package is code that someone has to trust",
};

/// A key of a manifest with its section and line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    section: String,
    key: String,
    value: String,
    line: usize,
}

/// All rules of this file.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let lock = files::read_text(&root.join("Cargo.lock"))?;
    findings.extend(lock_findings(&lock));
    for folder in files::entries(&root.join("crates"))? {
        let manifest = folder.join("Cargo.toml");
        if !manifest.is_file() {
            continue;
        }
        let name = folder
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let path = PathBuf::from(format!("crates/{name}/Cargo.toml"));
        findings.extend(manifest_findings(
            name,
            &path,
            &files::read_text(&manifest)?,
        ));
    }
    Ok(findings)
}

/// The budget of packages.
fn lock_findings(lock: &str) -> Option<Finding> {
    let count = lock
        .lines()
        .filter(|line| line.trim() == "[[package]]")
        .count();
    let problem = format!("{count} packages, the budget is {PACKAGES_MAX}");
    (count > PACKAGES_MAX).then(|| Finding::new(Path::new("Cargo.lock"), 1, &LOCK, problem))
}

/// Everything wrong with one manifest.
fn manifest_findings(name: &str, path: &Path, text: &str) -> Vec<Finding> {
    let entries = read(text);
    let mut findings = Vec::new();
    let has = |section: &str, key: &str, value: &str| {
        entries
            .iter()
            .any(|entry| entry.section == section && entry.key == key && entry.value == value)
    };
    if !has("package", "name", &format!("\"{name}\"")) {
        findings.push(Finding::new(
            path,
            1,
            &INHERIT,
            "a crate is called like its folder",
        ));
    }
    if !has("lints", "workspace", "true") {
        findings.push(Finding::new(
            path,
            1,
            &INHERIT,
            "`[lints] workspace = true` is missing",
        ));
    }
    for key in INHERITED {
        if !has("package", &format!("{key}.workspace"), "true") {
            let problem = format!("`{key}.workspace = true` is missing");
            findings.push(Finding::new(path, 1, &INHERIT, problem));
        }
    }
    let allowed = EDGES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, allowed)| *allowed);
    if allowed.is_none() {
        let problem = format!("unknown crate {name}: add its edges to tidy");
        findings.push(Finding::new(path, 1, &EDGE, problem));
    }
    let uses = entries.iter().filter(|entry| is_dependency(&entry.section));
    for entry in uses {
        findings.extend(dependency_findings(
            name,
            path,
            entry,
            allowed.unwrap_or_default(),
        ));
    }
    findings
}

/// Whether the section lists dependencies of any sort, for any platform.
fn is_dependency(section: &str) -> bool {
    section
        .split('.')
        .any(|part| part == "dependencies" || part.ends_with("-dependencies"))
}

/// Everything wrong with one dependency.
fn dependency_findings(name: &str, path: &Path, entry: &Entry, allowed: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let in_table = entry
        .section
        .rsplit('.')
        .next()
        .is_some_and(|last| !last.ends_with("dependencies"));
    if in_table {
        let problem = format!("write [{}] as one line of its section", entry.section);
        return vec![Finding::new(path, entry.line, &INHERIT, problem)];
    }
    let used = entry.key.split('.').next().unwrap_or_default();
    let value: String = entry.value.split_whitespace().collect();
    if entry.key != format!("{used}.workspace") && !value.contains("workspace=true") {
        let problem = format!("the version of {used} belongs into the workspace manifest");
        findings.push(Finding::new(path, entry.line, &INHERIT, problem));
    }
    let internal = EDGES.iter().any(|(known, _)| *known == used);
    if (internal && !allowed.contains(&used)) || name == STANDARD_ONLY {
        let problem = format!("{name} must not use {used}");
        findings.push(Finding::new(path, entry.line, &EDGE, problem));
    }
    findings
}

/// Reads `[section]` and `key = value` lines. Values over several lines keep their first line,
/// which is all that the rules look at.
fn read(text: &str) -> Vec<Entry> {
    let mut section = String::new();
    let mut depth = 0_i32;
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        let inside = depth > 0;
        let header = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Some(header) = header.filter(|_| !inside) {
            header.trim_matches(['[', ']']).clone_into(&mut section);
            continue;
        }
        depth += line.chars().fold(0, |depth, character| match character {
            '[' | '{' => depth + 1,
            ']' | '}' => depth - 1,
            _ => depth,
        });
        let Some((key, value)) = line.split_once('=').filter(|_| !inside) else {
            continue;
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        if !key.starts_with('#') {
            entries.push(Entry {
                section: section.clone(),
                key,
                value,
                line: index + 1,
            });
        }
    }
    entries
}

#[cfg(test)]
mod tests;

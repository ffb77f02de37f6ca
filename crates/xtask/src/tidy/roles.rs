//! Rules about roles: each has a page for its operator and an end-to-end scenario, and each way to
//! log in that the gateway's page lists has an example.

use std::path::Path;

use super::{Finding, Rule};
use crate::failure::Failure;
use crate::files;

/// The closed table of roles.
const ROLES: &str = "crates/app/src/roles.rs";
/// Where the end-to-end scenarios are.
const SCENARIOS: &str = "crates/it/tests/it";
/// The page with the table of ways to log in.
const GATEWAY_PAGE: &str = "docs/operate/gateway.md";
/// The heading above that table.
const WAYS: &str = "## Ways to log in";

const ROLE: Rule = Rule {
    name: "role",
    reason: "a role without a page and a scenario cannot be operated",
};
const EXAMPLE: Rule = Rule {
    name: "example",
    reason: "every way to log in can be copied from a whole configuration",
};

/// All rules of this file.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let table = root.join(ROLES);
    let roles = if table.is_file() {
        names(&files::read_text(&table)?)
    } else {
        Vec::new()
    };
    if roles.is_empty() {
        let problem = "there is no line `name: \"…\"` that names a role";
        findings.push(Finding::new(Path::new(ROLES), 1, &ROLE, problem));
    }
    for (line, role) in roles {
        findings.extend(role_findings(root, line, &role)?);
    }
    let page = root.join(GATEWAY_PAGE);
    let page = if page.is_file() {
        files::read_text(&page)?
    } else {
        String::new()
    };
    for (line, kind) in kinds(&page) {
        let example = format!("examples/gateway/{kind}.yaml");
        if !root.join(&example).is_file() {
            let problem = format!("{kind} has no {example}");
            findings.push(Finding::new(
                Path::new(GATEWAY_PAGE),
                line,
                &EXAMPLE,
                problem,
            ));
        }
    }
    Ok(findings)
}

/// What one role lacks.
fn role_findings(root: &Path, line: usize, role: &str) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let page = format!("docs/operate/{role}.md");
    if !root.join(&page).is_file() {
        let problem = format!("{role} has no {page}");
        findings.push(Finding::new(Path::new(ROLES), line, &ROLE, problem));
    }
    let scenarios = files::entries(&root.join(SCENARIOS))?;
    let named = scenarios
        .iter()
        .filter_map(|path| path.file_stem()?.to_str());
    if !named.into_iter().any(|name| names_role(name, role)) {
        let problem = format!("{role} has no scenario {SCENARIOS}/{role}*.rs");
        findings.push(Finding::new(Path::new(ROLES), line, &ROLE, problem));
    }
    Ok(findings)
}

/// Whether a file or folder is a scenario of the role: `gateway` or `gateway_…`.
fn names_role(name: &str, role: &str) -> bool {
    name.strip_prefix(role)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// The roles in the table: lines with `name: "…"`.
fn names(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let value = line
            .split_once("name: \"")
            .filter(|_| !line.starts_with("//"));
        if let Some((name, _)) = value.and_then(|(_, rest)| rest.split_once('"')) {
            found.push((index + 1, name.to_owned()));
        }
    }
    found
}

/// The first column of the table under the heading, without its head.
fn kinds(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (index, line) in page.lines().enumerate() {
        if line.starts_with('#') {
            inside = line.trim_end() == WAYS;
        }
        let cell = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split_once('`'));
        if let Some((kind, _)) = cell.filter(|(kind, _)| inside && *kind != "kind") {
            found.push((index + 1, kind.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests;

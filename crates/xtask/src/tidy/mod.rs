//! `tidy`: the rules of STYLE.md that neither the compiler nor clippy can check. Every rule is a
//! function from the checkout to findings; all findings are printed at once.

mod documents;
mod functions;
mod manifests;
mod mask;
mod roles;
mod sources;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};
use crate::machine;

/// One place that breaks one rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The file, relative to the root of the checkout.
    path: PathBuf,
    /// The line, from 1; 1 also for what concerns the whole file.
    line: usize,
    /// The rule's short name.
    rule: &'static str,
    /// What is wrong here.
    problem: String,
    /// Why the rule exists.
    reason: &'static str,
}

impl Finding {
    /// A finding of `rule` at a line of a file.
    fn new(path: &Path, line: usize, rule: &Rule, problem: impl Into<String>) -> Self {
        let Rule { name, reason } = rule;
        Self {
            path: path.to_owned(),
            line,
            rule: name,
            problem: problem.into(),
            reason,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            rule,
            problem,
            reason,
        } = self;
        write!(
            formatter,
            "{}:{line}: {rule}: {problem} ({reason})",
            path.display()
        )
    }
}

/// The name of a rule and why it exists.
#[derive(Debug)]
pub(crate) struct Rule {
    name: &'static str,
    reason: &'static str,
}

/// A group of rules: reads the checkout under a root.
type Check = fn(&Path) -> Result<Vec<Finding>, Failure>;

/// Every group.
const CHECKS: [Check; 4] = [
    manifests::check,
    sources::check,
    documents::check,
    roles::check,
];

/// Runs every rule over the checkout.
pub(crate) fn run(_arguments: &[String]) -> Result<Outcome, Failure> {
    let root = machine::root()?;
    let mut findings = Vec::new();
    for check in CHECKS {
        findings.extend(check(&root)?);
    }
    findings.sort();
    for finding in &findings {
        machine::say(&finding.to_string());
    }
    if findings.is_empty() {
        machine::say("tidy: nothing to say");
        return Ok(Outcome::done(""));
    }
    Err(Failure(format!("{} findings", findings.len())))
}

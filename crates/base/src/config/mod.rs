//! Configuration as a tree that remembers where each value stands, and readers that collect every
//! problem instead of stopping at the first. It knows no key of any role and reads no file.
//!
//! The way of a value: bytes → [`Document`] → [`Field`] and [`Section`] → a validated struct of the
//! crate that owns the section. Unknown keys are refused, with the nearest known one as a hint.

mod reader;
mod shown;
mod tree;
mod values;

#[cfg(test)]
mod tests;

pub use reader::{Field, Section};
pub use shown::{as_bytes, as_duration, as_keep, as_optional_bytes};
pub use tree::{Document, Node, SyntaxError, Value};
pub use values::{format_bytes, format_duration, parse_bytes, parse_duration};

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Problems that are shown of one document.
pub const PROBLEMS_MAX: usize = 1_000;

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration can't be used.
    Error,
    /// It can be used, but part of it will not work as it stands.
    Warning,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// Key path, such as `gateway.targets[0].auth.kind`; empty for the whole document.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// Bytes of the document that it is about.
    #[serde(skip)]
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// What readers need beside the document: where relative paths start, the environment, and the
/// place where problems go.
#[derive(Debug)]
pub struct Context {
    /// The folder that relative paths are relative to.
    pub folder: PathBuf,
    /// The environment, as read once at start.
    pub environment: BTreeMap<String, String>,
    problems: RefCell<Vec<Problem>>,
}

impl Context {
    /// A context with no problems yet.
    pub fn new(folder: impl Into<PathBuf>, environment: BTreeMap<String, String>) -> Self {
        Self {
            folder: folder.into(),
            environment,
            problems: RefCell::default(),
        }
    }

    /// Adds a problem; after [`PROBLEMS_MAX`] of them only one that says so, and is an error when
    /// one of those behind it is.
    pub fn report(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        let count = problems.len();
        match problems.last_mut().filter(|_| count > PROBLEMS_MAX) {
            Some(last) if problem.severity == Severity::Error => last.severity = Severity::Error,
            Some(_) => {}
            None if count == PROBLEMS_MAX => problems.push(Problem {
                message: "there are more problems, which are not shown".to_owned(),
                help: None,
                ..problem
            }),
            None => problems.push(problem),
        }
    }

    /// Nothing more is shown, so no more hints need to be looked for.
    fn is_full(&self) -> bool {
        self.problems.borrow().len() > PROBLEMS_MAX
    }

    /// All problems so far, in the order of their lines; the list is empty afterwards.
    pub fn take_problems(&self) -> Vec<Problem> {
        let mut problems = self.problems.take();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }

    /// `path` as the process opens it.
    pub fn resolve(&self, path: &str) -> PathBuf {
        resolve_path(&self.folder, path)
    }
}

fn resolve_path(folder: &Path, path: &str) -> PathBuf {
    // `join` keeps an absolute path as it is.
    folder.join(path)
}

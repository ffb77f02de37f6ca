//! How a command ends: done, skipped with a reason, or failed with a sentence. One shape is enough
//! here, because the only reader is the person in front of the terminal.

use std::fmt;
use std::io;

/// The end of a command that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did its work, all but `skipped` checks of it; the note goes into the table of `ci`.
    Done {
        /// What there is to say.
        note: String,
        /// Checks that could not be made here; each was announced.
        skipped: usize,
    },
    /// It could not be done here; the reason is printed and counted, never hidden.
    Skipped(String),
}

impl Outcome {
    /// Work done, with a short note (or none).
    pub(crate) fn done(note: &str) -> Self {
        Self::Done {
            note: note.to_owned(),
            skipped: 0,
        }
    }

    /// Says loudly that the work was not done.
    pub(crate) fn skipped(what: &str, reason: &str) -> Self {
        crate::machine::say(&format!("SKIPPED: {what}: {reason}"));
        Self::Skipped(reason.to_owned())
    }
}

/// What was attempted and why it did not work, as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    /// A failure without a cause below it.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Adds what was attempted to an input/output error.
pub(crate) trait Attempt<T> {
    /// Names the attempt: `attempt(|| format!("read {path}"))`.
    fn attempt(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> Attempt<T> for io::Result<T> {
    fn attempt(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure(format!("{}: {error}", what())))
    }
}

//! What a query's author should know although there is a result: warnings and hints, each with its
//! place in the text.

use std::collections::BTreeSet;

use super::parser::place;

/// Notes of one query; further ones are dropped.
pub const ANNOTATIONS_MAX: usize = 1000;

/// Notes of one query, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    /// Something is probably wrong with the data or the query.
    pub warnings: BTreeSet<String>,
    /// Something may not be as it looks.
    pub infos: BTreeSet<String>,
}

impl Annotations {
    pub(super) fn warn(&mut self, text: &str, position: usize, message: &str) {
        add(&mut self.warnings, "warning", &at(text, position, message));
    }

    pub(super) fn inform(&mut self, text: &str, position: usize, message: &str) {
        add(&mut self.infos, "info", &at(text, position, message));
    }
}

fn at(text: &str, position: usize, message: &str) -> String {
    let (line, column) = place(text, position);
    format!("{message} ({line}:{column})")
}

fn add(notes: &mut BTreeSet<String>, kind: &str, message: &str) {
    if notes.len() < ANNOTATIONS_MAX {
        notes.insert(format!("PromQL {kind}: {message}"));
    }
}

/// ` for metric name "x"`, or nothing for a series without a name.
pub(super) fn for_metric(name: &str) -> String {
    if name.is_empty() {
        String::new()
    } else {
        format!(" for metric name {}", crate::quote::quoted(name.as_bytes()))
    }
}

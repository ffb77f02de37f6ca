//! The entry of the fuzz target for configurations: whatever the bytes are, reading them ends in a
//! configuration or in problems with a place. It only asserts; the fuzzer lives elsewhere.

use std::collections::BTreeMap;

use base::config::{Context, Document, Field, PROBLEMS_MAX, Problem};

use crate::gateway::config::{GatewayConfig, read_targets};

/// Reads the data as a configuration with its section `gateway`, and as the file of a source.
///
/// # Panics
/// When a problem has no place in the text, or what was read can't be shown.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let document = match Document::parse(&text) {
        Ok(document) => document,
        Err(error) => {
            assert!(error.line > 0 && error.offset <= text.len(), "{error:?}");
            return;
        }
    };
    // Nothing is there, so that a mutated path reads nothing.
    let context = Context::new("/nonexistent", BTreeMap::new());
    let root = Field::root(&document.root, &context);
    if let Some(mut section) = root.section() {
        let gateway = section.optional("gateway");
        let read = gateway.and_then(|field| GatewayConfig::read(&field));
        section.finish();
        assert!(serde_json::to_value(read).is_ok());
    }
    check(&context.take_problems(), &text);
    assert!(serde_json::to_value(read_targets(&root)).is_ok());
    check(&context.take_problems(), &text);
}

fn check(problems: &[Problem], text: &str) {
    assert!(problems.len() <= PROBLEMS_MAX + 1);
    for problem in problems {
        let is_inside = problem.span.start <= problem.span.end && problem.span.end <= text.len();
        assert!(is_inside && problem.line > 0, "{problem:?}");
    }
}

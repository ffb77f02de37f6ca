//! What tests of this crate share.

use std::io::Write;

/// Reports the running test as skipped, as `crates/it/src/need.rs` does.
#[expect(clippy::print_stdout, reason = "a skipped test says so loudly")]
#[expect(
    clippy::disallowed_methods,
    reason = "where `cargo xtask test` collects them"
)]
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED: {}: {reason}", thread.name().unwrap_or("unnamed"));
    println!("{line}");
    let Ok(path) = std::env::var("LANDLINE_TEST_SKIPS") else {
        return;
    };
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).append(true).open(path);
    writeln!(file.unwrap(), "{line}").unwrap();
}

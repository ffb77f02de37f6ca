//! `landline-fuzz [--seconds N] [--seed N] [--target NAME]`: feeds mutated bytes to the parsers of
//! foreign input and ends with 1 when one of them panics. The table below is all there is to add to.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers: it reads its arguments and seeds, and prints"
)]

use std::process::ExitCode;
use std::time::Duration;

use it::fuzz::{Target, run_all};

/// Seconds when nothing else is said.
const SECONDS: u64 = 10;

/// Every parser under test: a name, inputs to start from, and a function that asserts.
fn targets() -> Vec<Target> {
    Vec::new()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, otherwise: u64| match value(name) {
        Some(text) => text.parse().ok(),
        None => Some(otherwise),
    };
    let (Some(seconds), Some(seed)) = (number("--seconds", SECONDS), number("--seed", 1)) else {
        eprintln!("usage: landline-fuzz [--seconds N] [--seed N] [--target NAME]");
        return ExitCode::from(2);
    };
    let mut targets = targets();
    if let Some(name) = value("--target") {
        targets.retain(|target| target.name == name);
    }
    if targets.is_empty() {
        eprintln!("nothing to fuzz: no parser of this name is in the table");
        return ExitCode::from(2);
    }
    // A panic is what is looked for: its message is worth a line, its stack is not.
    let is_well = run_all(&targets, seed, Duration::from_secs(seconds));
    ExitCode::from(u8::from(!is_well))
}

//! Regular expressions of the configuration, with a bound on what compiling one costs: a few signs
//! such as `(\w{100}){100}` could take seconds, and aliases repeat them for every target.

use regex::{Regex, RegexBuilder};

/// The largest compiled expression: enough for dozens of classes, milliseconds to compile.
const COMPILED_BYTES_MAX: usize = 256 << 10;

/// Compiles an expression.
///
/// # Errors
/// It is none, or too large.
pub(crate) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .size_limit(COMPILED_BYTES_MAX)
        .build()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_too_large_is_refused_in_time() {
        let begun = base::clock::now();
        for (pattern, is_good) in [
            (r#"name="csrf" value="([^"]+)""#, true),
            (r"(?i)token:\s*(\w+)-(\w+)\s*;", true),
            (r"(\w{100}){100}", false),
            (r"((((\d{50}){50}){50}){50})", false),
        ] {
            assert_eq!(compile(pattern).is_ok(), is_good, "{pattern}");
        }
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
    }
}

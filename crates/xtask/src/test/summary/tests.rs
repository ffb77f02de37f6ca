//! Lines as the runners print them.

use std::collections::BTreeSet;

use super::{Runner, Summary, skipped_tests};

fn check(runner: Runner, lines: &[&str], expected: (usize, usize, usize)) {
    let mut summary = Summary::default();
    for line in lines {
        summary.read_line(runner, line);
    }
    assert_eq!(
        (summary.passed, summary.failed, summary.left_out),
        expected,
        "{lines:?}"
    );
}

#[test]
fn reads_nextest() {
    check(
        Runner::Nextest,
        &["     Summary [   0.004s] 0 tests run: 0 passed, 0 skipped\n"],
        (0, 0, 0),
    );
    check(
        Runner::Nextest,
        &[
            "     Summary [   9.1s] 7/9 tests run: 3 passed (1 slow, 1 leaky), 2 failed, 1 timed out, 1 exec failed, 4 skipped",
        ],
        (3, 4, 4),
    );
    check(
        Runner::Nextest,
        &[
            "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m1\u{1b}[0m test run: \u{1b}[1m1\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m skipped",
        ],
        (1, 0, 0),
    );
    check(
        Runner::Nextest,
        &["        PASS [   0.002s] (1/3) wire exposition::reads"],
        (0, 0, 0),
    );
    check(
        Runner::Nextest,
        &["test result: FAILED. 0 passed; 1 failed; 0 ignored"],
        (0, 0, 0),
    );
}

#[test]
fn adds_what_cargo_prints_per_binary() {
    let lines = [
        "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
    ];
    check(Runner::Cargo, &lines, (4, 2, 1));
}

#[test]
fn counts_a_test_that_skips_twice_once() {
    let lines = [
        "SKIPPED: mysql::reads: no mariadbd",
        "SKIPPED: mysql::reads: no curl",
        "SKIPPED: sigv4: no botocore",
    ];
    let lines: BTreeSet<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(skipped_tests(&lines), 2);
}

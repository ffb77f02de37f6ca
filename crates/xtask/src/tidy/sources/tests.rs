//! One small file per rule.

use std::path::Path;

use super::{BANNED, file_findings};

fn check(path: &str, text: &str, expected: &[(usize, &str)]) {
    let found = file_findings(Path::new(path), text);
    let found: Vec<(usize, &str)> = found.iter().map(|one| (one.line, one.rule)).collect();
    assert_eq!(found, expected, "{path}");
}

#[test]
fn files_have_a_length() {
    check("a.ts", &"x\n".repeat(800), &[]);
    check("a.ts", &"x\n".repeat(801), &[(801, "file length")]);
    check("a.md", &"x\n".repeat(900), &[]);
}

#[test]
fn functions_have_a_length_and_tests_a_larger_one() {
    let source = |lines: usize| format!("//! x\nfn a() {{\n{}}}\n", "    b();\n".repeat(lines - 2));
    check("crates/wire/src/a.rs", &source(70), &[]);
    check(
        "crates/wire/src/a.rs",
        &source(71),
        &[(2, "function length")],
    );
    check("crates/wire/src/a/tests.rs", &source(120), &[]);
    check(
        "crates/it/tests/it/a.rs",
        &source(121),
        &[(2, "function length")],
    );
    let inside = source(71).replace("fn a", "#[cfg(test)]\nfn a");
    check("crates/wire/src/a.rs", &inside, &[]);
}

#[test]
fn the_first_line_tells_the_subject() {
    check("a.rs", "//! What it is.\n", &[]);
    check("a.rs", "// What it is.\n", &[(1, "first line")]);
    check("a.rs", "", &[(1, "first line")]);
}

#[test]
fn unsafe_has_its_homes() {
    let source = "//! x\nfn a() {\n    // unsafe { }\n    unsafe { b(\"unsafe\") }\n}\n";
    check("crates/base/src/net.rs", source, &[(4, "unsafe")]);
    check("crates/base/src/handover.rs", source, &[]);
    check("crates/base/src/memory.rs", source, &[]);
    check("a.rs", "//! x\n#![forbid(unsafe_code)]\n", &[]);
}

#[test]
fn unfinished_work_is_no_remark() {
    for word in BANNED {
        check(
            "a.md",
            &format!("fine\nso ({word} x\n"),
            &[(2, "banned word")],
        );
        check("a.ts", &format!("{word}\n"), &[]);
    }
    check(
        "a.md",
        "hacks for nowhere, placeholders, whack, a HACKER\n",
        &[],
    );
}

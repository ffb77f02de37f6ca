//! Manifests that are right and wrong in one way each.

use std::path::Path;

use super::{PACKAGES_MAX, lock_findings, manifest_findings};

const HEAD: &str = "[package]\nname = \"wire\"\nversion.workspace = true\nedition.workspace = true\n\
    rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n\
    [lints]\nworkspace = true\n";

fn check(name: &str, tail: &str, expected: &[&str]) {
    let text = format!("{}{tail}", HEAD.replace("wire", name));
    let findings = manifest_findings(name, Path::new("Cargo.toml"), &text);
    let problems: Vec<&str> = findings
        .iter()
        .map(|finding| finding.problem.as_str())
        .collect();
    assert_eq!(problems, expected, "{text}");
}

#[test]
fn arrows_point_downwards() {
    check(
        "wire",
        "[dependencies]\nbase.workspace = true\nbytes.workspace = true\n",
        &[],
    );
    check(
        "wire",
        "[dependencies]\nobserve.workspace = true\n",
        &["wire must not use observe"],
    );
    check(
        "wire",
        "[dev-dependencies]\napp = { workspace = true }\n",
        &["wire must not use app"],
    );
    check(
        "it",
        "[dependencies]\nbase.workspace = true\n",
        &["it must not use base"],
    );
    check(
        "xtask",
        "[dependencies]\nbytes.workspace = true\n",
        &["xtask must not use bytes"],
    );
    check(
        "deliver",
        "",
        &["unknown crate deliver: add its edges to tidy"],
    );
}

#[test]
fn versions_and_lints_are_inherited() {
    let version = "the version of bytes belongs into the workspace manifest";
    check("wire", "[dependencies]\nbytes = \"1\"\n", &[version]);
    check(
        "wire",
        "[target.'cfg(unix)'.dependencies]\nbytes = \"1\"\n",
        &[version],
    );
    let table = "[dependencies.bytes]\nworkspace = true\n";
    check(
        "wire",
        table,
        &["write [dependencies.bytes] as one line of its section"],
    );
    let spread = "[dependencies]\ntokio = { workspace = true, features = [\n  \"a=b\",\n] }\n";
    check("wire", spread, &[]);
    let bare = manifest_findings(
        "wire",
        Path::new("Cargo.toml"),
        "[package]\nname = \"wire\"\n",
    );
    assert_eq!(bare.len(), 6, "lints and five keys");
}

#[test]
fn the_lock_file_has_a_budget() {
    assert_eq!(lock_findings(&"[[package]]\n".repeat(PACKAGES_MAX)), None);
    assert!(lock_findings(&"[[package]]\n".repeat(PACKAGES_MAX + 1)).is_some());
}

//! A real S3 server for the tests, from the registry of Rust: built once, and kept beside what cargo
//! builds.

use std::path::PathBuf;

use crate::failure::Failure;
use crate::{machine, rust};

/// By which variable tests learn of it.
pub(super) const VARIABLE: &str = "LANDLINE_TEST_S3S_FS";
/// Newer ones need a newer compiler.
const VERSION: &str = "0.14.1";

/// Its program; nothing, with the reason said, when it can't be built here.
pub(super) fn program() -> Result<Option<PathBuf>, Failure> {
    let root = machine::target_folder()?.join(format!("s3s-fs-{VERSION}"));
    let program = root.join("bin/s3s-fs");
    if program.is_file() {
        return Ok(Some(program));
    }
    machine::say("building s3s-fs, a real S3 server, once: this takes some minutes");
    let mut install = rust::cargo(&["install", "s3s-fs", "--locked", "--quiet"])?;
    install.args(["--version", VERSION, "--features", "binary", "--root"]);
    install
        .arg(&root)
        .env("CARGO_TARGET_DIR", root.join("build"));
    if let Err(failure) = rust::run(&mut install, "cargo install s3s-fs") {
        machine::say(&format!("SKIPPED: tests with s3s-fs: {}", failure.0));
        return Ok(None);
    }
    // What it was built of is as large as all of ours.
    drop(std::fs::remove_dir_all(root.join("build")));
    Ok(program.is_file().then_some(program))
}

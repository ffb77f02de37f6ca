//! The outside programs a test needs. `cargo xtask test` finds them and names them in the
//! environment; a test whose tool is missing says loudly that it was skipped.

use std::io::Write;

/// The value of `LANDLINE_TEST_<tool>`; when it is missing the running test is reported as skipped.
///
/// Known words: `MYSQL_ADMIN_URL`, `MARIADBD`, `POSTGRES_URL`, `PROMETHEUS`,
/// `PROMTOOL`, `NGINX`, `TINYPROXY`, `CURL`, `PYTHON`, `SCHEMATHESIS`, `CHROMIUM`, `NODE`, `WEB`, `RCLONE`,
/// `KRKN` (a Python with krkn's library, boto3 and aws-cli), `PARQUET` (a Python with pyarrow
/// and `DuckDB`), `VMAGENT`, `FIU_RUN` (libfiu), `S3S_FS` (a real S3 server); and `TELEMETRICS`, which only a person
/// sets: the folder with the telemetrics clients, built from source.
pub fn need(tool: &str) -> Option<String> {
    let variable = format!("LANDLINE_TEST_{tool}");
    match std::env::var(&variable) {
        Ok(value) if !value.is_empty() => Some(value),
        _ => {
            skip(&format!("{variable} is not set"));
            None
        }
    }
}

/// Reports the running test as skipped: on standard output and in the file `LANDLINE_TEST_SKIPS`.
pub fn skip(reason: &str) {
    let line = format!("SKIPPED: {}: {reason}", running_test());
    println!("{line}");
    let Ok(path) = std::env::var("LANDLINE_TEST_SKIPS") else {
        return;
    };
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path);
    let written = file.and_then(|mut file| writeln!(file, "{line}"));
    assert!(
        written.is_ok(),
        "cannot note a skipped test in {path}: {written:?}"
    );
}

/// The name of the test on this thread.
fn running_test() -> String {
    let thread = std::thread::current();
    match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => std::env::var("NEXTEST_TEST_NAME").unwrap_or_else(|_| "unnamed test".to_owned()),
    }
}

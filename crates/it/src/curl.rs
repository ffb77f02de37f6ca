//! curl as an independent client.

use std::process::Stdio;

/// Runs curl; gives status code and body. The status is 0 when there was no answer.
pub async fn curl(program: &str, arguments: &[&str]) -> (u16, String) {
    let output = tokio::process::Command::new(program)
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "30",
            "--write-out",
            "\n%{http_code}",
        ])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
    (status.parse().unwrap_or(0), body.to_owned())
}

//! `exec`: a program that prints a token, alone or as JSON with its end.

use std::process::Stdio;
use std::time::{Duration, Instant};

use base::clock;
use rustix::process::{Pid, Signal, kill_process_group};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::AsyncReadExt;

use super::{LoginContext, Obtained, apply_token, bad_answer};
use crate::gateway::config::Apply;
use crate::gateway::failure::{Failure, FailureKind, unix_seconds};

/// The longest output that is read.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;

/// A program and where its token goes.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(super) command: Vec<String>,
    pub(super) timeout: Duration,
    pub(super) apply: Apply,
}

impl Exec {
    pub(super) async fn obtain(
        &self,
        context: &LoginContext,
        deadline: Instant,
    ) -> Result<Obtained, Failure> {
        let deadline = deadline.min(clock::now() + self.timeout);
        let output = match tokio::time::timeout_at(deadline.into(), self.run(&context.name)).await {
            Ok(output) => output?,
            Err(_) => {
                let reason = "login: the program took longer than `timeout`";
                return Err(Failure::new(FailureKind::Timeout, reason));
            }
        };
        let (token, life) = read_output(&output)?;
        Ok(Obtained {
            credential: apply_token(&self.apply, &token)?,
            life,
        })
    }

    /// Runs the program; dropping the future kills it.
    async fn run(&self, name: &str) -> Result<String, Failure> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| bad_answer("login: no program"))?;
        let failed = |reason: String| bad_answer(format!("login: program {program}: {reason}"));
        let mut command = tokio::process::Command::new(program);
        for variable in base::handover::private_variables() {
            command.env_remove(variable);
        }
        let mut child = command
            .args(arguments)
            .env("LANDLINE_TARGET", name)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let mut group = Group(child.id());
        let mut output = String::new();
        if let Some(stdout) = child.stdout.take() {
            let mut stdout = stdout.take(OUTPUT_BYTES_MAX);
            stdout
                .read_to_string(&mut output)
                .await
                .map_err(|error| failed(error.to_string()))?;
        }
        if output.len() as u64 == OUTPUT_BYTES_MAX {
            return Err(failed(format!(
                "it prints {OUTPUT_BYTES_MAX} bytes and more"
            )));
        }
        let status = child
            .wait()
            .await
            .map_err(|error| failed(error.to_string()))?;
        group.0 = None;
        if status.success() {
            return Ok(output);
        }
        let reason = format!("login refused: program {program} ended with {status}");
        Err(Failure::new(FailureKind::AuthFailed, reason))
    }
}

/// The program and all that it started; they end when this is dropped before the program ended.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self
            .0
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = kill_process_group(pid, Signal::KILL)
        {
            tracing::debug!(%error, "the program of a login was gone already");
        }
    }
}

fn read_output(output: &str) -> Result<(String, Option<Duration>), Failure> {
    let output = output.trim();
    if !output.starts_with('{') {
        return match output.lines().next() {
            Some(token) => Ok((token.to_owned(), None)),
            None => Err(bad_answer("login: the program printed nothing")),
        };
    }
    let json: serde_json::Value = serde_json::from_str(output)
        .map_err(|_| bad_answer("login: the program printed neither a token nor JSON"))?;
    let token = json.get("token").and_then(serde_json::Value::as_str);
    let token = token.ok_or_else(|| bad_answer("login: no `token` in the program's JSON"))?;
    let expires_in = json.get("expires_in").and_then(serde_json::Value::as_f64);
    let expires = json.get("expires").and_then(serde_json::Value::as_str);
    let expires = expires.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    let seconds = expires_in.or(expires.map(|end| (end.unix_timestamp() - unix_seconds()) as f64));
    let life = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
    Ok((token.to_owned(), life))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_a_token_or_json() {
        for (output, expected) in [
            ("t1\n", Some(("t1", None))),
            (
                "{\"token\": \"t2\", \"expires_in\": 30}",
                Some(("t2", Some(30))),
            ),
            (
                "{\"token\": \"t3\", \"expires\": \"1970-01-01T00:00:00Z\"}",
                Some(("t3", Some(0))),
            ),
            ("", None),
            ("{\"tok\": 1}", None),
            ("{", None),
        ] {
            let read = read_output(output)
                .ok()
                .map(|(t, l)| (t, l.map(|l| l.as_secs())));
            assert_eq!(read, expected.map(|(t, l)| (t.to_owned(), l)), "{output}");
        }
    }
}

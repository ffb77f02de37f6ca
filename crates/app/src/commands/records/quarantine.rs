//! `landline records quarantine …`: what clients sent that is no valid record, and what becomes of it.

use clap::Subcommand;
use serde_json::Value;
use time::OffsetDateTime;

use super::hub::Hub;
use super::list::{self, Shown};
use super::output::Output;
use super::pages::{Cursor, PAGE_WITH_PAYLOADS, Pages};
use super::query::{self, Query, Times};
use super::table::{Column, flexible, whole};
use super::{Amount, CommandError, Outcome, Question, show, text};

/// Where submissions are.
const PATH: &str = "/v1/records/quarantine";

/// What the list shows of a submission.
const SUBMISSION: [Column; 7] = [
    whole("ID"),
    whole("AGE"),
    flexible("PROJECT", 6),
    flexible("REASON", 10),
    flexible("CLASSIFICATION", 14),
    flexible("MACHINE", 6),
    flexible("MESSAGE", 24),
];

/// `landline records quarantine …`
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List submissions, the newest first
    #[command(after_help = "Example: landline records quarantine ls --limit 10")]
    Ls(ListQuarantineArguments),
    /// Show a submission as it was sent, and why it is no record
    #[command(after_help = "Example: landline records quarantine show 4711")]
    Show(SubmissionArguments),
    /// Make records of submissions that are valid now, or that a rule put aside
    #[command(after_help = "Example: landline records quarantine release 4711 4712")]
    Release(SubmissionsArguments),
    /// Remove submissions for good
    #[command(after_help = "Example: landline records quarantine drop 4711 4712")]
    Drop(SubmissionsArguments),
}

/// Which submissions.
#[derive(Debug, clap::Args)]
pub(crate) struct ListQuarantineArguments {
    /// Only of this project
    #[arg(long)]
    project: Option<String>,
    #[command(flatten)]
    times: Times,
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    question: Question,
}

/// Which submission.
#[derive(Debug, clap::Args)]
pub(crate) struct SubmissionArguments {
    /// Its number, as `ls` shows it
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    id: i64,
    #[command(flatten)]
    question: Question,
}

/// Which of them.
#[derive(Debug, clap::Args)]
pub(crate) struct SubmissionsArguments {
    /// Their numbers, as `ls` shows them
    #[arg(required = true, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    ids: Vec<i64>,
    #[command(flatten)]
    question: Question,
}

impl QuarantineCommand {
    /// Which hub is asked.
    pub(super) fn question(&self) -> &Question {
        match self {
            Self::Ls(arguments) => &arguments.question,
            Self::Show(arguments) => &arguments.question,
            Self::Release(arguments) | Self::Drop(arguments) => &arguments.question,
        }
    }
}

/// Runs `landline records quarantine …`
pub(super) async fn quarantine(
    hub: &Hub,
    command: &QuarantineCommand,
    output: &mut Output,
) -> Outcome {
    match command {
        QuarantineCommand::Ls(arguments) => ls(hub, arguments, output).await,
        QuarantineCommand::Show(arguments) => show(hub, arguments, output).await,
        QuarantineCommand::Release(arguments) => {
            for id in &arguments.ids {
                let path = format!("{PATH}/{id}/release");
                let answer = hub.post(&path, None).await;
                let answer = answer.map_err(|error| remedied(error, *id))?;
                let record = text::field(&answer, "record");
                let done = format!("submission {id} is record {record}");
                say(&answer, &done, &arguments.question, output)?;
            }
            Ok(())
        }
        QuarantineCommand::Drop(arguments) => {
            for id in &arguments.ids {
                let answer = hub.delete(&format!("{PATH}/{id}")).await?;
                let done = format!("submission {id} is removed");
                say(&answer, &done, &arguments.question, output)?;
            }
            Ok(())
        }
    }
}

/// With what to do with a submission that can be no record.
fn remedied(error: CommandError, id: i64) -> CommandError {
    match error {
        CommandError::Refused { status: 409, text } => CommandError::Refused {
            status: 409,
            text: format!("{text}; `landline records quarantine drop {id}` removes it"),
        },
        error => error,
    }
}

/// Says what was done, before the next is tried: if that fails, people know how far it is.
fn say(answer: &Value, done: &str, question: &Question, output: &mut Output) -> Outcome {
    if question.json {
        output.json_line(answer)?;
    } else {
        output.line(done)?;
    }
    output.flush()
}

async fn ls(hub: &Hub, arguments: &ListQuarantineArguments, output: &mut Output) -> Outcome {
    let now = query::now();
    let query = Query::default().with_some("project", arguments.project.as_ref());
    let pages = Pages {
        hub,
        path: PATH,
        key: "submissions",
        query: arguments.times.add_to(query, now)?,
        cursor: Cursor::new(&arguments.amount, PAGE_WITH_PAYLOADS),
    };
    let shown = Shown {
        columns: &SUBMISSION,
        row: &|submission| row(submission, now),
        is_json: arguments.question.json,
        none: "nothing is in quarantine",
    };
    list::print(pages, &shown, output).await
}

fn row(submission: &Value, now: OffsetDateTime) -> Vec<String> {
    let field = |name: &str| text::field(submission, name);
    let sent = submission.get("fields").unwrap_or(&Value::Null);
    vec![
        field("id"),
        text::age(&field("received_at"), now),
        field("project"),
        field("reason"),
        text::classification(&text::field(sent, "classification")),
        text::machine(&text::field(sent, "machine_id")),
        field("message"),
    ]
}

async fn show(hub: &Hub, arguments: &SubmissionArguments, output: &mut Output) -> Outcome {
    let submission = hub.get(&format!("{PATH}/{}", arguments.id)).await?;
    if arguments.question.json {
        return output.json(&submission);
    }
    let field = |name: &str| text::field(&submission, name);
    let received = field("received_at");
    let age = text::age(&received, query::now());
    output.line(&show::named("id", &field("id")))?;
    output.line(&show::named(
        "received_at",
        &format!("{received} ({age} ago)"),
    ))?;
    for name in ["project", "reason", "message"] {
        output.line(&show::named(name, &field(name)))?;
    }
    output.line("\nFIELDS")?;
    let sent = submission.get("fields").and_then(Value::as_object);
    for (name, value) in sent.into_iter().flatten() {
        let value = text::harmless(&crate::commands::plain(value));
        output.line(&show::named(&text::harmless(name), &value))?;
    }
    let payload = submission.get("payload").and_then(Value::as_str);
    output.line("\nPAYLOAD")?;
    output.lines(&text::harmless_lines(payload.unwrap_or_default()))?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use time::macros::datetime;

    #[test]
    fn a_submission_is_a_row() {
        let submission = json!({
            "id": 9, "project": "clear-linux", "received_at": "2026-11-21T16:49:50Z",
            "reason": "severity", "message": "severity value is out of range",
            "fields": {"classification": "org.clearlinux/x/y", "machine_id": "web-1\u{1b}"},
        });
        let row = row(&submission, datetime!(2026-11-21 16:50:00 UTC));
        let expected = [
            "9",
            "10s",
            "clear-linux",
            "severity",
            "x/y",
            "web-1\u{fffd}",
            "severity value is out of range",
        ];
        assert_eq!(row, expected);
    }
}

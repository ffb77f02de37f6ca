//! `landline records frames …`: frames that are never guilty, and how far records are that are grouped
//! anew because of them.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::hub::Hub;
use super::output::Output;
use super::table::{self, Column, whole};
use super::{Outcome, Question, text};

const PATH: &str = "/v1/records/skipped-frames";
/// What the list shows of a frame; both have to be typed as they are, so nothing is cut.
const FRAME: [Column; 2] = [whole("FUNCTION"), whole("MODULE")];
/// Between two looks at how far records are.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Goes to the beginning of a terminal's line and clears it.
const CLEAR_LINE: &str = "\r\x1b[K";

/// `landline records frames …`
#[derive(Debug, Subcommand)]
pub(crate) enum FramesCommand {
    /// List frames that are never guilty, and say how far records are that are grouped anew
    #[command(after_help = "Example: landline records frames ls")]
    Ls(ListFramesArguments),
    /// Skip a frame from now on: what it is in is grouped by the others
    #[command(
        after_help = "Example: landline records frames add 'g_log()' /usr/lib64/libglib-2.0.so"
    )]
    Add(FrameArguments),
    /// Count a frame again
    #[command(
        after_help = "Example: landline records frames rm 'g_log()' /usr/lib64/libglib-2.0.so"
    )]
    Rm(FrameArguments),
}

/// How.
#[derive(Debug, clap::Args)]
pub(crate) struct ListFramesArguments {
    /// Wait until records are grouped anew
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    question: Question,
}

/// Which frame.
#[derive(Debug, clap::Args)]
pub(crate) struct FrameArguments {
    /// Its function, as payloads and `records groups show` write it
    function: String,
    /// Its module, as payloads write it, with its path
    module: String,
    /// Wait until records are grouped anew
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    question: Question,
}

impl FramesCommand {
    /// Which hub is asked.
    pub(super) fn question(&self) -> &Question {
        match self {
            Self::Ls(arguments) => &arguments.question,
            Self::Add(arguments) | Self::Rm(arguments) => &arguments.question,
        }
    }
}

/// Runs `landline records frames …`
pub(super) async fn frames(hub: &Hub, command: &FramesCommand, output: &mut Output) -> Outcome {
    let (key, arguments) = match command {
        FramesCommand::Ls(arguments) => return ls(hub, arguments, output).await,
        FramesCommand::Add(arguments) => ("add", arguments),
        FramesCommand::Rm(arguments) => ("remove", arguments),
    };
    let frame = json!({"function": arguments.function, "module": arguments.module});
    let before = hub.get(PATH).await?;
    let mut answer = hub.post(PATH, Some(&json!({key: [frame]}))).await?;
    if arguments.wait {
        answer = grouped(hub).await?;
    }
    if arguments.question.json {
        return output.json(&answer);
    }
    let was_there = all(&before).any(|found| *found == frame);
    let what = match (key, was_there) {
        ("add", false) => "is skipped from now on",
        ("add", true) => "was skipped already",
        (_, true) => "counts again",
        (_, false) => "was not skipped; `landline records frames ls` lists those that are",
    };
    let name = format!("{} in {}", arguments.function, arguments.module);
    output.line(&format!("{} {what}", text::harmless(&name)))?;
    output.line(&progress(&answer))?;
    output.flush()
}

async fn ls(hub: &Hub, arguments: &ListFramesArguments, output: &mut Output) -> Outcome {
    let answer = if arguments.wait {
        grouped(hub).await?
    } else {
        hub.get(PATH).await?
    };
    if arguments.question.json {
        return output.json(&answer);
    }
    let cells = |frame: &Value| vec![text::field(frame, "function"), text::field(frame, "module")];
    let rows: Vec<Vec<String>> = all(&answer).map(cells).collect();
    if rows.is_empty() {
        eprintln!("landline: no frame is skipped");
    } else {
        output.lines(&table::lines(&FRAME, &rows, None))?;
    }
    output.line(&progress(&answer))?;
    output.flush()
}

fn all(answer: &Value) -> impl Iterator<Item = &Value> {
    let frames = answer.get("frames").and_then(Value::as_array);
    frames.into_iter().flatten()
}

/// The list, once all records are grouped by it.
async fn grouped(hub: &Hub) -> Outcome<Value> {
    let is_shown = std::io::stderr().is_terminal();
    loop {
        let answer = hub.get(PATH).await?;
        let is_running = answer.pointer("/regroup/is_running");
        let is_running = is_running.and_then(Value::as_bool) == Some(true);
        if is_shown {
            eprint!("{CLEAR_LINE}");
        }
        if !is_running {
            return Ok(answer);
        }
        if is_shown {
            eprint!("{}", progress(&answer));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// How far records are that are grouped anew.
fn progress(answer: &Value) -> String {
    let number = |name: &str| {
        let found = answer.get("regroup").and_then(|regroup| regroup.get(name));
        found.and_then(Value::as_u64).unwrap_or(0)
    };
    let (reached, end) = (number("reached"), number("end"));
    let moved = text::number(number("moved"));
    if reached < end {
        let percent = u128::from(reached) * 100 / u128::from(end);
        format!("records are grouped anew: {percent} %, {moved} came to another group")
    } else if end == 0 {
        "records are grouped as they came".to_owned()
    } else {
        format!("records are grouped anew: all, {moved} came to another group")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told() {
        let check = |reached: u64, end: u64, moved: u64, expected: &str| {
            let answer = json!({"regroup": {"reached": reached, "end": end, "moved": moved}});
            assert_eq!(progress(&answer), expected);
        };
        check(0, 0, 0, "records are grouped as they came");
        let half = "records are grouped anew: 50 %, 1,200 came to another group";
        check(5_000, 10_000, 1_200, half);
        let whole = "records are grouped anew: all, 3 came to another group";
        check(10, 10, 3, whole);
    }
}

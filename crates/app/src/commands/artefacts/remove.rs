//! `landline artefacts rm`, `pin` and `unpin`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use serde_json::{Value, json};

use super::ls::number;
use super::store::Store;
use super::{CommandError, Outcome, PinArguments, RemoveArguments};
use crate::commands::asking::hub::Hub;
use crate::commands::asking::output::Output;
use crate::commands::asking::text;

/// The longest answer of a person.
const ANSWER_BYTES_MAX: u64 = 64;

/// `landline artefacts rm`
pub(super) async fn remove(
    store: &Store,
    arguments: &RemoveArguments,
    output: &mut Output,
) -> Outcome {
    match &arguments.what.name {
        None => run(store, arguments, output).await,
        Some(name) if name.ends_with('/') => Err(CommandError::wrong(
            "a folder is removed by removing its files, or with its run",
        )),
        Some(_) => file(store, arguments, output).await,
    }
}

async fn file(store: &Store, arguments: &RemoveArguments, output: &mut Output) -> Outcome {
    let key = arguments.what.key();
    // To remove what is not there would be no failure; to mistype is one.
    if store.find(&key).await?.is_none() {
        return Err(CommandError::wrong(format!("there is no file {key}")));
    }
    store.remove(&key).await?;
    if arguments.question.json {
        return output.json(&json!({"removed": 1}));
    }
    let key = text::harmless(&key);
    output.line(&format!("{key} is gone, with all its versions"))?;
    output.flush()
}

async fn run(store: &Store, arguments: &RemoveArguments, output: &mut Output) -> Outcome {
    let (hub, path) = (&store.hub, arguments.what.path_of_run());
    let run = hub.get(&path).await?;
    let name = text::harmless(&arguments.what.run());
    if !arguments.yes {
        let (files, bytes) = (number(&run, "files"), number(&run, "bytes"));
        let (files, bytes) = (text::number(files), text::bytes(bytes));
        ask(&format!(
            "remove the run {name} with its {files} files, {bytes}?"
        ))?;
    }
    let answer = hub.delete(&path).await.map_err(|error| match error {
        CommandError::Refused { status: 409, .. } => CommandError::Refused {
            status: 409,
            text: format!("{name} is pinned: `landline artefacts unpin {name}` first"),
        },
        error => error,
    })?;
    if arguments.question.json {
        return output.json(&answer);
    }
    let removed = text::number(number(&answer, "removed"));
    output.line(&format!("the run {name} is gone, with {removed} files"))?;
    output.flush()
}

/// Waits for a yes.
fn ask(question: &str) -> Outcome {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(CommandError::wrong(format!("{question} Say so with --yes")));
    }
    eprint!("landline: {question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::Read::take(input.lock(), ANSWER_BYTES_MAX).read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CommandError::wrong("nothing was removed")),
    }
}

/// `landline artefacts pin` and `unpin`
pub(super) async fn pin(
    hub: &Hub,
    arguments: &PinArguments,
    is_pinned: bool,
    output: &mut Output,
) -> Outcome {
    let path = arguments.run.path_of_run();
    let run = hub.patch(&path, &json!({"pinned": is_pinned})).await?;
    if arguments.question.json {
        return output.json(&run);
    }
    let name = text::harmless(&arguments.run.run());
    if is_pinned {
        output.line(&format!("{name} is pinned: it stays until it is unpinned"))?;
    } else {
        let expires = run.get("expires_at").and_then(Value::as_str);
        let until = match expires {
            Some(expires) => format!("it goes at {}", text::harmless(expires)),
            None => "its group keeps runs for ever".to_owned(),
        };
        output.line(&format!("{name} is not pinned: {until}"))?;
    }
    output.flush()
}

//! `landline artefacts get`: one file, or all of a run. What broke off goes on where it was.

mod fetch;
mod run;
mod target;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use serde_json::json;

use self::fetch::{Fetched, Fetching};
use super::store::{Store, persist};
use super::{CommandError, GetArguments, Outcome, interrupted};
use crate::commands::asking::output::Output;
use crate::commands::asking::progress::{Progress, Unit};
use crate::commands::asking::text;
use crate::environment::Environment;

/// Stands for standard output.
const STANDARD: &str = "-";

/// `landline artefacts get`
pub(super) async fn get(
    store: &Store,
    arguments: &GetArguments,
    (environment, output): (&Environment, &mut Output),
) -> Outcome {
    let work = async {
        let name = arguments.from.name.as_deref().unwrap_or_default();
        let is_several = name.is_empty() || name.ends_with('/');
        if let Some(archive) = &arguments.tar {
            if !name.is_empty() {
                return Err(CommandError::wrong("--tar is for a whole run"));
            }
            let path = if archive.as_os_str() == STANDARD {
                archive.clone()
            } else {
                environment.folder.join(archive)
            };
            return run::archive(store, &arguments.from, &path).await;
        }
        if is_several {
            return run::get(store, arguments, (environment, output)).await;
        }
        one(store, arguments, (environment, output)).await
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        stopped = interrupted() => Err(stopped),
    };
    outcome.map_err(|error| explain(error, arguments))
}

/// How to go on after a stop, or when the hub is away.
fn explain(error: CommandError, arguments: &GetArguments) -> CommandError {
    let why = match error {
        CommandError::Stopped => "stopped".to_owned(),
        CommandError::Away(why) => why,
        error => return error,
    };
    let is_standard = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new(STANDARD));
    let begins_anew = arguments.tar.is_some() || is_standard(&arguments.output);
    let next = if begins_anew {
        "the same command begins anew"
    } else {
        "the same command goes on where it was"
    };
    CommandError::Away(format!("{why}: {next}"))
}

/// Gets one file.
async fn one(
    store: &Store,
    arguments: &GetArguments,
    (environment, output): (&Environment, &mut Output),
) -> Outcome {
    let key = arguments.from.key();
    let find = async || store.find(&key).await;
    let known = persist(find, |why| eprintln!("landline: {why}; trying again")).await?;
    let known = known.ok_or_else(|| CommandError::wrong(format!("there is no file {key}")))?;
    let progress = RefCell::new(Progress::new(Unit::Bytes, known.bytes, 0));
    let fetching = Fetching {
        store,
        progress: &progress,
    };
    if arguments.output.as_deref() == Some(Path::new(STANDARD)) {
        let outcome = fetching.to_standard(&key, &known).await;
        progress.borrow_mut().clear();
        return outcome;
    }
    let base = key.rsplit('/').next().unwrap_or_default();
    let path = match &arguments.output {
        Some(path) => {
            let path = environment.folder.join(path);
            if path.is_dir() { path.join(base) } else { path }
        }
        None => environment.folder.join(base),
    };
    let fetched = fetching.to_file(&key, &known, &path).await;
    progress.borrow_mut().clear();
    tell(&key, &path, &fetched?, arguments.question.json, output)?;
    output.flush()
}

fn tell(key: &str, path: &Path, fetched: &Fetched, is_json: bool, output: &mut Output) -> Outcome {
    if is_json {
        return output.json_line(&json!({
            "key": key,
            "file": path,
            "bytes": fetched.bytes,
            "kept_bytes": fetched.kept_bytes,
            "is_checked": fetched.is_checked,
        }));
    }
    let kept = match fetched.kept_bytes {
        0 => String::new(),
        kept if kept == fetched.bytes => ", here already".to_owned(),
        kept => format!(", {} of it from before", text::bytes(kept)),
    };
    let unchecked = if fetched.is_checked {
        ""
    } else {
        " (without a checksum: it came in parts from another client)"
    };
    let path = text::harmless(&path.display().to_string());
    output.line(&format!(
        "{path}: {}{kept}{unchecked}",
        text::bytes(fetched.bytes)
    ))
}

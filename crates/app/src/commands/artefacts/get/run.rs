//! A whole run, or a folder of one: into a folder, several files at once, or as one archive.

use std::cell::RefCell;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::Method;
use wire::s3::key::{Key, percent_encode};

use super::fetch::{Fetched, Fetching};
use super::{STANDARD, tell};
use crate::commands::artefacts::address::Address;
use crate::commands::artefacts::store::{Listed, Store, persist};
use crate::commands::artefacts::{CommandError, GetArguments, Outcome};
use crate::commands::asking::hub::Call;
use crate::commands::asking::incoming::Incoming;
use crate::commands::asking::output::Output;
use crate::commands::asking::progress::{Progress, Unit};
use crate::commands::asking::sink::Sink;
use crate::environment::Environment;

/// Files that come at once.
const FILES_AT_ONCE: usize = 4;
/// Files of one run that are got.
const FILES_MAX: usize = 1_000_000;
/// How long an archive may give nothing.
const SILENCE_LIMIT: Duration = Duration::from_mins(1);

/// Gets all files of a run, or of a folder of it, into a folder.
pub(super) async fn get(
    store: &Store,
    arguments: &GetArguments,
    (environment, output): (&Environment, &mut Output),
) -> Outcome {
    if arguments.output.as_deref() == Some(Path::new(STANDARD)) {
        return Err(CommandError::wrong(
            "several files are no stream: say a folder, or `--tar -`",
        ));
    }
    let prefix = arguments.from.key();
    let files = list(store, &prefix).await?;
    if files.is_empty() {
        return Err(CommandError::wrong(format!(
            "there are no files in {prefix}"
        )));
    }
    let folder = arguments.output.clone();
    let folder = folder.or_else(|| arguments.from.run.as_ref().map(PathBuf::from));
    let folder = environment.folder.join(folder.unwrap_or_default());
    let all = files.iter().map(|file| file.bytes).sum();
    let progress = RefCell::new(Progress::new(Unit::Bytes, all, 0));
    let fetching = Fetching {
        store,
        progress: &progress,
    };
    let came = stream::iter(&files).map(|file| async {
        let path = place(&folder, &prefix, &file.key)?;
        let fetched = fetch(fetching, &file.key, &path).await?;
        Ok((&file.key, path, fetched))
    });
    let mut came = came.buffer_unordered(FILES_AT_ONCE);
    let mut missing = 0_usize;
    let mut count = 0_usize;
    while let Some(outcome) = came.next().await {
        progress.borrow_mut().clear();
        match outcome {
            Ok((key, path, Some(fetched))) => {
                count += 1;
                tell(key, &path, &fetched, arguments.question.json, output)?;
            }
            // Somebody has removed it since it was listed.
            Ok((_, _, None)) => {}
            Err(error @ (CommandError::Away(_) | CommandError::Write(_))) => return Err(error),
            Err(error) => {
                missing += 1;
                eprintln!("landline: {error}");
            }
        }
    }
    output.flush()?;
    if missing == 0 {
        return Ok(());
    }
    let all = count + missing;
    Err(CommandError::wrong(format!(
        "{missing} of {all} files are missing; the same command gets only these"
    )))
}

async fn fetch(fetching: Fetching<'_>, key: &str, path: &Path) -> Outcome<Option<Fetched>> {
    let find = async || fetching.store.find(key).await;
    let known = persist(find, |why| {
        fetching.progress.borrow_mut().clear();
        eprintln!("landline: {why}; trying again");
    });
    let Some(known) = known.await? else {
        return Ok(None);
    };
    if let Some(parent) = path.parent() {
        let made = std::fs::create_dir_all(parent);
        made.map_err(|error| CommandError::wrong(format!("{}: {error}", parent.display())))?;
    }
    fetching.to_file(key, &known, path).await.map(Some)
}

/// All files whose keys begin so. What ends with a slash is a folder, which is made by what is in it.
async fn list(store: &Store, prefix: &str) -> Outcome<Vec<Listed>> {
    let (mut files, mut token) = (Vec::new(), None);
    loop {
        let page = async || store.list(prefix, token.as_deref()).await;
        let page = persist(page, |why| eprintln!("landline: {why}; trying again"));
        let (page, next) = page.await?;
        files.extend(page.into_iter().filter(|file| !file.key.ends_with('/')));
        if files.len() > FILES_MAX {
            return Err(CommandError::wrong(format!(
                "{prefix} has more than {FILES_MAX} files: get its folders one by one, or use --tar"
            )));
        }
        match next {
            Some(next) if token.as_ref() != Some(&next) => token = Some(next),
            _ => return Ok(files),
        }
    }
}

/// Where a file goes: never out of the folder, whatever the hub calls it.
fn place(folder: &Path, prefix: &str, key: &str) -> Outcome<PathBuf> {
    let name = key.strip_prefix(prefix).unwrap_or_default();
    match Key::new(name) {
        Ok(name) if !name.as_str().ends_with('/') => Ok(folder.join(name.as_str())),
        _ => Err(CommandError::wrong(format!(
            "{key:?} is no name for a file here: it is left out"
        ))),
    }
}

/// Gets a run as one archive.
pub(super) async fn archive(store: &Store, from: &Address, path: &Path) -> Outcome {
    let is_standard = path == Path::new(STANDARD);
    let mut sink = if is_standard {
        Sink::standard()
    } else {
        let wrong = |error| CommandError::wrong(format!("{}: {error}", path.display()));
        Sink::file(path).map_err(wrong)?
    };
    let url = format!("/download/{}/", percent_encode(&from.run(), true));
    let answer = store.hub.call(&Call::new(Method::GET, &url)).await?;
    let mut incoming = Incoming::new(answer.into_body(), store.hub.name());
    while let Some(piece) = incoming.next(SILENCE_LIMIT).await? {
        sink.write_all(&piece)?;
    }
    Ok(sink.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let check = |key: &str, expected: Option<&str>| {
            let found = place(Path::new("/here"), "ci/7/", key).ok();
            assert_eq!(found.as_deref(), expected.map(Path::new), "{key:?}");
        };
        check("ci/7/a.tar", Some("/here/a.tar"));
        check("ci/7/logs/a b", Some("/here/logs/a b"));
        check("ci/7/...", Some("/here/..."));
        for wrong in [
            "ci/7/../x",
            "ci/7/..",
            "ci/7//etc/passwd",
            "/etc/passwd",
            "ci/7/a/../../x",
            "ci/7/a\\b",
            "ci/7/a\u{0}",
            "ci/7/logs/",
            "ci/7/",
            "ci/8/a",
        ] {
            check(wrong, None);
        }
    }
}

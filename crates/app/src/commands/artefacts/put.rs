//! `landline artefacts put`: small files at once, large ones in parts that go on where they were.

mod parts;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use wire::s3::key::Key;

use super::address::Address;
use super::check::md5_hex;
use super::store::{Hashed, Store, persist};
use super::{CommandError, Outcome, PutArguments, interrupted};
use crate::commands::asking::output::Output;
use crate::commands::asking::progress::{Progress, Unit};
use crate::commands::asking::text;
use crate::environment::Environment;

/// Files up to this size are one request.
const WHOLE_BYTES_MAX: u64 = 16 << 20;
/// Small files on their way at once.
const FILES_AT_ONCE: usize = 4;

/// A file that is to be put.
struct Local {
    path: PathBuf,
    key: String,
    bytes: u64,
    modified: Option<SystemTime>,
}

/// What has become of a file.
struct Put {
    etag: String,
    parts: u64,
    /// Bytes that the collector had from before.
    kept_bytes: u64,
}

/// What all of them share.
struct Sending<'a> {
    store: &'a Store,
    progress: RefCell<Progress>,
    resumes: bool,
}

/// `landline artefacts put`
pub(super) async fn put(
    store: &Store,
    arguments: &PutArguments,
    (environment, output): (&Environment, &mut Output),
) -> Outcome {
    let files = plan(arguments, environment)?;
    let all = files.iter().map(|file| file.bytes).sum();
    let sending = Sending {
        store,
        progress: RefCell::new(Progress::new(Unit::Bytes, all, 0)),
        resumes: !arguments.no_resume,
    };
    let outcome = tokio::select! {
        outcome = sending.put_all(&files, |file, put| {
            sending.progress.borrow_mut().clear();
            tell(file, put, arguments.question.json, output)
        }) => outcome,
        stopped = interrupted() => Err(stopped),
    };
    sending.progress.borrow_mut().clear();
    outcome.map_err(|error| explain(error, &files))?;
    output.flush()
}

/// A stop and a hub that is away can be made good by the same command.
fn explain(error: CommandError, files: &[Local]) -> CommandError {
    let why = match error {
        CommandError::Stopped => "stopped".to_owned(),
        CommandError::Away(why) => why,
        error => return error,
    };
    let is_large = files.iter().any(|file| file.bytes > WHOLE_BYTES_MAX);
    let next = if is_large {
        "the same command goes on where it was"
    } else {
        "the same command puts them again"
    };
    CommandError::Away(format!("{why}: {next}"))
}

/// The files and their keys; nothing is sent when one of them can't be.
fn plan(arguments: &PutArguments, environment: &Environment) -> Outcome<Vec<Local>> {
    let mut files = Vec::new();
    let mut keys = BTreeSet::new();
    for path in &arguments.files {
        let key = key_of(path, arguments)?;
        if !keys.insert(key.clone()) {
            return Err(CommandError::wrong(format!(
                "two of the files would be {key}: put them into different folders of the run"
            )));
        }
        let path = environment.folder.join(path);
        let wrong = |error| CommandError::wrong(format!("{}: {error}", path.display()));
        let about = path.metadata().map_err(wrong)?;
        if !about.is_file() {
            let path = path.display();
            return Err(CommandError::wrong(format!(
                "{path} is no plain file; name the files of a folder one by one: {path}/*"
            )));
        }
        files.push(Local {
            key,
            bytes: about.len(),
            modified: about.modified().ok(),
            path,
        });
    }
    Ok(files)
}

/// `group/run/name`: the name of the file, behind the folder; one file may get another name.
fn key_of(path: &Path, arguments: &PutArguments) -> Outcome<String> {
    let to: &Address = &arguments.to;
    let behind = to.name.as_deref().unwrap_or_default();
    let key = if behind.is_empty() || behind.ends_with('/') {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| {
            let path = path.display();
            CommandError::wrong(format!(
                "{path} has no name that is UTF-8: put it alone, as group/run/name"
            ))
        })?;
        format!("{}{name}", to.key())
    } else if arguments.files.len() > 1 {
        return Err(CommandError::wrong(format!(
            "several files need a folder: {}/",
            to.key()
        )));
    } else {
        to.key()
    };
    match Key::new(key) {
        Ok(key) => Ok(key.as_str().to_owned()),
        Err(error) => Err(CommandError::wrong(format!(
            "{} can't be kept under its name: {error}; put it alone, as group/run/name",
            path.display()
        ))),
    }
}

impl Sending<'_> {
    async fn put_all(
        &self,
        files: &[Local],
        mut tell: impl FnMut(&Local, &Put) -> Outcome,
    ) -> Outcome {
        let is_small = |file: &&Local| file.bytes <= WHOLE_BYTES_MAX;
        let small = stream::iter(files.iter().filter(is_small));
        let small = small.map(|file| async move {
            let put = self.put_whole(file).await;
            put.map(|put| (file, put))
        });
        let mut small = small.buffer_unordered(FILES_AT_ONCE);
        while let Some((file, put)) = small.try_next().await? {
            tell(file, &put)?;
        }
        for file in files.iter().filter(|file| !is_small(file)) {
            let put = parts::put(self, file).await?;
            tell(file, &put)?;
        }
        Ok(())
    }

    async fn put_whole(&self, file: &Local) -> Outcome<Put> {
        let body = read(file, 0, file.bytes).await?;
        let put = async || self.store.put(&file.key, body.clone()).await;
        let etag = persist(put, |why| self.tell_again(why)).await?;
        unchanged(file)?;
        self.progress.borrow_mut().add(file.bytes);
        Ok(Put {
            etag,
            parts: 1,
            kept_bytes: 0,
        })
    }

    fn tell_again(&self, why: &str) {
        self.progress.borrow_mut().clear();
        eprintln!("landline: {why}; trying again");
    }
}

/// Reads a piece of a file and hashes it, where it blocks nobody.
async fn read(file: &Local, start: u64, length: u64) -> Outcome<Hashed> {
    let path = file.path.clone();
    let work = move || {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        File::open(path)?.read_exact_at(&mut bytes, start)?;
        let (sha256, md5) = (wire::sigv4::sha256_hex(&bytes), md5_hex(&bytes));
        let bytes = Bytes::from(bytes);
        Ok(Hashed { bytes, sha256, md5 })
    };
    let read = tokio::task::spawn_blocking(work).await;
    let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    read.map_err(|error| CommandError::wrong(format!("{}: {error}", file.path.display())))
}

/// A file that is written while it is sent is not what anybody wants to keep.
fn unchanged(file: &Local) -> Outcome {
    let about = file.path.metadata().ok();
    let is_same = about
        .is_some_and(|about| about.len() == file.bytes && about.modified().ok() == file.modified);
    if is_same {
        return Ok(());
    }
    let path = file.path.display();
    Err(CommandError::wrong(format!(
        "{path} changed while it was sent: put it again when nobody writes it any more"
    )))
}

fn tell(file: &Local, put: &Put, is_json: bool, output: &mut Output) -> Outcome {
    if is_json {
        let line: Value = json!({
            "key": file.key,
            "bytes": file.bytes,
            "etag": put.etag,
            "parts": put.parts,
            "kept_bytes": put.kept_bytes,
        });
        return output.json_line(&line);
    }
    let (key, bytes) = (text::harmless(&file.key), text::bytes(file.bytes));
    let kept = match put.kept_bytes {
        0 => String::new(),
        kept => format!(", {} of it from before", text::bytes(kept)),
    };
    output.line(&format!("{key}: {bytes}{kept}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::artefacts::tests::parsed_put;

    #[test]
    fn keys_have_the_names_of_files() {
        let check = |to: &str, files: &[&str], expected: Option<&str>| {
            let arguments = parsed_put(files, to);
            let key = key_of(&arguments.files[0], &arguments).ok();
            assert_eq!(key.as_deref(), expected, "{files:?} {to}");
        };
        check("ci/7", &["/tmp/a.tar"], Some("ci/7/a.tar"));
        check("ci/7/", &["a.tar", "b.tar"], Some("ci/7/a.tar"));
        check("ci/7/logs/", &["x/a.tar"], Some("ci/7/logs/a.tar"));
        check("ci/7/b.tar", &["a.tar"], Some("ci/7/b.tar"));
        check("ci/7/b.tar", &["a.tar", "c.tar"], None);
        check("ci/7", &["back\\slash"], None);
        check("ci/7/slash", &["back\\slash"], Some("ci/7/slash"));
        check("ci/7", &["/"], None);
    }
}

//! Collects orphans in a folder or a bucket: what processes left behind that were killed, in `incoming`, and objects that no
//! table knows. One that is young may be about to be known: by another process, when one lives.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::client::chain;
use base::clock;
use base::supervise::{BoxError, Criticality, Restart, Scope, Service};
use bytes::Bytes;
use http::Method;
use rustix::fs::{FlockOperation, flock};
use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{State, StateError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use wire::s3::key::percent_encode;
use wire::s3::xml::{read_rows, read_text};

use super::bucket::{Bucket, Call};
use super::folder::{Folder, is_id};
use super::{ObjectError, Objects};

/// How old an object must be when a living process may be about to commit it.
const COMMIT_AGE: Duration = Duration::from_hours(1);
/// How old an upload in parts must be that nobody has completed.
const UPLOAD_AGE: Duration = Duration::from_hours(24);
/// How often it is looked after the first time.
const INTERVAL: Duration = Duration::from_hours(6);
/// Objects that are asked for in one statement.
const PAGE: usize = 500;
const TRY_AGAIN: Restart = Restart::OnFailure {
    first: Duration::from_secs(10),
    ceiling: Duration::from_mins(10),
};

/// Looks at the start and from time to time.
pub(crate) fn service(objects: &Objects, state: &State) -> Service {
    let (objects, state) = (objects.clone(), state.clone());
    let body = move |scope: Scope| {
        let (objects, state) = (objects.clone(), state.clone());
        async move {
            loop {
                let removed = match &objects {
                    Objects::Folder(folder) => sweep_folder(folder, &state, &scope).await?,
                    Objects::Bucket(bucket) => sweep_bucket(bucket, &state, &scope).await?,
                };
                if removed > 0 {
                    tracing::info!(objects = removed, "objects of nobody were removed");
                }
                tokio::select! {
                    () = tokio::time::sleep(INTERVAL) => {}
                    () = scope.stopping() => return Ok::<(), BoxError>(()),
                }
            }
        }
    };
    Service::restarting("artefacts.sweep", Criticality::Plain, TRY_AGAIN, body)
}

async fn sweep_folder(folder: &Folder, state: &State, scope: &Scope) -> Result<usize, BoxError> {
    let own = folder.clone();
    let others = tokio::task::spawn_blocking(move || collect_incoming(&own)).await??;
    // Between the last byte and the commit are seconds.
    let recent = clock::wall().checked_sub(COMMIT_AGE).unwrap_or(UNIX_EPOCH);
    let before = if others {
        recent
    } else {
        recent.max(folder.opened())
    };
    let mut removed = 0;
    for byte in 0..=u8::MAX {
        if scope.is_stopping() {
            break;
        }
        let place = folder.root().join("objects").join(wire::auth::hex(&[byte]));
        let old = tokio::task::spawn_blocking(move || older_than(&place, before)).await??;
        for page in old.chunks(PAGE) {
            let orphans = unknown(state, page).await?;
            removed += orphans.len();
            folder.remove(orphans).await;
        }
    }
    Ok(removed)
}

async fn sweep_bucket(bucket: &Bucket, state: &State, scope: &Scope) -> Result<usize, BoxError> {
    let before = clock::wall().checked_sub(COMMIT_AGE).unwrap_or(UNIX_EPOCH);
    let prefix = percent_encode(&bucket.prefix(), false);
    let mut token = String::new();
    let mut removed = 0;
    while !scope.is_stopping() {
        let continued = if token.is_empty() {
            String::new()
        } else {
            format!("continuation-token={}&", percent_encode(&token, false))
        };
        let query = format!("{continued}list-type=2&prefix={prefix}");
        let text = ask(bucket, &query).await?;
        let mut old = Vec::new();
        for row in read_rows(&text, "Contents", &["Key", "LastModified"])? {
            if let [key, modified] = row.as_slice()
                && is_before(modified, before)
            {
                let id = key.strip_prefix(&bucket.prefix()).unwrap_or_default();
                old.extend(is_id(id).then(|| id.to_owned()));
            }
        }
        for page in old.chunks(PAGE) {
            let orphans = unknown(state, page).await?;
            removed += orphans.len();
            bucket.remove(orphans).await;
        }
        match read_text(&text, "NextContinuationToken")? {
            Some(next) if !next.is_empty() => token = next,
            _ => break,
        }
    }
    give_up_uploads(bucket, &prefix).await?;
    Ok(removed)
}

/// Gives up what processes had on its way that ended a day ago or more.
async fn give_up_uploads(bucket: &Bucket, prefix: &str) -> Result<(), BoxError> {
    let before = clock::wall().checked_sub(UPLOAD_AGE).unwrap_or(UNIX_EPOCH);
    let text = ask(bucket, &format!("prefix={prefix}&uploads=")).await?;
    for row in read_rows(&text, "Upload", &["Key", "UploadId", "Initiated"])? {
        if let [key, upload, begun] = row.as_slice()
            && is_before(begun, before)
        {
            let call = Call {
                method: &Method::DELETE,
                key,
                query: &format!("uploadId={}", percent_encode(upload, false)),
                range: None,
                what: "an upload in the bucket can't be given up",
            };
            let response = bucket.send(call, Bytes::new()).await?;
            bucket.document(call, response).await?;
        }
    }
    Ok(())
}

async fn ask(bucket: &Bucket, query: &str) -> Result<Bytes, ObjectError> {
    let call = Call {
        method: &Method::GET,
        key: "",
        query,
        range: None,
        what: "the bucket can't be listed",
    };
    let response = bucket.send(call, Bytes::new()).await?;
    bucket.document(call, response).await
}

fn is_before(text: &str, before: SystemTime) -> bool {
    let time = OffsetDateTime::parse(text, &Rfc3339).map(SystemTime::from);
    time.is_ok_and(|time| time < before)
}

/// Removes what dead processes had on its way; whether others live.
fn collect_incoming(folder: &Folder) -> io::Result<bool> {
    let mut others = false;
    for entry in fs::read_dir(folder.root().join("incoming"))? {
        let path = entry?.path();
        if folder.is_own(&path) {
            continue;
        }
        match remove_dead(&path) {
            Ok(is_dead) => others |= !is_dead,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                others = true;
                tracing::warn!(error = chain(&error), path = %path.display(), "can't be collected");
            }
        }
    }
    Ok(others)
}

/// Whether nobody holds the lock; then the folder is gone afterwards.
fn remove_dead(path: &Path) -> io::Result<bool> {
    let lock = File::open(path)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => fs::remove_dir_all(path).map(|()| true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The ids of the objects in a folder that were written before.
fn older_than(place: &Path, before: SystemTime) -> io::Result<Vec<String>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(id) = name.to_str().filter(|name| is_id(name)) else {
            continue;
        };
        match entry.metadata().and_then(|metadata| metadata.modified()) {
            Ok(modified) if modified < before => ids.push(id.to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ids)
}

/// Those that no row names.
async fn unknown(state: &State, ids: &[String]) -> Result<Vec<String>, StateError> {
    let marks: Vec<String> = (1..=ids.len()).map(|n| format!("${n}")).collect();
    let marks = marks.join(", ");
    let sql = format!("SELECT id FROM artefact_objects WHERE id IN ({marks})");
    let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
    for id in ids {
        query = query.bind(id.clone());
    }
    let mut read = state.read().await?;
    let rows = query.fetch_all(&mut read).await?;
    let mut known = HashSet::new();
    for row in rows {
        let id: String = row.try_get(0)?;
        known.insert(id);
    }
    let missing = ids.iter().filter(|id| !known.contains(*id));
    Ok(missing.cloned().collect())
}

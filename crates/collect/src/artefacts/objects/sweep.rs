//! Collects orphans in a folder or a bucket: what processes left behind that were killed, in `incoming`, and objects that no
//! table knows. One that is young may be about to be known: by another process, when one lives.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base::client::chain;
use base::clock;
use base::supervise::{BoxError, Criticality, Restart, Scope, Service};
use bucket::Call;
use bytes::Bytes;
use http::Method;
use http::header::DATE;
use rustix::fs::{FlockOperation, flock};
use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{State, StateError};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use wire::s3::key::percent_encode;
use wire::s3::xml::{read_rows, read_text};

use super::bucket::Bucket;
use super::folder::{Folder, is_id};
use super::{ObjectError, Objects};
use crate::artefacts::catalogue::Catalogue;
use crate::artefacts::time as artefacts_time;

/// How old an object in a folder must be when a living process may be about to commit it.
const COMMIT_AGE: Duration = Duration::from_hours(1);
/// How old an object in a bucket must be, and an upload in parts that nobody has completed: nothing says
/// which processes live. Both by the clock of the store, whose answer says what time it is there.
const BUCKET_AGE: Duration = Duration::from_hours(24);
/// How often uploads in parts are looked for that have expired, at least and at most.
const EXPIRY_INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));
/// How often it is looked after the first time.
const INTERVAL: Duration = Duration::from_hours(6);
/// Objects that are asked for in one statement.
const PAGE: usize = 500;
const TRY_AGAIN: Restart = Restart::OnFailure {
    first: Duration::from_secs(10),
    ceiling: Duration::from_mins(10),
};

/// Looks at the start and from time to time: for orphans, and for uploads in parts that are older than
/// `uploads_expire`.
pub(crate) fn service(
    objects: &Objects,
    (state, catalogue): (&State, &Catalogue),
    uploads_expire: Duration,
) -> Service {
    let (objects, state, catalogue) = (objects.clone(), state.clone(), catalogue.clone());
    let body = move |scope: Scope| {
        let (objects, state, catalogue) = (objects.clone(), state.clone(), catalogue.clone());
        async move {
            let (least, most) = EXPIRY_INTERVALS;
            let interval = (uploads_expire / 4).clamp(least, most);
            let mut swept: Option<Instant> = None;
            loop {
                expire(&objects, &catalogue, uploads_expire).await?;
                let now = clock::now();
                if swept.is_none_or(|at| now.saturating_duration_since(at) >= INTERVAL) {
                    swept = Some(now);
                    sweep(&objects, &state, &scope).await?;
                }
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = scope.stopping() => return Ok::<(), BoxError>(()),
                }
            }
        }
    };
    Service::restarting("artefacts.sweep", Criticality::Plain, TRY_AGAIN, body)
}

/// Gives up uploads in parts that nobody has ended.
async fn expire(objects: &Objects, catalogue: &Catalogue, age: Duration) -> Result<(), StateError> {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    loop {
        let before = artefacts_time::now().saturating_sub(age);
        let (left, count) = catalogue.expire_uploads(before).await?;
        if count == 0 {
            return Ok(());
        }
        let parts = left.len();
        objects.remove(left).await;
        tracing::info!(
            uploads = count,
            parts,
            "uploads that nobody has ended were given up"
        );
    }
}

async fn sweep(objects: &Objects, state: &State, scope: &Scope) -> Result<(), BoxError> {
    let removed = match objects {
        Objects::Folder(folder) => sweep_folder(folder, state, scope).await?,
        Objects::Bucket(bucket) => sweep_bucket(bucket, state, scope).await?,
    };
    if removed > 0 {
        tracing::info!(objects = removed, "objects of nobody were removed");
    }
    Ok(())
}

async fn sweep_folder(folder: &Folder, state: &State, scope: &Scope) -> Result<usize, BoxError> {
    let own = folder.clone();
    let others = tokio::task::spawn_blocking(move || collect_incoming(&own)).await??;
    // Between the last byte and the commit are seconds.
    let own = folder.clone();
    let now = tokio::task::spawn_blocking(move || own.time()).await??;
    let recent = now.checked_sub(COMMIT_AGE).unwrap_or(UNIX_EPOCH);
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
        let (text, now) = ask(bucket, &query).await?;
        let mut old = Vec::new();
        for row in read_rows(&text, "Contents", &["Key", "LastModified"])? {
            if let [key, modified] = row.as_slice()
                && is_old(modified, now)
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
    let (text, now) = ask(bucket, &format!("prefix={prefix}&uploads=")).await?;
    for row in read_rows(&text, "Upload", &["Key", "UploadId", "Initiated"])? {
        if let [key, upload, begun] = row.as_slice()
            && is_old(begun, now)
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

/// A list, and what time it is where it was made.
async fn ask(bucket: &Bucket, query: &str) -> Result<(Bytes, SystemTime), ObjectError> {
    let call = Call {
        method: &Method::GET,
        key: "",
        query,
        range: None,
        what: "the bucket can't be listed",
    };
    let response = bucket.send(call, Bytes::new()).await?;
    let date = response.headers().get(DATE);
    let date = date.and_then(|date| OffsetDateTime::parse(date.to_str().ok()?, &Rfc2822).ok());
    let text = bucket.document(call, response).await?;
    let now = date.map(SystemTime::from);
    // By our own clock, which may be hours ahead, something young could be taken for old.
    let now = now.ok_or_else(|| ObjectError::Remote {
        what: call.what,
        reason: "the answer does not say what time it is there".to_owned(),
    });
    Ok((text, now?))
}

/// Whether something in the bucket is so old that no living process has it on its way.
fn is_old(text: &str, now: SystemTime) -> bool {
    let time = OffsetDateTime::parse(text, &Rfc3339).map(SystemTime::from);
    time.is_ok_and(|time| {
        let age = now.duration_since(time);
        age.is_ok_and(|age| age >= BUCKET_AGE)
    })
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
        match entry.metadata().map(|metadata| changed(&metadata)) {
            Ok(changed) if changed < before => ids.push(id.to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ids)
}

/// When a file was put where it is: a copy may be a further name of an old one.
fn changed(metadata: &Metadata) -> SystemTime {
    let seconds = u64::try_from(metadata.ctime()).unwrap_or(0);
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).unwrap_or(0);
    UNIX_EPOCH + Duration::new(seconds, nanoseconds)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_by_the_clock_of_the_store() {
        let now = OffsetDateTime::parse("Sat, 21 Nov 2026 16:50:00 GMT", &Rfc2822).unwrap();
        let now = SystemTime::from(now);
        assert!(is_old("2026-11-20T16:50:00.000Z", now));
        for young in [
            "2026-11-20T16:50:00.001Z",
            "2026-11-21T16:49:00Z",
            "2026-11-23T16:50:00Z",
            "yesterday",
            "",
        ] {
            assert!(!is_old(young, now), "{young}");
        }
    }

    #[test]
    fn a_further_name_is_young() {
        let folder = tempfile::tempdir().unwrap();
        let opened = Folder::open(folder.path()).unwrap();
        let id = super::super::new_id().unwrap();
        let path = opened.object(&id);
        let file = File::create(&path).unwrap();
        let day = Duration::from_hours(24);
        file.set_modified(opened.time().unwrap() - 30 * day)
            .unwrap();
        let place = path.parent().unwrap();
        let before = opened.time().unwrap() - day;
        assert!(older_than(place, before).unwrap().is_empty());
        let after = opened.time().unwrap() + day;
        assert_eq!(older_than(place, after).unwrap(), [id]);
    }
}

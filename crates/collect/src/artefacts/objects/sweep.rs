//! Collects orphans: what processes left behind that were killed, in `incoming`, and objects that no
//! table knows. One that is young may be about to be known: by another process, when one lives.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::client::chain;
use base::clock;
use base::supervise::{BoxError, Criticality, Restart, Scope, Service};
use rustix::fs::{FlockOperation, flock};
use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{State, StateError};

use super::folder::{Folder, is_id};

/// How old an object must be when a living process may be about to commit it.
const COMMIT_AGE: Duration = Duration::from_hours(1);
/// How often it is looked after the first time.
const INTERVAL: Duration = Duration::from_hours(6);
/// Objects that are asked for in one statement.
const PAGE: usize = 500;
const TRY_AGAIN: Restart = Restart::OnFailure {
    first: Duration::from_secs(10),
    ceiling: Duration::from_mins(10),
};

/// Looks at the start and from time to time.
pub(crate) fn service(folder: &Folder, state: &State) -> Service {
    let (folder, state) = (folder.clone(), state.clone());
    let body = move |scope: Scope| {
        let (folder, state) = (folder.clone(), state.clone());
        async move {
            loop {
                sweep(&folder, &state, &scope).await?;
                tokio::select! {
                    () = tokio::time::sleep(INTERVAL) => {}
                    () = scope.stopping() => return Ok::<(), BoxError>(()),
                }
            }
        }
    };
    Service::restarting("artefacts.sweep", Criticality::Plain, TRY_AGAIN, body)
}

async fn sweep(folder: &Folder, state: &State, scope: &Scope) -> Result<(), BoxError> {
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
    if removed > 0 {
        tracing::info!(
            objects = removed,
            "objects that belonged to nothing were removed"
        );
    }
    Ok(())
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

//! Removal of files, of whole runs by steps, and of groups that have become empty. What is pinned stays.
//! A step is one transaction; what it leaves without an owner it gives back, and if the process dies
//! before that is removed, the sweep of the objects finds it.

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{StateError, Write};
use wire::s3::key::Key;

use super::uploads::take_upload;
use super::{Catalogue, add_bytes, list, show_version, text};
use crate::artefacts::error::Trouble;

/// Versions of a file that are removed in one transaction.
const VERSIONS_MAX: i64 = 1_000;
/// Versions of a run that one step removes.
const STEP_VERSIONS: i64 = 200;
/// Objects after which a step ends.
const STEP_OBJECTS: usize = 2_000;
/// Uploads of a run that are looked at in one step.
const STEP_UPLOADS: i64 = 1_000;

/// What a run is removed for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Removal {
    /// Only when nothing has come since, in Unix milliseconds.
    pub(crate) changed_before: Option<i64>,
    /// The newest version that goes: what comes meanwhile stays.
    pub(crate) newest: i64,
}

/// What a step of a removal did.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// To be removed now.
    pub(crate) objects: Vec<String>,
    /// Files that are gone.
    pub(crate) files: u64,
    /// Whether it was the last: nothing is left of the run, or it stays.
    pub(crate) is_last: bool,
    /// Whether the run stays: it is pinned, or something came.
    pub(crate) is_kept: bool,
}

/// A run that nobody else changes to the end of the transaction.
#[derive(Debug)]
struct Locked {
    group: i64,
    run: i64,
    /// What its keys begin with.
    prefix: String,
    is_nameless: bool,
    is_pinned: bool,
    changed_at: i64,
}

impl Catalogue {
    /// Removes a file with all its versions, or one version of it; the objects that it leaves. Files of
    /// what is pinned are refused.
    pub(crate) async fn remove(
        &self,
        key: &Key,
        version: Option<i64>,
    ) -> Result<Vec<String>, Trouble> {
        let bytes = || key.as_str().as_bytes().to_vec();
        let mut read = self.read().await?;
        let sql = "SELECT run_id FROM artefact_files WHERE key = $1";
        let row = sqlx::query(sql).bind(bytes());
        let Some(row) = row.fetch_optional(&mut read).await? else {
            return Ok(Vec::new());
        };
        let run: i64 = row.try_get(0)?;
        drop(read);
        let mut write = self.state.write().await?;
        // In the order in which versions come, and kept from others to the end: a version that came
        // while the file goes would go with it.
        let Some(locked) = lock_run(&mut write, run).await? else {
            return Ok(Vec::new());
        };
        if locked.is_pinned {
            return Err(Trouble::Pinned(locked.prefix));
        }
        let sql = "UPDATE artefact_files SET version = version WHERE key = $1 RETURNING id, run_id";
        let row = sqlx::query(sql).bind(bytes());
        let Some(row) = row.fetch_optional(&mut write).await? else {
            return Ok(Vec::new());
        };
        let (file, run): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if run != locked.run {
            // Removed and sent again meanwhile: that is another file.
            return Ok(Vec::new());
        }
        let mut objects = Vec::new();
        let mut freed = 0_i64;
        loop {
            let sql = "SELECT id, bytes FROM artefact_versions WHERE file_id = $1 \
                 AND id = COALESCE($2, id) ORDER BY id LIMIT $3";
            let rows = sqlx::query(sql).bind(file).bind(version).bind(VERSIONS_MAX);
            let rows = rows.fetch_all(&mut write).await?;
            for row in &rows {
                let id: i64 = row.try_get(0)?;
                freed += row.try_get::<i64, _>(1)?;
                objects.extend(take_objects(&mut write, id).await?);
            }
            if version.is_some() || rows.len() < usize::try_from(VERSIONS_MAX).unwrap_or(0) {
                break;
            }
        }
        settle_file(&mut write, (file, run)).await?;
        add_bytes(&mut write, run, -freed).await?;
        write.commit().await?;
        Ok(objects)
    }

    /// The newest version of all files.
    pub(crate) async fn newest_version(&self) -> Result<i64, StateError> {
        let mut read = self.read().await?;
        let sql = "SELECT COALESCE(MAX(id), 0) FROM artefact_versions";
        let row = sqlx::query(sql).fetch_one(&mut read).await?;
        Ok(row.try_get(0)?)
    }

    /// Removes some versions of a run, the oldest of each file first, so that a file shows its newest
    /// to the end; without any the uploads under way, and at last the run.
    pub(crate) async fn remove_step(&self, run: i64, removal: Removal) -> Result<Step, StateError> {
        let mut write = self.state.write().await?;
        let mut step = Step {
            is_last: true,
            ..Step::default()
        };
        let Some(locked) = lock_run(&mut write, run).await? else {
            return Ok(step);
        };
        let has_changed = |before: i64| locked.changed_at >= before;
        if locked.is_pinned || removal.changed_before.is_some_and(has_changed) {
            step.is_kept = true;
            return Ok(step);
        }
        let sql = "SELECT v.id, v.file_id, v.bytes FROM artefact_files f \
             JOIN artefact_versions v ON v.file_id = f.id WHERE f.run_id = $1 AND v.id <= $2 \
             ORDER BY f.key, v.id LIMIT $3";
        let rows = sqlx::query(sql)
            .bind(run)
            .bind(removal.newest)
            .bind(STEP_VERSIONS);
        let rows = rows.fetch_all(&mut write).await?;
        if rows.is_empty() {
            step.is_last = !take_one_upload(&mut write, &locked, &mut step).await?;
            // Something may have come meanwhile.
            step.is_kept = step.is_last && !finish(&mut write, &locked).await?;
        } else {
            take_versions(&mut write, run, (&rows, &mut step)).await?;
            step.is_last = false;
        }
        write.commit().await?;
        Ok(step)
    }

    /// Removes a group without runs; with what was set for it only if `is_wanted`.
    pub(crate) async fn forget_group(&self, group: i64, is_wanted: bool) -> Result<(), StateError> {
        let mut write = self.state.write().await?;
        // A run that comes waits for it, so the next statement sees all of them.
        let sql = "UPDATE artefact_groups SET created_at = created_at WHERE id = $1";
        sqlx::query(sql).bind(group).execute(&mut write).await?;
        let sql = "DELETE FROM artefact_groups WHERE id = $1 AND bytes = 0 AND pinned = 0 \
             AND ($2 = 1 OR (retention = '' AND quota = '')) \
             AND NOT EXISTS (SELECT 1 FROM artefact_runs WHERE group_id = $1)";
        let query = sqlx::query(sql).bind(group).bind(i64::from(is_wanted));
        query.execute(&mut write).await?;
        write.commit().await
    }
}

/// Keeps others from a run and its group to the end of the transaction, in the order of
/// [`super::ensure_run`]; nothing when it is not there.
async fn lock_run(write: &mut Write, run: i64) -> Result<Option<Locked>, StateError> {
    let sql = "SELECT group_id FROM artefact_runs WHERE id = $1";
    let row = sqlx::query(sql).bind(run);
    let Some(row) = row.fetch_optional(&mut *write).await? else {
        return Ok(None);
    };
    let group: i64 = row.try_get(0)?;
    let sql = "UPDATE artefact_groups SET created_at = created_at WHERE id = $1 \
         RETURNING name, pinned";
    let row = sqlx::query(sql).bind(group);
    let Some(group_row) = row.fetch_optional(&mut *write).await? else {
        return Ok(None);
    };
    let sql = "UPDATE artefact_runs SET created_at = created_at WHERE id = $1 \
         RETURNING name, pinned, changed_at";
    let row = sqlx::query(sql).bind(run);
    let Some(row) = row.fetch_optional(write).await? else {
        return Ok(None);
    };
    let is_pinned = |row: &AnyRow| Ok::<_, sqlx::Error>(row.try_get::<i64, _>(1)? != 0);
    let name = text(&row, 0)?;
    Ok(Some(Locked {
        group,
        run,
        prefix: format!("{}{name}", text(&group_row, 0)?),
        is_nameless: name.is_empty(),
        is_pinned: is_pinned(&group_row)? || is_pinned(&row)?,
        changed_at: row.try_get(2)?,
    }))
}

/// Removes versions with their objects, and the files that have no other.
async fn take_versions(
    write: &mut Write,
    run: i64,
    (rows, step): (&[AnyRow], &mut Step),
) -> Result<(), StateError> {
    let mut freed = 0_i64;
    let mut files: Vec<i64> = Vec::new();
    for row in rows {
        let (version, file): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        freed = freed.saturating_add(row.try_get(2)?);
        step.objects.extend(take_objects(write, version).await?);
        if files.last() != Some(&file) {
            files.push(file);
        }
        if step.objects.len() >= STEP_OBJECTS {
            break;
        }
    }
    let marks = write.marks(1, files.len());
    let sql = format!(
        "DELETE FROM artefact_files WHERE id IN ({marks}) AND NOT EXISTS \
         (SELECT 1 FROM artefact_versions v WHERE v.file_id = artefact_files.id)"
    );
    let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
    for file in &files {
        query = query.bind(*file);
    }
    step.files = query.execute(&mut *write).await?.rows_affected();
    let sql = "UPDATE artefact_runs SET files = files - $2 WHERE id = $1";
    let gone = i64::try_from(step.files).unwrap_or(0);
    let query = sqlx::query(sql).bind(run).bind(gone);
    query.execute(&mut *write).await?;
    add_bytes(write, run, -freed).await
}

/// Gives up one of the uploads under way in a run; whether there was one.
async fn take_one_upload(
    write: &mut Write,
    locked: &Locked,
    step: &mut Step,
) -> Result<bool, StateError> {
    let sql = "SELECT id, key FROM artefact_uploads WHERE key >= $1 AND key < $2 \
         ORDER BY key LIMIT $3";
    let rows = sqlx::query(sql)
        .bind(locked.prefix.as_bytes().to_vec())
        .bind(list::end_of(locked.prefix.as_bytes()))
        .bind(STEP_UPLOADS);
    for row in rows.fetch_all(&mut *write).await? {
        let key = text(&row, 1)?;
        // What is directly in a group is beside the other runs of that.
        let rest = key.strip_prefix(&locked.prefix).unwrap_or_default();
        if locked.is_nameless && rest.trim_end_matches('/').contains('/') {
            continue;
        }
        let id: String = row.try_get(0)?;
        let (left, freed) = take_upload(write, &id).await?;
        let sql = "UPDATE artefact_groups SET bytes = bytes - $2 WHERE id = $1";
        let query = sqlx::query(sql).bind(locked.group).bind(freed);
        query.execute(&mut *write).await?;
        step.objects = left;
        return Ok(true);
    }
    Ok(false)
}

/// Removes a run that has no files any more; whether it has none.
async fn finish(write: &mut Write, locked: &Locked) -> Result<bool, StateError> {
    let sql = "SELECT 1 FROM artefact_files WHERE run_id = $1 LIMIT 1";
    let row = sqlx::query(sql).bind(locked.run);
    if row.fetch_optional(&mut *write).await?.is_some() {
        return Ok(false);
    }
    for sql in [
        "DELETE FROM artefact_fields WHERE run_id = $1",
        "DELETE FROM artefact_scenarios WHERE run_id = $1",
        "DELETE FROM artefact_runs WHERE id = $1",
    ] {
        let query = sqlx::query(sql).bind(locked.run);
        query.execute(&mut *write).await?;
    }
    Ok(true)
}

/// Removes a version with the rows of its objects, whose names it gives.
async fn take_objects(write: &mut Write, version: i64) -> Result<Vec<String>, StateError> {
    for sql in [
        "DELETE FROM artefact_versions WHERE id = $1",
        "DELETE FROM artefact_telemetry WHERE version = $1",
    ] {
        sqlx::query(sql).bind(version).execute(&mut *write).await?;
    }
    let sql = "DELETE FROM artefact_objects WHERE version = $1 RETURNING id";
    let rows = sqlx::query(sql).bind(version).fetch_all(write).await?;
    let ids = rows.iter().map(|row| row.try_get(0));
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Has a file show its newest version, or be gone without one.
async fn settle_file(write: &mut Write, (file, run): (i64, i64)) -> Result<(), StateError> {
    let sql = "SELECT id, bytes, etag, created_at FROM artefact_versions WHERE file_id = $1 \
         ORDER BY id DESC LIMIT 1";
    let newest = sqlx::query(sql).bind(file);
    if let Some(row) = newest.fetch_optional(&mut *write).await? {
        return show_version(write, file, &row).await;
    }
    let sql = "DELETE FROM artefact_files WHERE id = $1";
    sqlx::query(sql).bind(file).execute(&mut *write).await?;
    let sql = "UPDATE artefact_runs SET files = files - 1 WHERE id = $1";
    sqlx::query(sql).bind(run).execute(&mut *write).await?;
    Ok(())
}

//! What the tables know of artefacts: runs, files and their versions. Bytes are elsewhere; what an
//! operation leaves without an owner it gives back, to be removed after the commit.

mod files;
mod groups;
mod list;
mod recovery;
mod removal;
mod runs;
mod search;
mod telemetry;
#[cfg(test)]
mod tests;
mod uploads;

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{Read, State, StateError, Write};
use wire::s3::key::Key;
use wire::s3::xml::Object;

pub(crate) use self::files::{FileEntry, FileVersion, Listed};
pub(crate) use self::groups::{Group, GroupChange, GroupRow};
pub(crate) use self::list::{Page, Shown, Window};
pub(crate) use self::recovery::{Recovered, RecoverySearch, Scenario};
pub(crate) use self::removal::Removal;
pub(crate) use self::runs::{RunState, Seen};
pub(crate) use self::search::{Run, Search};
pub(crate) use self::telemetry::{Facts, Field};
pub(crate) use self::uploads::{Completed, NewPart, Upload};
use super::objects::Segment;
use super::settings::GroupSettings;
use super::time;

/// Objects of one version that are read at once: as many as an upload has parts.
const SEGMENTS_MAX: i64 = 10_000;
/// How often as many are read in search of the parts of a file: names may begin as theirs do and be none.
const SCANS_MAX: usize = 20;

/// What is known of what is kept; clones share the state.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue {
    state: State,
}

/// A version that comes.
#[derive(Debug, Clone)]
pub(crate) struct NewVersion<'a> {
    pub(crate) created_by: &'a str,
    pub(crate) bytes: u64,
    pub(crate) etag: String,
    pub(crate) sha256: String,
    /// `algorithm:value`, or empty.
    pub(crate) checksum: String,
    pub(crate) content_type: String,
    /// Headers to be given back, as a JSON object.
    pub(crate) headers: String,
}

/// What a file has to be for a version of it to be taken. It is looked at when that is committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    #[default]
    Any,
    /// It is not there yet.
    Absent,
    /// It is there.
    Present,
    /// Its newest version has one of these tags.
    Tagged(Vec<String>),
}

impl Condition {
    /// Whether it holds for a file whose newest version has this tag.
    pub(crate) fn holds(&self, etag: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => etag.is_none(),
            Self::Present => etag.is_some(),
            Self::Tagged(tags) => etag.is_some_and(|etag| tags.iter().any(|tag| tag == etag)),
        }
    }
}

/// A version that is there.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) id: i64,
    /// When it came, in Unix milliseconds.
    pub(crate) modified: i64,
    pub(crate) bytes: u64,
    pub(crate) etag: String,
    pub(crate) sha256: String,
    pub(crate) checksum: String,
    pub(crate) content_type: String,
    pub(crate) headers: String,
    pub(crate) segments: Vec<Segment>,
}

/// How much is kept, versions and parts included, in bytes, and what is set for the group.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) group: u64,
    pub(crate) total: u64,
    pub(crate) settings: GroupSettings,
}

/// A piece of a file.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) object: Object,
    pub(crate) segment: Segment,
}

/// A run, with the numbers of its rows.
#[derive(Debug, Clone, Copy)]
struct RunRow {
    group: i64,
    run: i64,
}

impl Catalogue {
    pub(crate) fn new(state: &State) -> Self {
        Self {
            state: state.clone(),
        }
    }

    /// The number that ties the tables to the folder of the objects, when there is one.
    pub(crate) async fn tie(&self) -> Result<Option<String>, StateError> {
        let mut read = self.state.read().await?;
        let row = sqlx::query("SELECT tie FROM artefact_store WHERE id = 1");
        let row = row.fetch_optional(&mut read).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Sets it, unless another process was first; the one that holds.
    pub(crate) async fn set_tie(&self, tie: &str) -> Result<Option<String>, StateError> {
        let sql = "INSERT INTO artefact_store (id, tie, created_at) VALUES (1, $1, $2) \
             ON CONFLICT (id) DO NOTHING";
        let mut write = self.state.write().await?;
        let query = sqlx::query(sql).bind(tie).bind(time::now());
        query.execute(&mut write).await?;
        write.commit().await?;
        self.tie().await
    }

    /// Whether no object is known.
    pub(crate) async fn is_empty(&self) -> Result<bool, StateError> {
        let mut read = self.state.read().await?;
        let row = sqlx::query("SELECT 1 FROM artefact_objects LIMIT 1");
        Ok(row.fetch_optional(&mut read).await?.is_none())
    }

    /// Makes the run of a key, if it is not there.
    pub(crate) async fn begin_run(&self, key: &Key) -> Result<(), StateError> {
        let parts = key.parts();
        let sql = "SELECT 1 FROM artefact_runs JOIN artefact_groups ON artefact_groups.id = \
             artefact_runs.group_id WHERE artefact_groups.name = $1 AND artefact_runs.name = $2";
        let mut read = self.state.read().await?;
        let found = sqlx::query(sql)
            .bind(folder_name(parts.group))
            .bind(folder_name(parts.run));
        if found.fetch_optional(&mut read).await?.is_some() {
            return Ok(());
        }
        drop(read);
        let mut write = self.state.write().await?;
        ensure_run(&mut write, key).await?;
        write.commit().await
    }

    /// How much is kept in all groups, and in the one of a key.
    pub(crate) async fn usage(&self, key: &Key) -> Result<Usage, StateError> {
        let sql = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT), \
             CAST(COALESCE(SUM(CASE WHEN name = $1 THEN bytes ELSE 0 END), 0) AS BIGINT), \
             COALESCE(MAX(CASE WHEN name = $1 THEN retention ELSE '' END), ''), \
             COALESCE(MAX(CASE WHEN name = $1 THEN quota ELSE '' END), '') \
             FROM artefact_groups";
        let mut read = self.state.read().await?;
        let row = sqlx::query(sql).bind(folder_name(key.parts().group));
        let row = row.fetch_one(&mut read).await?;
        let (retention, quota): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        Ok(Usage {
            total: size(&row, 0)?,
            group: size(&row, 1)?,
            settings: GroupSettings::of(&retention, &quota),
        })
    }

    /// Keeps objects, one behind the other, as the newest version of a file; the number of the version, or
    /// nothing when the condition does not hold.
    pub(crate) async fn record(
        &self,
        (key, condition): (&Key, &Condition),
        new: &NewVersion<'_>,
        objects: &[Segment],
    ) -> Result<Option<i64>, StateError> {
        let mut write = self.state.write().await?;
        if !fits(&mut write, key, condition).await? {
            return Ok(None);
        }
        let version = insert_version(&mut write, key, new).await?;
        let mut part = new.clone();
        for (position, segment) in (1..).zip(objects) {
            part.bytes = segment.bytes;
            insert_object(&mut write, &segment.object, (version, "", position), &part).await?;
        }
        write.commit().await?;
        Ok(Some(version))
    }

    /// Sets the headers of a version, if they are still those that were seen; whether they were.
    pub(crate) async fn replace_headers(
        &self,
        version: i64,
        (seen, new): (&str, &str),
    ) -> Result<bool, StateError> {
        let sql = "UPDATE artefact_versions SET headers = $3 WHERE id = $1 AND headers = $2";
        let mut write = self.state.write().await?;
        let done = sqlx::query(sql)
            .bind(version)
            .bind(seen.to_owned())
            .bind(new.to_owned())
            .execute(&mut write)
            .await?;
        write.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// When the store was made, in Unix milliseconds.
    pub(crate) async fn created_at(&self) -> Result<i64, StateError> {
        let mut read = self.state.read().await?;
        let row = sqlx::query("SELECT created_at FROM artefact_store WHERE id = 1");
        let row = row.fetch_optional(&mut read).await?;
        Ok(row.map_or(Ok(0), |row| row.try_get(0))?)
    }

    /// A version of a file: the newest, or the one of this number.
    pub(crate) async fn find(
        &self,
        key: &Key,
        version: Option<i64>,
    ) -> Result<Option<Version>, StateError> {
        let mut read = self.state.read().await?;
        let sql = "SELECT v.id, v.created_at, v.bytes, v.etag, v.sha256, v.checksum, \
             v.content_type, v.headers FROM artefact_files f JOIN artefact_versions v \
             ON v.file_id = f.id WHERE f.key = $1 AND v.id = COALESCE($2, f.version)";
        let row = sqlx::query(sql)
            .bind(key.as_str().as_bytes().to_vec())
            .bind(version);
        let Some(row) = row.fetch_optional(&mut read).await? else {
            return Ok(None);
        };
        let id = row.try_get(0)?;
        Ok(Some(Version {
            id,
            modified: row.try_get(1)?,
            bytes: size(&row, 2)?,
            etag: row.try_get(3)?,
            sha256: row.try_get(4)?,
            checksum: row.try_get(5)?,
            content_type: row.try_get(6)?,
            headers: row.try_get(7)?,
            segments: segments(&mut read, id).await?,
        }))
    }

    /// Whether one of these keys is a file.
    pub(crate) async fn has_any(&self, keys: &[String]) -> Result<bool, StateError> {
        let marks: Vec<String> = (1..=keys.len()).map(|n| format!("${n}")).collect();
        let marks = marks.join(", ");
        let sql = format!("SELECT 1 FROM artefact_files WHERE key IN ({marks}) LIMIT 1");
        let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
        for key in keys {
            query = query.bind(key.as_bytes().to_vec());
        }
        let mut read = self.read().await?;
        Ok(query.fetch_optional(&mut read).await?.is_some())
    }

    /// The objects of the newest versions of the files whose keys are within `range`, its end left out, and
    /// `wanted`, in their order, with what is shown of the files; nothing when there are more than are
    /// read at once.
    pub(crate) async fn current_segments(
        &self,
        range: (&[u8], &[u8]),
        wanted: impl Fn(&str) -> bool + Send + Sync,
    ) -> Result<Option<Vec<Part>>, StateError> {
        let sql = "SELECT f.key, f.modified, f.etag, f.bytes, o.id, o.bytes, o.position \
             FROM artefact_files f JOIN artefact_objects o ON o.version = f.version \
             WHERE f.key >= $1 AND f.key < $2 AND (f.key > $1 OR o.position > $3) \
             ORDER BY f.key, o.position LIMIT $4";
        let mut read = self.read().await?;
        let (mut first, mut position) = (range.0.to_vec(), -1_i64);
        let mut parts = Vec::new();
        for _ in 0..SCANS_MAX {
            let rows = sqlx::query(sql)
                .bind(first.clone())
                .bind(range.1.to_vec())
                .bind(position)
                .bind(SEGMENTS_MAX);
            let rows = rows.fetch_all(&mut read).await?;
            for row in &rows {
                let key = text(row, 0)?;
                (first, position) = (key.as_bytes().to_vec(), row.try_get(6)?);
                if wanted(&key) {
                    parts.push(part_of(row, key)?);
                }
            }
            let chunk = usize::try_from(SEGMENTS_MAX).unwrap_or(usize::MAX);
            if parts.len() > chunk {
                return Ok(None);
            }
            if rows.len() < chunk {
                return Ok(Some(parts));
            }
        }
        Ok(None)
    }

    async fn read(&self) -> Result<Read, StateError> {
        self.state.read().await
    }
}

fn part_of(row: &AnyRow, key: String) -> Result<Part, StateError> {
    Ok(Part {
        object: Object {
            key,
            modified: row.try_get(1)?,
            etag: row.try_get(2)?,
            size: size(row, 3)?,
            version: None,
        },
        segment: Segment {
            object: row.try_get(4)?,
            bytes: size(row, 5)?,
        },
    })
}

async fn show_version(write: &mut Write, file: i64, row: &AnyRow) -> Result<(), StateError> {
    let (id, bytes): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let (etag, created): (String, i64) = (row.try_get(2)?, row.try_get(3)?);
    let sql = "UPDATE artefact_files SET version = $2, bytes = $3, etag = $4, modified = $5 \
         WHERE id = $1";
    sqlx::query(sql)
        .bind(file)
        .bind(id)
        .bind(bytes)
        .bind(etag)
        .bind(created)
        .execute(write)
        .await?;
    Ok(())
}

async fn segments(read: &mut Read, version: i64) -> Result<Vec<Segment>, StateError> {
    let sql =
        "SELECT id, bytes FROM artefact_objects WHERE version = $1 ORDER BY position LIMIT $2";
    let rows = sqlx::query(sql).bind(version).bind(SEGMENTS_MAX);
    let mut segments = Vec::new();
    for row in rows.fetch_all(read).await? {
        segments.push(Segment {
            object: row.try_get(0)?,
            bytes: size(&row, 1)?,
        });
    }
    Ok(segments)
}

/// The rows of a key's group and run, made if need be: something comes, and the run is open again. They are locked from here on, the group first,
/// so that nobody waits for somebody who waits for them.
async fn ensure_run(write: &mut Write, key: &Key) -> Result<RunRow, StateError> {
    let (parts, now) = (key.parts(), time::now());
    let sql = "INSERT INTO artefact_groups (name, created_at, bytes) VALUES ($1, $2, 0) \
         ON CONFLICT (name) DO UPDATE SET created_at = artefact_groups.created_at RETURNING id";
    let row = sqlx::query(sql).bind(folder_name(parts.group)).bind(now);
    let group: i64 = row.fetch_one(&mut *write).await?.try_get(0)?;
    let sql = "INSERT INTO artefact_runs \
         (group_id, name, title, created_at, changed_at, telemetry_at, files, bytes) \
         VALUES ($1, $2, $3, $4, $4, 0, 0, 0) \
         ON CONFLICT (group_id, name) DO UPDATE SET changed_at = excluded.changed_at, \
         state = CASE WHEN artefact_runs.telemetry_at > 0 THEN 1 ELSE 0 END RETURNING id";
    let row = sqlx::query(sql)
        .bind(group)
        .bind(folder_name(parts.run))
        .bind(parts.run.to_lowercase())
        .bind(now);
    let run = row.fetch_one(&mut *write).await?.try_get(0)?;
    Ok(RunRow { group, run })
}

/// Whether a condition holds, and does so to the end of the transaction.
async fn fits(write: &mut Write, key: &Key, condition: &Condition) -> Result<bool, StateError> {
    if *condition == Condition::Any {
        return Ok(true);
    }
    // Others who write into the group wait from here on.
    ensure_run(write, key).await?;
    let sql = "SELECT etag FROM artefact_files WHERE key = $1";
    let row = sqlx::query(sql).bind(key.as_str().as_bytes().to_vec());
    let row = row.fetch_optional(write).await?;
    let etag: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(condition.holds(etag.as_deref()))
}

/// Makes a version the newest of its file; its objects come afterwards.
async fn insert_version(
    write: &mut Write,
    key: &Key,
    new: &NewVersion<'_>,
) -> Result<i64, StateError> {
    let RunRow { group, run } = ensure_run(write, key).await?;
    let (now, bytes) = (time::now(), signed(new.bytes));
    let sql = "INSERT INTO artefact_files (run_id, key, version, bytes, etag, modified) \
         VALUES ($1, $2, 0, 0, '', $3) \
         ON CONFLICT (key) DO UPDATE SET modified = excluded.modified RETURNING id, version";
    let row = sqlx::query(sql)
        .bind(run)
        .bind(key.as_str().as_bytes().to_vec())
        .bind(now);
    let row = row.fetch_one(&mut *write).await?;
    let (file, before): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let sql = "INSERT INTO artefact_versions (file_id, created_at, created_by, bytes, etag, \
         sha256, checksum, content_type, headers) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         RETURNING id, bytes, etag, created_at";
    let row = sqlx::query::<Any>(sql)
        .bind(file)
        .bind(now)
        .bind(new.created_by.to_owned())
        .bind(bytes)
        .bind(new.etag.clone())
        .bind(new.sha256.clone())
        .bind(new.checksum.clone())
        .bind(new.content_type.clone())
        .bind(new.headers.clone());
    let row = row.fetch_one(&mut *write).await?;
    show_version(write, file, &row).await?;
    let sql = "UPDATE artefact_runs SET files = files + $2, bytes = bytes + $3 WHERE id = $1";
    let is_new = i64::from(before == 0);
    let query = sqlx::query(sql).bind(run).bind(is_new).bind(bytes);
    query.execute(&mut *write).await?;
    let sql = "UPDATE artefact_groups SET bytes = bytes + $2 WHERE id = $1";
    let query = sqlx::query(sql).bind(group).bind(bytes);
    query.execute(&mut *write).await?;
    Ok(row.try_get(0)?)
}

async fn insert_object(
    write: &mut Write,
    object: &str,
    (version, upload, position): (i64, &str, i64),
    new: &NewVersion<'_>,
) -> Result<(), StateError> {
    let sql = "INSERT INTO artefact_objects (id, version, upload, position, bytes, etag, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    sqlx::query(sql)
        .bind(object.to_owned())
        .bind(version)
        .bind(upload.to_owned())
        .bind(position)
        .bind(signed(new.bytes))
        .bind(new.etag.clone())
        .bind(time::now())
        .execute(write)
        .await?;
    Ok(())
}

/// Changes what a run and its group have.
async fn add_bytes(write: &mut Write, run: i64, bytes: i64) -> Result<(), StateError> {
    let sql = "UPDATE artefact_runs SET bytes = bytes + $2 WHERE id = $1";
    let query = sqlx::query(sql).bind(run).bind(bytes);
    query.execute(&mut *write).await?;
    let sql = "UPDATE artefact_groups SET bytes = bytes + $2 WHERE id = \
         (SELECT group_id FROM artefact_runs WHERE id = $1)";
    let query = sqlx::query(sql).bind(run).bind(bytes);
    query.execute(write).await?;
    Ok(())
}

/// The name of a group or run as the tables keep it: with its slash, so that it stands where its files
/// stand in the order of keys. What is in none has no name.
fn folder_name(name: &str) -> Vec<u8> {
    if name.is_empty() {
        Vec::new()
    } else {
        format!("{name}/").into_bytes()
    }
}

/// A size as the tables keep it.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn size(row: &AnyRow, column: usize) -> Result<u64, sqlx::Error> {
    let value: i64 = row.try_get(column)?;
    Ok(u64::try_from(value).unwrap_or(0))
}

/// A key of a row. Only keys that were checked are kept.
fn text(row: &AnyRow, column: usize) -> Result<String, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

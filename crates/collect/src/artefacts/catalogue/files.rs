//! Files of a run with what is known of each, by pages, and the versions of one.

use std::collections::HashSet;

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row as _};
use state::StateError;
use wire::s3::key::Key;

use super::list::{Walked, end_of, walk};
use super::{Catalogue, Window, size, text};

/// Keys that are asked for in one statement.
const KEYS_MAX: usize = 250;
/// Versions of a file that are shown; older ones are fetched by their number.
const VERSIONS_MAX: i64 = 1_000;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileEntry {
    pub(crate) key: String,
    pub(crate) bytes: u64,
    /// In Unix milliseconds.
    pub(crate) changed_at: i64,
    pub(crate) versions: u64,
    pub(crate) content_type: String,
    pub(crate) etag: String,
    /// Empty where it is not known: of what came in parts.
    pub(crate) sha256: String,
}

/// An entry of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listed {
    File(FileEntry),
    /// With its slash at the end.
    Folder(String),
}

/// A version of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileVersion {
    pub(crate) id: i64,
    pub(crate) bytes: u64,
    pub(crate) created_at: i64,
    pub(crate) created_by: String,
    pub(crate) content_type: String,
    pub(crate) etag: String,
    pub(crate) sha256: String,
    pub(crate) is_current: bool,
}

impl Listed {
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::File(file) => &file.key,
            Self::Folder(prefix) => prefix,
        }
    }
}

impl Catalogue {
    /// The files of a page, and whether there are more.
    pub(crate) async fn files(
        &self,
        window: Window<'_>,
    ) -> Result<(Vec<Listed>, bool), StateError> {
        if window.after.as_bytes() >= end_of(window.prefix.as_bytes()).as_slice() {
            return Ok((Vec::new(), false));
        }
        let query = "SELECT f.key, f.modified, f.etag, f.bytes, v.content_type, v.sha256, \
             (SELECT COUNT(*) FROM artefact_versions w WHERE w.file_id = f.id) \
             FROM artefact_files f JOIN artefact_versions v ON v.id = f.version";
        let mut read = self.read().await?;
        // Of a run, which the asker may see.
        let walked = walk(&mut read, query, window, (window.limit + 1, &|_| true)).await?;
        let is_truncated = walked.len() > window.limit;
        let walked = walked.into_iter().take(window.limit);
        let entries = walked.map(|entry| match entry {
            Walked::Row(key, row) => file_of(key, &row).map(Listed::File),
            Walked::Folder(folder) => Ok(Listed::Folder(folder)),
        });
        Ok((entries.collect::<Result<_, _>>()?, is_truncated))
    }

    /// The keys that begin so with the sizes of their files; nothing when there are more than `limit`.
    pub(crate) async fn sizes(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Option<Vec<(String, u64)>>, StateError> {
        let sql = "SELECT key, bytes FROM artefact_files WHERE key >= $1 AND key < $2 \
             ORDER BY key LIMIT $3";
        let mut read = self.read().await?;
        let rows = sqlx::query(sql)
            .bind(prefix.as_bytes().to_vec())
            .bind(end_of(prefix.as_bytes()))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
        let rows = rows.fetch_all(&mut read).await?;
        if rows.len() > limit {
            return Ok(None);
        }
        let sizes = rows.iter().map(|row| Ok((text(row, 0)?, size(row, 1)?)));
        Ok(Some(sizes.collect::<Result<_, sqlx::Error>>()?))
    }

    /// Those of these keys that files have.
    pub(crate) async fn taken_keys(&self, keys: &[String]) -> Result<HashSet<String>, StateError> {
        let mut taken = HashSet::new();
        for chunk in keys.chunks(KEYS_MAX) {
            let marks: Vec<String> = (1..=chunk.len()).map(|n| format!("${n}")).collect();
            let marks = marks.join(", ");
            let sql = format!("SELECT key FROM artefact_files WHERE key IN ({marks})");
            let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
            for key in chunk {
                query = query.bind(key.as_bytes().to_vec());
            }
            let mut read = self.read().await?;
            for row in query.fetch_all(&mut read).await? {
                taken.insert(text(&row, 0)?);
            }
        }
        Ok(taken)
    }

    /// The newest versions of a file, newest first.
    pub(crate) async fn file_versions(&self, key: &Key) -> Result<Vec<FileVersion>, StateError> {
        let sql = "SELECT v.id, v.bytes, v.created_at, v.created_by, v.content_type, v.etag, \
             v.sha256, f.version FROM artefact_files f \
             JOIN artefact_versions v ON v.file_id = f.id WHERE f.key = $1 \
             ORDER BY v.id DESC LIMIT $2";
        let mut read = self.read().await?;
        let rows = sqlx::query(sql)
            .bind(key.as_str().as_bytes().to_vec())
            .bind(VERSIONS_MAX);
        let rows = rows.fetch_all(&mut read).await?;
        let versions = rows.iter().map(version_of);
        Ok(versions.collect::<Result<_, _>>()?)
    }
}

fn file_of(key: String, row: &AnyRow) -> Result<FileEntry, sqlx::Error> {
    Ok(FileEntry {
        key,
        changed_at: row.try_get(1)?,
        etag: row.try_get(2)?,
        bytes: size(row, 3)?,
        content_type: row.try_get(4)?,
        sha256: row.try_get(5)?,
        versions: size(row, 6)?,
    })
}

fn version_of(row: &AnyRow) -> Result<FileVersion, sqlx::Error> {
    let id: i64 = row.try_get(0)?;
    Ok(FileVersion {
        id,
        bytes: size(row, 1)?,
        created_at: row.try_get(2)?,
        created_by: row.try_get(3)?,
        content_type: row.try_get(4)?,
        etag: row.try_get(5)?,
        sha256: row.try_get(6)?,
        is_current: id == row.try_get::<i64, _>(7)?,
    })
}

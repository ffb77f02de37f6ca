//! Lists in the order of keys, by pages. Groups and runs come from rows of their own; below a run,
//! what has a common prefix is jumped over. What somebody may not see is passed over before pages are
//! cut, so that neither their ends nor their markers speak of it.

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{Read, StateError};
use wire::s3::xml::Object;

use super::{Catalogue, folder_name, size, text};

/// Keys that are read in one statement.
const CHUNK: i64 = 1_000;
/// The same where the next folder may begin.
const CHUNK_MIN: i64 = 16;

/// Says of a group whether it is seen; it is empty for what is in none.
pub(crate) type Sees<'a> = &'a (dyn Fn(&str) -> bool + Send + Sync);

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    /// What keys begin with.
    pub(crate) prefix: &'a str,
    /// Whether what has a further slash is one entry.
    pub(crate) is_by_folder: bool,
    /// The entry after which it begins; empty for the first.
    pub(crate) after: &'a str,
    /// Entries of the page.
    pub(crate) limit: usize,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    File(Object),
    /// With its slash at the end.
    Folder(String),
}

impl Shown {
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::File(object) => &object.key,
            Self::Folder(prefix) => prefix,
        }
    }
}

/// A page in the order of keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Shown>,
    pub(crate) is_truncated: bool,
}

impl Catalogue {
    /// The entries of a page, of all groups.
    pub(crate) async fn list(&self, window: Window<'_>) -> Result<Page, StateError> {
        self.list_seen(window, &|_| true).await
    }

    /// The entries of a page, of the groups that are seen.
    pub(crate) async fn list_seen(
        &self,
        window: Window<'_>,
        sees: Sees<'_>,
    ) -> Result<Page, StateError> {
        if window.after.as_bytes() >= end_of(window.prefix.as_bytes()).as_slice() {
            return Ok(Page::default());
        }
        let mut read = self.read().await?;
        let depth = window.prefix.matches('/').count();
        // One more, to know whether there are more.
        let wanted = window.limit + 1;
        let mut entries = if depth > 0 && !sees(group_of(window.prefix)) {
            Vec::new()
        } else if window.is_by_folder && depth == 0 {
            let groups = groups(&mut read, window, (wanted, sees)).await?;
            let files = files_beside(&mut read, window, (wanted, sees)).await?;
            together(groups, files)
        } else if window.is_by_folder && depth == 1 {
            let runs = runs(&mut read, window, wanted).await?;
            let files = files_beside(&mut read, window, (wanted, sees)).await?;
            together(runs, files)
        } else {
            let query = "SELECT f.key, f.modified, f.etag, f.bytes FROM artefact_files f";
            let walked = walk(&mut read, query, window, (wanted, sees)).await?;
            let shown = walked.into_iter().map(|entry| match entry {
                Walked::Row(_, row) => file_of(&row),
                Walked::Folder(folder) => Ok(Shown::Folder(folder)),
            });
            shown.collect::<Result<_, _>>()?
        };
        let is_truncated = entries.len() > window.limit;
        entries.truncate(window.limit);
        Ok(Page {
            entries,
            is_truncated,
        })
    }

    /// All versions of the files whose keys begin so, newest first, in the groups that are seen; `after`
    /// is a key and a version.
    pub(crate) async fn versions(
        &self,
        prefix: &str,
        (after, before): (&str, i64),
        (limit, sees): (usize, Sees<'_>),
    ) -> Result<Vec<Object>, StateError> {
        let sql = "SELECT f.key, v.created_at, v.etag, v.bytes, v.id, f.version \
             FROM artefact_files f JOIN artefact_versions v ON v.file_id = f.id \
             WHERE f.key >= $1 AND f.key < $2 AND (f.key > $3 OR v.id < $4) \
             ORDER BY f.key, v.id DESC LIMIT $5";
        let mut read = self.read().await?;
        let (mut after, mut before) = (after.as_bytes().to_vec(), before);
        let mut versions = Vec::new();
        loop {
            let missing = i64::try_from(limit - versions.len()).unwrap_or(CHUNK);
            let rows = sqlx::query(sql)
                .bind(prefix.as_bytes().max(&after).to_vec())
                .bind(end_of(prefix.as_bytes()))
                .bind(after.clone())
                .bind(before)
                .bind(missing);
            let rows = rows.fetch_all(&mut read).await?;
            let is_last = i64::try_from(rows.len()).unwrap_or(0) < missing;
            let mut hidden = None;
            for row in &rows {
                let (id, newest): (i64, i64) = (row.try_get(4)?, row.try_get(5)?);
                let key = text(row, 0)?;
                (after, before) = (key.as_bytes().to_vec(), id);
                let group = group_of(&key);
                hidden = (!sees(group)).then(|| group.to_owned());
                if hidden.is_some() {
                    continue;
                }
                versions.push(Object {
                    key,
                    modified: row.try_get(1)?,
                    etag: row.try_get(2)?,
                    size: size(row, 3)?,
                    version: Some((id.to_string(), id == newest)),
                });
            }
            if is_last || versions.len() >= limit {
                return Ok(versions);
            }
            if let Some(group) = hidden {
                after = behind(&mut read, (&group, after), sees).await?;
            }
        }
    }
}

/// The group of a key or of a folder.
pub(crate) fn group_of(key: &str) -> &str {
    key.split_once('/').map_or("", |(group, _)| group)
}

/// Folders and files in one order.
fn together(folders: Vec<Shown>, files: Vec<Shown>) -> Vec<Shown> {
    let mut all: Vec<Shown> = folders.into_iter().chain(files).collect();
    all.sort_by(|one, other| one.key().cmp(other.key()));
    all.dedup_by(|one, other| one.key() == other.key());
    all
}

/// The first bytes behind everything that begins with a prefix. No key has a byte 255.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[u8::MAX]].concat()
}

/// Where a list begins, as one condition: databases use one lower bound of an index and filter by the
/// other. Names and keys are never empty but for what has none.
fn begin_of<'a>(prefix: &'a str, after: &'a str) -> (&'static str, Vec<u8>) {
    if after >= prefix {
        (">", after.as_bytes().to_vec())
    } else {
        (">=", prefix.as_bytes().to_vec())
    }
}

/// The groups that are seen.
async fn groups(
    read: &mut Read,
    window: Window<'_>,
    (wanted, sees): (usize, Sees<'_>),
) -> Result<Vec<Shown>, StateError> {
    let (mut is, mut first) = begin_of(window.prefix, window.after);
    let mut seen = Vec::new();
    loop {
        let sql = format!(
            "SELECT name FROM artefact_groups WHERE name {is} $1 AND name < $2 \
             ORDER BY name LIMIT $3"
        );
        let rows = sqlx::query::<Any>(AssertSqlSafe(sql))
            .bind(first)
            .bind(end_of(window.prefix.as_bytes()))
            .bind(CHUNK);
        let rows = rows.fetch_all(&mut *read).await?;
        let is_last = i64::try_from(rows.len()).unwrap_or(0) < CHUNK;
        (is, first) = (">", Vec::new());
        for row in &rows {
            let name = text(row, 0)?;
            first = name.as_bytes().to_vec();
            // What is in no group has a row as well.
            if !name.is_empty() && sees(group_of(&name)) {
                seen.push(Shown::Folder(name));
            }
            if seen.len() >= wanted {
                return Ok(seen);
            }
        }
        if is_last {
            return Ok(seen);
        }
    }
}

/// The runs of a group.
async fn runs(
    read: &mut Read,
    window: Window<'_>,
    wanted: usize,
) -> Result<Vec<Shown>, StateError> {
    let (group, begin) = window.prefix.split_once('/').unwrap_or_default();
    let parent = format!("{group}/");
    let after = window.after.strip_prefix(parent.as_str());
    let (is, first) = begin_of(begin, after.unwrap_or_default());
    let sql = format!(
        "SELECT name FROM artefact_runs WHERE name {is} $1 AND name < $2 AND group_id = \
         (SELECT id FROM artefact_groups WHERE name = $4) ORDER BY name LIMIT $3"
    );
    let rows = sqlx::query::<Any>(AssertSqlSafe(sql))
        .bind(first)
        .bind(end_of(begin.as_bytes()))
        .bind(i64::try_from(wanted).unwrap_or(i64::MAX))
        .bind(parent.as_bytes().to_vec());
    let rows = rows.fetch_all(read).await?;
    let names = rows.iter().map(|row| {
        let name = text(row, 0)?;
        Ok(Shown::Folder(format!("{parent}{name}")))
    });
    names.collect()
}

/// The files directly at the top, or directly in a group.
async fn files_beside(
    read: &mut Read,
    window: Window<'_>,
    (wanted, sees): (usize, Sees<'_>),
) -> Result<Vec<Shown>, StateError> {
    let group = group_of(window.prefix);
    if !sees(group) {
        return Ok(Vec::new());
    }
    let (is, first) = begin_of(window.prefix, window.after);
    let sql = format!(
        "SELECT key, modified, etag, bytes FROM artefact_files WHERE run_id = \
         (SELECT r.id FROM artefact_runs r JOIN artefact_groups g ON g.id = r.group_id \
          WHERE g.name = $1 AND r.name = $2) \
         AND key {is} $3 AND key < $4 ORDER BY key LIMIT $5"
    );
    let query = sqlx::query::<Any>(AssertSqlSafe(sql))
        .bind(folder_name(group))
        .bind(Vec::<u8>::new())
        .bind(first)
        .bind(end_of(window.prefix.as_bytes()))
        .bind(i64::try_from(wanted).unwrap_or(i64::MAX));
    let rows = query.fetch_all(read).await?;
    let files = rows.iter().map(|row| {
        let shown = file_of(row)?;
        // A key that ends with a slash is a folder.
        let folder = folder_of(shown.key(), window);
        Ok(folder.map_or(shown, Shown::Folder))
    });
    files.collect()
}

fn file_of(row: &AnyRow) -> Result<Shown, StateError> {
    Ok(Shown::File(Object {
        key: text(row, 0)?,
        modified: row.try_get(1)?,
        etag: row.try_get(2)?,
        size: size(row, 3)?,
        version: None,
    }))
}

/// A row of a file, or what is shown instead of all files of a folder.
pub(super) enum Walked {
    Row(String, AnyRow),
    Folder(String),
}

impl Walked {
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Row(key, _) | Self::Folder(key) => key,
        }
    }
}

/// Keys in their order; by folders, what is behind a further slash is passed over. `query` selects the
/// key first, then whatever is wanted, from `artefact_files f`, and ends where the conditions begin.
pub(super) async fn walk(
    read: &mut Read,
    query: &str,
    window: Window<'_>,
    (wanted, sees): (usize, Sees<'_>),
) -> Result<Vec<Walked>, StateError> {
    let end = end_of(window.prefix.as_bytes());
    let mut entries: Vec<Walked> = Vec::new();
    let (mut is, mut first) = begin_of(window.prefix, window.after);
    // A folder after which it begins is passed over with all that is in it.
    if window.is_by_folder && window.after.ends_with('/') && window.after != window.prefix {
        first = end_of(window.after.as_bytes());
    }
    // What is read of a folder that is passed over is read for nothing.
    let mut chunk = if window.is_by_folder {
        CHUNK_MIN
    } else {
        CHUNK
    };
    loop {
        let sql = format!("{query} WHERE f.key {is} $1 AND f.key < $2 ORDER BY f.key LIMIT $3");
        let missing = i64::try_from(wanted - entries.len()).unwrap_or(CHUNK);
        let limit = chunk.min(missing.max(1));
        let query = sqlx::query::<Any>(AssertSqlSafe(sql))
            .bind(first)
            .bind(end.clone())
            .bind(limit);
        let rows = query.fetch_all(&mut *read).await?;
        let is_last = i64::try_from(rows.len()).unwrap_or(0) < limit;
        (is, first) = (">", Vec::new());
        let (mut passed, mut hidden) = (None, None);
        for row in rows {
            let key = text(&row, 0)?;
            first = key.as_bytes().to_vec();
            let group = group_of(&key);
            hidden = (!sees(group)).then(|| group.to_owned());
            if hidden.is_some() {
                continue;
            }
            let folder = folder_of(&key, window);
            passed.clone_from(&folder);
            match folder {
                Some(folder) if entries.last().is_some_and(|last| last.key() == folder) => {}
                Some(folder) => entries.push(Walked::Folder(folder)),
                None => entries.push(Walked::Row(key, row)),
            }
            if entries.len() >= wanted {
                return Ok(entries);
            }
        }
        if is_last {
            return Ok(entries);
        }
        chunk = (chunk * 2).min(CHUNK);
        if let Some(group) = hidden {
            first = behind(read, (&group, first), sees).await?;
        } else if let Some(folder) = passed {
            first = end_of(folder.as_bytes());
            chunk = CHUNK_MIN;
        }
    }
}

/// Where a walk over all keys goes on that met one of a group that is not seen, at `place`: behind that
/// group, and where what is in no group is not seen either, at the next one that is.
async fn behind(
    read: &mut Read,
    (group, place): (&str, Vec<u8>),
    sees: Sees<'_>,
) -> Result<Vec<u8>, StateError> {
    let end = if group.is_empty() {
        place
    } else {
        end_of(format!("{group}/").as_bytes())
    };
    if sees("") {
        return Ok(end);
    }
    let mut first = end;
    loop {
        let sql = "SELECT name FROM artefact_groups WHERE name > $1 ORDER BY name LIMIT $2";
        let rows = sqlx::query(sql).bind(first.clone()).bind(CHUNK);
        let rows = rows.fetch_all(&mut *read).await?;
        for row in &rows {
            let name = text(row, 0)?;
            if sees(group_of(&name)) {
                // Just before its first key, which may be its name: no key has a byte 255.
                let name = name.trim_end_matches('/').as_bytes();
                return Ok([name, b".\xff"].concat());
            }
            first = name.into_bytes();
        }
        if i64::try_from(rows.len()).unwrap_or(0) < CHUNK {
            // Behind everything.
            return Ok(end_of(b""));
        }
    }
}

/// The common prefix that a key is shown as, with its slash.
fn folder_of(key: &str, window: Window<'_>) -> Option<String> {
    let rest = key.strip_prefix(window.prefix)?;
    let end = rest.find('/').filter(|_| window.is_by_folder)?;
    let length = window.prefix.len() + end + 1;
    key.get(..length).map(str::to_owned)
}

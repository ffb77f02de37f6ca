//! Uploads in parts. A part is an object that belongs to the upload; completing it makes the parts
//! objects of a version, without moving a byte.

use sqlx::Row as _;
use state::{StateError, Write};
use wire::s3::key::Key;
use wire::s3::xml::Part;

use super::list::{Sees, end_of, group_of};
use super::{
    Catalogue, Condition, NewVersion, ensure_run, fits, folder_name, insert_object, insert_version,
    signed, size, text, time,
};

/// Uploads that are read in one statement.
const CHUNK: i64 = 1_000;
/// Uploads that are given up at a time.
const EXPIRED_MAX: i64 = 100;

/// An upload in parts.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) content_type: String,
    pub(crate) headers: String,
}

/// What came of the end of an upload.
#[derive(Debug, Clone)]
pub(crate) enum Completed {
    /// The number of the version, and the objects that are left over.
    Version(i64, Vec<String>),
    /// The upload, or one of the parts as it was seen, is not there any more.
    Gone,
    /// The file is not what it has to be.
    Unmet,
}

/// An upload under way, as lists show it.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) key: String,
    pub(crate) id: String,
    /// In Unix milliseconds.
    pub(crate) begun: i64,
}

/// A part that comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewPart<'a> {
    pub(crate) number: i64,
    pub(crate) object: &'a str,
}

impl Catalogue {
    /// Begins an upload.
    pub(crate) async fn begin_upload(
        &self,
        key: &Key,
        upload: &Upload,
        created_by: &str,
    ) -> Result<(), StateError> {
        let mut write = self.state.write().await?;
        ensure_run(&mut write, key).await?;
        let sql = "INSERT INTO artefact_uploads \
             (id, key, created_at, created_by, content_type, headers) \
             VALUES ($1, $2, $3, $4, $5, $6)";
        sqlx::query(sql)
            .bind(upload.id.clone())
            .bind(key.as_str().as_bytes().to_vec())
            .bind(time::now())
            .bind(created_by.to_owned())
            .bind(upload.content_type.clone())
            .bind(upload.headers.clone())
            .execute(&mut write)
            .await?;
        write.commit().await
    }

    /// The upload of this id, if it is one of the key.
    pub(crate) async fn upload(&self, key: &Key, id: &str) -> Result<Option<Upload>, StateError> {
        let sql = "SELECT content_type, headers FROM artefact_uploads WHERE id = $1 AND key = $2";
        let mut read = self.read().await?;
        let row = sqlx::query(sql)
            .bind(id.to_owned())
            .bind(key.as_str().as_bytes().to_vec());
        let row = row.fetch_optional(&mut read).await?;
        let upload = row.map(|row| {
            Ok::<_, sqlx::Error>(Upload {
                id: id.to_owned(),
                content_type: row.try_get(0)?,
                headers: row.try_get(1)?,
            })
        });
        Ok(upload.transpose()?)
    }

    /// Keeps a part, instead of one of the same number; the objects that are left, or nothing when the
    /// upload is not there any more.
    pub(crate) async fn record_part(
        &self,
        (key, upload): (&Key, &str),
        part: NewPart<'_>,
        new: &NewVersion<'_>,
    ) -> Result<Option<Vec<String>>, StateError> {
        let mut write = self.state.write().await?;
        let run = ensure_run(&mut write, key).await?;
        if !lock_upload(&mut write, key, upload).await? {
            return Ok(None);
        }
        let sql =
            "DELETE FROM artefact_objects WHERE upload = $1 AND position = $2 RETURNING id, bytes";
        let rows = sqlx::query(sql).bind(upload.to_owned()).bind(part.number);
        let rows = rows.fetch_all(&mut write).await?;
        let (left, freed) = ids_and_bytes(&rows)?;
        insert_object(&mut write, part.object, (0, upload, part.number), new).await?;
        add_group_bytes(&mut write, run.group, signed(new.bytes) - freed).await?;
        write.commit().await?;
        Ok(Some(left))
    }

    /// The parts of an upload from a number on, in their order.
    pub(crate) async fn parts(
        &self,
        upload: &str,
        (after, limit): (i64, i64),
    ) -> Result<Vec<Part>, StateError> {
        let sql = "SELECT position, created_at, etag, bytes FROM artefact_objects \
             WHERE upload = $1 AND position > $2 ORDER BY position LIMIT $3";
        let mut read = self.read().await?;
        let rows = sqlx::query(sql)
            .bind(upload.to_owned())
            .bind(after)
            .bind(limit);
        let mut parts = Vec::new();
        for row in rows.fetch_all(&mut read).await? {
            parts.push(Part {
                number: size(&row, 0)?,
                modified: row.try_get(1)?,
                etag: row.try_get(2)?,
                size: size(&row, 3)?,
            });
        }
        Ok(parts)
    }

    /// Makes a version of the parts with these numbers; those that were not named are left over.
    pub(crate) async fn complete(
        &self,
        (key, upload): (&Key, &str),
        (chosen, condition): (&[Part], &Condition),
        new: &NewVersion<'_>,
    ) -> Result<Completed, StateError> {
        let mut write = self.state.write().await?;
        let run = ensure_run(&mut write, key).await?;
        if !lock_upload(&mut write, key, upload).await? {
            return Ok(Completed::Gone);
        }
        if !fits(&mut write, key, condition).await? {
            return Ok(Completed::Unmet);
        }
        let version = insert_version(&mut write, key, new).await?;
        for part in chosen {
            let sql = "UPDATE artefact_objects SET version = $3, upload = '' \
                 WHERE upload = $1 AND position = $2 AND etag = $4";
            let done = sqlx::query(sql)
                .bind(upload.to_owned())
                .bind(signed(part.number))
                .bind(version)
                .bind(part.etag.clone())
                .execute(&mut write)
                .await?;
            if done.rows_affected() != 1 {
                return Ok(Completed::Gone);
            }
        }
        let (left, freed) = take_upload(&mut write, upload).await?;
        // The parts were counted when they came.
        let counted = freed.saturating_add(signed(new.bytes));
        add_group_bytes(&mut write, run.group, -counted).await?;
        write.commit().await?;
        Ok(Completed::Version(version, left))
    }

    /// Gives an upload up; the objects that are left, or nothing when it is not there.
    pub(crate) async fn abort(
        &self,
        key: &Key,
        upload: &str,
    ) -> Result<Option<Vec<String>>, StateError> {
        let mut write = self.state.write().await?;
        // The group first, as everywhere; giving up is no news of its run, and makes none.
        let sql = "UPDATE artefact_groups SET bytes = bytes WHERE name = $1 RETURNING id";
        let row = sqlx::query(sql).bind(folder_name(key.parts().group));
        let row = row.fetch_optional(&mut write).await?;
        if !lock_upload(&mut write, key, upload).await? {
            return Ok(None);
        }
        let (left, freed) = take_upload(&mut write, upload).await?;
        if let Some(row) = row {
            add_group_bytes(&mut write, row.try_get(0)?, -freed).await?;
        }
        write.commit().await?;
        Ok(Some(left))
    }

    /// The uploads under way whose keys begin so, in the groups that are seen, after a key and an id: at
    /// most `limit`.
    pub(crate) async fn uploads(
        &self,
        prefix: &str,
        (after, id): (&str, &str),
        (limit, sees): (usize, Sees<'_>),
    ) -> Result<Vec<Pending>, StateError> {
        let sql = "SELECT key, id, created_at FROM artefact_uploads WHERE key >= $1 AND key < $2 \
             AND (key > $3 OR (key = $3 AND id > $4)) ORDER BY key, id LIMIT $5";
        let mut read = self.read().await?;
        let (mut after, mut id) = (after.as_bytes().to_vec(), id.to_owned());
        let mut uploads = Vec::new();
        loop {
            let rows = sqlx::query(sql)
                .bind(prefix.as_bytes().max(&after).to_vec())
                .bind(end_of(prefix.as_bytes()))
                .bind(after.clone())
                .bind(id.clone())
                .bind(CHUNK);
            let rows = rows.fetch_all(&mut read).await?;
            for row in &rows {
                let upload = Pending {
                    key: text(row, 0)?,
                    id: row.try_get(1)?,
                    begun: row.try_get(2)?,
                };
                (after, id) = (upload.key.as_bytes().to_vec(), upload.id.clone());
                if sees(group_of(&upload.key)) {
                    uploads.push(upload);
                }
                if uploads.len() >= limit {
                    return Ok(uploads);
                }
            }
            if i64::try_from(rows.len()).unwrap_or(0) < CHUNK {
                return Ok(uploads);
            }
        }
    }

    /// Gives up the uploads that began before a time, in Unix milliseconds: at most so many at a time;
    /// the objects that are left, and how many uploads those were.
    pub(crate) async fn expire_uploads(
        &self,
        before: i64,
    ) -> Result<(Vec<String>, usize), StateError> {
        let sql = "SELECT key, id FROM artefact_uploads WHERE created_at < $1 \
             ORDER BY created_at LIMIT $2";
        let mut read = self.read().await?;
        let rows = sqlx::query(sql).bind(before).bind(EXPIRED_MAX);
        let rows = rows.fetch_all(&mut read).await?;
        drop(read);
        let (mut left, mut count) = (Vec::new(), 0);
        for row in &rows {
            let id: String = row.try_get(1)?;
            // Keys were checked when they came.
            let Ok(key) = Key::new(text(row, 0)?) else {
                continue;
            };
            if let Some(objects) = self.abort(&key, &id).await? {
                left.extend(objects);
                count += 1;
            }
        }
        Ok((left, count))
    }
}

/// Keeps others from the upload to the end of the transaction; whether it is there.
async fn lock_upload(write: &mut Write, key: &Key, upload: &str) -> Result<bool, StateError> {
    let sql = "UPDATE artefact_uploads SET created_at = created_at WHERE id = $1 AND key = $2";
    let done = sqlx::query(sql)
        .bind(upload.to_owned())
        .bind(key.as_str().as_bytes().to_vec())
        .execute(write)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes the row of an upload and those of the parts that it still has.
pub(super) async fn take_upload(
    write: &mut Write,
    upload: &str,
) -> Result<(Vec<String>, i64), StateError> {
    let sql = "DELETE FROM artefact_uploads WHERE id = $1";
    sqlx::query(sql)
        .bind(upload.to_owned())
        .execute(&mut *write)
        .await?;
    let sql = "DELETE FROM artefact_objects WHERE upload = $1 RETURNING id, bytes";
    let rows = sqlx::query(sql).bind(upload.to_owned());
    let rows = rows.fetch_all(write).await?;
    Ok(ids_and_bytes(&rows)?)
}

fn ids_and_bytes(rows: &[sqlx::any::AnyRow]) -> Result<(Vec<String>, i64), sqlx::Error> {
    let mut ids = Vec::new();
    let mut bytes = 0_i64;
    for row in rows {
        ids.push(row.try_get(0)?);
        bytes = bytes.saturating_add(row.try_get(1)?);
    }
    Ok((ids, bytes))
}

async fn add_group_bytes(write: &mut Write, group: i64, bytes: i64) -> Result<(), StateError> {
    let sql = "UPDATE artefact_groups SET bytes = bytes + $2 WHERE id = $1";
    let query = sqlx::query(sql).bind(group).bind(bytes);
    query.execute(write).await?;
    Ok(())
}

//! Uploads in parts. A part is an object that belongs to the upload; completing it makes the parts
//! objects of a version, without moving a byte.

use sqlx::Row as _;
use state::{StateError, Write};
use wire::s3::key::Key;
use wire::s3::xml::Part;

use super::{
    Catalogue, NewVersion, RunRow, ensure_run, insert_object, insert_version, signed, size, text,
    time,
};

/// Uploads of one list.
const LIST_MAX: i64 = 1_000;

/// An upload in parts.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) content_type: String,
    pub(crate) headers: String,
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
        add_group_bytes(&mut write, run, signed(new.bytes) - freed).await?;
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
    /// Nothing when the upload, or one of the parts as it was seen, is not there any more.
    pub(crate) async fn complete(
        &self,
        (key, upload): (&Key, &str),
        chosen: &[Part],
        new: &NewVersion<'_>,
    ) -> Result<Option<(i64, Vec<String>)>, StateError> {
        let mut write = self.state.write().await?;
        let run = ensure_run(&mut write, key).await?;
        if !lock_upload(&mut write, key, upload).await? {
            return Ok(None);
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
                return Ok(None);
            }
        }
        let (left, freed) = take_upload(&mut write, upload).await?;
        // The parts were counted when they came.
        let counted = freed.saturating_add(signed(new.bytes));
        add_group_bytes(&mut write, run, -counted).await?;
        write.commit().await?;
        Ok(Some((version, left)))
    }

    /// Gives an upload up; the objects that are left, or nothing when it is not there.
    pub(crate) async fn abort(
        &self,
        key: &Key,
        upload: &str,
    ) -> Result<Option<Vec<String>>, StateError> {
        let mut write = self.state.write().await?;
        let run = ensure_run(&mut write, key).await?;
        if !lock_upload(&mut write, key, upload).await? {
            return Ok(None);
        }
        let (left, freed) = take_upload(&mut write, upload).await?;
        add_group_bytes(&mut write, run, -freed).await?;
        write.commit().await?;
        Ok(Some(left))
    }

    /// The uploads under way whose keys begin so: key, id, when they began.
    pub(crate) async fn uploads(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, String, i64)>, StateError> {
        let sql = "SELECT key, id, created_at FROM artefact_uploads WHERE key >= $1 AND key < $2 \
             ORDER BY key, created_at LIMIT $3";
        let mut read = self.read().await?;
        let rows = sqlx::query(sql)
            .bind(prefix.as_bytes().to_vec())
            .bind(super::list::end_of(prefix.as_bytes()))
            .bind(LIST_MAX);
        let mut uploads = Vec::new();
        for row in rows.fetch_all(&mut read).await? {
            uploads.push((text(&row, 0)?, row.try_get(1)?, row.try_get(2)?));
        }
        Ok(uploads)
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

async fn add_group_bytes(write: &mut Write, run: RunRow, bytes: i64) -> Result<(), StateError> {
    let sql = "UPDATE artefact_groups SET bytes = bytes + $2 WHERE id = $1";
    let query = sqlx::query(sql).bind(run.group).bind(bytes);
    query.execute(write).await?;
    Ok(())
}

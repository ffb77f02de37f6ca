//! Records of another collector with its ids and times: how far each import is, and what its rows become
//! here. `landline records import` reads the other database and sends its rows in batches; a batch
//! and how far the import is with it are one transaction, so that nothing is lost or there twice,
//! whoever is killed.

mod batch;
mod guilty;
mod table;
mod unfinished;

use sqlx::Row as _;
use state::{Read, State, StateError, Write};

pub(crate) use self::batch::keep;
pub(crate) use self::guilty::{finish, note};
pub(crate) use self::table::{Import, abandon, begin, details, find, list};
pub(crate) use self::unfinished::service;
use super::search::index::STATE;

/// Below which id no import that runs adds anything.
pub(crate) async fn complete_below(read: &mut Read) -> Result<i64, StateError> {
    let sql = "SELECT COALESCE(MIN(reached) + 1, $1) FROM record_imports \
         WHERE state = 'running' AND new_ids = 0";
    let row = sqlx::query(sql).bind(i64::MAX).fetch_one(read).await?;
    Ok(row.try_get(0)?)
}

/// A number that is another one whenever an import has begun, or has added records below the end of the
/// index of words.
pub(crate) async fn changes_of_index(read: &mut Read) -> Result<i64, StateError> {
    let sql = "SELECT changes FROM record_index_state WHERE id = $1";
    let query = sqlx::query(sql).bind(STATE);
    Ok(query.fetch_one(read).await?.try_get(0)?)
}

/// Has an older version make its index of words anew, should one run again.
async fn forget_older(write: &mut Write) -> Result<(), StateError> {
    let sql = "UPDATE record_index_state SET rows_done = 0 WHERE id = 1 AND rows_done > 0";
    sqlx::query(sql).execute(write).await?;
    Ok(())
}

/// Whether an older version has begun an import, which it does not note where this one looks.
pub(crate) async fn has_older_begun(read: &mut Read) -> Result<bool, StateError> {
    let sql = "SELECT changes FROM record_index_state WHERE id = 1";
    let changes: i64 = sqlx::query(sql).fetch_one(read).await?.try_get(0)?;
    Ok(changes > 0)
}

/// Has the whole index made again after that.
pub(crate) async fn note_older(state: &State) -> Result<(), StateError> {
    let mut write = state.write().await?;
    let own = "UPDATE record_index_state SET rows_done = 0, changes = changes + 1 WHERE id = $1";
    sqlx::query(own).bind(STATE).execute(&mut write).await?;
    let older = "UPDATE record_index_state SET changes = 0 WHERE id = 1";
    sqlx::query(older).execute(&mut write).await?;
    write.commit().await
}

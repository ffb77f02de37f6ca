//! What people noted at another collector about crashes at one frame: comments, and what they left out
//! of lists. At the end of an import a note goes to the groups most of whose imported records had this
//! frame, or else to those that are labelled with it; what finds no group is told.

use std::collections::HashMap;

use sqlx::Row as _;
use state::{Read, StateError, Write};

use super::table::{DONE, Import, find, find_in};
use crate::records::error::ApiError;
use crate::records::imported::GuiltyNote;
use crate::records::{Shared, insert, time};

/// Notes that are looked at at once.
const NOTES_AT_ONCE: i64 = 100;
/// Groups that are written on in one transaction.
const GROUPS_AT_ONCE: usize = 500;
/// Pairs of group and frame that are looked at.
const PAIRS_MAX: i64 = 1_000_000;

/// Takes notes; those that came before are written over.
pub(crate) async fn note(shared: &Shared, id: i64, notes: &[GuiltyNote]) -> Result<(), ApiError> {
    let mut write = shared.state.write().await?;
    for note in notes {
        let sql = "INSERT INTO record_import_guilty \
             (import_id, guilty, function_name, module, comment, is_hidden, placed) \
             VALUES ($1, $2, $3, $4, $5, $6, 0) ON CONFLICT (import_id, guilty) DO UPDATE SET \
             function_name = excluded.function_name, module = excluded.module, \
             comment = excluded.comment, is_hidden = excluded.is_hidden";
        sqlx::query(sql)
            .bind(id)
            .bind(note.id)
            .bind(note.function.as_str())
            .bind(note.module.as_str())
            .bind(note.comment.as_str())
            .bind(i64::from(note.is_hidden))
            .execute(&mut write)
            .await?;
    }
    Ok(write.commit().await?)
}

/// Ends an import that has everything, and writes its notes on groups: a few at a time, so that intake
/// does not wait for thousands. Who is killed in between begins again, and finds what is written already.
/// Says also whether it ended only now.
pub(crate) async fn finish(shared: &Shared, id: i64) -> Result<(Import, bool), ApiError> {
    let mut read = shared.state.read().await?;
    check(&find(&mut read, id).await?)?;
    let best = best_of_groups(&mut read, id).await?;
    drop(read);
    let mut after = i64::MIN;
    loop {
        let mut read = shared.state.read().await?;
        let import = find(&mut read, id).await?;
        let mut notes = Vec::new();
        for note in left(&mut read, id, after).await? {
            after = note.id;
            let groups = match best.get(&note.id) {
                Some(groups) => groups.clone(),
                None => labelled(&mut read, &import, &note).await?,
            };
            notes.push((note, groups));
        }
        drop(read);
        if notes.is_empty() {
            break;
        }
        place_all(shared, id, &notes).await?;
    }
    let mut write = begin(shared, id).await?;
    let sql = "UPDATE record_imports SET state = $3, changed_at = $2 WHERE id = $1 AND state <> $3";
    let query = sqlx::query(sql).bind(id).bind(time::now()).bind(DONE);
    let has_ended = query.execute(&mut write).await?.rows_affected() > 0;
    let import = find_in(&mut write, id).await?;
    write.touch(insert::TOPIC);
    write.commit().await?;
    Ok((import, has_ended))
}

/// Whether an import has everything.
fn check(import: &Import) -> Result<(), ApiError> {
    if import.reached >= import.last {
        return Ok(());
    }
    let (reached, last) = (import.reached, import.last);
    let text = format!("the import is at id {reached} of {last}: it goes on before it ends");
    Err(ApiError::Conflict(text))
}

/// A transaction on groups, of an import that still has everything.
async fn begin(shared: &Shared, id: i64) -> Result<Write, ApiError> {
    let mut write = shared.state.write().await?;
    insert::lock(&mut write).await?;
    check(&find_in(&mut write, id).await?)?;
    Ok(write)
}

/// The next notes behind a number that are on no group.
async fn left(read: &mut Read, id: i64, after: i64) -> Result<Vec<GuiltyNote>, StateError> {
    let sql = "SELECT guilty, function_name, module, comment, is_hidden FROM record_import_guilty \
         WHERE import_id = $1 AND placed = 0 AND guilty > $2 ORDER BY guilty LIMIT $3";
    let rows = sqlx::query(sql).bind(id).bind(after).bind(NOTES_AT_ONCE);
    let mut notes = Vec::new();
    for row in rows.fetch_all(read).await? {
        let is_hidden: i64 = row.try_get(4)?;
        notes.push(GuiltyNote {
            id: row.try_get(0)?,
            function: row.try_get(1)?,
            module: row.try_get(2)?,
            comment: row.try_get(3)?,
            is_hidden: is_hidden != 0,
        });
    }
    Ok(notes)
}

/// Writes notes on their groups, in as many transactions as it takes.
async fn place_all(
    shared: &Shared,
    id: i64,
    notes: &[(GuiltyNote, Vec<i64>)],
) -> Result<(), ApiError> {
    let mut write = begin(shared, id).await?;
    let mut room = GROUPS_AT_ONCE;
    for (note, groups) in notes {
        let mut is_placed = false;
        for group in groups {
            if room == 0 {
                write.touch(insert::TOPIC);
                write.commit().await?;
                write = begin(shared, id).await?;
                room = GROUPS_AT_ONCE;
            }
            room -= 1;
            is_placed |= place(&mut write, note, *group).await?;
        }
        if is_placed {
            let sql = "UPDATE record_import_guilty SET placed = 1 \
                 WHERE import_id = $1 AND guilty = $2";
            let query = sqlx::query(sql).bind(id).bind(note.id);
            query.execute(&mut write).await?;
        }
    }
    write.touch(insert::TOPIC);
    Ok(write.commit().await?)
}

/// For each guilty frame the groups that have most of their imported records from it.
async fn best_of_groups(read: &mut Read, id: i64) -> Result<HashMap<i64, Vec<i64>>, StateError> {
    let sql = "SELECT group_id, guilty FROM record_import_groups WHERE import_id = $1 \
         ORDER BY group_id, records DESC, guilty LIMIT $2";
    let rows = sqlx::query(sql).bind(id).bind(PAIRS_MAX);
    let mut best: HashMap<i64, Vec<i64>> = HashMap::new();
    let mut last = 0;
    for row in rows.fetch_all(read).await? {
        let group = row.try_get(0)?;
        if group != last {
            best.entry(row.try_get(1)?).or_default().push(group);
        }
        last = group;
    }
    Ok(best)
}

/// The groups with this frame as their label.
async fn labelled(
    read: &mut Read,
    import: &Import,
    note: &GuiltyNote,
) -> Result<Vec<i64>, StateError> {
    let sql = "SELECT id FROM record_groups WHERE project = $1 AND merged_into = 0 \
         AND function_name = $2 AND module = $3 LIMIT 1000";
    let rows = sqlx::query(sql)
        .bind(import.project)
        .bind(note.function.as_str())
        .bind(note.module.as_str())
        .fetch_all(read)
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Writes a note on a group; a comment that somebody wrote here stays. Says whether all of it is there.
async fn place(write: &mut Write, note: &GuiltyNote, group: i64) -> Result<bool, StateError> {
    let sql = "UPDATE record_groups SET \
         comment = CASE WHEN comment = '' THEN $2 ELSE comment END, \
         is_hidden = CASE WHEN $3 = 1 THEN 1 ELSE is_hidden END WHERE id = $1 \
         RETURNING comment";
    let row = sqlx::query(sql)
        .bind(group)
        .bind(note.comment.as_str())
        .bind(i64::from(note.is_hidden))
        .fetch_optional(write)
        .await?;
    let Some(row) = row else {
        return Ok(false);
    };
    let comment: String = row.try_get(0)?;
    Ok(note.comment.is_empty() || comment == note.comment)
}

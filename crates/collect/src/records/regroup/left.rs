//! What is known of a group that records were moved out of, made anew from those that it has left: on
//! which machines and builds it was seen, first and last.

use std::collections::BTreeMap;

use sqlx::Row as _;
use state::{Read, StateError, Write};

use crate::records::Shared;
use crate::records::insert::{self, groups};
use crate::records::time::DAY_MILLISECONDS;

/// Machines of one transaction: intake waits for it.
const MACHINES_MAX: usize = 20_000;
/// Records that may come to a group while it is read.
const LATER_MAX: usize = 10_000;

/// What is left of a group.
struct Left {
    /// How often records were moved out of it, as it is noted.
    moves: i64,
    /// Whether retention has removed some of its records: what was before these is known no more.
    is_cut: bool,
    /// The first record and the last one, if there is any: id, time and build.
    ends: Option<[(i64, i64, String); 2]>,
    /// The last day of each machine.
    machines: BTreeMap<String, i64>,
}

impl Left {
    /// Adds the records that came to the group since. Says `false` when these are too many.
    async fn add_later(&mut self, write: &mut Write, id: i64) -> Result<bool, StateError> {
        let newest = self.ends.as_ref().map_or(0, |[_, (newest, ..)]| *newest);
        let sql = "SELECT id, received_at, build, machine_id FROM records \
             WHERE group_id = $1 AND group_id > 0 AND id > $2 ORDER BY id LIMIT $3";
        let most = i64::try_from(LATER_MAX).unwrap_or(i64::MAX);
        let query = sqlx::query(sql).bind(id).bind(newest).bind(most);
        let rows = query.fetch_all(write).await?;
        for row in &rows {
            let (received_at, end): (i64, (i64, i64, String)) = (
                row.try_get(1)?,
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?),
            );
            let day = received_at.div_euclid(DAY_MILLISECONDS);
            let last = self.machines.entry(row.try_get(3)?).or_insert(day);
            *last = day.max(*last);
            match &mut self.ends {
                Some([_, last]) => *last = end,
                None => self.ends = Some([end.clone(), end]),
            }
        }
        Ok(rows.len() < LATER_MAX)
    }
}

/// Goes over all groups that records were moved out of.
pub(super) async fn look_over(shared: &Shared) -> Result<(), StateError> {
    let mut after = 0;
    loop {
        let mut read = shared.state.read().await?;
        let sql = "SELECT id FROM record_groups WHERE moves > 0 AND id > $1 ORDER BY id LIMIT 1";
        let next = sqlx::query(sql).bind(after).fetch_optional(&mut read);
        let Some(row) = next.await? else {
            return Ok(());
        };
        let id: i64 = row.try_get(0)?;
        // Read before the lock of intake is taken: a group may have very many records.
        let left = left_of(&mut read, id).await?;
        drop(read);
        write(shared, id, left).await?;
        after = id;
    }
}

async fn left_of(read: &mut Read, id: i64) -> Result<Left, StateError> {
    let sql = "SELECT moves, records FROM record_groups WHERE id = $1";
    let row = sqlx::query(sql).bind(id).fetch_one(&mut *read).await?;
    let (moves, counted): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let sql = "SELECT machine_id, MAX(received_at), COUNT(*) FROM records \
         WHERE group_id = $1 AND group_id > 0 GROUP BY machine_id LIMIT $2";
    let most = i64::try_from(MACHINES_MAX).unwrap_or(i64::MAX);
    let rows = sqlx::query(sql).bind(id).bind(most).fetch_all(&mut *read);
    let mut machines = BTreeMap::new();
    let mut kept: i64 = 0;
    for row in rows.await? {
        let last: i64 = row.try_get(1)?;
        machines.insert(row.try_get(0)?, last.div_euclid(DAY_MILLISECONDS));
        kept += row.try_get::<i64, _>(2)?;
    }
    let mut ends = Vec::new();
    for order in ["ASC", "DESC"] {
        let sql = format!(
            "SELECT id, received_at, build FROM records WHERE group_id = $1 AND group_id > 0 \
             ORDER BY id {order} LIMIT 1"
        );
        let found = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id);
        if let Some(row) = found.fetch_optional(&mut *read).await? {
            ends.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        }
    }
    Ok(Left {
        moves,
        is_cut: counted > kept,
        ends: ends.try_into().ok(),
        machines,
    })
}

/// Writes it, with what came meanwhile; unless more records were moved out, then the next look does.
async fn write(shared: &Shared, id: i64, mut left: Left) -> Result<(), StateError> {
    let mut write = shared.state.write().await?;
    insert::lock(&mut write).await?;
    let sql = "UPDATE record_groups SET moves = 0 WHERE id = $1 AND moves = $2";
    let query = sqlx::query(sql).bind(id).bind(left.moves);
    let is_still_so = query.execute(&mut write).await?.rows_affected() > 0;
    if !is_still_so || !left.add_later(&mut write, id).await? {
        return Ok(());
    }
    let sql = "DELETE FROM record_group_days WHERE group_id = $1 AND records <= 0";
    sqlx::query(sql).bind(id).execute(&mut write).await?;
    if let Some(
        [
            (_, first_seen, first_build),
            (last_record, last_seen, last_build),
        ],
    ) = &left.ends
    {
        let sql = "UPDATE record_groups SET last_seen = $2, last_build = $3, last_record = $4, \
             first_build = CASE WHEN $5 = 1 THEN first_build ELSE $6 END, \
             first_seen = CASE WHEN $5 = 1 THEN first_seen ELSE $7 END WHERE id = $1";
        sqlx::query(sql)
            .bind(id)
            .bind(last_seen)
            .bind(last_build.as_str())
            .bind(last_record)
            .bind(i64::from(left.is_cut))
            .bind(first_build.as_str())
            .bind(first_seen)
            .execute(&mut write)
            .await?;
    }
    // Whose records retention has removed, nobody can tell from those that were moved: machines that were
    // seen before all that is left stay.
    let first_day = match &left.ends {
        Some([(_, first_seen, _), _]) if left.is_cut => first_seen.div_euclid(DAY_MILLISECONDS),
        None if left.is_cut => i64::MAX,
        _ => i64::MIN,
    };
    if left.machines.len() < MACHINES_MAX {
        groups::set_machines(&mut write, id, (&left.machines, first_day)).await?;
    }
    write.commit().await
}

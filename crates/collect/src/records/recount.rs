//! How many machines had a crash of a group is counted by intake. An older version does not know of it:
//! what it notes while it runs beside or after is counted here.

use std::time::Duration;

use sqlx::Row as _;
use state::{State, StateError};

use super::insert;

/// Groups of which something is not counted, or counted on another day: of both tables the number of
/// machines and the sum of their days are the same.
const WRONG: &str = "SELECT group_id FROM \
     (SELECT group_id, 1 AS machines, last_day AS days FROM record_group_machines UNION ALL \
      SELECT group_id, -machines, -machines * last_day FROM record_group_population) AS both_tables \
     GROUP BY group_id HAVING SUM(machines) <> 0 OR SUM(days) <> 0";
const FORGET: &str = "DELETE FROM record_group_population WHERE group_id = $1";
const COUNT: &str = "INSERT INTO record_group_population (group_id, last_day, machines) \
     SELECT group_id, last_day, COUNT(*) FROM record_group_machines WHERE group_id = $1 \
     GROUP BY group_id, last_day";
/// Between two transactions.
const PAUSE: Duration = Duration::from_millis(20);

/// Counts the machines of those groups anew that are counted wrongly.
pub(crate) async fn machines_of_groups(
    state: &State,
    is_stopping: &(dyn Fn() -> bool + Sync),
) -> Result<(), StateError> {
    let mut read = state.read().await?;
    let wrong = sqlx::query(WRONG).fetch_all(&mut read).await?;
    drop(read);
    for row in wrong {
        if is_stopping() {
            break;
        }
        let group: i64 = row.try_get(0)?;
        let mut write = state.write().await?;
        insert::lock(&mut write).await?;
        for sql in [FORGET, COUNT] {
            sqlx::query(sql).bind(group).execute(&mut write).await?;
        }
        write.commit().await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use base::supervise::Supervisor;
    use state::Location;

    use super::*;
    use crate::records::insert::groups::note_machine;
    use crate::records::migrations::MIGRATIONS;

    /// Group, day and machines, as they are counted and as they would be counted now.
    async fn counts(state: &State) -> [Vec<(i64, i64, i64)>; 2] {
        let counted = "SELECT group_id, last_day, machines FROM record_group_population \
             WHERE machines <> 0 ORDER BY 1, 2";
        let known = "SELECT group_id, last_day, COUNT(*) FROM record_group_machines \
             GROUP BY 1, 2 ORDER BY 1, 2";
        let mut read = state.read().await.unwrap();
        let mut both = [Vec::new(), Vec::new()];
        for (all, sql) in both.iter_mut().zip([counted, known]) {
            for row in sqlx::query(sql).fetch_all(&mut read).await.unwrap() {
                all.push((row.get(0), row.get(1), row.get(2)));
            }
        }
        both
    }

    #[tokio::test]
    async fn machines_of_groups_are_counted_by_their_last_day() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("state.db"));
        let state = State::open(&location, &[MIGRATIONS], &Supervisor::new()).await;
        let state = state.unwrap();
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            let mut write = state.write().await.unwrap();
            let machine = format!("m{}", random.u32(..20));
            let day = random.i64(1..8);
            let noted = note_machine(&mut write, random.i64(1..4), (&machine, day)).await;
            noted.unwrap();
            write.commit().await.unwrap();
        }
        let [counted, known] = counts(&state).await;
        assert!(counted.len() > 8, "{counted:?}");
        assert_eq!(counted, known);
        // As an older version leaves it: a machine that is new, and one that comes on another day.
        let mut write = state.write().await.unwrap();
        for sql in [
            "INSERT INTO record_group_machines (group_id, machine_id, last_day) VALUES (9, 'x', 3)",
            "UPDATE record_group_machines SET last_day = 9 WHERE group_id = 2 AND machine_id = 'm1'",
        ] {
            let done = sqlx::query(sql).execute(&mut write).await.unwrap();
            assert_eq!(done.rows_affected(), 1, "{sql}");
        }
        write.commit().await.unwrap();
        machines_of_groups(&state, &|| false).await.unwrap();
        let [counted, known] = counts(&state).await;
        assert!(counted.contains(&(9, 3, 1)) && counted.contains(&(2, 9, 1)));
        assert_eq!(counted, known);
    }
}

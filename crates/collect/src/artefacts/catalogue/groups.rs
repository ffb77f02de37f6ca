//! Groups: what they hold and what is set for them.

use sqlx::{Any, AssertSqlSafe, Row as _};
use state::StateError;

use super::search::name_of;
use super::{Catalogue, folder_name, size};
use crate::artefacts::settings::GroupSettings;

/// Groups that are looked at. Those behind are shown to nobody.
const GROUPS_MAX: usize = 100_000;
/// Groups that are read in one statement.
const PAGE: usize = 10_000;

/// A group, as far as its own row goes.
#[derive(Debug, Clone)]
pub(crate) struct GroupRow {
    pub(crate) id: i64,
    /// Empty for what is in no group.
    pub(crate) name: String,
    /// Versions and parts included.
    pub(crate) bytes: u64,
    pub(crate) is_pinned: bool,
    pub(crate) settings: GroupSettings,
}

/// A group with what is in it.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) row: GroupRow,
    pub(crate) runs: u64,
    pub(crate) files: u64,
    /// When something came last; when it was made, if nothing has come.
    pub(crate) changed_at: i64,
}

/// What is changed of a group; nothing stays as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupChange {
    /// As it is kept: empty where the configuration decides.
    pub(crate) retention: Option<String>,
    /// The same.
    pub(crate) quota: Option<String>,
    pub(crate) is_pinned: Option<bool>,
}

impl Catalogue {
    /// All groups in the order of their names.
    pub(crate) async fn group_rows(&self) -> Result<Vec<GroupRow>, StateError> {
        let sql = "SELECT id, name, bytes, pinned, retention, quota FROM artefact_groups \
             WHERE name >= $1 ORDER BY name LIMIT $2";
        let mut groups: Vec<GroupRow> = Vec::new();
        let mut first = Vec::new();
        while groups.len() < GROUPS_MAX {
            let mut read = self.read().await?;
            let rows = sqlx::query(sql)
                .bind(first)
                .bind(i64::try_from(PAGE).unwrap_or(i64::MAX));
            let rows = rows.fetch_all(&mut read).await?;
            for row in &rows {
                groups.push(group_row(row)?);
            }
            if rows.len() < PAGE {
                break;
            }
            // Just behind the last.
            let last = groups.last().map(|group| folder_name(&group.name));
            first = last.unwrap_or_default();
            first.push(0);
        }
        Ok(groups)
    }

    /// The groups of these numbers with what is in them, in the order of their names.
    pub(crate) async fn groups_with(&self, ids: &[i64]) -> Result<Vec<Group>, StateError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let ids = ids.join(", ");
        let sql = format!(
            "SELECT g.id, g.name, g.bytes, g.pinned, g.retention, g.quota, g.created_at, \
             (SELECT COUNT(*) FROM artefact_runs r WHERE r.group_id = g.id AND r.name > $1), \
             (SELECT CAST(COALESCE(SUM(r.files), 0) AS BIGINT) FROM artefact_runs r \
              WHERE r.group_id = g.id), \
             (SELECT COALESCE(MAX(r.changed_at), 0) FROM artefact_runs r \
              WHERE r.group_id = g.id) \
             FROM artefact_groups g WHERE g.id IN ({ids}) ORDER BY g.name"
        );
        let mut read = self.read().await?;
        // Each page has other numbers: there is nothing to be kept of the statement.
        let query = sqlx::query::<Any>(AssertSqlSafe(sql))
            .persistent(false)
            .bind(Vec::<u8>::new());
        let mut groups = Vec::new();
        for row in query.fetch_all(&mut read).await? {
            let (created, changed): (i64, i64) = (row.try_get(6)?, row.try_get(9)?);
            groups.push(Group {
                row: group_row(&row)?,
                runs: size(&row, 7)?,
                files: size(&row, 8)?,
                changed_at: created.max(changed),
            });
        }
        Ok(groups)
    }

    /// The group of this name.
    pub(crate) async fn group(&self, name: &str) -> Result<Option<Group>, StateError> {
        let mut read = self.read().await?;
        let sql = "SELECT id FROM artefact_groups WHERE name = $1";
        let row = sqlx::query(sql).bind(folder_name(name));
        let Some(row) = row.fetch_optional(&mut read).await? else {
            return Ok(None);
        };
        drop(read);
        let groups = self.groups_with(&[row.try_get(0)?]).await?;
        Ok(groups.into_iter().next())
    }

    /// Changes what is set for a group; whether it is there.
    pub(crate) async fn change_group(
        &self,
        name: &str,
        change: &GroupChange,
    ) -> Result<bool, StateError> {
        let sql = "UPDATE artefact_groups SET retention = COALESCE($2, retention), \
             quota = COALESCE($3, quota), pinned = COALESCE($4, pinned) WHERE name = $1";
        let mut write = self.state.write().await?;
        let done = sqlx::query(sql)
            .bind(folder_name(name))
            .bind(change.retention.clone())
            .bind(change.quota.clone())
            .bind(change.is_pinned.map(i64::from))
            .execute(&mut write)
            .await?;
        write.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// The runs of a group that are not pinned, what is directly in it included, behind a number and
    /// by their numbers; with a time those to which nothing has come since.
    pub(crate) async fn runs_to_remove(
        &self,
        group: i64,
        (after, changed_before): (i64, Option<i64>),
        limit: i64,
    ) -> Result<Vec<i64>, StateError> {
        let sql = "SELECT id FROM artefact_runs WHERE group_id = $1 AND id > $2 \
             AND changed_at < $3 AND pinned = 0 ORDER BY id LIMIT $4";
        let mut read = self.read().await?;
        let rows = sqlx::query(sql)
            .bind(group)
            .bind(after)
            .bind(changed_before.unwrap_or(i64::MAX))
            .bind(limit);
        let rows = rows.fetch_all(&mut read).await?;
        let ids = rows.iter().map(|row| row.try_get(0));
        Ok(ids.collect::<Result<_, _>>()?)
    }
}

fn group_row(row: &sqlx::any::AnyRow) -> Result<GroupRow, sqlx::Error> {
    let (retention, quota): (String, String) = (row.try_get(4)?, row.try_get(5)?);
    Ok(GroupRow {
        id: row.try_get(0)?,
        name: name_of(row, 1)?,
        bytes: size(row, 2)?,
        is_pinned: row.try_get::<i64, _>(3)? != 0,
        settings: GroupSettings::of(&retention, &quota),
    })
}

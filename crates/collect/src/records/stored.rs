//! Records as they are read back.

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{Read, StateError};
use wire::telemetrics::{Record, is_usual_arch};

use super::filter::Conditions;
use super::project::Projects;
use super::search;
use super::time;

/// What lists show of a record.
pub(crate) const SUMMARY: &str = "records.id, project, received_at, created_at, severity, \
     classification, machine_id, build, system_name, external, group_id, \
     substr(body, 1, 480) AS excerpt";
/// All of a record.
pub(crate) const WHOLE: &str = "records.id, project, received_at, created_at, severity, \
     classification, machine_id, build, system_name, external, group_id, record_version, \
     payload_version, event_id, arch, host_type, kernel_version, board_name, cpu_model, \
     bios_version, body";
/// How long a payload is that is not read yet.
pub(crate) const ID_AND_BYTES: &str = "records.id, records.payload_bytes";
/// Bytes of the payloads that are read at a time.
const PAGE_BYTES: i64 = 1 << 20;
/// Characters of a payload in lists.
const EXCERPT_CHARACTERS: usize = 120;

/// What lists show of a record.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) id: i64,
    pub(crate) project: String,
    pub(crate) received_at: Option<String>,
    pub(crate) created_at: Option<String>,
    pub(crate) severity: i64,
    pub(crate) classification: String,
    pub(crate) machine_id: String,
    pub(crate) build: String,
    pub(crate) system_name: String,
    pub(crate) external: bool,
    pub(crate) group: Option<i64>,
    pub(crate) excerpt: String,
}

/// A record with its numbers.
#[derive(Debug)]
pub(crate) struct StoredRecord {
    pub(crate) id: i64,
    pub(crate) project: i64,
    pub(crate) received_at: i64,
    pub(crate) group: Option<i64>,
    pub(crate) record: Record,
}

impl Summary {
    /// From a row of [`SUMMARY`].
    pub(crate) fn of(row: &AnyRow, projects: &Projects) -> Result<Self, StateError> {
        // SQLite says NULL where there is nothing to take a part of.
        let body: Option<Vec<u8>> = row.try_get("excerpt")?;
        let body = body.unwrap_or_default();
        let created: i64 = row.try_get("created_at")?;
        let project: i64 = row.try_get("project")?;
        let external: i64 = row.try_get("external")?;
        let group: i64 = row.try_get("group_id")?;
        Ok(Self {
            id: row.try_get("id")?,
            project: projects.name(project).unwrap_or_default().to_owned(),
            received_at: time::rfc3339(row.try_get("received_at")?),
            created_at: created.checked_mul(1000).and_then(time::rfc3339),
            severity: row.try_get("severity")?,
            classification: row.try_get("classification")?,
            machine_id: row.try_get("machine_id")?,
            build: row.try_get("build")?,
            system_name: row.try_get("system_name")?,
            external: external != 0,
            group: (group > 0).then_some(group),
            excerpt: excerpt(&body),
        })
    }
}

impl StoredRecord {
    /// From a row of [`WHOLE`].
    pub(crate) fn of(row: &AnyRow) -> Result<Self, StateError> {
        let body: Vec<u8> = row.try_get("body")?;
        let external: i64 = row.try_get("external")?;
        let severity: i64 = row.try_get("severity")?;
        let version: i64 = row.try_get("record_version")?;
        let group: i64 = row.try_get("group_id")?;
        let record = Record {
            record_format_version: u8::try_from(version).unwrap_or_default(),
            severity: u8::try_from(severity).unwrap_or_default(),
            classification: row.try_get("classification")?,
            machine_id: row.try_get("machine_id")?,
            created: row.try_get("created_at")?,
            is_unusual_arch: !is_usual_arch(row.try_get("arch")?),
            arch: row.try_get("arch")?,
            host_type: row.try_get("host_type")?,
            kernel_version: row.try_get("kernel_version")?,
            board_name: row.try_get("board_name")?,
            cpu_model: row.try_get("cpu_model")?,
            bios_version: row.try_get("bios_version")?,
            event_id: row.try_get("event_id")?,
            build: row.try_get("build")?,
            system_name: row.try_get("system_name")?,
            payload_format_version: row.try_get("payload_version")?,
            external: external != 0,
            payload: String::from_utf8_lossy(&body).into_owned(),
        };
        Ok(Self {
            id: row.try_get("id")?,
            project: row.try_get("project")?,
            received_at: row.try_get("received_at")?,
            group: (group > 0).then_some(group),
            record,
        })
    }
}

/// In which order records come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    OldestFirst,
}

impl Order {
    /// As a statement says it.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::NewestFirst => "DESC",
            Self::OldestFirst => "ASC",
        }
    }
}

/// The first `limit` records that fit, each with its payload.
pub(crate) async fn select(
    read: &mut Read,
    columns: &str,
    conditions: &Conditions,
    (order, limit): (Order, usize),
) -> Result<Vec<AnyRow>, StateError> {
    let rows = search::find(read, "records.id", conditions, (order, limit)).await?;
    let ids: Result<Vec<i64>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    of_ids(read, columns, &ids?, order).await
}

/// Like [`select`], and as few of the records as fit into some [`PAGE_BYTES`]; with the ids that were
/// found.
pub(crate) async fn select_page(
    read: &mut Read,
    columns: &str,
    conditions: &Conditions,
    (order, limit): (Order, usize),
) -> Result<(Vec<i64>, Vec<AnyRow>), StateError> {
    let rows = search::find(read, ID_AND_BYTES, conditions, (order, limit)).await?;
    let ids = pages(&rows)?.into_iter().next().unwrap_or_default();
    let rows = of_ids(read, columns, &ids, order).await?;
    Ok((ids, rows))
}

/// Rows of [`ID_AND_BYTES`] as pages of ids whose payloads have some [`PAGE_BYTES`] together.
pub(crate) fn pages(rows: &[AnyRow]) -> Result<Vec<Vec<i64>>, StateError> {
    let mut pages: Vec<Vec<i64>> = Vec::new();
    let mut left = 0;
    for row in rows {
        let (id, bytes): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        match pages.last_mut() {
            Some(page) if bytes <= left => page.push(id),
            _ => {
                pages.push(vec![id]);
                left = PAGE_BYTES;
            }
        }
        left -= bytes;
    }
    Ok(pages)
}

/// These records, each with its payload. They are found first and read afterwards, so that no database
/// thinks of reading payloads to find them.
pub(crate) async fn of_ids(
    read: &mut Read,
    columns: &str,
    ids: &[i64],
    order: Order,
) -> Result<Vec<AnyRow>, StateError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    // As text: no two such statements are the same, so there is nothing to prepare.
    let list: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let sql = format!(
        "SELECT {columns} FROM records JOIN record_payloads ON record_payloads.id = records.id \
         WHERE records.id IN ({}) ORDER BY records.id {}",
        list.join(", "),
        order.sql()
    );
    let query = sqlx::query::<Any>(AssertSqlSafe(sql)).persistent(false);
    Ok(query.fetch_all(read).await?)
}

/// The beginning of a payload on one line.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(EXCERPT_CHARACTERS).collect()
}

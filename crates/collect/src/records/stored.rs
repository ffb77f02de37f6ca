//! Records as they are read back.

use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use state::{Read, StateError};
use wire::telemetrics::Record;

use super::filter::Conditions;
use super::project::Projects;
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
/// Bytes of the payloads that are read at a time.
const PAGE_BYTES: usize = 1 << 20;
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
            arch: row.try_get("arch")?,
            is_unusual_arch: false,
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

/// The first `limit` records that fit, each with its payload. Which they are is decided inside, so that
/// no database thinks of reading payloads first.
pub(crate) async fn select(
    read: &mut Read,
    columns: &str,
    conditions: &Conditions,
    (order, limit): (Order, usize),
) -> Result<Vec<AnyRow>, StateError> {
    let order = match order {
        Order::NewestFirst => "DESC",
        Order::OldestFirst => "ASC",
    };
    let head = format!("SELECT {columns} FROM (SELECT * FROM records");
    let tail = format!(
        "ORDER BY id {order} LIMIT {limit}) AS records \
         JOIN record_payloads ON record_payloads.id = records.id ORDER BY records.id {order}"
    );
    conditions.fetch(read, &head, &tail).await
}

/// The ids of the first records that fit, as many of `limit` as have some [`PAGE_BYTES`] of payload
/// together, and one at least.
pub(crate) async fn ids_of_page(
    read: &mut Read,
    conditions: &Conditions,
    window: (Order, usize),
) -> Result<Vec<i64>, StateError> {
    let rows = select(read, "records.id, length(body)", conditions, window).await?;
    let (mut ids, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let length: Option<i64> = length_of(&row)?;
        bytes += usize::try_from(length.unwrap_or(0)).unwrap_or(PAGE_BYTES);
        if bytes > PAGE_BYTES && !ids.is_empty() {
            break;
        }
        ids.push(row.try_get(0)?);
    }
    Ok(ids)
}

/// PostgreSQL counts with 32 bits.
fn length_of(row: &AnyRow) -> Result<Option<i64>, StateError> {
    match row.try_get::<Option<i64>, _>(1) {
        Ok(length) => Ok(length),
        Err(_) => Ok(row.try_get::<Option<i32>, _>(1)?.map(i64::from)),
    }
}

/// Like [`select`], and as few of the records as fit into some [`PAGE_BYTES`].
pub(crate) async fn select_page(
    read: &mut Read,
    columns: &str,
    conditions: &Conditions,
    (order, limit): (Order, usize),
) -> Result<Vec<AnyRow>, StateError> {
    let ids = ids_of_page(read, conditions, (order, limit)).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut of_ids = Conditions::default();
    of_ids.one_of("id", &ids);
    select(read, columns, &of_ids, (order, limit)).await
}

/// The beginning of a payload on one line.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(EXCERPT_CHARACTERS).collect()
}

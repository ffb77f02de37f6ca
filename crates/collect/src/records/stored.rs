//! Records as they are read back.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use serde::Serialize;
use state::{Read, StateError};
use wire::telemetrics::{Record, is_usual_arch};

use super::filter::Conditions;
use super::packed::{self, Column, Packed, Row};
use super::project::Projects;
use super::search::{self, Hit};
use super::time;

/// What lists show of a record.
pub(crate) const SUMMARY: &[Column] = &[
    Column::Number("records.id"),
    Column::Number("project"),
    Column::Number("received_at"),
    Column::Number("created_at"),
    Column::Number("severity"),
    Column::Text("classification"),
    Column::Text("machine_id"),
    Column::Text("build"),
    Column::Text("system_name"),
    Column::Number("external"),
    Column::Number("group_id"),
    Column::Bytes("COALESCE(substr(body, 1, 480), body)"),
];
/// All of a record.
pub(crate) const WHOLE: &[Column] = &[
    Column::Number("records.id"),
    Column::Number("project"),
    Column::Number("received_at"),
    Column::Number("created_at"),
    Column::Number("severity"),
    Column::Text("classification"),
    Column::Text("machine_id"),
    Column::Text("build"),
    Column::Text("system_name"),
    Column::Number("external"),
    Column::Number("group_id"),
    Column::Number("record_version"),
    Column::Number("payload_version"),
    Column::Text("event_id"),
    Column::Text("arch"),
    Column::Text("host_type"),
    Column::Text("kernel_version"),
    Column::Text("board_name"),
    Column::Text("cpu_model"),
    Column::Text("bios_version"),
    Column::Bytes("body"),
];
/// Bytes of the payloads that are read at a time.
const PAGE_BYTES: i64 = 512 << 10;
/// Ids between those that are wanted, as a part of these, with which they are still read as one run.
const BETWEEN_SHARE: usize = 8;
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
    pub(crate) fn of(row: Row<'_>, projects: &Projects) -> Result<Self, StateError> {
        let group = row.number(10)?;
        Ok(Self {
            id: row.number(0)?,
            project: projects.name(row.number(1)?).unwrap_or_default().to_owned(),
            received_at: time::rfc3339(row.number(2)?),
            created_at: row.number(3)?.checked_mul(1000).and_then(time::rfc3339),
            severity: row.number(4)?,
            classification: row.text(5)?.to_owned(),
            machine_id: row.text(6)?.to_owned(),
            build: row.text(7)?.to_owned(),
            system_name: row.text(8)?.to_owned(),
            external: row.number(9)? != 0,
            group: (group > 0).then_some(group),
            excerpt: excerpt(row.bytes(11)?),
        })
    }
}

impl StoredRecord {
    /// From a row of [`WHOLE`].
    pub(crate) fn of(row: Row<'_>) -> Result<Self, StateError> {
        let text = |column| row.text(column).map(str::to_owned);
        let group = row.number(10)?;
        let record = Record {
            created: row.number(3)?,
            severity: u8::try_from(row.number(4)?).unwrap_or_default(),
            classification: text(5)?,
            machine_id: text(6)?,
            build: text(7)?,
            system_name: text(8)?,
            external: row.number(9)? != 0,
            record_format_version: u8::try_from(row.number(11)?).unwrap_or_default(),
            payload_format_version: row.number(12)?,
            event_id: text(13)?,
            arch: text(14)?,
            is_unusual_arch: !is_usual_arch(row.text(14)?),
            host_type: text(15)?,
            kernel_version: text(16)?,
            board_name: text(17)?,
            cpu_model: text(18)?,
            bios_version: text(19)?,
            payload: String::from_utf8_lossy(row.bytes(20)?).into_owned(),
        };
        Ok(Self {
            id: row.number(0)?,
            project: row.number(1)?,
            received_at: row.number(2)?,
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

/// The first `limit` records that fit, each with its payload, and the ids that were found. There may be
/// fewer records than ids: some may be removed in between.
pub(crate) async fn select(
    read: &mut Read,
    columns: &[Column],
    conditions: &Conditions,
    (order, limit): (Order, usize),
) -> Result<(Vec<i64>, Packed), StateError> {
    let hits = search::find(read, conditions, (order, limit)).await?;
    let ids: Vec<i64> = hits.iter().map(|hit| hit.id).collect();
    let rows = of_ids(read, columns, &ids, order).await?;
    Ok((ids, rows))
}

/// Like [`select`], and as few of the records as fit into some [`PAGE_BYTES`].
pub(crate) async fn select_page(
    read: &mut Read,
    columns: &[Column],
    conditions: &Conditions,
    (order, limit): (Order, usize),
) -> Result<(Vec<i64>, Packed), StateError> {
    let hits = search::find(read, conditions, (order, limit)).await?;
    let ids = pages(&hits).into_iter().next().unwrap_or_default();
    let rows = of_ids(read, columns, &ids, order).await?;
    Ok((ids, rows))
}

/// What was found as pages of ids whose payloads have some [`PAGE_BYTES`] together.
pub(crate) fn pages(hits: &[Hit]) -> Vec<Vec<i64>> {
    let mut pages: Vec<Vec<i64>> = Vec::new();
    let mut left = 0;
    for hit in hits {
        match pages.last_mut() {
            Some(page) if hit.bytes <= left => page.push(hit.id),
            _ => {
                pages.push(vec![hit.id]);
                left = PAGE_BYTES;
            }
        }
        left -= hit.bytes;
    }
    pages
}

/// These records, each with its payload. They are found first and read
/// afterwards, so that no database thinks of reading payloads to find them. Where they stand side by side
/// they are read as one run, which takes PostgreSQL half the time of finding each. They are read as they
/// stand in the file, the oldest first: backwards the system does not read ahead, and a file that is not in
/// memory comes a page at a time.
pub(crate) async fn of_ids(
    read: &mut Read,
    columns: &[Column],
    ids: &[i64],
    order: Order,
) -> Result<Packed, StateError> {
    let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else {
        return Ok(Packed::default());
    };
    let which = which(ids, *first..=*last);
    let rest = format!(
        "FROM records JOIN record_payloads ON record_payloads.id = records.id \
         WHERE {which} ORDER BY records.id"
    );
    // No two such statements are the same, so there is nothing to prepare.
    let mut rows = packed::fetch_once(read, columns, &rest).await?;
    if order == Order::NewestFirst {
        rows.reverse();
    }
    Ok(rows)
}

/// A condition for these ids, which all are in the range.
fn which(ids: &[i64], range: RangeInclusive<i64>) -> String {
    let (first, last) = (range.start(), range.end());
    let between = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
    let list = |ids: &mut dyn Iterator<Item = i64>| {
        let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
        ids.join(", ")
    };
    if between.saturating_sub(ids.len()) > ids.len() / BETWEEN_SHARE {
        return format!("records.id IN ({})", list(&mut ids.iter().copied()));
    }
    let run = format!("BETWEEN {first} AND {last}");
    let run = format!("records.id {run} AND record_payloads.id {run}");
    let wanted: HashSet<i64> = ids.iter().copied().collect();
    let others = list(&mut range.filter(|id| !wanted.contains(id)));
    if others.is_empty() {
        run
    } else {
        format!("{run} AND records.id NOT IN ({others})")
    }
}

/// These columns of these records, but for their payloads.
pub(crate) async fn without_payload(
    read: &mut Read,
    columns: &[Column],
    ids: &[i64],
) -> Result<Packed, StateError> {
    if ids.is_empty() {
        return Ok(Packed::default());
    }
    let list: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let rest = format!("FROM records WHERE id IN ({})", list.join(", "));
    packed::fetch_once(read, columns, &rest).await
}

/// The beginning of a payload on one line.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(EXCERPT_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_stand_side_by_side_are_one_run() {
        let run = |first, last| {
            format!(
                "records.id BETWEEN {first} AND {last} \
                 AND record_payloads.id BETWEEN {first} AND {last}"
            )
        };
        assert_eq!(which(&[5], 5..=5), run(5, 5));
        assert_eq!(which(&[9, 8, 7], 7..=9), run(7, 9));
        assert_eq!(which(&[3, 9], 3..=9), "records.id IN (3, 9)");
        let holes: Vec<i64> = (1..=20).filter(|id| *id != 4 && *id != 17).collect();
        let but = format!("{} AND records.id NOT IN (4, 17)", run(1, 20));
        assert_eq!(which(&holes, 1..=20), but);
        assert_eq!(
            which(&[1, i64::MAX], 1..=i64::MAX),
            format!("records.id IN (1, {})", i64::MAX)
        );
    }
}

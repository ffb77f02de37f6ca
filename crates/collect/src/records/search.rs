//! Finds records without reading all of them. An index behind intake says which blocks of ids may have
//! a value of a field or a word of the payload; the records of these, and those that it has not reached
//! yet, are looked at.
//!
//! A block is 64 ids. Of each word in it three bits of 65,536 are set, of each field three of 16,384.
//! The bits of 64 blocks in a row are kept turned: all 64 bits of one number stand together, so that a
//! question for one value reads three numbers of each row and no more. All bits are 160 bytes for each
//! record, and what is 0 is not kept. An ordered index of one field costs every record a page of its own.

mod candidates;
mod fields;
pub(crate) mod index;
#[cfg(test)]
mod tests;
mod words;

use std::ops::Range;

use sqlx::Row as _;
use sqlx::any::AnyRow;
use state::{Read, StateError};

pub(crate) use self::candidates::Hints;
use self::candidates::{Candidates, Place};
pub(crate) use self::fields::{Bits, Field};
pub(crate) use self::words::Words;
use super::Shared;
use super::filter::Conditions;
use super::stored::{self, Order};

/// Ids that one question looks at for words: those that the index does not tell apart, or filters that
/// nothing fits, must not read everything.
const LOOKED_AT_MAX: i64 = 50_000;
/// More than there are in the runs of one statement.
const RUN_ROWS_MAX: usize = 1 << 20;
/// Records that are looked at for words at a time, where the index does not say which.
const ROWS_AT_ONCE: usize = 512;

/// What a search found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The records that have all words and fit, newest first.
    pub(crate) ids: Vec<i64>,
    /// It ended before all were looked at; the search goes on below this id.
    pub(crate) ended_at: Option<i64>,
}

/// The first `limit` records that fit, with these of their columns. The first is the id; payloads are
/// elsewhere.
pub(crate) async fn find(
    read: &mut Read,
    columns: &str,
    conditions: &Conditions,
    (order, limit): (Order, usize),
) -> Result<Vec<AnyRow>, StateError> {
    if !conditions.are_helped() {
        let all = conditions.hints().ids.clone();
        return in_all(read, columns, (conditions, all), (order, limit)).await;
    }
    let mut candidates = Candidates::new(read, conditions.hints().clone(), order).await?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(place) = candidates.next(read).await?
    {
        let window = (order, limit - found.len());
        found.extend(match place {
            Place::All(ids) => in_all(read, columns, (conditions, ids), window).await?,
            Place::Runs(runs) => in_runs(read, columns, (conditions, &runs), window).await?,
        });
    }
    Ok(found)
}

/// Those in all ids of a range: most of what is wanted is near its beginning.
async fn in_all(
    read: &mut Read,
    columns: &str,
    (conditions, ids): (&Conditions, Range<i64>),
    (order, limit): (Order, usize),
) -> Result<Vec<AnyRow>, StateError> {
    let mut conditions = conditions.clone();
    conditions.from(ids.start);
    conditions.below(ids.end);
    let head = format!("SELECT {columns} FROM records");
    let tail = format!("ORDER BY id {} LIMIT {limit}", order.sql());
    conditions.fetch(read, &head, &tail).await
}

/// Those in runs of ids. The statement asks for no order and no limit: PostgreSQL would walk through all
/// ids in their order until it has enough.
async fn in_runs(
    read: &mut Read,
    columns: &str,
    (conditions, runs): (&Conditions, &[Range<i64>]),
    (order, limit): (Order, usize),
) -> Result<Vec<AnyRow>, StateError> {
    let mut conditions = conditions.clone();
    // Few lengths, so that statements are prepared once.
    let length = runs.len().next_power_of_two();
    let runs = runs.iter().cloned().chain(std::iter::repeat(0..0));
    let runs: Vec<String> = runs
        .take(length)
        .map(|run| {
            let (start, end) = (conditions.value(run.start), conditions.value(run.end));
            format!("({start}, {end})")
        })
        .collect();
    let head = format!(
        "SELECT {columns} FROM (VALUES {}) AS runs CROSS JOIN records",
        runs.join(", ")
    );
    conditions.plain("records.id >= runs.column1 AND records.id < runs.column2");
    let rows = conditions.fetch(read, &head, "").await?;
    let by_id = |row: AnyRow| Ok((row.try_get::<i64, _>(0)?, row));
    let mut rows: Vec<(i64, AnyRow)> = rows
        .into_iter()
        .map(by_id)
        .collect::<Result<_, StateError>>()?;
    match order {
        Order::NewestFirst => rows.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id)),
        Order::OldestFirst => rows.sort_unstable_by_key(|(id, _)| *id),
    }
    rows.truncate(limit);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// At most `limit` records with these words that fit, newest first.
pub(crate) async fn search(
    shared: &Shared,
    words: &Words,
    conditions: &Conditions,
    limit: usize,
) -> Result<Found, StateError> {
    let mut read = shared.state.read().await?;
    let mut hints = conditions.hints().clone();
    hints.clauses.extend(words.bits().map(|bits| vec![bits]));
    let candidates = Candidates::new(&mut read, hints, Order::NewestFirst).await?;
    let mut candidates = candidates.few();
    let mut search = Search {
        words,
        limit,
        ids: Vec::new(),
    };
    let mut looked_at = 0;
    while let Some(place) = candidates.next(&mut read).await? {
        let mut rest = match place {
            Place::All(ids) => Some(ids),
            Place::Runs(runs) => {
                let given = (conditions, runs.as_slice());
                let window = (Order::NewestFirst, RUN_ROWS_MAX);
                let rows = in_runs(&mut read, stored::ID_AND_BYTES, given, window).await?;
                search.look_at(&mut read, &rows).await?;
                looked_at += runs.iter().map(|run| run.end - run.start).sum::<i64>();
                if looked_at >= LOOKED_AT_MAX {
                    return Ok(search.ended(runs.last().map(|run| run.start)));
                }
                None
            }
        };
        while let Some(ids) = rest.take() {
            let start = ids.start;
            let window = (Order::NewestFirst, ROWS_AT_ONCE);
            let rows = in_all(&mut read, stored::ID_AND_BYTES, (conditions, ids), window).await?;
            search.look_at(&mut read, &rows).await?;
            let last: Option<i64> = rows.last().map(|row| row.try_get(0)).transpose()?;
            let last = last.filter(|_| rows.len() == ROWS_AT_ONCE && !search.is_over());
            looked_at += i64::try_from(rows.len()).unwrap_or(i64::MAX);
            if last.is_some() && looked_at >= LOOKED_AT_MAX {
                return Ok(search.ended(last));
            }
            rest = last.map(|last| start..last);
        }
        if search.is_over() {
            break;
        }
    }
    Ok(search.ended(None))
}

/// What a search has found so far.
struct Search<'a> {
    words: &'a Words,
    limit: usize,
    ids: Vec<i64>,
}

impl Search<'_> {
    fn is_over(&self) -> bool {
        self.ids.len() >= self.limit
    }

    fn ended(self, at: Option<i64>) -> Found {
        Found {
            ended_at: at.filter(|_| !self.is_over()),
            ids: self.ids,
        }
    }

    /// Looks at the payloads of these rows of [`stored::ID_AND_BYTES`].
    async fn look_at(&mut self, read: &mut Read, rows: &[AnyRow]) -> Result<(), StateError> {
        for ids in stored::pages(rows)? {
            let order = Order::NewestFirst;
            for row in stored::of_ids(read, "records.id, body", &ids, order).await? {
                if self.is_over() {
                    return Ok(());
                }
                let body: &[u8] = row.try_get(1)?;
                if self.words.are_in(body) {
                    self.ids.push(row.try_get(0)?);
                }
            }
        }
        Ok(())
    }
}

pub(crate) async fn newest(read: &mut Read) -> Result<i64, StateError> {
    let sql = "SELECT COALESCE(MAX(id), 0) FROM records";
    Ok(sqlx::query(sql).fetch_one(read).await?.try_get(0)?)
}

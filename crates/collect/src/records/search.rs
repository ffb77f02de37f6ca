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
use state::{Read, State, StateError};

pub(crate) use self::candidates::Hints;
use self::candidates::{Candidates, Place};
pub(crate) use self::fields::{Bits, Field};
pub(crate) use self::words::Words;
use super::filter::Conditions;
use super::packed::{Column, Packed, Row};
use super::stored::{self, Order};

/// Ids that one question looks at for words: those that the index does not tell apart, or filters that
/// nothing fits, must not read everything.
const LOOKED_AT_MAX: i64 = 50_000;
/// More than there are in the runs of one statement.
const RUN_ROWS_MAX: usize = 1 << 20;
/// Records that are looked at for words at a time, where the index does not say which.
const ROWS_AT_ONCE: usize = 512;

/// A record that was found and not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) id: i64,
    /// Of its payload.
    pub(crate) bytes: i64,
}

/// What is read of a [`Hit`].
const HIT: [Column; 2] = [
    Column::Number("records.id"),
    Column::Number("records.payload_bytes"),
];

/// What a search for words reads.
pub(crate) const PAYLOAD: [Column; 2] = [Column::Number("records.id"), Column::Bytes("body")];

/// What a search found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The records that have all words and fit, newest first.
    pub(crate) ids: Vec<i64>,
    /// It ended before all were looked at; the search goes on below this id.
    pub(crate) ended_at: Option<i64>,
}

/// The first `limit` records that fit.
pub(crate) async fn find(
    read: &mut Read,
    conditions: &Conditions,
    (order, limit): (Order, usize),
) -> Result<Vec<Hit>, StateError> {
    if !conditions.are_helped() {
        let all = conditions.hints().ids.clone();
        return in_all(read, (conditions, all), (order, limit)).await;
    }
    let mut candidates = Candidates::new(read, conditions.hints().clone(), order).await?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(place) = candidates.next(read).await?
    {
        let window = (order, limit - found.len());
        found.extend(match place {
            Place::All(ids) => in_all(read, (conditions, ids), window).await?,
            Place::Runs(runs) => in_runs(read, (conditions, &runs), window).await?,
        });
    }
    Ok(found)
}

/// Those in all ids of a range: most of what is wanted is near its beginning.
async fn in_all(
    read: &mut Read,
    (conditions, ids): (&Conditions, Range<i64>),
    (order, limit): (Order, usize),
) -> Result<Vec<Hit>, StateError> {
    let mut conditions = conditions.clone();
    conditions.from(ids.start);
    conditions.below(ids.end);
    let tail = format!("ORDER BY id {} LIMIT {limit}", order.sql());
    let place = ("FROM records", tail.as_str());
    hits(&conditions.fetch_packed(read, &HIT, place).await?)
}

fn hits(packed: &Packed) -> Result<Vec<Hit>, StateError> {
    let hit = |row: Row<'_>| {
        Ok(Hit {
            id: row.number(0)?,
            bytes: row.number(1)?,
        })
    };
    packed.rows().map(hit).collect()
}

/// Those in runs of ids. The statement asks for no order and no limit: PostgreSQL would walk through all
/// ids in their order until it has enough.
async fn in_runs(
    read: &mut Read,
    (conditions, runs): (&Conditions, &[Range<i64>]),
    (order, limit): (Order, usize),
) -> Result<Vec<Hit>, StateError> {
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
    let from = format!(
        "FROM (VALUES {}) AS runs CROSS JOIN records",
        runs.join(", ")
    );
    conditions.plain("records.id >= runs.column1 AND records.id < runs.column2");
    let mut hits = hits(&conditions.fetch_packed(read, &HIT, (&from, "")).await?)?;
    match order {
        Order::NewestFirst => hits.sort_unstable_by_key(|hit| std::cmp::Reverse(hit.id)),
        Order::OldestFirst => hits.sort_unstable_by_key(|hit| hit.id),
    }
    hits.truncate(limit);
    Ok(hits)
}

/// At most `limit` records with these words that fit, newest first.
pub(crate) async fn search(
    state: &State,
    words: &Words,
    conditions: &Conditions,
    limit: usize,
) -> Result<Found, StateError> {
    let mut read = state.read().await?;
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
                let hits = in_runs(&mut read, given, window).await?;
                search.look_at(&mut read, &hits).await?;
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
            let hits = in_all(&mut read, (conditions, ids), window).await?;
            search.look_at(&mut read, &hits).await?;
            let last = hits.last().map(|hit| hit.id);
            let last = last.filter(|_| hits.len() == ROWS_AT_ONCE && !search.is_over());
            looked_at += i64::try_from(hits.len()).unwrap_or(i64::MAX);
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

    /// Looks at the payloads of these.
    async fn look_at(&mut self, read: &mut Read, hits: &[Hit]) -> Result<(), StateError> {
        for ids in stored::pages(hits) {
            let order = Order::NewestFirst;
            for row in stored::of_ids(read, &PAYLOAD, &ids, order).await?.rows() {
                if self.is_over() {
                    return Ok(());
                }
                if self.words.are_in(row.bytes(1)?) {
                    self.ids.push(row.number(0)?);
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

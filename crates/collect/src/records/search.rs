//! Search for words in payloads. An index behind intake says which blocks of records may have a word;
//! the payloads of these, and of those that it has not reached yet, are looked at, newest first.
//!
//! A block is 64 ids. Of each word in it, three bits of 65,536 are set. The bits of 64 blocks in a row
//! are kept turned: all 64 bits of one number stand together, so that a question for one word reads
//! three numbers of each row and no more. Some 130 bytes for each record of 2 KB.

pub(crate) mod index;
mod words;

use sqlx::Row as _;
use state::{Read, StateError};

use self::index::{BLOCK_IDS, BLOCKS, ROW_IDS};
pub(crate) use self::words::Words;
use super::Shared;
use super::filter::Conditions;

/// Blocks that are looked at in one statement.
const BLOCKS_AT_ONCE: usize = 4;
/// Ids that one question looks at: words that the index does not tell apart, or filters that nothing
/// fits, must not read everything.
const LOOKED_AT_MAX: usize = 50_000;

/// What a search found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The records that have all words and fit, newest first.
    pub(crate) ids: Vec<i64>,
    /// It ended before all were looked at; the search goes on below this id.
    pub(crate) ended_at: Option<i64>,
}

/// At most `limit` records with these words that fit, with ids below `before`.
pub(crate) async fn search(
    shared: &Shared,
    words: &Words,
    conditions: &Conditions,
    (before, limit): (Option<i64>, usize),
) -> Result<Found, StateError> {
    let mut read = shared.state.read().await?;
    let newest = newest(&mut read).await?;
    let top = before.map_or(newest, |before| newest.min(before - 1));
    let indexed = index::reached(&mut read).await?;
    let mut found = Found {
        ids: Vec::new(),
        ended_at: None,
    };
    let mut looked_at = 0;
    let blocks = candidates(&mut read, words, (indexed, top)).await?;
    for blocks in blocks.chunks(BLOCKS_AT_ONCE) {
        let ids = blocks
            .iter()
            .flat_map(|block| block * BLOCK_IDS..(block + 1) * BLOCK_IDS);
        let ids: Vec<i64> = ids.filter(|id| *id <= top).collect();
        let mut conditions = conditions.clone();
        // Each id by itself: so no database takes another index and reads half the table.
        conditions.one_of("id", &ids);
        let head = "SELECT records.id, body FROM (SELECT id FROM records";
        let tail = ") AS records JOIN record_payloads ON record_payloads.id = records.id \
             ORDER BY records.id DESC";
        looked_at += ids.len();
        for row in conditions.fetch(&mut read, head, tail).await? {
            let body: &[u8] = row.try_get(1)?;
            if words.are_in(body) {
                found.ids.push(row.try_get(0)?);
            }
            if found.ids.len() == limit {
                return Ok(found);
            }
        }
        if looked_at >= LOOKED_AT_MAX {
            found.ended_at = blocks.last().map(|block| block * BLOCK_IDS);
            return Ok(found);
        }
    }
    Ok(found)
}

async fn newest(read: &mut Read) -> Result<i64, StateError> {
    let sql = "SELECT COALESCE(MAX(id), 0) FROM records";
    Ok(sqlx::query(sql).fetch_one(read).await?.try_get(0)?)
}

/// The blocks that may have all words, newest first: those that the index names, and all above it.
async fn candidates(
    read: &mut Read,
    words: &Words,
    (indexed, top): (i64, i64),
) -> Result<Vec<i64>, StateError> {
    let mut blocks: Vec<i64> = (indexed / BLOCK_IDS..=top / BLOCK_IDS).rev().collect();
    let rows = index::rows_with(read, words, (top / ROW_IDS).min(indexed / ROW_IDS - 1)).await?;
    for (row, bits) in rows.into_iter().rev() {
        let all = (0..BLOCKS).rev().filter(|block| bits >> block & 1 == 1);
        let all = all.map(|block| row * BLOCKS + block);
        blocks.extend(all.filter(|block| block * BLOCK_IDS <= top));
    }
    Ok(blocks)
}

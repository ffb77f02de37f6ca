//! Where in the order of ids records may be that fit: the index says it for those below what it has
//! reached, and all above may.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;

use sqlx::Row as _;
use state::{Read, StateError};

use super::fields::Bits;
use super::index::{self, BLOCK_IDS, BLOCKS, CHUNK_BITS, ROW_IDS};
use crate::records::packed::{self, Column};
use crate::records::stored::Order;

/// Rows of the index that are read first, and later at most: what is wanted is mostly near.
const ROWS_FIRST: i64 = 16;
const ROWS_MAX: i64 = 1_024;
/// Chunks of bits of one statement.
const BITS_AT_ONCE: usize = 1_024;
const BITS: [Column; 2] = [Column::Number("id"), Column::Bytes("bits")];
/// Blocks that are given first, and later at most.
const BLOCKS_FIRST: usize = 4;
const BLOCKS_MAX: usize = 256;

/// What the index can tell of conditions. Whatever fits them fits this; not everything that fits this
/// fits them.
#[derive(Debug, Clone)]
pub(crate) struct Hints {
    /// Of each of these, one.
    pub(crate) clauses: Vec<Vec<Bits>>,
    /// When they were received, in Unix milliseconds.
    pub(crate) received: Range<i64>,
    pub(crate) ids: Range<i64>,
}

impl Default for Hints {
    fn default() -> Self {
        Self {
            clauses: Vec::new(),
            received: i64::MIN..i64::MAX,
            ids: 0..i64::MAX,
        }
    }
}

impl Hints {
    /// Whether only some times fit.
    fn has_times(&self) -> bool {
        self.received != (i64::MIN..i64::MAX)
    }

    /// Whether the index helps at all.
    pub(crate) fn narrow(&self) -> bool {
        !self.clauses.is_empty() || self.has_times()
    }
}

/// Runs of ids, in their order.
pub(crate) struct Candidates {
    hints: Hints,
    order: Order,
    /// Rows of the index that were not read yet.
    rows: Range<i64>,
    window: i64,
    /// Blocks that were not given yet.
    blocks: VecDeque<i64>,
    /// Ids that the index has not reached; while an import runs these may be all there are.
    tail: Option<Range<i64>>,
    at_once: usize,
}

/// Where to look next.
pub(crate) enum Place {
    /// In all of these ids, of which there may be very many, and few with a record.
    All(Range<i64>),
    /// In these runs of ids.
    Runs(Vec<Range<i64>>),
}

impl Candidates {
    pub(crate) async fn new(
        read: &mut Read,
        mut hints: Hints,
        order: Order,
    ) -> Result<Self, StateError> {
        let end = super::newest(read).await?.saturating_add(1);
        hints.ids.end = hints.ids.end.min(end);
        hints.ids.start = hints.ids.start.max(0);
        let indexed = index::reached(read).await?;
        let tail = indexed.max(hints.ids.start)..hints.ids.end;
        let end = indexed.min(hints.ids.end);
        let rows = hints.ids.start / ROW_IDS..(end + ROW_IDS - 1) / ROW_IDS;
        Ok(Self {
            hints,
            order,
            rows,
            window: ROWS_FIRST,
            blocks: VecDeque::new(),
            tail: Some(tail).filter(|tail| !tail.is_empty()),
            at_once: BLOCKS_FIRST,
        })
    }

    /// With so few blocks at a time: who reads payloads does not want many in vain.
    #[must_use]
    pub(crate) fn few(mut self) -> Self {
        self.at_once = 1;
        self
    }

    /// The next place; all of its ids come before those of later ones, in the order wanted.
    pub(crate) async fn next(&mut self, read: &mut Read) -> Result<Option<Place>, StateError> {
        if self.order == Order::NewestFirst
            && let Some(tail) = self.tail.take()
        {
            return Ok(Some(Place::All(tail)));
        }
        while self.blocks.is_empty() {
            if self.rows.is_empty() {
                return Ok(self.tail.take().map(Place::All));
            }
            self.read_window(read).await?;
        }
        let count = self.at_once.min(self.blocks.len());
        self.at_once = (self.at_once * 4).min(BLOCKS_MAX);
        let mut runs: Vec<Range<i64>> = Vec::new();
        for block in self.blocks.drain(..count) {
            let start = (block * BLOCK_IDS).max(self.hints.ids.start);
            let end = ((block + 1) * BLOCK_IDS).min(self.hints.ids.end);
            match runs.last_mut() {
                Some(last) if last.end == start => last.end = end,
                Some(last) if last.start == end => last.start = start,
                _ => runs.push(start..end),
            }
        }
        Ok(Some(Place::Runs(runs)))
    }

    async fn read_window(&mut self, read: &mut Read) -> Result<(), StateError> {
        let rows = match self.order {
            Order::NewestFirst => {
                let start = self.rows.start.max(self.rows.end - self.window);
                start..std::mem::replace(&mut self.rows.end, start)
            }
            Order::OldestFirst => {
                let end = self.rows.end.min(self.rows.start + self.window);
                std::mem::replace(&mut self.rows.start, end)..end
            }
        };
        self.window = (self.window * 4).min(ROWS_MAX);
        let mut found = self.with_times(read, &rows).await?;
        if !found.is_empty() && !self.hints.clauses.is_empty() {
            self.with_bits(read, &mut found).await?;
        }
        let first = self.hints.ids.start / BLOCK_IDS;
        let last = (self.hints.ids.end - 1) / BLOCK_IDS;
        let mut blocks: Vec<i64> = found
            .iter()
            .flat_map(|(row, bits)| {
                let set = (0..BLOCKS).filter(move |block| bits >> block & 1 == 1);
                set.map(move |block| row * BLOCKS + block)
            })
            .filter(|block| (first..=last).contains(block))
            .collect();
        if self.order == Order::NewestFirst {
            blocks.reverse();
        }
        self.blocks.extend(blocks);
        Ok(())
    }

    /// The rows with records of the time that is asked for, with all of their blocks.
    async fn with_times(
        &self,
        read: &mut Read,
        rows: &Range<i64>,
    ) -> Result<BTreeMap<i64, u64>, StateError> {
        if !self.hints.has_times() {
            return Ok(rows.clone().map(|row| (row, u64::MAX)).collect());
        }
        let sql = "SELECT blocks_row FROM record_index_rows WHERE blocks_row >= $1 \
             AND blocks_row < $2 AND newest >= $3 AND oldest < $4";
        let found = sqlx::query(sql)
            .bind(rows.start)
            .bind(rows.end)
            .bind(self.hints.received.start)
            .bind(self.hints.received.end)
            .fetch_all(read)
            .await?;
        let row = |row: &sqlx::any::AnyRow| Ok((row.try_get(0)?, u64::MAX));
        found.iter().map(row).collect()
    }

    /// Leaves the blocks that have a bit of each clause.
    async fn with_bits(
        &self,
        read: &mut Read,
        found: &mut BTreeMap<i64, u64>,
    ) -> Result<(), StateError> {
        let all = || self.hints.clauses.iter().flatten().flatten().copied();
        let mut chunks: Vec<u32> = all().map(|bit| bit / CHUNK_BITS).collect();
        chunks.sort_unstable();
        chunks.dedup();
        let rows = found.keys();
        let ids: Vec<String> = rows
            .flat_map(|row| chunks.iter().map(|chunk| index::bits_id(*row, *chunk)))
            .map(|id| id.to_string())
            .collect();
        // A chunk without any bit is not kept.
        let mut blocks_of: HashMap<(i64, u32), u64> = HashMap::new();
        for ids in ids.chunks(BITS_AT_ONCE) {
            let rest = format!("FROM record_bits WHERE id IN ({})", ids.join(", "));
            for kept in packed::fetch_once(read, &BITS, &rest).await?.rows() {
                let (row, chunk) = index::row_and_chunk(kept.number(0)?);
                let values = kept.bytes(1)?;
                for bit in all().filter(|bit| bit / CHUNK_BITS == chunk) {
                    let at = usize::try_from(bit % CHUNK_BITS * 8).unwrap_or(usize::MAX);
                    let value = values.get(at..).and_then(|rest| rest.first_chunk::<8>());
                    let value = value.map_or(0, |value| u64::from_le_bytes(*value));
                    blocks_of.insert((row, bit), value);
                }
            }
        }
        let has = |row: i64, bit: &u32| blocks_of.get(&(row, *bit)).copied().unwrap_or(0);
        for (row, blocks) in &mut *found {
            for clause in &self.hints.clauses {
                let of_value =
                    |bits: &Bits| bits.iter().fold(u64::MAX, |all, bit| all & has(*row, bit));
                *blocks &= clause.iter().map(of_value).fold(0, |any, one| any | one);
            }
        }
        found.retain(|_, blocks| *blocks != 0);
        Ok(())
    }
}

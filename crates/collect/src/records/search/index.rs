//! The index of words: built behind intake, one row of blocks at a time, in a transaction of its own.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use base::client::chain;
use base::supervise::{BoxError, Criticality, Scope, Service};
use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{Read, State, StateError};

use super::words::{self, Words};
use crate::records::import;
use crate::records::insert::rows::{Rows, placeholders};

/// Ids of a block.
pub(super) const BLOCK_IDS: i64 = 64;
/// Blocks whose bits stand together: as many as a number has bits.
pub(super) const BLOCKS: i64 = 64;
/// Ids of a row.
pub(crate) const ROW_IDS: i64 = BLOCK_IDS * BLOCKS;
/// Numbers of bits that are kept together in one value.
const CHUNK_BITS: usize = 64;
/// Chunks of all bits.
pub(crate) const CHUNKS: i64 = (1 << 16) / 64;
/// Chunks of one transaction.
const CHUNKS_AT_ONCE: usize = 64;
/// Between two transactions.
const PAUSE: Duration = Duration::from_millis(5);
/// How often it is looked whether a row is complete.
const INTERVAL: Duration = Duration::from_secs(2);
/// Payloads of one statement.
const PAGE_IDS: i64 = 64;

/// Builds what is missing, for ever.
pub(crate) fn service(state: &State) -> Service {
    let state = state.clone();
    let body = move |scope: Scope| async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = scope.stopping() => return Ok::<(), BoxError>(()),
            }
            // A state that is down comes back; what is missing meanwhile is looked at one by one.
            if let Err(error) = catch_up(&state, &scope).await {
                tracing::warn!(error = chain(&error), "the index of words waits");
            }
        }
    };
    Service::new("records.index", Criticality::Plain, body)
}

async fn catch_up(state: &State, scope: &Scope) -> Result<(), StateError> {
    while !scope.is_stopping() {
        let mut read = state.read().await?;
        // Before all else: an import that begins later is seen by it.
        let changes = import::changes_of_index(&mut read).await?;
        let row = reached(&mut read).await? / ROW_IDS;
        // Ids come in their order, so one beyond the row says that the row is complete; where an import
        // adds below, as far as it is.
        let newest = super::newest(&mut read).await?;
        let complete = newest.min(import::complete_below(&mut read).await?);
        if complete < (row + 1) * ROW_IDS {
            return Ok(());
        }
        let next = next_row(&mut read, row).await?.min(complete / ROW_IDS);
        if next > row {
            drop(read);
            note_done(state, (row, changes), next).await?;
            continue;
        }
        let matrix = matrix(&mut read, row).await?;
        drop(read);
        keep(state, (row, changes), &matrix).await?;
    }
    Ok(())
}

/// Below which id everything is in the index.
pub(super) async fn reached(read: &mut Read) -> Result<i64, StateError> {
    let sql = "SELECT rows_done FROM record_index_state WHERE id = 1";
    let rows: i64 = sqlx::query(sql).fetch_one(read).await?.try_get(0)?;
    Ok(rows * ROW_IDS)
}

/// The first row from this one on that has a payload: where ids were imported there may be none for
/// millions.
async fn next_row(read: &mut Read, row: i64) -> Result<i64, StateError> {
    let sql = "SELECT COALESCE(MIN(id), $1) FROM record_payloads WHERE id >= $1";
    let query = sqlx::query(sql).bind(row * ROW_IDS);
    let id: i64 = query.fetch_one(read).await?.try_get(0)?;
    Ok(id / ROW_IDS)
}

/// Notes up to which row all are made, if they were up to the one before and nothing was added there
/// since.
async fn note_done(
    state: &State,
    (row, changes): (i64, i64),
    rows_done: i64,
) -> Result<(), StateError> {
    let sql = "UPDATE record_index_state SET rows_done = $3 \
         WHERE id = 1 AND rows_done = $1 AND changes = $2";
    let mut write = state.write().await?;
    let query = sqlx::query(sql).bind(row).bind(changes).bind(rows_done);
    query.execute(&mut write).await?;
    write.commit().await
}

/// For each number of a bit, the blocks that have it.
type Matrix = Vec<u64>;

async fn matrix(read: &mut Read, row: i64) -> Result<Matrix, StateError> {
    let mut matrix = vec![0; 1 << 16];
    let mut bits: HashSet<u16> = HashSet::new();
    let mut block_of_bits = None;
    let first = row * ROW_IDS;
    for page in 0..ROW_IDS / PAGE_IDS {
        let from = first + page * PAGE_IDS;
        let sql = "SELECT id, body FROM record_payloads WHERE id >= $1 AND id < $2 ORDER BY id";
        let query = sqlx::query(sql).bind(from).bind(from + PAGE_IDS);
        for found in query.fetch_all(&mut *read).await? {
            let (id, body): (i64, &[u8]) = (found.try_get(0)?, found.try_get(1)?);
            let block = (id - first) / BLOCK_IDS;
            if block_of_bits != Some(block) {
                set(&mut matrix, block_of_bits, &bits);
                bits.clear();
                block_of_bits = Some(block);
            }
            words::add_bits(body, &mut bits);
        }
    }
    set(&mut matrix, block_of_bits, &bits);
    Ok(matrix)
}

fn set(matrix: &mut Matrix, block: Option<i64>, bits: &HashSet<u16>) {
    let Some(block) = block else { return };
    for bit in bits {
        if let Some(blocks) = matrix.get_mut(usize::from(*bit)) {
            *blocks |= 1 << block;
        }
    }
}

/// Writes a row in small transactions, since intake waits for each. Nobody reads it before the last of
/// them says that it is there; one that was broken off, or that another process writes as well, is
/// written over with the same. One to which an import may have added meanwhile is made again.
async fn keep(
    state: &State,
    (row, changes): (i64, i64),
    matrix: &Matrix,
) -> Result<(), StateError> {
    let chunks: Vec<Vec<u8>> = matrix
        .chunks(CHUNK_BITS)
        .map(|chunk| {
            chunk
                .iter()
                .flat_map(|blocks| blocks.to_le_bytes())
                .collect()
        })
        .collect();
    let columns = ["chunk", "blocks_row", "bits"];
    let conflict = "ON CONFLICT (chunk, blocks_row) DO UPDATE SET bits = excluded.bits";
    let numbered: Vec<(i64, &Vec<u8>)> = (0..).zip(&chunks).collect();
    for some in numbered.chunks(CHUNKS_AT_ONCE) {
        let mut table = Rows::into("record_index", &columns);
        for (number, chunk) in some {
            if chunk.iter().any(|byte| *byte != 0) {
                table.number(*number).number(row).bytes(chunk);
            }
        }
        let mut write = state.write().await?;
        table.insert(&mut write, conflict).await?;
        write.commit().await?;
        tokio::time::sleep(PAUSE).await;
    }
    note_done(state, (row, changes), row + 1).await
}

/// The rows up to `last` in which some block may have all words, with these blocks.
pub(super) async fn rows_with(
    read: &mut Read,
    words: &Words,
    last: i64,
) -> Result<Vec<(i64, u64)>, StateError> {
    let bits: Vec<u16> = words.bits().flatten().collect();
    let chunk_of = |bit: u16| i64::from(bit) / i64::try_from(CHUNK_BITS).unwrap_or(1);
    let mut chunks: Vec<i64> = bits.iter().map(|bit| chunk_of(*bit)).collect();
    chunks.sort_unstable();
    chunks.dedup();
    let marks = placeholders(2, chunks.len());
    let sql = format!(
        "SELECT chunk, blocks_row, bits FROM record_index WHERE blocks_row <= $1 AND chunk IN ({marks})"
    );
    let mut query = sqlx::query::<Any>(AssertSqlSafe(sql)).bind(last);
    for chunk in &chunks {
        query = query.bind(*chunk);
    }
    // How many bits were seen in a row, and the blocks that have them all.
    let mut rows: BTreeMap<i64, (usize, u64)> = BTreeMap::new();
    for found in query.fetch_all(read).await? {
        let (chunk, row): (i64, i64) = (found.try_get(0)?, found.try_get(1)?);
        let values: &[u8] = found.try_get(2)?;
        let (seen, blocks) = rows.entry(row).or_insert((0, u64::MAX));
        for bit in bits.iter().filter(|bit| chunk_of(**bit) == chunk) {
            let at = usize::from(*bit) % CHUNK_BITS * 8;
            let value = values.get(at..).and_then(|rest| rest.first_chunk::<8>());
            *blocks &= value.map_or(0, |value| u64::from_le_bytes(*value));
            *seen += 1;
        }
    }
    let complete = |(_, (seen, blocks)): &(i64, (usize, u64))| *seen == bits.len() && *blocks != 0;
    let rows = rows.into_iter().filter(complete);
    Ok(rows.map(|(row, (_, blocks))| (row, blocks)).collect())
}

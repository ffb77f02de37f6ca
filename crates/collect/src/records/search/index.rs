//! Builds the index behind intake, one row of blocks at a time.

use std::ops::Range;
use std::time::Duration;

use base::client::chain;
use base::supervise::{BoxError, Criticality, Scope, Service};
use sqlx::Row as _;
use state::{Read, State, StateError, Write};

use super::fields::{FIELD_BITS, Field};
use super::words;
use crate::records::filter::Conditions;
use crate::records::import;
use crate::records::insert::rows::Rows;
use crate::records::packed::{Column, Packed, Row};

/// Ids of a block.
pub(crate) const BLOCK_IDS: i64 = 64;
/// Blocks whose bits stand together: as many as a number has bits.
pub(super) const BLOCKS: i64 = 64;
/// Ids of a row.
pub(crate) const ROW_IDS: i64 = BLOCK_IDS * BLOCKS;
/// Numbers of bits that are kept together in one value.
pub(super) const CHUNK_BITS: u32 = 64;
/// Numbers of bits for words; those for fields come behind.
pub(super) const WORD_BITS: u32 = 1 << 16;
/// All of them.
const ALL_BITS: u32 = WORD_BITS + FIELD_BITS;
/// Chunks of all bits: those of a row stand one behind the other in `record_bits`, which a row is added to
/// at its end.
pub(crate) const CHUNKS: u32 = ALL_BITS / CHUNK_BITS;
/// Which row of `record_index_state` is about it; older versions have another index.
pub(crate) const STATE: i64 = 2;
/// Chunks of one transaction: intake waits for it, and most of the time it takes is the disk's.
const CHUNKS_AT_ONCE: usize = 256;
/// Between two transactions.
const PAUSE: Duration = Duration::from_millis(5);
/// Between two pages of payloads: intake has the processors to itself again. It allows for more than 20,000
/// records a second, since the timer may take twice that.
const PAGE_PAUSE: Duration = Duration::from_millis(1);
/// How often it is looked whether a row is complete.
const INTERVAL: Duration = Duration::from_secs(2);
/// Payloads of one statement, and their bytes, or a single one with more. They are few: what is done with
/// them at once takes a processor from requests.
const PAYLOADS_AT_ONCE: usize = 64;
const PAYLOAD_BYTES_AT_ONCE: i64 = 1 << 20;
/// Records without their payloads of one statement.
const RECORDS_AT_ONCE: i64 = 1_024;

/// Builds what is missing, for ever.
pub(crate) fn service(state: &State) -> Service {
    let state = state.clone();
    let body = move |scope: Scope| async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = scope.stopping() => return Ok::<(), BoxError>(()),
            }
            while !scope.is_stopping() {
                match build_next(&state).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    // A state that is down comes back; what is missing meanwhile is looked at one by
                    // one.
                    Err(error) => {
                        tracing::warn!(error = chain(&*error), "the index of records waits");
                        break;
                    }
                }
            }
        }
    };
    Service::new("records.index", Criticality::Plain, body)
}

/// Builds the next row, if it is complete; says whether there may be more to do.
pub(super) async fn build_next(state: &State) -> Result<bool, BoxError> {
    let mut read = state.read().await?;
    if import::has_older_begun(&mut read).await? {
        drop(read);
        import::note_older(state).await?;
        return Ok(true);
    }
    // Before all else: an import that begins later is seen by it.
    let changes = import::changes_of_index(&mut read).await?;
    let row = reached(&mut read).await? / ROW_IDS;
    // Ids come in their order, so one beyond the row says that the row is complete; where an import
    // adds below, as far as it is.
    let newest = super::newest(&mut read).await?;
    let complete = newest.min(import::complete_below(&mut read).await?);
    if complete < (row + 1) * ROW_IDS {
        return Ok(false);
    }
    let next = next_row(&mut read, row).await?.min(complete / ROW_IDS);
    if next > row {
        drop(read);
        let mut write = state.write().await?;
        note_done(&mut write, (row, changes), next).await?;
        write.commit().await?;
        return Ok(true);
    }
    let content = read_row(&mut read, row).await?;
    drop(read);
    let (content, chunks) = aside(move || {
        let chunks = content.chunks();
        Ok((content, chunks))
    })
    .await?;
    keep(state, (row, changes), (&content, &chunks)).await?;
    Ok(true)
}

/// Under which id a chunk of a row is kept.
pub(super) fn bits_id(row: i64, chunk: u32) -> i64 {
    row * i64::from(CHUNKS) + i64::from(chunk)
}

/// The row and the chunk that are kept under an id.
pub(super) fn row_and_chunk(id: i64) -> (i64, u32) {
    let chunks = i64::from(CHUNKS);
    let chunk = u32::try_from(id.rem_euclid(chunks)).unwrap_or(0);
    (id.div_euclid(chunks), chunk)
}

/// Below which id everything is in the index.
pub(super) async fn reached(read: &mut Read) -> Result<i64, StateError> {
    let sql = "SELECT rows_done FROM record_index_state WHERE id = $1";
    let query = sqlx::query(sql).bind(STATE);
    let rows: i64 = query.fetch_one(read).await?.try_get(0)?;
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
    write: &mut Write,
    (row, changes): (i64, i64),
    rows_done: i64,
) -> Result<(), StateError> {
    let sql = "UPDATE record_index_state SET rows_done = $3 \
         WHERE id = $4 AND rows_done = $1 AND changes = $2";
    let query = sqlx::query(sql).bind(row).bind(changes).bind(rows_done);
    let query = query.bind(STATE);
    query.execute(write).await?;
    Ok(())
}

/// Whether the row is still the next, and nothing was added to it since it was read; and keeps it so to
/// the end of the transaction. Another process may have been faster, with more.
async fn is_ours(write: &mut Write, row: i64, changes: i64) -> Result<bool, StateError> {
    let sql = "UPDATE record_index_state SET rows_done = rows_done \
         WHERE id = $3 AND rows_done = $1 AND changes = $2";
    let query = sqlx::query(sql).bind(row).bind(changes).bind(STATE);
    Ok(query.execute(write).await?.rows_affected() == 1)
}

/// What is known of a row.
struct Content {
    /// For each number of a bit, the blocks that have it.
    matrix: Vec<u64>,
    /// The first and the last time at which one of its records was received, in Unix milliseconds.
    oldest: i64,
    newest: i64,
}

/// What is read of a record; the first is its id, the second what its payload takes.
const FIELDS: [Column; 11] = [
    Column::Number("id"),
    Column::Number("payload_bytes"),
    Column::Number("received_at"),
    Column::Number("project"),
    Column::Number("severity"),
    Column::Number("external"),
    Column::Text("classification"),
    Column::Text("build"),
    Column::Text("system_name"),
    Column::Text("machine_id"),
    Column::Text("event_id"),
];
const PAYLOAD: [Column; 2] = [Column::Number("id"), Column::Bytes("body")];

async fn read_row(read: &mut Read, row: i64) -> Result<Content, BoxError> {
    let first = row * ROW_IDS;
    let mut content = Content {
        matrix: vec![0; usize::try_from(ALL_BITS).unwrap_or(0)],
        oldest: i64::MAX,
        newest: i64::MIN,
    };
    let mut sizes;
    for from in (first..first + ROW_IDS).step_by(step(RECORDS_AT_ONCE)) {
        let fields = between(read, (&FIELDS, "records"), from..from + RECORDS_AT_ONCE).await?;
        (content, sizes) = aside(move || {
            let sizes = content.add_fields(first, &fields)?;
            Ok((content, sizes))
        })
        .await?;
        for ids in payload_ranges(&sizes) {
            let payloads = between(read, (&PAYLOAD, "record_payloads"), ids).await?;
            content = aside(move || {
                content.add_payloads(first, &payloads)?;
                Ok(content)
            })
            .await?;
            tokio::time::sleep(PAGE_PAUSE).await;
        }
    }
    Ok(content)
}

/// Does what takes a while on another thread. A database on the same processor answers before the runtime
/// looks: a task that asks and computes in turns never waits, and everything else on its thread does.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Result<T, BoxError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(error.into()),
    }
}

/// Ranges of the ids of these records, each with the bytes of its payload, that have few enough
/// payloads and bytes for a statement.
fn payload_ranges(sizes: &[(i64, i64)]) -> Vec<Range<i64>> {
    let mut ranges: Vec<Range<i64>> = Vec::new();
    let (mut count, mut bytes) = (0, 0_i64);
    for (id, size) in sizes {
        count += 1;
        bytes = size.saturating_add(bytes);
        match ranges.last_mut() {
            Some(last) if count <= PAYLOADS_AT_ONCE && bytes <= PAYLOAD_BYTES_AT_ONCE => {
                last.end = id + 1;
            }
            _ => {
                ranges.push(*id..id + 1);
                (count, bytes) = (1, *size);
            }
        }
    }
    ranges
}

/// These columns of the rows of a table with these ids, in their order.
async fn between(
    read: &mut Read,
    (columns, table): (&[Column], &str),
    ids: Range<i64>,
) -> Result<Packed, StateError> {
    let mut conditions = Conditions::default();
    conditions.from(ids.start);
    conditions.below(ids.end);
    let place = (format!("FROM {table}"), "ORDER BY id");
    conditions
        .fetch_packed(read, columns, (&place.0, place.1))
        .await
}

fn step(ids: i64) -> usize {
    usize::try_from(ids).unwrap_or(1)
}

impl Content {
    /// Gives the id of each, and what its payload takes.
    fn add_fields(&mut self, first: i64, rows: &Packed) -> Result<Vec<(i64, i64)>, StateError> {
        let mut sizes = Vec::with_capacity(rows.len());
        for row in rows.rows() {
            self.add_fields_of(first, row)?;
            sizes.push((row.number(0)?, row.number(1)?));
        }
        Ok(sizes)
    }

    fn add_fields_of(&mut self, first: i64, row: Row<'_>) -> Result<(), StateError> {
        let received = row.number(2)?;
        self.oldest = self.oldest.min(received);
        self.newest = self.newest.max(received);
        let block = (row.number(0)? - first) / BLOCK_IDS;
        for (column, field) in [
            (3, Field::Project),
            (4, Field::Severity),
            (5, Field::External),
        ] {
            for bit in field.number(row.number(column)?) {
                self.set(block, bit);
            }
        }
        for (column, field) in [
            (6, Field::Classification),
            (7, Field::Build),
            (8, Field::System),
            (9, Field::Machine),
            (10, Field::Event),
        ] {
            for bit in field.text(row.text(column)?) {
                self.set(block, bit);
            }
        }
        Ok(())
    }

    fn add_payloads(&mut self, first: i64, payloads: &Packed) -> Result<(), StateError> {
        for row in payloads.rows() {
            let block = (row.number(0)? - first) / BLOCK_IDS;
            words::for_each_bit(row.bytes(1)?, |bit| self.set(block, bit));
        }
        Ok(())
    }

    /// What is kept of it, one value for each chunk.
    fn chunks(&self) -> Vec<Vec<u8>> {
        let chunk = |blocks: &[u64]| {
            blocks
                .iter()
                .flat_map(|blocks| blocks.to_le_bytes())
                .collect()
        };
        let size = usize::try_from(CHUNK_BITS).unwrap_or(1);
        self.matrix.chunks(size).map(chunk).collect()
    }

    fn set(&mut self, block: i64, bit: u32) {
        let index = usize::try_from(bit).unwrap_or(usize::MAX);
        if let Some(blocks) = self.matrix.get_mut(index) {
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
    (content, chunks): (&Content, &[Vec<u8>]),
) -> Result<(), StateError> {
    let columns = ["id", "bits"];
    let conflict = "ON CONFLICT (id) DO UPDATE SET bits = excluded.bits";
    let numbered: Vec<(i64, &Vec<u8>)> = (bits_id(row, 0)..).zip(chunks).collect();
    for some in numbered.chunks(CHUNKS_AT_ONCE) {
        let mut table = Rows::into("record_bits", &columns).on_conflict(conflict);
        for (number, chunk) in some {
            if chunk.iter().any(|byte| *byte != 0) {
                table.number(*number).bytes(chunk);
            }
        }
        let mut write = state.write().await?;
        if !is_ours(&mut write, row, changes).await? {
            return Ok(());
        }
        table.write(&mut write).await?;
        write.commit().await?;
        tokio::time::sleep(PAUSE).await;
    }
    let mut write = state.write().await?;
    if !is_ours(&mut write, row, changes).await? {
        return Ok(());
    }
    let columns = ["blocks_row", "oldest", "newest"];
    let conflict = "ON CONFLICT (blocks_row) DO UPDATE \
         SET oldest = excluded.oldest, newest = excluded.newest";
    let mut table = Rows::into("record_index_rows", &columns).on_conflict(conflict);
    table
        .number(row)
        .number(content.oldest)
        .number(content.newest);
    table.write(&mut write).await?;
    note_done(&mut write, (row, changes), row + 1).await?;
    write.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_read_some_at_a_time() {
        assert_eq!(payload_ranges(&[]), []);
        assert_eq!(payload_ranges(&[(7, i64::MAX), (9, 1)]), [7..8, 9..10]);
        let half = PAYLOAD_BYTES_AT_ONCE / 2;
        let sizes = [(1, half), (2, half), (5, 1), (6, half), (9, half)];
        assert_eq!(payload_ranges(&sizes), [1..3, 5..7, 9..10]);
        let many: Vec<(i64, i64)> = (0..150).map(|id| (id, 10)).collect();
        assert_eq!(payload_ranges(&many), [0..64, 64..128, 128..150]);
    }
}

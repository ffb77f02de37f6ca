//! Frames that are never guilty, because somebody said so.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::Row as _;
use sqlx::any::AnyRow;
use state::{State, StateError, Write};

/// All of them, in order.
pub(crate) const ALL: &str = "SELECT function_name, module FROM record_skipped_frames \
     ORDER BY function_name, module LIMIT $1";
/// Frames that may be skipped at once.
pub(crate) const SKIPPED_MAX: i64 = 10_000;

/// Pairs of function and module, as payloads write them.
#[derive(Debug, Default)]
pub(crate) struct Skipped(HashSet<(String, String)>);

impl Skipped {
    pub(crate) fn contains(&self, function: &str, module: &str) -> bool {
        // A set of pairs can't be asked with borrowed halves, and is mostly empty.
        !self.0.is_empty() && self.0.contains(&(function.to_owned(), module.to_owned()))
    }
}

/// The list as it was read last; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SkippedFrames(Arc<Mutex<Arc<Skipped>>>);

impl SkippedFrames {
    pub(crate) fn get(&self) -> Arc<Skipped> {
        let skipped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&skipped)
    }

    /// Reads the list again.
    pub(crate) async fn refresh(&self, state: &State) -> Result<(), StateError> {
        let mut read = state.read().await?;
        let rows = sqlx::query(ALL).bind(SKIPPED_MAX).fetch_all(&mut read);
        self.keep(&rows.await?)?;
        Ok(())
    }

    /// Reads it as a transaction sees it.
    pub(crate) async fn read_in(&self, write: &mut Write) -> Result<Arc<Skipped>, StateError> {
        let rows = sqlx::query(ALL).bind(SKIPPED_MAX).fetch_all(write);
        self.keep(&rows.await?)
    }

    fn keep(&self, rows: &[AnyRow]) -> Result<Arc<Skipped>, StateError> {
        let mut pairs = HashSet::new();
        for row in rows {
            pairs.insert((row.try_get(0)?, row.try_get(1)?));
        }
        let skipped = Arc::new(Skipped(pairs));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&skipped);
        Ok(skipped)
    }
}

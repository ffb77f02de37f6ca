//! Frames that are never guilty, because somebody said so.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::Row as _;
use state::{State, StateError};

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
        let sql = "SELECT function_name, module FROM record_skipped_frames \
             ORDER BY function_name, module LIMIT $1";
        let mut read = state.read().await?;
        let rows = sqlx::query(sql)
            .bind(SKIPPED_MAX)
            .fetch_all(&mut read)
            .await?;
        let mut pairs = HashSet::new();
        for row in rows {
            pairs.insert((row.try_get(0)?, row.try_get(1)?));
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Skipped(pairs));
        Ok(())
    }
}

//! Values that records have had, for filters and for patterns: what was counted is read again every few
//! seconds at most.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use sqlx::Row as _;
use state::{State, StateError};

use super::insert::counts;

/// How old what is given may be.
const FRESH: Duration = Duration::from_secs(2);
/// Classifications that this process remembers to have kept.
const SEEN_MAX: usize = 10_000;
/// Values of each kind, of all projects together.
pub(crate) const VALUES_MAX: i64 = 10_000;

/// The values of one project, most frequent first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    pub(crate) classifications: Vec<String>,
    /// System and build.
    pub(crate) builds: Vec<(String, String)>,
}

/// The values of each project.
type All = Arc<BTreeMap<i64, Values>>;

/// What was read last.
#[derive(Debug, Default)]
pub(crate) struct Choices {
    read: Mutex<Option<(Instant, All)>>,
    seen: Mutex<HashSet<String>>,
}

impl Choices {
    /// A record of this classification was kept: a first one makes what was read old.
    pub(crate) fn saw(&self, classification: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(classification) {
            return;
        }
        if seen.len() >= SEEN_MAX {
            return;
        }
        seen.insert(classification.to_owned());
        drop(seen);
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The values by project.
    pub(crate) async fn get(&self, state: &State) -> Result<All, StateError> {
        let now = clock::now();
        if let Some((at, values)) = &*self.read.lock().unwrap_or_else(PoisonError::into_inner)
            && now.saturating_duration_since(*at) < FRESH
        {
            return Ok(Arc::clone(values));
        }
        let values = Arc::new(read(state).await?);
        let kept = Some((now, Arc::clone(&values)));
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(values)
    }
}

async fn read(state: &State) -> Result<BTreeMap<i64, Values>, StateError> {
    let mut all: BTreeMap<i64, Values> = BTreeMap::new();
    let mut read = state.read().await?;
    counts::refresh(state, &mut read).await;
    let sql = "SELECT project, classification FROM record_counts \
         GROUP BY project, classification ORDER BY SUM(records) DESC LIMIT $1";
    let rows = sqlx::query(sql).bind(VALUES_MAX);
    for row in rows.fetch_all(&mut read).await? {
        let values = all.entry(row.try_get(0)?).or_default();
        values.classifications.push(row.try_get(1)?);
    }
    let sql = "SELECT project, system_name, build FROM record_counts \
         GROUP BY project, system_name, build ORDER BY SUM(records) DESC LIMIT $1";
    let rows = sqlx::query(sql).bind(VALUES_MAX);
    for row in rows.fetch_all(&mut read).await? {
        let values = all.entry(row.try_get(0)?).or_default();
        values.builds.push((row.try_get(1)?, row.try_get(2)?));
    }
    Ok(all)
}

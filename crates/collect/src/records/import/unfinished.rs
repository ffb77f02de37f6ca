//! Imports that were begun and neither finished nor given up: until then the index of words stays where
//! they are, which nobody would notice but by slow searches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::client::chain;
use base::clock;
use base::health::Health;
use base::supervise::{BoxError, Criticality, Scope, Service};
use sqlx::Row as _;
use state::{State, StateError};

use crate::records::{Shared, time};

/// How often it is looked.
const INTERVAL: Duration = Duration::from_mins(1);
/// How often it is told.
const TOLD_EVERY: Duration = Duration::from_hours(1);
/// How long nothing has come for an import that is told of: whoever is killed goes on sooner.
const IDLE_MILLISECONDS: i64 = 15 * 60 * 1000;
/// Imports that are told of.
const TOLD_MAX: i64 = 10;
/// What it is called among the components.
const COMPONENT: &str = "records.import";

/// One that holds the index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unfinished {
    id: i64,
    reached: i64,
    last: i64,
    changed_at: i64,
}

impl Unfinished {
    fn is_idle(&self, now: i64) -> bool {
        now.saturating_sub(self.changed_at) >= IDLE_MILLISECONDS
    }

    /// What is so, and what to do.
    fn told(&self) -> String {
        let Self {
            id, reached, last, ..
        } = self;
        format!(
            "import {id} is not finished, at id {reached} of {last}: words of records above it are looked \
             for one by one; run the same `landline records import` again, or give it up \
             (`landline records import --abandon {id}`)"
        )
    }
}

/// Tells in the log at the start and every hour, in the readiness page and in `landline status`, and by
/// a gauge.
pub(crate) fn service(shared: &Arc<Shared>, health: &Health) -> Service {
    let (shared, health) = (Arc::clone(shared), health.clone());
    let body = move |scope: Scope| async move {
        let mut teller = Teller::default();
        loop {
            match find(&shared.state).await {
                Ok(found) => {
                    let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
                    shared.metrics.unfinished_imports.set(count);
                    for told in teller.tell(&found, (time::now(), clock::now())) {
                        tracing::warn!("{told}");
                    }
                    let idle = found.iter().find(|import| import.is_idle(time::now()));
                    health.set_note(COMPONENT, idle.map(Unfinished::told));
                }
                // The state tells for itself that it is away.
                Err(error) => tracing::debug!(error = chain(&error), "imports can't be looked at"),
            }
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = scope.stopping() => return Ok::<(), BoxError>(()),
            }
        }
    };
    Service::new("records.imports", Criticality::Plain, body)
}

async fn find(state: &State) -> Result<Vec<Unfinished>, StateError> {
    let sql = "SELECT id, reached, last_id, changed_at FROM record_imports \
         WHERE state = 'running' AND new_ids = 0 ORDER BY changed_at, id LIMIT $1";
    let mut read = state.read().await?;
    let rows = sqlx::query(sql).bind(TOLD_MAX).fetch_all(&mut read).await?;
    let of = |row: &sqlx::any::AnyRow| {
        Ok(Unfinished {
            id: row.try_get(0)?,
            reached: row.try_get(1)?,
            last: row.try_get(2)?,
            changed_at: row.try_get(3)?,
        })
    };
    rows.iter().map(of).collect()
}

/// Remembers what was told, and when.
#[derive(Debug, Default)]
struct Teller(Option<Instant>);

impl Teller {
    /// What is to be told now, in Unix milliseconds and by the other clock: everything at the start, what
    /// is idle at most every hour.
    fn tell(&mut self, found: &[Unfinished], (wall, now): (i64, Instant)) -> Vec<String> {
        let is_start = self.0.is_none();
        let is_time = self
            .0
            .is_none_or(|last| now.saturating_duration_since(last) >= TOLD_EVERY);
        let told: Vec<String> = found
            .iter()
            .filter(|import| is_start || (is_time && import.is_idle(wall)))
            .map(Unfinished::told)
            .collect();
        if is_start || !told.is_empty() {
            self.0 = Some(now);
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_the_start_and_every_hour() {
        let import = Unfinished {
            id: 3,
            reached: 40,
            last: 100,
            changed_at: 1_000,
        };
        let found = [import.clone()];
        let (mut teller, start) = (Teller::default(), clock::now());
        let minutes = |minutes: u32| {
            let wall = 1_000 + i64::from(minutes) * 60_000;
            (wall, start + Duration::from_mins(1) * minutes)
        };
        let told = teller.tell(&found, minutes(0));
        assert!(told[0].contains("at id 40 of 100"), "{told:?}");
        assert!(told[0].contains("--abandon 3"), "{told:?}");
        for (at, count) in [(1, 0), (59, 0), (60, 1), (61, 0), (119, 0), (120, 1)] {
            assert_eq!(teller.tell(&found, minutes(at)).len(), count, "{at}");
        }
        // One that goes on is nobody's trouble.
        let (wall, _) = minutes(300);
        let going = [Unfinished {
            changed_at: wall,
            ..import
        }];
        assert_eq!(teller.tell(&going, minutes(300)).len(), 0);
        // What was found later is told as soon as it is idle.
        let mut teller = Teller::default();
        assert!(teller.tell(&[], minutes(0)).is_empty());
        assert_eq!(teller.tell(&found, minutes(90)).len(), 1);
    }
}

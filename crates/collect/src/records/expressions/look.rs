//! A page of the records whose payloads fit. Nothing but the payloads says which these are, so they are
//! looked at one by one: so many, or so long, and then the page says where the next one goes on.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::clock;
use state::{State, StateError};

use super::Expressions;
use crate::records::aside::{Aside, Turn};
use crate::records::error::ApiError;
use crate::records::filter::Conditions;
use crate::records::packed::Packed;
use crate::records::search::{self, Hit, PAYLOAD, Words};
use crate::records::stored::{self, Order};

/// Records that are found at a time.
const ROWS_AT_ONCE: usize = 512;

/// How much is looked at for one page. At least one record is, so that each page gets further.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) records: usize,
    pub(crate) time: Duration,
}

/// Those of every page.
pub(crate) const BOUNDS: Bounds = Bounds {
    records: 10_000,
    time: Duration::from_millis(250),
};

/// Which records.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) conditions: Conditions,
    pub(crate) words: Option<Words>,
    pub(crate) expressions: Expressions,
}

/// A page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Looked {
    /// The records that fit, newest first.
    pub(crate) ids: Vec<i64>,
    /// The next page begins below this id; nothing when all were looked at.
    pub(crate) next: Option<i64>,
    /// A bound ended it before it was full.
    pub(crate) is_partial: bool,
}

/// The newest `limit` records that fit, of as many as the bounds allow.
pub(crate) async fn look(
    (state, turns): (&State, &Aside),
    wanted: Wanted,
    (limit, bounds): (usize, Bounds),
) -> Result<Looked, ApiError> {
    let turn = turns.turn().await.map_err(|_| ApiError::Busy)?;
    let mut look = Look {
        conditions: wanted.conditions,
        words: wanted.words,
        expressions: Arc::new(wanted.expressions),
        limit,
        ids: Vec::new(),
        left: bounds.records,
        // The wait for the turn is not counted.
        until: clock::now() + bounds.time,
    };
    loop {
        if let Some(looked) = look.go_on(state, &turn).await? {
            return Ok(looked);
        }
    }
}

/// How far it is.
struct Look {
    /// Of what is still to be looked at.
    conditions: Conditions,
    words: Option<Words>,
    expressions: Arc<Expressions>,
    limit: usize,
    ids: Vec<i64>,
    /// Records that may still be looked at.
    left: usize,
    until: Instant,
}

/// Records that come next.
struct Stretch {
    hits: Vec<Hit>,
    /// There may be more below this id.
    rest: Option<i64>,
}

/// What was seen of some records.
struct Seen {
    ids: Vec<i64>,
    /// The last that was looked at, when not all were.
    stopped_at: Option<i64>,
}

impl Look {
    /// Looks at the next records; gives the page when it is over.
    async fn go_on(&mut self, state: &State, turn: &Turn) -> Result<Option<Looked>, ApiError> {
        let stretch = self.find(state).await?;
        let last = stretch.hits.last().map(|hit| hit.id);
        for ids in stored::pages(&stretch.hits) {
            let mut read = state.read().await?;
            let rows = stored::of_ids(&mut read, &PAYLOAD, &ids, Order::NewestFirst).await?;
            drop(read);
            let seen = self.see(turn, rows).await?;
            self.ids.extend(seen.ids);
            self.left = self.left.saturating_sub(ids.len());
            if seen.stopped_at.is_some() || self.is_over() {
                let reached = seen.stopped_at.or(ids.last().copied());
                let is_all = reached == last;
                return Ok(Some(self.end(if is_all { stretch.rest } else { reached })));
            }
        }
        match stretch.rest {
            Some(rest) if !self.is_over() => {
                self.conditions.below(rest);
                Ok(None)
            }
            rest => Ok(Some(self.end(rest))),
        }
    }

    /// The records that fit but for their payloads.
    async fn find(&self, state: &State) -> Result<Stretch, StateError> {
        let count = ROWS_AT_ONCE.min(self.left);
        let window = (Order::NewestFirst, count);
        let below = |found: usize, last: Option<i64>| last.filter(|_| found >= count);
        let Some(words) = &self.words else {
            let mut read = state.read().await?;
            let hits = search::find(&mut read, &self.conditions, window).await?;
            let rest = below(hits.len(), hits.last().map(|hit| hit.id));
            return Ok(Stretch { hits, rest });
        };
        let found = search::search(state, words, &self.conditions, count).await?;
        let rest = below(found.ids.len(), found.ids.last().copied());
        let rest = rest.or(found.ended_at);
        let mut of_ids = Conditions::default();
        of_ids.one_of("id", &found.ids);
        let mut read = state.read().await?;
        let hits = search::find(&mut read, &of_ids, window).await?;
        Ok(Stretch { hits, rest })
    }

    /// Which of these fit, as many as there is room for, until it is late.
    async fn see(&self, turn: &Turn, rows: Packed) -> Result<Seen, ApiError> {
        let expressions = Arc::clone(&self.expressions);
        let (room, until) = (self.limit.saturating_sub(self.ids.len()), self.until);
        // However small they are: an expression may take long for a short text.
        let work = move || see(&expressions, &rows, (room, until));
        Ok(turn.run(work).await.map_err(|_| ApiError::Busy)??)
    }

    fn is_full(&self) -> bool {
        self.ids.len() >= self.limit
    }

    fn is_over(&self) -> bool {
        self.is_full() || self.left == 0 || clock::now() >= self.until
    }

    fn end(&mut self, next: Option<i64>) -> Looked {
        Looked {
            is_partial: next.is_some() && !self.is_full(),
            next,
            ids: std::mem::take(&mut self.ids),
        }
    }
}

fn see(
    expressions: &Expressions,
    rows: &Packed,
    (room, until): (usize, Instant),
) -> Result<Seen, StateError> {
    let mut seen = Seen {
        ids: Vec::new(),
        stopped_at: None,
    };
    let mut last = None;
    for row in rows.rows() {
        if last.is_some() && (seen.ids.len() >= room || clock::now() >= until) {
            seen.stopped_at = last;
            break;
        }
        let id = row.number(0)?;
        if expressions.fit(row.bytes(1)?) {
            seen.ids.push(id);
        }
        last = Some(id);
    }
    Ok(seen)
}

//! New records as they come.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use base::clock;
use base::http::Routes;
use futures_util::stream::{self, StreamExt as _};
use http::HeaderMap;

use super::{Asked, Policies, asked, seen};
use crate::records::Shared;
use crate::records::error::ApiError;
use crate::records::filter::Conditions;
use crate::records::insert::TOPIC;
use crate::records::query::Filters;
use crate::records::reader::Reader;
use crate::records::search;
use crate::records::stored::{self, Order, SUMMARY, Summary};

/// Records that are read at a time.
const PAGE: usize = 100;
/// How often a watcher looks, at most: under load it is woken by every transaction.
const PAUSE: Duration = Duration::from_millis(250);
/// How often it looks when nobody wakes it.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a stream lives: rights are judged at its beginning.
const LIFE: Duration = Duration::from_mins(10);

pub(super) fn routes(shared: &Arc<Shared>, policies: &Policies<'_>) -> Routes {
    let shared = Arc::clone(shared);
    let tail = move |reader: Extension<Reader>, query: Asked<Filters>, headers: HeaderMap| async move {
        match tail(&shared, &reader, query, &headers).await {
            Ok(response) => response,
            Err(error) => error.into_response(),
        }
    };
    Routes::default().get("/v1/records/tail", (policies.read)(), tail)
}

struct Tail {
    begun: Instant,
    shared: Arc<Shared>,
    conditions: Conditions,
    watch: state::Watch,
    /// The record that was given last.
    last: i64,
    /// What is up to here has been looked at, and is in `ready` or given.
    through: i64,
    ready: VecDeque<Summary>,
}

async fn tail(
    shared: &Arc<Shared>,
    reader: &Reader,
    query: Asked<Filters>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let filters = asked(query)?;
    filters.refuse_cursor()?;
    if filters.words()?.is_some() {
        let text = "new records are not searched for words; leave `text` out";
        return Err(ApiError::Invalid(text.to_owned()));
    }
    filters.refuse_expressions("new records are not searched")?;
    let mut conditions = filters.conditions_ahead(shared).await?;
    let projects = seen(shared, reader, filters.project.as_deref())?;
    conditions.projects(&projects, shared.projects.count());
    let seen = headers.get("last-event-id");
    let seen = seen.and_then(|id| id.to_str().ok()?.parse().ok());
    let last = match seen.or(filters.after()) {
        Some(last) => last,
        None => newest(shared).await?,
    };
    let tail = Tail {
        shared: Arc::clone(shared),
        conditions,
        watch: shared.state.watch(TOPIC),
        last,
        through: last,
        ready: VecDeque::new(),
        begun: clock::now(),
    };
    // With this a client that is cut off before the first record still knows where it was.
    let begin = Event::default()
        .event("begin")
        .id(last.to_string())
        .data("");
    let begin = stream::once(async move { Ok::<_, Infallible>(begin) });
    let events = stream::unfold(tail, |mut tail| async move {
        let summary = tail.next().await?;
        let data = serde_json::to_string(&summary).unwrap_or_default();
        let event = Event::default()
            .event("record")
            .id(summary.id.to_string())
            .data(data);
        Some((Ok::<_, Infallible>(event), tail))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let events = begin.chain(events);
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

async fn newest(shared: &Shared) -> Result<i64, ApiError> {
    let mut read = shared.state.read().await?;
    Ok(search::newest(&mut read).await?)
}

impl Tail {
    /// The next record; nothing when the state can't be read: the client comes again.
    async fn next(&mut self) -> Option<Summary> {
        loop {
            if let Some(summary) = self.ready.pop_front() {
                self.last = self.last.max(summary.id);
                return Some(summary);
            }
            if self.begun.elapsed() > LIFE {
                // The client comes again, and shows again that it may.
                return None;
            }
            if !self.look().await.ok()? {
                // What comes meanwhile is still there afterwards.
                drop(tokio::time::timeout(LOOK_AGAIN, self.watch.changed()).await);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Reads what came; says whether something did.
    async fn look(&mut self) -> Result<bool, ApiError> {
        self.last = self.last.max(self.through);
        let mut conditions = self.conditions.clone();
        conditions.from(self.last.saturating_add(1));
        let mut read = self.shared.state.read().await?;
        let newest = search::newest(&mut read).await?;
        conditions.below(newest.saturating_add(1));
        let window = (Order::OldestFirst, PAGE);
        let (found, rows) = stored::select(&mut read, SUMMARY, &conditions, window).await?;
        for row in rows.rows() {
            self.ready
                .push_back(Summary::of(row, &self.shared.projects)?);
        }
        // What did not fit, and what was removed before it was read, need not be looked at again.
        self.through = match found.last() {
            Some(last) if found.len() >= PAGE => *last,
            _ => newest,
        };
        Ok(!found.is_empty())
    }
}

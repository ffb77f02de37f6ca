//! Answers that are read from the state while they are sent, so that a million records take no more
//! memory than a few hundred.

mod found;

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use state::StateError;

pub(crate) use self::found::Found;
use super::Shared;
use super::filter::Conditions;
use super::stored::{self, Order};

/// Rows that are read at a time at most.
const PAGE_ROWS_MAX: usize = 1_000;

/// Which records, in which order, and how many.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) conditions: Conditions,
    /// Only those with these words; the order is then that of a search.
    pub(crate) found: Option<Found>,
    pub(crate) order: Order,
    pub(crate) limit: usize,
}

/// How records become bytes.
pub(crate) trait Render: Send + Sync + 'static {
    /// The columns that it reads; the id is the first, the payload the last.
    const COLUMNS: &'static str;
    /// Whether some of what is read may be left out.
    const LEAVES_OUT: bool = false;

    /// What stands before the first.
    fn begin(&self) -> String {
        String::new()
    }

    /// One record; `index` counts those that were rendered. Says whether it was: some are left out by
    /// their payload.
    fn record(&self, index: usize, row: &AnyRow, out: &mut String) -> Result<bool, StateError>;

    /// What stands behind the last, whose id is given.
    fn end(&self, count: usize, last: Option<i64>) -> String {
        let (_, _) = (count, last);
        String::new()
    }
}

struct Sending<R> {
    shared: Arc<Shared>,
    wanted: Wanted,
    render: R,
    ready: VecDeque<Bytes>,
    count: usize,
    last: Option<i64>,
    is_done: bool,
}

/// A body of all of them. The first page is read before this returns, so a state that is down is an
/// error and not half an answer; one that goes down later cuts the connection.
pub(crate) async fn body<R: Render>(
    shared: &Arc<Shared>,
    wanted: Wanted,
    render: R,
) -> Result<Body, StateError> {
    let mut sending = Sending {
        shared: Arc::clone(shared),
        wanted,
        ready: [render.begin().into()].into(),
        render,
        count: 0,
        last: None,
        is_done: false,
    };
    sending.read().await?;
    let stream = stream::try_unfold(sending, |mut sending| async move {
        while sending.ready.is_empty() && !sending.is_done {
            sending.read().await?;
        }
        let next = sending.ready.pop_front();
        Ok::<_, StateError>(next.map(|bytes| (bytes, sending)))
    });
    Ok(Body::from_stream(stream))
}

impl<R: Render> Sending<R> {
    /// Reads and renders the next page, and the end after the last.
    async fn read(&mut self) -> Result<(), StateError> {
        let rows = if R::LEAVES_OUT {
            PAGE_ROWS_MAX
        } else {
            PAGE_ROWS_MAX.min(self.wanted.limit - self.count)
        };
        let mut text = String::new();
        let (found, is_over) = self.page(rows).await?;
        for row in &found {
            self.last = Some(row.try_get(0)?);
            if self.render.record(self.count, row, &mut text)? {
                self.count += 1;
            }
            if self.count == self.wanted.limit {
                break;
            }
        }
        if is_over || self.count == self.wanted.limit {
            self.is_done = true;
            text.push_str(&self.render.end(self.count, self.last));
        }
        if !text.is_empty() {
            self.ready.push_back(text.into());
        }
        Ok(())
    }

    /// The next rows, and whether there are none behind them.
    async fn page(&mut self, rows: usize) -> Result<(Vec<AnyRow>, bool), StateError> {
        if rows == 0 {
            return Ok((Vec::new(), true));
        }
        if let Some(found) = &mut self.wanted.found {
            let of = (R::COLUMNS, &self.wanted.conditions);
            let page = found.page(&self.shared, of, rows).await?;
            return Ok((page, found.is_over()));
        }
        let mut conditions = self.wanted.conditions.clone();
        let order = self.wanted.order;
        match (order, self.last) {
            (Order::NewestFirst, Some(last)) => conditions.below(last),
            (Order::OldestFirst, Some(last)) => conditions.from(last + 1),
            (_, None) => {}
        }
        let mut read = self.shared.state.read().await?;
        let page = stored::select_page(&mut read, R::COLUMNS, &conditions, (order, rows)).await?;
        // Fewer than were asked for may mean that they are long.
        let is_over = page.is_empty();
        Ok((page, is_over))
    }
}

//! Answers that are read from the state while they are sent, so that a million records take no more
//! memory than a few hundred.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use state::{State, StateError};

use super::filter::Conditions;
use super::stored::{StoredRecord, WHOLE};

/// About how many bytes are read at a time.
const PAGE_BYTES: usize = 1 << 20;
/// Rows that are read at first, while nobody knows how long they are.
const PAGE_ROWS_FIRST: usize = 32;
/// Rows that are read at a time at most.
const PAGE_ROWS_MAX: usize = 1_000;

/// In which order records come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    OldestFirst,
}

/// Records that fit, one page after the other.
#[derive(Debug)]
pub(crate) struct Pages {
    state: State,
    conditions: Conditions,
    order: Order,
    left: usize,
    rows: usize,
    last: Option<i64>,
}

impl Pages {
    /// At most `limit` records.
    pub(crate) fn new(state: &State, conditions: Conditions, order: Order, limit: usize) -> Self {
        Self {
            state: state.clone(),
            conditions,
            order,
            left: limit,
            rows: PAGE_ROWS_FIRST,
            last: None,
        }
    }

    /// The next records; none when all were given.
    pub(crate) async fn next(&mut self) -> Result<Vec<StoredRecord>, StateError> {
        let rows = self.rows.min(self.left);
        if rows == 0 {
            return Ok(Vec::new());
        }
        let mut conditions = self.conditions.clone();
        let (operator, order) = match self.order {
            Order::NewestFirst => ("<", "DESC"),
            Order::OldestFirst => (">", "ASC"),
        };
        if let Some(last) = self.last {
            conditions.number("records.id", operator, last);
        }
        let tail = format!("ORDER BY records.id {order} LIMIT {rows}");
        let mut read = self.state.read().await?;
        let found = conditions.fetch(&mut read, WHOLE, &tail).await?;
        drop(read);
        let page: Vec<StoredRecord> = found
            .iter()
            .map(StoredRecord::of)
            .collect::<Result<_, _>>()?;
        self.left = if page.len() < rows {
            0
        } else {
            self.left - rows
        };
        self.last = page.last().map(|stored| stored.id);
        let bytes: usize = page
            .iter()
            .map(|stored| stored.record.payload.len() + 500)
            .sum();
        let each = bytes / page.len().max(1) + 1;
        self.rows = (PAGE_BYTES / each).clamp(1, PAGE_ROWS_MAX);
        Ok(page)
    }
}

/// How records become bytes.
pub(crate) trait Render: Send + 'static {
    /// What stands before the first.
    fn begin(&self) -> String {
        String::new()
    }

    /// One record; `index` counts from 0.
    fn record(&self, index: usize, stored: &StoredRecord, out: &mut String);

    /// What stands behind the last, whose id is given.
    fn end(&self, count: usize, last: Option<i64>) -> String {
        let (_, _) = (count, last);
        String::new()
    }
}

struct Sending<R> {
    pages: Pages,
    render: Arc<R>,
    ready: VecDeque<Bytes>,
    count: usize,
    is_done: bool,
}

/// A body of all pages. The first page is read before this returns, so a state that is down is an
/// error and not half an answer; one that goes down later cuts the connection.
pub(crate) async fn body<R: Render + Sync>(
    mut pages: Pages,
    render: R,
) -> Result<Body, StateError> {
    let first = pages.next().await?;
    let mut sending = Sending {
        pages,
        render: Arc::new(render),
        ready: VecDeque::new(),
        count: 0,
        is_done: false,
    };
    sending.ready.push_back(sending.render.begin().into());
    sending.add(&first);
    let stream = stream::try_unfold(sending, |mut sending| async move {
        if sending.ready.is_empty() && !sending.is_done {
            let page = sending.pages.next().await?;
            sending.add(&page);
        }
        let next = sending.ready.pop_front();
        Ok::<_, StateError>(next.map(|bytes| (bytes, sending)))
    });
    Ok(Body::from_stream(stream))
}

impl<R: Render> Sending<R> {
    fn add(&mut self, page: &[StoredRecord]) {
        let mut text = String::new();
        for stored in page {
            self.render.record(self.count, stored, &mut text);
            self.count += 1;
        }
        if page.is_empty() || self.pages.left == 0 {
            self.is_done = true;
            text.push_str(&self.render.end(self.count, self.pages.last));
        }
        self.ready.push_back(text.into());
    }
}

//! Answers that are read from the state while they are sent, so that a million records take no more
//! memory than a few hundred.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use base::supervise::BoxError;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use state::StateError;

use super::Shared;
use super::filter::Conditions;
use super::packed::{Column, Packed, Row};
use super::search::{self, Words};
use super::stored::{self, Order};

/// Rows that are read at a time at most.
const PAGE_ROWS_MAX: usize = 1_000;
/// What is read grows by about such a part when it is rendered.
const ROOM_SHARE: usize = 8;

/// Which records, in which order, and how many.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) conditions: Conditions,
    /// Only those with these words, the newest first.
    pub(crate) words: Option<Words>,
    pub(crate) order: Order,
    pub(crate) limit: usize,
}

/// How records become bytes.
pub(crate) trait Render: Send + Sync + 'static {
    /// The columns that it reads; the id is the first, the payload the last.
    const COLUMNS: &'static [Column];
    /// Whether some of what is read may be left out.
    const LEAVES_OUT: bool = false;

    /// What stands before the first.
    fn begin(&self) -> String {
        String::new()
    }

    /// One record; `index` counts those that were rendered. Says whether it was: some are left out by
    /// their payload.
    fn record(&self, index: usize, row: Row<'_>, out: &mut String) -> Result<bool, StateError>;

    /// What stands behind the last, whose id is given.
    fn end(&self, count: usize, last: Option<i64>) -> String {
        let (_, _) = (count, last);
        String::new()
    }
}

/// What is being sent. One page is rendered while the next is read.
struct Sending<R> {
    shared: Arc<Shared>,
    wanted: Wanted,
    render: Arc<R>,
    /// Ids that were found and whose records were not read yet.
    pages: VecDeque<Vec<i64>>,
    /// How many were found, up to which id was looked, and whether nothing is left.
    found: usize,
    reached: Option<i64>,
    is_searched: bool,
    /// Records that were read and not rendered yet.
    rows: Packed,
    /// How many were rendered, and the last.
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
    let begin = Bytes::from(render.begin());
    let mut sending = Sending {
        shared: Arc::clone(shared),
        wanted,
        render: Arc::new(render),
        pages: VecDeque::new(),
        found: 0,
        reached: None,
        is_searched: false,
        rows: Packed::default(),
        count: 0,
        last: None,
        is_done: false,
    };
    sending.rows = sending.page().await?;
    let rest = stream::try_unfold(sending, |mut sending| async move {
        let next = sending.next().await?;
        Ok::<_, BoxError>(next.map(|bytes| (bytes, sending)))
    });
    let begin = stream::once(async { Ok::<_, BoxError>(begin) });
    Ok(Body::from_stream(begin.chain(rest)))
}

/// A page as bytes.
struct Rendered {
    text: String,
    count: usize,
    last: Option<i64>,
}

fn render_page<R: Render>(
    render: &R,
    rows: &Packed,
    (before, limit): (usize, usize),
) -> Result<Rendered, StateError> {
    let mut page = Rendered {
        text: String::with_capacity(rows.bytes() + rows.bytes() / ROOM_SHARE),
        count: before,
        last: None,
    };
    for row in rows.rows() {
        if page.count == limit {
            break;
        }
        page.last = Some(row.number(0)?);
        if render.record(page.count, row, &mut page.text)? {
            page.count += 1;
        }
    }
    Ok(page)
}

impl<R: Render> Sending<R> {
    /// The next page as bytes, and the end after the last.
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        if self.is_done {
            return Ok(None);
        }
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() || self.count == self.wanted.limit {
            self.is_done = true;
            let end = self.render.end(self.count, self.last);
            return Ok(Some(end.into()));
        }
        let render = Arc::clone(&self.render);
        let place = (self.count, self.wanted.limit);
        let rendering = tokio::task::spawn_blocking(move || render_page(&*render, &rows, place));
        let (rendered, rows) = tokio::join!(rendering, self.page());
        let Rendered { text, count, last } = rendered??;
        self.rows = rows?;
        self.count = count;
        self.last = last.or(self.last);
        Ok(Some(text.into()))
    }

    /// The records of the next page; none at the end.
    async fn page(&mut self) -> Result<Packed, StateError> {
        loop {
            while self.pages.is_empty() && !self.is_searched {
                self.find().await?;
            }
            let Some(ids) = self.pages.pop_front() else {
                return Ok(Packed::default());
            };
            let mut read = self.shared.state.read().await?;
            let found = stored::of_ids(&mut read, R::COLUMNS, &ids, self.wanted.order).await?;
            // Those that were found may be removed before they are read; others are found for them.
            self.found = self.found.saturating_sub(ids.len() - found.len());
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Finds the next pages. There may be none, and more behind: a search looks at so many payloads at
    /// a time.
    async fn find(&mut self) -> Result<(), StateError> {
        let rows = if R::LEAVES_OUT {
            PAGE_ROWS_MAX
        } else {
            PAGE_ROWS_MAX.min(self.wanted.limit.saturating_sub(self.found))
        };
        if rows == 0 {
            self.is_searched = true;
            return Ok(());
        }
        let order = self.wanted.order;
        let mut conditions = self.wanted.conditions.clone();
        match (order, self.reached) {
            (Order::NewestFirst, Some(reached)) => conditions.below(reached),
            (Order::OldestFirst, Some(reached)) => conditions.from(reached.saturating_add(1)),
            (_, None) => {}
        }
        let mut ended_at = None;
        if let Some(words) = &self.wanted.words {
            let found = search::search(&self.shared, words, &conditions, rows).await?;
            conditions = Conditions::default();
            conditions.one_of("id", &found.ids);
            ended_at = found.ended_at.or(found.ids.last().copied());
        }
        let mut read = self.shared.state.read().await?;
        let found = search::find(&mut read, &conditions, (order, rows)).await?;
        self.pages = stored::pages(&found).into();
        self.found += found.len();
        let last = self.pages.back().and_then(|page| page.last().copied());
        self.reached = ended_at.or(last);
        self.is_searched = self.reached.is_none();
        Ok(())
    }
}

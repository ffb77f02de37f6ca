//! Answers that are read from the state while they are sent, so that a million records take no more
//! memory than a few hundred.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use base::supervise::{BoxError, Criticality, Phase, Scope, Service};
use bytes::Bytes;
use futures_util::future;
use futures_util::stream::{self, Stream, StreamExt as _};
use state::StateError;
use tokio::sync::mpsc;

use super::Shared;
use super::filter::Conditions;
use super::packed::{Column, Packed, Row};
use super::search::{self, Words};
use super::stored::{self, Order};

/// Rows that are read at a time at most.
const PAGE_ROWS_MAX: usize = 1_000;
/// Pages that are read side by side: PostgreSQL has a process for each connection.
const PAGES_AT_ONCE: usize = 2;
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

/// What is being sent. Some pages are rendered while the next are read.
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
    /// Pages of records that were read and not rendered yet.
    read: Vec<Packed>,
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
        read: Vec::new(),
        count: 0,
        last: None,
        is_done: false,
    };
    sending.read = sending.read_pages().await?;
    let rest = stream::try_unfold(sending, |mut sending| async move {
        let next = sending.next().await?;
        Ok::<_, BoxError>(next.map(|bytes| (bytes, sending)))
    });
    let begin = stream::once(async { Ok::<_, BoxError>(begin) });
    let all = begin.chain(rest);
    Ok(match shared.ahead.scope.get() {
        Some(scope) => Body::from_stream(read_ahead(all, scope)),
        None => Body::from_stream(all),
    })
}

/// Where answers are read ahead of those who take them.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    scope: OnceLock<Scope>,
}

/// Has answers be read ahead while it runs.
pub(crate) fn service(shared: &Arc<Shared>) -> Service {
    let shared = Arc::clone(shared);
    let body = move |scope: Scope| async move {
        let scope = shared.ahead.scope.get_or_init(|| scope);
        // Answers that have begun go on until their listeners have let them end.
        scope.stopping().await;
        Ok::<(), BoxError>(())
    };
    // After the listeners: who is being answered still needs it.
    Service::new("records.answers", Criticality::Critical, body).stops_at(Phase::Flush)
}

/// The same pieces; the next is read while the last one is sent, which a body by itself does not do.
fn read_ahead(
    pieces: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
    scope: &Scope,
) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static {
    let (give, taken) = mpsc::channel(1);
    scope.spawn("answer of records", async move {
        let mut pieces = std::pin::pin!(pieces);
        while let Ok(room) = give.reserve().await {
            let piece = tokio::select! {
                piece = pieces.next() => piece,
                // Nobody takes it any more: a search would else go on to its end.
                () = give.closed() => return,
            };
            let is_last = piece.is_none();
            // The end is said, too: what breaks off is no end.
            room.send(piece);
            if is_last {
                return;
            }
        }
    });
    stream::unfold(Some(taken), |taken| async move {
        let mut taken = taken?;
        match taken.recv().await {
            Some(Some(Ok(piece))) => Some((Ok(piece), Some(taken))),
            Some(Some(Err(error))) => Some((Err(error), None)),
            Some(None) => None,
            None => Some((Err("the answer was broken off".into()), None)),
        }
    })
}

/// Pages as bytes.
struct Rendered {
    text: String,
    count: usize,
    last: Option<i64>,
}

fn render_pages<R: Render>(
    render: &R,
    pages: &[Packed],
    (before, limit): (usize, usize),
) -> Result<Rendered, StateError> {
    let bytes: usize = pages.iter().map(Packed::bytes).sum();
    let mut rendered = Rendered {
        text: String::with_capacity(bytes + bytes / ROOM_SHARE),
        count: before,
        last: None,
    };
    for row in pages.iter().flat_map(Packed::rows) {
        if rendered.count == limit {
            break;
        }
        rendered.last = Some(row.number(0)?);
        if render.record(rendered.count, row, &mut rendered.text)? {
            rendered.count += 1;
        }
    }
    Ok(rendered)
}

impl<R: Render> Sending<R> {
    /// The next pages as bytes, and the end after the last.
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        if self.is_done {
            return Ok(None);
        }
        let pages = std::mem::take(&mut self.read);
        if pages.is_empty() || self.count == self.wanted.limit {
            self.is_done = true;
            let end = self.render.end(self.count, self.last);
            return Ok(Some(end.into()));
        }
        let render = Arc::clone(&self.render);
        let place = (self.count, self.wanted.limit);
        let rendering = tokio::task::spawn_blocking(move || render_pages(&*render, &pages, place));
        let (rendered, read) = tokio::join!(rendering, self.read_pages());
        let Rendered { text, count, last } = rendered??;
        self.read = read?;
        self.count = count;
        self.last = last.or(self.last);
        Ok(Some(text.into()))
    }

    /// The records of the next pages; none at the end.
    async fn read_pages(&mut self) -> Result<Vec<Packed>, StateError> {
        loop {
            let Some(ids) = self.next_ids().await? else {
                return Ok(Vec::new());
            };
            let mut lists = vec![ids];
            // What was found already; to look for more, it must be known how many of these are there.
            while lists.len() < PAGES_AT_ONCE
                && let Some(ids) = self.pages.pop_front()
            {
                lists.push(ids);
            }
            let (state, order) = (&self.shared.state, self.wanted.order);
            let reading = lists.iter().map(|ids| async move {
                let mut read = state.read().await?;
                stored::of_ids(&mut read, R::COLUMNS, ids, order).await
            });
            let mut pages = future::try_join_all(reading).await?;
            // Those that were found may be removed before they are read; others are found for them.
            let found: usize = lists.iter().map(Vec::len).sum();
            let read = pages.iter().map(Packed::len).sum();
            self.found = self.found.saturating_sub(found.saturating_sub(read));
            pages.retain(|page| !page.is_empty());
            if !pages.is_empty() {
                return Ok(pages);
            }
        }
    }

    /// The ids of the next page; none at the end.
    async fn next_ids(&mut self) -> Result<Option<Vec<i64>>, StateError> {
        while self.pages.is_empty() && !self.is_searched {
            self.find().await?;
        }
        Ok(self.pages.pop_front())
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
            let found = search::search(&self.shared.state, words, &conditions, rows).await?;
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

//! Records with words in their payloads, page by page, the newest first.

use sqlx::Row as _;
use sqlx::any::AnyRow;
use state::StateError;

use crate::records::Shared;
use crate::records::filter::Conditions;
use crate::records::search::{self, Words};
use crate::records::stored::{self, Order};

/// How far a search is.
#[derive(Debug)]
pub(crate) struct Found {
    words: Words,
    /// It goes on below this record.
    below: Option<i64>,
    /// Records that were found and are still to be read.
    ids: Vec<i64>,
    is_searched: bool,
}

impl Found {
    /// Records that have all words.
    pub(crate) fn new(words: Words) -> Self {
        Self {
            words,
            below: None,
            ids: Vec::new(),
            is_searched: false,
        }
    }

    /// Whether there are no more.
    pub(super) fn is_over(&self) -> bool {
        self.is_searched && self.ids.is_empty()
    }

    /// The next of them that fit, at most `rows`. There may be none in a page that is not the last:
    /// a search looks at so many payloads at a time.
    pub(super) async fn page(
        &mut self,
        shared: &Shared,
        (columns, conditions): (&str, &Conditions),
        rows: usize,
    ) -> Result<Vec<AnyRow>, StateError> {
        if self.ids.is_empty() {
            let mut conditions = conditions.clone();
            if let Some(below) = self.below {
                conditions.below(below);
            }
            let found = search::search(shared, &self.words, &conditions, rows).await?;
            let last = found.ids.last().filter(|_| found.ids.len() == rows);
            self.below = found.ended_at.or(last.copied());
            self.is_searched = self.below.is_none_or(|below| below <= 1);
            self.ids = found.ids;
        }
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut of_ids = Conditions::default();
        of_ids.one_of("id", &self.ids);
        let window = (Order::NewestFirst, self.ids.len());
        let mut read = shared.state.read().await?;
        let page = stored::select_page(&mut read, columns, &of_ids, window).await?;
        match page.last() {
            Some(last) => {
                let last: i64 = last.try_get(0)?;
                self.ids.retain(|id| *id < last);
            }
            // All of them were removed meanwhile.
            None => self.ids.clear(),
        }
        Ok(page)
    }
}

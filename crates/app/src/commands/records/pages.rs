//! Lists that come page by page.

use serde_json::Value;

use super::hub::Hub;
use super::query::Query;
use super::{Amount, Outcome};

/// Records of a page, the API's most.
pub(super) const PAGE: u64 = 1_000;
/// The same of submissions in quarantine: their payloads come with them.
pub(super) const PAGE_WITH_PAYLOADS: u64 = 50;

/// How far a list is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    /// How many are still wanted; nothing for all.
    left: Option<u64>,
    page: u64,
    before: Option<i64>,
    is_at_end: bool,
}

impl Cursor {
    pub(super) fn new(amount: &Amount, page: u64) -> Self {
        Self {
            left: (!amount.all).then_some(amount.limit),
            page,
            before: None,
            is_at_end: false,
        }
    }

    /// What to ask for: how many, and before which; nothing when all is there.
    fn wanted(&self) -> Option<(u64, Option<i64>)> {
        let limit = self.left.map_or(self.page, |left| left.min(self.page));
        (limit > 0 && !self.is_at_end).then_some((limit, self.before))
    }

    /// A page came, with the `next` that it says.
    fn took(&mut self, count: usize, next: Option<i64>) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.left = self.left.map(|left| left.saturating_sub(count));
        // A list that does not get further is at its end, whatever it says.
        let goes_on = next.is_some_and(|next| self.before.is_none_or(|before| next < before));
        self.is_at_end = !goes_on;
        self.before = next.or(self.before);
    }
}

/// A list of a hub.
pub(super) struct Pages<'a> {
    pub(super) hub: &'a Hub,
    pub(super) path: &'static str,
    /// What the list is called in the answer.
    pub(super) key: &'static str,
    pub(super) query: Query,
    pub(super) cursor: Cursor,
}

impl Pages<'_> {
    /// The next page; nothing after the last. A search may give pages that are short, or empty, and
    /// have a next one: it looks at so many payloads at a time.
    pub(super) async fn next(&mut self) -> Outcome<Option<Vec<Value>>> {
        while let Some((limit, before)) = self.cursor.wanted() {
            let query = self.query.clone().with("limit", &limit);
            let query = query.with_some("before", before.as_ref());
            let mut page = self.hub.get(&query.at(self.path)).await?;
            let rows = match page.get_mut(self.key).map(Value::take) {
                Some(Value::Array(rows)) => rows,
                _ => Vec::new(),
            };
            let next = page.get("next").and_then(Value::as_i64);
            self.cursor.took(rows.len(), next);
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a list of records with these many, and gives the limits that were asked with.
    fn limits(amount: &Amount, there_are: u64) -> Vec<u64> {
        let mut cursor = Cursor::new(amount, PAGE);
        let mut asked = Vec::new();
        let mut top = i64::try_from(there_are).unwrap();
        while let Some((limit, before)) = cursor.wanted() {
            assert_eq!(before.is_some(), !asked.is_empty());
            asked.push(limit);
            let count = limit.min(u64::try_from(top).unwrap());
            top -= i64::try_from(count).unwrap();
            cursor.took(
                usize::try_from(count).unwrap(),
                (count == limit).then_some(top + 1),
            );
        }
        asked
    }

    #[test]
    fn pages_are_read_until_there_are_enough() {
        let check = |limit: u64, there_are: u64, expected: &[u64]| {
            let amount = Amount { limit, all: false };
            assert_eq!(
                limits(&amount, there_are),
                expected,
                "{limit} of {there_are}"
            );
        };
        check(50, 5_000, &[50]);
        check(50, 0, &[50]);
        check(2_500, 5_000, &[1_000, 1_000, 500]);
        check(2_500, 1_200, &[1_000, 1_000]);
    }

    #[test]
    fn all_are_read_to_the_end() {
        let all = Amount {
            limit: 50,
            all: true,
        };
        assert_eq!(limits(&all, 2_500), [1_000; 3]);
        // A last page that is full has an empty one behind it.
        assert_eq!(limits(&all, 2_000), [1_000; 3]);
    }

    #[test]
    fn short_and_empty_pages_are_no_end() {
        let mut cursor = Cursor::new(
            &Amount {
                limit: 50,
                all: false,
            },
            PAGE,
        );
        cursor.took(3, Some(900));
        assert_eq!(cursor.wanted(), Some((47, Some(900))));
        cursor.took(0, Some(700));
        assert_eq!(cursor.wanted(), Some((47, Some(700))));
        cursor.took(0, None);
        assert_eq!(cursor.wanted(), None);
    }

    #[test]
    fn a_list_that_repeats_itself_ends() {
        let amount = Amount {
            limit: 50,
            all: true,
        };
        let mut cursor = Cursor::new(&amount, PAGE);
        cursor.took(1_000, Some(7));
        assert_eq!(cursor.wanted(), Some((1_000, Some(7))));
        cursor.took(1_000, Some(7));
        assert_eq!(cursor.wanted(), None);
    }
}

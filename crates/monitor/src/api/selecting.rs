//! Which series a request names, over all of its selectors, as far as who asks may see them.

use std::collections::BTreeSet;

use query::labels::Labels;
use query::matcher::Matcher;
use signals::Store;

use super::answer::ApiError;
use crate::samples::{labels, matchers};
use crate::viewer::Viewer;

/// What a request wants series of.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Series for which all matchers of one of these hold.
    pub(super) selectors: Vec<Vec<Matcher>>,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) viewer: Viewer,
}

impl Wanted {
    /// The series, in order; one more than `most` tells that there are others.
    pub(super) fn series(&self, store: &Store, most: usize) -> Result<Vec<Labels>, ApiError> {
        let mut found = BTreeSet::new();
        for selector in self.in_turn() {
            let matchers = matchers(selector).map_err(ApiError::bad)?;
            for series in store.series(&matchers, self.start, self.end)? {
                let series = labels(&series);
                if self.viewer.sees(&series) {
                    found.insert(series);
                    if found.len() > most {
                        break;
                    }
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    /// The names of labels, in order.
    pub(super) fn names(&self, store: &Store) -> Result<BTreeSet<String>, ApiError> {
        if !self.viewer.sees_everything() {
            let series = self.series(store, usize::MAX)?;
            let names = series.iter().flat_map(Labels::iter);
            return Ok(names.map(|(name, _)| name.to_owned()).collect());
        }
        let mut names = BTreeSet::new();
        for selector in self.in_turn() {
            let matchers = matchers(selector).map_err(ApiError::bad)?;
            names.extend(store.label_names(&matchers, self.start, self.end)?);
        }
        Ok(names)
    }

    /// The values of a label, in order.
    pub(super) fn values(&self, store: &Store, name: &str) -> Result<Vec<String>, ApiError> {
        if !self.viewer.sees_everything() {
            let series = self.series(store, usize::MAX)?;
            let values: BTreeSet<&str> = series.iter().map(|series| series.get(name)).collect();
            let values = values.into_iter().filter(|value| !value.is_empty());
            return Ok(values.map(str::to_owned).collect());
        }
        let mut values = Vec::new();
        for selector in self.in_turn() {
            let matchers = matchers(selector).map_err(ApiError::bad)?;
            values.extend(store.label_values(name, &matchers, self.start, self.end)?);
        }
        if self.selectors.len() > 1 {
            values.sort();
            values.dedup();
        }
        Ok(values)
    }

    /// The selectors; one without matchers when there are none.
    fn in_turn(&self) -> impl Iterator<Item = &[Matcher]> {
        let everything: &[Matcher] = &[];
        let is_everything = self.selectors.is_empty().then_some(everything);
        let selectors = self.selectors.iter().map(Vec::as_slice);
        selectors.chain(is_everything)
    }
}

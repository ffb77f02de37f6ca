//! Which series of the head have which labels.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::Bound;

use crate::labels::Labels;
use crate::matcher::{self, Matcher, Wanted};
use crate::postings;

/// Bytes that an entry of a tree takes beside its text: the nodes are about two thirds full.
const ENTRY_BYTES: usize = 64;

/// Names to values to sorted ids. Both are in order, so that a prefix is a range.
#[derive(Debug, Default)]
pub(crate) struct Index {
    names: BTreeMap<Box<str>, Values>,
    /// Of all series, sorted.
    all: Vec<u32>,
    text_bytes: usize,
    entries: usize,
}

type Values = BTreeMap<Box<str>, Ids>;

/// Most values of labels with many values belong to one series.
#[derive(Debug)]
enum Ids {
    One(u32),
    Many(Vec<u32>),
}

impl Ids {
    fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }

    fn push(&mut self, id: u32) {
        match self {
            Self::One(first) => *self = Self::Many(vec![*first, id]),
            Self::Many(ids) => ids.push(id),
        }
    }
}

impl Index {
    /// Adds a series; its id is above all earlier ones.
    pub(crate) fn insert(&mut self, id: u32, labels: &Labels) {
        self.all.push(id);
        for (name, value) in labels {
            self.entries += 1;
            if !self.names.contains_key(name) {
                self.text_bytes += name.len() + ENTRY_BYTES;
                self.names.insert(name.into(), Values::new());
            }
            let Some(values) = self.names.get_mut(name) else {
                continue;
            };
            if let Some(ids) = values.get_mut(value) {
                ids.push(id);
            } else {
                self.text_bytes += value.len() + ENTRY_BYTES;
                values.insert(value.into(), Ids::One(id));
            }
        }
    }

    /// Removes series; `dead` is sorted by id.
    pub(crate) fn remove(&mut self, dead: &[(u32, Labels)]) {
        let ids: Vec<u32> = dead.iter().map(|(id, _)| *id).collect();
        self.all = postings::subtract(&self.all, &ids);
        let mut touched: BTreeSet<(&str, &str)> = BTreeSet::new();
        for (_, labels) in dead {
            self.entries = self.entries.saturating_sub(labels.iter().count());
            touched.extend(labels.iter());
        }
        for (name, value) in touched {
            let Some(values) = self.names.get_mut(name) else {
                continue;
            };
            let Some(have) = values.get_mut(value) else {
                continue;
            };
            let left = postings::subtract(have.as_slice(), &ids);
            if left.is_empty() {
                values.remove(value);
                self.text_bytes = self.text_bytes.saturating_sub(value.len() + ENTRY_BYTES);
            } else {
                *have = Ids::Many(left);
            }
            if values.is_empty() {
                self.names.remove(name);
                self.text_bytes = self.text_bytes.saturating_sub(name.len() + ENTRY_BYTES);
            }
        }
    }

    /// The ids of the series for which all matchers hold, sorted.
    pub(crate) fn find(&self, matchers: &[Matcher]) -> Vec<u32> {
        let found: Result<Vec<u32>, Infallible> = matcher::find(
            matchers,
            || Ok(self.all.clone()),
            |matcher, accepted| Ok(self.with(matcher, accepted)),
        );
        match found {
            Ok(ids) => ids,
            Err(never) => match never {},
        }
    }

    /// The series whose value of the matcher's label the matcher accepts, or does not.
    fn with(&self, matcher: &Matcher, accepted: bool) -> Vec<u32> {
        let Some(values) = self.names.get(matcher.name()) else {
            return Vec::new();
        };
        let mut lists: Vec<&[u32]> = Vec::new();
        // What a pattern accepts can be looked up; what it does not accept is all the others.
        match matcher.wanted() {
            Wanted::Words(words) if accepted => {
                let found = words.iter().filter_map(|word| values.get(word.as_str()));
                lists.extend(found.map(Ids::as_slice));
            }
            Wanted::Prefix(prefix) if accepted => {
                let from = (Bound::Included(prefix), Bound::Unbounded);
                let range = values.range::<str, _>(from);
                let range = range.take_while(|(value, _)| value.starts_with(prefix));
                let passing = range.filter(|(value, _)| matcher.accepts(value));
                lists.extend(passing.map(|(_, ids)| ids.as_slice()));
            }
            Wanted::Words(_) | Wanted::Prefix(_) => {
                let passing = values.iter().filter(|(value, _)| !matcher.accepts(value));
                lists.extend(passing.map(|(_, ids)| ids.as_slice()));
            }
        }
        postings::union(&lists)
    }

    /// The names of labels, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }

    /// The values of a label with the ids of their series, in order.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = (&str, &[u32])> {
        let values = self.names.get(name).into_iter().flatten();
        values.map(|(value, ids)| (&**value, ids.as_slice()))
    }

    /// How many values a label has.
    pub(crate) fn value_count(&self, name: &str) -> usize {
        self.names.get(name).map_or(0, Values::len)
    }

    /// Names with how many values each has, and pairs of label and value in all.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&str, usize)> {
        self.names
            .iter()
            .map(|(name, values)| (&**name, values.len()))
    }

    /// About how many bytes it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.text_bytes + self.entries * 6 + self.all.len() * 4
    }
}

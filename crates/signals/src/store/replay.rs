//! What the log says goes back into the head.

mod gather;

use std::collections::HashMap;
use std::sync::Arc;

use crate::extra::{Exemplar, Metadata};
use crate::head::{Head, Verdict};
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::record::Visitor;

use gather::Float;
pub(super) use gather::replay;

/// Ids that may be missing between two that stand in one list.
const NEAR_MAX: usize = 1 << 20;

/// Fills a head from the log.
#[derive(Debug)]
pub(super) struct Replay<'a> {
    head: &'a mut Head,
    /// Ids of the log to ids of the head, from the lowest on. Each file describes its series anew.
    ids: Vec<Option<u32>>,
    lowest: u32,
    /// Those that are far from the others.
    far: HashMap<u32, u32, foldhash::fast::RandomState>,
    pub(super) samples: u64,
}

impl<'a> Replay<'a> {
    pub(super) fn new(head: &'a mut Head) -> Self {
        Self {
            head,
            ids: Vec::new(),
            lowest: 0,
            far: HashMap::default(),
            samples: 0,
        }
    }

    /// The next file describes its series anew.
    pub(super) fn forget_ids(&mut self) {
        self.ids.clear();
        self.far.clear();
    }

    /// The head's id, unless the sample is in a segment already.
    fn place(&self, id: u32, time: i64) -> Option<u32> {
        let is_flushed = self.head.flushed_until.is_some_and(|until| time < until);
        if is_flushed { None } else { self.here(id) }
    }

    /// The head's id.
    fn here(&self, id: u32) -> Option<u32> {
        let near = id.checked_sub(self.lowest).map(|at| at as usize);
        let near = near.and_then(|at| self.ids.get(at).copied().flatten());
        near.or_else(|| self.far.get(&id).copied())
    }

    /// Samples of one series.
    fn floats(&mut self, floats: &[Float]) {
        let here = floats.first().and_then(|float| self.here(float.id));
        if let Some(here) = here {
            let from = self.head.flushed_until.unwrap_or(i64::MIN);
            let left = floats.iter().filter(|float| float.time >= from);
            let left = left.map(|float| (float.time, float.value, float.start));
            self.samples += self.head.push_all(here, left);
        }
    }

    fn push_histogram(&mut self, id: u32, (time, start): (i64, i64), value: &Arc<Histogram>) {
        if let Some(id) = self.place(id, time) {
            let verdict = self.head.push_histogram(id, time, start, value);
            self.samples += u64::from(verdict == Verdict::Taken);
        }
    }

    fn set_place(&mut self, id: u32, here: u32) {
        if self.ids.is_empty() {
            self.lowest = id;
        }
        let Some(at) = id.checked_sub(self.lowest).map(|at| at as usize) else {
            self.far.insert(id, here);
            return;
        };
        if at > self.ids.len() + NEAR_MAX {
            self.far.insert(id, here);
            return;
        }
        if self.ids.len() <= at {
            self.ids.resize(at + 1, None);
        }
        if let Some(place) = self.ids.get_mut(at) {
            *place = Some(here);
        }
    }
}

impl Visitor for Replay<'_> {
    fn series(&mut self, id: u32, labels: Labels) {
        let found = self.head.find(&labels);
        if let Some(here) = found.or_else(|| self.head.add(&labels)) {
            self.set_place(id, here);
        }
    }

    fn float(&mut self, id: u32, time: i64, value: f64, start: i64) {
        if let Some(id) = self.place(id, time) {
            let verdict = self.head.push(id, time, value, start);
            self.samples += u64::from(verdict == Verdict::Taken);
        }
    }

    fn histogram(&mut self, id: u32, time: i64, start: i64, value: Histogram) {
        self.push_histogram(id, (time, start), &Arc::new(value));
    }

    fn delete(&mut self, matchers: &[Matcher], start: i64, end: i64) {
        let ids = self.head.select(matchers);
        self.head.delete(&ids, start, end);
    }

    fn exemplar(&mut self, exemplar: Exemplar) {
        self.head.extras.add_exemplar(exemplar);
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.head.extras.set_metadata(metric, metadata);
    }

    fn closed(&mut self) {}
}

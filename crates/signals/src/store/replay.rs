//! What the log says goes back into the head.

use std::collections::HashMap;
use std::sync::Arc;

use crate::extra::{Exemplar, Metadata};
use crate::head::{Head, Verdict};
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::record::Visitor;

/// Fills a head from the log.
#[derive(Debug)]
pub(super) struct Replay<'a> {
    head: &'a mut Head,
    /// Ids of the log to ids of the head. Each file describes its series anew.
    ids: HashMap<u32, u32, foldhash::fast::RandomState>,
    pub(super) samples: u64,
}

impl<'a> Replay<'a> {
    pub(super) fn new(head: &'a mut Head) -> Self {
        Self {
            head,
            ids: HashMap::default(),
            samples: 0,
        }
    }

    /// The head's id, unless the sample is in a segment already.
    fn place(&self, id: u32, time: i64) -> Option<u32> {
        let is_flushed = self.head.flushed_until.is_some_and(|until| time < until);
        self.ids.get(&id).copied().filter(|_| !is_flushed)
    }
}

impl Visitor for Replay<'_> {
    fn series(&mut self, id: u32, labels: Labels) {
        let found = self.head.find(&labels);
        if let Some(here) = found.or_else(|| self.head.add(&labels)) {
            self.ids.insert(id, here);
        }
    }

    fn float(&mut self, id: u32, time: i64, value: f64, start: i64) {
        if let Some(id) = self.place(id, time) {
            let verdict = self.head.push(id, time, value, start);
            self.samples += u64::from(verdict == Verdict::Taken);
        }
    }

    fn histogram(&mut self, id: u32, time: i64, start: i64, value: Histogram) {
        if let Some(id) = self.place(id, time) {
            let value = Arc::new(value);
            let verdict = self.head.push_histogram(id, time, start, &value);
            self.samples += u64::from(verdict == Verdict::Taken);
        }
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

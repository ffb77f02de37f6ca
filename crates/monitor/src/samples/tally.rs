//! What a query read from the store, for `stats` and `explain`.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use query::promql::format::string;
use query::source::Selection;

/// Selections of one query that are told one by one.
const SELECTIONS_MAX: usize = 100;

/// What was read so far.
#[derive(Debug, Default)]
pub struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    samples: usize,
    took: Duration,
    selections: Vec<Read>,
}

/// One selection.
#[derive(Debug)]
struct Read {
    selector: String,
    after_ms: i64,
    until_ms: i64,
    series: usize,
    samples: usize,
    took: Duration,
}

impl Tally {
    /// So many series and samples were read.
    pub(crate) fn add(
        &self,
        wanted: &Selection<'_>,
        (series, samples): (usize, usize),
        took: Duration,
    ) {
        let mut inner = self.lock();
        inner.samples += samples;
        inner.took += took;
        if inner.selections.len() < SELECTIONS_MAX {
            let matchers = wanted.matchers.iter().map(ToString::to_string);
            let matchers: Vec<String> = matchers.collect();
            inner.selections.push(Read {
                selector: format!("{{{}}}", matchers.join(",")),
                after_ms: wanted.after_ms,
                until_ms: wanted.until_ms,
                series,
                samples,
                took,
            });
        }
    }

    /// Samples that were read.
    pub fn samples(&self) -> usize {
        self.lock().samples
    }

    /// How long reading took.
    pub fn seconds(&self) -> f64 {
        self.lock().took.as_secs_f64()
    }

    /// Writes what was read as JSON.
    pub fn write(&self, out: &mut String) {
        out.push_str("{\"selections\":[");
        for (place, read) in self.lock().selections.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            out.push_str("{\"selector\":");
            string(out, &read.selector);
            let Read {
                after_ms,
                until_ms,
                series,
                samples,
                ..
            } = read;
            let milliseconds = read.took.as_secs_f64() * 1000.0;
            write!(
                out,
                r#","after_ms":{after_ms},"until_ms":{until_ms},"series":{series},"samples":{samples},"milliseconds":{milliseconds:.3}}}"#
            )
            .unwrap_or_default();
        }
        out.push_str("]}");
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The entries of the fuzz targets: whatever the bytes are, reading them ends in an expression or in
//! an error with a place, and evaluating what was read ends. They only assert; the fuzzer lives
//! elsewhere.

use std::cell::Cell;

use crate::promql::engine::{Context, Interruption, Options, Query};
use crate::promql::parser::metric;
use crate::source::{Selection, SeriesData, Source, SourceError};

/// How often a query that was read may ask whether to stop.
const ASKED_MAX: usize = 64;
/// Samples that a query may make.
const SAMPLES_MAX: usize = 20_000;

/// A store without anything.
struct Nothing;

impl Source for Nothing {
    fn select(&self, _: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        Ok(Vec::new())
    }
}

/// Reads the data as a query and as a series, and evaluates over nothing what could be read.
///
/// # Panics
/// When an error has no place in the text, or a query goes on although it should stop.
pub fn promql(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok((_, taken)) = metric(&text) {
        assert!(text.is_char_boundary(taken), "a series ends in the text");
    }
    let query = match Query::parse(&text) {
        Ok(query) => query,
        Err(error) => {
            assert!(error.position <= text.len(), "{error:?}");
            return;
        }
    };
    let asked = Cell::new(0);
    let interrupt = || {
        asked.set(asked.get() + 1);
        (asked.get() > ASKED_MAX).then_some(Interruption::Timeout)
    };
    let options = Options {
        samples_max: SAMPLES_MAX,
        ..Options::default()
    };
    let context = Context {
        source: &Nothing,
        options: &options,
        interrupt: &interrupt,
    };
    drop(query.instant(context, 1_000_000));
    drop(query.range(context, 0, 300_000, 60_000));
    assert!(asked.get() <= 2 * ASKED_MAX + 2, "a query stops");
}

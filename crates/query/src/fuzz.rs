//! The entries of the fuzz targets: whatever the bytes are, reading them ends in an expression or in
//! an error with a place, and evaluating what was read ends. They only assert; the fuzzer lives
//! elsewhere.

use std::cell::Cell;
use std::sync::Arc;

use crate::histogram::{Bucket, CUSTOM_BUCKETS, Histogram};
use crate::labels::{BUCKET_BOUND, Labels, METRIC_NAME};
use crate::promql::engine::{Context, Interruption, Options, Query};
use crate::promql::parser::metric;
use crate::source::{HistogramSample, STALE, Selection, SeriesData, Source, SourceError};

/// How often a query that was read may ask whether to stop.
const ASKED_MAX: usize = 64;
/// Samples that a query may make.
const SAMPLES_MAX: usize = 20_000;

/// A store with a few series of all kinds, which gives more than it is asked for.
struct Store(Vec<SeriesData>);

impl Store {
    fn new() -> Store {
        let labels = |name: &str, other: &str| Labels::new([(METRIC_NAME, name), ("a", other)]);
        let timestamps = Arc::new((0..40).map(|at| at * 15_000).collect::<Vec<i64>>());
        let rising: Vec<f64> = (0..40_u8).map(f64::from).collect();
        let mut odd = rising.clone();
        let odds = [f64::NAN, STALE, f64::INFINITY, -1.0, 0.0, f64::NEG_INFINITY];
        for (value, replacement) in odd.iter_mut().skip(3).step_by(5).zip(odds) {
            *value = replacement;
        }
        let floats = |name: &str, other: &str, values: &[f64]| SeriesData {
            labels: labels(name, other),
            timestamps: Arc::clone(&timestamps),
            values: values.to_vec(),
            starts: Vec::new(),
            histograms: Vec::new(),
        };
        let mut begun = floats("x", "begun", &rising);
        begun.starts = timestamps.iter().map(|time| time - 10_000).collect();
        let histogram = |schema: i32, place: u8| {
            let count = f64::from(place);
            Arc::new(Histogram {
                schema,
                count,
                sum: count,
                positive: vec![Bucket { index: 1, count }],
                custom_values: [1.0, 2.0].iter().copied().filter(|_| schema < -4).collect(),
                ..Histogram::default()
            })
        };
        let mut native = floats("y", "1", &[]);
        native.timestamps = Arc::default();
        native.histograms = (0..40_u8)
            .map(|place| HistogramSample {
                timestamp: i64::from(place) * 15_000,
                start: 0,
                histogram: histogram(if place < 30 { 0 } else { CUSTOM_BUCKETS }, place % 17),
            })
            .collect();
        let bucket = |bound: &str| {
            let mut bucket = floats("z", "1", &rising);
            bucket.labels = bucket.labels.with(BUCKET_BOUND, bound);
            bucket
        };
        Store(vec![
            floats("x", "1", &rising),
            floats("x", "2", &odd),
            begun,
            floats("target_info", "1", &rising),
            native,
            bucket("0.5"),
            bucket("+Inf"),
        ])
    }
}

impl Source for Store {
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        let matches = |series: &&SeriesData| {
            let mut matchers = selection.matchers.iter();
            matchers.all(|matcher| matcher.matches_labels(&series.labels))
        };
        Ok(self.0.iter().filter(matches).cloned().collect())
    }
}

/// Reads the data as a query and as a series, and evaluates what could be read.
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
    let store = Store::new();
    let context = Context {
        source: &store,
        options: &options,
        interrupt: &interrupt,
    };
    drop(query.instant(context, 400_000));
    drop(query.range(context, 0, 600_000, 60_000));
    assert!(asked.get() <= 2 * ASKED_MAX + 2, "a query stops");
}

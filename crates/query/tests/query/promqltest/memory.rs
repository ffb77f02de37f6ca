//! A store in memory. Of histograms it knows what a real store knows of resets: nothing of the first
//! one in a row, and of others whether they have fallen.

use std::collections::BTreeMap;
use std::sync::Arc;

use query::histogram::{Bucket, CUSTOM_BUCKETS, Histogram, ResetHint};
use query::labels::{BUCKET_BOUND, Labels, METRIC_NAME};
use query::promql::engine::{Context, Options, Outcome, Query, QueryError};
use query::source::{HistogramSample, Selection, SeriesData, Source, SourceError};

use super::notation::Value;
use super::run::Door;
use super::script::Load;

#[derive(Debug, Clone)]
enum Stored {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// Samples by time, with since when they count.
type Samples = BTreeMap<i64, (Stored, i64)>;

#[derive(Debug, Default)]
pub(crate) struct Memory {
    series: BTreeMap<Labels, Samples>,
}

impl Memory {
    pub(crate) fn load(&mut self, load: &Load) {
        for series in &load.series {
            let times = (0..).map(|place: i64| place * load.step_ms);
            let stored = self.series.entry(series.labels.clone()).or_default();
            for (place, (value, time)) in series.values.iter().zip(times).enumerate() {
                let start = series.starts.get(place).copied().flatten();
                let start = start.map_or(0, |start| time + start);
                let value = match value {
                    None => continue,
                    Some(Value::Float(value)) => Stored::Float(*value),
                    Some(Value::Histogram(literal)) => {
                        Stored::Histogram(Arc::new(literal.histogram.clone()))
                    }
                };
                stored.insert(time, (value, start));
            }
            hint(stored);
        }
        if load.with_custom_buckets {
            self.load_custom(load);
        }
    }

    /// Stores classic histograms as native ones with given bounds.
    fn load_custom(&mut self, load: &Load) {
        let mut families: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
        for series in &load.series {
            let name = series.labels.get(METRIC_NAME);
            let part = ["_bucket", "_sum", "_count"]
                .into_iter()
                .find_map(|suffix| Some((suffix, name.strip_suffix(suffix)?)));
            let Some((suffix, base)) = part else {
                continue;
            };
            let labels = series.labels.with(METRIC_NAME, base).with(BUCKET_BOUND, "");
            let bound = query::number::parse(series.labels.get(BUCKET_BOUND));
            let family = families.entry(labels).or_default();
            let times = (0..).map(|place: i64| place * load.step_ms);
            for (value, time) in series.values.iter().zip(times) {
                let Some(Value::Float(value)) = value else {
                    continue;
                };
                let classic = family.entry(time).or_default();
                match (suffix, bound) {
                    ("_sum", _) => classic.sum = *value,
                    ("_count", _) => classic.count = Some(*value),
                    (_, Some(bound)) => {
                        classic
                            .buckets
                            .retain(|(own, _)| own.to_bits() != bound.to_bits());
                        classic.buckets.push((bound, *value));
                    }
                    _ => {}
                }
            }
        }
        for (labels, family) in families {
            let stored = self.series.entry(labels).or_default();
            for (time, classic) in family {
                stored.insert(time, (Stored::Histogram(Arc::new(classic.native())), 0));
            }
            hint(stored);
        }
    }
}

/// A classic histogram at a time.
#[derive(Debug, Default)]
struct Classic {
    buckets: Vec<(f64, f64)>,
    sum: f64,
    count: Option<f64>,
}

impl Classic {
    fn native(mut self) -> Histogram {
        self.buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let counted = self.buckets.last().map_or(0.0, |(_, count)| *count);
        let count = self.count.unwrap_or(counted);
        let bounds: Vec<f64> = self.buckets.iter().map(|(bound, _)| *bound).collect();
        let mut below = 0.0;
        let mut positive = Vec::new();
        let cumulative = self.buckets.iter().map(|(_, count)| *count);
        let has_last = bounds.last().is_some_and(|bound| bound.is_infinite());
        let rest = (!has_last).then_some(count);
        for (index, cumulative) in (0..).zip(cumulative.chain(rest)) {
            if cumulative > below {
                positive.push(Bucket {
                    index,
                    count: cumulative - below,
                });
            }
            below = cumulative;
        }
        Histogram {
            schema: CUSTOM_BUCKETS,
            count,
            sum: self.sum,
            positive,
            custom_values: bounds
                .into_iter()
                .filter(|bound| bound.is_finite())
                .collect(),
            ..Histogram::default()
        }
    }
}

/// Says of each histogram what a store would know of resets before it.
fn hint(samples: &mut Samples) {
    let mut before: Option<Arc<Histogram>> = None;
    for (sample, _) in samples.values_mut() {
        let Stored::Histogram(histogram) = sample else {
            before = None;
            continue;
        };
        let mut hinted = Histogram::clone(histogram);
        if hinted.reset_hint == ResetHint::Gauge {
            before = None;
            continue;
        }
        let is_forced = hinted.reset_hint == ResetHint::Reset;
        hinted.reset_hint = ResetHint::Unknown;
        let follows = before
            .as_ref()
            .is_some_and(|before| !is_forced && !hinted.is_reset_since(before));
        if follows {
            hinted.reset_hint = ResetHint::NotReset;
        }
        *histogram = Arc::new(hinted);
        before = Some(Arc::clone(histogram));
    }
}

impl Source for Memory {
    fn select(&self, selection: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        let matches = |labels: &Labels| {
            let mut matchers = selection.matchers.iter();
            matchers.all(|matcher| matcher.matches_labels(labels))
        };
        let mut found = Vec::new();
        for (labels, samples) in self.series.iter().filter(|(labels, _)| matches(labels)) {
            let mut timestamps = Vec::new();
            let mut data = SeriesData {
                labels: labels.clone(),
                timestamps: Arc::default(),
                values: Vec::new(),
                starts: Vec::new(),
                histograms: Vec::new(),
            };
            // Exactly what was asked for: whoever needs more has to say so.
            if selection.until_ms <= selection.after_ms {
                continue;
            }
            let wanted = selection.after_ms + 1..=selection.until_ms;
            for (timestamp, (sample, start)) in samples.range(wanted) {
                match sample {
                    Stored::Float(value) => {
                        timestamps.push(*timestamp);
                        data.values.push(*value);
                        data.starts.push(*start);
                    }
                    Stored::Histogram(histogram) => data.histograms.push(HistogramSample {
                        timestamp: *timestamp,
                        start: *start,
                        histogram: Arc::clone(histogram),
                    }),
                }
            }
            if data.starts.iter().all(|start| *start == 0) {
                data.starts.clear();
            }
            data.timestamps = Arc::new(timestamps);
            if !data.is_empty() {
                found.push(data);
            }
        }
        Ok(found)
    }
}

impl Door for Memory {
    fn clear(&mut self) {
        self.series.clear();
    }

    fn load(&mut self, load: &Load) {
        Memory::load(self, load);
    }

    fn instant(&self, text: &str, time_ms: i64) -> Result<Outcome, QueryError> {
        let options = Options::default();
        let context = Context {
            source: self,
            options: &options,
            interrupt: &|| None,
        };
        Query::parse(text)?.instant(context, time_ms)
    }

    fn range(
        &self,
        text: &str,
        (start, end, step): (i64, i64, i64),
    ) -> Result<Outcome, QueryError> {
        let options = Options::default();
        let context = Context {
            source: self,
            options: &options,
            interrupt: &|| None,
        };
        Query::parse(text)?.range(context, start, end, step)
    }
}

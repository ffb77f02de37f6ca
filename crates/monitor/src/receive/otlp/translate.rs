//! Points become series: a histogram as its buckets, count and sum, an exponential one as a native
//! histogram, and what a resource says of itself as `job`, `instance` and `target_info`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use signals::{Labels, METRIC_NAME, Metadata};
use wire::histogram::{Histogram, Span};
use wire::otlp::{Attribute, Kind, Metric, Point, Value, Visitor, escape_label, metric_name};

use super::super::answer::Refused;
use super::super::batch::Batch;
use super::super::problem::Problem;

/// What names a resource: these become `job` and `instance`.
const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE: &str = "service.instance.id";
/// What a resource says of itself.
const TARGET_INFO: &str = "target_info";
/// Resolutions that the store has.
const SCALE_MIN: i32 = -4;
const SCALE_MAX: i32 = 8;
/// Width of the bucket around zero when nothing is said, as in Prometheus.
const ZERO_THRESHOLD: f64 = 1e-128;
/// Empty buckets in a row that are not worth a span of their own.
const GAP_MAX: usize = 2;
const DELTA: Problem =
    Problem::Form("delta temporality is not kept; let the exporter send cumulative values");
const SCALE: Problem = Problem::Form("the histogram's scale is below -4");

/// Makes a batch of what it is told.
#[derive(Debug, Default)]
pub(super) struct Translator {
    batch: Batch,
    /// `job` and `instance`, as far as they are known.
    identity: Vec<(&'static str, String)>,
    /// The other attributes of the resource.
    resource: BTreeMap<String, String>,
    /// The newest point of the resource.
    newest: Option<i64>,
    name: String,
    is_delta: bool,
    /// Why the rest is not looked at: the request becomes larger than one may be.
    refused: Option<Refused>,
}

impl Translator {
    /// What was read, if it is not too much.
    pub(super) fn finish(mut self) -> Result<Batch, Refused> {
        self.check();
        self.refused.map_or(Ok(self.batch), Err)
    }

    /// Whether there is room for more.
    fn check(&mut self) -> bool {
        if self.refused.is_none() {
            self.refused = self.batch.check_size().err();
        }
        self.refused.is_none()
    }

    /// Notes what is said of a metric.
    fn describe(&mut self, name: &str, (kind, help, unit): (&str, &str, &str)) {
        let metadata = Metadata {
            kind: kind.to_owned(),
            help: help.to_owned(),
            unit: unit.to_owned(),
        };
        let bytes = size_of::<(String, Metadata)>() + name.len() + help.len() + unit.len();
        self.batch.charge(bytes);
        self.batch.metadata.push((name.to_owned(), metadata));
    }

    /// The number of a series with what the point has in common with others of the metric.
    fn series(
        &mut self,
        suffix: &str,
        common: &BTreeMap<String, String>,
        own: Option<(&str, &str)>,
    ) -> Option<usize> {
        if !self.check() {
            return None;
        }
        let name = format!("{}{suffix}", self.name);
        let identity = self.identity.iter();
        let identity = identity.map(|(name, value)| (*name, value.as_str()));
        let mut pairs: BTreeMap<&str, &str> = common
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain(identity)
            .chain(own)
            .collect();
        pairs.insert(METRIC_NAME, &name);
        let bytes = pairs.iter().map(|(name, value)| name.len() + value.len());
        self.batch.charge(bytes.sum());
        let labels = if self.name.is_empty() {
            Err(Problem::NoName)
        } else {
            Labels::new(pairs).map_err(Problem::Labels)
        };
        match labels {
            Ok(labels) => Some(self.batch.series(labels, None)),
            Err(problem) => {
                self.batch.problems.add(&problem, 1, || name);
                None
            }
        }
    }

    fn float(
        &mut self,
        point: &Point<'_>,
        (suffix, own): (&str, Option<(&str, &str)>),
        common: &BTreeMap<String, String>,
        value: f64,
    ) -> Option<usize> {
        let series = self.series(suffix, common, own)?;
        let value = if point.is_stale { stale() } else { value };
        self.batch
            .float(series, point.timestamp, point.start, value);
        Some(series)
    }

    fn classic(
        &mut self,
        point: &Point<'_>,
        common: &BTreeMap<String, String>,
        (count, sum): (u64, Option<f64>),
        (bounds, counts): (&[f64], &[u64]),
    ) {
        let mut below = 0_u64;
        let mut from = f64::NEG_INFINITY;
        for (at, bound) in bounds.iter().enumerate() {
            below = below.saturating_add(counts.get(at).copied().unwrap_or_default());
            let own = ("_bucket", Some(("le", &*bound.to_string())));
            let series = self.float(point, own, common, below as f64);
            self.exemplars(point, series, |value| from < value && value <= *bound);
            from = *bound;
        }
        let last = ("_bucket", Some(("le", "+Inf")));
        let series = self.float(point, last, common, count as f64);
        self.exemplars(point, series, |value| value > from);
        self.float(point, ("_count", None), common, count as f64);
        if let Some(sum) = sum {
            self.float(point, ("_sum", None), common, sum);
        }
    }

    /// Keeps those exemplars of a point that belong to a series.
    fn exemplars(&mut self, point: &Point<'_>, series: Option<usize>, is_in: impl Fn(f64) -> bool) {
        let labels = series.and_then(|series| self.batch.labels(series)).cloned();
        let Some(series) = labels else {
            return;
        };
        let fitting = point.exemplars.iter().filter(|it| is_in(it.value));
        for exemplar in fitting {
            let mut pairs = escaped(&exemplar.attributes);
            for (name, id) in [
                ("trace_id", &exemplar.trace_id),
                ("span_id", &exemplar.span_id),
            ] {
                if !id.is_empty() {
                    pairs.insert(name.to_owned(), hex(id));
                }
            }
            let pairs = pairs.iter();
            let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str()));
            let bytes: usize = pairs
                .clone()
                .map(|(name, value)| name.len() + value.len())
                .sum();
            self.batch.charge(bytes + size_of::<signals::Exemplar>());
            if !self.check() {
                return;
            }
            // One without labels points nowhere.
            if let Ok(labels) = Labels::new(pairs) {
                self.batch.exemplars.push(signals::Exemplar {
                    series: series.clone(),
                    labels,
                    value: exemplar.value,
                    timestamp: exemplar.timestamp,
                });
            }
        }
    }

    fn native(&mut self, point: &Point<'_>, common: &BTreeMap<String, String>) {
        let Some(mut histogram) = native(&point.value) else {
            return self.batch.problems.add(&SCALE, 1, || self.name.clone());
        };
        if point.is_stale {
            histogram = Histogram {
                sum: stale(),
                ..Histogram::default()
            };
        }
        if let Some(series) = self.series("", common, None) {
            let times = (point.timestamp, point.start);
            self.batch.histogram(series, times, histogram);
            self.exemplars(point, Some(series), |_| true);
        }
    }
}

impl Visitor for Translator {
    fn resource(&mut self, attributes: &[Attribute<'_>]) {
        let value = |wanted: &str| {
            let found = attributes.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.as_ref()).unwrap_or_default()
        };
        let (name, namespace) = (value(SERVICE_NAME), value(SERVICE_NAMESPACE));
        let job = if name.is_empty() || namespace.is_empty() {
            name.to_owned()
        } else {
            format!("{namespace}/{name}")
        };
        let identity = [
            ("job", job),
            ("instance", value(SERVICE_INSTANCE).to_owned()),
        ];
        let known = identity.into_iter().filter(|(_, value)| !value.is_empty());
        self.identity = known.collect();
        let others: Vec<Attribute<'_>> = attributes
            .iter()
            .filter(|(name, _)| ![SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_INSTANCE].contains(name))
            .cloned()
            .collect();
        self.resource = escaped(&others);
        self.newest = None;
    }

    fn metric(&mut self, metric: &Metric<'_>) {
        self.name = metric_name(metric);
        self.is_delta = metric.is_delta;
        let kind = match metric.kind {
            Kind::Sum { is_monotonic: true } => "counter",
            Kind::Gauge | Kind::Sum { .. } => "gauge",
            Kind::Histogram | Kind::Exponential => "histogram",
            Kind::Summary => "summary",
        };
        if !metric.is_delta && !self.name.is_empty() && self.check() {
            let name = self.name.clone();
            self.describe(&name, (kind, metric.description, metric.unit));
        }
    }

    fn point(&mut self, point: &Point<'_>) {
        if self.refused.is_some() {
            return;
        }
        if self.is_delta {
            return self.batch.problems.add(&DELTA, 1, || self.name.clone());
        }
        self.newest = self.newest.max(Some(point.timestamp));
        let common = escaped(&point.attributes);
        match &point.value {
            Value::Number(value) => {
                let series = self.float(point, ("", None), &common, *value);
                self.exemplars(point, series, |_| true);
            }
            Value::Histogram {
                count,
                sum,
                bounds,
                counts,
            } => self.classic(point, &common, (*count, *sum), (bounds, counts)),
            Value::Exponential { .. } => self.native(point, &common),
            Value::Summary {
                count,
                sum,
                quantiles,
            } => {
                for (quantile, value) in quantiles {
                    let own = ("", Some(("quantile", &*quantile.to_string())));
                    self.float(point, own, &common, *value);
                }
                self.float(point, ("_count", None), &common, *count as f64);
                self.float(point, ("_sum", None), &common, *sum);
            }
        }
    }

    fn resource_end(&mut self) {
        let Some(newest) = self.newest else {
            return;
        };
        if self.identity.is_empty() || self.resource.is_empty() {
            return;
        }
        TARGET_INFO.clone_into(&mut self.name);
        let resource = std::mem::take(&mut self.resource);
        if let Some(series) = self.series("", &resource, None) {
            self.batch.float(series, newest, 0, 1.0);
        }
        self.describe(TARGET_INFO, ("gauge", "Target metadata", ""));
    }
}

fn hex(id: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * id.len());
    for byte in id {
        // Writing to a String cannot fail.
        write!(hex, "{byte:02x}").unwrap_or_default();
    }
    hex
}

/// What ends a series.
const fn stale() -> f64 {
    f64::from_bits(signals::STALE)
}

/// Attributes as labels. Several that become one label are joined, in the order of their names.
fn escaped(attributes: &[Attribute<'_>]) -> BTreeMap<String, String> {
    let sorted: BTreeMap<&str, &str> = attributes
        .iter()
        .map(|(name, value)| (*name, value.as_ref()))
        .collect();
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in sorted {
        labels
            .entry(escape_label(name))
            .and_modify(|have| {
                have.push(';');
                have.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    labels
}

/// An exponential histogram as a native one; none when it is too coarse.
fn native(value: &Value) -> Option<Histogram> {
    let Value::Exponential {
        scale,
        count,
        sum,
        zero_threshold,
        zero_count,
        positive,
        negative,
    } = value
    else {
        return None;
    };
    if *scale < SCALE_MIN {
        return None;
    }
    // Two buckets of one resolution are one of the next.
    let halvings = u32::try_from(scale.saturating_sub(SCALE_MAX)).unwrap_or(0);
    let (positive_spans, positive) = buckets(positive, halvings);
    let (negative_spans, negative) = buckets(negative, halvings);
    Some(Histogram {
        schema: (*scale).min(SCALE_MAX),
        zero_threshold: if *zero_threshold == 0.0 {
            ZERO_THRESHOLD
        } else {
            *zero_threshold
        },
        zero_count: *zero_count as f64,
        count: *count as f64,
        sum: sum.unwrap_or_default(),
        positive_spans,
        negative_spans,
        positive,
        negative,
        ..Histogram::default()
    })
}

/// Buckets with spans. An index here tells of the bucket that the native form calls one more.
fn buckets((first, counts): &(i32, Vec<u64>), halvings: u32) -> (Vec<Span>, Vec<f64>) {
    let mut joined: BTreeMap<i32, u64> = BTreeMap::new();
    for (index, count) in (i64::from(*first)..).zip(counts) {
        let index = index >> halvings.min(63);
        let index = i32::try_from(index.saturating_add(1)).unwrap_or(i32::MAX);
        let place = joined.entry(index).or_default();
        *place = place.saturating_add(*count);
    }
    joined.retain(|_, count| *count > 0);
    let (mut spans, mut found): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut next = 0_i32;
    for (index, count) in joined {
        let gap = index.saturating_sub(next);
        match spans.last_mut() {
            Some(span) if usize::try_from(gap).is_ok_and(|gap| gap <= GAP_MAX) => {
                let empty = usize::try_from(gap).unwrap_or(0);
                found.extend(std::iter::repeat_n(0.0, empty));
                span.length = span.length.saturating_add(gap.unsigned_abs() + 1);
            }
            _ => spans.push(Span {
                offset: gap,
                length: 1,
            }),
        }
        found.push(count as f64);
        next = index.saturating_add(1);
    }
    (spans, found)
}

#[cfg(test)]
mod tests;

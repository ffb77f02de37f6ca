//! Pushed pages become families: text in both formats, and protobuf, which is what Go's client sends.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use query::number::Short;
use signals::{Labels, Metadata, Value};
use wire::exposition::protobuf::{self, Histogram};
use wire::exposition::{Format, Item, Kind, Limits, Stream, series_labels};

use super::super::answer::Refused;
use super::super::convert;
use super::group::{Families, Key};

/// Series of one page.
const SERIES_MAX: usize = 100_000;
/// What the samples of a family may be called beside its name.
const SUFFIXES: [&str; 8] = [
    "_bucket", "_sum", "_count", "_total", "_created", "_gsum", "_gcount", "_info",
];

/// Reads a page that was pushed to a group.
///
/// # Errors
/// It is no page of the announced type, has timestamps, or the same series twice.
pub(super) fn read(body: &[u8], content_type: &str, key: &Key) -> Result<Families, Refused> {
    let mut page = Page {
        key,
        families: Families::new(),
        kinds: BTreeMap::new(),
        series: 0,
    };
    if protobuf::is_announced(content_type) {
        page.read_protobuf(body)?;
    } else {
        page.read_text(body, Format::from_content_type(content_type))?;
    }
    Ok(page.families)
}

/// Labels of a metric, and the one that sets a part of it apart.
type Own<'a> = (&'a [(&'a str, &'a str)], Option<(&'a str, &'a str)>);

/// A page that is being read.
struct Page<'a> {
    key: &'a Key,
    families: Families,
    kinds: BTreeMap<String, Kind>,
    series: usize,
}

impl Page<'_> {
    fn read_text(&mut self, body: &[u8], format: Format) -> Result<(), Refused> {
        let limits = Limits {
            samples_max: SERIES_MAX,
            ..Limits::default()
        };
        let mut stream = Stream::new(body, format, limits);
        while let Some(item) = stream.next(&[]) {
            let invalid = |error: &dyn ToString| Refused::Invalid(error.to_string());
            match item.map_err(|error| invalid(&error))? {
                Item::Type(name, kind) => {
                    self.kinds.insert(name.clone().into_owned(), kind);
                    self.describe(&name).kind = convert::kind_word(kind);
                }
                Item::Help(name, help) => self.describe(&name).help = help.into_owned(),
                Item::Unit(name, unit) => self.describe(&name).unit = unit.into_owned(),
                Item::Sample(sample) => {
                    let series = series_labels(sample.series).map_err(|error| invalid(&error))?;
                    if sample.timestamp.is_some() {
                        return Err(timestamp(&series.name));
                    }
                    let own = series.labels.iter();
                    let own = own.map(|(name, value)| (&**name, &**value));
                    let family = self.family_of(&series.name).to_owned();
                    let value = Value::Float(sample.value);
                    self.add(&family, (&series.name, own), value)?;
                }
            }
        }
        Ok(())
    }

    fn describe(&mut self, family: &str) -> &mut Metadata {
        let family = self.families.entry(family.to_owned()).or_default();
        family.metadata.get_or_insert_default()
    }

    /// The family of a sample: one that was named before, or that of its own name.
    fn family_of<'a>(&self, name: &'a str) -> &'a str {
        if self.kinds.contains_key(name) {
            return name;
        }
        let mut bases = SUFFIXES.iter().filter_map(|it| name.strip_suffix(it));
        let found = bases.find(|base| self.kinds.contains_key(*base));
        found.unwrap_or(name)
    }

    fn add<'a>(
        &mut self,
        family: &str,
        (name, own): (&str, impl Iterator<Item = (&'a str, &'a str)>),
        value: Value,
    ) -> Result<(), Refused> {
        self.series += 1;
        if self.series > SERIES_MAX {
            let text = format!("more than {SERIES_MAX} series in one push; push several groups");
            return Err(Refused::Invalid(text));
        }
        let own: Vec<(&str, &str)> = own.collect();
        let labels: Labels = self.key.labels(name, own)?;
        let family = self.families.entry(family.to_owned()).or_default();
        if family.series.contains_key(&labels) {
            let text = format!("{labels} is on the page twice");
            return Err(Refused::Invalid(text));
        }
        family.series.insert(labels, value);
        Ok(())
    }

    fn read_protobuf(&mut self, body: &[u8]) -> Result<(), Refused> {
        let mut own = Vec::new();
        for family in protobuf::Families::new(body) {
            let family = family?;
            *self.describe(family.name) = Metadata {
                kind: convert::kind_word(family.kind),
                help: family.help.to_owned(),
                unit: family.unit.to_owned(),
            };
            for metric in family.metrics() {
                let metric = metric?;
                if metric.timestamp.is_some() {
                    return Err(timestamp(family.name));
                }
                metric.labels(&mut own)?;
                self.metric(family.name, &own, metric.value)?;
            }
        }
        Ok(())
    }

    fn metric(
        &mut self,
        name: &str,
        own: &[(&str, &str)],
        value: protobuf::Value<'_>,
    ) -> Result<(), Refused> {
        match value {
            protobuf::Value::Number(value) | protobuf::Value::Counter { value, .. } => {
                self.part(name, "", (own, None), value)
            }
            protobuf::Value::Summary {
                count,
                sum,
                quantiles,
                ..
            } => {
                for (quantile, value) in quantiles {
                    let quantile = Short(quantile).to_string();
                    let part = Some(("quantile", quantile.as_str()));
                    self.part(name, "", (own, part), value)?;
                }
                self.part(name, "_count", (own, None), count as f64)?;
                self.part(name, "_sum", (own, None), sum)
            }
            protobuf::Value::Histogram(histogram) => self.histogram(name, own, *histogram),
        }
    }

    /// A native histogram is kept as such, and one in buckets as its series.
    fn histogram(
        &mut self,
        name: &str,
        own: &[(&str, &str)],
        histogram: Histogram<'_>,
    ) -> Result<(), Refused> {
        if let Some(native) = histogram.native {
            let wrong = |error| Refused::Invalid(format!("metric {name:?}: {error}"));
            native.check().map_err(wrong)?;
            let value = Value::Histogram(Arc::new(convert::histogram(native)));
            return self.add(name, (name, own.iter().copied()), value);
        }
        let buckets = histogram.buckets.iter();
        let bounded = buckets.filter(|bucket| bucket.upper_bound < f64::INFINITY);
        let bounded = bounded.map(|bucket| (bucket.upper_bound, bucket.cumulative_count));
        let whole = (f64::INFINITY, histogram.count);
        for (bound, count) in bounded.chain(std::iter::once(whole)) {
            let bound = Short(bound).to_string();
            let part = Some(("le", bound.as_str()));
            self.part(name, "_bucket", (own, part), count)?;
        }
        self.part(name, "_count", (own, None), histogram.count)?;
        self.part(name, "_sum", (own, None), histogram.sum)
    }

    /// A series of a family.
    fn part(
        &mut self,
        family: &str,
        suffix: &str,
        (own, part): Own<'_>,
        value: f64,
    ) -> Result<(), Refused> {
        let name = if suffix.is_empty() {
            Cow::Borrowed(family)
        } else {
            Cow::Owned(format!("{family}{suffix}"))
        };
        let own = own.iter().copied().chain(part);
        self.add(family, (&name, own), Value::Float(value))
    }
}

fn timestamp(name: &str) -> Refused {
    Refused::Invalid(format!(
        "metric {name:?} has a timestamp; pushed metrics are those of the moment, so leave it out"
    ))
}

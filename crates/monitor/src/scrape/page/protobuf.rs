//! Pages in protocol buffers, the only ones with native histograms. A series is found by the bytes of
//! its labels as well; only what a bucket or a quantile is called stands beside them.

use std::sync::Arc;

use signals::{METRIC_NAME, Value};
use wire::exposition::Kind;
use wire::exposition::protobuf::{
    Exemplar, Families, Family, Histogram, Metric, Value as MetricValue,
};
use wire::histogram::{self, ResetHint, Span};

use super::classic::Classic;
use super::{PageError, Reader, SAMPLES_MAX, bound, kind_word};
use crate::receive::convert;
use crate::scrape::cache::Place;
use crate::scrape::relabel::LabelSet;

/// The coarsest resolution of native histograms.
const SCHEMA_MIN: i32 = -4;
/// No line begins with it, so that no series of a page in lines has the same bytes.
const KEY_BEGIN: u8 = 0;
/// Stands in no name.
const KEY_SEPARATOR: u8 = 0xff;

/// One series of a metric.
struct Part<'p> {
    /// What follows the family's name.
    suffix: &'static str,
    /// A label beside the metric's own, and its number.
    label: Option<(&'static str, f64)>,
    value: Value,
    exemplars: &'p [Exemplar<'p>],
}

impl<'p> Part<'p> {
    fn number(suffix: &'static str, value: f64) -> Self {
        Self {
            suffix,
            label: None,
            value: Value::Float(value),
            exemplars: &[],
        }
    }

    fn at(suffix: &'static str, label: (&'static str, f64), value: f64) -> Self {
        Self {
            label: Some(label),
            ..Self::number(suffix, value)
        }
    }

    fn with(self, exemplars: &'p [Exemplar<'p>]) -> Self {
        Self { exemplars, ..self }
    }
}

impl Reader<'_> {
    pub(super) fn read_protobuf(&mut self, body: &[u8]) -> Result<(), PageError> {
        for family in Families::new(body) {
            let family = family?;
            self.describe(family.name, |known| {
                known.kind = kind_word(family.kind);
                family.help.clone_into(&mut known.help);
                family.unit.clone_into(&mut known.unit);
            });
            for metric in family.metrics() {
                self.metric(&family, &metric?)?;
            }
        }
        Ok(())
    }

    fn metric(&mut self, family: &Family<'_>, metric: &Metric<'_>) -> Result<(), PageError> {
        let of = (family, metric);
        match &metric.value {
            MetricValue::Number(value) => self.part(of, &Part::number("", *value)),
            MetricValue::Counter {
                value, exemplar, ..
            } => self.part(of, &Part::number("", *value).with(exemplar.as_slice())),
            MetricValue::Summary {
                count,
                sum,
                quantiles,
                ..
            } => {
                self.part(of, &Part::number("_count", *count as f64))?;
                self.part(of, &Part::number("_sum", *sum))?;
                quantiles.iter().try_for_each(|(quantile, value)| {
                    self.part(of, &Part::at("", ("quantile", *quantile), *value))
                })
            }
            MetricValue::Histogram(histogram) => self.histogram(of, histogram),
        }
    }

    fn histogram(
        &mut self,
        of: (&Family<'_>, &Metric<'_>),
        histogram: &Histogram<'_>,
    ) -> Result<(), PageError> {
        let options = &self.job.histograms;
        let native = histogram.native.as_ref().filter(|_| options.scrape_native);
        let converts = options.convert_classic && native.is_none();
        if (native.is_none() && !converts) || options.always_classic {
            self.buckets(of, histogram)?;
        }
        if converts {
            return self.converted(of, histogram);
        }
        let Some(native) = native else {
            return Ok(());
        };
        let mut native = native.clone();
        if of.0.kind == Kind::GaugeHistogram {
            native.reset_hint = ResetHint::Gauge;
        }
        let failed = |reason: String| {
            PageError::Series(format!(
                "histogram `{}`: {reason}",
                of.0.name.escape_debug()
            ))
        };
        native.check().map_err(|error| failed(error.to_string()))?;
        let factor = options.min_bucket_factor;
        while native.schema > SCHEMA_MIN && growth(native.schema) < factor {
            native = coarser(&native);
        }
        let limit = usize::try_from(options.bucket_limit).unwrap_or(usize::MAX);
        while limit > 0 && native.positive.len() + native.negative.len() > limit {
            if native.schema <= SCHEMA_MIN {
                return Err(failed("native_histogram_bucket_limit exceeded".to_owned()));
            }
            native = coarser(&native);
        }
        let part = Part {
            suffix: "",
            label: None,
            value: Value::Histogram(Arc::new(convert::histogram(native))),
            exemplars: &histogram.exemplars,
        };
        self.part(of, &part)
    }

    /// The classic histogram as a native one with the same bounds, if its numbers make one.
    fn converted(
        &mut self,
        of: (&Family<'_>, &Metric<'_>),
        histogram: &Histogram<'_>,
    ) -> Result<(), PageError> {
        let buckets = histogram.buckets.iter();
        let classic = Classic {
            buckets: buckets
                .map(|bucket| (bucket.upper_bound, bucket.cumulative_count))
                .collect(),
            count: Some(histogram.count),
            sum: histogram.sum,
        };
        let Some(mut native) = classic.native() else {
            return Ok(());
        };
        if of.0.kind == Kind::GaugeHistogram {
            native.reset_hint = ResetHint::Gauge;
        }
        of.0.name.clone_into(&mut self.family);
        let exemplars = histogram.buckets.iter();
        let exemplars = exemplars.flat_map(|bucket| bucket.exemplar.iter().cloned());
        let exemplars: Vec<Exemplar<'_>> = exemplars.collect();
        let part = Part {
            suffix: "",
            label: None,
            value: self.given_bounds(native)?,
            exemplars: &exemplars,
        };
        self.part(of, &part)
    }

    fn buckets(
        &mut self,
        of: (&Family<'_>, &Metric<'_>),
        histogram: &Histogram<'_>,
    ) -> Result<(), PageError> {
        self.part(of, &Part::number("_count", histogram.count))?;
        self.part(of, &Part::number("_sum", histogram.sum))?;
        let mut is_whole = false;
        for bucket in &histogram.buckets {
            is_whole |= bucket.upper_bound == f64::INFINITY;
            let label = ("le", bucket.upper_bound);
            let part = Part::at("_bucket", label, bucket.cumulative_count);
            self.part(of, &part.with(bucket.exemplar.as_slice()))?;
        }
        if is_whole {
            return Ok(());
        }
        let label = ("le", f64::INFINITY);
        self.part(of, &Part::at("_bucket", label, histogram.count))
    }

    fn part(
        &mut self,
        (family, metric): (&Family<'_>, &Metric<'_>),
        part: &Part<'_>,
    ) -> Result<(), PageError> {
        if self.batch.rows.len() >= SAMPLES_MAX {
            return Err(PageError::Samples(SAMPLES_MAX as u64));
        }
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        key.push(KEY_BEGIN);
        for text in [family.name, part.suffix] {
            key.extend(text.as_bytes());
            key.push(KEY_SEPARATOR);
        }
        if let Some((_, number)) = part.label {
            key.extend(number.to_bits().to_be_bytes());
        }
        key.push(KEY_SEPARATOR);
        key.extend(metric.label_bytes);
        let place = self.place(&key, (family, metric), part);
        self.key = key;
        let place = place?;
        self.push(place, metric.timestamp, part.value.clone());
        for exemplar in part.exemplars {
            let pairs = exemplar.labels.iter().copied();
            let (value, timestamp) = (exemplar.value, exemplar.timestamp);
            let told = format!("{:?} {value} {timestamp:?}", exemplar.labels);
            // A native histogram has several at a time; the store knows those that it has.
            if part.exemplars.len() > 1 || self.pages.cache.is_new_exemplar(place, told.as_bytes())
            {
                self.exemplar(place, pairs, (value, timestamp));
            }
        }
        Ok(())
    }

    fn place(
        &mut self,
        key: &[u8],
        (family, metric): (&Family<'_>, &Metric<'_>),
        part: &Part<'_>,
    ) -> Result<Place, PageError> {
        let (expected, raw) = self.pages.cache.expected();
        if raw == key {
            return Ok(expected);
        }
        if let Some(place) = self.pages.cache.find(key) {
            return Ok(place);
        }
        let mut pairs = Vec::new();
        metric.labels(&mut pairs)?;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut own: LabelSet = pairs.into_iter().map(owned).collect();
        let name = format!("{}{}", family.name, part.suffix);
        own.insert(METRIC_NAME.to_owned(), name);
        if let Some((name, number)) = part.label {
            own.insert(name.to_owned(), bound(number));
        }
        let labels = self.stored(own)?;
        Ok(self.pages.cache.add(key, labels))
    }
}

/// By how much buckets grow from one to the next.
fn growth(schema: i32) -> f64 {
    2_f64.powf(2_f64.powi(-schema))
}

/// The histogram at half its resolution: two buckets become one.
fn coarser(histogram: &histogram::Histogram) -> histogram::Histogram {
    let (positive_spans, positive) = halved(&histogram.positive_spans, &histogram.positive);
    let (negative_spans, negative) = halved(&histogram.negative_spans, &histogram.negative);
    histogram::Histogram {
        schema: histogram.schema - 1,
        positive_spans,
        negative_spans,
        positive,
        negative,
        ..histogram.clone()
    }
}

fn halved(spans: &[Span], counts: &[f64]) -> (Vec<Span>, Vec<f64>) {
    let mut counts = counts.iter();
    let (mut joined, mut out): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut index = 0_i32;
    let mut last: Option<i32> = None;
    for span in spans {
        index = index.saturating_add(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            // A bucket's number is that of its upper bound, so pairs end with an even one.
            let half = index.saturating_add(1) >> 1;
            match (last, out.last_mut(), joined.last_mut()) {
                (Some(before), Some(sum), _) if before == half => *sum += count,
                (Some(before), _, Some(span)) if half == before + 1 => {
                    span.length += 1;
                    out.push(*count);
                }
                _ => {
                    let offset = last.map_or(half, |before| half - before - 1);
                    joined.push(Span { offset, length: 1 });
                    out.push(*count);
                }
            }
            last = Some(half);
            index = index.saturating_add(1);
        }
    }
    (joined, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::scrape::page::{PageFormat, Pages};
    use crate::scrape::tests::job;

    /// A field of bytes.
    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("short");
        assert!(length < 128 && number < 16);
        [&[number << 3 | 2, length], content].concat()
    }

    fn whole(number: u8, value: u8) -> Vec<u8> {
        vec![number << 3, value]
    }

    fn double(number: u8, value: f64) -> Vec<u8> {
        [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
    }

    /// A family with one metric that has the label `l`.
    fn family(name: &str, kind: u8, (field, value): (u8, &[Vec<u8>])) -> Vec<u8> {
        let label = [bytes(1, b"l"), bytes(2, b"v")].concat();
        let metric = [bytes(1, &label), bytes(field, &value.concat())].concat();
        let family = [
            bytes(1, name.as_bytes()),
            bytes(2, b"help"),
            whole(3, kind),
            bytes(4, &metric),
        ]
        .concat();
        let length = u8::try_from(family.len()).expect("short");
        [&[length][..], &family].concat()
    }

    fn page() -> Vec<u8> {
        let exemplar = [
            bytes(1, &[bytes(1, b"t"), bytes(2, b"1")].concat()),
            double(2, 0.5),
        ]
        .concat();
        let native = [
            whole(1, 6),
            double(2, 9.0),
            bytes(3, &[whole(1, 4), double(2, 1.0)].concat()),
            vec![5 << 3, 0],
            double(6, 0.001),
            bytes(12, &[whole(1, 2), whole(2, 2)].concat()),
            vec![13 << 3, 8],
            vec![13 << 3, 3],
        ];
        [
            family("c_total", 0, (3, &[double(1, 5.0), bytes(2, &exemplar)])),
            family("g", 1, (2, &[double(1, 2.5)])),
            family(
                "s",
                2,
                (
                    4,
                    &[
                        whole(1, 3),
                        double(2, 4.0),
                        bytes(3, &[double(1, 0.5), double(2, 7.0)].concat()),
                    ],
                ),
            ),
            family("h", 4, (7, &native)),
        ]
        .concat()
    }

    fn read(keys: &str) -> Vec<(String, Value)> {
        let (mut pages, job) = (Pages::default(), job(keys));
        let body = page();
        let mut rows = Vec::new();
        for round in 0..2 {
            let of = (&*job, &LabelSet::new());
            let (batch, read) = pages.read((&body, PageFormat::Protobuf), of, 1);
            read.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(batch.added > 0, round == 0);
            assert_eq!(batch.exemplars.len(), 1 - round);
            let row = |row: crate::scrape::page::Row| {
                let known = pages.cache.get(row.place)?;
                Some((known.labels.as_ref()?.to_string(), row.value))
            };
            rows = batch.rows.iter().cloned().filter_map(row).collect();
            let places = batch.rows.iter().map(|row| (row.place, None));
            pages.cache.commit(places);
        }
        assert_eq!(pages.metadata["s"].kind, "summary");
        rows
    }

    fn names(rows: &[(String, Value)]) -> Vec<String> {
        let name = |(labels, value): &(String, Value)| match value {
            Value::Float(value) => format!("{labels} {value}"),
            Value::Histogram(found) => format!("{labels} {} {:?}", found.count, found.positive),
        };
        rows.iter().map(name).collect()
    }

    const BEFORE: [&str; 5] = [
        "{__name__=\"c_total\", l=\"v\"} 5",
        "{__name__=\"g\", l=\"v\"} 2.5",
        "{__name__=\"s_count\", l=\"v\"} 3",
        "{__name__=\"s_sum\", l=\"v\"} 4",
        "{__name__=\"s\", l=\"v\", quantile=\"0.5\"} 7",
    ];
    const CLASSIC: [&str; 4] = [
        "{__name__=\"h_count\", l=\"v\"} 6",
        "{__name__=\"h_sum\", l=\"v\"} 9",
        "{__name__=\"h_bucket\", l=\"v\", le=\"1.0\"} 4",
        "{__name__=\"h_bucket\", l=\"v\", le=\"+Inf\"} 6",
    ];

    #[test]
    fn histograms_are_taken_as_the_job_wants_them() {
        let native = "{__name__=\"h\", l=\"v\"} 6 [4.0, 2.0]";
        let all = |more: &[&'static str]| [&BEFORE[..], more].concat();
        assert_eq!(names(&read("")), all(&CLASSIC));
        let found = names(&read("scrape_native_histograms: true"));
        assert_eq!(found, all(&[native]));
        let found = read("scrape_native_histograms: true\nalways_scrape_classic_histograms: true");
        assert_eq!(names(&found), all(&[&CLASSIC[..], &[native]].concat()));
        // What is native already is not converted.
        let converts = "convert_classic_histograms_to_nhcb: true";
        let found = read(&format!("scrape_native_histograms: true\n{converts}"));
        assert_eq!(names(&found), all(&[native]));
        let found = read(converts);
        assert_eq!(names(&found), all(&[native]));
        let Some((_, Value::Histogram(last))) = found.last() else {
            panic!("{found:?}");
        };
        assert_eq!((last.schema, &*last.custom_bounds), (-53, &[1.0][..]));
        let found = read("scrape_native_histograms: true\nnative_histogram_bucket_limit: 1");
        let Some((_, Value::Histogram(last))) = found.last() else {
            panic!("{found:?}");
        };
        assert_eq!((last.schema, &*last.positive), (-1, &[6.0][..]));
    }

    #[test]
    fn a_page_that_is_cut_off_is_refused() {
        let body = page();
        let job = job("");
        for length in 1..body.len() {
            let mut pages = Pages::default();
            let of = (&*job, &LabelSet::new());
            let part = &body[..length];
            let (batch, read) = pages.read((part, PageFormat::Protobuf), of, 1);
            assert!(read.is_err() || batch.scraped < 9, "{length}");
        }
    }

    #[test]
    fn half_the_resolution_keeps_the_counts() {
        // Buckets -1, 0, 1, 2, then 5 and 6.
        let spans = [
            Span {
                offset: -1,
                length: 4,
            },
            Span {
                offset: 2,
                length: 2,
            },
        ];
        let (spans, counts) = halved(&spans, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        // 0 is -1 and 0; 1 is 1 and 2; 3 is 5 and 6.
        let expected = [
            Span {
                offset: 0,
                length: 2,
            },
            Span {
                offset: 1,
                length: 1,
            },
        ];
        assert_eq!((spans, counts), (expected.to_vec(), vec![3.0, 7.0, 11.0]));
        assert!((growth(0) - 2.0).abs() < 1e-9);
    }
}

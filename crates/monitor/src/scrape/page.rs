//! A page against the cache of its target: which samples go into the store, and whether it breaks a
//! limit of its job.

mod classic;
mod protobuf;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use query::number::Short;
use signals::{Exemplar, Labels, METRIC_NAME, Metadata, Value};
use wire::exposition::{
    Format, Item, Kind, Limits as PageLimits, ParseError, Reason, SampleLine, SeriesLabels, Stream,
    exemplar, series_labels,
};
use wire::protobuf::Malformed;

use self::classic::Gathered;
pub(crate) use self::classic::Member;
use super::cache::{Cache, Membership, Place};
use super::config::JobConfig;
use super::relabel::{LabelSet, apply};

/// Samples of a page, well below what the store takes at once.
const SAMPLES_MAX: usize = 900_000;
/// Metrics of a target of which something is known.
const METADATA_MAX: usize = 10_000;
/// What a label is called that a target's own has taken the name of.
const EXPORTED_PREFIX: &str = "exported_";

/// Why a page is given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    /// A line that can't be read.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// A series that can't be stored.
    #[error("{0}")]
    Series(String),
    /// More samples than the job allows.
    #[error("sample limit exceeded: more than {0} samples (sample_limit)")]
    Samples(u64),
    /// It is no page in protocol buffers.
    #[error("protobuf: {0}")]
    Malformed(#[from] Malformed),
}

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageFormat {
    /// In lines.
    Lines(Format),
    /// In protocol buffers.
    Protobuf,
}

/// A sample for the store.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) place: Place,
    pub(crate) timestamp: i64,
    pub(crate) value: Value,
}

/// What a page gives.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Samples for the store.
    pub(crate) rows: Vec<Row>,
    /// Exemplars that were not there before.
    pub(crate) exemplars: Vec<Exemplar>,
    /// Metrics of which something else is said than before.
    pub(crate) metadata: Vec<String>,
    /// Samples on the page.
    pub(crate) scraped: usize,
    /// Series that were not on the page before.
    pub(crate) added: usize,
    /// New series that the store can't hold.
    pub(crate) left_out: usize,
}

/// What is kept between the pages of a target.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// Its series.
    pub(crate) cache: Cache,
    /// What it says of its metrics.
    pub(crate) metadata: BTreeMap<String, Metadata>,
}

/// One page being read.
struct Reader<'a> {
    pages: &'a mut Pages,
    job: &'a JobConfig,
    target: &'a LabelSet,
    batch: Batch,
    /// The time of samples that bring none.
    time: i64,
    /// What the last TYPE line said.
    kind: Kind,
    /// Of what it said so.
    family: String,
    /// The classic histogram whose lines are coming.
    gathered: Option<Gathered>,
    /// Room for the bytes by which a series is found.
    key: Vec<u8>,
}

impl Pages {
    /// Reads a page. What it gives holds also when it is given up in the end, for the numbers that
    /// are told about it.
    pub(crate) fn read(
        &mut self,
        (body, format): (&[u8], PageFormat),
        (job, target): (&JobConfig, &LabelSet),
        time: i64,
    ) -> (Batch, Result<(), PageError>) {
        self.cache.begin();
        let mut reader = Reader {
            pages: self,
            job,
            target,
            batch: Batch::default(),
            time,
            kind: Kind::Unknown,
            family: String::new(),
            gathered: None,
            key: Vec::new(),
        };
        reader.batch.rows.reserve(reader.pages.cache.len());
        let outcome = match format {
            PageFormat::Lines(format) => reader.read_lines(body, format),
            PageFormat::Protobuf => reader.read_protobuf(body),
        };
        let outcome = outcome.and_then(|()| reader.check_count());
        (reader.batch, outcome)
    }
}

impl Reader<'_> {
    fn read_lines(&mut self, body: &[u8], format: Format) -> Result<(), PageError> {
        let limits = PageLimits {
            samples_max: SAMPLES_MAX,
            ..PageLimits::default()
        };
        let mut stream = Stream::new(body, format, limits);
        loop {
            let (expected, raw) = self.pages.cache.expected();
            let Some(item) = stream.next(raw) else {
                break;
            };
            let item = item?;
            if !matches!(item, Item::Sample(_)) {
                self.end_histogram()?;
            }
            match item {
                Item::Sample(sample) => self.sample(&sample, expected)?,
                Item::Type(name, kind) => {
                    self.kind = kind;
                    if self.job.histograms.convert_classic {
                        self.family.clear();
                        self.family.push_str(&name);
                    }
                    self.describe(&name, |known| known.kind = kind_word(kind));
                }
                Item::Help(name, text) => self.describe(&name, |known| {
                    known.help = text.into_owned();
                }),
                Item::Unit(name, unit) => self.describe(&name, |known| {
                    known.unit = unit.into_owned();
                }),
            }
        }
        self.end_histogram()
    }

    fn check_count(&self) -> Result<(), PageError> {
        let limit = self.job.limits.samples;
        if limit > 0 && self.batch.rows.len() as u64 > limit {
            return Err(PageError::Samples(limit));
        }
        Ok(())
    }

    fn describe(&mut self, name: &str, change: impl FnOnce(&mut Metadata)) {
        let metadata = &mut self.pages.metadata;
        let before = metadata.get(name);
        let mut now = before.cloned().unwrap_or_default();
        change(&mut now);
        if before == Some(&now) || (before.is_none() && metadata.len() >= METADATA_MAX) {
            return;
        }
        metadata.insert(name.to_owned(), now);
        self.batch.metadata.push(name.to_owned());
    }

    fn sample(&mut self, sample: &SampleLine<'_>, expected: Place) -> Result<(), PageError> {
        let place = if sample.is_expected {
            expected
        } else {
            match self.pages.cache.find(sample.series) {
                Some(place) => place,
                None => self.add(sample.series)?,
            }
        };
        let member = self.member_of(place, sample.series)?;
        match member {
            Some(member) => self.gather(member, sample)?,
            None => self.end_histogram()?,
        }
        if member.is_none() || self.job.histograms.always_classic {
            let value = Value::Float(sample.value);
            self.push(place, sample.timestamp, value);
        } else {
            self.pages.cache.see(place, false);
        }
        if let Some(text) = sample.exemplar
            && self.pages.cache.is_new_exemplar(place, text)
            && let Ok(read) = exemplar(text)
        {
            let pairs = read.labels.iter().map(|(name, value)| (&**name, &**value));
            let of = member.map_or(place, |member| member.histogram);
            self.exemplar(of, pairs, (read.value, read.timestamp));
        }
        Ok(())
    }

    /// A series that was not on a page before. One that becomes a part of a histogram has no labels of its
    /// own in the store.
    fn add(&mut self, series: &[u8]) -> Result<Place, PageError> {
        let member = if self.converts() {
            Some(self.member(series)?)
        } else {
            None
        };
        let is_part = matches!(member, Some(Some(_)));
        let labels = if is_part && !self.job.histograms.always_classic {
            None
        } else {
            self.labels(series)?
        };
        let place = self.pages.cache.add(series, labels);
        if let Some(member) = member {
            self.pages.cache.set_member(place, member);
        }
        Ok(place)
    }

    fn member_of(&mut self, place: Place, series: &[u8]) -> Result<Option<Member>, PageError> {
        if !self.converts() {
            return Ok(None);
        }
        match self.pages.cache.get(place).map(|known| known.membership) {
            Some(Membership::Of(member)) => return Ok(Some(member)),
            Some(Membership::None) => return Ok(None),
            Some(Membership::Unknown) | None => {}
        }
        let member = self.member(series)?;
        self.pages.cache.set_member(place, member);
        Ok(member)
    }

    /// Takes a sample of a series, unless the rules drop it.
    fn push(&mut self, place: Place, timestamp: Option<i64>, value: Value) {
        self.batch.scraped += 1;
        let own_time = timestamp.filter(|_| self.job.honor_timestamps);
        let is_tracked = own_time.is_none() || self.job.track_timestamps_staleness;
        let is_new = self.pages.cache.see(place, is_tracked);
        let known = self.pages.cache.get(place);
        if known.is_none_or(|known| known.labels.is_none()) {
            return;
        }
        self.batch.added += usize::from(is_new);
        self.batch.rows.push(Row {
            place,
            timestamp: own_time.unwrap_or(self.time),
            value,
        });
    }

    /// The labels of a line's series in the store; nothing when the rules drop it.
    fn labels(&mut self, series: &[u8]) -> Result<Option<Labels>, PageError> {
        let read = read_series(series)?;
        let mut own = LabelSet::new();
        for (name, value) in read.labels {
            let value = self.normalized(&name, value);
            own.insert(name.into_owned(), value.into_owned());
        }
        own.insert(METRIC_NAME.to_owned(), read.name.into_owned());
        self.stored(own)
    }

    /// The labels in the store of a series with these labels of its own.
    fn stored(&mut self, own: LabelSet) -> Result<Option<Labels>, PageError> {
        let mut labels = merged(own, self.target, self.job.honor_labels);
        if !apply(&self.job.metric_relabel, &mut labels) || labels.is_empty() {
            return Ok(None);
        }
        self.check(&labels)?;
        let pairs = labels.iter().map(|(name, value)| (&**name, &**value));
        match Labels::new(pairs) {
            Ok(labels) => Ok(Some(labels)),
            // What the store can't hold must not cost the rest of the page.
            Err(error) => {
                let metric = labels.get(METRIC_NAME).map_or("", String::as_str);
                tracing::warn!(metric, %error, "a series is left out");
                self.batch.left_out += 1;
                Ok(None)
            }
        }
    }

    /// Bounds of buckets and quantiles are written in one way whatever the page's is.
    fn normalized<'v>(&self, name: &str, value: Cow<'v, str>) -> Cow<'v, str> {
        let is_number = match self.kind {
            Kind::Histogram => name == "le",
            Kind::Summary => name == "quantile",
            _ => false,
        };
        let number = is_number.then(|| query::number::parse(&value)).flatten();
        number.map_or(value, |number| Cow::Owned(bound(number)))
    }

    /// The job's bounds and names.
    fn check(&self, labels: &LabelSet) -> Result<(), PageError> {
        let name = labels.get(METRIC_NAME).map_or("", String::as_str);
        if !self.job.validation.allows_metric(name) {
            let message = format!("`{}` is no name of a metric", name.escape_debug());
            return Err(PageError::Series(message));
        }
        let limits = &self.job.limits;
        let is_over = |limit: u64, count: usize| limit > 0 && count as u64 > limit;
        if is_over(limits.labels, labels.len()) {
            return Err(over(name, "label_limit", limits.labels, labels.len()));
        }
        for (label, value) in labels {
            if !self.job.validation.allows_label(label) {
                let message = format!("`{}` is no name of a label", label.escape_debug());
                return Err(PageError::Series(message));
            }
            let (key, bytes) = ("label_name_length_limit", label.len());
            if is_over(limits.label_name_bytes, bytes) {
                return Err(over(name, key, limits.label_name_bytes, bytes));
            }
            let (key, bytes) = ("label_value_length_limit", value.len());
            if is_over(limits.label_value_bytes, bytes) {
                return Err(over(name, key, limits.label_value_bytes, bytes));
            }
        }
        Ok(())
    }

    fn exemplar<'p>(
        &mut self,
        place: Place,
        pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
        (value, timestamp): (f64, Option<i64>),
    ) {
        let known = self.pages.cache.get(place);
        let series = known.and_then(|known| known.labels.as_ref());
        // One without labels points nowhere.
        if let (Some(series), Ok(labels)) = (series, Labels::new(pairs)) {
            self.batch.exemplars.push(Exemplar {
                series: series.clone(),
                labels,
                value,
                timestamp: timestamp.unwrap_or(self.time),
            });
        }
    }
}

/// Name and labels of a line.
fn read_series(series: &[u8]) -> Result<SeriesLabels<'_>, PageError> {
    series_labels(series).map_err(|reason: Reason| {
        let shown = String::from_utf8_lossy(series);
        PageError::Series(format!("series `{}`: {reason}", shown.escape_debug()))
    })
}

/// A bound or a quantile as a label.
fn bound(number: f64) -> String {
    let mut text = Short(number).to_string();
    if number.is_finite() && !text.contains(['e', '.']) {
        text.push_str(".0");
    }
    text
}

fn over(metric: &str, key: &str, limit: u64, count: usize) -> PageError {
    let metric = metric.escape_debug();
    PageError::Series(format!(
        "label limits exceeded: series of `{metric}` has {count}, and `{key}` is {limit}"
    ))
}

fn kind_word(kind: Kind) -> String {
    match kind {
        Kind::Unknown => "unknown".to_owned(),
        kind => kind.word(Format::OpenMetrics).to_owned(),
    }
}

/// A series' own labels with those of its target. Where both have one, `honor_labels` says which
/// counts; a page's label that gives way is renamed.
pub(crate) fn merged(mut own: LabelSet, target: &LabelSet, honor_labels: bool) -> LabelSet {
    if honor_labels {
        for (name, value) in target {
            // An empty label of the page counts as one, so that a page can refuse a target's.
            own.entry(name.clone()).or_insert_with(|| value.clone());
        }
    } else {
        let mut moved: Vec<(String, String)> = Vec::new();
        for (name, value) in target {
            if let Some(existing) = own.insert(name.clone(), value.clone())
                && !existing.is_empty()
            {
                moved.push((name.clone(), existing));
            }
        }
        moved.sort_by_key(|(name, _)| name.len());
        for (name, value) in moved {
            let mut name = format!("{EXPORTED_PREFIX}{name}");
            while own.get(&name).is_some_and(|taken| !taken.is_empty()) {
                name.insert_str(0, EXPORTED_PREFIX);
            }
            own.insert(name, value);
        }
    }
    own.retain(|_, value| !value.is_empty());
    own
}

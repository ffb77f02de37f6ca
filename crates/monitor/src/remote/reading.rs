//! Queries over this store and others: what a remote has by remote read, joined with what is here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::client::{chain, read_body};
use base::clock;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use query::labels::Labels;
use query::matcher::{Comparison, Matcher};
use query::source::{HistogramSample, Selection, SeriesData, Source, SourceError};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use url::Url;
use wire::remote_read::{self, MEDIA_TYPE};
use wire::remote_write::{Item, Series};
use wire::snappy;

use super::metrics::RemoteMetrics;
use crate::receive::convert;
use crate::samples::{Snapshot, Tally, histogram_of};
use crate::scrape::{AGENT, HttpClient};
use crate::viewer::Viewer;

/// Bytes of an answer, packed.
const BODY_BYTES_MAX: u64 = 64 << 20;
/// Bytes of an answer, unpacked.
const UNPACKED_BYTES_MAX: usize = 256 << 20;
/// Answers that are in memory at the same time; others wait.
const AT_ONCE_MAX: usize = 4;
/// How often it is looked whether anybody waits still.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Characters of an answer that are told.
const TOLD_CHARS_MAX: usize = 300;
const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-read-version");

/// A store that can be read.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) name: String,
    pub(super) url: Url,
    pub(super) client: HttpClient,
    pub(super) timeout: Duration,
    pub(super) metrics: RemoteMetrics,
}

/// The stores that queries read beside this one, or instead of it.
#[derive(Debug)]
pub(crate) struct Readers {
    all: Vec<Reader>,
    is_delegated: bool,
    places: Semaphore,
}

/// Samples of this store and of others, as a query of somebody sees them.
pub(crate) struct Joined<'a> {
    pub(crate) local: Snapshot<'a>,
    pub(crate) readers: &'a Readers,
    pub(crate) viewer: &'a Viewer,
    pub(crate) tally: &'a Tally,
    pub(crate) deadline: Instant,
    /// Asked now and then whether to go on no further.
    pub(crate) is_over: &'a dyn Fn() -> bool,
    /// What the answer has to say.
    pub(crate) warnings: Mutex<BTreeSet<String>>,
}

impl std::fmt::Debug for Joined<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut joined = f.debug_struct("Joined");
        joined
            .field("readers", self.readers)
            .finish_non_exhaustive()
    }
}

impl Readers {
    pub(super) fn new(readers: Vec<Reader>, is_delegated: bool) -> Self {
        Self {
            all: readers,
            is_delegated,
            places: Semaphore::new(AT_ONCE_MAX),
        }
    }

    /// None: queries read this store alone.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self::new(Vec::new(), false)
    }

    /// Whether queries read this store alone.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

impl Joined<'_> {
    /// What the answer has to say.
    pub(crate) fn into_warnings(self) -> Vec<String> {
        let warnings = self.warnings.into_inner();
        let warnings = warnings.unwrap_or_else(PoisonError::into_inner);
        warnings.into_iter().collect()
    }

    fn read(&self, wanted: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        let local = if self.readers.is_delegated {
            Vec::new()
        } else {
            self.local.read(wanted)?
        };
        let mut all = Union::new(local);
        for reader in &self.readers.all {
            match self.fetch(reader, wanted) {
                Ok(found) => found.into_iter().for_each(|series| all.add(series)),
                Err(FetchError::Limit(error)) => return Err(error),
                Err(FetchError::Failed(why)) => {
                    let text = format!("remote {:?} can't be read: {why}", reader.name);
                    if self.readers.is_delegated {
                        return Err(SourceError::Read(text));
                    }
                    let warnings = self.warnings.lock();
                    let mut warnings = warnings.unwrap_or_else(PoisonError::into_inner);
                    warnings.insert(format!("{text}; the result is of what is here"));
                }
            }
        }
        all.finish(wanted)
    }

    /// Asks a remote, on a thread that may block.
    fn fetch(
        &self,
        reader: &Reader,
        wanted: &Selection<'_>,
    ) -> Result<Vec<SeriesData>, FetchError> {
        let runtime = Handle::try_current();
        let runtime = runtime.map_err(|error| FetchError::Failed(error.to_string()))?;
        let deadline = self.deadline.min(clock::now() + reader.timeout);
        let asking = async {
            let place = tokio::time::timeout_at(deadline.into(), self.readers.places.acquire());
            let place = place.await;
            let _place = place.map_err(|_| FetchError::failed("others are being read"))?;
            let packed = reader.ask(wanted, deadline).await?;
            decode(&packed, wanted, self.viewer)
        };
        let left = async {
            while !(self.is_over)() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let found = runtime.block_on(async {
            tokio::select! {
                found = asking => found,
                () = left => Err(FetchError::failed("nobody waits for it any more")),
            }
        });
        reader.metrics.read(found.is_ok());
        found
    }
}

impl Source for Joined<'_> {
    fn select(&self, wanted: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        let begun = clock::now();
        let found = self.read(wanted)?;
        let took = clock::now().duration_since(begun);
        let samples = found.iter().map(SeriesData::len).sum();
        self.tally.add(wanted, (found.len(), samples), took);
        Ok(found)
    }
}

/// Why a remote gave nothing.
#[derive(Debug)]
enum FetchError {
    /// It has more than the query may select.
    Limit(SourceError),
    /// It could not be asked, or its answer not be read.
    Failed(String),
}

impl FetchError {
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    fn failed(why: impl ToString) -> Self {
        Self::Failed(why.to_string())
    }
}

impl Reader {
    /// The packed answer.
    async fn ask(&self, wanted: &Selection<'_>, deadline: Instant) -> Result<Bytes, FetchError> {
        let matchers = wanted.matchers.iter().map(matcher).collect();
        let request = remote_read::Request {
            queries: vec![remote_read::Query {
                start: wanted.after_ms.saturating_add(1),
                end: wanted.until_ms,
                matchers,
            }],
            takes_samples: true,
        };
        let body = snappy::pack(&request.write());
        let body = body.ok_or_else(|| FetchError::failed("the request is too large"))?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, AGENT);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert(VERSION, HeaderValue::from_static("0.1.0"));
        let sent = self
            .client
            .post(&self.url, (&headers, body.into()), deadline);
        let response = sent
            .await
            .map_err(|error| FetchError::failed(chain(&error)))?;
        let status = response.status();
        let answer = read_body(response.into_body(), BODY_BYTES_MAX, deadline).await;
        let answer = answer.map_err(|error| FetchError::failed(chain(&error)))?;
        if !status.is_success() {
            let told = String::from_utf8_lossy(&answer);
            let told: String = told.trim().chars().take(TOLD_CHARS_MAX).collect();
            return Err(FetchError::Failed(format!("{status}: {told}")));
        }
        Ok(answer)
    }
}

fn matcher(matcher: &Matcher) -> remote_read::Matcher<'_> {
    remote_read::Matcher {
        comparison: match matcher.comparison {
            Comparison::Equal => remote_read::Comparison::Equal,
            Comparison::NotEqual => remote_read::Comparison::NotEqual,
            Comparison::Matches => remote_read::Comparison::Matches,
            Comparison::NotMatches => remote_read::Comparison::NotMatches,
        },
        name: &matcher.name,
        value: matcher.pattern(),
    }
}

/// The series of an answer, as far as who asks may see them.
fn decode(
    packed: &[u8],
    wanted: &Selection<'_>,
    viewer: &Viewer,
) -> Result<Vec<SeriesData>, FetchError> {
    let message = snappy::unpack(packed, UNPACKED_BYTES_MAX).map_err(FetchError::failed)?;
    let results = remote_read::results(&message).map_err(FetchError::failed)?;
    let mut found = Vec::new();
    let mut pairs = Vec::new();
    let mut samples = 0;
    for series in results.iter().flat_map(wire::remote_write::Request::series) {
        let series = series.map_err(FetchError::failed)?;
        series.labels(&mut pairs).map_err(FetchError::failed)?;
        let labels = labels_of(&pairs)?;
        if !viewer.sees(&labels) {
            continue;
        }
        let data = points(&series, labels, wanted)?;
        samples += data.len();
        if samples > wanted.samples_max {
            let error = SourceError::TooManySamples(wanted.samples_max);
            return Err(FetchError::Limit(error));
        }
        if found.len() >= wanted.series_max {
            let error = SourceError::TooManySeries(wanted.series_max);
            return Err(FetchError::Limit(error));
        }
        if !data.is_empty() {
            found.push(data);
        }
    }
    Ok(found)
}

fn labels_of(pairs: &[(&[u8], &[u8])]) -> Result<Labels, FetchError> {
    let mut texts = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        let name = std::str::from_utf8(name).map_err(FetchError::failed)?;
        texts.push((
            name,
            std::str::from_utf8(value).map_err(FetchError::failed)?,
        ));
    }
    Ok(Labels::new(texts))
}

/// A series with its samples, sorted, and none beyond what is wanted.
fn points(
    series: &Series<'_>,
    labels: Labels,
    wanted: &Selection<'_>,
) -> Result<SeriesData, FetchError> {
    let mut floats = Vec::new();
    let mut histograms = Vec::new();
    let is_wanted = |time: i64| time > wanted.after_ms && time <= wanted.until_ms;
    for item in series.items() {
        match item.map_err(FetchError::failed)? {
            Item::Sample(sample) if is_wanted(sample.timestamp) => {
                floats.push((sample.timestamp, sample.value, sample.start));
            }
            Item::Histogram(sample) if is_wanted(sample.timestamp) => {
                sample.histogram.check().map_err(FetchError::failed)?;
                let histogram = convert::histogram(sample.histogram);
                histograms.push(HistogramSample {
                    timestamp: sample.timestamp,
                    start: sample.start,
                    histogram: Arc::new(histogram_of(&histogram)),
                });
            }
            Item::Sample(_) | Item::Histogram(_) | Item::Exemplar(_) => {}
        }
    }
    floats.sort_by_key(|(time, ..)| *time);
    floats.dedup_by_key(|(time, ..)| *time);
    histograms.sort_by_key(|sample| sample.timestamp);
    histograms.dedup_by_key(|sample| sample.timestamp);
    let times = |time| floats.binary_search_by_key(&time, |(time, ..)| *time);
    histograms.retain(|sample| times(sample.timestamp).is_err());
    Ok(data(labels, &floats, histograms))
}

fn data(
    labels: Labels,
    floats: &[(i64, f64, i64)],
    histograms: Vec<HistogramSample>,
) -> SeriesData {
    let has_starts = floats.iter().any(|(_, _, start)| *start != 0);
    let starts = floats.iter().map(|(_, _, start)| *start);
    SeriesData {
        labels,
        timestamps: Arc::new(floats.iter().map(|(time, ..)| *time).collect()),
        values: floats.iter().map(|(_, value, _)| *value).collect(),
        starts: starts.filter(|_| has_starts).collect(),
        histograms,
    }
}

/// Series of several stores, each once.
struct Union(BTreeMap<Labels, SeriesData>);

impl Union {
    fn new(series: Vec<SeriesData>) -> Self {
        let series = series.into_iter();
        Self(series.map(|one| (one.labels.clone(), one)).collect())
    }

    /// Adds what is not there: a time that is there stays as it is.
    fn add(&mut self, other: SeriesData) {
        match self.0.remove(&other.labels) {
            None => self.0.insert(other.labels.clone(), other),
            Some(own) => self.0.insert(other.labels.clone(), joined(own, other)),
        };
    }

    fn finish(self, wanted: &Selection<'_>) -> Result<Vec<SeriesData>, SourceError> {
        if self.0.len() > wanted.series_max {
            return Err(SourceError::TooManySeries(wanted.series_max));
        }
        let samples: usize = self.0.values().map(SeriesData::len).sum();
        if samples > wanted.samples_max {
            return Err(SourceError::TooManySamples(wanted.samples_max));
        }
        Ok(self.0.into_values().collect())
    }
}

/// One series of two stores; the first one wins.
fn joined(own: SeriesData, other: SeriesData) -> SeriesData {
    let has = |time: i64| {
        let histograms = &own.histograms;
        let histogram = histograms.binary_search_by_key(&time, |sample| sample.timestamp);
        own.timestamps.binary_search(&time).is_ok() || histogram.is_ok()
    };
    let floats_of = |series: &SeriesData| {
        let starts = series.starts.iter().copied();
        let starts: Vec<i64> = starts
            .chain(std::iter::repeat(0))
            .take(series.values.len())
            .collect();
        let times = series.timestamps.iter().copied();
        let values = series.values.iter().copied();
        let floats = times.zip(values).zip(starts);
        floats
            .map(|((time, value), start)| (time, value, start))
            .collect::<Vec<_>>()
    };
    let more = floats_of(&other)
        .into_iter()
        .filter(|(time, ..)| !has(*time));
    let mut floats = floats_of(&own);
    floats.extend(more);
    floats.sort_by_key(|(time, ..)| *time);
    let more = other.histograms.into_iter();
    let mut more: Vec<HistogramSample> = more.filter(|sample| !has(sample.timestamp)).collect();
    let mut histograms = own.histograms;
    histograms.append(&mut more);
    histograms.sort_by_key(|sample| sample.timestamp);
    data(own.labels, &floats, histograms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, points: &[(i64, f64)]) -> SeriesData {
        let floats = points.iter().map(|(time, value)| (*time, *value, 0));
        let floats: Vec<_> = floats.collect();
        data(Labels::new([("__name__", name)]), &floats, Vec::new())
    }

    #[test]
    fn what_is_here_wins_and_the_rest_is_added() {
        let mut all = Union::new(vec![
            series("a", &[(3, 0.3), (5, 0.5)]),
            series("b", &[(1, 1.0)]),
        ]);
        all.add(series("a", &[(1, 9.1), (3, 9.3), (4, 9.4), (7, 9.7)]));
        all.add(series("c", &[(2, 2.0)]));
        let wanted = Selection {
            matchers: &[],
            after_ms: 0,
            until_ms: 100,
            series_max: 3,
            samples_max: 7,
        };
        let found = all.finish(&wanted).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|one| {
                (
                    one.labels.get("__name__").to_owned(),
                    one.timestamps.to_vec(),
                    one.values.clone(),
                )
            })
            .collect();
        let wanted = [
            (
                "a".to_owned(),
                vec![1, 3, 4, 5, 7],
                vec![9.1, 0.3, 9.4, 0.5, 9.7],
            ),
            ("b".to_owned(), vec![1], vec![1.0]),
            ("c".to_owned(), vec![2], vec![2.0]),
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn limits_hold_for_all_stores_together() {
        let wanted = |series_max, samples_max| Selection {
            matchers: &[],
            after_ms: 0,
            until_ms: 100,
            series_max,
            samples_max,
        };
        let union = || {
            let mut all = Union::new(vec![series("a", &[(1, 0.1)])]);
            all.add(series("b", &[(1, 0.1), (2, 0.2)]));
            all
        };
        assert!(union().finish(&wanted(2, 3)).is_ok());
        let many = union().finish(&wanted(1, 3)).unwrap_err();
        assert_eq!(many, SourceError::TooManySeries(1));
        let many = union().finish(&wanted(2, 2)).unwrap_err();
        assert_eq!(many, SourceError::TooManySamples(2));
    }
}

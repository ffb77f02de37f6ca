//! `POST /api/v1/write`: remote write 1.0 and 2.0.

use std::ops::Range;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use signals::{Labels, METRIC_NAME};
use tokio::sync::OwnedSemaphorePermit;
use wire::remote_write::{self, Exemplar, Item, Series, Version};
use wire::snappy;

use super::Shared;
use super::answer::{RETRY_SECONDS, Refused, plain};
use super::batch::{Batch, Stored};
use super::body::text;
use super::cache::{Finder, Known, Pairs, SeriesCache, built};
use super::convert;
use super::metrics::Protocol;

/// Bytes of an exemplar's own labels; OpenMetrics allows 128 characters.
const EXEMPLAR_BYTES_MAX: usize = 512;
/// What version 2.0 wants to be told: how much of it was written.
const WRITTEN: [HeaderName; 3] = [
    HeaderName::from_static("x-prometheus-remote-write-samples-written"),
    HeaderName::from_static("x-prometheus-remote-write-histograms-written"),
    HeaderName::from_static("x-prometheus-remote-write-exemplars-written"),
];

pub(super) async fn write(shared: Arc<Shared>, request: Request) -> Response {
    match take(&shared, request).await {
        Ok((version, stored)) => {
            shared.metrics.count(Protocol::RemoteWrite, &stored);
            answer(version, &stored)
        }
        Err(refused) => {
            shared
                .metrics
                .count_refused(Protocol::RemoteWrite, &refused);
            refused.response()
        }
    }
}

fn answer(version: Version, stored: &Stored) -> Response {
    let mut response = if stored.problems.is_empty() {
        StatusCode::NO_CONTENT.into_response()
    } else if stored.problems.may_pass() {
        // What is stored of it is taken as repeated when it comes again.
        let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, stored.problems.text());
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, RETRY_SECONDS.into());
        response
    } else {
        plain(StatusCode::BAD_REQUEST, stored.problems.text())
    };
    if version == Version::Two {
        let counts = [stored.samples, stored.histograms, stored.exemplars];
        for (name, count) in WRITTEN.into_iter().zip(counts) {
            response.headers_mut().insert(name, count.into());
        }
    }
    response
}

async fn take(shared: &Arc<Shared>, request: Request) -> Result<(Version, Stored), Refused> {
    let (head, body) = request.into_parts();
    let encoding = text(&head.headers, CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("snappy")) {
        let encoding = encoding.unwrap_or_default().to_owned();
        return Err(Refused::Encoding(encoding, "snappy"));
    }
    let content_type = text(&head.headers, CONTENT_TYPE);
    let version = Version::from_content_type(content_type).ok_or_else(|| {
        let given = content_type.unwrap_or_default().to_owned();
        Refused::ContentType(given, "application/x-protobuf of remote write 1.0 or 2.0")
    })?;
    let limit = shared.config.body_bytes_max;
    let (packed, room) = shared.room.read(&head.headers, body, limit).await?;
    let limit = shared.config.unpacked_bytes_max;
    let length = snappy::unpacked_length(&packed, limit)?;
    let more_room = shared.room.take(length)?;
    let held = Held {
        packed,
        _room: [room, more_room],
    };
    Ok((version, store(shared, version, held).await?))
}

async fn store(shared: &Arc<Shared>, version: Version, held: Held) -> Result<Stored, Refused> {
    let here = Arc::clone(shared);
    let work = move |store: &signals::Store, now: i64| {
        let plain = snappy::unpack(&held.packed, here.config.unpacked_bytes_max)?;
        let request = remote_write::Request::read(version, &plain)?;
        let mut received = read(&here.cache, &request)?;
        let stored = received.batch.append(store, now)?;
        here.cache.learn(received.news(&stored), now);
        Ok(stored)
    };
    shared.samples.run(work).await?
}

/// A body, and the room that it takes.
struct Held {
    packed: Bytes,
    _room: [OwnedSemaphorePermit; 2],
}

/// Bytes of names and values.
fn bytes_of(pairs: &Pairs<'_>) -> usize {
    pairs
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

/// A request that was read.
#[derive(Debug, Default)]
struct Received<'r> {
    batch: Batch,
    /// Of each series of the batch.
    keys: Vec<Key<'r>>,
    /// Bytes of keys that had to be built.
    built: Vec<u8>,
}

/// How the cache knows a series, or shall know it.
#[derive(Debug)]
struct Key<'r> {
    bytes: KeyBytes<'r>,
    metadata: u64,
    /// The cache does not have it like this.
    is_new: bool,
}

#[derive(Debug)]
enum KeyBytes<'r> {
    Sent(&'r [u8]),
    /// Where it is among those that were built.
    Built(Range<usize>),
}

/// Reads a request.
fn read<'m>(
    cache: &SeriesCache,
    request: &'m remote_write::Request<'m>,
) -> Result<Received<'m>, Refused> {
    let mut received = Received::default();
    let mut pairs = Vec::new();
    let mut finder = cache.finder();
    for series in request.series() {
        received.series((cache, &mut finder), &series?, &mut pairs)?;
        received.batch.check_size()?;
    }
    for metadata in request.metadata() {
        let (name, metadata) = metadata?;
        let name = String::from_utf8_lossy(name).into_owned();
        let metadata = convert::metadata(&metadata);
        received.batch.charge(name.len() + metadata.help.len());
        received.batch.metadata.push((name, metadata));
        received.batch.check_size()?;
    }
    Ok(received)
}

impl<'r> Received<'r> {
    fn series(
        &mut self,
        (cache, finder): (&SeriesCache, &mut Finder<'_>),
        series: &Series<'r>,
        pairs: &mut Vec<(&'r [u8], &'r [u8])>,
    ) -> Result<(), Refused> {
        let begin = self.built.len();
        let bytes = match series.plain_labels() {
            Some(sent) => KeyBytes::Sent(sent),
            None => {
                series.labels(pairs)?;
                // A few bytes may refer to a long text again and again.
                let lengths = 2 * size_of::<usize>() * pairs.len();
                self.batch.charge(bytes_of(pairs) + lengths);
                self.batch.check_size()?;
                built(pairs, &mut self.built);
                KeyBytes::Built(begin..self.built.len())
            }
        };
        let found = finder.find(bytes_in(&self.built, &bytes));
        let (labels, id, mut key) = match found {
            Some((known, is_new)) => {
                let key = Key {
                    bytes,
                    metadata: known.metadata,
                    is_new,
                };
                (known.labels.clone(), Some(known.id), key)
            }
            None => {
                let Some(labels) = self.new_labels(series, pairs)? else {
                    self.built.truncate(begin);
                    return Ok(());
                };
                let key = Key {
                    bytes,
                    metadata: 0,
                    is_new: true,
                };
                (labels, None, key)
            }
        };
        if let Some(metadata) = series.metadata()? {
            let said = cache.hash_metadata(&metadata);
            if said != key.metadata {
                let name = convert::family(metadata.kind, labels.get(METRIC_NAME));
                let kept = convert::metadata(&metadata);
                self.batch.charge(name.len() + kept.help.len());
                self.batch.metadata.push((name.to_owned(), kept));
                (key.metadata, key.is_new) = (said, true);
            }
        }
        let at = self.batch.series(labels, id);
        self.keys.push(key);
        for item in series.items() {
            match item? {
                Item::Sample(sample) => {
                    self.batch
                        .float(at, sample.timestamp, sample.start, sample.value);
                }
                Item::Histogram(sample) => {
                    let times = (sample.timestamp, sample.start);
                    self.batch.histogram(at, times, sample.histogram);
                }
                Item::Exemplar(exemplar) => self.exemplar(at, &exemplar),
            }
            self.batch.check_size()?;
        }
        Ok(())
    }

    /// The labels of a series that is not known; none when they cannot be those of a series.
    fn new_labels(
        &mut self,
        series: &Series<'r>,
        pairs: &mut Vec<(&'r [u8], &'r [u8])>,
    ) -> Result<Option<Labels>, Refused> {
        series.labels(pairs)?;
        match convert::series_labels(pairs) {
            Ok(labels) => {
                self.batch.charge(bytes_of(pairs));
                Ok(Some(labels))
            }
            Err(problem) => {
                let count = series.items().count().max(1);
                let shown = || convert::shown(pairs);
                self.batch.problems.add(&problem, count, shown);
                Ok(None)
            }
        }
    }

    /// Exemplars that cannot be kept are left out, as Prometheus does: nobody sends them again.
    fn exemplar(&mut self, at: usize, exemplar: &Exemplar<'_>) {
        let Some(series) = self.batch.labels(at).cloned() else {
            return;
        };
        let bytes = bytes_of(&exemplar.labels);
        if bytes > EXEMPLAR_BYTES_MAX {
            return;
        }
        if let Ok(labels) = convert::labels(&exemplar.labels) {
            self.batch.charge(bytes + size_of::<signals::Exemplar>());
            self.batch.exemplars.push(signals::Exemplar {
                series,
                labels,
                value: exemplar.value,
                timestamp: exemplar.timestamp,
            });
        }
    }

    /// What the cache has to learn after the store took the batch.
    fn news(&self, stored: &Stored) -> impl Iterator<Item = (&[u8], Known)> {
        let series = self.keys.iter().zip(&stored.ids).enumerate();
        series.filter_map(|(at, (key, id))| {
            let id = (*id)?;
            let (labels, known) = self.batch.get(at)?;
            (key.is_new || known != Some(id)).then(|| {
                let known = Known {
                    labels: labels.clone(),
                    id,
                    metadata: key.metadata,
                };
                (bytes_in(&self.built, &key.bytes), known)
            })
        })
    }
}

fn bytes_in<'a>(built: &'a [u8], key: &'a KeyBytes<'_>) -> &'a [u8] {
    match key {
        KeyBytes::Sent(bytes) => bytes,
        KeyBytes::Built(range) => built.get(range.clone()).unwrap_or_default(),
    }
}

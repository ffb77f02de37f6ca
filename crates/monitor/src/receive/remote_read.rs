//! `POST /api/v1/read`: remote read. Answers are of the kind `SAMPLES`, whole messages, or streamed chunks
//! for those who like them better.

mod streamed;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::client::chain;
use base::error::Class;
use base::http::{error_response, text_response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use query::matcher::{Comparison, Matcher};
use signals::{Selection, SeriesSamples, Store, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::protobuf::Malformed;
use wire::remote_read::chunks::{self, STREAMED_MEDIA_TYPE};
use wire::remote_read::{self, Answer, MEDIA_TYPE, Query};
use wire::remote_write::{Encoder, HistogramSample, Points, Sample};
use wire::snappy;

use super::Shared;
use super::answer::Refused;
use super::body::text;
use super::convert;
use crate::samples::{labels, matchers};
use crate::viewer::Viewer;

/// Bytes of a request, which holds matchers only.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Bytes of the same without its compression.
const UNPACKED_BYTES_MAX: usize = 4 << 20;
/// Samples of one answer, which stand in memory: about 20 bytes each, twice.
const SAMPLES_MAX: usize = 5_000_000;
/// Buckets of histograms count as samples.
const SERIES_MAX: usize = 1_000_000;
/// Answers that are gathered at the same time; others wait.
const AT_ONCE_MAX: usize = 4;
/// How long they wait.
const TURN_LIMIT: Duration = Duration::from_secs(30);

/// The turns of those who read.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE_MAX)))
    }
}

impl Turns {
    async fn take(&self) -> Result<OwnedSemaphorePermit, Refused> {
        let turn = Arc::clone(&self.0).acquire_owned();
        let turn = tokio::time::timeout(TURN_LIMIT, turn).await;
        turn.ok().and_then(Result::ok).ok_or(Refused::Crowded)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("{0}")]
    Pattern(String),
    #[error(
        "answers of the kinds SAMPLES and STREAMED_XOR_CHUNKS are given here, and the request accepts neither"
    )]
    Kind,
    #[error("more than {SAMPLES_MAX} samples; ask for less time or fewer series")]
    ManySamples,
    #[error("more than {SERIES_MAX} series; ask for fewer")]
    ManySeries,
    #[error("the store of samples is closed in this process; try again")]
    Closing,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReadError {
    fn response(&self) -> Response {
        let class = match self {
            Self::Refused(refused) => return refused.response(),
            Self::Store(_) => Class::Internal,
            Self::Closing => Class::Unavailable,
            _ => Class::Invalid,
        };
        let text = chain(self);
        if matches!(self, Self::Store(_)) {
            tracing::error!(error = text, "samples can't be read");
        }
        text_response(class, &text, None)
    }
}

pub(super) async fn read(shared: Arc<Shared>, request: Request) -> Response {
    let Some(viewer) = request.extensions().get::<Viewer>().cloned() else {
        // Nobody sees anything by omission: the policy has to have said who asks.
        return error_response(Class::Forbidden, "nobody said who may see these samples");
    };
    match take(&shared, viewer, request).await {
        Ok(response) => response,
        Err(error) => error.response(),
    }
}

async fn take(shared: &Shared, viewer: Viewer, request: Request) -> Result<Response, ReadError> {
    let (head, body) = request.into_parts();
    match text(&head.headers, CONTENT_ENCODING) {
        None | Some("snappy") => {}
        Some(other) => Err(Refused::Encoding(other.to_owned(), "snappy"))?,
    }
    let read = shared.room.read(&head.headers, body, REQUEST_BYTES_MAX);
    let (packed, _room) = read.await?;
    let message = snappy::unpack(&packed, UNPACKED_BYTES_MAX).map_err(Refused::from)?;
    let turn = shared.turns.take().await?;
    if chunks::prefers_chunks(&message).map_err(Refused::from)? {
        let body = streamed::answer(shared, viewer, message, turn).await?;
        return Ok(([(CONTENT_TYPE, STREAMED_MEDIA_TYPE)], body).into_response());
    }
    let work = move |store: &Store, _: i64| {
        let result = answer(store, &viewer, &message);
        drop(turn);
        result
    };
    let packed = shared.samples.run(work).await.map_err(Refused::from)??;
    let headers = [(CONTENT_TYPE, MEDIA_TYPE), (CONTENT_ENCODING, "snappy")];
    Ok((headers, packed).into_response())
}

/// The packed answer to a request.
fn answer(store: &Store, viewer: &Viewer, message: &[u8]) -> Result<Vec<u8>, ReadError> {
    let malformed = |error: Malformed| ReadError::Refused(error.into());
    let request = remote_read::Request::read(message).map_err(malformed)?;
    if !request.takes_samples {
        return Err(ReadError::Kind);
    }
    let mut answer = Answer::default();
    let mut left = SAMPLES_MAX;
    for query in &request.queries {
        answer.result(result(store, viewer, query, &mut left)?);
    }
    snappy::pack(&answer.finish()).ok_or(ReadError::ManySamples)
}

/// The series that a query names.
fn select(store: &Store, query: &Query<'_>) -> Result<Selection, ReadError> {
    let wanted: Result<Vec<Matcher>, ReadError> = query.matchers.iter().map(matcher).collect();
    let wanted = matchers(&wanted?);
    let wanted = wanted.map_err(ReadError::Pattern)?;
    let selection = store.select(&wanted, query.start, query.end)?;
    if selection.len() > SERIES_MAX {
        return Err(ReadError::ManySeries);
    }
    Ok(selection)
}

/// The series of a query; `left` is how many samples there may still be.
fn result(
    store: &Store,
    viewer: &Viewer,
    query: &Query<'_>,
    left: &mut usize,
) -> Result<Encoder, ReadError> {
    let mut selection = select(store, query)?;
    let all: Vec<signals::Labels> = selection.labels().cloned().collect();
    let mut encoder = Answer::encoder();
    let mut samples = SeriesSamples::default();
    for (at, series) in all.iter().enumerate() {
        if !viewer.sees_everything() && !viewer.sees(&labels(series)) {
            continue;
        }
        selection.read(at, &mut samples)?;
        let buckets = samples.histograms.iter();
        let buckets = buckets.map(|(_, _, it)| 1 + it.positive.len() + it.negative.len());
        let count = samples.floats.times.len() + buckets.sum::<usize>();
        *left = left.checked_sub(count).ok_or(ReadError::ManySamples)?;
        put(&mut encoder, series, &samples);
    }
    Ok(encoder)
}

fn put(encoder: &mut Encoder, labels: &signals::Labels, samples: &SeriesSamples) {
    let sample = |(timestamp, value, start)| Sample {
        value,
        timestamp,
        start,
    };
    let floats: Vec<Sample> = samples.floats.iter().map(sample).collect();
    let histograms = samples.histograms.iter();
    let histograms: Vec<HistogramSample> = histograms
        .map(|(timestamp, start, histogram)| HistogramSample {
            histogram: convert::wire_histogram(histogram),
            timestamp: *timestamp,
            start: *start,
        })
        .collect();
    if floats.is_empty() && histograms.is_empty() {
        return;
    }
    let points = Points {
        samples: &floats,
        histograms: &histograms,
        ..Points::default()
    };
    let labels = labels.iter();
    let labels = labels.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    encoder.series(labels, &points);
}

fn matcher(matcher: &remote_read::Matcher<'_>) -> Result<Matcher, ReadError> {
    let comparison = match matcher.comparison {
        remote_read::Comparison::Equal => Comparison::Equal,
        remote_read::Comparison::NotEqual => Comparison::NotEqual,
        remote_read::Comparison::Matches => Comparison::Matches,
        remote_read::Comparison::NotMatches => Comparison::NotMatches,
    };
    let pattern = |error| ReadError::Pattern(format!("label {:?}: {error}", matcher.name));
    Matcher::new(matcher.name, comparison, matcher.value).map_err(pattern)
}

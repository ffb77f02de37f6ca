//! The paths that clients send records to: `/v2/collector` and `/` with headers, `/v3/collector` with
//! JSON.

use std::io::Read as _;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Policy, Routes, read_body};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, LOCATION, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use tokio::sync::SemaphorePermit;
use wire::telemetrics::{Field, Submission};

use super::Shared;
use super::aside;
use super::committer::NotKept;
use super::intake::{self, Outcome, Refused};
use super::original::OriginalRecord;

/// Where the pages are.
pub(crate) const PAGES: &str = "/telemetryui";
/// Says in a word what became of a submission, for people who look.
const OUTCOME: HeaderName = HeaderName::from_static("landline-outcome");
/// When to send again what could not be kept, in seconds. The usual client waits 300 s whatever is
/// said here.
const RETRY_SECONDS: u16 = 5;

/// The largest head of a request with a record. The listener takes longer ones for other paths.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How a request carries a record.
#[derive(Clone, Copy)]
enum Form {
    Headers,
    Json,
}

/// Clients can't show who they are: the id of a project, limits and rules guard these paths.
pub(crate) fn routes(shared: &Arc<Shared>) -> Routes {
    let take = |form| {
        let shared = Arc::clone(shared);
        move |request: Request| async move { take(&shared, form, request).await }
    };
    // 302, as the original.
    let pages = || async { (StatusCode::FOUND, [(LOCATION, PAGES)]) };
    Routes::default()
        .post("/", Policy::Public, take(Form::Headers))
        .post("/v2/collector", Policy::Public, take(Form::Headers))
        .post("/v3/collector", Policy::Public, take(Form::Json))
        .get("/v2/collector", Policy::Public, pages)
        .get("/v3/collector", Policy::Public, pages)
}

async fn take(shared: &Shared, form: Form, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if head_bytes(&head) > HEAD_BYTES_MAX {
        shared.metrics.count_refused("head");
        let limit = HEAD_BYTES_MAX >> 10;
        let text = format!("the head of the request is larger than {limit} KiB");
        let body = json!({"message": text}).to_string();
        return json_response(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, body);
    }
    let limit = usize::try_from(shared.config.body_limit).unwrap_or(usize::MAX);
    // Who says that it is too much is told before it is sent.
    let announced = head.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > shared.config.body_limit) {
        return too_large(shared);
    }
    let announced = announced.and_then(|length| usize::try_from(length).ok());
    let expected = announced.unwrap_or(limit);
    let Some(_room) = shared.bodies.take(expected) else {
        shared.metrics.count_refused("full");
        return refusal(&Refused::NotKept(NotKept::Full));
    };
    let body = match read_body(body, expected).await {
        Ok(body) => body,
        Err(Class::TooLarge) => return too_large(shared),
        Err(class) => return refuse(shared, "body", class, "the body did not arrive whole"),
    };
    let (body, _more_room) = match unpacked(shared, &head.headers, body).await {
        Ok(unpacked) => unpacked,
        Err(Packed::NotKept(not_kept)) => {
            shared.metrics.count_refused("full");
            return refusal(&Refused::NotKept(not_kept));
        }
        Err(Packed::Wrong(Class::TooLarge)) => return too_large(shared),
        Err(Packed::Wrong(class)) => {
            return refuse(shared, "encoding", class, "the body is not valid gzip");
        }
    };
    let submission = match form {
        Form::Headers => {
            let headers = head.headers.iter();
            let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
            Submission::from_headers(headers, &body)
        }
        Form::Json => {
            let tid = header(&head.headers, Field::Tid);
            let external = header(&head.headers, Field::External);
            match Submission::from_json(&body, tid, external) {
                Ok(submission) => submission,
                Err(problem) => {
                    let text = problem.to_string();
                    return refuse(shared, problem.reason(), Class::Invalid, &text);
                }
            }
        }
    };
    match intake::take(shared, submission).await {
        Ok(outcome) => answer(outcome),
        Err(refused) => refusal(&refused),
    }
}

/// The bytes of a head as it came, but for blanks that nobody sends.
fn head_bytes(head: &Parts) -> usize {
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    // `GET / HTTP/1.1\r\n`, `name: value\r\n` and the empty line.
    let line = head.method.as_str().len() + 1 + path.len() + 11;
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + 2 + value.len() + 2);
    line + headers.sum::<usize>() + 2
}

/// The last header that is this field in any spelling.
fn header(headers: &HeaderMap, field: Field) -> Option<&[u8]> {
    let all = headers.iter();
    let fitting = all.filter(|(name, _)| Field::of(name.as_str()) == Some(field));
    fitting.last().map(|(_, value)| value.as_bytes())
}

/// Why a body stays packed.
enum Packed {
    /// It is not what it says it is, or too much.
    Wrong(Class),
    /// It may be sent again.
    NotKept(NotKept),
}

/// The body without its compression, and the room that it takes when it is large.
async fn unpacked<'a>(
    shared: &'a Shared,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(Bytes, Option<SemaphorePermit<'a>>), Packed> {
    let Some(encoding) = headers.get(CONTENT_ENCODING) else {
        return Ok((body, None));
    };
    match encoding.to_str() {
        Ok("identity" | "") => return Ok((body, None)),
        Ok("gzip" | "x-gzip") => {}
        _ => return Err(Packed::Wrong(Class::Invalid)),
    }
    let limit = usize::try_from(shared.config.body_limit).unwrap_or(usize::MAX);
    // Most are small.
    match unzipped(&body, aside::SMALL.min(limit)) {
        Err(Class::TooLarge) if limit > aside::SMALL => {}
        unzipped => {
            let plain = unzipped.map_err(Packed::Wrong)?;
            return Ok((plain.into(), None));
        }
    }
    let bytes = unzipped_bytes(&body);
    if bytes > limit {
        return Err(Packed::Wrong(Class::TooLarge));
    }
    let room = shared.bodies.take(bytes);
    let room = room.ok_or(Packed::NotKept(NotKept::Full))?;
    // What turns out to be more than it says is not valid.
    let work = move || unzipped(&body, bytes).map_err(|_| Packed::Wrong(Class::Invalid));
    let plain = shared.aside.run(aside::SMALL.max(bytes) + 1, work).await;
    let plain = plain.map_err(Packed::NotKept)??;
    Ok((plain.into(), Some(room)))
}

/// How long a body says that it is without compression, in its last four bytes (RFC 1952 2.3.1).
fn unzipped_bytes(body: &[u8]) -> usize {
    let last = body.last_chunk::<4>().copied().unwrap_or_default();
    usize::try_from(u32::from_le_bytes(last)).unwrap_or(usize::MAX)
}

/// At most so many bytes without compression.
#[expect(clippy::disallowed_methods, reason = "bounded by `take`")]
fn unzipped(body: &[u8], limit: usize) -> Result<Vec<u8>, Class> {
    let mut plain = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut reader = GzDecoder::new(body).take(bound);
    reader.read_to_end(&mut plain).map_err(|_| Class::Invalid)?;
    if plain.len() > limit {
        return Err(Class::TooLarge);
    }
    Ok(plain)
}

fn answer(outcome: Outcome) -> Response {
    let (word, body) = match outcome {
        Outcome::Kept(record, stored) => {
            let word = if stored.is_repeated {
                "repeated"
            } else {
                "kept"
            };
            let shown = OriginalRecord::new(&record, Some(stored.id), stored.received_at);
            (word, shown.into_json())
        }
        Outcome::Dropped(record, word) => {
            let shown = OriginalRecord::new(&record, None, super::time::now());
            (word, shown.into_json())
        }
        Outcome::Ignored(message) => {
            let message = format!("not kept: {message}");
            (
                "throttled",
                json!({"id": null, "message": message}).to_string(),
            )
        }
        Outcome::Quarantined(message, stored) => {
            let message = format!("kept in quarantine: {message}");
            let body = json!({"id": stored.id, "message": message, "quarantined": true});
            ("quarantined", body.to_string())
        }
    };
    let mut response = json_response(StatusCode::CREATED, body);
    let headers = response.headers_mut();
    headers.insert(OUTCOME, HeaderValue::from_static(word));
    response
}

fn refusal(refused: &Refused) -> Response {
    let status = refused.class().status();
    let body = json!({"message": refused.to_string()}).to_string();
    let mut response = json_response(status, body);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, RETRY_SECONDS.into());
    }
    response
}

fn refuse(shared: &Shared, reason: &'static str, class: Class, message: &str) -> Response {
    shared.metrics.count_refused(reason);
    json_response(class.status(), json!({"message": message}).to_string())
}

fn too_large(shared: &Shared) -> Response {
    let limit = base::config::format_bytes(shared.config.body_limit);
    let text = format!("the record is larger than {limit}; collector.records.body_limit sets this");
    refuse(shared, "too_large", Class::TooLarge, &text)
}

fn json_response(status: StatusCode, body: String) -> Response {
    let json = [(http::header::CONTENT_TYPE, "application/json")];
    (status, json, body).into_response()
}

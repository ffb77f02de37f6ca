//! `POST /api/v1/otlp/v1/metrics`: metrics of OpenTelemetry, protobuf or JSON over HTTP, with names and units as
//! Prometheus has them by default. Differences (delta temporality) are refused: without what came before
//! they are no counter.

mod translate;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use wire::otlp::{self, JSON_MEDIA_TYPE, MEDIA_TYPE};

use self::translate::Translator;
use super::Shared;
use super::answer::{RETRY_SECONDS, Refused};
use super::batch::Stored;
use super::body::{text, unzipped, unzipped_bytes};
use super::metrics::Protocol;

/// Bytes of a document in JSON; libraries send some kilobytes.
const JSON_BYTES_MAX: usize = 8 << 20;
/// What a byte of JSON becomes in memory, about.
const JSON_GROWTH: usize = 16;
/// Codes of `google.rpc.Status`.
const INVALID_ARGUMENT: u64 = 3;
const RESOURCE_EXHAUSTED: u64 = 8;
const INTERNAL: u64 = 13;
const UNAVAILABLE: u64 = 14;

/// How a request is written, and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

impl Form {
    /// The form that a `Content-Type` header announces.
    fn of(headers: &HeaderMap) -> Result<Self, Refused> {
        let content_type = text(headers, CONTENT_TYPE).unwrap_or_default();
        let media = content_type.split(';').next().unwrap_or_default().trim();
        if media.eq_ignore_ascii_case(MEDIA_TYPE) {
            Ok(Self::Protobuf)
        } else if media.eq_ignore_ascii_case(JSON_MEDIA_TYPE) {
            Ok(Self::Json)
        } else {
            Err(Refused::ContentType(media.to_owned(), MEDIA_TYPE))
        }
    }

    /// The most that a body may have.
    fn bytes_max(self, configured: usize) -> usize {
        match self {
            Self::Protobuf => configured,
            Self::Json => configured.min(JSON_BYTES_MAX),
        }
    }

    /// Bytes that it takes to have read a body: that of JSON stands in memory as a tree.
    fn read_bytes(self, body: usize) -> usize {
        match self {
            Self::Protobuf => 0,
            Self::Json => body.saturating_mul(JSON_GROWTH),
        }
    }

    fn read(self, body: &[u8]) -> Result<Translator, Refused> {
        let mut translator = Translator::default();
        match self {
            Self::Protobuf => otlp::read(body, &mut translator)?,
            Self::Json => {
                let read = otlp::read_json(body, &mut translator);
                read.map_err(|error| Refused::Invalid(error.to_string()))?;
            }
        }
        Ok(translator)
    }
}

pub(super) async fn write(shared: Arc<Shared>, request: Request) -> Response {
    // What is not known is answered in the form that all clients read.
    let form = Form::of(request.headers()).unwrap_or(Form::Protobuf);
    match take(&shared, request).await {
        Ok(stored) => {
            shared.metrics.count(Protocol::Otlp, &stored);
            let rejected = stored.problems.total();
            let message = if rejected > 0 {
                stored.problems.text()
            } else {
                String::new()
            };
            let body = match form {
                Form::Protobuf => otlp::partial_success(rejected, &message),
                Form::Json => otlp::partial_success_json(rejected, &message),
            };
            answer(StatusCode::OK, form, body)
        }
        Err(refused) => {
            shared.metrics.count_refused(Protocol::Otlp, &refused);
            refusal(form, &refused)
        }
    }
}

fn answer(status: StatusCode, form: Form, body: Vec<u8>) -> Response {
    let content_type = match form {
        Form::Protobuf => MEDIA_TYPE,
        Form::Json => JSON_MEDIA_TYPE,
    };
    (status, [(CONTENT_TYPE, content_type)], body).into_response()
}

fn refusal(form: Form, refused: &Refused) -> Response {
    let status = refused.status();
    let code = match status {
        StatusCode::SERVICE_UNAVAILABLE => UNAVAILABLE,
        StatusCode::PAYLOAD_TOO_LARGE => RESOURCE_EXHAUSTED,
        StatusCode::INTERNAL_SERVER_ERROR => INTERNAL,
        _ => INVALID_ARGUMENT,
    };
    let message = refused.to_string();
    let body = match form {
        Form::Protobuf => otlp::error(code, &message),
        Form::Json => otlp::error_json(code, &message),
    };
    let mut response = answer(status, form, body);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, RETRY_SECONDS.into());
    }
    response
}

/// A body, and the room that it takes.
struct Held {
    body: Bytes,
    is_packed: bool,
    _room: [OwnedSemaphorePermit; 2],
}

async fn take(shared: &Arc<Shared>, request: Request) -> Result<Stored, Refused> {
    let (head, body) = request.into_parts();
    let form = Form::of(&head.headers)?;
    let is_packed = match text(&head.headers, CONTENT_ENCODING) {
        None | Some("identity") => false,
        Some("gzip") => true,
        Some(other) => return Err(Refused::Encoding(other.to_owned(), "gzip")),
    };
    let limit = shared.config.body_bytes_max;
    let (body, room) = shared.room.read(&head.headers, body, limit).await?;
    let plain_bytes = if is_packed { unzipped_bytes(&body) } else { 0 };
    let limit = form.bytes_max(shared.config.unpacked_bytes_max);
    if plain_bytes.max(body.len()) > limit {
        return Err(Refused::TooLarge(limit as u64));
    }
    let read_bytes = form.read_bytes(plain_bytes.max(body.len()));
    let more_room = shared.room.take(plain_bytes.saturating_add(read_bytes))?;
    let held = Held {
        body,
        is_packed,
        _room: [room, more_room],
    };
    let work = move |store: &signals::Store, now: i64| {
        let translator = if held.is_packed {
            form.read(&unzipped(&held.body, plain_bytes)?)?
        } else {
            form.read(&held.body)?
        };
        Ok(translator.finish()?.append(store, now)?)
    };
    shared.samples.run(work).await?
}

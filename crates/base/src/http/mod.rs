//! The HTTP server's parts: routes that each state who may use them, the error envelope, bounded
//! bodies, and the accept loop with its drain. No handler of any domain.

mod access;
mod attempts;
pub mod browser;
mod guesses;
mod hop;
mod routes;
mod serve;

#[cfg(test)]
mod tests;

pub use access::{Access, Judge, Judging, Peer, Policy, TOKEN_CHECK_INTERVAL};
pub use attempts::Attempts;
pub use guesses::Guesses;
pub use hop::{remove_hop_by_hop, words};
pub use routes::{Route, Routes, host_of};
pub use serve::{
    Protocol, Refused, Server, ServerLimits, Serving, TlsStream, prepare, refused_client,
    serve_connection,
};

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;

use crate::error::Class;

/// The error that outsiders get: class, stable code, a safe sentence.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorBody {
    /// The stable word of the class.
    pub code: &'static str,
    /// What went wrong, for a person.
    pub message: String,
}

/// The envelope `{"error": {"code", "message"}}` of the project's own API.
pub fn error_response(class: Class, message: impl Into<String>) -> Response {
    #[derive(Serialize)]
    struct Envelope {
        error: ErrorBody,
    }
    let error = ErrorBody {
        code: class.code(),
        message: message.into(),
    };
    (class.status(), Json(Envelope { error })).into_response()
}

/// A plain text answer whose first line is the reason, for clients that show no JSON.
pub fn text_response(class: Class, message: &str, retry_after_seconds: Option<u64>) -> Response {
    let mut response = (class.status(), format!("{message}\n")).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    if let Some(seconds) = retry_after_seconds {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// The longest wait for a body that is read whole: a form, a name, a request to join.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a request's body of at most `limit` bytes.
///
/// # Errors
/// `TooLarge` beyond the limit, `Timeout` after [`BODY_TIMEOUT`], `Invalid` when the client breaks off.
pub async fn read_body(body: Body, limit: usize) -> Result<Bytes, Class> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the bounded reader itself: Limited stands around"
    )]
    let read = Limited::new(body, limit).collect();
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Class::TooLarge),
        Ok(Err(_)) => Err(Class::Invalid),
        Err(_) => Err(Class::Timeout),
    }
}

//! What senders are told. They drop what is answered with 4xx and send again what is answered with 5xx,
//! so a passing fault is never a 4xx; 429 is one to most of them, and is not used.

use axum::response::{IntoResponse, Response};
use base::config::format_bytes;
use base::error::Class;
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use signals::AppendError;
use wire::protobuf::Malformed;
use wire::snappy::SnappyError;

use crate::samples::UseError;

/// When to send again what could not be taken now, in seconds.
pub(super) const RETRY_SECONDS: u64 = 5;

/// Why nothing of a request is acknowledged.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// A type of content that is not read here.
    #[error("content type {0:?} is not read here; {1} is")]
    ContentType(String, &'static str),
    /// A compression that is not read here.
    #[error("content encoding {0:?} is not read here; {1} is")]
    Encoding(String, &'static str),
    /// More than may be sent at once.
    #[error("the body is larger than {limit}; send fewer samples at a time", limit = format_bytes(*.0))]
    TooLarge(u64),
    /// The body did not come.
    #[error("the body did not arrive whole")]
    Body(Class),
    /// The body is not packed as it says.
    #[error("the body can't be unpacked: {0}")]
    Packed(&'static str),
    /// The body is no message.
    #[error("the body is not read: {0}")]
    Malformed(#[from] Malformed),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A file of pushed metrics can't be written or read.
    #[error("{0} can't be used: {1}")]
    File(String, #[source] std::io::Error),
    /// Too many bodies at once.
    #[error("other requests take all the room that there is for bodies; send again later")]
    Crowded,
    /// The store takes nothing now.
    #[error("{0}")]
    Store(#[from] AppendError),
    /// The process stops, or something is broken.
    #[error(transparent)]
    Use(#[from] UseError),
}

impl From<SnappyError> for Refused {
    fn from(error: SnappyError) -> Self {
        match error {
            SnappyError::TooLarge { limit, .. } => Self::TooLarge(limit as u64),
            SnappyError::Malformed => Self::Packed("it is not a block of Snappy"),
        }
    }
}

impl Refused {
    /// A word for metrics.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::ContentType(..) => "content_type",
            Self::Encoding(..) => "encoding",
            Self::TooLarge(_) | Self::Store(AppendError::Long(_)) => "too_large",
            Self::Body(_) => "body",
            Self::Packed(_) => "packed",
            Self::Malformed(_) => "malformed",
            Self::Invalid(_) => "invalid",
            Self::File(..) => "file",
            Self::Crowded => "crowded",
            Self::Store(_) => "store",
            Self::Use(_) => "closing",
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::ContentType(..) | Self::Encoding(..) | Self::Invalid(_) => Class::Invalid,
            Self::Packed(_) | Self::Malformed(_) => Class::Invalid,
            Self::TooLarge(_) | Self::Store(AppendError::Long(_)) => Class::TooLarge,
            // A sender that is cut off sends again.
            Self::Body(_) => Class::Unavailable,
            Self::Crowded | Self::Store(_) | Self::Use(UseError::Closed) => Class::Unavailable,
            Self::File(..) => Class::Unavailable,
            Self::Use(UseError::Failed(_)) => Class::Internal,
        }
    }

    /// The status of the answer; with 503 it has to say when to send again.
    pub(super) fn status(&self) -> StatusCode {
        if matches!(self, Self::ContentType(..) | Self::Encoding(..)) {
            return StatusCode::UNSUPPORTED_MEDIA_TYPE;
        }
        self.class().status()
    }

    /// The answer as a text.
    pub(super) fn response(&self) -> Response {
        let status = self.status();
        let mut response = plain(status, self.to_string());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, RETRY_SECONDS.into());
        }
        response
    }
}

/// A text for whoever reads the sender's log.
pub(super) fn plain(status: StatusCode, text: String) -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, headers, text + "\n").into_response()
}

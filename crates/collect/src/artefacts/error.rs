//! Why a request about artefacts is refused, as the paths of krkn and as S3 say it.

use axum::response::{IntoResponse, Response};
use base::client::chain;
use base::error::Class;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use state::StateError;
use wire::s3::chunked::ChunkError;
use wire::s3::key::KeyError;
use wire::s3::request::SignatureError;
use wire::s3::xml::{self, XmlError};

use super::objects::ObjectError;

/// When to come again, in seconds, when there is no room.
const FULL_SECONDS: u64 = 60;
/// When to come again when it is only too much at once.
const BUSY_SECONDS: u64 = 5;

/// Why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("{0}")]
    Invalid(String),
    /// Telemetry that is none.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error("{0}")]
    Xml(#[from] XmlError),
    #[error("{0}")]
    Signature(#[from] SignatureError),
    #[error("{0}")]
    Chunks(#[from] ChunkError),
    /// Nobody of this name, or another password.
    #[error("there is no such access key")]
    UnknownUser,
    /// So many seconds.
    #[error("too many wrong signatures of this access key; try again in {0} s")]
    HeldOff(u64),
    #[error("credentials are needed here")]
    Anonymous,
    #[error("you may not do this in the group {0:?}")]
    Forbidden(String),
    #[error("{0} or its group is pinned: what is in it stays until it is no longer")]
    Pinned(String),
    #[error("there is no such file")]
    NoFile,
    #[error("there is no such upload")]
    NoUpload,
    #[error("there is no such bucket")]
    NoBucket,
    #[error("{0} is not what came: nothing was kept")]
    BadDigest(&'static str),
    #[error("the body is not as long as announced: nothing was kept")]
    Incomplete,
    #[error("the body is larger than {0}")]
    TooLarge(String),
    #[error("nothing came for {0} s: nothing was kept")]
    Silent(u64),
    #[error("less than {0}/s came for a minute: nothing was kept")]
    Trickle(String),
    #[error("the body took more than {0} s: nothing was kept")]
    Slow(u64),
    #[error("the parts that are named are not those that came")]
    InvalidPart,
    #[error("parts are named by rising numbers")]
    InvalidPartOrder,
    #[error("the range is outside of the file")]
    Range(u64),
    #[error(
        "{0} is full; remove something, or raise collector.artefacts.quota or what is set for the group"
    )]
    Full(&'static str),
    #[error("too many uploads at once; try again")]
    Busy,
    #[error("the file is not what the request says it has to be")]
    Unmet,
    #[error(
        "a copy of a file onto itself has to change something: x-amz-metadata-directive: REPLACE"
    )]
    SameFile,
    #[error("{0}")]
    Tags(&'static str),
    #[error("this is not done here")]
    NotImplemented,
    #[error("this method is not for this path")]
    Method,
    #[error("artefacts can't be kept or read now; try again")]
    Object(#[from] ObjectError),
    #[error("artefacts can't be kept or read now; try again")]
    State(#[from] StateError),
}

impl Trouble {
    /// The status, and the word by which S3 knows it.
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid(_) | Self::Refused(_) => (StatusCode::BAD_REQUEST, "InvalidArgument"),
            Self::Key(KeyError::TooLong) => (StatusCode::BAD_REQUEST, "KeyTooLongError"),
            Self::Key(_) => (StatusCode::BAD_REQUEST, "InvalidArgument"),
            Self::Xml(_) => (StatusCode::BAD_REQUEST, "MalformedXML"),
            Self::Signature(error) => signature_kind(*error),
            Self::Chunks(ChunkError::Mismatch) => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
            Self::Chunks(_) | Self::Incomplete => (StatusCode::BAD_REQUEST, "IncompleteBody"),
            Self::UnknownUser => (StatusCode::FORBIDDEN, "InvalidAccessKeyId"),
            Self::Anonymous => (StatusCode::UNAUTHORIZED, "AccessDenied"),
            Self::Forbidden(_) | Self::Pinned(_) => (StatusCode::FORBIDDEN, "AccessDenied"),
            Self::NoFile => (StatusCode::NOT_FOUND, "NoSuchKey"),
            Self::NoUpload => (StatusCode::NOT_FOUND, "NoSuchUpload"),
            Self::NoBucket => (StatusCode::NOT_FOUND, "NoSuchBucket"),
            Self::BadDigest(_) => (StatusCode::BAD_REQUEST, "BadDigest"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "EntityTooLarge"),
            Self::Silent(_) | Self::Slow(_) | Self::Trickle(_) => {
                (StatusCode::REQUEST_TIMEOUT, "RequestTimeout")
            }
            Self::InvalidPart => (StatusCode::BAD_REQUEST, "InvalidPart"),
            Self::InvalidPartOrder => (StatusCode::BAD_REQUEST, "InvalidPartOrder"),
            Self::Range(_) => (StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
            Self::Full(_) => (StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage"),
            Self::Busy | Self::HeldOff(_) => (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
            Self::Unmet => (StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
            Self::SameFile => (StatusCode::BAD_REQUEST, "InvalidRequest"),
            Self::Tags(_) => (StatusCode::BAD_REQUEST, "InvalidTag"),
            Self::NotImplemented => (StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Self::Object(error) if error.is_full() => {
                (StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage")
            }
            Self::Object(error) => of_class(error.class()),
            Self::State(error) => of_class(error.class()),
        }
    }

    /// The word of the metric of refusals.
    pub(crate) fn reason(&self) -> &'static str {
        self.kind().1
    }

    /// For the envelope of our own API.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Object(error) => error.class(),
            Self::State(error) => error.class(),
            Self::Busy => Class::Unavailable,
            other => match other.status() {
                StatusCode::NOT_FOUND => Class::NotFound,
                StatusCode::FORBIDDEN => Class::Forbidden,
                StatusCode::UNAUTHORIZED => Class::Unauthenticated,
                StatusCode::PAYLOAD_TOO_LARGE => Class::TooLarge,
                status if status.is_client_error() => Class::Invalid,
                _ => Class::Internal,
            },
        }
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        self.kind().0
    }

    fn retry_after(&self) -> Option<u64> {
        if let Self::HeldOff(seconds) = self {
            return Some(*seconds);
        }
        match self.kind().0 {
            StatusCode::INSUFFICIENT_STORAGE => Some(FULL_SECONDS),
            StatusCode::SERVICE_UNAVAILABLE => Some(BUSY_SECONDS),
            _ => None,
        }
    }

    /// What outsiders are told; the rest goes to the log.
    fn shown(&self) -> String {
        match self {
            Self::Object(error) => {
                tracing::warn!(error = chain(error), "an artefact can't be kept or read");
            }
            Self::State(error) => {
                tracing::warn!(error = chain(error), "an artefact can't be kept or read");
            }
            _ => {}
        }
        self.to_string()
    }

    /// As the paths of krkn answer: a plain line.
    pub(crate) fn plain(&self) -> Response {
        let text = self.shown();
        let text = if self.kind().0 == StatusCode::BAD_REQUEST {
            format!("[bad request]: {text}")
        } else {
            text
        };
        self.finish(
            (self.kind().0, text).into_response(),
            "text/plain; charset=utf-8",
        )
    }

    /// As S3 answers; `resource` is the path that was asked for.
    pub(crate) fn xml(&self, resource: &str) -> Response {
        let (status, code) = self.kind();
        let text = xml::error(code, &self.shown(), resource);
        self.finish((status, text).into_response(), "application/xml")
    }

    fn finish(&self, mut response: Response, kind: &'static str) -> Response {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Self::Range(length) = self
            && let Ok(range) = HeaderValue::try_from(format!("bytes */{length}"))
        {
            headers.insert(http::header::CONTENT_RANGE, range);
        }
        if matches!(self, Self::Anonymous) {
            let basic = HeaderValue::from_static("Basic realm=\"artefacts\", charset=\"UTF-8\"");
            headers.insert(WWW_AUTHENTICATE, basic);
        }
        if matches!(self, Self::Silent(_) | Self::Slow(_) | Self::Trickle(_)) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

fn signature_kind(error: SignatureError) -> (StatusCode, &'static str) {
    match error {
        SignatureError::Malformed(_) => (StatusCode::BAD_REQUEST, "AuthorizationHeaderMalformed"),
        SignatureError::NotSigned(_) | SignatureError::Expired => {
            (StatusCode::FORBIDDEN, "AccessDenied")
        }
        SignatureError::Skewed => (StatusCode::FORBIDDEN, "RequestTimeTooSkewed"),
        SignatureError::Mismatch => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
    }
}

fn of_class(class: Class) -> (StatusCode, &'static str) {
    match class {
        // S3 knows only one word for everything that passes.
        Class::Unavailable | Class::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::State(error.into())
    }
}

//! Why a path of ours can't answer.

use axum::response::{IntoResponse, Response};
use base::client::chain;
use base::error::Class;
use base::http::error_response;
use state::StateError;

/// Why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The request, and how it would be right.
    #[error("{0}")]
    Invalid(String),
    /// There is none, or none that may be seen.
    #[error("{0}")]
    NotFound(&'static str),
    /// No role allows it.
    #[error("no role of yours allows this in the project")]
    Forbidden,
    /// It is not as the request needs it.
    #[error("{0}")]
    Conflict(String),
    /// It may be tried again.
    #[error("the record can't be kept now; try again")]
    Unavailable,
    /// Others are looking at payloads.
    #[error("too many searches are under way; try again")]
    Busy,
    /// The state.
    #[error("the records can't be read now")]
    State(#[from] StateError),
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self::State(error.into())
    }
}

impl ApiError {
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Invalid(_) => Class::Invalid,
            Self::NotFound(_) => Class::NotFound,
            Self::Forbidden => Class::Forbidden,
            Self::Conflict(_) => Class::Conflict,
            Self::Unavailable | Self::Busy => Class::Unavailable,
            Self::State(error) => error.class(),
        }
    }

    /// What outsiders are told; the rest goes to the log.
    pub(crate) fn shown(&self) -> String {
        if let Self::State(error) = self {
            tracing::warn!(error = chain(error), "records can't be read or changed");
        }
        self.to_string()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        error_response(self.class(), self.shown())
    }
}

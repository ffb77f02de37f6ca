//! Why a scrape or a login failed, and what Prometheus is told: 502, 503 or 504, never 401 or 403,
//! which it would read as its own credentials being wrong.

use std::time::Duration;

use base::client::ClientError;
use base::error::Class;
use http::{HeaderMap, StatusCode};
use serde::Serialize;

/// What kind of failure it is; the word of `state` in `/v1/gateway/targets`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureKind {
    /// A secret or a column is missing.
    Unconfigured,
    /// The credential was refused.
    AuthFailed,
    /// The login works, but the target refuses what came of it.
    Refused,
    /// The target or its login asks to wait.
    RateLimited,
    /// Nothing answers there.
    Unreachable,
    /// The node that it is reached through is away, or lets nobody reach it.
    Offline,
    /// The certificate isn't trusted, or no TLS.
    TlsError,
    /// No answer in time.
    Timeout,
    /// An answer that can't be used.
    Degraded,
    /// Too many scrapes of this target at once.
    Busy,
}

impl FailureKind {
    /// The word for JSON, metrics and people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unconfigured => "unconfigured",
            Self::AuthFailed | Self::Refused => "auth_failed",
            Self::RateLimited => "rate_limited",
            Self::Unreachable => "unreachable",
            Self::Offline => "offline",
            Self::TlsError => "tls_error",
            Self::Timeout => "timeout",
            Self::Degraded => "degraded",
            Self::Busy => "busy",
        }
    }

    fn class(self) -> Class {
        match self {
            Self::Unconfigured
            | Self::AuthFailed
            | Self::RateLimited
            | Self::Busy
            | Self::Offline => Class::Unavailable,
            Self::Unreachable | Self::TlsError | Self::Degraded | Self::Refused => Class::BadPeer,
            Self::Timeout => Class::Timeout,
        }
    }
}

/// A failure and its reason, safe to show: it carries no secret and no body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Failure {
    /// What kind.
    pub(crate) kind: FailureKind,
    /// In words.
    pub(crate) reason: String,
    /// When to try again, from now.
    pub(crate) retry_after: Option<Duration>,
    /// No request was sent: the target is in its back-off.
    pub(crate) is_waiting: bool,
}

impl Failure {
    /// A failure without advice when to try again.
    pub(crate) fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            retry_after: None,
            is_waiting: false,
        }
    }

    /// A failed request; `what` names it, such as `login` or `part db`.
    pub(crate) fn of_client(what: &str, error: &ClientError) -> Self {
        let kind = match error {
            ClientError::Connect { .. } => FailureKind::Unreachable,
            ClientError::Away { .. } => FailureKind::Offline,
            ClientError::Tls { .. } => FailureKind::TlsError,
            ClientError::Timeout { .. } => FailureKind::Timeout,
            ClientError::TooLarge { .. } | ClientError::Protocol(_) => FailureKind::Degraded,
        };
        Self::new(kind, format!("{what}: {error}"))
    }

    /// An answer with a status that is no success. `Retry-After` counts with 429 and 503.
    pub(crate) fn of_status(what: &str, status: StatusCode, headers: &HeaderMap) -> Self {
        let asks_to_wait = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        let retry_after = headers
            .get(http::header::RETRY_AFTER)
            .filter(|_| asks_to_wait)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| wire::auth::retry_after(value, unix_seconds()));
        let is_limit = status == StatusCode::TOO_MANY_REQUESTS || retry_after.is_some();
        let kind = if is_limit {
            FailureKind::RateLimited
        } else {
            FailureKind::Degraded
        };
        Self {
            retry_after,
            ..Self::new(kind, format!("{what} answered {status}"))
        }
    }

    /// The class for HTTP. In back-off it is 503, whatever led there.
    pub(crate) fn class(&self) -> Class {
        if self.is_waiting {
            Class::Unavailable
        } else {
            self.kind.class()
        }
    }
}

/// Unix seconds now.
pub(crate) fn unix_seconds() -> i64 {
    let since = base::clock::wall().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

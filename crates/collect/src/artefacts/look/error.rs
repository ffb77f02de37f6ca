//! Why nothing is shown.

use std::io;

use axum::response::{IntoResponse, Response};
use base::client::chain;
use base::config::format_bytes;
use base::error::Class;
use base::http::error_response;
use http::header::RETRY_AFTER;
use state::StateError;
use wire::tar::TarError;

use super::super::error::Trouble;
use super::super::objects::ObjectError;

/// When to come again, in seconds, when others look.
const BUSY_SECONDS: u16 = 5;

/// Why.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error("{0}")]
    Invalid(String),
    #[error("sign in, or send an API token as `Authorization: Bearer …`")]
    Anonymous,
    #[error("there is no such file")]
    NoFile,
    #[error("the file is no archive: leave `member` out")]
    NoArchive,
    #[error("the file is an archive: its offset is `next` of the list before")]
    NoPlace,
    #[error("there is no {0:?} in the archive")]
    NoMember(String),
    #[error(
        "{0:?} is not among the first {1} files of the archive: give `at` as the list of its files has it"
    )]
    FarMember(String, usize),
    #[error("{0:?} is {1}: there is nothing to look at")]
    NotShown(String, &'static str),
    #[error(
        "the file ends in the middle of {0:?}: is it a part of one, or was its upload cut off?"
    )]
    Cut(String),
    #[error("the archive can't be read: {0}")]
    Archive(#[from] TarError),
    #[error("the gzip data is damaged or cut off: {0}")]
    Gzip(io::Error),
    #[error("only the first {bytes} are unpacked to look at: download it instead", bytes = format_bytes(*.0))]
    Large(u64),
    #[error("looking took too long: download the file instead")]
    Slow,
    #[error("too many look into files at once; try again")]
    Busy,
    #[error("artefacts can't be read now; try again")]
    Broken,
    #[error("artefacts can't be read now; try again")]
    Store(#[from] Trouble),
}

impl From<StateError> for LookError {
    fn from(error: StateError) -> Self {
        Self::Store(error.into())
    }
}

impl From<ObjectError> for LookError {
    fn from(error: ObjectError) -> Self {
        Self::Store(error.into())
    }
}

impl LookError {
    /// Whether what is wrong is what the file has, and what was read before it may be shown.
    pub(super) fn is_of_content(&self) -> bool {
        matches!(
            self,
            Self::Cut(_) | Self::Archive(_) | Self::Gzip(_) | Self::Large(_)
        )
    }

    fn class(&self) -> Class {
        match self {
            Self::Invalid(_) => Class::Invalid,
            Self::Anonymous => Class::Unauthenticated,
            Self::NoFile | Self::NoMember(_) => Class::NotFound,
            // The request is right, but the file is not such that it can be done.
            Self::NoArchive
            | Self::NoPlace
            | Self::FarMember(..)
            | Self::NotShown(..)
            | Self::Cut(_)
            | Self::Archive(_)
            | Self::Gzip(_)
            | Self::Large(_) => Class::Conflict,
            Self::Slow => Class::Timeout,
            Self::Store(Trouble::Invalid(_)) => Class::Conflict,
            Self::Busy | Self::Broken | Self::Store(_) => Class::Unavailable,
        }
    }
}

impl IntoResponse for LookError {
    fn into_response(self) -> Response {
        let message = match &self {
            // Too many parts.
            Self::Store(Trouble::Invalid(message)) => message.clone(),
            Self::Store(trouble) => {
                tracing::warn!(error = chain(trouble), "an artefact can't be read");
                self.to_string()
            }
            _ => self.to_string(),
        };
        let class = self.class();
        let mut response = error_response(class, message);
        if class == Class::Unavailable {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, BUSY_SECONDS.into());
        }
        response
    }
}

//! Regular expressions on payloads, as the original's export takes them: one that fits, and one that does
//! not. Which records are looked at is somebody else's matter; [`look`] looks at a bounded number.

pub(crate) mod look;

use regex::bytes::{Regex, RegexBuilder};

use super::error::ApiError;

/// The largest regular expression, as it is held in memory.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// What is asked of payloads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expressions {
    fits: Option<Regex>,
    fits_not: Option<Regex>,
}

impl Expressions {
    /// Of the parameters `payload` and `not_payload`. An empty one asks nothing.
    pub(crate) fn of(payload: Option<&str>, not_payload: Option<&str>) -> Result<Self, ApiError> {
        Ok(Self {
            fits: regex("payload", payload)?,
            fits_not: regex("not_payload", not_payload)?,
        })
    }

    /// Whether every payload fits.
    pub(crate) fn are_none(&self) -> bool {
        self.fits.is_none() && self.fits_not.is_none()
    }

    /// Whether a payload fits.
    pub(crate) fn fit(&self, body: &[u8]) -> bool {
        self.fits.as_ref().is_none_or(|regex| regex.is_match(body))
            && !self
                .fits_not
                .as_ref()
                .is_some_and(|regex| regex.is_match(body))
    }
}

fn regex(name: &str, text: Option<&str>) -> Result<Option<Regex>, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let built = RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build();
    let wrong = |error| ApiError::Invalid(format!("{name} is no regular expression: {error}"));
    built.map(Some).map_err(wrong)
}

//! Reading queries: each name once, unless it may be repeated, and none that is not known.

use std::str::FromStr;

use http::request::Parts;
use wire::s3::key::query_pairs;

use super::ApiError;
use crate::artefacts::time;

/// The longest value: a key, or a run with its group, is shorter.
const CHARACTERS_MAX: usize = 2_100;

/// The parameters of a request that are not yet taken.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(super) fn of(head: &Parts) -> Result<Self, ApiError> {
        let pairs = query_pairs(head.uri.query().unwrap_or_default());
        let pairs = pairs.ok_or_else(|| invalid("the query can't be read"))?;
        let is_long = |text: &str| text.chars().nth(CHARACTERS_MAX).is_some();
        if pairs.iter().any(|(_, value)| is_long(value)) {
            return Err(invalid("no value is longer than 2100 characters"));
        }
        // PostgreSQL has no texts with NUL.
        if pairs.iter().any(|(_, value)| value.contains('\0')) {
            return Err(invalid("no value has a NUL"));
        }
        Ok(Self { pairs })
    }

    /// Takes all values of a name.
    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        let pairs = std::mem::take(&mut self.pairs);
        let (taken, left) = pairs.into_iter().partition(|(known, _)| known == name);
        self.pairs = left;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// Takes the value of a name that may be there once.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let mut values = self.all(name);
        if values.len() > 1 {
            return Err(invalid(&format!("{name} is said once")));
        }
        Ok(values.pop())
    }

    /// Takes a number.
    pub(super) fn number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        let value = self.text(name)?.map(|text| text.parse().ok());
        value
            .map(|value| value.ok_or_else(|| invalid(&format!("{name} is a number"))))
            .transpose()
    }

    /// Takes how many entries a page has.
    pub(super) fn limit(&mut self, (usual, max): (usize, usize)) -> Result<usize, ApiError> {
        let limit = self.number("limit")?.unwrap_or(usual);
        if !(1..=max).contains(&limit) {
            return Err(invalid(&format!("limit is a number from 1 to {max}")));
        }
        Ok(limit)
    }

    /// Takes a truth value.
    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.text(name)?.as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(invalid(&format!("{name} is true or false"))),
        }
    }

    /// Takes a time, in Unix milliseconds.
    pub(super) fn time(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        let expected = || invalid(&format!("{name} is a time such as 2026-11-21T16:50:00Z"));
        let time = self.text(name)?;
        time.map(|text| time::parse(&text).ok_or_else(expected))
            .transpose()
    }

    /// Refuses what was not taken.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name = name.escape_debug();
                Err(invalid(&format!("`{name}` is not known here")))
            }
        }
    }
}

pub(super) fn invalid(text: &str) -> ApiError {
    ApiError::Invalid(text.to_owned())
}

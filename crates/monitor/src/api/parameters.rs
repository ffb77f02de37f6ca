//! Parameters of a request: from its query and, where it is a form, from its body.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{error_response, read_body};
use http::Method;
use http::header::CONTENT_TYPE;
use query::matcher::Matcher;
use query::promql;
use query::promql::ast::Node;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::answer::ApiError;
use super::{REQUEST_BYTES_MAX, too_large};
use crate::viewer::Viewer;

/// Selectors of one request.
const SELECTORS_MAX: usize = 100;

/// The parameters of a request, and who asks.
#[derive(Debug)]
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
    pub(super) viewer: Viewer,
}

impl<S: Send + Sync> FromRequest<S> for Parameters {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let (head, body) = request.into_parts();
        // Nobody sees anything by omission: the policy has to have said who asks.
        let Some(viewer) = head.extensions.get::<Viewer>().cloned() else {
            let text = "nobody said who may see these samples";
            return Err(error_response(Class::Forbidden, text).into_response());
        };
        let mut pairs = Vec::new();
        let mut read = |text: &[u8]| {
            pairs.extend(url::form_urlencoded::parse(text).into_owned());
        };
        let kind = head.headers.get(CONTENT_TYPE);
        let is_form = kind.is_some_and(|kind| {
            kind.as_bytes()
                .starts_with(b"application/x-www-form-urlencoded")
        });
        let has_body = matches!(head.method, Method::POST | Method::PUT);
        if has_body && is_form {
            let body = read_body(body, REQUEST_BYTES_MAX).await;
            read(&body.map_err(|class| match class {
                Class::TooLarge => too_large(),
                class => error_response(class, "the form did not arrive whole").into_response(),
            })?);
        }
        read(head.uri.query().unwrap_or_default().as_bytes());
        Ok(Self { pairs, viewer })
    }
}

impl Parameters {
    /// The first value of a parameter; empty counts as none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.pairs.iter().filter(|(own, _)| own == name);
        found
            .next()
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// A time in milliseconds since 1970.
    pub(super) fn time(&self, name: &str, default: i64) -> Result<i64, ApiError> {
        self.get(name).map_or(Ok(default), |text| {
            time(text).ok_or_else(|| not_a(name, text, "timestamp"))
        })
    }

    /// A time that has to be there.
    pub(super) fn needed_time(&self, name: &str) -> Result<i64, ApiError> {
        let text = self.get(name).unwrap_or_default();
        time(text).ok_or_else(|| not_a(name, text, "timestamp"))
    }

    /// A duration in milliseconds.
    pub(super) fn duration(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let read = |text| duration(text).ok_or_else(|| not_a(name, text, "duration"));
        self.get(name).map(read).transpose()
    }

    /// How long a query may take: what is asked for, at most what is configured.
    pub(super) fn timeout(&self, most: Duration) -> Result<Duration, ApiError> {
        let asked = self.duration("timeout")?;
        let asked = asked.and_then(|asked| u64::try_from(asked).ok());
        Ok(asked.map_or(most, |asked| Duration::from_millis(asked).min(most)))
    }

    /// How many results are wanted; 0 is all.
    pub(super) fn limit(&self, name: &str) -> Result<usize, ApiError> {
        let Some(text) = self.get(name) else {
            return Ok(usize::MAX);
        };
        match text.parse() {
            Ok(0) => Ok(usize::MAX),
            Ok(limit) => Ok(limit),
            Err(_) => Err(ApiError::parameter(
                name,
                "limit must be a non-negative number",
            )),
        }
    }

    /// The selectors of `match[]`.
    pub(super) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, ApiError> {
        let texts = self.pairs.iter().filter(|(name, _)| name == "match[]");
        let texts: Vec<&str> = texts.map(|(_, text)| text.as_str()).collect();
        if texts.len() > SELECTORS_MAX {
            return Err(ApiError::parameter(
                "match[]",
                format!("at most {SELECTORS_MAX} selectors"),
            ));
        }
        texts.into_iter().map(selector).collect()
    }

    /// The selectors of `match[]`, of which there has to be one.
    pub(super) fn needed_selectors(&self) -> Result<Vec<Vec<Matcher>>, ApiError> {
        let selectors = self.selectors()?;
        if selectors.is_empty() {
            return Err(ApiError::bad("no match[] parameter provided"));
        }
        Ok(selectors)
    }
}

fn not_a(name: &str, text: &str, what: &str) -> ApiError {
    ApiError::parameter(name, format!("cannot parse {text:?} to a valid {what}"))
}

/// Reads a selector, of which some matcher has to want something.
fn selector(text: &str) -> Result<Vec<Matcher>, ApiError> {
    let wrong = |reason: String| ApiError::parameter("match[]", reason);
    let expression = promql::parser::parse(text).map_err(|error| wrong(error.to_string()))?;
    let Node::Vector(selector) = expression.node else {
        return Err(wrong(format!("{text:?} is no selector of series")));
    };
    if selector.matchers.iter().all(|matcher| matcher.matches("")) {
        return Err(wrong(
            "match[] must contain at least one non-empty matcher".to_owned(),
        ));
    }
    Ok(selector.matchers)
}

/// Seconds since 1970 with decimals, or RFC 3339; in milliseconds.
pub(super) fn time(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return milliseconds(seconds);
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// Seconds with decimals, or a duration such as `1h30m`; in milliseconds.
fn duration(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return milliseconds(seconds);
    }
    promql::duration(text)
}

fn milliseconds(seconds: f64) -> Option<i64> {
    /// Beyond this a double has no exact whole numbers.
    const MOST: f64 = 9_007_199_254_740_992.0;
    let milliseconds = (seconds * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "whole and small enough")]
    (milliseconds.abs() < MOST).then_some(milliseconds as i64)
}

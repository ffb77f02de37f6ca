//! `/v1/artefacts/…`: groups, runs and their files for programs and pages. `docs/api/openapi.yaml`
//! describes it. A group that somebody may not read is not there for them: neither its name nor how
//! much it holds is told by any answer.

mod clients;
mod compare;
mod files;
mod groups;
mod query;
mod recovery;
mod removal;
mod runs;
mod sight;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::client::chain;
use base::error::Class;
use base::http::{Policy, Routes, error_response, read_body};
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use state::StateError;
use wire::s3::key::{Key, percent_decode};

use super::Shared;
use super::error::Trouble;
use super::objects::ObjectError;
use super::visitor::{Act, Visitor};

/// What changes something.
const CHANGE_BYTES_MAX: usize = 4 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("{0}")]
    Invalid(String),
    #[error("no role of yours allows this in the group")]
    Forbidden,
    #[error("sign in, or send an API token as `Authorization: Bearer …`")]
    Anonymous,
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("{0}")]
    Conflict(String),
    #[error("the artefacts can't be read now")]
    State(#[from] StateError),
    #[error("the artefacts can't be read now")]
    Object(#[from] ObjectError),
    #[error("{0}")]
    Trouble(#[from] Trouble),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let class = match &self {
            Self::Invalid(_) => Class::Invalid,
            Self::Forbidden => Class::Forbidden,
            Self::Anonymous => Class::Unauthenticated,
            Self::NotFound(_) => Class::NotFound,
            Self::Conflict(_) => Class::Conflict,
            Self::State(error) => {
                tracing::warn!(error = chain(error), "artefacts can't be read");
                error.class()
            }
            Self::Object(error) => {
                tracing::warn!(error = chain(error), "an artefact can't be read");
                error.class()
            }
            Self::Trouble(trouble) => trouble.class(),
        };
        error_response(class, self.to_string())
    }
}

type Answer = Result<Response, ApiError>;

/// A handler that answers as a function of what all paths share and the request does.
macro_rules! by {
    ($shared:expr, $answer:path) => {{
        let shared = Arc::clone($shared);
        move |request: Request| async move { Box::pin($answer(&shared, request)).await }
    }};
}

pub(super) fn routes(shared: &Arc<Shared>, policy: &impl Fn() -> Policy) -> Routes {
    const GROUPS: &str = "/v1/artefacts/groups";
    const GROUP: &str = "/v1/artefacts/groups/{group}";
    const RECOVERY: &str = "/v1/artefacts/groups/{group}/recovery";
    const RUNS: &str = "/v1/artefacts/runs";
    const RUN: &str = "/v1/artefacts/runs/{group}/{run}";
    const FILES: &str = "/v1/artefacts/runs/{group}/{run}/files";
    const VERSIONS: &str = "/v1/artefacts/runs/{group}/{run}/versions";
    const TELEMETRY: &str = "/v1/artefacts/runs/{group}/{run}/telemetry";
    Routes::default()
        .get(GROUPS, policy(), by!(shared, groups::list))
        .get(GROUP, policy(), by!(shared, groups::one))
        .patch(GROUP, policy(), by!(shared, groups::change))
        .delete(GROUP, policy(), by!(shared, removal::group))
        .get(RECOVERY, policy(), by!(shared, recovery::list))
        .get(RUNS, policy(), by!(shared, runs::list))
        .get(RUN, policy(), by!(shared, runs::one))
        .patch(RUN, policy(), by!(shared, runs::change))
        .delete(RUN, policy(), by!(shared, removal::run))
        .get(FILES, policy(), by!(shared, files::list))
        .get(VERSIONS, policy(), by!(shared, files::versions))
        .get(TELEMETRY, policy(), by!(shared, files::telemetry))
        .get(
            "/v1/artefacts/clients",
            policy(),
            by!(shared, clients::list),
        )
        .get(
            "/v1/artefacts/compare",
            policy(),
            by!(shared, compare::compare),
        )
}

/// Who asks, as the policy found out.
pub(super) fn visitor(head: &Parts) -> Result<Visitor, ApiError> {
    let visitor = head.extensions.get::<Visitor>();
    visitor.cloned().ok_or(ApiError::Anonymous)
}

/// Who asks, if they may do this in a group; one that they may not read is not there.
pub(super) fn enter(head: &Parts, group: &str, act: Act) -> Result<Visitor, ApiError> {
    let visitor = visitor(head)?;
    if !visitor.may(group, Act::Read) {
        return Err(ApiError::NotFound("group"));
    }
    if !visitor.may(group, act) {
        return Err(ApiError::Forbidden);
    }
    Ok(visitor)
}

/// The group that the path names: its fourth segment.
fn group_of(head: &Parts) -> Result<String, ApiError> {
    segment(head, 4).ok_or(ApiError::NotFound("group"))
}

/// The group and the run that the path names: its fourth and fifth segment.
pub(super) fn run_of(head: &Parts) -> Result<(String, String), ApiError> {
    let segments = segment(head, 4).zip(segment(head, 5));
    segments.ok_or(ApiError::NotFound("run"))
}

/// A segment of the path that may be the name of a group or run.
fn segment(head: &Parts, number: usize) -> Option<String> {
    let text = percent_decode(head.uri.path().split('/').nth(number)?)?;
    is_name(&text).then_some(text)
}

fn is_name(text: &str) -> bool {
    !text.contains('/') && Key::new(text).is_ok()
}

/// What a body of JSON says.
async fn read_change<T: DeserializeOwned>(body: Body) -> Result<T, ApiError> {
    let invalid = |text: &str| ApiError::Invalid(text.to_owned());
    let body = read_body(body, CHANGE_BYTES_MAX).await;
    let body = body.map_err(|_| invalid("the body is a JSON object of at most 4 KiB"))?;
    let wrong = |error: serde_json::Error| ApiError::Invalid(error.to_string());
    // A list would be taken for the fields in their order.
    let object: Map<String, Value> = serde_json::from_slice(&body).map_err(wrong)?;
    serde_json::from_value(Value::Object(object)).map_err(wrong)
}

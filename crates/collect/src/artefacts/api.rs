//! `/v1/artefacts/…`: groups and runs for programs and pages. `docs/api/openapi.yaml` describes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::client::chain;
use base::error::Class;
use base::http::{Policy, Routes, error_response};
use http::request::Parts;
use serde::Serialize;
use state::StateError;
use wire::s3::key::query_pairs;
use wire::s3::xml::timestamp;

use super::Shared;
use super::catalogue::{Run, Search};
use super::time;
use super::visitor::{Act, Visitor};

/// Runs of a page.
const LIMIT: usize = 50;
const LIMIT_MAX: usize = 500;
/// Fields of one search.
const FIELDS_MAX: usize = 24;
/// How long nothing has come to a run that is over, in milliseconds.
const IDLE_MILLISECONDS: i64 = 60 * 60 * 1000;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error("{0}")]
    Invalid(String),
    #[error("no role of yours allows this in the group")]
    Forbidden,
    #[error("sign in, or send an API token as `Authorization: Bearer …`")]
    Anonymous,
    #[error("the artefacts can't be read now")]
    State(#[from] StateError),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let class = match &self {
            Self::Invalid(_) => Class::Invalid,
            Self::Forbidden => Class::Forbidden,
            Self::Anonymous => Class::Unauthenticated,
            Self::State(error) => {
                tracing::warn!(error = chain(error), "artefacts can't be read");
                error.class()
            }
        };
        error_response(class, self.to_string())
    }
}

pub(super) fn routes(shared: &Arc<Shared>, policy: &impl Fn() -> Policy) -> Routes {
    let (one, other) = (Arc::clone(shared), Arc::clone(shared));
    let groups = move |request: Request| async move { groups(&one, &request.into_parts().0).await };
    let runs = move |request: Request| async move { runs(&other, &request.into_parts().0).await };
    Routes::default()
        .get("/v1/artefacts/groups", policy(), groups)
        .get("/v1/artefacts/runs", policy(), runs)
}

#[derive(Serialize)]
struct GroupList {
    groups: Vec<ShownGroup>,
    /// What the bucket of S3 is called, for clients that use it with a session.
    bucket: String,
    /// Bytes that may be kept, where there is a limit.
    quota: ShownQuota,
}

#[derive(Serialize)]
struct ShownGroup {
    name: String,
    runs: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct ShownQuota {
    total: Option<u64>,
    group: Option<u64>,
}

#[derive(Serialize)]
struct Runs {
    runs: Vec<ShownRun>,
    /// To be asked for as `before`.
    next: Option<i64>,
}

#[derive(Serialize)]
struct ShownRun {
    id: i64,
    group: String,
    run: String,
    state: &'static str,
    created_at: String,
    changed_at: String,
    files: u64,
    bytes: u64,
    fields: BTreeMap<String, Vec<String>>,
}

fn visitor(head: &Parts) -> Result<Visitor, ApiError> {
    let visitor = head.extensions.get::<Visitor>();
    visitor.cloned().ok_or(ApiError::Anonymous)
}

async fn groups(shared: &Shared, head: &Parts) -> Result<Response, ApiError> {
    let visitor = visitor(head)?;
    let groups = shared.catalogue.groups().await?;
    let groups = groups
        .into_iter()
        .filter(|group| visitor.may(&group.name, Act::Read));
    let groups = groups.map(|group| ShownGroup {
        name: group.name,
        runs: group.runs,
        bytes: group.bytes,
    });
    let quota = shared.config.quota;
    Ok(Json(GroupList {
        groups: groups.collect(),
        bucket: shared.config.bucket.clone(),
        quota: ShownQuota {
            total: quota.total,
            group: quota.group,
        },
    })
    .into_response())
}

async fn runs(shared: &Shared, head: &Parts) -> Result<Response, ApiError> {
    let visitor = visitor(head)?;
    let search = read_search(head.uri.query().unwrap_or_default())?;
    if let Some(group) = &search.group
        && !visitor.may(group, Act::Read)
    {
        return Err(ApiError::Forbidden);
    }
    let found = shared.catalogue.search(&search).await?;
    // Where it goes on, also when nothing of this page may be seen.
    let last = found.last().map(|run| run.id);
    let next = last.filter(|_| found.len() == search.limit);
    let now = time::now();
    let seen = found
        .into_iter()
        .filter(|run| visitor.may(&run.group, Act::Read));
    let runs = seen.map(|run| shown(run, now)).collect();
    Ok(Json(Runs { runs, next }).into_response())
}

fn read_search(query: &str) -> Result<Search, ApiError> {
    let invalid = |text: &str| ApiError::Invalid(text.to_owned());
    let pairs = query_pairs(query).ok_or_else(|| invalid("the query can't be read"))?;
    let mut search = Search {
        limit: LIMIT,
        ..Search::default()
    };
    for (name, value) in pairs {
        if value.contains('\0') {
            return Err(invalid("no name and no value has a NUL"));
        }
        match name.as_str() {
            "group" => search.group = Some(value),
            "text" => search.text = Some(value),
            // What is asked for most often has a word of its own.
            "status" if !matches!(value.as_str(), "passed" | "failed") => {
                return Err(invalid("status is passed or failed"));
            }
            "tag" | "status" | "scenario" => search.fields.push((name, value)),
            "version" => search.fields.push(("cluster_version".to_owned(), value)),
            "field" => {
                let field = value.split_once(':');
                let (name, value) = field.ok_or_else(|| invalid("a field is `name:value`"))?;
                search.fields.push((name.to_owned(), value.to_owned()));
            }
            "before" => {
                let id = value.parse().ok();
                search.before = Some(id.ok_or_else(|| invalid("before is a number"))?);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n));
                search.limit = limit.ok_or_else(|| invalid("limit is a number from 1 to 500"))?;
            }
            _ => {
                let name = name.escape_debug();
                return Err(ApiError::Invalid(format!("`{name}` is not known here")));
            }
        }
    }
    if search.fields.len() > FIELDS_MAX {
        return Err(invalid(
            "at most 24 fields, tag, status, version and scenario included",
        ));
    }
    Ok(search)
}

fn shown(run: Run, now: i64) -> ShownRun {
    let is_over = now.saturating_sub(run.changed_at) > IDLE_MILLISECONDS;
    let state = match run.telemetry_at {
        _ if is_over => "closed",
        0 => "open",
        _ => "telemetry_received",
    };
    ShownRun {
        id: run.id,
        state,
        created_at: timestamp(run.created_at),
        changed_at: timestamp(run.changed_at),
        files: run.files,
        bytes: run.bytes,
        fields: run.fields,
        group: run.group,
        run: run.name,
    }
}

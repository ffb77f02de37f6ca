//! `/api/v1/targets` and what belongs to it, in the shape that clients of Prometheus know.

mod steps;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Policy, Routes, error_response};
use http::StatusCode;
use query::matcher::Matcher;
use query::promql::ast::Node;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Shared;
use super::active::{Active, Standing};
use super::config::values::format_duration;
use super::pools::PoolKey;
use super::relabel::LabelSet;

/// What is shown for a time at which nothing happened.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) fn routes(shared: &Arc<Shared>, read: &dyn Fn() -> Policy) -> Routes {
    let config = Arc::clone(shared);
    Routes::default()
        .get(
            "/api/v1/targets",
            read(),
            with(shared, |shared, wanted| Ok(targets(shared, wanted))),
        )
        .get("/api/v1/targets/metadata", read(), with(shared, described))
        .get(
            "/api/v1/targets/relabel_steps",
            read(),
            with(shared, steps::steps),
        )
        .get(
            "/api/v1/scrape_pools",
            read(),
            with(shared, |shared, Nothing {}| Ok(scrape_pools(shared))),
        )
        .get("/api/v1/status/config", read(), move || async move {
            let config = Arc::clone(&config.config.borrow());
            success(&ShownConfig { yaml: &config.text })
        })
}

type Asked<T> = Result<Query<T>, QueryRejection>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A handler that works on a thread that may block: while targets are found anew, whoever wants to look
/// at them waits, and what there is to show may be much.
fn with<T, D>(
    shared: &Arc<Shared>,
    find: impl Fn(&Shared, &T) -> Result<D, String> + Clone + Send + Sync + 'static,
) -> impl Fn(Asked<T>) -> BoxFuture<Response> + Clone + Send + Sync + 'static
where
    T: DeserializeOwned + Send + 'static,
    D: Serialize + 'static,
{
    let shared = Arc::clone(shared);
    move |query| {
        let (shared, find) = (Arc::clone(&shared), find.clone());
        let work = move || answer(query, |wanted| find(&shared, &wanted));
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(work).await;
            done.unwrap_or_else(|_| {
                let text = "the targets could not be shown";
                error_response(Class::Internal, text).into_response()
            })
        })
    }
}

fn answer<T, D: Serialize>(query: Asked<T>, find: impl FnOnce(T) -> Result<D, String>) -> Response {
    let query = query.map_err(|rejection| rejection.body_text());
    match query.and_then(|Query(wanted)| find(wanted)) {
        Ok(data) => success(&data),
        Err(error) => {
            let failure = Failure {
                status: "error",
                error_type: "bad_data",
                error,
            };
            (StatusCode::BAD_REQUEST, Json(failure)).into_response()
        }
    }
}

fn success<D: Serialize>(data: &D) -> Response {
    let status = "success";
    Json(Success { status, data }).into_response()
}

#[derive(Serialize)]
struct Success<'a, D> {
    status: &'static str,
    data: &'a D,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    status: &'static str,
    error_type: &'static str,
    error: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScrapePools {
    scrape_pools: Vec<String>,
}

#[derive(Serialize)]
struct ShownConfig<'a> {
    yaml: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    #[serde(default)]
    state: String,
    #[serde(default)]
    scrape_pool: String,
}

/// Targets as they are shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Targets {
    #[serde(rename = "activeTargets")]
    active: Vec<ActiveTarget>,
    #[serde(rename = "droppedTargets")]
    dropped: Vec<DroppedTarget>,
    dropped_target_counts: BTreeMap<String, usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActiveTarget {
    discovered_labels: LabelSet,
    labels: LabelSet,
    scrape_pool: String,
    scrape_url: String,
    global_url: String,
    last_error: String,
    last_scrape: String,
    last_scrape_duration: f64,
    health: &'static str,
    scrape_interval: String,
    scrape_timeout: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DroppedTarget {
    discovered_labels: LabelSet,
    scrape_pool: String,
}

/// A pool as it stands: references, so that nobody has to wait until they are written out.
struct PoolNow {
    job: String,
    active: Vec<Arc<Active>>,
    dropped: Vec<Arc<LabelSet>>,
    dropped_count: usize,
}

impl Shared {
    /// The pools that are wanted.
    fn standing(&self, is_wanted: impl Fn(&PoolKey) -> bool) -> Vec<PoolNow> {
        let pools = self.pools();
        let pools = pools.iter().filter(|(_, pool)| !pool.is_gone);
        let pools = pools.filter(|(key, _)| is_wanted(key));
        let standing = pools.map(|(key, pool)| PoolNow {
            job: key.job.clone(),
            active: pool.active.values().cloned().collect(),
            dropped: pool.dropped.clone(),
            dropped_count: pool.dropped_count,
        });
        standing.collect()
    }
}

fn targets(shared: &Shared, wanted: &Wanted) -> Targets {
    let state = wanted.state.to_ascii_lowercase();
    let shows_active = state != "dropped";
    let shows_dropped = state != "active";
    let mut shown = Targets {
        active: Vec::new(),
        dropped: Vec::new(),
        dropped_target_counts: BTreeMap::new(),
    };
    let is_wanted = |key: &PoolKey| wanted.scrape_pool.is_empty() || key.job == wanted.scrape_pool;
    for pool in shared.standing(is_wanted) {
        if shows_active {
            let active = pool.active.iter();
            let active = active.map(|active| active_target(&pool.job, active));
            shown.active.extend(active);
        }
        if shows_dropped {
            let dropped = pool.dropped.iter().map(|labels| DroppedTarget {
                discovered_labels: (**labels).clone(),
                scrape_pool: pool.job.clone(),
            });
            shown.dropped.extend(dropped);
        }
        let count = shown.dropped_target_counts.entry(pool.job);
        *count.or_default() += pool.dropped_count;
    }
    shown
}

#[derive(Deserialize)]
struct Nothing {}

fn scrape_pools(shared: &Shared) -> ScrapePools {
    let pools = shared.pools();
    let pools = pools.iter().filter(|(_, pool)| !pool.is_gone);
    ScrapePools {
        scrape_pools: pools.map(|(key, _)| key.job.clone()).collect(),
    }
}

fn active_target(job: &str, active: &Active) -> ActiveTarget {
    let status = active.status();
    let target = &active.target;
    ActiveTarget {
        discovered_labels: (*active.discovered()).clone(),
        labels: target.labels.clone(),
        scrape_pool: job.to_owned(),
        scrape_url: target.url.clone(),
        global_url: target.url.clone(),
        last_error: status.error,
        last_scrape: status.scraped_at.map_or_else(|| NEVER.to_owned(), written),
        last_scrape_duration: status.took.as_secs_f64(),
        health: match status.standing {
            Standing::Unknown => "unknown",
            Standing::Up => "up",
            Standing::Down => "down",
        },
        scrape_interval: format_duration(target.interval),
        scrape_timeout: format_duration(target.timeout),
    }
}

fn written(milliseconds: i64) -> String {
    let nanoseconds = i128::from(milliseconds) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok();
    let time = time.and_then(|time| time.format(&Rfc3339).ok());
    time.unwrap_or_else(|| NEVER.to_owned())
}

#[derive(Deserialize)]
struct WantedMetadata {
    #[serde(default)]
    match_target: String,
    #[serde(default)]
    metric: String,
    #[serde(default)]
    limit: String,
}

#[derive(Serialize)]
struct Described {
    target: LabelSet,
    #[serde(skip_serializing_if = "String::is_empty")]
    metric: String,
    r#type: String,
    help: String,
    unit: String,
}

/// What targets say of their metrics.
fn described(shared: &Shared, wanted: &WantedMetadata) -> Result<Vec<Described>, String> {
    let limit = match wanted.limit.as_str() {
        "" => usize::MAX,
        text => match text.parse::<i64>() {
            Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
            Err(_) => return Err("limit must be a number".to_owned()),
        },
    };
    let matchers = matchers(&wanted.match_target)?;
    let pools = shared.standing(|_| true);
    let mut shown = Vec::new();
    for active in pools.iter().flat_map(|pool| &pool.active) {
        let labels = &active.target.labels;
        let value = |name: &str| labels.get(name).map_or("", String::as_str);
        if !matchers
            .iter()
            .all(|matcher| matcher.matches(value(&matcher.name)))
        {
            continue;
        }
        let status = active.status();
        let all = status.metadata.iter();
        let all = all.filter(|(name, _)| wanted.metric.is_empty() || **name == wanted.metric);
        for (name, metadata) in all {
            if shown.len() >= limit {
                return Ok(shown);
            }
            let metric = if wanted.metric.is_empty() {
                name.clone()
            } else {
                String::new()
            };
            let kind = Some(&metadata.kind).filter(|kind| !kind.is_empty());
            shown.push(Described {
                target: labels.clone(),
                metric,
                r#type: kind.cloned().unwrap_or_else(|| "unknown".to_owned()),
                help: metadata.help.clone(),
                unit: metadata.unit.clone(),
            });
        }
    }
    Ok(shown)
}

/// The matchers of a selector; none of an empty text.
fn matchers(text: &str) -> Result<Vec<Matcher>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let parsed = query::promql::parser::parse(text).map_err(|error| error.to_string())?;
    match parsed.node {
        Node::Vector(selector) => Ok(selector.matchers),
        _ => Err("match_target must be a selector such as {job=\"node\"}".to_owned()),
    }
}

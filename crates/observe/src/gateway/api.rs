//! The gateway's paths. Handlers take a request apart, call, and put an answer together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use base::clock;
use base::error::Class;
use base::http::{Policy, Routes, text_response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::json;
use wire::exposition::negotiate;

use super::Gateway;
use super::failure::Failure;
use super::scrape::{Scraped, scrape};
use super::target::Target;

/// The header in which Prometheus says how long it waits, in seconds.
const SCRAPE_TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";
/// Of that, what is kept so that our answer arrives in time.
const TIMEOUT_RESERVE: f64 = 0.1;
/// The shortest deadline.
const DEADLINE_MIN: Duration = Duration::from_millis(500);
/// Asks `/health` for the rich form.
const RICH_TYPE: &str = "application/vnd.landline+json";

/// The table of paths.
pub(crate) fn routes(gateway: &Arc<Gateway>) -> Routes {
    let policy = || Policy::Granted(gateway.access());
    let with = || Arc::clone(gateway);
    let scraped = with();
    let metrics = move |Path(name): Path<String>, headers: HeaderMap| async move {
        get_metrics(&scraped, &name, headers).await
    };
    let known = with();
    let health = move |headers: HeaderMap| async move { get_health(&known, &headers) };
    let listed = with();
    let targets = move || async move { list_targets(&listed) };
    let discovered = with();
    let discovery =
        move |headers: HeaderMap| async move { discover_targets(&discovered, &headers) };
    Routes::default()
        .get("/metrics/{name}", policy(), metrics)
        .get("/health", policy(), health.clone())
        .get("/health/", policy(), health)
        .get("/v1/gateway/targets", policy(), targets)
        .get("/v1/gateway/sd", policy(), discovery)
}

/// One page, or why there is none.
pub(super) async fn get_metrics(gateway: &Gateway, name: &str, headers: HeaderMap) -> Response {
    let started = clock::now();
    let Some(target) = gateway.registry().find(name) else {
        gateway.metrics().unknown_target();
        let shown: String = name.chars().take(100).collect();
        let message = format!(
            "no target is named `{}`; /v1/gateway/targets lists them",
            shown.escape_debug()
        );
        return text_response(Class::NotFound, &message, None);
    };
    let deadline = deadline(&target, &headers, started);
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    match scrape(&target, negotiate(accept), deadline).await {
        Ok(scraped) => {
            target.metrics.answered(200);
            page(scraped)
        }
        Err(failure) => {
            gateway.after(&failure);
            let status = failure.class().status();
            target.metrics.answered(status.as_u16());
            let retry_after = failure
                .retry_after
                .filter(|_| status == http::StatusCode::SERVICE_UNAVAILABLE)
                .map(|wait| wait.as_secs() + 1);
            text_response(failure.class(), &format!("{name}: {failure}"), retry_after)
        }
    }
}

/// The scraper's own limit less a tenth, or the target's, whichever is sooner.
fn deadline(target: &Target, headers: &HeaderMap, started: Instant) -> Instant {
    let own = target.config().limits.timeout;
    let asked = headers
        .get(SCRAPE_TIMEOUT)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<f64>().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds * (1.0 - TIMEOUT_RESERVE)).ok())
        .map(|asked| asked.max(DEADLINE_MIN));
    started + asked.map_or(own, |asked| asked.min(own))
}

fn page(scraped: Scraped) -> Response {
    let Scraped { format, mut chunks } = scraped;
    let length: usize = chunks.iter().map(Bytes::len).sum();
    let body = match (chunks.len(), chunks.pop()) {
        (1, Some(chunk)) => Body::from(chunk),
        (_, last) => {
            chunks.extend(last);
            Body::from_stream(stream::iter(
                chunks.into_iter().map(Ok::<_, std::convert::Infallible>),
            ))
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(format.content_type()),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// What is not well, in the original's shape: `[[name, part, status], …]`.
fn get_health(gateway: &Gateway, headers: &HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains(RICH_TYPE)) {
        return list_targets(gateway).into_response();
    }
    let mut rows: Vec<[String; 3]> = Vec::new();
    for target in gateway.registry().targets() {
        let name = target.config().name.clone();
        let standing = target.standing();
        if let Some(failure) = target.session().err().or(standing.failure) {
            rows.push([name.clone(), failure.kind.word().to_owned(), failure.reason]);
        }
        for (part, reason) in standing.parts {
            rows.push([name.clone(), part, reason]);
        }
        let unwell = standing.health.filter(|health| !health.is_well);
        for (node, status) in unwell.into_iter().flat_map(|health| health.nodes) {
            rows.push([name.clone(), node, status]);
        }
    }
    Json(rows).into_response()
}

fn list_targets(gateway: &Gateway) -> Json<serde_json::Value> {
    let targets: Vec<_> = gateway
        .registry()
        .targets()
        .iter()
        .map(|target| target.view())
        .collect();
    let names_twice = gateway.names_twice();
    let sources: Vec<_> = gateway
        .sources()
        .iter()
        .map(|source| source.view(&names_twice))
        .collect();
    Json(json!({"targets": targets, "sources": sources}))
}

#[derive(Serialize)]
struct DiscoveredGroup {
    targets: [String; 1],
    labels: std::collections::BTreeMap<String, String>,
}

/// Prometheus's `http_sd`: every target at our own address, as the asker knows it.
fn discover_targets(gateway: &Gateway, headers: &HeaderMap) -> Response {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return text_response(Class::Invalid, "a Host header is needed", None);
    };
    let groups: Vec<DiscoveredGroup> = gateway
        .registry()
        .targets()
        .iter()
        .map(|target| {
            let mut labels = target.labels();
            let name = &target.config().name;
            labels.insert("__metrics_path__".to_owned(), format!("/metrics/{name}"));
            // Without it all targets would carry our own address as their instance.
            labels
                .entry("instance".to_owned())
                .or_insert_with(|| name.clone());
            DiscoveredGroup {
                targets: [host.to_owned()],
                labels,
            }
        })
        .collect();
    Json(groups).into_response()
}

impl Gateway {
    /// A refused login may mean that the credential was changed in a database meanwhile.
    fn after(&self, failure: &Failure) {
        use super::failure::FailureKind;
        if matches!(
            failure.kind,
            FailureKind::AuthFailed | FailureKind::Refused | FailureKind::Unconfigured
        ) {
            self.ask_sources();
        }
    }
}

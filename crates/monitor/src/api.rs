//! The HTTP API v1 of Prometheus over the store of samples, in the shapes that Grafana and promtool
//! expect.

mod answer;
mod federate;
mod parameters;
mod queries;
mod query_log;
mod removal;
mod rules;
mod selecting;
mod series;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::response::IntoResponse;
use base::error::Class;
use base::http::{Policy, Routes};
use base::telemetry::Metrics;
use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use signals::Store;
use tokio::sync::Semaphore;

use crate::config::QueriesConfig;
use crate::remote::Readers;
use crate::samples::Samples;
use answer::{Answered, ApiError};
use parameters::Parameters;
use query_log::QueryLog;

pub use status::About;

/// A parameter list of one request, the body of a form included, in bytes.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// What all paths share.
#[derive(Debug)]
struct Shared {
    samples: Samples,
    /// Other stores that queries read.
    readers: Arc<Readers>,
    config: QueriesConfig,
    /// Queries that may run at the same time.
    running: Arc<Semaphore>,
    log: Option<QueryLog>,
    about: About,
    metrics: ApiMetrics,
}

/// What is counted.
#[derive(Debug, Clone)]
struct ApiMetrics {
    /// By the outcome: `success`, or the kind of the error.
    queries: Family<[(&'static str, &'static str); 1], Counter>,
    seconds: Histogram,
    samples: Counter,
}

impl ApiMetrics {
    fn new(metrics: &Metrics) -> Self {
        let own = Self {
            queries: Family::default(),
            seconds: Histogram::new(exponential_buckets(0.001, 4.0, 9)),
            samples: Counter::default(),
        };
        metrics.register(|registry| {
            registry.register(
                "landline_queries",
                "Queries that ended, by outcome",
                own.queries.clone(),
            );
            registry.register(
                "landline_query_seconds",
                "How long queries took",
                own.seconds.clone(),
            );
            registry.register(
                "landline_query_samples",
                "Samples that queries loaded and made",
                own.samples.clone(),
            );
        });
        own
    }
}

/// The API; cloning shares it.
#[derive(Debug, Clone)]
pub struct Api {
    shared: Arc<Shared>,
}

impl Api {
    /// Builds it over an open store.
    ///
    /// # Errors
    /// The query log cannot be opened.
    pub(crate) fn new(
        (samples, readers): (Samples, Readers),
        config: QueriesConfig,
        about: About,
        metrics: &Metrics,
    ) -> std::io::Result<Self> {
        let log = config.log.as_deref().map(QueryLog::open).transpose()?;
        let shared = Shared {
            samples,
            readers: Arc::new(readers),
            running: Arc::new(Semaphore::new(config.concurrency)),
            log,
            about,
            metrics: ApiMetrics::new(metrics),
            config,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Its paths. The policies give each request a [`crate::viewer::Viewer`].
    pub fn routes(&self, read: impl Fn() -> Policy, delete: impl Fn() -> Policy) -> Routes {
        let shared = Arc::clone(&self.shared);
        let routes = queries::routes(&self.shared, &read)
            .merge(series::routes(&self.shared, &read))
            .merge(status::routes(&self.shared, &read))
            .merge(rules::routes(&read))
            .merge(removal::routes(&self.shared, &delete));
        routes
            .merge(federate::routes(&self.shared, &read))
            .get("/-/healthy", Policy::Public, || async {
                "Landline is Healthy.\n"
            })
            .get("/-/ready", Policy::Public, move || {
                let is_open = shared.samples.is_open();
                async move { is_ready(is_open) }
            })
    }
}

impl Shared {
    /// Does work on the store that reads much: so much of it at a time that those who write always find
    /// a place. The work keeps its own when the client leaves.
    async fn read<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce(&Store, i64) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let place = tokio::time::timeout(timeout, Arc::clone(&self.running).acquire_owned());
        let place = place.await.map_err(|_| ApiError {
            kind: "timeout",
            message: format!(
                "query timed out while waiting for a place: {} queries run already",
                self.config.concurrency
            ),
        })?;
        let work = move |store: &Store, now: i64| {
            let _place = place;
            work(store, now)
        };
        Ok(self.samples.run(work).await?)
    }
}

/// A handler that is given what all paths share.
fn with<F, A>(
    shared: &Arc<Shared>,
    handle: F,
) -> impl Fn(Parameters) -> A + Clone + Send + Sync + 'static
where
    F: Fn(Arc<Shared>, Parameters) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answered> + Send,
{
    let shared = Arc::clone(shared);
    move |parameters| handle(Arc::clone(&shared), parameters)
}

/// For those who wait for a Prometheus: the store is open.
fn is_ready(is_open: bool) -> (StatusCode, &'static str) {
    if is_open {
        (StatusCode::OK, "Landline is Ready.\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable\n")
    }
}

/// What is asked of a request that is too large to be read.
fn too_large() -> axum::response::Response {
    base::http::error_response(
        Class::TooLarge,
        format!("the parameters of a request may have at most {REQUEST_BYTES_MAX} bytes"),
    )
    .into_response()
}

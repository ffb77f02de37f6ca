//! The program's own paths: health, readiness, its metrics, and the reload. Paths of the roles are
//! theirs.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::health::Health;
use base::http::{Access, Policy, Routes, error_response};
use base::supervise::Supervisor;
use base::telemetry::Metrics;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use wire::exposition::{Format, Limits, Page, negotiate};

use crate::boot::Reload;

/// Paths of every listener. Health and readiness say nothing that needs protection: probes of an
/// orchestrator have no token.
pub(crate) fn routes(health: &Health, metrics: &Metrics, access: Arc<Access>) -> Routes {
    let (health, metrics) = (health.clone(), metrics.clone());
    Routes::default()
        .get("/healthz", Policy::Public, || async {
            axum::Json(json!({"status": "ok"}))
        })
        .get(
            "/readyz",
            Policy::Public,
            move || async move { ready(&health) },
        )
        .get(
            "/metrics",
            Policy::Granted(access),
            move |headers: HeaderMap| async move { own_metrics(&metrics, &headers) },
        )
}

/// Paths of the main listener only.
pub(crate) fn local_routes(reload: Arc<Reload>) -> Routes {
    Routes::default().post("/-/reload", Policy::Local, move || async move {
        match reload.run() {
            Ok(message) => message.into_response(),
            Err((class, message)) => (class.status(), message).into_response(),
        }
    })
}

fn ready(health: &Health) -> Response {
    let snapshot = health.snapshot();
    let status = StatusCode::from_u16(snapshot.status.http_status());
    let mut body = serde_json::to_value(&snapshot).unwrap_or_default();
    if let Some(body) = body.as_object_mut() {
        body.insert("pid".to_owned(), std::process::id().into());
    }
    (
        status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        axum::Json(body),
    )
        .into_response()
}

/// The registry writes OpenMetrics; who wants the older text gets it converted.
fn own_metrics(metrics: &Metrics, headers: &HeaderMap) -> Response {
    let wanted = negotiate(headers.get(ACCEPT).and_then(|value| value.to_str().ok()));
    let page = metrics
        .encode()
        .map_err(|error| error.to_string())
        .and_then(|text| {
            Page::parse(Bytes::from(text), Format::OpenMetrics, Limits::default())
                .map_err(|error| error.to_string())
        });
    match page {
        Ok(page) => {
            let mut response = Response::new(Body::from(page.render_whole(wanted)));
            let content_type = HeaderValue::from_static(wanted.content_type());
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response
        }
        Err(error) => {
            tracing::error!(error, "own metrics can't be shown");
            error_response(
                Class::Internal,
                "own metrics can't be shown; the log says why",
            )
        }
    }
}

/// What the process measures of itself.
pub(crate) mod process_metrics {
    use std::time::UNIX_EPOCH;

    use base::clock;
    use base::files;
    use base::health::Health;
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
    use prometheus_client::metrics::gauge::ConstGauge;

    use super::{Metrics, Supervisor};

    /// Registers the gauges of the process.
    pub(crate) fn register(metrics: &Metrics, supervisor: &Supervisor, health: &Health) {
        let started = clock::wall()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |t| t.as_secs_f64());
        let gauges = ProcessGauges {
            supervisor: supervisor.clone(),
            health: health.clone(),
            started,
        };
        metrics.register(|all| all.register_collector(Box::new(gauges)));
    }

    #[derive(Debug)]
    struct ProcessGauges {
        supervisor: Supervisor,
        health: Health,
        started: f64,
    }

    impl Collector for ProcessGauges {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
            let totals = self.supervisor.totals();
            let count = |count: u64| count as f64;
            let gauges = [
                (
                    "landline_process_state",
                    "0 ok, 1 recovering, 2 degraded, 3 starting",
                    self.health.status().gauge() as f64,
                ),
                (
                    "landline_services",
                    "Services that run",
                    self.supervisor.count() as f64,
                ),
                (
                    "landline_service_failures",
                    "Services that ended with an error",
                    count(totals.failures),
                ),
                (
                    "landline_tasks",
                    "Tasks that run: connections, lanes and streams of lines, background work",
                    self.supervisor
                        .running()
                        .tasks
                        .iter()
                        .map(|(_, count)| *count as f64)
                        .sum(),
                ),
                (
                    "landline_task_panics",
                    "Tasks that panicked",
                    count(totals.task_panics),
                ),
                (
                    "process_start_time_seconds",
                    "Start of the process, Unix seconds",
                    self.started,
                ),
                (
                    "process_resident_memory_bytes",
                    "Resident memory",
                    resident_bytes(),
                ),
            ];
            for (name, help, value) in gauges {
                let gauge = ConstGauge::new(value);
                let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
                gauge.encode(metric)?;
            }
            Ok(())
        }
    }

    /// `VmRSS` of proc(5); 0 where there is no such file.
    fn resident_bytes() -> f64 {
        let status = files::read_text_limited("/proc/self/status".as_ref(), 64 << 10);
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        kib.unwrap_or(0.0) * 1024.0
    }
}

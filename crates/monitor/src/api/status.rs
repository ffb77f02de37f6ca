//! What the server says about itself: version, configuration, flags, the store.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use base::http::{Policy, Routes};
use serde_json::json;
use signals::{Statistics, Store};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::answer::{Answer, Answered};
use super::parameters::Parameters;
use super::{Shared, with};

/// Clients choose what they ask by the version of Prometheus whose API this is.
const API_VERSION: &str = "3.5.0";

/// What is told of the program.
#[derive(Debug, Clone)]
pub struct About {
    /// Its version.
    pub version: &'static str,
    /// When it began.
    pub started: SystemTime,
    /// How long samples are kept, for people.
    pub retention: String,
}

pub(super) fn routes(shared: &Arc<Shared>, read: impl Fn() -> Policy) -> Routes {
    Routes::default()
        .get("/api/v1/status/buildinfo", read(), with(shared, build))
        .get("/api/v1/status/runtimeinfo", read(), with(shared, runtime))
        .get("/api/v1/status/flags", read(), with(shared, flags))
        .get("/api/v1/status/tsdb", read(), with(shared, store))
        .get("/api/v1/status/walreplay", read(), with(shared, replay))
}

fn told(data: &serde_json::Value) -> Answer {
    Answer::new(&data.to_string())
}

async fn build(shared: Arc<Shared>, _: Parameters) -> Answered {
    Ok(told(&json!({
        "version": API_VERSION,
        "revision": shared.about.version,
        "branch": "",
        "buildUser": "landline",
        "buildDate": "",
        "goVersion": "",
    })))
}

async fn runtime(shared: Arc<Shared>, parameters: Parameters) -> Answered {
    let now = SystemTime::from(OffsetDateTime::UNIX_EPOCH)
        + std::time::Duration::from_millis(u64::try_from(crate::samples::now_ms()).unwrap_or(0));
    let iso = |time: SystemTime| OffsetDateTime::from(time).format(&Rfc3339).ok();
    let series = shared.samples.run(|store, _| store.sizes().series);
    let series = series.await?;
    let series = parameters.viewer.sees_everything().then_some(series);
    Ok(told(&json!({
        "startTime": iso(shared.about.started),
        "serverTime": iso(now),
        "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
        "storageRetention": shared.about.retention,
        "timeSeriesCount": series,
    })))
}

async fn flags(shared: Arc<Shared>, _: Parameters) -> Answered {
    let config = &shared.config;
    Ok(told(&json!({
        "query.lookback-delta": base::config::format_duration(config.lookback),
        "query.max-concurrency": config.concurrency.to_string(),
        "query.max-samples": config.samples_max.to_string(),
        "query.timeout": base::config::format_duration(config.timeout),
        "storage.tsdb.retention.time": shared.about.retention,
        "web.enable-lifecycle": "true",
        "web.enable-admin-api": "true",
        "web.enable-remote-write-receiver": "true",
    })))
}

async fn replay(_: Arc<Shared>, _: Parameters) -> Answered {
    // The paths are open when the log has been read.
    Ok(told(
        &json!({"min": 0, "max": 0, "current": 0, "state": "done"}),
    ))
}

async fn store(shared: Arc<Shared>, parameters: Parameters) -> Answered {
    let limit = parameters.limit("limit")?.min(10_000);
    if !parameters.viewer.sees_everything() {
        return Err(super::answer::ApiError::bad(
            "only who may see all series sees how many there are",
        ));
    }
    let read = |store: &Store, _| store.statistics();
    let statistics = shared.samples.run(read).await?;
    Ok(Answer::new(&counted(&statistics, limit)))
}

fn counted(statistics: &Statistics, limit: usize) -> String {
    let listed = |counts: &[(String, usize)]| -> Vec<serde_json::Value> {
        let some = counts.iter().take(limit);
        some.map(|(name, count)| json!({"name": name, "value": count}))
            .collect()
    };
    let mut data = String::new();
    let told = json!({
        "headStats": {
            "numSeries": statistics.series,
            "numLabelPairs": statistics.label_pairs,
            "maxTime": statistics.newest,
        },
        "seriesCountByMetricName": listed(&statistics.metrics),
        "labelValueCountByLabelName": listed(&statistics.names),
        "seriesCountByLabelValuePair": listed(&statistics.pairs),
        "landline": {
            "headBytes": statistics.head_bytes,
            "logBytes": statistics.log_bytes,
            "segments": statistics.segments,
            "segmentBytes": statistics.segment_bytes,
            "segmentSamples": statistics.segment_samples,
        },
    });
    write!(data, "{told}").unwrap_or_default();
    data
}

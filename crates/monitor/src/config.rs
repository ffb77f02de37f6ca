//! The section `monitor` of the configuration: its defaults and the validated values. The page for
//! operators is `docs/operate/monitor.md`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::config::{Field, Severity, as_duration, as_keep, as_optional_bytes};
use query::promql::engine::Options;
use serde::Serialize;

use crate::objects::ObjectsConfig;
use crate::scrape;
use crate::scrape::config::PrometheusConfig;

/// How often machines may be scraped.
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);
/// The longest time that a query may be given.
const TIMEOUT_MAX: Duration = Duration::from_hours(1);

/// The section `monitor`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonitorConfig {
    /// A listener of its own beside the main one.
    pub listen: Option<SocketAddr>,
    /// A configuration of Prometheus that says what to scrape.
    pub prometheus: Option<PathBuf>,
    /// What it says.
    #[serde(skip)]
    pub scrape: PrometheusConfig,
    /// Whether this machine's own metrics, and those of nodes, are scraped.
    pub hosts: bool,
    /// Whether the targets of the gateway in the same process are scraped.
    pub gateway: bool,
    /// How often what no file names is scraped: machines and the gateway's targets.
    #[serde(serialize_with = "as_duration")]
    pub interval: Duration,
    /// How long samples are kept.
    #[serde(serialize_with = "as_keep")]
    pub retention: Option<Duration>,
    /// How many bytes segments may take; the oldest go first.
    #[serde(serialize_with = "as_optional_bytes")]
    pub retention_size: Option<u64>,
    /// How much older than the newest sample another may be.
    #[serde(serialize_with = "as_duration")]
    pub out_of_order: Duration,
    /// The bucket that old segments go into, if they don't stay here.
    pub objects: Option<ObjectsConfig>,
    /// Limits of queries.
    pub queries: QueriesConfig,
}

/// The section `monitor.queries`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueriesConfig {
    /// How long one may take.
    #[serde(serialize_with = "as_duration")]
    pub timeout: Duration,
    /// How many may run at the same time; others wait.
    pub concurrency: usize,
    /// Samples that one may load and make.
    pub samples_max: usize,
    /// Series that one selector may select, and a list show.
    pub series_max: usize,
    /// How far back a selector looks for a sample.
    #[serde(serialize_with = "as_duration")]
    pub lookback: Duration,
    /// A file that gets a line for each query.
    pub log: Option<PathBuf>,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self {
            listen: None,
            prometheus: None,
            scrape: PrometheusConfig::default(),
            hosts: true,
            gateway: true,
            interval: Duration::from_secs(15),
            retention: Some(Duration::from_hours(15 * 24)),
            retention_size: None,
            out_of_order: Duration::from_hours(1),
            objects: None,
            queries: QueriesConfig::default(),
        }
    }
}

impl Default for QueriesConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(2),
            concurrency: 20,
            samples_max: 50_000_000,
            series_max: 1_000_000,
            lookback: Duration::from_mins(5),
            log: None,
        }
    }
}

impl QueriesConfig {
    /// As the engine of queries wants them.
    pub(crate) fn options(&self) -> Options {
        let lookback = i64::try_from(self.lookback.as_millis());
        Options {
            lookback_ms: lookback.unwrap_or(i64::MAX),
            samples_max: self.samples_max,
            series_max: self.series_max,
            ..Options::default()
        }
    }

    fn read(field: &Field<'_>) -> Option<Self> {
        let default = Self::default();
        let mut section = field.section()?;
        let timeout = section.optional("timeout").and_then(|field| {
            let timeout = field.duration()?;
            if timeout.is_zero() || timeout > TIMEOUT_MAX {
                field.error("a query may take 1ms to 1h", None);
            }
            Some(timeout)
        });
        let mut number = |key, most| {
            let number = section.optional(key)?.integer(1..=most)?;
            usize::try_from(number).ok()
        };
        let concurrency = number("concurrency", 48);
        let samples_max = number("samples_max", 10_000_000_000);
        let series_max = number("series_max", 100_000_000);
        let lookback = section.optional("lookback").and_then(|field| {
            let lookback = field.duration()?;
            if lookback.is_zero() {
                field.error(
                    "a selector has to look back for some time",
                    Some("5m is usual"),
                );
            }
            Some(lookback)
        });
        let log = section.optional("log").and_then(|field| field.path());
        section.finish();
        Some(Self {
            timeout: timeout.unwrap_or(default.timeout),
            concurrency: concurrency.unwrap_or(default.concurrency),
            samples_max: samples_max.unwrap_or(default.samples_max),
            series_max: series_max.unwrap_or(default.series_max),
            lookback: lookback.unwrap_or(default.lookback),
            log,
        })
    }
}

impl MonitorConfig {
    /// Reads the section; reports what is wrong in it.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        let default = Self::default();
        let mut section = field.section()?;
        let listen = section.optional("listen").and_then(|field| field.address());
        let prometheus = section.optional("prometheus");
        let (prometheus, scrape) = prometheus.map_or((None, None), |field| read_file(&field));
        let hosts = section.optional("hosts").and_then(|field| field.boolean());
        let gateway = section
            .optional("gateway")
            .and_then(|field| field.boolean());
        let interval = section.optional("interval").and_then(|field| {
            let interval = field.duration()?;
            if !INTERVALS.contains(&interval) {
                field.error("machines are scraped every 1s to 1h", None);
            }
            Some(interval)
        });
        let retention = match section.optional("retention") {
            Some(field) => read_retention(&field)?,
            None => default.retention,
        };
        let retention_size = section
            .optional("retention_size")
            .and_then(|field| field.bytes());
        let out_of_order = section
            .optional("out_of_order")
            .and_then(|field| field.duration());
        let objects = section.optional("objects").and_then(|field| {
            let objects = ObjectsConfig::read(&field)?;
            if retention.is_some_and(|retention| retention <= objects.after) {
                let help = "keep samples for longer than `after`";
                field.error("samples are gone before they could go there", Some(help));
            }
            Some(objects)
        });
        let queries = section
            .optional("queries")
            .and_then(|field| QueriesConfig::read(&field));
        section.finish();
        Some(Self {
            listen,
            prometheus,
            scrape: scrape.unwrap_or_default(),
            hosts: hosts.unwrap_or(default.hosts),
            gateway: gateway.unwrap_or(default.gateway),
            interval: interval.unwrap_or(default.interval),
            retention,
            retention_size,
            out_of_order: out_of_order.unwrap_or(default.out_of_order),
            objects,
            queries: queries.unwrap_or_default(),
        })
    }

    /// As the store of samples wants it; `objects` are those of the configuration.
    pub fn options(&self, objects: Option<Arc<dyn signals::Objects>>) -> signals::Options {
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        signals::Options {
            late_ms: ms(self.out_of_order),
            retention_ms: self.retention.map(ms),
            retention_bytes: self.retention_size,
            objects,
            objects_after_ms: self.objects.as_ref().map(|objects| ms(objects.after)),
            ..signals::Options::default()
        }
    }
}

/// The file of Prometheus, and what it says.
fn read_file(field: &Field<'_>) -> (Option<PathBuf>, Option<PrometheusConfig>) {
    let Some(path) = field.path() else {
        return (None, None);
    };
    let found = scrape::config::load(&path, &field.context().environment);
    let problems = match &found {
        Ok(loaded) => &loaded.warnings,
        Err(error) => &error.problems,
    };
    for found in problems {
        match found.problem.severity {
            Severity::Error => field.error(found.to_string(), None),
            Severity::Warning => field.warning(found.to_string(), None),
        }
    }
    (Some(path), found.ok().map(|loaded| loaded.config))
}

/// A time, or `forever`.
#[expect(clippy::option_option, reason = "an error, for ever, or a time")]
fn read_retention(field: &Field<'_>) -> Option<Option<Duration>> {
    if field.text()? == "forever" {
        return Some(None);
    }
    let retention = field.duration()?;
    if retention < Duration::from_hours(1) {
        let help = "write a time such as 15d, or `forever`";
        field.error("samples are kept for an hour at least", Some(help));
    }
    Some(Some(retention))
}

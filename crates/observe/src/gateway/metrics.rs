//! What the gateway measures of itself. Counters are kept as things happen; gauges are read from
//! the targets when somebody looks, so that a target that is gone leaves nothing behind.

use std::sync::Arc;
use std::time::Instant;

use base::clock;
use base::telemetry::Metrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;

use super::registry::Registry;
use super::target::Target;

/// Bounds of the histogram of upstream durations, in seconds.
const DURATION_BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetLabels {
    target: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    target: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScrapeLabels {
    target: String,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabels {
    target: String,
    part: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartFailureLabels {
    target: String,
    part: String,
    reason: &'static str,
}

type Durations = Family<PartLabels, Histogram, fn() -> Histogram>;

fn durations() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

/// All families of the gateway; cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct GatewayMetrics {
    logins: Family<ResultLabels, Counter>,
    scrapes: Family<ScrapeLabels, Counter>,
    parts_failed: Family<PartFailureLabels, Counter>,
    durations: Durations,
    waiters: Gauge,
    unknown_targets: Counter,
    page_bytes: Family<TargetLabels, Counter>,
}

impl GatewayMetrics {
    /// Registers all families.
    pub(crate) fn new(metrics: &Metrics, registry: &Arc<Registry>) -> Self {
        let new = Self {
            logins: Family::default(),
            scrapes: Family::default(),
            parts_failed: Family::default(),
            durations: Family::new_with_constructor(durations),
            waiters: Gauge::default(),
            unknown_targets: Counter::default(),
            page_bytes: Family::default(),
        };
        metrics.register(|all| {
            let all = all.sub_registry_with_prefix("landline_gateway");
            all.register("logins", "Logins by result", new.logins.clone());
            all.register(
                "scrapes",
                "Answers to scrapers by status",
                new.scrapes.clone(),
            );
            all.register(
                "parts_failed",
                "Parts of pages that failed, by reason",
                new.parts_failed.clone(),
            );
            all.register(
                "upstream_duration_seconds",
                "Time to fetch a part",
                new.durations.clone(),
            );
            all.register(
                "single_flight_waiters",
                "Scrapes that wait for a login",
                new.waiters.clone(),
            );
            all.register(
                "unknown_targets",
                "Scrapes of names that no target has",
                new.unknown_targets.clone(),
            );
            all.register(
                "page_bytes",
                "Bytes of pages fetched",
                new.page_bytes.clone(),
            );
            all.register_collector(Box::new(TargetGauges {
                registry: Arc::clone(registry),
            }));
        });
        new
    }

    /// The counters of one target.
    pub(crate) fn target(&self, name: &str) -> TargetMetrics {
        let target = TargetLabels {
            target: name.to_owned(),
        };
        TargetMetrics {
            name: Arc::from(name),
            all: self.clone(),
            ok: self
                .scrapes
                .get_or_create(&ScrapeLabels {
                    target: name.to_owned(),
                    code: 200,
                })
                .clone(),
            bytes: self.page_bytes.get_or_create(&target).clone(),
            waiters: self.waiters.clone(),
        }
    }

    /// A scrape of a name that no target has.
    pub(crate) fn unknown_target(&self) {
        self.unknown_targets.inc();
    }
}

/// The counters of one target; the ones of the usual case are at hand without a look-up.
#[derive(Debug, Clone)]
pub(crate) struct TargetMetrics {
    name: Arc<str>,
    all: GatewayMetrics,
    ok: Counter,
    bytes: Counter,
    /// Scrapes that wait for a login.
    pub(crate) waiters: Gauge,
}

impl TargetMetrics {
    /// A login ended with `ok` or a word of failure.
    pub(crate) fn logged_in(&self, result: &'static str) {
        self.all
            .logins
            .get_or_create(&ResultLabels {
                target: self.name.to_string(),
                result,
            })
            .inc();
    }

    /// A scrape was answered.
    pub(crate) fn answered(&self, code: u16) {
        if code == 200 {
            self.ok.inc();
        } else {
            self.all
                .scrapes
                .get_or_create(&ScrapeLabels {
                    target: self.name.to_string(),
                    code,
                })
                .inc();
        }
    }

    /// A part failed.
    pub(crate) fn part_failed(&self, part: &str, reason: &'static str) {
        let labels = PartFailureLabels {
            target: self.name.to_string(),
            part: part.to_owned(),
            reason,
        };
        self.all.parts_failed.get_or_create(&labels).inc();
    }

    /// The histogram of one part's durations.
    pub(crate) fn part_durations(&self, part: &str) -> Histogram {
        let labels = PartLabels {
            target: self.name.to_string(),
            part: part.to_owned(),
        };
        self.all.durations.get_or_create(&labels).clone()
    }

    /// A page was read.
    pub(crate) fn read_bytes(&self, bytes: usize) {
        self.bytes.inc_by(bytes as u64);
    }
}

/// Reads one gauge of a target.
type Read = fn(&Target, Instant) -> Option<f64>;

/// Gauges of the targets that exist now.
#[derive(Debug)]
struct TargetGauges {
    registry: Arc<Registry>,
}

impl Collector for TargetGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let now = clock::now();
        let targets = self.registry.targets();
        let gauges: [(&str, &str, Read); 5] = [
            (
                "token_expiry_seconds",
                "Until the held credential expires",
                |target, now| {
                    target
                        .session_view(now)
                        .expires_in
                        .map(|value| value.as_secs_f64())
                },
            ),
            (
                "credential_age_seconds",
                "Since the held credential was obtained",
                |target, now| {
                    target
                        .session_view(now)
                        .age
                        .map(|value| value.as_secs_f64())
                },
            ),
            (
                "backoff_seconds",
                "Until the next login may be tried",
                |target, now| {
                    Some(
                        target
                            .session_view(now)
                            .wait
                            .unwrap_or_default()
                            .as_secs_f64(),
                    )
                },
            ),
            (
                "target_insecure",
                "1 when the target's certificate is not verified",
                |target, _| Some(f64::from(u8::from(target.config().is_insecure()))),
            ),
            (
                "session_state",
                "0 well or not asked yet, 1 not",
                |target, _| Some(f64::from(u8::from(!target.is_well()))),
            ),
        ];
        for (name, help, read) in gauges {
            let gauge = ConstGauge::new(0.0);
            let mut family = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            for target in &targets {
                let Some(value) = read(target, now) else {
                    continue;
                };
                let labels = TargetLabels {
                    target: target.config().name.clone(),
                };
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

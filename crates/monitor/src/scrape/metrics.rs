//! What scraping measures of itself.

use base::telemetry::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// What became of a scrape.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabels {
    pub(crate) outcome: &'static str,
}

/// A way to find targets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabels {
    pub(crate) kind: &'static str,
}

/// All families; cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScrapeMetrics {
    pub(crate) scrapes: Family<OutcomeLabels, Counter>,
    pub(crate) samples: Counter,
    pub(crate) refused: Counter,
    pub(crate) ended: Counter,
    pub(crate) bytes: Counter,
    pub(crate) missed: Counter,
    pub(crate) targets: Gauge,
    pub(crate) dropped: Gauge,
    pub(crate) wrong: Gauge,
    pub(crate) refreshes: Family<KindLabels, Counter>,
    pub(crate) failures: Family<KindLabels, Counter>,
    pub(crate) reloads: Counter,
}

impl ScrapeMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let own = Self::default();
        metrics.register(|all| {
            all.register(
                "landline_scrapes",
                "Scrapes by what became of them",
                own.scrapes.clone(),
            );
            let counters = [
                (
                    "samples",
                    "Samples of scrapes that are on disk",
                    &own.samples,
                ),
                (
                    "samples_refused",
                    "Samples of scrapes that the store refused",
                    &own.refused,
                ),
                ("series_ended", "Series whose end was marked", &own.ended),
                ("page_bytes", "Bytes of pages, unpacked", &own.bytes),
                (
                    "missed",
                    "Scrapes that were not begun because the one before took too long",
                    &own.missed,
                ),
                (
                    "reloads",
                    "Configurations of scraping that were put in force",
                    &own.reloads,
                ),
            ];
            for (name, help, counter) in counters {
                all.register(format!("landline_scrape_{name}"), help, counter.clone());
            }
            let gauges = [
                ("targets", "Targets that are scraped", &own.targets),
                (
                    "targets_dropped",
                    "Targets that the rules drop",
                    &own.dropped,
                ),
                (
                    "targets_wrong",
                    "What was found and can't be a target",
                    &own.wrong,
                ),
            ];
            for (name, help, gauge) in gauges {
                all.register(format!("landline_scrape_{name}"), help, gauge.clone());
            }
            all.register(
                "landline_scrape_discovery_refreshes",
                "Times that a source of targets was asked",
                own.refreshes.clone(),
            );
            all.register(
                "landline_scrape_discovery_failures",
                "Times that a source of targets had no answer",
                own.failures.clone(),
            );
        });
        own
    }

    pub(crate) fn count(&self, outcome: &'static str) {
        self.scrapes.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}

//! What the collector measures of itself.

use base::telemetry::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabels {
    pub(crate) project: String,
    pub(crate) outcome: &'static str,
}

/// Why one is no valid record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReasonLabels {
    pub(crate) project: String,
    pub(crate) reason: &'static str,
}

/// All families; cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecordMetrics {
    pub(crate) outcomes: Family<OutcomeLabels, Counter>,
    pub(crate) invalid: Family<ReasonLabels, Counter>,
    pub(crate) refused: Family<Reason, Counter>,
    pub(crate) commits: Counter,
    pub(crate) committed: Counter,
    pub(crate) unfinished_imports: Gauge,
}

/// Why nothing could be made of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    pub(crate) reason: &'static str,
}

impl RecordMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let own = Self::default();
        metrics.register(|all| {
            all.register(
                "landline_records",
                "Submissions by what became of them",
                own.outcomes.clone(),
            );
            all.register(
                "landline_records_invalid",
                "Submissions that are no valid record, by the field that is wrong",
                own.invalid.clone(),
            );
            all.register(
                "landline_records_refused",
                "Requests that no submission could be read from",
                own.refused.clone(),
            );
            all.register(
                "landline_records_commits",
                "Transactions of intake",
                own.commits.clone(),
            );
            all.register(
                "landline_records_committed",
                "Records and quarantined submissions that are on disk",
                own.committed.clone(),
            );
            all.register(
                "landline_records_unfinished_imports",
                "Imports that are neither finished nor given up, and hold the index of words where they are",
                own.unfinished_imports.clone(),
            );
        });
        own
    }

    pub(crate) fn count(&self, project: &str, outcome: &'static str) {
        let project = project.to_owned();
        let labels = OutcomeLabels { project, outcome };
        self.outcomes.get_or_create(&labels).inc();
    }

    pub(crate) fn count_invalid(&self, project: &str, reason: &'static str) {
        let project = project.to_owned();
        let labels = ReasonLabels { project, reason };
        self.invalid.get_or_create(&labels).inc();
    }

    pub(crate) fn count_refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }
}

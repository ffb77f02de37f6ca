//! What the store of artefacts measures of itself.

use base::telemetry::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    pub(crate) reason: &'static str,
}

/// A password or a signature that did not open the door.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Attempt {
    /// What was shown.
    pub(crate) proof: &'static str,
    pub(crate) result: &'static str,
}

/// All families; cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ArtefactMetrics {
    pub(crate) uploads: Counter,
    pub(crate) bytes: Counter,
    pub(crate) links: Counter,
    pub(crate) refused: Family<Reason, Counter>,
    pub(crate) attempts: Family<Attempt, Counter>,
    pub(crate) copies: Counter,
    pub(crate) expired_runs: Counter,
    pub(crate) expired_files: Counter,
    pub(crate) retrying: Gauge,
}

impl ArtefactMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let own = Self::default();
        metrics.register(|all| {
            all.register(
                "landline_artefacts_uploads",
                "Bodies that were taken whole and are on disk",
                own.uploads.clone(),
            );
            all.register(
                "landline_artefacts_uploaded_bytes",
                "Bytes of these",
                own.bytes.clone(),
            );
            all.register(
                "landline_artefacts_links",
                "Links that were signed",
                own.links.clone(),
            );
            all.register(
                "landline_artefacts_copies",
                "Files that were copied within the store",
                own.copies.clone(),
            );
            all.register(
                "landline_artefacts_refused",
                "Requests that were refused, by S3's word for the reason",
                own.refused.clone(),
            );
            all.register(
                "landline_artefacts_attempts",
                "Passwords and signatures that were wrong, or not looked at after too many of these",
                own.attempts.clone(),
            );
            all.register(
                "landline_artefacts_expired_runs",
                "Runs that were removed because their time had passed",
                own.expired_runs.clone(),
            );
            all.register(
                "landline_artefacts_expired_files",
                "Files that were removed because the time of their run had passed",
                own.expired_files.clone(),
            );
            all.register(
                "landline_artefacts_retrying_clients",
                "Clients whose uploads are refused and that try them again",
                own.retrying.clone(),
            );
        });
        own
    }

    pub(crate) fn count_attempt(&self, proof: &'static str, result: &'static str) {
        self.attempts
            .get_or_create(&Attempt { proof, result })
            .inc();
    }

    pub(crate) fn count_refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }
}

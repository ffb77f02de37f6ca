//! What sending and reading measure of themselves.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use base::telemetry::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::batch::Counts;

/// Which remote, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Remote {
    remote: Arc<str>,
}

/// Which remote, and what.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    remote: Arc<str>,
    kind: &'static str,
}

/// Which remote, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    remote: Arc<str>,
    reason: &'static str,
}

/// Which remote, and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    remote: Arc<str>,
    outcome: &'static str,
}

/// All families; cloning shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct Families {
    queued: Family<Remote, Gauge<u64, AtomicU64>>,
    lag: Family<Remote, Gauge<f64, AtomicU64>>,
    sent: Family<Kind, Counter>,
    dropped: Family<Reason, Counter>,
    damaged: Family<Remote, Counter>,
    failed: Family<Remote, Counter>,
    reads: Family<Outcome, Counter>,
}

impl Families {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let own = Self::default();
        metrics.register(|all| {
            all.register(
                "landline_remote_queued_bytes",
                "Bytes of the log that wait for a remote",
                own.queued.clone(),
            );
            all.register(
                "landline_remote_lag_seconds",
                "How old the oldest sample is that a remote has not got; 0 when it has all",
                own.lag.clone(),
            );
            all.register(
                "landline_remote_sent",
                "Samples, histograms and exemplars that a remote has taken",
                own.sent.clone(),
            );
            all.register(
                "landline_remote_dropped",
                "Samples that a remote will not get, by reason",
                own.dropped.clone(),
            );
            all.register(
                "landline_remote_damaged",
                "Stretches of the log that could not be read for a remote",
                own.damaged.clone(),
            );
            all.register(
                "landline_remote_requests_failed",
                "Requests to a remote that are sent again",
                own.failed.clone(),
            );
            all.register(
                "landline_remote_reads",
                "Selections that were read from a remote, by outcome",
                own.reads.clone(),
            );
        });
        own
    }

    /// What is measured of one remote.
    pub(super) fn of(&self, name: &str) -> RemoteMetrics {
        let own = RemoteMetrics {
            families: self.clone(),
            remote: name.into(),
        };
        own.queued(0);
        own.lag(0.0);
        own
    }
}

/// What is measured of one remote.
#[derive(Debug, Clone)]
pub(super) struct RemoteMetrics {
    families: Families,
    remote: Arc<str>,
}

impl RemoteMetrics {
    fn own(&self) -> Remote {
        Remote {
            remote: Arc::clone(&self.remote),
        }
    }

    pub(super) fn queued(&self, bytes: u64) {
        self.families.queued.get_or_create(&self.own()).set(bytes);
    }

    pub(super) fn lag(&self, seconds: f64) {
        self.families.lag.get_or_create(&self.own()).set(seconds);
    }

    pub(super) fn sent(&self, counts: Counts) {
        let kinds = [
            ("sample", counts.samples),
            ("histogram", counts.histograms),
            ("exemplar", counts.exemplars),
        ];
        for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
            let remote = Arc::clone(&self.remote);
            let labels = Kind { remote, kind };
            self.families.sent.get_or_create(&labels).inc_by(count);
        }
    }

    /// Counts what was taken of a request of which some was refused.
    pub(super) fn written(&self, samples: u64) {
        self.sent(Counts {
            samples,
            ..Counts::default()
        });
    }

    pub(super) fn dropped(&self, reason: &'static str, samples: u64) {
        if samples > 0 {
            let remote = Arc::clone(&self.remote);
            let labels = Reason { remote, reason };
            self.families.dropped.get_or_create(&labels).inc_by(samples);
        }
    }

    pub(super) fn damaged(&self) {
        self.families.damaged.get_or_create(&self.own()).inc();
    }

    pub(super) fn failed(&self) {
        self.families.failed.get_or_create(&self.own()).inc();
    }

    pub(super) fn read(&self, is_good: bool) {
        let labels = Outcome {
            remote: Arc::clone(&self.remote),
            outcome: if is_good { "success" } else { "failure" },
        };
        self.families.reads.get_or_create(&labels).inc();
    }
}

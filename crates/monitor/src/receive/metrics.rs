//! What receiving measures of itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::client::chain;
use base::clock;
use base::telemetry::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::answer::Refused;
use super::batch::Stored;

/// A fault of ours is written to the log once in that time: senders come again and again.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// By which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    RemoteWrite,
    Otlp,
    Push,
}

impl Protocol {
    const fn word(self) -> &'static str {
        match self {
            Self::RemoteWrite => "remote_write",
            Self::Otlp => "otlp",
            Self::Push => "push",
        }
    }
}

/// Labels of what was taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Taken {
    protocol: &'static str,
    kind: &'static str,
}

/// Labels of what was not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    protocol: &'static str,
    reason: &'static str,
}

/// All families; cloning shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct ReceiveMetrics {
    taken: Family<Taken, Counter>,
    refused: Family<Reason, Counter>,
    requests_refused: Family<Reason, Counter>,
    damaged: Counter,
    told: Arc<Mutex<Option<Instant>>>,
}

impl ReceiveMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let own = Self::default();
        metrics.register(|all| {
            all.register(
                "landline_received",
                "Samples, histograms and exemplars that were received and are on disk",
                own.taken.clone(),
            );
            all.register(
                "landline_received_refused",
                "Samples that were received and not taken, by reason",
                own.refused.clone(),
            );
            all.register(
                "landline_received_requests_refused",
                "Requests of which nothing was acknowledged, by reason",
                own.requests_refused.clone(),
            );
            all.register(
                "landline_pushed_files_damaged",
                "Files of pushed metrics that were damaged and moved aside",
                own.damaged.clone(),
            );
        });
        own
    }

    /// Files of pushed metrics that were damaged.
    pub(super) fn damaged(&self) -> Counter {
        self.damaged.clone()
    }

    /// Counts what became of a batch.
    pub(super) fn count(&self, protocol: Protocol, stored: &Stored) {
        let protocol = protocol.word();
        let kinds = [
            ("sample", stored.samples),
            ("histogram", stored.histograms),
            ("exemplar", stored.exemplars),
        ];
        for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
            let labels = Taken { protocol, kind };
            self.taken.get_or_create(&labels).inc_by(count as u64);
        }
        for (reason, count) in stored.problems.counts() {
            let labels = Reason { protocol, reason };
            self.refused.get_or_create(&labels).inc_by(count);
        }
    }

    fn is_time_to_tell(&self) -> bool {
        let now = clock::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = told.is_none_or(|told| now.saturating_duration_since(told) >= TOLD_EVERY);
        if is_time {
            *told = Some(now);
        }
        is_time
    }

    /// Counts a request that was refused as a whole.
    pub(super) fn count_refused(&self, protocol: Protocol, refused: &Refused) {
        if !refused.status().is_client_error() && self.is_time_to_tell() {
            let error = chain(refused);
            tracing::warn!(error, "samples that were sent are not taken");
        }
        let labels = Reason {
            protocol: protocol.word(),
            reason: refused.reason(),
        };
        self.requests_refused.get_or_create(&labels).inc();
    }
}

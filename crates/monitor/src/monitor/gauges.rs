//! What the store says about itself, as metrics.

use std::sync::atomic::AtomicU64;

use base::telemetry::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use signals::{ObjectFacts, Statistics};

/// Set after each upkeep.
#[derive(Debug, Clone, Default)]
pub(super) struct StoreGauges {
    series: Gauge<u64, AtomicU64>,
    head_bytes: Gauge<u64, AtomicU64>,
    log_bytes: Gauge<u64, AtomicU64>,
    segments: Gauge<u64, AtomicU64>,
    segment_bytes: Gauge<u64, AtomicU64>,
    segment_samples: Gauge<u64, AtomicU64>,
}

impl StoreGauges {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let own = Self::default();
        let rows = [
            ("landline_samples_series", "Series in memory", &own.series),
            (
                "landline_samples_head_bytes",
                "About how many bytes of memory the newest samples take",
                &own.head_bytes,
            ),
            (
                "landline_samples_log_bytes",
                "Bytes of the log of samples",
                &own.log_bytes,
            ),
            (
                "landline_samples_segments",
                "Segments of samples",
                &own.segments,
            ),
            (
                "landline_samples_segment_bytes",
                "Bytes of all segments",
                &own.segment_bytes,
            ),
            (
                "landline_samples_segment_samples",
                "Samples in segments",
                &own.segment_samples,
            ),
        ];
        metrics.register(|registry| {
            for (name, help, gauge) in rows {
                registry.register(name, help, gauge.clone());
            }
        });
        own
    }

    pub(super) fn set(&self, statistics: &Statistics) {
        let rows = [
            (&self.series, statistics.series as u64),
            (&self.head_bytes, statistics.head_bytes as u64),
            (&self.log_bytes, statistics.log_bytes),
            (&self.segments, statistics.segments as u64),
            (&self.segment_bytes, statistics.segment_bytes),
            (&self.segment_samples, statistics.segment_samples),
        ];
        for (gauge, value) in rows {
            gauge.set(value);
        }
    }
}

/// What is in the bucket, and how it is asked. Set after each upkeep.
#[derive(Debug, Clone, Default)]
pub(super) struct ObjectGauges {
    segments: Gauge<u64, AtomicU64>,
    bytes: Gauge<u64, AtomicU64>,
    reads: Counter<u64, AtomicU64>,
    read_bytes: Counter<u64, AtomicU64>,
    errors: Counter<u64, AtomicU64>,
    hits: Counter<u64, AtomicU64>,
}

impl ObjectGauges {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let own = Self::default();
        let gauges = [
            (
                "landline_samples_object_segments",
                "Segments that lie in the bucket",
                &own.segments,
            ),
            (
                "landline_samples_object_bytes",
                "Bytes of the segments in the bucket",
                &own.bytes,
            ),
        ];
        let counters = [
            (
                "landline_samples_object_reads",
                "Ranges that the bucket was asked for",
                &own.reads,
            ),
            (
                "landline_samples_object_read_bytes",
                "Bytes of these ranges",
                &own.read_bytes,
            ),
            (
                "landline_samples_object_errors",
                "Requests to the bucket that failed",
                &own.errors,
            ),
            (
                "landline_samples_object_cache_hits",
                "Blocks that were in memory when a query wanted them",
                &own.hits,
            ),
        ];
        metrics.register(|registry| {
            for (name, help, gauge) in gauges {
                registry.register(name, help, gauge.clone());
            }
            for (name, help, counter) in counters {
                registry.register(name, help, counter.clone());
            }
        });
        own
    }

    pub(super) fn set(&self, facts: &ObjectFacts) {
        self.segments.set(facts.segments as u64);
        self.bytes.set(facts.bytes);
        let rows = [
            (&self.reads, facts.reads),
            (&self.read_bytes, facts.read_bytes),
            (&self.errors, facts.errors),
            (&self.hits, facts.hits),
        ];
        for (counter, value) in rows {
            counter.inc_by(value.saturating_sub(counter.get()));
        }
    }
}

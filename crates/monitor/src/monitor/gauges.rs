//! What the store says about itself, as metrics.

use std::sync::atomic::AtomicU64;

use base::telemetry::Metrics;
use prometheus_client::metrics::gauge::Gauge;
use signals::Statistics;

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

//! What others send: remote write of both versions, metrics of OpenTelemetry; and what they read
//! back. Whatever is answered with success is on disk.

mod answer;
mod batch;
mod body;
mod cache;
pub(crate) mod convert;
mod metrics;
mod otlp;
mod problem;
mod push;
mod remote_read;
mod remote_write;

use std::sync::Arc;

use base::http::{Policy, Routes};
use base::telemetry::Metrics;

use self::body::Room;
use self::cache::SeriesCache;
use self::metrics::ReceiveMetrics;
pub use self::push::Pushgateway;
use self::remote_read::Turns;
use crate::samples::Samples;

/// Bounds of what is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiveConfig {
    /// Bytes of a body as it is sent.
    pub body_bytes_max: usize,
    /// Bytes of a body without its compression.
    pub unpacked_bytes_max: usize,
}

impl Default for ReceiveConfig {
    /// 32 MiB as it is sent, and unpacked.
    fn default() -> Self {
        Self {
            body_bytes_max: 32 << 20,
            unpacked_bytes_max: 32 << 20,
        }
    }
}

/// What all paths share.
#[derive(Debug)]
struct Shared {
    samples: Samples,
    config: ReceiveConfig,
    metrics: ReceiveMetrics,
    cache: SeriesCache,
    room: Room,
    turns: Turns,
}

/// Takes what others send.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
}

impl Receiver {
    /// A receiver that puts into the store what it takes, and counts it.
    pub fn new(samples: Samples, config: ReceiveConfig, metrics: &Metrics) -> Self {
        let shared = Shared {
            samples,
            config,
            metrics: ReceiveMetrics::new(metrics),
            cache: SeriesCache::default(),
            room: Room::default(),
            turns: Turns::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The paths that samples are sent to; the policy says who may.
    pub fn routes(&self, write: impl Fn() -> Policy) -> Routes {
        let shared = Arc::clone(&self.shared);
        let remote_write = move |request| remote_write::write(Arc::clone(&shared), request);
        let shared = Arc::clone(&self.shared);
        let otlp = move |request| otlp::write(Arc::clone(&shared), request);
        Routes::default()
            .post("/api/v1/write", write(), remote_write)
            .post("/api/v1/otlp/v1/metrics", write(), otlp)
    }

    /// The path that another Prometheus reads samples at. The policy gives each request a
    /// [`crate::viewer::Viewer`].
    pub fn read_routes(&self, read: impl Fn() -> Policy) -> Routes {
        let shared = Arc::clone(&self.shared);
        let remote_read = move |request| remote_read::read(Arc::clone(&shared), request);
        Routes::default().post("/api/v1/read", read(), remote_read)
    }
}

#[cfg(test)]
mod tests;

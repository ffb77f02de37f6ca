//! What a hub measures of its lines, and of connections to what nodes offer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base::telemetry::Metrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;

use super::nodes::{Counts, Nodes};

/// Bounds of the times, in seconds: a line in one building up to the deadline of an opening.
const BOUNDS: [f64; 12] = [
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// How a connection came about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    way: &'static str,
}

#[derive(Debug, Clone)]
struct Bounded;

impl MetricConstructor<Histogram> for Bounded {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BOUNDS)
    }
}

/// The times of openings; clones share them.
#[derive(Clone)]
pub(super) struct Openings {
    line: Histogram,
    peer: Histogram,
    failed: Histogram,
    all: Family<Labels, Histogram, Bounded>,
}

impl fmt::Debug for Openings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Openings").finish_non_exhaustive()
    }
}

impl Default for Openings {
    fn default() -> Self {
        let all = Family::new_with_constructor(Bounded);
        let of = |way| all.get_or_create(&Labels { way }).clone();
        Self {
            line: of("line"),
            peer: of("proxy"),
            failed: of("none"),
            all,
        }
    }
}

impl Openings {
    pub(super) fn note(&self, way: Option<Way>, took: Duration) {
        let histogram = match way {
            Some(Way::Line) => &self.line,
            Some(Way::Proxy) => &self.peer,
            None => &self.failed,
        };
        histogram.observe(took.as_secs_f64());
    }
}

/// Over what a connection goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    Line,
    Proxy,
}

/// Registers what is measured of these nodes.
pub(super) fn register(metrics: &Metrics, nodes: &Arc<Nodes>) {
    let openings = nodes.openings().all;
    let gauges = Gauges(Arc::clone(nodes));
    metrics.register(|all| {
        let all = all.sub_registry_with_prefix("landline_nodes");
        all.register(
            "opening_seconds",
            "Times until a connection to what a node offers was there, by the way it took: a line of \
             this proxy, another proxy, or none when there was no connection",
            openings,
        );
        all.register_collector(Box::new(gauges));
    });
}

#[derive(Debug)]
struct Gauges(Arc<Nodes>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Counts {
            lines,
            streams,
            elsewhere,
            offline,
            ..
        } = self.0.counts();
        let gauges = [
            ("lines", "Lines of nodes to this proxy", lines),
            ("streams", "Streams that are open on them", streams),
            (
                "elsewhere",
                "Nodes that have lines to other proxies only",
                elsewhere,
            ),
            (
                "offline",
                "Nodes that are known and have a line to no proxy",
                offline,
            ),
        ];
        for (name, help, count) in gauges {
            #[expect(clippy::cast_precision_loss, reason = "there are fewer")]
            let gauge = ConstGauge::new(count as f64);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}

//! Requests through the router into a store on disk.

mod otlp;
mod peer;
mod push;
mod remote_read;
mod remote_write;

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use base::http::{Peer, Policy, read_body};
use base::telemetry::Metrics;
use http::{HeaderMap, Request, StatusCode};
use signals::{Matcher, Operator, Options, SeriesSamples, Store};
use tempfile::TempDir;
use tower::ServiceExt;

use super::{ReceiveConfig, Receiver};
use crate::samples::{Samples, now_ms};
use crate::viewer::Viewer;

/// A receiver with a store of its own.
struct Bench {
    folder: TempDir,
    samples: Samples,
    receiver: Receiver,
    metrics: Metrics,
    router: Router,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body: read_body(body, 64 << 20).await.unwrap().to_vec(),
        }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(ReceiveConfig::default(), Options::default())
    }

    fn with(config: ReceiveConfig, options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let samples = Samples::default();
        samples
            .open(&folder.path().join("signals"), options)
            .unwrap();
        let metrics = Metrics::default();
        let receiver = Receiver::new(samples.clone(), config, &metrics);
        let routes = receiver.routes(|| Policy::Public);
        let routes = routes.merge(receiver.read_routes(|| Policy::Public));
        let router = routes.into_router();
        Self {
            folder,
            samples,
            receiver,
            metrics,
            router,
        }
    }

    async fn ask(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(Peer {
            address: SocketAddr::from(([127, 0, 0, 1], 9)),
            is_tls: false,
        });
        if request.extensions().get::<Viewer>().is_none() {
            request.extensions_mut().insert(Viewer::of_everything());
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        Answer::of(response).await
    }

    /// What the store says.
    async fn store<T: Send + 'static>(&self, ask: impl FnOnce(&Store) -> T + Send + 'static) -> T {
        self.samples.run(|store, _| ask(store)).await.unwrap()
    }

    /// All samples of the metric, series by series.
    async fn read(&self, metric: &str) -> Vec<(String, SeriesSamples)> {
        let matcher = Matcher::new("__name__", Operator::Equal, metric).unwrap();
        let select = move |store: &Store| store.select(&[matcher], i64::MIN, i64::MAX);
        let mut selection = self.store(select).await.unwrap();
        let labels: Vec<String> = selection.labels().map(ToString::to_string).collect();
        let read = |(at, labels)| {
            let mut samples = SeriesSamples::default();
            selection.read(at, &mut samples).unwrap();
            (labels, samples)
        };
        labels.into_iter().enumerate().map(read).collect()
    }

    /// Times and values of the only series of a metric.
    async fn floats(&self, metric: &str) -> Vec<(i64, f64)> {
        let mut all = self.read(metric).await;
        assert_eq!(all.len(), 1, "one series of {metric}");
        let (_, samples) = all.remove(0);
        samples
            .floats
            .iter()
            .map(|(time, value, _)| (time, value))
            .collect()
    }

    /// The page of the process's own metrics.
    fn own_metrics(&self) -> String {
        self.metrics.encode().unwrap()
    }
}

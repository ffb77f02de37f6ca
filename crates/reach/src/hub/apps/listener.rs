//! Ports of the proxy's machine that an operator has opened for applications of nodes. Who may connect
//! is said by network: such a client has no token to show.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::dial::Fresh;
use base::supervise::{BoxError, Criticality, Scope, Service};
use identity::audit::{Caller, Event, Outcome};
use ipnet::IpNet;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::uses::USED;
use super::{Apps, upstream};
use crate::config::AppListenerConfig;
use crate::hub::ReachError;
use crate::hub::way::Reached;
use crate::line::Early;

/// The pause after a failed accept (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Refusals that are being recorded at once; beyond it they are only counted.
const REFUSALS_AT_ONCE: usize = 8;

/// What listeners count; clones share it.
#[derive(Debug, Clone, Default)]
pub struct ListenerMetrics {
    connections: Family<ConnectionLabels, Counter>,
    open: Family<ListenerLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    listener: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: String,
}

impl ListenerMetrics {
    /// Registers them.
    pub fn new(metrics: &base::telemetry::Metrics) -> Self {
        let new = Self::default();
        metrics.register(|all| {
            let all = all.sub_registry_with_prefix("landline_app_listener");
            let connections = new.connections.clone();
            all.register("connections", "Connections by result", connections);
            all.register("open", "Connections that are open", new.open.clone());
        });
        new
    }

    fn count(&self, listener: &str, result: &'static str) {
        let listener = listener.to_owned();
        let labels = ConnectionLabels { listener, result };
        self.connections.get_or_create(&labels).inc();
    }
}

/// A port that leads to an application.
struct AppListener {
    apps: Arc<Apps>,
    config: AppListenerConfig,
    allow: Vec<IpNet>,
    /// How it is called in counts and in the audit log: its address as configured.
    name: String,
    metrics: ListenerMetrics,
    slots: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

impl Apps {
    /// The service of a listener that is bound already.
    ///
    /// # Errors
    /// One of its networks is none.
    pub fn listener(
        self: &Arc<Self>,
        listener: std::net::TcpListener,
        config: AppListenerConfig,
        metrics: ListenerMetrics,
    ) -> Result<Service, BoxError> {
        let allow = config.allow.iter().map(|network| network.parse());
        let own = Arc::new(AppListener {
            apps: Arc::clone(self),
            allow: allow.collect::<Result<_, _>>()?,
            name: config.listen.to_string(),
            metrics,
            slots: Arc::new(Semaphore::new(usize::try_from(config.connections)?)),
            refusals: Arc::new(Semaphore::new(REFUSALS_AT_ONCE)),
            config,
        });
        let name = format!("app.listener {}", own.name);
        Ok(Service::new(
            name,
            Criticality::Critical,
            move |scope| async move { own.run(listener, scope).await },
        ))
    }
}

impl AppListener {
    async fn run(
        self: Arc<Self>,
        listener: std::net::TcpListener,
        scope: Scope,
    ) -> Result<(), BoxError> {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = scope.stopping() => return Ok(()),
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, listener = self.name, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let ip = address.ip().to_canonical();
            if !self.allow.iter().any(|network| network.contains(&ip)) {
                // Before anything is taken up: who may not come must not keep out who may.
                drop(stream);
                self.refuse(ip, &scope);
                continue;
            }
            // Beyond the bound a client is told at once: it would wait for others to end otherwise.
            let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
                self.metrics.count(&self.name, "too_many");
                continue;
            };
            let (own, closing) = (Arc::clone(&self), scope.closing());
            scope.spawn("connection to an application", async move {
                tokio::select! {
                    () = own.serve(stream, address) => {}
                    () = closing => {}
                }
                drop(slot);
            });
        }
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr) {
        if let Err(error) = base::http::prepare(&stream) {
            tracing::debug!(%error, "socket options");
        }
        let mut stream = Fresh::accepted(stream);
        let opened = self.open(address, &mut Early::new(&mut stream)).await;
        let ip = address.ip().to_canonical();
        self.record(ip, opened.as_ref().err()).await;
        let reached = match opened {
            Ok(reached) => reached,
            Err(error) => {
                self.metrics.count(&self.name, "failed");
                tracing::warn!(
                    listener = self.name,
                    app = self.config.app,
                    error = error.text,
                    "a connection could not be passed on"
                );
                return;
            }
        };
        self.metrics.count(&self.name, "success");
        let labels = ListenerLabels {
            listener: self.name.clone(),
        };
        let open = self.metrics.open.get_or_create(&labels).clone();
        open.inc();
        let _closed = Closed(open);
        if let Err(error) = reached.join(stream).await {
            tracing::debug!(%error, listener = self.name, "a connection to an application broke");
        }
    }

    async fn open(&self, client: SocketAddr, early: &mut Early<'_>) -> Result<Reached, ReachError> {
        let AppListenerConfig { app, node, .. } = &self.config;
        let nodes = &self.apps.nodes;
        let Some(found) = nodes.find_app(app, node.as_deref()) else {
            return Err(ReachError {
                class: base::error::Class::NotFound,
                text: format!("no node offers an application `{app}`: see `landline apps ls`"),
            });
        };
        let mut wanted = upstream::open_request(&found.offered.name);
        wanted.client = Some(client);
        nodes.reach_early(&found.node, &wanted, Some(early)).await
    }

    fn target(&self) -> String {
        match &self.config.node {
            Some(node) => format!("app:{}@{node}", self.config.app),
            None => format!("app:{}", self.config.app),
        }
    }

    async fn record(&self, ip: IpAddr, failure: Option<&ReachError>) {
        let outcome = if failure.is_some() {
            Outcome::Failed
        } else {
            Outcome::Success
        };
        let who = format!("listener {}", self.name);
        let this = (who, self.target(), ip, outcome.as_str());
        let event = || {
            let caller = Caller::anonymous(Some(ip));
            let mut event = Event::success(USED, &caller, self.target())
                .with("listener", &self.name)
                .with("app", &self.config.app);
            event.outcome = outcome;
            match failure {
                Some(failure) => event.with("reason", &failure.text),
                None => event,
            }
        };
        let apps = &self.apps;
        apps.uses.note(&apps.identity, this, event).await;
    }

    fn refuse(self: &Arc<Self>, ip: IpAddr, scope: &Scope) {
        self.metrics.count(&self.name, "refused");
        if let Ok(slot) = Arc::clone(&self.refusals).try_acquire_owned() {
            let own = Arc::clone(self);
            scope.spawn("record of a refusal", async move {
                own.record_refusal(ip).await;
                drop(slot);
            });
        }
    }

    async fn record_refusal(&self, ip: IpAddr) {
        let caller = Caller::anonymous(Some(ip));
        let event = Event::success(USED, &caller, self.target())
            .with("listener", &self.name)
            .with("reason", "the listener does not allow this address");
        if let Err(error) = self.apps.identity.audit().record_refusal(event).await {
            let error = crate::line::chain(&error);
            tracing::error!(error, "a refusal could not be recorded in the audit log");
        }
    }
}

/// Counts a connection down when it ends.
struct Closed(Gauge);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.dec();
    }
}

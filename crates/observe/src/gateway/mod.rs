//! The gateway: metrics behind a login. `docs/operate/gateway.md` is its page for operators.
//!
//! A scrape: `api` finds the target in the `registry`, `scrape` takes a lease of its `session`,
//! fetches the parts, and answers with one page. What a login is, `auth` knows; when to log in,
//! `session` knows; where targets come from, `sources` knows.

mod api;
mod auth;
pub mod config;
mod failure;
mod metrics;
mod pattern;
pub mod pushprox;
mod registry;
mod scrape;
mod session;
mod sources;
mod target;
mod template;
mod whatsapp;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::client::Nodes;
use base::events::Topic;
use base::health::ComponentHandle;
use base::http::{Access, Routes};
use base::supervise::{BoxError, Criticality, Scope, Service, Supervisor};
use base::telemetry::Metrics;
use tokio::sync::Notify;

use config::{GatewayConfig, SourceConfig, TargetConfig};
use metrics::GatewayMetrics;
use pushprox::{Clientele, Clients};
use registry::Registry;
use sources::Source;
use target::TargetParts;

/// The sources were read once and the targets are known; in a replacement: each with success.
pub static TARGETS_READY: Topic<()> = Topic::new("gateway.targets");

/// How often files are looked at.
const FILE_INTERVAL: Duration = Duration::from_secs(1);

/// What the gateway needs of the program.
#[derive(Debug)]
pub struct GatewayParts {
    /// Runs its services, logins and connections.
    pub supervisor: Supervisor,
    /// Where its own metrics go.
    pub metrics: Metrics,
    /// The name of its service.
    pub name: &'static str,
    /// Told when the targets are known.
    pub ready: &'static Topic<()>,
    /// Tells `/readyz`.
    pub component: ComponentHandle,
    /// The environment, for `{env: NAME}`.
    pub environment: BTreeMap<String, String>,
    /// The folder of the configuration file.
    pub folder: PathBuf,
    /// Where it keeps what must last.
    pub data_dir: PathBuf,
    /// The nodes, for targets that are reached `via` one.
    pub nodes: Option<Arc<dyn Nodes>>,
    /// Says which pushprox-clients there may be; without it none are answered.
    pub clientele: Option<Arc<dyn Clientele>>,
    /// Another process waits to be replaced by this one and has targets that it keeps serving, so
    /// this one is not ready before it has them too.
    pub is_replacement: bool,
}

/// The gateway.
#[derive(Debug)]
pub struct Gateway {
    config: Mutex<Arc<GatewayConfig>>,
    access: Arc<Access>,
    registry: Arc<Registry>,
    sources: Mutex<Vec<Arc<Source>>>,
    /// What nodes offer.
    offered: Mutex<Arc<[TargetConfig]>>,
    names_twice: Mutex<Vec<String>>,
    metrics: GatewayMetrics,
    target_parts: TargetParts,
    name: &'static str,
    ready: &'static Topic<()>,
    component: ComponentHandle,
    environment: BTreeMap<String, String>,
    folder: PathBuf,
    is_replacement: bool,
    urgent: Notify,
    rebuilding: Mutex<()>,
    clients: Option<Clients>,
}

/// A target as others need to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTarget {
    /// The word in `/metrics/<name>`.
    pub name: String,
    /// Labels of its series.
    pub labels: BTreeMap<String, String>,
    /// The node through which it is reached.
    pub node: Option<String>,
}

impl Gateway {
    /// Builds the gateway with its inline targets; nothing runs yet.
    ///
    /// # Errors
    /// A token of `access` is not to be had: without it nobody could tell who may scrape.
    pub fn build(config: GatewayConfig, parts: GatewayParts) -> Result<Arc<Self>, BoxError> {
        let registry = Arc::new(Registry::default());
        let metrics = GatewayMetrics::new(&parts.metrics, &registry);
        let clientele = parts.clientele.filter(|_| config.pushprox);
        let gateway = Self {
            access: Arc::new(access(&config, &parts.environment)?),
            target_parts: TargetParts {
                supervisor: parts.supervisor,
                gate: auth::LoginGate::default(),
                refresh_tokens: auth::RefreshTokens::new(&parts.data_dir),
                metrics: metrics.clone(),
                nodes: parts.nodes,
            },
            offered: Mutex::default(),
            sources: Mutex::new(new_sources(&config)),
            config: Mutex::new(Arc::new(config)),
            names_twice: Mutex::default(),
            urgent: Notify::new(),
            rebuilding: Mutex::default(),
            clients: clientele.map(|clientele| Clients::new(clientele, &parts.metrics)),
            registry,
            metrics,
            name: parts.name,
            ready: parts.ready,
            component: parts.component,
            environment: parts.environment,
            folder: parts.folder,
            is_replacement: parts.is_replacement,
        };
        gateway.rebuild();
        Ok(Arc::new(gateway))
    }

    /// The service that keeps the targets up to date.
    pub fn service(self: &Arc<Self>) -> Service {
        let gateway = Arc::clone(self);
        Service::new(self.name, Criticality::Critical, move |scope| async move {
            let was_ready = gateway.keep_up(scope).await;
            if let Some(clients) = &gateway.clients {
                clients.close();
            }
            if !was_ready && gateway.is_replacement {
                gateway.tell_unread();
            }
            Ok(())
        })
    }

    /// The paths it serves.
    pub fn routes(self: &Arc<Self>) -> Routes {
        match &self.clients {
            Some(clients) => api::routes(self).merge(pushprox::routes(self, clients)),
            None => api::routes(self),
        }
    }

    /// Applies another configuration in place. Listener and access need a replacement.
    ///
    /// # Errors
    /// What can't change in place did change.
    pub fn apply(&self, config: GatewayConfig) -> Result<(), &'static str> {
        {
            let mut current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
            let needs_replacement = current.listen != config.listen
                || current.access != config.access
                || current.pushprox != config.pushprox;
            if needs_replacement {
                return Err(
                    "gateway.listen, gateway.access and gateway.pushprox change by a replacement: send HUP",
                );
            }
            if current.sources != config.sources {
                let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
                let old = std::mem::take(&mut *sources);
                let kept = |new: &SourceConfig| old.iter().find(|old| old.config == *new).cloned();
                let following = |new: &SourceConfig| Arc::new(Source::following(new.clone(), &old));
                let new = config.sources.iter();
                *sources = new
                    .map(|new| kept(new).unwrap_or_else(|| following(new)))
                    .collect();
            }
            *current = Arc::new(config);
        }
        self.rebuild();
        self.urgent.notify_one();
        Ok(())
    }

    /// The targets there are now: name, labels, and the node through which each is reached.
    pub fn listed(&self) -> Vec<ListedTarget> {
        let targets = self.registry.targets();
        let listed = targets.iter().map(|target| ListedTarget {
            name: target.config().name.clone(),
            labels: target.labels(),
            node: target.config().via.clone(),
        });
        listed.collect()
    }

    /// Takes the targets that nodes offer now in place of those they offered before. They come behind
    /// all others: a node can't take a name away.
    pub fn offer(&self, targets: Vec<TargetConfig>) {
        let offered = targets.into();
        let mut current = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == offered {
            return;
        }
        *current = offered;
        drop(current);
        self.rebuild();
    }

    /// Runs until it is told to stop; whether it had its targets by then.
    async fn keep_up(&self, scope: Scope) -> bool {
        let mut is_first = true;
        let mut is_ready = false;
        let mut is_urgent = false;
        loop {
            let mut has_changed = self.registry.has_changed_files();
            for source in self.sources() {
                has_changed |= tokio::select! {
                    has_changed = source.refresh(&self.folder, &self.environment, is_urgent) => {
                        has_changed
                    }
                    () = scope.stopping() => return is_ready,
                };
            }
            if has_changed || is_first {
                self.rebuild();
            }
            if !is_ready {
                is_ready = self.has_its_targets();
                if is_ready {
                    self.component.ok();
                    scope.bus().publish(self.ready, ());
                }
            }
            is_first = false;
            is_urgent = tokio::select! {
                () = tokio::time::sleep(FILE_INTERVAL) => !is_ready,
                () = self.urgent.notified() => true,
                () = scope.stopping() => return is_ready,
            };
        }
    }

    /// Whether the targets are as complete as they have to be at the start. A fresh start goes on
    /// without a source that can't be read: nobody else serves its targets.
    fn has_its_targets(&self) -> bool {
        !self.is_replacement || self.unread().is_empty()
    }

    /// The sources that were never read with success, with their errors.
    fn unread(&self) -> Vec<String> {
        let sources = self.sources();
        sources
            .iter()
            .filter_map(|source| source.unread())
            .collect()
    }

    /// Says what this replacement waited for in vain.
    fn tell_unread(&self) {
        let sources = self.unread().join("; ");
        tracing::error!(
            sources,
            "not ready: a replacement needs every source of targets to be read once"
        );
    }

    fn rebuild(&self) {
        // One at a time: an older configuration must not be stored after a newer one.
        let _one = self
            .rebuilding
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let config = Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner));
        let sources = self.sources();
        let from_sources = sources.iter().flat_map(|source| source.targets());
        let offered = Arc::clone(&self.offered.lock().unwrap_or_else(PoisonError::into_inner));
        let offered = offered.iter().cloned();
        let all = config
            .targets
            .iter()
            .cloned()
            .chain(from_sources)
            .chain(offered);
        let twice = self
            .registry
            .replace(all, &self.environment, &self.target_parts);
        if !twice.is_empty() {
            tracing::warn!(
                names = twice.join(", "),
                "targets named twice; the first counts"
            );
        }
        tracing::info!(targets = self.registry.count(), "targets");
        *self
            .names_twice
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = twice;
    }

    fn ask_sources(&self) {
        self.urgent.notify_one();
    }

    fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access)
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn metrics(&self) -> &GatewayMetrics {
        &self.metrics
    }

    fn sources(&self) -> Vec<Arc<Source>> {
        self.sources
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn names_twice(&self) -> Vec<String> {
        self.names_twice
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn new_sources(config: &GatewayConfig) -> Vec<Arc<Source>> {
    config
        .sources
        .iter()
        .map(|source| Arc::new(Source::new(source.clone())))
        .collect()
}

fn access(
    config: &GatewayConfig,
    environment: &BTreeMap<String, String>,
) -> Result<Access, BoxError> {
    let networks = config.access.networks.iter().map(|network| network.parse());
    let networks = networks.collect::<Result<_, _>>()?;
    Ok(Access::new(&config.access.tokens, networks, environment)?)
}

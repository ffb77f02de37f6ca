//! The hub's side of lines: a certificate of its own, the door, and which nodes are there. The role
//! `proxy` is this.

mod apps;
mod certificate;
mod door;
mod fence;
mod listing;
mod locks;
mod members;
mod metrics;
mod nodes;
mod peers;
mod presence;
mod refusals;
mod registry;
#[cfg(test)]
mod tests;
mod upgrade;
mod way;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::http::{Attempts, Routes};
use base::supervise::{BoxError, Criticality, Phase, Restart, Service};
use identity::Identity;
use identity::own_certificate::OwnCertificate;
use identity::trust::ClientCertificates;
use rustls::ServerConfig;
use state::State;

pub use apps::{AppName, Apps, AppsSettings, IsLocalAdmin, ListenerMetrics};
pub use listing::ListedProxy;
pub use nodes::{FoundApp, METRICS_HOST, NodeView, Nodes, ReachError};
pub use registry::ProxyView;
pub use way::Ways;

use peers::Peers;
use presence::Presence;
use registry::Registry;

use crate::line::Acceptor;

/// How long the streams of lines may go on when the hub stops.
const DRAIN_LIMIT: Duration = Duration::from_hours(30);
/// Agents spread their return over this time at least,
const RETURN_SPREAD: Duration = Duration::from_secs(2);
/// and over so much that not more come back in a second: each costs 1.5 ms (docs/scale.md).
const RETURNS_PER_SECOND: u32 = 1_000;
/// but over no longer: the successor waits up to 10 s for nodes that it knows.
const RETURN_SPREAD_MAX: Duration = Duration::from_secs(8);
/// What an agent needs after that for its line: two handshakes on a bad network, tried again.
const RETURN_DIAL: Duration = Duration::from_secs(2);
const RENEW_AGAIN: Restart = Restart::OnFailure {
    first: Duration::from_secs(5),
    ceiling: Duration::from_mins(5),
};

/// What a hub is told.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// The name of this process in the cluster.
    pub name: String,
    /// DNS names and addresses under which browsers reach it.
    pub web_names: Vec<String>,
    /// Where agents can dial this very process, `host:port`.
    pub addresses: Vec<String>,
    /// To how many proxies nodes should keep lines; 0 for all.
    pub connections: u32,
    /// Nodes dial the proxies of the highest generation only.
    pub generation: u64,
    /// The services through whose connections somebody may still ask for nodes while this process
    /// drains.
    pub doors: &'static [&'static str],
}

/// The hub.
pub struct Hub {
    identity: Identity,
    settings: HubSettings,
    own: OwnCertificate,
    /// What the others are told about this process.
    view: ProxyView,
    registry: Registry,
    presence: Presence,
    nodes: Arc<Nodes>,
    attempts: Attempts,
    reports: refusals::Reports,
    known: certificate::Known,
    /// Set while the lines' service runs.
    acceptor: OnceLock<Acceptor>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub with a fresh certificate. It knows the nodes that any proxy had lines to.
    ///
    /// # Errors
    /// The state is out of reach, or another machine has the name.
    pub async fn open(
        identity: Identity,
        state: State,
        settings: HubSettings,
    ) -> Result<Arc<Self>, BoxError> {
        let own = OwnCertificate::new();
        let uuid = certificate::enrol(&identity, &settings, &own).await?;
        let nodes: Arc<Nodes> = Arc::default();
        nodes.set_peers(Peers::new(own.clone(), identity.trust()));
        let hub = Self {
            view: describe(&identity, &settings, uuid),
            identity,
            settings,
            own,
            registry: Registry::new(state),
            presence: Presence::default(),
            nodes,
            attempts: Attempts::default(),
            reports: refusals::Reports::default(),
            known: certificate::Known::default(),
            acceptor: OnceLock::new(),
        };
        hub.registry.forget_old().await?;
        hub.learn_nodes().await?;
        Ok(Arc::new(hub))
    }

    /// Registers what is measured of the lines.
    pub fn register(&self, metrics: &base::telemetry::Metrics) {
        metrics::register(metrics, &self.nodes);
    }

    /// Forgets what a node offered that was removed from the cluster, and where it was.
    ///
    /// # Errors
    /// The state is out of reach.
    pub async fn forget_node(&self, name: &str) -> Result<(), BoxError> {
        self.registry.forget(name).await
    }

    /// The nodes that have a line to us.
    pub fn nodes(&self) -> Arc<Nodes> {
        Arc::clone(&self.nodes)
    }

    /// The identity of the cluster.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The handshake of the door that browsers use, with our own certificate.
    ///
    /// # Errors
    /// The crypto provider refuses its own defaults.
    pub fn web_tls(&self) -> Result<Arc<ServerConfig>, BoxError> {
        let mut tls = self.tls(ClientCertificates::Optional, rustls::ALL_VERSIONS)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(tls))
    }

    /// The services that it consists of.
    pub fn services(self: &Arc<Self>) -> [Service; 4] {
        let (lines, own) = (Arc::clone(self), Arc::clone(self));
        let (present, locks) = (Arc::clone(self), Arc::clone(self));
        [
            Service::restarting(
                "hub.presence",
                Criticality::Plain,
                RENEW_AGAIN,
                move |scope| {
                    let hub = Arc::clone(&present);
                    async move { hub.keep_present(scope).await }
                },
            ),
            Service::new("lines", Criticality::Critical, move |scope| async move {
                lines.hold_lines(scope).await
            }),
            Service::restarting(
                "hub.certificate",
                Criticality::Plain,
                RENEW_AGAIN,
                move |scope| {
                    let hub = Arc::clone(&own);
                    async move { hub.keep_certificate(scope).await }
                },
            ),
            Service::new(
                "hub.locks",
                Criticality::Critical,
                move |scope| async move { locks.keep_locked_out(scope).await },
            )
            // Lines go on while the process drains.
            .stops_at(Phase::Flush),
        ]
    }

    /// The paths with which machines join and renew.
    pub fn routes(self: &Arc<Self>) -> Routes {
        members::routes(self).merge(upgrade::routes(self))
    }

    /// The handshake of lines and of other proxies: both ends are ours, so nothing older than TLS 1.3 has
    /// a reason.
    fn line_tls(&self) -> Result<ServerConfig, BoxError> {
        let certificates = ClientCertificates::RequiredThenExplained;
        self.tls(certificates, &[&rustls::version::TLS13])
    }

    fn tls(
        &self,
        certificates: ClientCertificates,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Result<ServerConfig, BoxError> {
        let verifier = self.identity.trust().client_verifier(certificates);
        let tls = ServerConfig::builder_with_provider(base::tls::provider())
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(self.own.clone()));
        Ok(tls)
    }
}

fn describe(identity: &Identity, settings: &HubSettings, uuid: String) -> ProxyView {
    ProxyView {
        instance: format!("{:032x}", fastrand::u128(..)),
        uuid,
        name: settings.name.clone(),
        addresses: settings.addresses.clone(),
        group: identity.cluster().to_owned(),
        generation: settings.generation,
        connections: settings.connections,
        started_at: unix_milliseconds(),
        beat_at: 0,
    }
}

/// The time as certificates and records have it.
pub(crate) fn unix_milliseconds() -> i64 {
    let since = base::clock::wall().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

//! The hub's side of lines: a certificate of its own, the door, and which nodes are there. The role
//! `proxy` is this.

mod apps;
mod attempts;
mod door;
mod members;
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

use base::http::Routes;
use base::supervise::{BoxError, Criticality, Restart, Scope, Service};
use identity::Identity;
use identity::authority;
use identity::own_certificate::OwnCertificate;
use identity::peer::MachineRole;
use identity::trust::ClientCertificates;
use rustls::ServerConfig;
use state::State;

pub use apps::{AppName, Apps, AppsSettings, IsLocalAdmin, ListenerMetrics};
pub use nodes::{FoundApp, METRICS_HOST, NodeView, Nodes, ReachError};
pub use registry::ProxyView;
pub use way::Ways;

use peers::Peers;
use presence::Presence;
use registry::Registry;

use crate::line::Acceptor;
use attempts::Attempts;

/// How long the streams of lines may go on when the hub stops.
const DRAIN_LIMIT: Duration = Duration::from_hours(30);
/// Agents spread their return over this time.
const RETURN_SPREAD: Duration = Duration::from_secs(2);
/// What an agent needs after that for its line: six handshakes on a bad network.
const RETURN_DIAL: Duration = Duration::from_secs(2);
/// How often it is looked whether our certificate should be renewed.
const RENEW_INTERVAL: Duration = Duration::from_mins(1);
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
    view: OnceLock<ProxyView>,
    registry: Registry,
    presence: Presence,
    nodes: Arc<Nodes>,
    attempts: Attempts,
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
        let hub = Self {
            identity,
            settings,
            own: OwnCertificate::new(),
            view: OnceLock::new(),
            registry: Registry::new(state),
            presence: Presence::default(),
            nodes: Arc::default(),
            attempts: Attempts::default(),
            acceptor: OnceLock::new(),
        };
        let uuid = hub.renew().await?;
        let own = hub.describe(uuid);
        hub.view.get_or_init(|| own);
        hub.nodes
            .set_peers(Peers::new(hub.own.clone(), hub.identity.trust()));
        hub.registry.forget_old().await?;
        hub.learn_nodes().await?;
        Ok(Arc::new(hub))
    }

    /// The proxies of the cluster that run, this one among them.
    pub fn proxies(&self) -> Vec<ProxyView> {
        self.presence.proxies()
    }

    fn describe(&self, uuid: String) -> ProxyView {
        ProxyView {
            instance: format!("{:032x}", fastrand::u128(..)),
            uuid,
            name: self.settings.name.clone(),
            addresses: self.settings.addresses.clone(),
            group: self.identity.cluster().to_owned(),
            generation: 0,
            connections: self.settings.connections,
            started_at: unix_milliseconds(),
            beat_at: 0,
        }
    }

    fn own_view(&self) -> ProxyView {
        let own = self.view.get_or_init(|| self.describe(String::new()));
        own.clone()
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
        let mut tls = self.tls(ClientCertificates::Optional)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(tls))
    }

    /// The services that it consists of.
    pub fn services(self: &Arc<Self>) -> [Service; 3] {
        let (lines, own, present) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
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
                    async move { hub.keep_renewed(scope).await }
                },
            ),
        ]
    }

    /// The paths with which machines join and renew.
    pub fn routes(self: &Arc<Self>) -> Routes {
        members::routes(self).merge(upgrade::routes(self))
    }

    fn tls(&self, certificates: ClientCertificates) -> Result<ServerConfig, BoxError> {
        let verifier = self.identity.trust().client_verifier(certificates);
        let tls = ServerConfig::builder_with_provider(base::tls::provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(self.own.clone()));
        Ok(tls)
    }

    /// Takes a new certificate; says which identifier is in it.
    async fn renew(&self) -> Result<String, BoxError> {
        let name = &self.settings.name;
        let (key, request) = authority::new_key(name)?;
        let members = self.identity.members();
        let answer = members
            .enrol_local(
                MachineRole::Proxy,
                name,
                request.as_bytes(),
                &self.settings.web_names,
            )
            .await?;
        self.own.install(&answer.certificate, &key)?;
        Ok(answer.uuid)
    }

    async fn keep_renewed(&self, scope: Scope) -> Result<(), BoxError> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(RENEW_INTERVAL) => {}
                () = scope.stopping() => return Ok(()),
            }
            let now = unix_milliseconds();
            if self
                .own
                .renew_at(fastrand::f64())
                .is_none_or(|at| at <= now)
            {
                self.renew().await?;
            }
        }
    }
}

/// The time as certificates and records have it.
pub(crate) fn unix_milliseconds() -> i64 {
    let since = base::clock::wall().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

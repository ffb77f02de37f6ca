//! The role `node`: becomes a member of the cluster, keeps lines to its proxies, and serves over them
//! what the configuration offers.

mod credentials;
mod enrol;
mod keep;
mod proxy_header;
mod serve;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use base::health::ComponentHandle;
use base::secret::Secret;
use base::supervise::{BoxError, Criticality, Restart, Scope, Service};
use base::tls::ClientTls;
use identity::Identity;
use identity::own_certificate::OwnCertificate;
use identity::peer::{MachineRole, Peer as CertificatePeer};
use identity::trust::{Trust, pins_of};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;

use crate::agent::{Agent, AgentSettings, DIALS_MAX, Heard, PoolSettings, Strategy};
use crate::config::{AppAddress, AppConfig, JoinConfig, NodeConfig};
use crate::line::{Connector, ConnectorSettings, Egress, Identify, Lane, Peer, Timing};
use crate::offers::{OfferedApp, OfferedMetrics, Offers};
use credentials::Credentials;
use keep::Keeper;

/// Between two reports to a hub of announcements that are not believed.
const REPORT_PAUSE: Duration = Duration::from_mins(1);
/// How long open streams may go on when the node stops.
const DRAIN_LIMIT: Duration = Duration::from_hours(30);
/// Bulk connections that wait for use on each line that has wanted bulk. Who comes at once beyond these
/// takes the interactive lane, and each is a descriptor on the proxy, of which there are few.
const BULK_IDLE: usize = 4;
const TRY_AGAIN: Restart = Restart::OnFailure {
    first: Duration::from_secs(1),
    ceiling: Duration::from_secs(30),
};

/// How the node becomes a member.
#[derive(Debug, Clone)]
pub enum Enrolment {
    /// With a token, at a hub elsewhere.
    Remote {
        /// Where, and how the hub is recognised.
        join: JoinConfig,
        /// The token; none when the node is a member already.
        token: Option<Secret>,
    },
    /// The hub is this very process.
    Local(Identity),
}

/// What a node is made of.
#[derive(Debug)]
pub struct NodeParts {
    /// What it is and offers.
    pub config: NodeConfig,
    /// Its name in the cluster.
    pub name: String,
    /// How it becomes a member.
    pub enrolment: Enrolment,
    /// Where proxies are, `host:port`.
    pub proxies: Vec<String>,
    /// The way out of this network.
    pub egress: Egress,
    /// Where it keeps key and certificate.
    pub data_dir: PathBuf,
    /// Its pages of metrics, and the server of them.
    pub metrics: NodeMetrics,
    /// Tells `/readyz`.
    pub component: ComponentHandle,
}

/// Pages of metrics that a node serves itself.
#[derive(Debug, Clone, Default)]
pub struct NodeMetrics {
    /// The pages.
    pub offered: Vec<OfferedMetrics>,
    /// Serves `/metrics/<name>`.
    pub router: Router,
    /// `host:port` of what they are made of: what the hub may dial to log in there itself.
    pub addresses: Vec<String>,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    parts: NodeParts,
    own: OwnCertificate,
    /// Of the service while it runs: what serves over lines lives in it.
    scope: Mutex<Option<Scope>>,
}

impl Node {
    /// A node that is not running yet.
    pub fn new(parts: NodeParts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            own: OwnCertificate::new(),
            scope: Mutex::default(),
        })
    }

    /// The service that it is. It joins when it has to, again and again while the hub can't be
    /// reached.
    pub fn service(self: &Arc<Self>) -> Service {
        let node = Arc::clone(self);
        Service::restarting("node", Criticality::Plain, TRY_AGAIN, move |scope| {
            let node = Arc::clone(&node);
            async move { node.run(scope).await }
        })
    }

    async fn run(self: Arc<Self>, scope: Scope) -> Result<(), BoxError> {
        *self.scope.lock().unwrap_or_else(PoisonError::into_inner) = Some(scope.clone());
        let credentials = tokio::select! {
            credentials = self.credentials(&scope) => credentials,
            () = scope.stopping() => return Ok(()),
        };
        let credentials = credentials.inspect_err(|error| {
            self.parts.component.degraded(base::client::chain(&**error));
        })?;
        let trust = Trust::new(credentials.member.trust.clone())?;
        self.own
            .install(&credentials.member.certificate, &credentials.key)?;
        tracing::info!(
            node = credentials.member.name,
            uuid = credentials.member.uuid,
            "a member of the cluster"
        );
        self.parts.component.ok();
        let (heard, notes) = keep::notes();
        let agent = self.agent(&trust, &credentials, heard)?;
        let keeper = Keeper::new(
            Arc::clone(&self),
            agent.clone(),
            (credentials, trust),
            notes,
        );
        let keeping = scope.clone();
        scope.spawn("membership of the node", async move {
            keeper.run(keeping).await;
        });
        let (watching, shown) = (Arc::clone(&self), agent.clone());
        let stopping = scope.stopping();
        scope.spawn("health of the node's lines", async move {
            tokio::select! {
                () = watching.tell_health(&shown) => {}
                () = stopping => {}
            }
        });
        agent.run(scope).await
    }

    /// Those that are kept, or new ones.
    async fn credentials(&self, scope: &Scope) -> Result<Credentials, BoxError> {
        let folder = &self.parts.data_dir;
        let kept = credentials::load(folder)?;
        if let Some(kept) = kept.filter(|kept| self.is_of_this_cluster(kept)) {
            if kept.member.name != self.parts.name {
                tracing::warn!(
                    kept = kept.member.name,
                    configured = self.parts.name,
                    "the node keeps the name that it joined with; remove the folder `node` of the data directory to join anew"
                );
            }
            return Ok(kept);
        }
        let fresh = self.enrol(scope).await?;
        credentials::save(folder, &fresh)?;
        Ok(fresh)
    }

    /// Whether the hub that the configuration names has the authority that is trusted here.
    fn is_of_this_cluster(&self, kept: &Credentials) -> bool {
        let trust = &kept.member.trust;
        let is = match &self.parts.enrolment {
            Enrolment::Remote { join, .. } => {
                let pins = pins_of(trust).unwrap_or_default();
                let mut pins = pins.iter().chain(&kept.pins);
                pins.any(|pin| join.ca_pins.contains(pin))
            }
            Enrolment::Local(identity) => {
                identity.cluster() == trust.cluster
                    && identity.trust().pins().is_ok_and(|current| {
                        pins_of(trust)
                            .is_ok_and(|pins| pins.iter().any(|pin| current.contains(pin)))
                    })
            }
        };
        if !is {
            tracing::warn!(
                cluster = trust.cluster,
                "a member of another cluster; joining anew"
            );
        }
        is
    }

    fn agent(
        self: &Arc<Self>,
        trust: &Trust,
        credentials: &Credentials,
        heard: Heard,
    ) -> Result<Agent, BoxError> {
        let tls = ClientConfig::builder_with_provider(base::tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(trust.server_verifier(&[MachineRole::Proxy], None))
            .with_client_cert_resolver(Arc::new(self.own.clone()));
        let connector = Connector::new(ConnectorSettings {
            tls: Arc::new(tls),
            outer_tls: Some(outer_tls()?),
            identify: identify(credentials.member.trust.cluster.clone()),
            egress: self.parts.egress.clone(),
            timing: Timing::default(),
            bulk_idle: BULK_IDLE,
        });
        let settings = AgentSettings {
            pool: PoolSettings {
                agent: credentials.member.uuid.clone(),
                strategy: Strategy::Mesh,
                seeds: self.parts.proxies.clone(),
                dials_max: DIALS_MAX,
                random_seed: fastrand::u64(..),
            },
            cluster: credentials.member.trust.cluster.clone(),
            verify: crate::announcing::verify(trust.clone()),
            heard,
            report_pause: REPORT_PAUSE,
            drain_limit: DRAIN_LIMIT,
        };
        Ok(Agent::new(settings, connector, serve::handler(self)))
    }

    /// What it tells proxies that it offers.
    fn offers(&self) -> Offers {
        let apps = self.parts.config.apps.iter().map(offered);
        Offers {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            apps: apps.collect(),
            metrics: self.parts.metrics.offered.clone(),
        }
    }

    fn scope(&self) -> Option<Scope> {
        self.scope
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn labels(&self) -> BTreeMap<String, String> {
        self.parts.config.labels.clone()
    }
}

/// For a WebSocket through what ends TLS on the way. Any certificate is taken: the line's own TLS,
/// with both certificates checked, goes on inside, so whoever ends the outer one can neither read nor
/// pretend. To insist on a public certificate would only shut out inspecting firewalls.
fn outer_tls() -> Result<Arc<ClientConfig>, BoxError> {
    let any = ClientTls {
        insecure: true,
        ..ClientTls::default()
    };
    Ok(any.build()?)
}

/// An application as proxies hear of it.
fn offered(app: &AppConfig) -> OfferedApp {
    let url = match &app.at {
        AppAddress::Url(url) => Some(url),
        AppAddress::Tcp(_) => None,
    };
    // Without the port that the scheme has anyway, as browsers write it.
    let host = url.map(|url| {
        let host = url.host_str().unwrap_or_default();
        url.port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    });
    OfferedApp {
        name: app.name.clone(),
        is_http: url.is_some(),
        host: host.unwrap_or_default(),
        is_tls: url.is_some_and(|url| url.scheme() == "https"),
        is_bulk: app.lane == Lane::Bulk,
    }
}

/// Which proxy a server certificate names.
fn identify(cluster: String) -> Identify {
    Arc::new(move |certificates: &[CertificateDer<'static>]| {
        let first = certificates.first().ok_or("no certificate was presented")?;
        let peer = CertificatePeer::from_certificate(first, &cluster);
        let machine = peer.and_then(|peer| peer.machine(&[MachineRole::Proxy]));
        let machine = machine.map_err(|error| error.to_string())?;
        Ok(Peer {
            id: machine.uuid,
            name: machine.name,
            role: machine.role.to_string(),
            cluster: machine.cluster,
        })
    })
}

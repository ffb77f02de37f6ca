//! The part of the configuration that says which cluster this process belongs to, and as what.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use base::config::{Field, Section};
use base::secret::SecretSource;
use identity::authority::{MACHINE_LIFE, MACHINE_LIFE_MAX, MACHINE_LIFE_MIN};
use observe::gateway::config::{TargetConfig, read_targets};
use reach::config::{JoinConfig, NodeConfig, ProxyConfig};
use serde::Serialize;

use crate::roles::Role;

/// The main port.
const PORT: u16 = 3080;
/// The name of a cluster that nobody named.
const CLUSTER: &str = "landline";
/// The file of the state, in the data directory.
const STATE_FILE: &str = "state.db";

/// The cluster and this process's place in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ClusterConfig {
    /// The name of the cluster. It can't change later.
    #[serde(rename = "cluster")]
    pub(crate) name: String,
    /// Where others reach this hub, `host:port`.
    pub(crate) public_addr: Option<String>,
    /// The URL of a PostgreSQL database for the state; without one it is a file.
    pub(crate) state: Option<SecretSource>,
    /// Keys and certificates of the cluster.
    pub(crate) identity: IdentityConfig,
    /// The role `proxy`.
    pub(crate) proxy: ProxyConfig,
    /// How this machine becomes a member of a cluster whose hub is elsewhere.
    pub(crate) join: Option<JoinConfig>,
    /// The role `node`.
    pub(crate) node: NodeConfig,
    /// Pages of metrics that the node offers.
    #[serde(rename = "node_metrics", skip_serializing_if = "Vec::is_empty")]
    pub(crate) metrics: Vec<TargetConfig>,
}

/// Keys and certificates of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct IdentityConfig {
    /// The key that seals private keys in the state; without one it is a file in the data directory.
    pub(crate) key: Option<SecretSource>,
    /// How long certificates of machines live. How long a hub may be away, and how long a copied
    /// certificate is of use, only the operator can weigh.
    #[serde(serialize_with = "super::as_duration")]
    pub(crate) certificate_life: Duration,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            key: None,
            certificate_life: MACHINE_LIFE,
        }
    }
}

impl IdentityConfig {
    fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let key = section
            .optional("key")
            .and_then(|field| SecretSource::read_needed(&field));
        let certificate_life = section.optional("certificate_life").and_then(|field| {
            let life = field.duration()?;
            if !(MACHINE_LIFE_MIN..=MACHINE_LIFE_MAX).contains(&life) {
                field.error("certificates live from 2m to 7d", None);
            }
            Some(life)
        });
        section.finish();
        Some(Self {
            key,
            certificate_life: certificate_life.unwrap_or(MACHINE_LIFE),
        })
    }
}

impl ClusterConfig {
    /// Reads the keys `cluster`, `public_addr`, `state`, `identity`, `proxy`, `join` and `node` of the whole.
    pub(crate) fn read(section: &mut Section<'_>, roles: &[Role]) -> Self {
        let name = section.optional("cluster").and_then(|field| {
            let name = field.text()?;
            if let Err(error) = identity::names::check_name("cluster", &name) {
                field.error(error.to_string(), None);
            }
            Some(name)
        });
        let public_addr = section.optional("public_addr").and_then(|field| {
            let text = field.text()?;
            let port = text
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse::<u16>().ok());
            if port.is_none() {
                field.error("`host:port` is expected here", None);
            }
            Some(text)
        });
        let state = section
            .optional("state")
            .and_then(|field| SecretSource::read(&field));
        let identity = section
            .optional("identity")
            .and_then(|field| IdentityConfig::read(&field));
        let proxy = section
            .optional("proxy")
            .and_then(|field| ProxyConfig::read(&field));
        let join = section.optional("join").and_then(|field| {
            if roles.contains(&Role::Auth) || roles.contains(&Role::Proxy) {
                let help = "leave `join` out, or leave the roles `auth` and `proxy` to the hub";
                field.error("a hub does not join another one", Some(help));
            }
            JoinConfig::read(&field)
        });
        let node = section.optional("node");
        let metrics = node.as_ref().and_then(|field| {
            // The keys that are not ours are read, and the unknown ones told, right below.
            let mut section = field.section()?;
            let metrics = section.optional("metrics")?;
            read_targets(&metrics)
        });
        let node = node.and_then(|field| NodeConfig::read(&field, &["metrics"]));
        let is_hub = roles.contains(&Role::Auth) || roles.contains(&Role::Proxy);
        if roles.contains(&Role::Node) && !is_hub && join.is_none() {
            let help = "`landline tokens add --role node` on the hub prints what belongs here";
            section
                .field()
                .error("the role `node` needs `join`", Some(help));
        }
        if roles.contains(&Role::Proxy) != roles.contains(&Role::Auth) && state.is_none() {
            let help = "give them one PostgreSQL by `state`, or run both roles in one process";
            section.field().error(
                "`auth` and `proxy` in separate processes share a state",
                Some(help),
            );
        }
        Self {
            name: name.unwrap_or_else(|| CLUSTER.to_owned()),
            public_addr,
            state,
            identity: identity.unwrap_or_default(),
            proxy: proxy.unwrap_or_default(),
            join,
            node: node.unwrap_or_default(),
            metrics: metrics.unwrap_or_default(),
        }
    }

    /// Where the main listener is when the configuration does not say.
    pub(crate) fn default_listen(&self) -> SocketAddr {
        match self.public_addr {
            Some(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)),
            None => SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
        }
    }

    /// The file of the state.
    pub(crate) fn state_file(data_dir: &Path) -> std::path::PathBuf {
        data_dir.join(STATE_FILE)
    }
}

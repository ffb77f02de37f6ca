//! Builds the roles of the cluster: the hub (`auth` and `proxy`) and the node, and ties the nodes'
//! metrics to the gateway.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use base::health::Health;
use base::http::Access;
use base::supervise::{BoxError, Criticality, Service, Supervisor};
use base::telemetry::Metrics;
use base::tls::ClientTls;
use identity::seal::KeySource;
use identity::{Identity, Settings};
use observe::gateway::config::{
    AuthConfig, GatewayConfig, Limits, PartConfig, SessionRules, TargetConfig,
};
use observe::gateway::{Gateway, GatewayParts};
use reach::OfferedMetrics;
use reach::hub::{Apps, AppsSettings, Hub, HubSettings, METRICS_HOST, Nodes};
use reach::line::Egress;
use reach::node::{Enrolment, Node, NodeMetrics, NodeParts};
use state::{Location, State};

use crate::config::Config;
use crate::config::cluster::ClusterConfig;
use crate::door::{self, OwnDoor};
use crate::environment::Environment;
use crate::monitor;
use crate::roles::Role;

/// The pages of metrics that the node itself offers are known.
static NODE_METRICS_READY: base::events::Topic<()> = base::events::Topic::new("node.metrics");

/// Opens the state and the identity of the cluster in it.
pub(crate) async fn open_identity(
    config: &Config,
    environment: &Environment,
    supervisor: &Supervisor,
) -> Result<(State, Identity), BoxError> {
    let location = match &config.cluster.state {
        Some(url) => Location::Postgres(url.resolve(&environment.variables)?),
        None => Location::Sqlite(ClusterConfig::state_file(&config.data_dir)),
    };
    let migrations = [
        identity::migrations::MIGRATIONS,
        reach::migrations::MIGRATIONS,
        collect::records::migrations::MIGRATIONS,
        collect::artefacts::migrations::MIGRATIONS,
    ];
    let state = State::open(&location, &migrations, supervisor).await?;
    let own = &config.cluster.identity;
    let key = match &own.key {
        Some(key) => KeySource::Given(key.resolve(&environment.variables)?),
        None => KeySource::DataDir(config.data_dir.clone()),
    };
    let settings = Settings {
        machine_life: own.certificate_life,
        ..Settings::new(&config.cluster.name, key)
    };
    let identity = Identity::open(state.clone(), settings).await?;
    supervisor.register(identity.service());
    Ok((state, identity))
}

/// The hub on the main listener at `main`.
pub(crate) async fn open_hub(
    config: &Config,
    (state, identity): (State, Identity),
    main: SocketAddr,
    supervisor: &Supervisor,
) -> Result<Arc<Hub>, BoxError> {
    let public = config.cluster.public_addr.clone();
    let host = public.as_deref().and_then(|public| public.rsplit_once(':'));
    let mut web_names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    web_names.extend(host.map(|(host, _)| host.to_owned()));
    // Applications have hosts of their own below these.
    let below = app_hosts(public.as_deref());
    web_names.extend(below.iter().map(|host| format!("*.{host}")));
    let own = config.cluster.proxy.clone();
    let addresses = if own.addresses.is_empty() {
        vec![public.unwrap_or_else(|| reachable(main).to_string())]
    } else {
        own.addresses
    };
    let settings = HubSettings {
        name: own.name.unwrap_or_else(|| format!("proxy-{}", host_name())),
        web_names,
        doors: &crate::boot::DOORS,
        connections: own.strategy.connections(),
        generation: own.generation,
        addresses,
    };
    let hub = Hub::open(identity, state, settings).await?;
    for service in hub.services() {
        supervisor.register(service);
    }
    Ok(hub)
}

/// The door to applications of nodes.
pub(crate) fn open_apps(
    public: &str,
    hub: &Hub,
    access: &Arc<Access>,
    supervisor: &Supervisor,
) -> Arc<Apps> {
    let access = Arc::clone(access);
    let settings = AppsSettings {
        hosts: app_hosts(Some(public)),
        issuer: format!("https://{public}"),
        is_local_admin: Arc::new(move |token: &str| access.accepts(token)),
    };
    let apps = Apps::new(hub, settings, supervisor);
    for service in apps.services() {
        supervisor.register(service);
    }
    apps
}

/// The hosts below which applications have hosts of their own. An address has none below it; every
/// machine knows what is below `localhost` as itself (RFC 6761, 6.3).
pub(crate) fn app_hosts(public: Option<&str>) -> Vec<String> {
    let host = public.and_then(|public| Some(public.rsplit_once(':')?.0));
    let host = host.filter(|host| !host.starts_with('[') && host.parse::<IpAddr>().is_err());
    let host = host.filter(|host| *host != "localhost");
    let own = host.map(str::to_ascii_lowercase);
    own.into_iter().chain(["localhost".to_owned()]).collect()
}

/// What a node is built with.
pub(crate) struct NodeBuild<'a> {
    pub(crate) config: &'a Config,
    pub(crate) environment: &'a Environment,
    pub(crate) supervisor: &'a Supervisor,
    pub(crate) health: &'a Health,
    pub(crate) folder: PathBuf,
    /// The main listener.
    pub(crate) main: SocketAddr,
    /// The hub's identity when it is this very process.
    pub(crate) local: Option<Identity>,
    /// The paths of this process, for itself.
    pub(crate) door: OwnDoor,
}

/// Registers the node.
pub(crate) fn build_node(build: &NodeBuild<'_>) -> Result<(), BoxError> {
    let NodeBuild {
        config,
        environment,
        supervisor,
        health,
        ..
    } = build;
    let cluster = &config.cluster;
    let egress = egress(environment)?;
    let name = cluster.node.name.clone().unwrap_or_else(host_name);
    let metrics = node_metrics(build, &name)?;
    let (enrolment, proxies) = match (&cluster.join, &build.local) {
        (Some(join), _) => {
            // Without it a machine that is a member already starts as well.
            let token = join.token.as_ref();
            let token = token.and_then(|token| token.resolve(&environment.variables).ok());
            let proxies = vec![join.proxy.clone()];
            let join = join.clone();
            (Enrolment::Remote { join, token }, proxies)
        }
        (None, Some(identity)) => (
            Enrolment::Local(identity.clone()),
            vec![reachable(build.main).to_string()],
        ),
        (None, None) => return Err("the role `node` needs `join`".into()),
    };
    let node = Node::new(NodeParts {
        name,
        config: cluster.node.clone(),
        enrolment,
        proxies,
        egress,
        data_dir: config.data_dir.clone(),
        metrics,
        component: health.component("node"),
    });
    supervisor.register(node.service());
    Ok(())
}

/// The way out of this network.
pub(crate) fn egress(environment: &Environment) -> Result<Egress, BoxError> {
    let variable = |name: &str| {
        let variables = &environment.variables;
        let value = variables
            .get(&name.to_lowercase())
            .or_else(|| variables.get(name));
        value.map(String::as_str).unwrap_or_default()
    };
    Ok(Egress::new(variable("HTTPS_PROXY"), variable("NO_PROXY"))?)
}

/// The node's own pages of metrics: an engine like the gateway's, which serves lines only.
fn node_metrics(build: &NodeBuild<'_>, name: &str) -> Result<NodeMetrics, BoxError> {
    let mut targets = build.config.cluster.metrics.clone();
    let has_monitor = build.config.roles.contains(&Role::Monitor);
    // A monitor in the same process takes the page without a line.
    if !has_monitor && let Some(page) = host_target(build, name) {
        targets.push(page);
    }
    let offered = targets.iter().map(|target| OfferedMetrics {
        name: target.name.clone(),
        labels: target.labels.clone(),
    });
    let addresses = targets.iter().flat_map(|target| &target.parts).map(|part| {
        let port = part.url.port_or_known_default().unwrap_or(80);
        format!("{}:{port}", part.url.host_str().unwrap_or_default())
    });
    let (offered, addresses) = (offered.collect(), addresses.collect());
    let parts = GatewayParts {
        supervisor: build.supervisor.clone(),
        // Not among the process's own: the gateway of the same process counts there.
        metrics: Metrics::default(),
        name: "node.metrics",
        ready: &NODE_METRICS_READY,
        component: build.health.component("node.metrics"),
        environment: build.environment.variables.clone(),
        folder: build.folder.clone(),
        data_dir: build.config.data_dir.join("node"),
        nodes: Some(Arc::new(build.door.clone())),
        clientele: None,
        is_replacement: false,
    };
    let config = GatewayConfig {
        targets,
        ..GatewayConfig::default()
    };
    let engine = Gateway::build(config, parts)?;
    build.supervisor.register(engine.service());
    Ok(NodeMetrics {
        offered,
        router: engine.routes().into_router(),
        addresses,
    })
}

/// The page of the machine's own metrics, as this process serves it.
fn host_target(build: &NodeBuild<'_>, node: &str) -> Option<TargetConfig> {
    let name = monitor::host_page(node);
    let is_taken = |target: &TargetConfig| target.name == name;
    if build.config.cluster.metrics.iter().any(is_taken) {
        return None;
    }
    let (main, has_socket) = door::own_address(build.main);
    let path = ::monitor::host::PATH;
    let page = url::Url::parse(&format!("http://{main}{path}")).ok()?;
    Some(TargetConfig {
        via: (!has_socket).then(|| node.to_owned()),
        ..plain_target(name, PartConfig::whole(page))
    })
}

/// The service that makes the metrics that nodes offer targets of the gateway.
pub(crate) fn offer_metrics(gateway: Arc<Gateway>, nodes: Arc<Nodes>) -> Service {
    Service::new(
        "gateway.nodes",
        Criticality::Plain,
        move |scope| async move {
            let mut changed = nodes.watch();
            loop {
                changed.mark_unchanged();
                offer_now(&gateway, &nodes);
                tokio::select! {
                    outcome = changed.changed() => outcome?,
                    () = scope.stopping() => return Ok(()),
                }
            }
        },
    )
}

/// Makes what nodes offer at this moment targets of the gateway.
pub(crate) fn offer_now(gateway: &Gateway, nodes: &Nodes) {
    gateway.offer(nodes.metrics().into_iter().filter_map(target).collect());
}

/// The target of a page that a node serves itself.
fn target((node, offered): (String, OfferedMetrics)) -> Option<TargetConfig> {
    let name = &offered.name;
    if let Some(reason) = observe::gateway::config::refuse_name(name) {
        tracing::warn!(node, reason, "a page of metrics is not taken for its name");
        return None;
    }
    let page = url::Url::parse(&format!("http://{METRICS_HOST}/metrics/{name}")).ok()?;
    let mut labels = offered.labels;
    labels.retain(|label, _| is_for_nodes_to_say(label));
    labels.insert("node".to_owned(), node.clone());
    Some(TargetConfig {
        labels,
        via: Some(node),
        is_of_node: true,
        ..plain_target(offered.name, PartConfig::whole(page))
    })
}

/// A target of one page without a login.
fn plain_target(name: String, page: PartConfig) -> TargetConfig {
    TargetConfig {
        name,
        labels: BTreeMap::new(),
        parts: vec![page],
        health: None,
        via: None,
        auth: AuthConfig::None,
        session: SessionRules::default(),
        tls: ClientTls::default(),
        login_tls: ClientTls::default(),
        limits: Limits::default(),
        unconfigured: None,
        is_of_node: false,
    }
}

/// Whether a node may set a label of its targets. Names that begin with `__` would change where and
/// how Prometheus scrapes; the others would pass a target off as someone else's.
fn is_for_nodes_to_say(label: &str) -> bool {
    let is_name = !label.is_empty()
        && !label.starts_with(|c: char| c.is_ascii_digit())
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name && !label.starts_with("__") && !matches!(label, "node" | "job" | "instance")
}

/// An address that this machine itself can dial.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        return SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
    }
    address
}

/// The first label of the host's name, in the letters that names may have.
pub(crate) fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy().to_lowercase();
    let first = name.split('.').next().unwrap_or_default();
    let fit: String = first
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    let fit = fit.trim_matches('-');
    if fit.is_empty() {
        "host".to_owned()
    } else {
        fit.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_cannot_pass_its_targets_off_as_others() {
        let labels = [
            ("tier", "front"),
            ("node", "other"),
            ("job", "x"),
            ("instance", "x"),
            ("__scheme__", "https"),
            ("__param_target", "x"),
            ("0a", "x"),
            ("a b", "x"),
            ("", "x"),
        ];
        let offered = OfferedMetrics {
            name: "app".to_owned(),
            labels: labels
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let target = target(("web-1".to_owned(), offered)).expect("a target");
        let kept: Vec<_> = target
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(kept, [("node", "web-1"), ("tier", "front")]);
        let offered = OfferedMetrics {
            name: "../x".to_owned(),
            labels: std::collections::BTreeMap::new(),
        };
        assert!(super::target(("web-1".to_owned(), offered)).is_none());
    }
}

//! What the configuration says about a node: how it joins, what it is called, what it offers.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use base::config::Field;
use base::secret::SecretSource;
use base::tls::ClientTls;
use serde::Serialize;
use url::Url;

use crate::agent::Strategy;
use crate::line::Lane;

/// Applications of one node.
const APPS_MAX: usize = 1_000;
/// Characters of an application's name: it is a label of a DNS name.
const APP_NAME_MAX: usize = 63;
/// Addresses of one proxy.
const PROXY_ADDRESSES_MAX: usize = 8;
/// Pins of one configuration: two while the authority changes.
const PINS_MAX: usize = 4;

/// Lines of a node with peering, when the configuration does not say, and at most.
const PEERING_CONNECTIONS: u64 = 2;
const PEERING_MAX: u64 = 100;
/// The highest generation of a proxy: JSON carries it exactly.
const GENERATION_MAX: u64 = 1 << 53;
/// Listeners of one proxy.
const LISTENERS_MAX: usize = 100;
/// Connections of one listener, when it does not say, and at most.
const LISTENER_CONNECTIONS: u64 = 1_000;
const LISTENER_CONNECTIONS_MAX: u64 = 10_000;
/// Who may connect to a listener that does not say.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// How a machine becomes a member of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JoinConfig {
    /// Where a proxy or a balancer is, `host:port`.
    pub proxy: String,
    /// The join token. Needed once only.
    pub token: Option<SecretSource>,
    /// Pins of the cluster's authority, `sha256:…`: what tells the right hub from a wrong one.
    pub ca_pins: Vec<String>,
}

/// What a proxy is called and where it is, when there are several.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ProxyConfig {
    /// Its name in the cluster; one made of the host's name when it says none.
    pub name: Option<String>,
    /// Where nodes and other proxies dial this very process, `host:port`.
    pub addresses: Vec<String>,
    /// To how many proxies nodes keep lines.
    pub strategy: Strategy,
    /// Nodes dial the proxies of the highest generation only, and keep the lines that they have to others.
    #[serde(skip_serializing_if = "is_first")]
    pub generation: u64,
    /// Ports of this machine that lead to applications.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<AppListenerConfig>,
}

/// A port of the proxy's machine whose connections go to an application of a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppListenerConfig {
    /// Where.
    pub listen: SocketAddr,
    /// The application.
    pub app: String,
    /// Its node; none for the one that offered it first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Who may connect, networks in CIDR form.
    pub allow: Vec<String>,
    /// Connections at once.
    pub connections: u64,
}

/// What a node is and offers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NodeConfig {
    /// Its name in the cluster; the host's name when it says none.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Applications that can be reached through it.
    pub apps: Vec<AppConfig>,
}

/// An application behind a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppConfig {
    /// Its name, unique on the node.
    pub name: String,
    /// Where the node finds it.
    #[serde(flatten)]
    pub at: AppAddress,
    /// Begins each connection with the address of its client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// On which lane its connections travel: interactive, or bulk for what is large.
    pub lane: Lane,
    /// How the application is recognised when it speaks HTTPS.
    #[serde(skip_serializing_if = "is_default")]
    pub tls: ClientTls,
}

/// The form in which a connection tells whose it is
/// (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// One line of text.
    V1,
    /// Binary.
    V2,
}

fn is_default(tls: &ClientTls) -> bool {
    *tls == ClientTls::default()
}

/// Where an application is, as the node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AppAddress {
    /// It speaks HTTP.
    Url(Url),
    /// `host:port` of anything else.
    Tcp(String),
}

impl JoinConfig {
    /// Reads `{proxy, token, ca_pin}`.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let proxy = section
            .required("proxy")
            .and_then(|field| read_host(&field));
        let token = section
            .optional("token")
            .and_then(|field| SecretSource::parse(&field));
        let pins = section.required("ca_pin").and_then(|field| {
            let pins: Vec<String> = field
                .text()?
                .split(',')
                .map(|pin| pin.trim().to_owned())
                .collect();
            if pins.len() > PINS_MAX || !pins.iter().all(|pin| is_pin(pin)) {
                let help = "`landline tokens add` on the hub prints it";
                field.error(
                    "`sha256:` and 64 hexadecimal digits are expected here",
                    Some(help),
                );
                return None;
            }
            Some(pins)
        });
        section.finish();
        Some(Self {
            proxy: proxy?,
            token,
            ca_pins: pins?,
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_first(generation: &u64) -> bool {
    *generation == 0
}

impl ProxyConfig {
    /// Reads `{name, addresses, strategy, generation, listeners}`.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let name = section.optional("name").and_then(|field| read_name(&field));
        let addresses = section.optional("addresses").and_then(|field| {
            let addresses = field.list(|field| read_host(&field))?;
            if addresses.is_empty() || addresses.len() > PROXY_ADDRESSES_MAX {
                field.error("one to eight addresses are expected here", None);
            }
            Some(addresses)
        });
        let strategy = section
            .optional("strategy")
            .and_then(|field| read_strategy(&field));
        let generation = section
            .optional("generation")
            .and_then(|field| field.integer(0..=GENERATION_MAX));
        let listeners = section
            .optional("listeners")
            .and_then(|field| read_listeners(&field));
        section.finish();
        Some(Self {
            name,
            addresses: addresses.unwrap_or_default(),
            strategy: strategy.unwrap_or_default(),
            generation: generation.unwrap_or_default(),
            listeners: listeners.unwrap_or_default(),
        })
    }
}

/// `mesh`, `peering` or `{peering: {connections: 2}}`
fn read_strategy(field: &Field<'_>) -> Option<Strategy> {
    let peering = |connections: u64| {
        let connections = u32::try_from(connections).ok()?;
        Some(Strategy::Peering { connections })
    };
    if field.node.text().is_some() {
        let is_mesh = field.choice(&[("mesh", true), ("peering", false)])?;
        return if is_mesh {
            Some(Strategy::Mesh)
        } else {
            peering(PEERING_CONNECTIONS)
        };
    }
    let mut section = field.section()?;
    let inner = section.required("peering");
    section.finish();
    let mut section = inner?.section()?;
    let connections = section.optional("connections");
    let connections = connections.map(|field| field.integer(1..=PEERING_MAX));
    section.finish();
    peering(connections.unwrap_or(Some(PEERING_CONNECTIONS))?)
}

fn read_listeners(field: &Field<'_>) -> Option<Vec<AppListenerConfig>> {
    let mut taken = HashSet::new();
    let listeners = field.list(|field| {
        let listener = read_listener(&field)?;
        if listener.listen.port() == 0 {
            field.error("a port that clients can know is expected here", None);
        }
        if !taken.insert(listener.listen) {
            field.error("another listener has this address", None);
        }
        Some(listener)
    })?;
    if listeners.len() > LISTENERS_MAX {
        field.error(format!("at most {LISTENERS_MAX} listeners"), None);
    }
    Some(listeners)
}

/// `{listen, app, node, allow, connections}`
fn read_listener(field: &Field<'_>) -> Option<AppListenerConfig> {
    let mut section = field.section()?;
    let listen = section.required("listen").and_then(|field| field.address());
    let app = section.required("app").and_then(|field| read_name(&field));
    let node = section.optional("node").and_then(|field| field.text());
    let allow = section.optional("allow").and_then(|field| {
        field.list(|field| {
            let network = field.text()?.parse::<ipnet::IpNet>();
            if network.is_err() {
                field.error("a network such as 10.0.0.0/8 is expected here", None);
            }
            network.ok().map(|network| network.to_string())
        })
    });
    let connections = section
        .optional("connections")
        .and_then(|field| field.integer(1..=LISTENER_CONNECTIONS_MAX));
    section.finish();
    Some(AppListenerConfig {
        listen: listen?,
        app: app?,
        node,
        allow: allow.unwrap_or_else(|| LOOPBACK.map(str::to_owned).to_vec()),
        connections: connections.unwrap_or(LISTENER_CONNECTIONS),
    })
}

impl NodeConfig {
    /// Reads `{name, labels, apps}`; `more` are keys that someone else reads from the section.
    pub fn read(field: &Field<'_>, more: &[&'static str]) -> Option<Self> {
        let mut section = field.section()?;
        section.allow(more);
        let name = section.optional("name").and_then(|field| read_name(&field));
        let labels = section
            .optional("labels")
            .and_then(|field| field.entries(|_, field| field.text()));
        let apps = section.optional("apps").and_then(|field| read_apps(&field));
        section.finish();
        Some(Self {
            name,
            labels: labels.unwrap_or_default().into_iter().collect(),
            apps: apps.unwrap_or_default(),
        })
    }
}

impl AppAddress {
    /// `host:port` to connect to.
    pub fn host_and_port(&self) -> String {
        match self {
            Self::Tcp(address) => address.clone(),
            Self::Url(url) => {
                let port = url.port_or_known_default().unwrap_or(80);
                format!("{}:{port}", url.host_str().unwrap_or_default())
            }
        }
    }
}

fn read_apps(field: &Field<'_>) -> Option<Vec<AppConfig>> {
    let mut names = HashSet::new();
    let apps = field.list(|field| {
        let app = read_app(&field)?;
        if !names.insert(app.name.clone()) {
            field.error(
                format!("the application `{}` is here twice", app.name),
                None,
            );
        }
        Some(app)
    })?;
    if apps.len() > APPS_MAX {
        field.error(format!("at most {APPS_MAX} applications on one node"), None);
    }
    Some(apps)
}

fn read_app(field: &Field<'_>) -> Option<AppConfig> {
    let mut section = field.section()?;
    let name = section.required("name").and_then(|field| read_name(&field));
    let url = section
        .optional("url")
        .and_then(|field| read_app_url(&field));
    let tcp = section.optional("tcp").and_then(|field| read_host(&field));
    let proxy_protocol = section.optional("proxy_protocol").and_then(|field| {
        let versions = [("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)];
        let version = field.choice(&versions)?;
        if url.is_some() {
            let help = "an application with `url` gets the client's address in `X-Forwarded-For`";
            field.error("`proxy_protocol` goes with `tcp`", Some(help));
        }
        Some(version)
    });
    let tls = section.optional("tls").and_then(|field| {
        if url.as_ref().is_none_or(|url| url.scheme() != "https") {
            field.error("`tls` goes with a `url` that begins with https", None);
        }
        ClientTls::read(&field)
    });
    let lane = section.optional("lane").and_then(|field| {
        let lanes = [Lane::Interactive, Lane::Bulk].map(|lane| (lane.word(), lane));
        field.choice(&lanes)
    });
    section.finish();
    let at = match (url, tcp) {
        (Some(url), None) => AppAddress::Url(url),
        (None, Some(address)) => AppAddress::Tcp(address),
        _ => {
            field.error(
                "give either `url` (for HTTP) or `tcp` (for anything else)",
                None,
            );
            return None;
        }
    };
    Some(AppConfig {
        name: name?,
        at,
        proxy_protocol,
        lane: lane.unwrap_or(Lane::Interactive),
        tls: tls.unwrap_or_default(),
    })
}

/// The URL of a whole server: paths pass through as they are.
fn read_app_url(field: &Field<'_>) -> Option<Url> {
    let url = field.url()?;
    if url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
        let help = "for instance http://127.0.0.1:8080";
        field.error(
            "scheme, host and port are expected here, and nothing more",
            Some(help),
        );
    }
    Some(url)
}

/// A name that can be a label of a DNS name.
fn read_name(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_well_formed = !name.is_empty()
        && name.len() <= APP_NAME_MAX
        && name.chars().all(is_allowed)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !is_well_formed {
        field.error(
            "a name has up to 63 small letters, digits and `-`, because it stands in host names",
            None,
        );
        return None;
    }
    Some(name)
}

/// `host:port`.
fn read_host(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    if port
        .and_then(|(_, port)| port.parse::<u16>().ok())
        .is_none()
    {
        field.error("`host:port` is expected here", None);
        return None;
    }
    Some(text)
}

fn is_pin(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base::config::{Context, Document};

    use super::*;

    fn check(app: &str, expected: &str) {
        let document = Document::parse(&format!("apps: [{app}]")).unwrap();
        let context = Context::new(std::path::Path::new("."), BTreeMap::new());
        NodeConfig::read(&Field::root(&document.root, &context), &[]);
        let problems = context.take_problems();
        let texts: Vec<&str> = problems.iter().map(|one| one.message.as_str()).collect();
        match expected {
            "" => assert!(texts.is_empty(), "{app}: {texts:?}"),
            words => assert!(
                texts.iter().any(|text| text.contains(words)),
                "{app}: {texts:?}"
            ),
        }
    }

    fn check_proxy(proxy: &str, expected: &str) {
        let document = Document::parse(proxy).unwrap();
        let context = Context::new(std::path::Path::new("."), BTreeMap::new());
        let read = ProxyConfig::read(&Field::root(&document.root, &context));
        let problems = context.take_problems();
        let texts: Vec<&str> = problems.iter().map(|one| one.message.as_str()).collect();
        match (expected.strip_prefix("= "), read) {
            (Some(shown), Some(read)) => {
                assert_eq!(serde_json::to_string(&read).unwrap(), shown, "{texts:?}");
            }
            _ => assert!(
                texts.iter().any(|text| text.contains(expected)),
                "{proxy}: {texts:?}"
            ),
        }
    }

    #[test]
    fn a_strategy_and_listeners_are_read() {
        let shown = |strategy: &str| {
            format!("= {{\"name\":null,\"addresses\":[],\"strategy\":{strategy}}}")
        };
        let peering = |count: u32| shown(&format!("{{\"peering\":{{\"connections\":{count}}}}}"));
        check_proxy("{}", &shown("\"mesh\""));
        check_proxy("strategy: mesh", &shown("\"mesh\""));
        check_proxy("strategy: peering", &peering(2));
        check_proxy("strategy: {peering: {connections: 3}}", &peering(3));
        check_proxy("strategy: {peering: {connections: 0}}", "1");
        check_proxy("strategy: star", "star");
        let second = shown("\"mesh\",\"generation\":2");
        check_proxy("generation: 2", &second);
        check_proxy("generation: -1", "0");
        check_proxy("strategy: {star: {}}", "star");
        check_proxy("listeners: [{listen: \"127.0.0.1:1\"}]", "app");
        check_proxy(
            "listeners: [{listen: \"0.0.0.0:1\", app: db, allow: [x]}]",
            "10.0.0.0/8",
        );
        check_proxy("listeners: [{listen: \"0.0.0.0:0\", app: db}]", "a port");
        let twice = "{listen: \"0.0.0.0:1\", app: db}";
        check_proxy(
            &format!("listeners: [{twice}, {twice}]"),
            "another listener",
        );
    }

    #[test]
    fn an_application_is_a_whole_server() {
        check("{name: api, url: \"http://127.0.0.1:8080\"}", "");
        check(
            "{name: api, url: \"https://[::1]:8443\", tls: {insecure: true}}",
            "",
        );
        check(
            "{name: db, tcp: \"127.0.0.1:5432\", proxy_protocol: v2}",
            "",
        );
        check(
            "{name: db, tcp: \"127.0.0.1:5432\", proxy_protocol: v3}",
            "v3",
        );
        check(
            "{name: api, url: \"http://127.0.0.1/base\"}",
            "nothing more",
        );
        check(
            "{name: api, url: \"http://127.0.0.1\", proxy_protocol: v1}",
            "goes with `tcp`",
        );
        check(
            "{name: api, url: \"http://127.0.0.1\", tls: {insecure: true}}",
            "https",
        );
        check("{name: db, tcp: \"127.0.0.1\"}", "host:port");
        check("{name: db.x, tcp: \"127.0.0.1:1\"}", "small letters");
        check("{name: db}", "either");
    }
}

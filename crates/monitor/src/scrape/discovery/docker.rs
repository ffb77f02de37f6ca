//! `docker_sd_configs`: the containers of an engine, each with its networks and ports.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use base::client::read_body;
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::{Reading, Surroundings};
use crate::scrape::config::{DockerConfig, DockerHost};
use crate::scrape::fetch::AGENT;
use crate::scrape::http::{HttpClient, Way};
use crate::scrape::relabel::LabelSet;
use crate::scrape::target::ADDRESS;

/// The largest answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Containers that share a network, one through the other.
const SHARED_MAX: usize = 16;
/// What a URL names when the way is a socket of this machine.
const LOCAL: &str = "http://localhost/";
const PREFIX: &str = "__meta_docker_";

/// One engine.
#[derive(Debug)]
pub(super) struct Asking {
    config: DockerConfig,
    client: HttpClient,
    url: Result<Url, String>,
}

/// A container, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    id: String,
    #[serde(deserialize_with = "or_default")]
    names: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<Port>,
    host_config: HostConfig,
    network_settings: NetworkSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    #[serde(rename = "PrivatePort")]
    private: u16,
    #[serde(rename = "PublicPort")]
    public: u16,
    #[serde(rename = "IP")]
    ip: String,
    r#type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    #[serde(deserialize_with = "or_default")]
    networks: BTreeMap<String, Endpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "NetworkID")]
    network: String,
    #[serde(rename = "IPAddress")]
    address: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Network {
    id: String,
    name: String,
    scope: String,
    internal: bool,
    ingress: bool,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

/// Engines write `null` for what is empty.
fn or_default<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Option::deserialize(from).map(Option::unwrap_or_default)
}

impl Asking {
    pub(super) fn new(config: &DockerConfig, surroundings: &Surroundings) -> Self {
        let (way, url) = match &config.host {
            DockerHost::Unix(path) => (Way::Unix(path.clone()), Url::parse(LOCAL)),
            DockerHost::Tcp(url) => (Way::Direct, Ok((**url).clone())),
        };
        let around = (&surroundings.environment, &surroundings.supervisor);
        Self {
            client: HttpClient::new(&config.http, &way, around),
            url: url.map_err(|error| error.to_string()),
            config: config.clone(),
        }
    }

    pub(super) fn refresh(&self) -> Duration {
        self.config.refresh
    }

    pub(super) async fn ask(&mut self, deadline: Instant) -> Reading {
        let mut containers = self.url.clone()?;
        containers.set_path("/containers/json");
        if !self.config.filters.is_empty() {
            let mut filters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (name, values) in &self.config.filters {
                let all = filters.entry(name).or_default();
                all.extend(values.iter().map(String::as_str));
            }
            let text = serde_json::to_string(&filters).map_err(|error| error.to_string())?;
            containers.query_pairs_mut().append_pair("filters", &text);
        }
        let mut networks = self.url.clone()?;
        networks.set_path("/networks");
        let containers: Vec<Container> = self.get(&containers, deadline).await?;
        let networks: Vec<Network> = self.get(&networks, deadline).await?;
        Ok(targets(&self.config, &containers, &networks))
    }

    async fn get<T: DeserializeOwned>(&self, url: &Url, deadline: Instant) -> Result<T, String> {
        let failed = |reason: String| format!("docker {}: {reason}", url.path());
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, AGENT);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let response = self.client.get(url, &headers, deadline).await;
        let response = response.map_err(|error| failed(error.to_string()))?;
        if response.status() != StatusCode::OK {
            let status = response.status();
            return Err(failed(format!("the engine answered {status}")));
        }
        let body = read_body(response.into_body(), ANSWER_BYTES_MAX, deadline).await;
        let body = body.map_err(|error| failed(error.to_string()))?;
        serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))
    }
}

fn targets(config: &DockerConfig, containers: &[Container], networks: &[Network]) -> Vec<LabelSet> {
    let by_id: HashMap<&str, &Container> = containers
        .iter()
        .map(|container| (container.id.as_str(), container))
        .collect();
    let networks: HashMap<&str, LabelSet> = networks
        .iter()
        .map(|network| (network.id.as_str(), network_labels(network)))
        .collect();
    let mut found = Vec::new();
    for container in containers {
        let Some(name) = container.names.first() else {
            continue;
        };
        let own = container_labels(container, name);
        let mut endpoints: Vec<&Endpoint> = endpoints(container, &by_id).values().collect();
        if config.match_first_network {
            endpoints.truncate(1);
        }
        for endpoint in endpoints {
            let mut labels = own.clone();
            if let Some(more) = networks.get(endpoint.network.as_str()) {
                labels.extend(more.clone());
            }
            put(&mut labels, "network_ip", &endpoint.address);
            found.extend(of_endpoint(config, container, (endpoint, &labels)));
        }
    }
    found
}

/// The networks of a container, or of the one whose network it shares.
fn endpoints<'a>(
    container: &'a Container,
    by_id: &HashMap<&str, &'a Container>,
) -> &'a BTreeMap<String, Endpoint> {
    let mut at = container;
    for _ in 0..SHARED_MAX {
        if !at.network_settings.networks.is_empty() {
            break;
        }
        let other = at.host_config.network_mode.strip_prefix("container:");
        match other.and_then(|id| by_id.get(id)) {
            Some(other) => at = other,
            None => break,
        }
    }
    &at.network_settings.networks
}

/// A target for each port, or one for a container that opens none.
fn of_endpoint(
    config: &DockerConfig,
    container: &Container,
    (endpoint, labels): (&Endpoint, &LabelSet),
) -> Vec<LabelSet> {
    let mut found = Vec::new();
    for port in container.ports.iter().filter(|port| port.r#type == "tcp") {
        let mut labels = labels.clone();
        put(&mut labels, "port_private", &port.private.to_string());
        if port.public > 0 {
            put(&mut labels, "port_public", &port.public.to_string());
            put(&mut labels, "port_public_ip", &port.ip);
        }
        let address = joined(&endpoint.address, port.private);
        labels.insert(ADDRESS.to_owned(), address);
        found.push(labels);
    }
    if found.is_empty() {
        let mut labels = labels.clone();
        // What is in the host's network opens no ports of its own.
        let address = if container.host_config.network_mode == "host" {
            config.host_networking_host.clone()
        } else {
            joined(&endpoint.address, config.port)
        };
        labels.insert(ADDRESS.to_owned(), address);
        found.push(labels);
    }
    found
}

fn joined(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn put(labels: &mut LabelSet, name: &str, value: &str) {
    labels.insert(format!("{PREFIX}{name}"), value.to_owned());
}

fn container_labels(container: &Container, name: &str) -> LabelSet {
    let mut labels = LabelSet::new();
    put(&mut labels, "container_id", &container.id);
    put(&mut labels, "container_name", name);
    let mode = &container.host_config.network_mode;
    put(&mut labels, "container_network_mode", mode);
    for (name, value) in &container.labels {
        let name = format!("container_label_{}", plain(name));
        put(&mut labels, &name, value);
    }
    labels
}

fn network_labels(network: &Network) -> LabelSet {
    let mut labels = LabelSet::new();
    put(&mut labels, "network_id", &network.id);
    put(&mut labels, "network_name", &network.name);
    put(&mut labels, "network_scope", &network.scope);
    put(
        &mut labels,
        "network_internal",
        &network.internal.to_string(),
    );
    put(&mut labels, "network_ingress", &network.ingress.to_string());
    for (name, value) in &network.labels {
        put(
            &mut labels,
            &format!("network_label_{}", plain(name)),
            value,
        );
    }
    labels
}

/// A name of letters, digits and underscores.
fn plain(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    name.chars()
        .map(|letter| if is_plain(letter) { letter } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINERS: &str = r#"[
      {"Id": "1", "Names": ["/web"], "Labels": {"com.docker/x": "y"},
       "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                 {"PrivatePort": 53, "Type": "udp"}],
       "HostConfig": {"NetworkMode": "front"},
       "NetworkSettings": {"Networks": {"front": {"NetworkID": "n1", "IPAddress": "172.0.0.2"},
                                        "back": {"NetworkID": "n2", "IPAddress": "172.1.0.2"}}}},
      {"Id": "2", "Names": ["/side"], "Labels": null, "Ports": null,
       "HostConfig": {"NetworkMode": "container:1"}, "NetworkSettings": {"Networks": {}}},
      {"Id": "3", "Names": ["/host"], "Ports": [],
       "HostConfig": {"NetworkMode": "host"},
       "NetworkSettings": {"Networks": {"host": {"NetworkID": "n3", "IPAddress": ""}}}},
      {"Id": "4", "Names": [], "Ports": []}]"#;
    const NETWORKS: &str = r#"[{"Id": "n1", "Name": "front", "Scope": "local", "Labels": {"a": "b"}},
      {"Id": "n2", "Name": "back", "Scope": "local", "Internal": true}]"#;

    fn found(keys: &str) -> Vec<LabelSet> {
        let job = crate::scrape::tests::job(&format!(
            "docker_sd_configs: [{{host: 'unix:///var/run/docker.sock', port: 81{keys}}}]"
        ));
        let crate::scrape::config::Discovery::Docker(config) = &job.discovery[0] else {
            panic!("docker");
        };
        let containers: Vec<Container> = serde_json::from_str(CONTAINERS).expect("containers");
        let networks: Vec<Network> = serde_json::from_str(NETWORKS).expect("networks");
        targets(config, &containers, &networks)
    }

    #[test]
    fn containers_become_targets() {
        let all = found(", match_first_network: false");
        let addresses: Vec<&str> = all.iter().map(|labels| labels[ADDRESS].as_str()).collect();
        let expected = [
            "172.1.0.2:80",
            "172.0.0.2:80",
            "172.1.0.2:81",
            "172.0.0.2:81",
            "localhost",
        ];
        assert_eq!(addresses, expected);
        let labels = |name: &str| {
            let name = format!("{PREFIX}{name}");
            all[1].get(&name).map_or("", String::as_str)
        };
        for (name, value) in [
            ("container_name", "/web"),
            ("container_label_com_docker_x", "y"),
            ("container_network_mode", "front"),
            ("network_name", "front"),
            ("network_label_a", "b"),
            ("network_internal", "false"),
            ("port_public", "8080"),
            ("port_public_ip", "0.0.0.0"),
            ("port_private", "80"),
        ] {
            assert_eq!(labels(name), value, "{name}");
        }
    }

    #[test]
    fn the_first_network_alone_counts_by_default() {
        let all = found("");
        let addresses: Vec<&str> = all.iter().map(|labels| labels[ADDRESS].as_str()).collect();
        assert_eq!(addresses, ["172.1.0.2:80", "172.1.0.2:81", "localhost"]);
    }
}

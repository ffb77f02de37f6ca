//! Where the targets of a job come from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base::config::{Field, Section};
use url::Url;

use super::http::{HttpOptions, ServerUrl};
use super::values::{flag, interval, item, text, texts};
use super::{Reading, values};

/// Targets of one group that stand in the configuration.
const TARGETS_MAX: usize = 100_000;

/// Targets with the labels that they have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// Addresses.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: BTreeMap<String, String>,
}

/// A way to find targets.
#[derive(Debug, Clone, PartialEq)]
pub enum Discovery {
    /// They are written down.
    Static(Vec<Group>),
    /// They are in files.
    File(FileConfig),
    /// A server knows them.
    Http(Box<HttpConfig>),
    /// Names have them as addresses.
    Dns(DnsConfig),
    /// They are containers.
    Docker(Box<DockerConfig>),
}

/// `file_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileConfig {
    /// Files, with wildcards in the last part.
    pub files: Vec<PathBuf>,
    /// How often they are read whatever happens.
    pub refresh: Duration,
}

/// `http_sd_configs`.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// Who knows.
    pub url: ServerUrl,
    /// How often it is asked.
    pub refresh: Duration,
    /// How.
    pub http: HttpOptions,
}

/// `dns_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsConfig {
    /// Names.
    pub names: Vec<String>,
    /// What they are asked for.
    pub kind: DnsKind,
    /// The port of addresses that come without one.
    pub port: u16,
    /// How often they are asked.
    pub refresh: Duration,
}

/// What a name is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsKind {
    /// Addresses of version 4.
    A,
    /// Addresses of version 6.
    Aaaa,
    /// Services, with their ports.
    Srv,
    /// Servers of mail.
    Mx,
    /// Servers of names.
    Ns,
}

/// `docker_sd_configs`.
#[derive(Debug, Clone, PartialEq)]
pub struct DockerConfig {
    /// The engine's address: a URL or the path of a socket.
    pub host: DockerHost,
    /// The port of containers that open none.
    pub port: u16,
    /// The address of containers in the host's network.
    pub host_networking_host: String,
    /// Only the first network of a container counts.
    pub match_first_network: bool,
    /// What containers are asked for, by name.
    pub filters: Vec<(String, Vec<String>)>,
    /// How often the engine is asked.
    pub refresh: Duration,
    /// How.
    pub http: HttpOptions,
}

/// Where an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerHost {
    /// A socket of this machine.
    Unix(PathBuf),
    /// Another machine's port.
    Tcp(ServerUrl),
}

/// What others know and we don't.
const UNSUPPORTED: [&str; 30] = [
    "aws_sd_configs",
    "azure_sd_configs",
    "consul_sd_configs",
    "digitalocean_sd_configs",
    "dockerswarm_sd_configs",
    "ec2_sd_configs",
    "ecs_sd_configs",
    "eureka_sd_configs",
    "gce_sd_configs",
    "hetzner_sd_configs",
    "ionos_sd_configs",
    "kubernetes_sd_configs",
    "kuma_sd_configs",
    "lightsail_sd_configs",
    "linode_sd_configs",
    "marathon_sd_configs",
    "msk_sd_configs",
    "nerve_sd_configs",
    "nomad_sd_configs",
    "oci_sd_configs",
    "openstack_sd_configs",
    "outscale_sd_configs",
    "ovhcloud_sd_configs",
    "puppetdb_sd_configs",
    "scaleway_sd_configs",
    "serverset_sd_configs",
    "stackit_sd_configs",
    "triton_sd_configs",
    "uyuni_sd_configs",
    "vultr_sd_configs",
];

/// Takes all ways to find targets out of the section of a job.
pub(super) fn read(section: &mut Section<'_>, reading: &Reading) -> Vec<Discovery> {
    let mut found = Vec::new();
    if let Some(field) = section.optional("static_configs") {
        let groups = field.list(|item| read_group(&item));
        found.push(Discovery::Static(groups.unwrap_or_default()));
    }
    let mut each = |key: &'static str, read: &dyn Fn(&Field<'_>) -> Option<Discovery>| {
        let field = section.optional(key);
        let all = field.and_then(|field| field.list(|item| read(&item)));
        found.extend(all.into_iter().flatten());
    };
    each("file_sd_configs", &read_file);
    each("http_sd_configs", &|field| read_http(field, reading));
    each("dns_sd_configs", &read_dns);
    each("docker_sd_configs", &|field| read_docker(field, reading));
    for key in UNSUPPORTED {
        if let Some(field) = section.optional(key) {
            let help = "supported are static_configs, file_sd_configs, http_sd_configs, \
                        dns_sd_configs and docker_sd_configs; a program that writes files can \
                        join anything else by file_sd_configs";
            field.error(format!("`{key}` is not supported"), Some(help));
        }
    }
    found
}

fn refresh(section: &mut Section<'_>, default: Duration) -> Duration {
    let field = section.optional("refresh_interval");
    let own = field.and_then(|field| interval(&field));
    own.unwrap_or(default)
}

/// A group of `static_configs`.
fn read_group(field: &Field<'_>) -> Option<Group> {
    let mut section = item(field, "group")?;
    let targets = section.optional("targets").and_then(|field| {
        field.list(|item| {
            let address = item.text()?;
            if address.contains('/') {
                let help = Some("write host:port; path and scheme have keys of their own");
                item.error("a target is an address without scheme and path", help);
            }
            Some(address)
        })
    });
    let labels = section.optional("labels").and_then(|field| {
        field.entries(|name, value| {
            if name.is_empty() {
                value.error("a label needs a name", None);
            }
            value.text()
        })
    });
    section.finish();
    let targets = targets.unwrap_or_default();
    if targets.len() > TARGETS_MAX {
        field.error(format!("more than {TARGETS_MAX} targets in a group"), None);
    }
    Some(Group {
        targets,
        labels: labels.unwrap_or_default().into_iter().collect(),
    })
}

fn read_file(field: &Field<'_>) -> Option<Discovery> {
    let mut section = item(field, "entry")?;
    let files = section.required("files").and_then(|field| {
        field.list(|item| {
            let path = item.path()?;
            let name = path.extension().unwrap_or_default().to_string_lossy();
            if !matches!(&*name, "json" | "yml" | "yaml") {
                item.error("a file of targets ends in .json, .yml or .yaml", None);
            }
            let folder = path.parent().map(|folder| folder.to_string_lossy());
            if folder.is_some_and(|folder| folder.contains('*')) {
                item.error("`*` may stand in the last part only", None);
            }
            Some(path)
        })
    });
    let refresh = refresh(&mut section, Duration::from_mins(5));
    section.finish();
    let files = files?;
    if files.is_empty() {
        field.error("at least one file is needed", None);
    }
    Some(Discovery::File(FileConfig { files, refresh }))
}

fn read_http(field: &Field<'_>, reading: &Reading) -> Option<Discovery> {
    let mut section = item(field, "entry")?;
    let url = section.required("url");
    let url = url.and_then(|field| values::url(&field, reading));
    let refresh = refresh(&mut section, Duration::from_mins(1));
    let http = HttpOptions::read(&mut section, reading);
    section.finish();
    Some(Discovery::Http(Box::new(HttpConfig {
        url: url?,
        refresh,
        http,
    })))
}

fn read_dns(field: &Field<'_>) -> Option<Discovery> {
    let mut section = item(field, "entry")?;
    let names = section.required("names").and_then(|field| texts(&field));
    let kind = section.optional("type").and_then(|field| {
        let text = field.text()?.to_uppercase();
        let kinds = [
            ("A", DnsKind::A),
            ("AAAA", DnsKind::Aaaa),
            ("SRV", DnsKind::Srv),
            ("MX", DnsKind::Mx),
            ("NS", DnsKind::Ns),
        ];
        let found = kinds.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            field.error("one of A, AAAA, SRV, MX, NS is expected here", None);
        }
        found.map(|(_, kind)| *kind)
    });
    let port = read_port(&mut section);
    let refresh = refresh(&mut section, Duration::from_secs(30));
    let kind = kind.unwrap_or(DnsKind::Srv);
    if port.is_none() && kind != DnsKind::Srv {
        field.error("addresses need a `port`", None);
    }
    section.finish();
    let names = names?;
    if names.is_empty() {
        field.error("at least one name is needed", None);
    }
    Some(Discovery::Dns(DnsConfig {
        names,
        kind,
        port: port.unwrap_or_default(),
        refresh,
    }))
}

fn read_port(section: &mut Section<'_>) -> Option<u16> {
    let field = section.optional("port")?;
    let port = field.integer(0..=u64::from(u16::MAX))?;
    u16::try_from(port).ok()
}

fn read_docker(field: &Field<'_>, reading: &Reading) -> Option<Discovery> {
    let mut section = item(field, "entry")?;
    let host = section.required("host");
    let host = host.and_then(|field| read_docker_host(&field, reading));
    let port = read_port(&mut section).unwrap_or(80);
    let networking = text(&mut section, "host_networking_host");
    let match_first_network = flag(&mut section, "match_first_network", true);
    let filters = section.optional("filters").and_then(|field| {
        field.list(|filter| {
            let mut section = item(&filter, "filter")?;
            let name = section.required("name").and_then(|field| field.text());
            let values = section.required("values").and_then(|field| texts(&field));
            section.finish();
            Some((name?, values?))
        })
    });
    let refresh = refresh(&mut section, Duration::from_mins(1));
    let http = HttpOptions::read(&mut section, reading);
    section.finish();
    Some(Discovery::Docker(Box::new(DockerConfig {
        host: host?,
        port,
        host_networking_host: networking.unwrap_or_else(|| "localhost".to_owned()),
        match_first_network,
        filters: filters.unwrap_or_default(),
        refresh,
        http,
    })))
}

fn read_docker_host(field: &Field<'_>, reading: &Reading) -> Option<DockerHost> {
    let text = field.text()?;
    if let Some(path) = text.strip_prefix("unix://") {
        return Some(DockerHost::Unix(path.into()));
    }
    let help = Some("write it as unix:///var/run/docker.sock or tcp://host:2375");
    let full = match text.strip_prefix("tcp://") {
        // With certificates it is TLS; which of the two is decided by what is configured.
        Some(rest) => format!("http://{rest}"),
        None => text,
    };
    let parsed = Url::parse(&full).ok();
    let parsed = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if parsed.is_none() {
        field.error("this is no address of an engine", help);
    }
    if parsed.as_ref().is_some_and(|url| url.password().is_some()) {
        reading.secrets.borrow_mut().push(field.node.span.clone());
    }
    parsed.map(|url| DockerHost::Tcp(ServerUrl(url)))
}

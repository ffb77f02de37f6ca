//! The gateway's section of the configuration: what it may say, its defaults, and the validated
//! values. The page for operators is `docs/operate/gateway.md`.

mod auth;
mod auth_reader;
mod parts;

pub use auth::{
    Apply, AuthConfig, ClientAuth, Csrf, CsrfFrom, DateFormat, Encoding, ExpiryFormat, Extract,
    ExtractFrom, FormMethod, FormStep, FormSuccess, Grant, HashAlgorithm, InvalidOn, Login,
    LoginBody, LoginRequest, Oauth2Config, SessionRules, SigningAlgorithm,
};
pub use parts::{Convert, HealthConfig, HealthRule, PartConfig, read_health, read_parts};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::config::{Field, Section, format_bytes, format_duration};
use base::secret::{MASK, SecretSource};
use base::tls::ClientTls;
use serde::{Serialize, Serializer};
use url::Url;

use super::whatsapp;

/// The most characters of a target's name.
pub const NAME_LENGTH_MAX: usize = 200;

/// The section `gateway`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GatewayConfig {
    /// A listener of its own beside the main one.
    pub listen: Option<SocketAddr>,
    /// Who beside loopback may scrape.
    pub access: AccessConfig,
    /// Targets written in the configuration.
    pub targets: Vec<TargetConfig>,
    /// Where more targets come from.
    pub sources: Vec<SourceConfig>,
    /// Whether what PushProx's users know is answered: `proxy_url`, `/poll`, `/push`, `/clients`.
    pub pushprox: bool,
}

/// Who beside loopback may scrape.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AccessConfig {
    /// Bearer tokens.
    pub tokens: Vec<SecretSource>,
    /// Networks that need no token, in CIDR form.
    pub networks: Vec<String>,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetConfig {
    /// The word in `/metrics/<name>`.
    pub name: String,
    /// Labels for service discovery.
    pub labels: BTreeMap<String, String>,
    /// Where the pages are, and which: at least one.
    pub parts: Vec<PartConfig>,
    /// The health page beside them.
    pub health: Option<HealthConfig>,
    /// The node that it is reached through; nothing when it is reached from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// How to log in.
    pub auth: AuthConfig,
    /// When a session is over and how long it may last.
    pub session: SessionRules,
    /// TLS towards the target, and towards its login on the same host.
    pub tls: ClientTls,
    /// TLS towards its login on another host.
    pub login_tls: ClientTls,
    /// Bounds of a scrape.
    pub limits: Limits,
    /// A row of a source lacks what a login needs; the text says what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unconfigured: Option<String>,
    /// A node of ours serves it: what it says when it can't is for whoever scrapes.
    #[serde(skip)]
    pub is_of_node: bool,
}

impl TargetConfig {
    /// A certificate is not verified, of the target or of its login.
    pub fn is_insecure(&self) -> bool {
        self.tls.insecure || self.login_tls.insecure
    }

    /// The PEM files that it names.
    pub fn tls_files(&self) -> impl Iterator<Item = &Path> {
        self.tls.files().chain(self.login_tls.files())
    }
}

/// Bounds of a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// The longest a scrape may take.
    #[serde(serialize_with = "as_duration")]
    pub timeout: Duration,
    /// The largest page, in bytes.
    #[serde(serialize_with = "as_bytes")]
    pub body: u64,
    /// Scrapes at once.
    pub concurrency: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            body: 32 << 20,
            concurrency: 8,
        }
    }
}

/// Where more targets come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum SourceConfig {
    /// A file with a list of targets.
    File {
        /// The file.
        path: PathBuf,
    },
    /// Rows of the table `whatsapp_config`.
    Mysql(MysqlConfig),
}

/// A MySQL source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MysqlConfig {
    /// `mysql://user:password@host/database`.
    pub url: SecretSource,
    /// URL of a target, `{number}` for its number.
    pub base_url: String,
    /// How often the rows are read.
    #[serde(serialize_with = "as_duration")]
    pub refresh: Duration,
    /// TLS of its targets.
    pub tls: ClientTls,
    /// Bounds of its targets.
    pub limits: Limits,
}

impl GatewayConfig {
    /// Reads the section.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let listen = section.optional("listen").and_then(|field| field.address());
        let access = section
            .optional("access")
            .and_then(|f| read_access(&f))
            .unwrap_or_default();
        let targets = section.optional("targets").and_then(|f| read_targets(&f));
        let sources = section
            .optional("sources")
            .and_then(|field| field.list(|f| read_source(&f)));
        let pushprox = section.optional("pushprox").and_then(|f| f.boolean());
        section.finish();
        Some(Self {
            pushprox: pushprox.unwrap_or_default(),
            listen,
            access,
            targets: targets.unwrap_or_default(),
            sources: sources.unwrap_or_default(),
        })
    }
}

fn read_access(field: &Field<'_>) -> Option<AccessConfig> {
    let mut section = field.section()?;
    let tokens = section
        .optional("tokens")
        .and_then(|f| f.list(|f| SecretSource::read_needed(&f)));
    let networks = section.optional("networks").and_then(|field| {
        field.list(|field| {
            let text = field.text()?;
            match text.parse::<ipnet::IpNet>() {
                Ok(network) => Some(network.to_string()),
                Err(_) => {
                    field.error("a network such as 10.0.0.0/8 is expected here", None);
                    None
                }
            }
        })
    });
    section.finish();
    Some(AccessConfig {
        tokens: tokens.unwrap_or_default(),
        networks: networks.unwrap_or_default(),
    })
}

/// A list of targets, inline or the content of a source's file.
pub fn read_targets(field: &Field<'_>) -> Option<Vec<TargetConfig>> {
    let mut names = std::collections::HashSet::new();
    field.list(|field| {
        let target = read_target(&field)?;
        if !names.insert(target.name.clone()) {
            field.error(format!("the target `{}` is here twice", target.name), None);
        }
        Some(target)
    })
}

fn read_target(field: &Field<'_>) -> Option<TargetConfig> {
    let mut section = field.section()?;
    let name = section.required("name").and_then(|field| read_name(&field));
    let labels = section
        .optional("labels")
        .and_then(|field| read_labels(&field));
    let tls = section
        .optional("tls")
        .and_then(|field| ClientTls::read(&field));
    let limits = section
        .optional("limits")
        .and_then(|field| read_limits(&field));
    let profile = section
        .optional("profile")
        .and_then(|f| f.choice(&[("whatsapp", ())]));
    let (parts, origin) = read_pages(&mut section, profile.is_some());
    let health = section
        .optional("health")
        .and_then(|f| read_health(&f, origin.as_ref()));
    let auth = section.optional("auth");
    let shape = (profile, &origin);
    let login = match shape {
        (Some(()), Some(origin)) => whatsapp::read_auth(auth, origin, section.field()),
        _ => match auth {
            Some(field) => Login::read(&field, origin.as_ref()),
            None => Some(Login::default()),
        },
    };
    let via = section.optional("via").and_then(|field| read_via(&field));
    section.finish();
    let (parts, health) = match shape {
        (Some(()), Some(origin)) => (whatsapp::parts(origin), Some(whatsapp::health(origin))),
        _ => (parts?, health),
    };
    let mut tls = tls.unwrap_or_default();
    let Login {
        auth,
        session,
        tls: login_tls,
    } = login?;
    if let AuthConfig::Mtls { cert, key, ca } = &auth {
        tls.cert = Some(cert.clone());
        tls.key = Some(key.clone());
        tls.ca = ca.clone().or(tls.ca);
    }
    Some(TargetConfig {
        name: name?,
        labels: labels.unwrap_or_default(),
        parts,
        health,
        auth,
        session,
        tls,
        login_tls,
        limits: limits.unwrap_or_default(),
        via,
        unconfigured: None,
        is_of_node: false,
    })
}

/// `url`, or `base_url` with `parts`; and the origin that relative paths start from.
fn read_pages(
    section: &mut Section<'_>,
    has_profile: bool,
) -> (Option<Vec<PartConfig>>, Option<Url>) {
    let url = section
        .optional("url")
        .map(|field| (field.clone(), field.url()));
    let base_url = section
        .optional("base_url")
        .map(|field| (field.clone(), field.url()));
    let parts = section.optional("parts");
    match (url, base_url) {
        (Some((field, _)), Some(_)) => {
            field.error("`url` and `base_url` exclude one another", None);
            (None, None)
        }
        (Some((field, url)), None) => {
            if has_profile || parts.is_some() {
                field.error(
                    "with `profile` or `parts`, give `base_url` instead of `url`",
                    None,
                );
            }
            (url.clone().map(|url| vec![PartConfig::whole(url)]), url)
        }
        (None, Some((field, base))) => {
            if parts.is_none() && !has_profile {
                field.error("`base_url` needs `parts` or a `profile`", None);
            }
            let read = parts
                .zip(base.clone())
                .and_then(|(field, base)| read_parts(&field, &base));
            (read, base)
        }
        (None, None) => {
            let help = "give the page's address as `url`, or `base_url` with `parts`";
            section.field().error("`url` is missing", Some(help));
            (None, None)
        }
    }
}

/// Why a text is not a target's name; `None` when it is one.
pub fn refuse_name(name: &str) -> Option<&'static str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
    if name.is_empty() || name.len() > NAME_LENGTH_MAX {
        return Some("a name has 1 to 200 characters");
    }
    if !name.chars().all(is_allowed) || name == "." || name == ".." {
        return Some(
            "a name has letters, digits, `.`, `_`, `:` and `-`, because it stands in a URL",
        );
    }
    None
}

fn read_name(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    if let Some(reason) = refuse_name(&name) {
        field.error(reason, None);
        return None;
    }
    Some(name)
}

/// `{node: NAME}`.
fn read_via(field: &Field<'_>) -> Option<String> {
    let mut section = field.section()?;
    let node = section.required("node").and_then(|field| field.text());
    section.finish();
    node
}

fn read_labels(field: &Field<'_>) -> Option<BTreeMap<String, String>> {
    let labels = field.entries(|name, field| {
        let mut chars = name.chars();
        let starts_well = chars
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            field.error(
                "a label's name has letters, digits and `_`, and no digit first",
                None,
            );
        }
        field.text()
    })?;
    Some(labels.into_iter().collect())
}

fn read_limits(field: &Field<'_>) -> Option<Limits> {
    let default = Limits::default();
    let mut section = field.section()?;
    let limits = Limits {
        timeout: section
            .optional("timeout")
            .and_then(|f| f.duration())
            .unwrap_or(default.timeout),
        body: section
            .optional("body")
            .and_then(|f| f.bytes())
            .unwrap_or(default.body),
        concurrency: section
            .optional("concurrency")
            .and_then(|field| field.integer(1..=1_000))
            .unwrap_or(default.concurrency),
    };
    section.finish();
    Some(limits)
}

fn read_source(field: &Field<'_>) -> Option<SourceConfig> {
    let mut section = field.section()?;
    let kind = section
        .required("kind")
        .and_then(|f| f.choice(&[("file", 0), ("mysql", 1)]))?;
    let source = if kind == 0 {
        section
            .required("path")
            .and_then(|f| f.path())
            .map(|path| SourceConfig::File { path })
    } else {
        read_mysql(&mut section).map(SourceConfig::Mysql)
    };
    section.finish();
    source
}

fn read_mysql(section: &mut Section<'_>) -> Option<MysqlConfig> {
    let url = section
        .required("url")
        .and_then(|field| SecretSource::read(&field));
    let profile = section
        .required("profile")
        .and_then(|f| f.choice(&[("whatsapp", ())]));
    let base_url = section.required("base_url").and_then(|field| {
        let text = field.text()?;
        let example = text.replace("{number}", "1");
        let is_usable =
            Url::parse(&example).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_usable {
            let help = "such as https://{number}.wa.example.net";
            field.error("an http or https URL is expected here", Some(help));
            return None;
        }
        Some(text)
    });
    let refresh = section.optional("refresh").and_then(|field| {
        let refresh = field.duration()?;
        if refresh < Duration::from_secs(1) {
            field.error("at least 1s", None);
        }
        Some(refresh)
    });
    let tls = section
        .optional("tls")
        .and_then(|field| ClientTls::read(&field));
    let limits = section
        .optional("limits")
        .and_then(|field| read_limits(&field));
    profile?;
    Some(MysqlConfig {
        url: url?,
        base_url: base_url?,
        refresh: refresh.unwrap_or(Duration::from_secs(30)),
        tls: tls.unwrap_or_default(),
        limits: limits.unwrap_or_default(),
    })
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
pub(super) fn as_bytes<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_bytes(*bytes))
}

/// A URL without its password and the values of its query: any of them may be a key.
pub(super) fn as_url<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
    let mut shown = url.clone();
    if let Some(query) = url.query() {
        let names = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) => format!("{name}={MASK}"),
            None => pair.to_owned(),
        });
        shown.set_query(Some(&names.collect::<Vec<_>>().join("&")));
    }
    if url.password().is_some() && shown.set_password(Some(MASK)).is_err() {
        return Err(serde::ser::Error::custom(
            "a URL that can't have a password has one",
        ));
    }
    serializer.serialize_str(shown.as_str())
}

pub(super) fn as_duration<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

//! The section `signals` of the configuration: other stores that samples are sent to, and read from. The
//! page for operators is `docs/operate/monitor.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use base::config::{Field, Section, as_bytes, as_duration};
use base::secret::SecretSource;
use base::tls::ClientTls;
use serde::{Serialize, Serializer};
use url::Url;
use wire::remote_write::Version;

use crate::scrape::config::{BasicAuth, ClientAuth, HttpOptions};

/// Other stores.
const REMOTES_MAX: usize = 8;
/// Headers that are added to requests.
const HEADERS_MAX: usize = 32;
/// Letters of a name, which is a file's and a label's, too.
const NAME_BYTES_MAX: usize = 63;
/// What may wait for a remote.
const QUEUES: RangeInclusive<u64> = (1 << 20)..=(1 << 40);
/// How long a request may take.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(10);
/// Parts of a queue that are dropped at once when it is full: a file of the log each.
const QUEUE_FILES: u64 = 8;

/// The section `signals`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SignalsConfig {
    /// Other stores.
    pub remote: Vec<RemoteConfig>,
}

/// Another store.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RemoteConfig {
    /// What files and metrics call it.
    pub name: String,
    /// Where samples are sent to by remote write.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_url")]
    pub url: Option<Url>,
    /// Of remote write.
    #[serde(serialize_with = "as_version")]
    pub version: Version,
    /// Whether native histograms are sent.
    pub histograms: bool,
    /// Who we say we are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<RemoteAuth>,
    /// Headers that are added.
    pub headers: BTreeMap<String, SecretSource>,
    /// How the server is verified.
    pub tls: ClientTls,
    /// Bytes of the log that may wait.
    #[serde(serialize_with = "as_bytes")]
    pub queue: u64,
    /// How long a request may take.
    #[serde(serialize_with = "as_duration")]
    pub timeout: Duration,
    /// How samples are read back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<ReadConfig>,
}

/// Who we say we are.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum RemoteAuth {
    /// `Authorization: Bearer`
    Bearer {
        /// What follows.
        token: SecretSource,
    },
    /// `Authorization: Basic`
    Basic {
        /// The user.
        username: SecretSource,
        /// The password.
        password: SecretSource,
    },
}

/// How samples are read back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReadConfig {
    /// Where, by remote read.
    #[serde(serialize_with = "as_needed_url")]
    pub url: Url,
    /// When.
    pub mode: ReadMode,
}

/// Where queries take their samples from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadMode {
    /// From here.
    Off,
    /// From here and from there; what is here wins.
    Merged,
    /// From there.
    Delegated,
}

impl SignalsConfig {
    /// Reads the section; reports what is wrong in it.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let remotes = section.optional("remote");
        let remote = remotes.as_ref().map(|field| {
            let all = field.list(|field| RemoteConfig::read(&field));
            let all = all.unwrap_or_default();
            check_all(field, &all);
            all
        });
        section.finish();
        Some(Self {
            remote: remote.unwrap_or_default(),
        })
    }

    /// The remotes that samples are sent to.
    pub fn written(&self) -> impl Iterator<Item = &RemoteConfig> {
        self.remote.iter().filter(|remote| remote.url.is_some())
    }

    /// The store keeps its log for those who are sent samples, in files of which several make a queue.
    pub fn adjust(&self, options: signals::Options) -> signals::Options {
        let Some(smallest) = self.written().map(|remote| remote.queue).min() else {
            return options;
        };
        signals::Options {
            keep_log: true,
            log_file_bytes: options.log_file_bytes.min(smallest / QUEUE_FILES),
            ..options
        }
    }
}

/// What is wrong with the remotes together.
fn check_all(field: &Field<'_>, all: &[RemoteConfig]) {
    if all.len() > REMOTES_MAX {
        field.error(format!("more than {REMOTES_MAX} remotes"), None);
    }
    let mut names = BTreeSet::new();
    for remote in all {
        if !names.insert(&remote.name) {
            let name = &remote.name;
            field.error(format!("two remotes have the name `{name}`"), None);
        }
    }
    let modes = all.iter().filter_map(|remote| remote.read.as_ref());
    let modes: Vec<ReadMode> = modes
        .map(|read| read.mode)
        .filter(|mode| *mode != ReadMode::Off)
        .collect();
    if modes.len() > 1 && modes.contains(&ReadMode::Delegated) {
        let help = Some("set `mode: off` or `merged` for the others");
        field.error("when reads are delegated, they go to one remote only", help);
    }
}

impl RemoteConfig {
    fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let name = section.required("name").and_then(|field| read_name(&field));
        let url = section.optional("url");
        let read = section.optional("read");
        if url.is_none() && read.is_none() {
            let help = Some("`url` is where samples are sent, `read` where they are read");
            field.error("`url` or `read` is missing", help);
        }
        let version = section
            .optional("version")
            .and_then(|field| field.choice(&[("1.0", Version::One), ("2.0", Version::Two)]));
        let version = version.unwrap_or(Version::One);
        let histograms = section.optional("histograms");
        let auth = section.optional("auth").and_then(|field| read_auth(&field));
        let headers = section.optional("headers");
        let headers = headers.and_then(|field| read_headers(&field));
        let tls = section.optional("tls");
        let queue = section.optional("queue").and_then(|field| {
            let queue = field.bytes()?;
            if !QUEUES.contains(&queue) {
                field.error("a queue may have 1MiB to 1TiB", None);
            }
            Some(queue)
        });
        let timeout = section.optional("timeout").and_then(|field| {
            let timeout = field.duration()?;
            if !TIMEOUTS.contains(&timeout) {
                field.error("a request may take 1s to 10m", None);
            }
            Some(timeout)
        });
        section.finish();
        Some(Self {
            name: name?,
            url: url.and_then(|field| read_url(&field)),
            version,
            histograms: histograms
                .and_then(|field| field.boolean())
                .unwrap_or(version == Version::Two),
            auth,
            headers: headers.unwrap_or_default(),
            tls: tls
                .and_then(|field| ClientTls::read(&field))
                .unwrap_or_default(),
            queue: queue.unwrap_or(1 << 30),
            timeout: timeout.unwrap_or(Duration::from_secs(30)),
            read: read.and_then(|field| ReadConfig::read(&field)),
        })
    }

    /// As the client of scrapes has it.
    pub(super) fn http(&self) -> HttpOptions {
        let auth = self.auth.clone().map(|auth| match auth {
            RemoteAuth::Bearer { token } => ClientAuth::Header {
                kind: "Bearer".to_owned(),
                credentials: token,
            },
            RemoteAuth::Basic { username, password } => ClientAuth::Basic(BasicAuth {
                username: Some(username),
                password: Some(password),
            }),
        });
        let headers = self.headers.iter();
        HttpOptions {
            auth,
            tls: self.tls.clone(),
            follow_redirects: false,
            headers: headers
                .map(|(name, value)| (name.clone(), vec![value.clone()]))
                .collect(),
            ..HttpOptions::default()
        }
    }
}

impl ReadConfig {
    fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let url = section.required("url").and_then(|field| read_url(&field));
        let mode = section.optional("mode").and_then(|field| {
            field.choice(&[
                ("off", ReadMode::Off),
                ("merged", ReadMode::Merged),
                ("delegated", ReadMode::Delegated),
            ])
        });
        section.finish();
        Some(Self {
            url: url?,
            mode: mode.unwrap_or(ReadMode::Merged),
        })
    }
}

fn read_name(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
        let help = Some("write it as central-1");
        field.error("a name has 1 to 63 of a to z, 0 to 9 and -", help);
        return None;
    }
    Some(name)
}

/// The path is taken as it stands; a fragment would never be sent.
fn read_url(field: &Field<'_>) -> Option<Url> {
    let url = field.url()?;
    if url.fragment().is_some() {
        field.error("a URL here has no `#`", None);
        return None;
    }
    Some(url)
}

fn read_auth(field: &Field<'_>) -> Option<RemoteAuth> {
    type Read = fn(&mut Section<'_>) -> Option<RemoteAuth>;
    let kinds: [(&str, Read); 2] = [("bearer", read_bearer), ("basic", read_basic)];
    let mut section = field.section()?;
    let kind = section.required("kind");
    let read = kind.and_then(|field| field.choice(&kinds))?;
    let auth = read(&mut section);
    section.finish();
    auth
}

fn needed(section: &mut Section<'_>, key: &'static str) -> Option<SecretSource> {
    let field = section.required(key)?;
    SecretSource::read(&field)
}

fn read_bearer(section: &mut Section<'_>) -> Option<RemoteAuth> {
    Some(RemoteAuth::Bearer {
        token: needed(section, "token")?,
    })
}

fn read_basic(section: &mut Section<'_>) -> Option<RemoteAuth> {
    let (username, password) = (needed(section, "username"), needed(section, "password"));
    Some(RemoteAuth::Basic {
        username: username?,
        password: password?,
    })
}

/// Headers that requests have anyway.
const RESERVED: [&str; 9] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "x-prometheus-remote-read-version",
    "x-prometheus-remote-write-version",
];

fn read_headers(field: &Field<'_>) -> Option<BTreeMap<String, SecretSource>> {
    let headers = field.entries(|name, value| {
        if http::HeaderName::try_from(name).is_err() {
            value.error("this is no name of a header", None);
        }
        if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
            let help = Some("for authentication there is `auth`");
            value.error("this header can't be set here", help);
        }
        SecretSource::read(&value)
    })?;
    if headers.len() > HEADERS_MAX {
        field.error(format!("more than {HEADERS_MAX} headers"), None);
    }
    Some(headers.into_iter().collect())
}

#[expect(clippy::ref_option, reason = "serde hands it over so")]
fn as_url<S: Serializer>(url: &Option<Url>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(url.as_ref().map_or("", Url::as_str))
}

fn as_needed_url<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(url.as_str())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn as_version<S: Serializer>(version: &Version, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match version {
        Version::One => "1.0",
        Version::Two => "2.0",
    })
}

#[cfg(test)]
mod tests;

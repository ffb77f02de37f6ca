//! The section `collector.artefacts` of the configuration. The page for operators is
//! `docs/operate/artefacts.md`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use base::config::{Field, Section, as_bytes, as_duration, as_keep, as_optional_bytes};
use base::secret::SecretSource;
use bucket::BucketConfig;
use ipnet::IpNet;
use serde::{Serialize, Serializer};
use url::Url;

use super::settings::{GroupConfig, Limit, read_retention};
use super::visitor::Act;

#[cfg(test)]
mod tests;

/// The longest life of a link: what Signature Version 4 allows.
const LINK_EXPIRATION_MAX: Duration = Duration::from_hours(7 * 24);
/// The longest that an upload in parts may stay without its end.
const UPLOADS_EXPIRE_MAX: Duration = Duration::from_hours(365 * 24);
/// Users of one collector.
const USERS_MAX: usize = 1_000;
const NAME_BYTES_MAX: usize = 64;
/// How soon a run may be over after the last that came.
const CLOSE_AFTER_MIN: Duration = Duration::from_secs(1);
/// The largest telemetry that may be configured.
const TELEMETRY_LIMIT_MAX: u64 = 256 << 20;
/// First segments of other paths.
const TAKEN: [&str; 19] = [
    "api",
    "apps",
    "clients",
    "download",
    "download-url",
    "files",
    "health",
    "healthz",
    "launch",
    "login",
    "metrics",
    "navigate",
    "poll",
    "push",
    "readyz",
    "runs",
    "second-factor",
    "telemetry",
    "telemetryui",
];
/// The name with which our own links are signed.
pub(crate) const LINK_NAME: &str = "landline-link";

/// The section `collector.artefacts`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArtefactsConfig {
    /// Where the objects are; the folder `artefacts` in the data directory without it.
    pub objects: Option<ObjectsConfig>,
    /// The key of the store that has the bucket; `AWS_ACCESS_KEY_ID` without it.
    pub access_key: Option<SecretSource>,
    /// Its secret; `AWS_SECRET_ACCESS_KEY` without it.
    pub secret_key: Option<SecretSource>,
    /// The authority of that store's certificate; the system's without it.
    pub ca: Option<PathBuf>,
    /// The bucket that S3 clients name.
    pub bucket: String,
    /// How long a link may be used to begin something.
    #[serde(serialize_with = "as_duration")]
    pub link_expiration: Duration,
    /// How long an upload in parts may stay without its end.
    #[serde(serialize_with = "as_duration")]
    pub uploads_expire: Duration,
    /// Who has a name and a password here.
    pub users: Vec<UserConfig>,
    /// Who needs none.
    pub access: AccessConfig,
    /// How clients reach this collector; otherwise as their request says.
    pub public_url: Option<Url>,
    /// Fronts whose forwarding headers are believed.
    #[serde(serialize_with = "as_texts")]
    pub trusted_proxies: Vec<IpNet>,
    /// How much may be kept.
    pub quota: Quota,
    /// How long runs are kept after their last change; for ever without it.
    #[serde(serialize_with = "as_keep")]
    pub retention: Option<Duration>,
    /// What holds for groups of some names instead.
    #[serde(serialize_with = "as_groups")]
    pub groups: Vec<GroupConfig>,
    /// How long nothing has come to a run that is closed.
    #[serde(serialize_with = "as_duration")]
    pub close_after: Duration,
    /// The largest telemetry, in bytes.
    #[serde(serialize_with = "as_bytes")]
    pub telemetry_limit: u64,
}

/// Where the objects are.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ObjectsConfig {
    /// In a folder.
    Folder(PathBuf),
    /// In a bucket of an S3 store.
    Bucket(BucketConfig),
}

/// A user of the configuration: name and password are key and secret of S3, too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UserConfig {
    /// The name.
    pub name: String,
    /// The password.
    pub password: SecretSource,
    /// Which groups it is about; all when empty. `*` at the end stands for anything.
    pub groups: Vec<String>,
    /// What they may do there.
    pub rights: Vec<Act>,
}

/// Who needs to prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessConfig {
    /// Programs of this machine.
    Local,
    /// Everybody.
    Open,
    /// Nobody.
    Closed,
}

/// How much may be kept, versions included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// In all groups together.
    #[serde(serialize_with = "as_optional_bytes")]
    pub total: Option<u64>,
    /// In each group.
    #[serde(serialize_with = "as_optional_bytes")]
    pub group: Option<u64>,
    /// What has to stay free on the disk.
    #[serde(serialize_with = "as_bytes")]
    pub keep_free: u64,
}

impl Default for ArtefactsConfig {
    fn default() -> Self {
        Self {
            objects: None,
            access_key: None,
            secret_key: None,
            ca: None,
            bucket: "artefacts".to_owned(),
            link_expiration: Duration::from_mins(20),
            uploads_expire: Duration::from_hours(7 * 24),
            users: Vec::new(),
            access: AccessConfig::Local,
            public_url: None,
            trusted_proxies: Vec::new(),
            quota: Quota {
                total: None,
                group: None,
                keep_free: 1 << 30,
            },
            retention: None,
            groups: Vec::new(),
            close_after: Duration::from_hours(1),
            telemetry_limit: 32 << 20,
        }
    }
}

impl ArtefactsConfig {
    /// Reads the section; reports what is wrong in it.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        let default = Self::default();
        let mut section = field.section()?;
        let objects = section
            .optional("objects")
            .and_then(|field| read_objects(&field));
        let access_key = section
            .optional("access_key")
            .and_then(|field| SecretSource::read_needed(&field));
        let secret_key = section
            .optional("secret_key")
            .and_then(|field| SecretSource::read_needed(&field));
        let ca = section.optional("ca").and_then(|field| field.path());
        let bucket = section
            .optional("bucket")
            .and_then(|field| read_bucket(&field));
        let link_expiration = section.optional("link_expiration").and_then(|field| {
            read_duration(&field, LINK_EXPIRATION_MAX, "a link may live from 1s to 7d")
        });
        let uploads_expire = section.optional("uploads_expire").and_then(|field| {
            let message = "an upload may stay from 1s to 365d";
            read_duration(&field, UPLOADS_EXPIRE_MAX, message)
        });
        let users = section
            .optional("users")
            .and_then(|field| read_users(&field));
        let access = section.optional("access").and_then(|field| {
            field.choice(&[
                ("local", AccessConfig::Local),
                ("open", AccessConfig::Open),
                ("closed", AccessConfig::Closed),
            ])
        });
        let public_url = section.optional("public_url").and_then(|field| field.url());
        let trusted_proxies = section
            .optional("trusted_proxies")
            .and_then(|field| field.list(|field| read_network(&field)));
        let quota = section
            .optional("quota")
            .and_then(|field| Quota::read(&field));
        let kept = Kept::read(&mut section);
        let telemetry_limit = section.optional("telemetry_limit").and_then(|field| {
            let bytes = field.bytes()?;
            if !(1..=TELEMETRY_LIMIT_MAX).contains(&bytes) {
                field.error("the largest telemetry may be 1B to 256MiB", None);
            }
            Some(bytes)
        });
        section.finish();
        Some(Self {
            objects,
            access_key,
            secret_key,
            ca,
            bucket: bucket.unwrap_or(default.bucket),
            link_expiration: link_expiration.unwrap_or(default.link_expiration),
            uploads_expire: uploads_expire.unwrap_or(default.uploads_expire),
            users: users.unwrap_or_default(),
            access: access.unwrap_or(default.access),
            public_url,
            trusted_proxies: trusted_proxies.unwrap_or_default(),
            quota: quota.unwrap_or(default.quota),
            retention: kept.retention,
            groups: kept.groups,
            close_after: kept.close_after.unwrap_or(default.close_after),
            telemetry_limit: telemetry_limit.unwrap_or(default.telemetry_limit),
        })
    }
}

/// At least a second.
fn read_duration(field: &Field<'_>, longest: Duration, message: &str) -> Option<Duration> {
    let duration = field.duration()?;
    if duration < Duration::from_secs(1) || duration > longest {
        field.error(message, None);
    }
    Some(duration)
}

/// How long what is kept.
struct Kept {
    retention: Option<Duration>,
    groups: Vec<GroupConfig>,
    close_after: Option<Duration>,
}

impl Kept {
    fn read(section: &mut Section<'_>) -> Self {
        let retention = section
            .optional("retention")
            .and_then(|field| read_retention(&field));
        let groups = section
            .optional("groups")
            .and_then(|field| GroupConfig::read_all(&field));
        let close_after = section.optional("close_after").and_then(|field| {
            let idle = field.duration()?;
            if idle < CLOSE_AFTER_MIN {
                field.error("a run is over after 1s at the earliest", None);
            }
            Some(idle)
        });
        Self {
            retention: retention.and_then(Limit::get),
            groups: groups.unwrap_or_default(),
            close_after,
        }
    }
}

fn read_network(field: &Field<'_>) -> Option<IpNet> {
    let network = field.text()?.parse::<IpNet>().ok();
    if network.is_none() {
        field.error("a network is expected here", Some("write it as 10.0.0.0/8"));
    }
    network
}

fn read_objects(field: &Field<'_>) -> Option<ObjectsConfig> {
    let text = field.text()?;
    if text.starts_with("s3://") {
        return BucketConfig::read(field, &text).map(ObjectsConfig::Bucket);
    }
    if text.contains("://") {
        let help = "write a folder, or s3://bucket/prefix?endpoint=https://…&region=…";
        field.error("objects are kept in a folder or a bucket", Some(help));
    }
    field.path().map(ObjectsConfig::Folder)
}

fn read_bucket(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(3..=63).contains(&name.len()) || !name.bytes().all(is_word) {
        let help = "3 to 63 lower-case letters, digits and `-`";
        field.error("this can't be the name of a bucket", Some(help));
    }
    if TAKEN.contains(&name.as_str()) {
        field.error("there are other paths of this name", None);
    }
    Some(name)
}

fn read_users(field: &Field<'_>) -> Option<Vec<UserConfig>> {
    let users = field.list(|field| UserConfig::read(&field))?;
    let names: BTreeSet<&str> = users.iter().map(|user| user.name.as_str()).collect();
    if names.len() < users.len() {
        field.error("two users have the same name", None);
    }
    if users.len() > USERS_MAX {
        field.error(format!("at most {USERS_MAX} users"), None);
    }
    Some(users)
}

impl UserConfig {
    fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let name = section.required("name").and_then(|field| {
            let name = field.text()?;
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
            if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_word) {
                let help = "letters, digits, `-`, `_`, `.` and `@`, at most 64";
                field.error("this can't be the name of a user", Some(help));
            }
            if name == LINK_NAME {
                field.error("this name stands for the collector itself", None);
            }
            Some(name)
        });
        let password = section
            .required("password")
            .and_then(|field| SecretSource::read_needed(&field));
        let groups = section
            .optional("groups")
            .and_then(|field| field.list(|field| field.text()));
        let rights = section.optional("rights").and_then(|field| {
            let words = [
                ("read", Act::Read),
                ("create", Act::Create),
                ("update", Act::Update),
                ("delete", Act::Delete),
            ];
            field.list(|field| field.choice(&words))
        });
        section.finish();
        Some(Self {
            name: name?,
            password: password?,
            groups: groups.unwrap_or_default(),
            rights: rights.unwrap_or_else(|| Act::ALL.to_vec()),
        })
    }
}

impl Quota {
    fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let total = section.optional("total").and_then(|field| field.bytes());
        let group = section.optional("group").and_then(|field| field.bytes());
        let keep_free = section
            .optional("keep_free")
            .and_then(|field| field.bytes());
        section.finish();
        let default = ArtefactsConfig::default().quota;
        Some(Self {
            total,
            group,
            keep_free: keep_free.unwrap_or(default.keep_free),
        })
    }
}

fn as_groups<S: Serializer>(groups: &[GroupConfig], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(groups.iter().map(|group| (&group.name, &group.settings)))
}

fn as_texts<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(networks.iter().map(ToString::to_string))
}

//! The configuration of the whole program: file → problems or a validated value. The sections of
//! the roles are read by the crates that own them.

pub(crate) mod cluster;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::config::{Context, Document, Field, Problem, Severity, format_duration};
use base::files;
use base::handover::REPLACEMENT_LIMIT;
use base::secret::SecretSource;
use base::telemetry::LogFormat;
use cluster::ClusterConfig;
use collect::records::config::CollectorConfig;
use monitor::config::MonitorConfig;
use monitor::remote::config::SignalsConfig;
use observe::gateway::config::GatewayConfig;
use serde::{Serialize, Serializer};

use crate::roles::{ROLES, Role};

/// The largest configuration file.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// The file that is read when no other is named and it exists.
pub(crate) const DEFAULT_FILE: &str = "landline.yaml";
/// The token of our own metrics, in the data directory.
pub(crate) const METRICS_TOKEN_FILE: &str = "metrics.token";

/// The validated configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Config {
    /// What this process does.
    pub(crate) roles: Vec<Role>,
    /// Where it keeps what must last.
    pub(crate) data_dir: PathBuf,
    /// The main listener.
    pub(crate) listen: SocketAddr,
    /// Its certificate; without one it speaks plain HTTP to this machine only.
    pub(crate) tls: Option<ServerTls>,
    /// The pid file.
    pub(crate) pid_file: Option<PathBuf>,
    /// The log.
    pub(crate) log: LogConfig,
    /// Own metrics.
    pub(crate) metrics: MetricsConfig,
    /// Limits of replacement.
    pub(crate) process: ProcessConfig,
    /// The cluster and this process's place in it.
    #[serde(flatten)]
    pub(crate) cluster: ClusterConfig,
    /// The role `gateway`.
    pub(crate) gateway: GatewayConfig,
    /// The role `collector`.
    pub(crate) collector: CollectorConfig,
    /// The role `monitor`.
    pub(crate) monitor: MonitorConfig,
    /// Other stores of samples.
    pub(crate) signals: SignalsConfig,
}

/// PEM files of the main listener.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ServerTls {
    /// The certificate and its chain.
    pub(crate) cert: PathBuf,
    /// The private key.
    pub(crate) key: PathBuf,
}

/// The log on stderr.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LogConfig {
    /// For people or for machines.
    pub(crate) format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, or a filter by module.
    pub(crate) level: String,
}

/// Own metrics at `/metrics`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct MetricsConfig {
    /// Asked of everyone, loopback too.
    pub(crate) token: Option<SecretSource>,
}

impl MetricsConfig {
    /// The file of the token, when it is ours to make and not there yet.
    pub(crate) fn token_to_make(&self, data_dir: &Path) -> Option<&Path> {
        let path = self.token.as_ref()?.file()?;
        let is_ours = path == data_dir.join(METRICS_TOKEN_FILE);
        (is_ours && !path.exists()).then_some(path)
    }
}

/// Limits of start and replacement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ProcessConfig {
    /// How long a replacement may take to be ready.
    #[serde(serialize_with = "as_duration")]
    pub(crate) replacement_timeout: Duration,
}

fn as_duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

/// Where the configuration came from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The file; `None` when there is none and the defaults hold.
    pub(crate) file: Option<PathBuf>,
    /// The folder that relative paths start from.
    pub(crate) folder: PathBuf,
}

/// What came of reading.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// `None` when a problem is an error.
    pub(crate) config: Option<Config>,
    /// All problems.
    pub(crate) problems: Vec<Problem>,
    /// Where it came from.
    pub(crate) origin: Origin,
    /// The data directory; `None` when the file is too broken to say.
    pub(crate) data_dir: Option<PathBuf>,
}

impl Loaded {
    /// The data directory, and how it is known, for people.
    pub(crate) fn place(&self) -> (PathBuf, &'static str) {
        let file = &self.origin.file;
        match (&self.data_dir, file) {
            (Some(data_dir), Some(_)) => (data_dir.clone(), "the configuration's `data_dir`"),
            (Some(data_dir), None) => (data_dir.clone(), "the default: no configuration file"),
            (None, _) => {
                let how =
                    "the default: the configuration can't be read, see `landline config check`";
                (default_data_dir(&self.origin.folder), how)
            }
        }
    }

    /// The file's name for reports.
    pub(crate) fn file(&self) -> PathBuf {
        self.origin
            .file
            .clone()
            .unwrap_or_else(|| PathBuf::from(DEFAULT_FILE))
    }
}

/// Reads the named file, or `landline.yaml` if it exists, or the defaults.
pub(crate) fn load(
    file: Option<&Path>,
    folder: &Path,
    environment: &BTreeMap<String, String>,
) -> Loaded {
    let default = folder.join(DEFAULT_FILE);
    let file = file
        .map(|file| folder.join(file))
        .or_else(|| default.exists().then_some(default));
    let parent = file
        .as_deref()
        .and_then(Path::parent)
        .unwrap_or(folder)
        .to_owned();
    let origin = Origin {
        file,
        folder: parent,
    };
    let text = match &origin.file {
        Some(path) => match files::read_text_limited(path, FILE_BYTES_MAX) {
            Ok(text) => text,
            Err(error) => return refused(origin, format!("can't be read: {error}"), (1, 1)),
        },
        None => String::new(),
    };
    let document = match Document::parse(&text) {
        Ok(document) => document,
        Err(error) => return refused(origin, error.message, (error.line, error.column)),
    };
    let context = Context::new(&origin.folder, environment.clone());
    let mut config = Config::read(&Field::root(&document.root, &context));
    let problems = context.take_problems();
    let is_known = !problems.iter().any(|problem| problem.path == "data_dir");
    let data_dir = config.as_ref().map(|config| config.data_dir.clone());
    let data_dir = data_dir.filter(|_| is_known);
    if problems
        .iter()
        .any(|problem| problem.severity == Severity::Error)
    {
        config = None;
    }
    if origin.file.is_none()
        && let Some(config) = &mut config
    {
        crate::boot::first_minute(config);
    }
    Loaded {
        config,
        problems,
        origin,
        data_dir,
    }
}

fn refused(origin: Origin, message: String, (line, column): (usize, usize)) -> Loaded {
    let problem = Problem {
        severity: Severity::Error,
        path: String::new(),
        line,
        column,
        span: 0..0,
        message,
        help: None,
    };
    Loaded {
        config: None,
        problems: vec![problem],
        origin,
        data_dir: None,
    }
}

impl Config {
    fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let roles = section.optional("roles").and_then(|field| {
            let choices: Vec<(&str, Role)> = ROLES.iter().map(|row| (row.name, row.role)).collect();
            let roles = field.list(|field| field.choice(&choices))?;
            if roles.is_empty() {
                field.error("a process without roles does nothing", None);
            }
            Some(roles)
        });
        let data_dir = section.optional("data_dir").and_then(|field| field.path());
        let listen = section.optional("listen").and_then(|field| field.address());
        let tls = section.optional("tls").and_then(|field| read_tls(&field));
        let pid_file = section.optional("pid_file").and_then(|field| field.path());
        let log = section.optional("log").and_then(|field| read_log(&field));
        let data_dir = data_dir.unwrap_or_else(|| default_data_dir(&field.context().folder));
        let metrics = section
            .optional("metrics")
            .and_then(|field| read_metrics(&field, &data_dir));
        let process = section.optional("process").and_then(|field| {
            let mut section = field.section()?;
            let timeout = section
                .optional("replacement_timeout")
                .and_then(|f| f.duration());
            section.finish();
            timeout
        });
        let roles = roles.unwrap_or_else(|| ROLES.iter().map(|row| row.role).collect());
        let gateway = section.optional("gateway").and_then(|field| {
            let gateway = GatewayConfig::read(&field)?;
            if gateway.pushprox && !roles.iter().any(|role| role.is_hub()) {
                let help = "add the role `auth` or `proxy`: it knows the clients' tokens";
                field.error("`pushprox` needs a hub in the same process", Some(help));
            }
            Some(gateway)
        });
        let collector = section
            .optional("collector")
            .and_then(|field| CollectorConfig::read(&field));
        let monitor = section
            .optional("monitor")
            .and_then(|field| MonitorConfig::read(&field));
        let signals = section
            .optional("signals")
            .and_then(|field| SignalsConfig::read(&field));
        let cluster = ClusterConfig::read(&mut section, &roles);
        section.finish();
        let default_listen = cluster.default_listen();
        Some(Self {
            roles,
            data_dir,
            listen: listen.unwrap_or(default_listen),
            tls,
            pid_file,
            log: log.unwrap_or_else(default_log),
            metrics: metrics.unwrap_or_default(),
            process: ProcessConfig {
                replacement_timeout: process.unwrap_or(REPLACEMENT_LIMIT),
            },
            cluster,
            gateway: gateway.unwrap_or_default(),
            collector: collector.unwrap_or_default(),
            monitor: monitor.unwrap_or_default(),
            signals: signals.unwrap_or_default(),
        })
    }
}

/// Where what must last is when the configuration doesn't say.
fn default_data_dir(folder: &Path) -> PathBuf {
    folder.join("landline-data")
}

fn read_metrics(field: &Field<'_>, data_dir: &Path) -> Option<MetricsConfig> {
    let mut section = field.section()?;
    let token = section.optional("token").and_then(|field| {
        let token = Some(SecretSource::parse(&field)?);
        let metrics = MetricsConfig { token };
        match metrics.token_to_make(data_dir) {
            Some(_) => metrics.token,
            None => SecretSource::read_needed(&field),
        }
    });
    section.finish();
    Some(MetricsConfig { token })
}

fn default_log() -> LogConfig {
    LogConfig {
        format: LogFormat::Text,
        level: "info".to_owned(),
    }
}

fn read_tls(field: &Field<'_>) -> Option<ServerTls> {
    let mut section = field.section()?;
    let cert = section.required("cert").and_then(|field| field.path());
    let key = section.required("key").and_then(|field| field.path());
    section.finish();
    Some(ServerTls {
        cert: cert?,
        key: key?,
    })
}

fn read_log(field: &Field<'_>) -> Option<LogConfig> {
    let mut section = field.section()?;
    let format = section
        .optional("format")
        .and_then(|field| field.choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]));
    let level = section.optional("level").and_then(|field| field.text());
    section.finish();
    let default = default_log();
    Some(LogConfig {
        format: format.unwrap_or(default.format),
        level: level.unwrap_or(default.level),
    })
}

//! One target at run time: its session, its connections, and the last pages of its slow parts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::client::{Client, Dial, Nodes};
use base::clock;
use base::files::{self, Stamp};
use base::secret::Secret;
use base::supervise::Supervisor;
use base::tls::ClientTls;
use prometheus_client::metrics::histogram::Histogram;
use serde::Serialize;
use tokio::sync::Semaphore;
use wire::exposition::{Page, Shape};

use super::auth::{LoginContext, LoginGate, RefreshTokens, Resolver, Scheme};
use super::config::{Convert, PartConfig, TargetConfig};
use super::failure::{Failure, FailureKind, unix_seconds};
use super::metrics::{GatewayMetrics, TargetMetrics};
use super::session::{Session, SessionView};
use super::whatsapp::Health;

/// What every target is built with.
#[derive(Debug, Clone)]
pub(crate) struct TargetParts {
    /// Runs logins and connections.
    pub(crate) supervisor: Supervisor,
    /// Bounds logins at one host.
    pub(crate) gate: LoginGate,
    /// What must last of logins.
    pub(crate) refresh_tokens: RefreshTokens,
    /// The gateway's families.
    pub(crate) metrics: GatewayMetrics,
    /// The nodes, where there are lines to them.
    pub(crate) nodes: Option<Arc<dyn Nodes>>,
}

/// One target.
#[derive(Debug)]
pub(crate) struct Target {
    config: TargetConfig,
    identity: Identity,
    /// `Err` when a secret is missing.
    session: Result<Arc<Session>, Failure>,
    pub(super) client: Client,
    pub(super) slots: Semaphore,
    pub(super) metrics: TargetMetrics,
    pub(super) parts: Vec<PartState>,
    standing: Mutex<Standing>,
}

/// What changes when a credential changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    secrets: Vec<Secret>,
    missing: Option<String>,
    files: Vec<Option<Stamp>>,
}

/// What is kept of one part between scrapes.
#[derive(Debug)]
pub(crate) struct PartState {
    pub(super) durations: Histogram,
    pub(super) last: Mutex<Option<(Page, Instant)>>,
    /// Of the last page that was read whole; kept only where a page goes out as it came.
    shape: Mutex<Option<Shape>>,
}

/// How the last scrape went.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// The failure, when it failed.
    pub(crate) failure: Option<Failure>,
    /// Optional parts that were missing, with their reasons.
    pub(crate) parts: Vec<(String, String)>,
    /// The health page.
    pub(crate) health: Option<Health>,
    /// Unix seconds when this state began.
    pub(crate) since: Option<i64>,
    /// Unix seconds of the last good page.
    pub(crate) last_good: Option<i64>,
    /// There was a scrape.
    pub(crate) is_known: bool,
}

/// A target for `/v1/gateway/targets`.
#[derive(Debug, Serialize)]
pub(crate) struct TargetView {
    name: String,
    state: &'static str,
    reason: Option<String>,
    since: Option<i64>,
    last_good: Option<i64>,
    next_attempt_seconds: Option<u64>,
    token_expires_seconds: Option<u64>,
    insecure: bool,
    labels: BTreeMap<String, String>,
    url: String,
}

impl Target {
    /// Reads the secrets and builds the target; a missing secret makes it unconfigured.
    pub(crate) fn new(
        config: TargetConfig,
        environment: &BTreeMap<String, String>,
        parts: &TargetParts,
    ) -> Arc<Self> {
        let (scheme, identity) = resolve(&config, environment);
        let metrics = parts.metrics.target(&config.name);
        let dial = via(&config, parts);
        let client_of =
            |tls: &ClientTls, dial| Client::through(dial, tls.clone(), parts.supervisor.clone());
        let (dial, scheme) = match dial {
            Ok(dial) => (dial, scheme),
            Err(failure) => (None, Err(failure)),
        };
        let client = client_of(&config.tls, dial.clone());
        let name: Arc<str> = Arc::from(config.name.as_str());
        let page = config.parts.first().map(|part| part.url.clone());
        let session = scheme.and_then(|scheme| {
            let page = page.ok_or_else(|| unconfigured("no page"))?;
            let context = LoginContext {
                name,
                client: client.clone(),
                other: client_of(&config.login_tls, dial),
                page,
                gate: parts.gate.clone(),
                refresh_tokens: parts.refresh_tokens.clone(),
            };
            let supervisor = parts.supervisor.clone();
            Ok(Session::new(
                scheme,
                config.session.clone(),
                context,
                supervisor,
                metrics.clone(),
            ))
        });
        let states = config.parts.iter().map(|part| PartState {
            durations: metrics.part_durations(&part.name),
            last: Mutex::default(),
            shape: Mutex::default(),
        });
        Arc::new(Self {
            parts: states.collect(),
            slots: Semaphore::new(usize::try_from(config.limits.concurrency).unwrap_or(1)),
            config,
            identity,
            session,
            client,
            metrics,
            standing: Mutex::default(),
        })
    }

    /// Whether a target with this configuration and these secrets would be the same.
    pub(crate) fn is_same(
        &self,
        config: &TargetConfig,
        environment: &BTreeMap<String, String>,
    ) -> bool {
        self.config == *config && self.identity == resolve(config, environment).1
    }

    /// Its configuration.
    pub(crate) fn config(&self) -> &TargetConfig {
        &self.config
    }

    /// Its session.
    ///
    /// # Errors
    /// It is unconfigured.
    pub(crate) fn session(&self) -> Result<&Arc<Session>, Failure> {
        self.session.as_ref().map_err(Clone::clone)
    }

    /// How its session stands.
    pub(crate) fn session_view(&self, now: Instant) -> SessionView {
        self.session
            .as_ref()
            .map(|session| session.view(now))
            .unwrap_or_default()
    }

    /// Its one page goes out as it came, and nothing is added to it.
    pub(crate) fn is_verbatim(&self) -> bool {
        let is_plain = |part: &PartConfig| {
            part.convert == Convert::Passthrough && part.every.is_none() && part.cache_ttl.is_none()
        };
        self.config.health.is_none()
            && matches!(self.config.parts.as_slice(), [part] if is_plain(part))
    }

    /// The last scrape was good, or there was none.
    pub(crate) fn is_well(&self) -> bool {
        self.session.is_ok() && {
            let standing = self.standing();
            standing.failure.is_none() && standing.parts.is_empty()
        }
    }

    /// How the last scrape went.
    pub(crate) fn standing(&self) -> Standing {
        self.standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Keeps how a scrape went; `since` stays while the state is the same.
    pub(crate) fn set_standing(&self, new: Standing) {
        let now = unix_seconds();
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = |standing: &Standing| standing.failure.as_ref().map(|failure| failure.kind);
        let is_same = standing.is_known
            && kind(&standing) == kind(&new)
            && standing.parts.is_empty() == new.parts.is_empty();
        let since = standing.since.filter(|_| is_same).or(Some(now));
        let last_good = if new.failure.is_none() {
            Some(now)
        } else {
            standing.last_good
        };
        *standing = Standing {
            since,
            last_good,
            is_known: true,
            ..new
        };
    }

    /// For `/v1/gateway/targets`.
    pub(crate) fn view(&self) -> TargetView {
        let standing = self.standing();
        let session = self.session_view(clock::now());
        let failure = self.session.as_ref().err().or(standing.failure.as_ref());
        let (state, reason) = match failure {
            Some(failure) => (failure.kind.word(), Some(failure.reason.clone())),
            None if !standing.is_known => ("idle", None),
            None => match standing.parts.first() {
                Some((part, reason)) => ("degraded", Some(format!("part {part}: {reason}"))),
                None => ("ok", None),
            },
        };
        TargetView {
            name: self.config.name.clone(),
            state,
            reason,
            since: standing.since,
            last_good: standing.last_good,
            next_attempt_seconds: session.wait.map(|wait| wait.as_secs()),
            token_expires_seconds: session.expires_in.map(|life| life.as_secs()),
            insecure: self.config.is_insecure(),
            labels: self.labels(),
            url: self
                .config
                .parts
                .first()
                .map(|part| shown(&part.url))
                .unwrap_or_default(),
        }
    }

    /// Labels for Prometheus: the configured ones, and `customer` with the profile `whatsapp`.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.config.labels.clone();
        if self.is_whatsapp() {
            labels
                .entry("customer".to_owned())
                .or_insert_with(|| self.config.name.clone());
        }
        labels
    }

    /// Whether the health rule is the one of WhatsApp.
    pub(crate) fn is_whatsapp(&self) -> bool {
        let rule = self.config.health.as_ref().map(|health| health.rule);
        rule == Some(super::config::HealthRule::Whatsapp)
    }
}

impl PartState {
    /// The last page, when it is not older than `age_max`.
    pub(crate) fn last_within(&self, age_max: Duration, now: Instant) -> Option<(Page, Duration)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (page, at) = last.as_ref()?;
        let age = now.saturating_duration_since(*at);
        (age <= age_max).then(|| (page.clone(), age))
    }

    /// Keeps a page for later.
    pub(crate) fn keep(&self, page: &Page, now: Instant) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((page.clone(), now));
    }

    /// The shape of the last page that [`Self::keep_shape`] was told of.
    pub(crate) fn shape(&self) -> Option<Shape> {
        *self.shape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the shape of a page that goes out as it came.
    pub(crate) fn keep_shape(&self, shape: Option<Shape>) {
        *self.shape.lock().unwrap_or_else(PoisonError::into_inner) = shape;
    }
}

/// A URL without its query, which may hold a key.
fn shown(url: &url::Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// The way to the node that the target is reached through, when it is.
fn via(config: &TargetConfig, parts: &TargetParts) -> Result<Option<Arc<dyn Dial>>, Failure> {
    let Some(node) = &config.via else {
        return Ok(None);
    };
    match &parts.nodes {
        Some(nodes) => Ok(Some(nodes.way_to(node))),
        None => Err(unconfigured(
            "`via` needs lines to nodes: add the role `proxy` to this process",
        )),
    }
}

fn unconfigured(reason: impl Into<String>) -> Failure {
    Failure::new(
        FailureKind::Unconfigured,
        format!("unconfigured: {}", reason.into()),
    )
}

fn resolve(
    config: &TargetConfig,
    environment: &BTreeMap<String, String>,
) -> (Result<Scheme, Failure>, Identity) {
    let mut resolver = Resolver::new(environment);
    let scheme = match &config.unconfigured {
        Some(reason) => Err(unconfigured(reason)),
        None => Scheme::resolve(&config.auth, &mut resolver)
            .map_err(|error| unconfigured(error.to_string())),
    };
    let missing = scheme.as_ref().err().map(|failure| failure.reason.clone());
    let files = config.tls_files().map(files::stamp).collect();
    (
        scheme,
        Identity {
            secrets: resolver.secrets,
            missing,
            files,
        },
    )
}

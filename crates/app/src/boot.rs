//! The start, in order: configuration, descriptors, listeners, roles, services, then the loop of
//! the process. Nothing runs before everything is bound and built.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::monitor::Monitor;
use ::monitor::config::MonitorConfig;
use base::clock;
use base::error::Class;
use base::events::Topic;
use base::files;
use base::handover::{self, Inherited, Replacement};
use base::health::Health;
use base::http::{Access, Protocol, Routes, Server, ServerLimits};
use base::listeners::Listeners;
use base::notify::Notifier;
use base::pid_file::PidFile;
use base::process::{self, Hooks, READY, exit_code};
use base::secret::SecretSource;
use base::supervise::{BoxError, Criticality, Service, Supervisor};
use base::telemetry::{self, Metrics};
use base::tls;
use base::unix_signals::Signals;
use identity::Identity;
use observe::gateway::config::{AuthConfig, PartConfig, SessionRules, TargetConfig};
use observe::gateway::{Gateway, GatewayParts, TARGETS_READY};
use reach::hub::{Apps, Hub, ListenerMetrics, Ways};
use state::State;

use crate::admin;
use crate::askers::Askers;
use crate::cluster::{self, NodeBuild};
use crate::config::{Config, Loaded, METRICS_TOKEN_FILE, MetricsConfig, Origin};
use crate::door::OwnDoor;
use crate::environment::Environment;
use crate::link::Place;
use crate::pages::Pages;
use crate::pushprox::PushproxClients;
use crate::roles::{ROLES, Role};
use crate::seen::Seen;
use crate::{
    collector, commands, config, interface, link, login, monitor, operations, pages, people, web,
};

#[cfg(test)]
mod tests;

/// Where a running process says how to reach it, in the data directory.
pub(crate) const LISTENERS_FILE: &str = "listeners.json";
/// A component is well again after twice this.
const HEALTH_PERIOD: Duration = Duration::from_secs(5);
/// How much longer than a replacement itself we wait for it, so that it can say what is missing.
const REPLACEMENT_MARGIN: Duration = Duration::from_secs(10);

/// The services of the listeners.
pub(crate) static DOORS: [&str; 4] = [
    "main.listener",
    "gateway.listener",
    "collector.listener",
    "monitor.listener",
];

/// The role of the ports of applications, for a successor.
const APP_LISTENER: &str = "app.listener";

static MAIN_LISTENS: Topic<()> = Topic::new("main.listener");
static GATEWAY_LISTENS: Topic<()> = Topic::new("gateway.listener");
static COLLECTOR_LISTENS: Topic<()> = Topic::new("collector.listener");
static MONITOR_LISTENS: Topic<()> = Topic::new("monitor.listener");

/// `landline start`
#[expect(clippy::print_stderr, reason = "without a log nobody else can say it")]
pub(crate) fn start(file: Option<&Path>, environment: &Environment) -> ExitCode {
    let started = clock::now();
    let loaded = config::load(file, &environment.folder, &environment.variables);
    let Some(config) = loaded.config.clone() else {
        return commands::refuse(&loaded, false);
    };
    if let Err(error) = telemetry::start_log(config.log.format, &config.log.level) {
        eprintln!("landline: log.level: {error}");
        return ExitCode::from(exit_code::CONFIGURATION);
    }
    for problem in &loaded.problems {
        tracing::warn!(
            key = problem.path,
            line = problem.line,
            "{}",
            problem.message
        );
    }
    let descriptors = base::descriptors::raise_limit();
    tracing::debug!(descriptors, "limit of descriptors");
    // Before the runtime, whose own descriptors must not be taken for passed ones.
    let inherited = match handover::inherit(&environment.handover()) {
        Ok(inherited) => inherited,
        Err(error) => {
            tracing::error!(error = %base::client::chain(&error), "can't start");
            return ExitCode::from(exit_code::NOT_READY);
        }
    };
    // Who sets it for the process has a reason.
    if !environment.variables.contains_key("MALLOC_ARENA_MAX") {
        base::memory::limit_arenas();
    }
    base::memory::keep_freed();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the runtime can't start");
            return ExitCode::from(exit_code::NOT_READY);
        }
    };
    let start = Start {
        config: &config,
        loaded: &loaded,
        environment,
        started,
    };
    let code = runtime.block_on(run(&start, inherited));
    // A service that blocks its thread was reported as late; nobody waits for it any more.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// What the process was started with.
struct Start<'a> {
    config: &'a Config,
    loaded: &'a Loaded,
    environment: &'a Environment,
    started: Instant,
}

async fn run(start: &Start<'_>, inherited: Inherited) -> u8 {
    let program = match build(start, inherited).await {
        Ok(program) => program,
        Err(error) => {
            tracing::error!(error = %base::client::chain(&*error), "can't start");
            return exit_code::NOT_READY;
        }
    };
    for [listener, method, path, policy] in &program.routes {
        tracing::debug!(listener, method, path, policy, "route");
    }
    let outcome = process::run(program.supervisor, program.signals, program.hooks).await;
    for late in &outcome.report.late {
        tracing::warn!(phase = ?late.phase, name = late.name, "late at the exit");
    }
    tracing::info!(code = outcome.code, reason = outcome.reason, "ended");
    outcome.code
}

/// Everything that is built before anything runs.
struct Program {
    supervisor: Supervisor,
    signals: Signals,
    hooks: Hooks,
    routes: Vec<RouteRow>,
}

/// Listener, method, path, and who may.
type RouteRow = [&'static str; 4];

/// What the steps of the build share.
struct Parts<'a> {
    config: &'a Config,
    origin: &'a Origin,
    environment: &'a Environment,
    supervisor: Supervisor,
    health: Health,
    metrics: Metrics,
    listeners: Listeners,
    tls: Option<Arc<rustls::ServerConfig>>,
    addresses: BTreeMap<&'static str, SocketAddr>,
    is_replacement: bool,
    routes: Vec<RouteRow>,
    /// With the beginning of links to this hub.
    identity: Option<(Identity, String)>,
    /// With who asks, for the roles that keep something in it.
    state: Option<(State, Arc<Askers>)>,
    hub: Option<Arc<Hub>>,
    protocols: Vec<Protocol>,
    door: OwnDoor,
}

async fn build(start: &Start<'_>, inherited: Inherited) -> Result<Program, BoxError> {
    let Start {
        config,
        loaded,
        environment,
        ..
    } = *start;
    let signals = Signals::install()?;
    let is_replacement = inherited.is_replacement();
    let pid_file = match &config.pid_file {
        // It takes the file over once it is ready; only that it can is certain from the start.
        Some(path) if is_replacement => PidFile::check(path).map(|()| None)?,
        Some(path) => Some(PidFile::acquire(path, false)?),
        None => None,
    };
    create_data_dir(config)?;
    let tls = config
        .tls
        .as_ref()
        .map(|files| tls::server(&files.cert, &files.key))
        .transpose()?;
    let mut parts = Parts {
        config,
        origin: &loaded.origin,
        environment,
        supervisor: Supervisor::new(),
        health: Health::new(HEALTH_PERIOD),
        metrics: Metrics::default(),
        listeners: Listeners::new(inherited.listeners),
        tls,
        addresses: BTreeMap::new(),
        is_replacement,
        routes: Vec::new(),
        hub: None,
        state: None,
        identity: None,
        protocols: Vec::new(),
        door: OwnDoor::default(),
    };
    web::process_metrics::register(&parts.metrics, &parts.supervisor, &parts.health);
    let main = parts.bind("main", config.listen, "listen")?;
    let mut ready = vec![MAIN_LISTENS.name()];
    let (mut routes, opened) = parts.build_roles(&mut ready).await?;
    let own = Arc::new(own_access(&config.metrics, environment)?);
    routes = routes.merge(web::routes(&parts.health, &parts.metrics, own));
    let reload = Reload::new(start, opened);
    routes = routes.merge(web::local_routes(Arc::new(reload)));
    let own = parts.door.service(routes.clone().into_router());
    parts.supervisor.register(own);
    parts.serve(main, routes, &MAIN_LISTENS, true);
    parts.supervisor.bus().map(&ready, &READY);
    parts.announce();
    let mut hooks = hooks(start, parts.listeners.clone(), inherited.ready);
    hooks.pid_file = pid_file;
    Ok(Program {
        supervisor: parts.supervisor,
        signals,
        hooks,
        routes: parts.routes,
    })
}

/// Whether a role is here whose pages the program brings along.
fn has_pages(config: &Config) -> bool {
    let has = |role| config.roles.contains(&role);
    has(Role::Collector) || has(Role::Monitor)
}

fn hooks(start: &Start<'_>, listeners: Listeners, ready_pipe: Option<OwnedFd>) -> Hooks {
    let Start {
        config,
        environment,
        started,
        ..
    } = *start;
    let limit = config.process.replacement_timeout;
    let mut hooks = Hooks::new(started, listeners);
    if ready_pipe.is_some() {
        hooks.ready_limit = limit;
        hooks.predecessor = Some(parent_id());
        hooks.pid_path.clone_from(&config.pid_file);
    }
    hooks.ready_pipe = ready_pipe;
    let notify_socket = environment.variables.get("NOTIFY_SOCKET");
    hooks.notifier = Notifier::new(notify_socket.map(String::as_str));
    hooks.replacement = Some(Replacement {
        program: environment.program.clone(),
        args: environment.arguments.clone(),
        directory: environment.folder.clone(),
        environment: Vec::new(),
        timeout: limit + REPLACEMENT_MARGIN,
    });
    hooks
}

/// Roles of which parts can be configured anew in place.
#[derive(Default)]
struct Reloadable {
    gateway: Option<Arc<Gateway>>,
    monitor: Option<Arc<Monitor>>,
}

impl Parts<'_> {
    /// All roles, in the order of the table: their paths on the main listener.
    async fn build_roles(
        &mut self,
        ready: &mut Vec<&'static str>,
    ) -> Result<(Routes, Reloadable), BoxError> {
        let mut routes = self.build_hub().await?;
        let mut opened = Reloadable::default();
        let roles = &self.config.roles;
        for row in ROLES.iter().filter(|row| roles.contains(&row.role)) {
            let own = match row.role {
                // The hub is there already: the others need it.
                Role::Auth | Role::Proxy => Routes::default(),
                Role::Node => self.build_node().map(|()| Routes::default())?,
                Role::Gateway => {
                    let gateway = self.build_gateway(ready)?;
                    opened.gateway.insert(gateway).routes()
                }
                Role::Collector => self.build_collector(ready).await?,
                Role::Monitor => {
                    let gateway = opened.gateway.clone();
                    let (monitor, routes) = self.build_monitor(gateway, ready).await?;
                    opened.monitor = Some(monitor);
                    routes
                }
            };
            routes = routes.merge(own);
        }
        if has_pages(self.config) {
            routes = routes.merge(interface::routes());
        }
        if roles.contains(&Role::Node) || roles.contains(&Role::Monitor) {
            let askers = self.state.as_ref().map(|(_, askers)| askers);
            routes = routes.merge(monitor::host_routes(askers));
        }
        Ok((routes, opened))
    }

    fn bind(
        &mut self,
        role: &'static str,
        address: SocketAddr,
        key: &str,
    ) -> Result<std::net::TcpListener, BoxError> {
        let listener = self.listeners.bind(role, address, key)?;
        self.addresses.insert(role, listener.local_addr()?);
        Ok(listener)
    }

    /// Registers a listener as a critical service that says when it listens.
    fn serve(
        &mut self,
        listener: std::net::TcpListener,
        routes: Routes,
        listens: &'static Topic<()>,
        is_main: bool,
    ) {
        let rows = routes.rows().iter();
        self.routes
            .extend(rows.map(|row| [listens.name(), row.method, row.path, row.policy.name()]));
        let server = Server {
            listener,
            router: routes.into_router(),
            tls: if is_main { self.tls.clone() } else { None },
            protocols: if is_main {
                std::mem::take(&mut self.protocols)
            } else {
                Vec::new()
            },
            limits: ServerLimits {
                plain_for_loopback_only: is_main,
                ..ServerLimits::default()
            },
        };
        let component = self.health.component(listens.name());
        // Only the gateway has targets to wait for.
        let waits = self.is_replacement && self.config.roles.contains(&Role::Gateway);
        let service = Service::new(
            listens.name(),
            Criticality::Critical,
            move |scope| async move {
                scope.bus().publish(listens, ());
                if waits {
                    // Until then the old process alone takes what comes: we would answer 404.
                    // After it, what comes waits in the queue, which belongs to the socket.
                    tokio::select! {
                        () = scope.bus().wait(&TARGETS_READY) => {}
                        () = scope.stopping() => return Ok(()),
                    }
                }
                component.ok();
                server.run(scope).await
            },
        );
        self.supervisor.register(service);
    }

    /// The state and who may use it; the roles `auth` and `proxy`: their paths, and the TLS of the main
    /// listener.
    async fn build_hub(&mut self) -> Result<Routes, BoxError> {
        let has = |role| self.config.roles.contains(&role);
        if !self.config.roles.iter().any(|role| role.has_state()) {
            return Ok(Routes::default());
        }
        let main = self
            .addresses
            .get("main")
            .copied()
            .unwrap_or(self.config.listen);
        let (state, identity) =
            cluster::open_identity(self.config, self.environment, &self.supervisor).await?;
        let access = admin::access(&self.config.data_dir, &random_token()?)?;
        let public = self.config.cluster.public_addr.clone();
        let base = link::base(public.as_deref(), main);
        let public = public.unwrap_or_else(|| main.to_string());
        let place = Place {
            base,
            proxy: public.clone(),
        };
        let askers = Askers::new(&identity, &access);
        self.state = Some((state.clone(), Arc::clone(&askers)));
        let mut seen = None;
        let mut routes = admin::routes(&askers, &public)
            .merge(people::routes(&askers, &place))
            .merge(operations::routes(&askers))
            .merge(login::routes(&askers));
        if has(Role::Proxy) {
            let opened = (state, identity.clone());
            let hub = cluster::open_hub(self.config, opened, main, &self.supervisor).await?;
            hub.register(&self.metrics);
            let apps = cluster::open_apps(&public, &hub, &access, &self.supervisor);
            let nodes = Arc::new(Seen {
                identity: identity.clone(),
                nodes: hub.nodes(),
            });
            self.open_app_listeners(&apps)?;
            routes = routes
                .merge(hub.routes())
                .merge(apps.routes())
                .merge(admin::node_routes(&hub, &nodes, &askers))
                .merge(operations::node_routes(&hub, &askers));
            seen = Some(nodes);
            self.protocols = hub.protocols()?;
            if self.tls.is_none() {
                self.tls = Some(hub.web_tls()?);
            }
            self.hub = Some(hub);
        }
        let pages = Pages {
            askers,
            seen,
            has_records: has(Role::Collector),
            has_interface: has_pages(self.config),
            hosts: cluster::app_hosts(Some(&public)),
        };
        routes = routes.merge(pages::routes(&Arc::new(pages)));
        self.identity = Some((identity, place.base));
        Ok(routes)
    }

    /// The ports that `proxy.listeners` opens for applications.
    fn open_app_listeners(&mut self, apps: &Arc<Apps>) -> Result<(), BoxError> {
        let configs = &self.config.cluster.proxy.listeners;
        if configs.is_empty() {
            return Ok(());
        }
        let metrics = ListenerMetrics::new(&self.metrics);
        for config in configs {
            let listener = self
                .listeners
                .bind(APP_LISTENER, config.listen, "proxy.listeners")?;
            let address = listener.local_addr()?;
            tracing::info!(app = config.app, %address, "a port for an application");
            let service = apps.listener(listener, config.clone(), metrics.clone())?;
            self.supervisor.register(service);
        }
        Ok(())
    }

    fn build_node(&mut self) -> Result<(), BoxError> {
        let main = self
            .addresses
            .get("main")
            .copied()
            .unwrap_or(self.config.listen);
        let identity = self.hub.as_ref().map(|hub| hub.identity().clone());
        cluster::build_node(&NodeBuild {
            config: self.config,
            environment: self.environment,
            supervisor: &self.supervisor,
            health: &self.health,
            folder: self.origin.folder.clone(),
            main,
            door: self.door.clone(),
            local: identity,
        })
    }

    fn build_gateway(&mut self, ready: &mut Vec<&'static str>) -> Result<Arc<Gateway>, BoxError> {
        let config = self.config.gateway.clone();
        let listen = config.listen;
        let parts = GatewayParts {
            supervisor: self.supervisor.clone(),
            metrics: self.metrics.clone(),
            name: TARGETS_READY.name(),
            ready: &TARGETS_READY,
            component: self.health.component("gateway"),
            environment: self.environment.variables.clone(),
            folder: self.origin.folder.clone(),
            data_dir: self.config.data_dir.clone(),
            nodes: self
                .hub
                .as_ref()
                .map(|hub| Arc::new(Ways(hub.nodes())) as _),
            clientele: self
                .identity
                .as_ref()
                .map(|(identity, _)| Arc::new(PushproxClients::new(identity)) as _),
            is_replacement: self.is_replacement,
        };
        let gateway = Gateway::build(config, parts)?;
        if let Some(hub) = &self.hub {
            // Before anything is served: a replacement must not forget a target for a moment.
            cluster::offer_now(&gateway, &hub.nodes());
            let service = cluster::offer_metrics(Arc::clone(&gateway), hub.nodes());
            self.supervisor.register(service);
        }
        ready.push(TARGETS_READY.name());
        self.supervisor.register(gateway.service());
        if let Some(address) = listen {
            let listener = self.bind("gateway", address, "gateway.listen")?;
            let own = own_access(&self.config.metrics, self.environment)?;
            let routes = web::routes(&self.health, &self.metrics, Arc::new(own));
            self.serve(
                listener,
                gateway.routes().merge(routes),
                &GATEWAY_LISTENS,
                false,
            );
            ready.push(GATEWAY_LISTENS.name());
        }
        Ok(gateway)
    }

    /// The role `collector`: the paths of its own listener, if it has one, and those of the main one.
    async fn build_collector(&mut self, ready: &mut Vec<&'static str>) -> Result<Routes, BoxError> {
        let config = &self.config.collector;
        let Some((state, askers)) = self.state.clone() else {
            return Err("the collector has no state to keep records in".into());
        };
        let seen = (&self.metrics, &self.health);
        let records = collector::open(&config.records, &state, seen, &self.supervisor);
        let mut routes = collector::routes(&records.await?, &askers);
        let mut artefacts = None;
        if let Some(opening) = collector::artefacts::Opening::of(self.config, self.environment) {
            let shared = (&self.metrics, &self.supervisor);
            let (own, opened) = opening.open(&state, &askers, shared).await?;
            routes = routes.merge(own);
            artefacts = Some(opened);
        }
        if let Some(address) = config.listen {
            let listener = self.bind("collector", address, "collector.listen")?;
            let own = own_access(&self.config.metrics, self.environment)?;
            let own = web::routes(&self.health, &self.metrics, Arc::new(own));
            let all = routes
                .clone()
                .merge(collector::first_page(config, artefacts.as_ref()))
                .merge(interface::routes())
                .merge(own);
            self.serve(listener, all, &COLLECTOR_LISTENS, false);
            ready.push(COLLECTOR_LISTENS.name());
        }
        Ok(routes)
    }

    /// The role `monitor`: the paths of its own listener, if it has one, and those of the main one.
    async fn build_monitor(
        &mut self,
        gateway: Option<Arc<Gateway>>,
        ready: &mut Vec<&'static str>,
    ) -> Result<(Arc<Monitor>, Routes), BoxError> {
        let Some((_, askers)) = self.state.clone() else {
            return Err("the monitor does not know who asks".into());
        };
        let main = self.addresses.get("main").copied();
        let monitor = monitor::open(monitor::Opening {
            config: self.config,
            environment: self.environment,
            is_replacement: self.is_replacement,
            main: main.unwrap_or(self.config.listen),
            door: self.door.clone(),
            gateway,
            metrics: &self.metrics,
            health: &self.health,
            supervisor: &self.supervisor,
        })
        .await?;
        let routes = monitor::routes(&monitor, &askers);
        if let Some(address) = self.config.monitor.listen {
            let listener = self.bind("monitor", address, "monitor.listen")?;
            let own = own_access(&self.config.metrics, self.environment)?;
            let own = web::routes(&self.health, &self.metrics, Arc::new(own));
            let all = routes
                .clone()
                .merge(monitor::first_page())
                .merge(interface::routes())
                .merge(own);
            self.serve(listener, all, &MONITOR_LISTENS, false);
            ready.push(MONITOR_LISTENS.name());
        }
        Ok((monitor, routes))
    }

    /// Writes where we listen, once everything serves.
    fn announce(&self) {
        let path = self.config.data_dir.join(LISTENERS_FILE);
        let addresses = self.addresses.clone();
        let is_first_minute = self.origin.file.is_none();
        let identity = self.identity.clone();
        let service = Service::new("announce", Criticality::Plain, move |scope| async move {
            tokio::select! {
                () = scope.bus().wait(&READY) => {}
                () = scope.stopping() => return Ok(()),
            }
            let text: BTreeMap<&str, String> = addresses
                .iter()
                .map(|(role, address)| (*role, address.to_string()))
                .collect();
            files::write_whole(&path, &serde_json::to_vec_pretty(&text)?, 0o644)?;
            for (role, address) in &addresses {
                tracing::info!(listener = role, %address, "listening");
            }
            if is_first_minute && let Some(main) = addresses.get("main") {
                tracing::info!("try: curl http://{main}/metrics/landline");
            }
            if let Some((identity, base)) = identity {
                link::print_first(&identity, &base).await?;
            }
            Ok(())
        });
        self.supervisor.register(service);
    }
}

fn own_access(config: &MetricsConfig, environment: &Environment) -> Result<Access, BoxError> {
    let Some(token) = &config.token else {
        return Ok(Access::default());
    };
    let tokens = std::slice::from_ref(token);
    Ok(Access::new(tokens, Vec::new(), &environment.variables)?.and_of_loopback())
}

/// Without a configuration, what a newcomer sees first: our own metrics need a token, and the
/// gateway's first target fetches them with it.
pub(crate) fn first_minute(config: &mut Config) {
    let token = SecretSource::File(config.data_dir.join(METRICS_TOKEN_FILE));
    let page = url::Url::parse(&format!("http://{}/metrics", config.listen));
    let Ok(page) = page else { return };
    config.metrics.token = Some(token.clone());
    config.gateway.targets = vec![TargetConfig {
        name: "landline".to_owned(),
        labels: BTreeMap::new(),
        parts: vec![PartConfig::whole(page)],
        health: None,
        auth: AuthConfig::Bearer { token },
        session: SessionRules::default(),
        tls: tls::ClientTls::default(),
        login_tls: tls::ClientTls::default(),
        limits: observe::gateway::config::Limits::default(),
        via: None,
        unconfigured: None,
        is_of_node: false,
    }];
}

fn create_data_dir(config: &Config) -> Result<(), BoxError> {
    let failed = |error: std::io::Error| format!("data_dir {}: {error}", config.data_dir.display());
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data_dir)
        .map_err(failed)?;
    if let Some(path) = config.metrics.token_to_make(&config.data_dir) {
        files::write_whole(path, random_token()?.as_bytes(), 0o600)?;
    }
    Ok(())
}

/// 256 random bits in hexadecimal digits.
fn random_token() -> Result<String, BoxError> {
    let mut bytes = [0u8; 32];
    let provider = tls::provider();
    provider
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| "the system gives no random bytes")?;
    Ok(wire::auth::hex(&bytes))
}

/// Applies the configuration in place, where nothing changed that needs a new process.
pub(crate) struct Reload {
    current: Mutex<Config>,
    file: Option<PathBuf>,
    folder: PathBuf,
    variables: BTreeMap<String, String>,
    opened: Reloadable,
}

impl Reload {
    fn new(start: &Start<'_>, opened: Reloadable) -> Self {
        Self {
            current: Mutex::new(start.config.clone()),
            file: start.loaded.origin.file.clone(),
            folder: start.environment.folder.clone(),
            variables: start.environment.variables.clone(),
            opened,
        }
    }

    /// Reads the configuration again and applies it.
    ///
    /// # Errors
    /// It has problems, or needs a replacement; the old one stays in force.
    pub(crate) fn run(&self) -> Result<String, (Class, String)> {
        let loaded = config::load(self.file.as_deref(), &self.folder, &self.variables);
        let Some(new) = loaded.config.clone() else {
            let text = crate::report::render(&loaded.file(), &loaded.problems, false);
            return Err((Class::Invalid, text));
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let in_place = Config {
            gateway: new.gateway.clone(),
            monitor: MonitorConfig {
                scrape: new.monitor.scrape.clone(),
                ..current.monitor.clone()
            },
            ..current.clone()
        };
        if in_place != new {
            let message = "more than the targets of gateway and monitor changed: send HUP to replace the process\n";
            return Err((Class::Conflict, message.to_owned()));
        }
        if let Some(gateway) = &self.opened.gateway {
            let applied = gateway.apply(new.gateway.clone());
            applied.map_err(|reason| (Class::Conflict, format!("{reason}\n")))?;
        }
        if let Some(monitor) = &self.opened.monitor {
            monitor.reload(new.monitor.scrape.clone());
        }
        *current = new;
        tracing::info!("configuration applied in place");
        Ok("configuration applied\n".to_owned())
    }
}

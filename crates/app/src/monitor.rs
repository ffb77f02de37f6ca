//! The role `monitor`: samples in the data directory of this process, and who may see them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use base::client::Dial;
use base::config::format_duration;
use base::error::Class;
use base::health::Health;
use base::http::{Judge, Judging, Policy, Routes, error_response};
use base::supervise::{BoxError, Criticality, Service, Supervisor};
use base::telemetry::Metrics;
use http::header::ORIGIN;
use http::request::Parts as Head;
use identity::names::Labels;
use identity::roles::{Kind, Verb};
use monitor::api::About;
use monitor::config::MonitorConfig;
use monitor::host::{self, Host};
use monitor::scrape::{GivenPool, GivenTarget};
use monitor::viewer::Viewer;
use monitor::{Monitor, Parts, Policies};
use observe::gateway::{Gateway, ListedTarget};
use tokio::sync::watch;

use crate::askers::{Asker, Askers};
use crate::cluster::host_name;
use crate::collector::is_local;
use crate::config::Config;
use crate::door::{self, OwnDoor};
use crate::environment::Environment;

/// How often the gateway is asked for its targets.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(2);
/// The longest scrape of a target that no file names.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What somebody does with samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Write,
    Read,
    /// What is not of single series.
    ReadAll,
    Delete,
}

impl Act {
    /// The right to do it, as refusals name it.
    fn right(self) -> &'static str {
        match self {
            Self::Write => "metrics:create",
            Self::Read | Self::ReadAll => "metrics:read",
            Self::Delete => "metrics:delete",
        }
    }

    /// The name of the policy: who may.
    fn policy(self) -> &'static str {
        match self {
            Self::Write => "local, metrics:create",
            Self::Read => "local, metrics:read",
            Self::ReadAll => "local, metrics:read of all",
            Self::Delete => "metrics:delete",
        }
    }

    fn verb(self) -> Verb {
        match self {
            Self::Write => Verb::Create,
            Self::Read | Self::ReadAll => Verb::Read,
            Self::Delete => Verb::Delete,
        }
    }
}

/// What the role is opened with.
pub(crate) struct Opening<'a> {
    pub(crate) config: &'a Config,
    pub(crate) environment: &'a Environment,
    pub(crate) is_replacement: bool,
    /// The main listener.
    pub(crate) main: SocketAddr,
    /// The paths of this process, for itself.
    pub(crate) door: OwnDoor,
    /// The gateway of this process.
    pub(crate) gateway: Option<Arc<Gateway>>,
    pub(crate) metrics: &'a Metrics,
    pub(crate) health: &'a Health,
    pub(crate) supervisor: &'a Supervisor,
}

/// Opens the store of samples and registers the services.
pub(crate) async fn open(opening: Opening<'_>) -> Result<Arc<Monitor>, BoxError> {
    let config = &opening.config.monitor;
    let about = About {
        version: env!("CARGO_PKG_VERSION"),
        started: base::clock::wall(),
        retention: config
            .retention
            .map_or_else(|| "forever".to_owned(), format_duration),
    };
    // The main listener speaks plain HTTP with this machine only, and knows it by loopback.
    let (main, has_socket) = door::own_address(opening.main);
    let given = Given {
        config: config.clone(),
        main,
        dial: (!has_socket).then(|| Arc::new(opening.door) as Arc<dyn Dial>),
        gateway: opening.gateway,
    };
    let (handing, given) = given.service();
    opening.supervisor.register(handing);
    let (monitor, services) = Monitor::open(Parts {
        config,
        signals: &opening.config.signals,
        data_dir: &opening.config.data_dir,
        is_replacement: opening.is_replacement,
        about,
        given,
        environment: opening.environment.variables.clone(),
        supervisor: opening.supervisor,
        metrics: opening.metrics,
        health: opening.health,
    })
    .await?;
    for service in services {
        opening.supervisor.register(service);
    }
    Ok(Arc::new(monitor))
}

/// Targets that no file names.
struct Given {
    config: MonitorConfig,
    main: SocketAddr,
    /// The way to the main listener, where it is not a socket.
    dial: Option<Arc<dyn Dial>>,
    gateway: Option<Arc<Gateway>>,
}

impl Given {
    /// Follows the gateway's targets.
    fn service(self) -> (Service, watch::Receiver<Vec<GivenPool>>) {
        let (sender, receiver) = watch::channel(self.pools());
        let service = Service::new(
            "scrape.given",
            Criticality::Plain,
            move |scope| async move {
                let mut before = self.listed();
                loop {
                    tokio::select! {
                        () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
                        () = scope.stopping() => return Ok(()),
                    }
                    let now = self.listed();
                    if now != before {
                        before = now;
                        sender.send_replace(self.pools());
                    }
                }
            },
        );
        (service, receiver)
    }

    fn listed(&self) -> Vec<ListedTarget> {
        let gateway = self.gateway.as_ref().filter(|_| self.config.gateway);
        gateway.map(|gateway| gateway.listed()).unwrap_or_default()
    }

    fn pools(&self) -> Vec<GivenPool> {
        let own = host_name();
        let mut hosts = Vec::new();
        if self.config.hosts {
            hosts.push(self.target(host::PATH.to_owned(), own.clone(), BTreeMap::new()));
        }
        let mut pages = Vec::new();
        for listed in self.listed() {
            let path = format!("/metrics/{}", listed.name);
            match listed.node.filter(|node| listed.name == host_page(node)) {
                Some(node) if self.config.hosts => {
                    hosts.push(self.target(path, node, listed.labels));
                }
                Some(_) => {}
                None => pages.push(self.target(path, listed.name, listed.labels)),
            }
        }
        let pool = |job: &str, targets| GivenPool {
            job: job.to_owned(),
            interval: self.config.interval,
            timeout: self.config.interval.min(TIMEOUT),
            honor_labels: false,
            targets,
        };
        vec![pool("node", hosts), pool("gateway", pages)]
    }

    fn target(
        &self,
        path: String,
        instance: String,
        mut labels: BTreeMap<String, String>,
    ) -> GivenTarget {
        labels.insert("instance".to_owned(), instance);
        GivenTarget {
            address: self.main.to_string(),
            path,
            labels,
            dial: self.dial.clone(),
        }
    }
}

/// The name of the page of a node's own metrics among the gateway's targets.
pub(crate) fn host_page(node: &str) -> String {
    format!("{node}-host")
}

/// The page of this machine's own metrics: for programs of this machine, and for whoever may see
/// metrics where it is known who asks.
pub(crate) fn host_routes(askers: Option<&Arc<Askers>>) -> Routes {
    let policy = askers.map_or_else(only_near, |askers| policy(askers, Act::ReadAll));
    host::routes(Host::new(host::Config::default()), policy)
}

/// For programs of this machine, where nobody knows who else asks.
fn only_near() -> Policy {
    let judge = |head: Head| {
        Box::pin(async move {
            if is_local(&head) {
                return Ok(head);
            }
            let text = "this path answers only programs of this machine";
            Err(error_response(Class::Forbidden, text))
        }) as Judging
    };
    Policy::Judged(Judge {
        name: "local",
        judge: Arc::new(judge),
    })
}

/// The paths of samples.
pub(crate) fn routes(monitor: &Monitor, askers: &Arc<Askers>) -> Routes {
    monitor.routes(&Policies {
        write: &|| policy(askers, Act::Write),
        read: &|| policy(askers, Act::Read),
        read_all: &|| policy(askers, Act::ReadAll),
        delete: &|| policy(askers, Act::Delete),
    })
}

/// Programs of this machine send and ask without proof; everybody else, and whoever deletes, shows a
/// session or a token whose roles allow it. Who reads may be limited to some labels, which handlers learn
/// from the [`Viewer`]; who writes or deletes may not, since nobody looks at each series then.
fn policy(askers: &Arc<Askers>, act: Act) -> Policy {
    let askers = Arc::clone(askers);
    let may = move |asker: &Asker| match act {
        Act::Read => asker.may_somewhere(Kind::Metrics, act.verb()),
        Act::Write | Act::ReadAll | Act::Delete => asker.may_everywhere(Kind::Metrics, act.verb()),
    };
    let judge = move |mut head: Head| {
        let (askers, may) = (Arc::clone(&askers), may);
        Box::pin(async move {
            // Any page in a browser of this machine can send something here: it says so.
            let is_page = act == Act::Write && is_from_page(&head);
            let is_near = act != Act::Delete && !is_page && is_local(&head);
            if is_near && matches!(askers.identify(&head).await, Ok(None)) {
                head.extensions.insert(Viewer::of_everything());
                return Ok(head);
            }
            let mut head = askers.judge((act.right(), &may), head).await?;
            if let Some(asker) = head.extensions.get::<Asker>().cloned() {
                head.extensions.insert(viewer_of(asker, act.verb()));
            }
            Ok(head)
        }) as Judging
    };
    Policy::Judged(Judge {
        name: act.policy(),
        judge: Arc::new(judge),
    })
}

/// Whether a browser sends it for a page; programs don't say where they come from.
fn is_from_page(head: &Head) -> bool {
    head.headers.contains_key(ORIGIN) || head.headers.contains_key("sec-fetch-site")
}

/// What somebody known may see: the labels of their roles are those of series.
fn viewer_of(asker: Asker, verb: Verb) -> Viewer {
    if asker.may_everywhere(Kind::Metrics, verb) {
        return Viewer::of_everything();
    }
    Viewer::new(move |series| {
        let pairs = series.iter();
        let labels: Labels = pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        asker.may(Kind::Metrics, verb, &labels)
    })
}

/// On a listener of its own, the first page is that of queries.
pub(crate) fn first_page() -> Routes {
    Routes::default().get("/", Policy::Public, |_: Request| async {
        (
            http::StatusCode::FOUND,
            [(http::header::LOCATION, "/explore")],
        )
    })
}

//! What PushProx's clients and their Prometheus know, answered by the gateway: Prometheus takes us for
//! its HTTP proxy (`proxy_url`), pushprox-clients wait at `/poll` and answer at `/push`. Whatever is
//! neither a page of a node nor a client that waits is not reached: this is no open proxy.

mod client_paths;
mod coordinator;
mod proxied;
mod request;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use base::error::Class;
use base::http::{Policy, Routes};
use base::secret::Secret;
use base::telemetry::Metrics;
use http::HeaderMap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use self::coordinator::Coordinator;
use super::Gateway;

/// Says which pushprox-clients there may be, and writes the audit log.
pub trait Clientele: fmt::Debug + Send + Sync {
    /// Whether who shows this may answer scrapes of this name. Refusals are recorded.
    fn admit<'a>(&'a self, claim: &'a Claim<'a>) -> Asking<'a, Result<(), Denial>>;
    /// Records that somebody may not scrape.
    fn refuse_scraper<'a>(&'a self, address: IpAddr, name: &'a str) -> Asking<'a, ()>;
}

/// An answer to come.
pub type Asking<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a pushprox-client says of itself.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// The password of its `--proxy-url`.
    pub token: Option<Secret>,
    /// Where it comes from.
    pub address: IpAddr,
    /// The name for which it polls, or pushes; nothing when nobody awaits what it pushes.
    pub name: Option<&'a str>,
}

/// Why a client is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Who is to blame.
    pub class: Class,
    /// What to do about it, on one line.
    pub text: String,
}

/// The clients of PushProx, and the scrapes that are for them.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    clientele: Arc<dyn Clientele>,
    coordinator: Arc<Coordinator>,
    counters: Counters,
}

/// The paths, with what they need.
#[derive(Debug)]
struct Pushprox {
    gateway: Arc<Gateway>,
    clients: Clients,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Clone, Default)]
struct Counters {
    scrapes: Family<ResultLabels, Counter>,
    polls: Family<ResultLabels, Counter>,
    pushes: Family<ResultLabels, Counter>,
}

impl Counters {
    fn register(metrics: &Metrics, coordinator: &Arc<Coordinator>) -> Self {
        let new = Self::default();
        metrics.register(|all| {
            let all = all.sub_registry_with_prefix("landline_pushprox");
            let scrapes = new.scrapes.clone();
            all.register("scrapes", "Scrapes that came as to a proxy", scrapes);
            let polls = new.polls.clone();
            all.register("polls", "Polls of clients by result", polls);
            let pushes = new.pushes.clone();
            all.register("pushes", "Answers of clients by result", pushes);
            all.register_collector(Box::new(coordinator::Gauges(Arc::clone(coordinator))));
        });
        new
    }

    fn count(family: &Family<ResultLabels, Counter>, result: &'static str) {
        family.get_or_create(&ResultLabels { result }).inc();
    }
}

impl Clients {
    /// No clients yet.
    pub(super) fn new(clientele: Arc<dyn Clientele>, metrics: &Metrics) -> Self {
        let coordinator = Arc::default();
        Self {
            counters: Counters::register(metrics, &coordinator),
            clientele,
            coordinator,
        }
    }

    /// Sends all clients away: they come back to the process that takes over.
    pub(super) fn close(&self) {
        self.coordinator.close();
    }
}

/// The paths of PushProx's proxy.
pub(super) fn routes(gateway: &Arc<Gateway>, clients: &Clients) -> Routes {
    let own = Arc::new(Pushprox {
        gateway: Arc::clone(gateway),
        clients: clients.clone(),
    });
    let (scraped, polled) = (Arc::clone(&own), Arc::clone(&own));
    let pushed = Arc::clone(&own);
    let policy = Policy::Granted(gateway.access());
    Routes::default()
        .proxied("http://<name>/metrics", Policy::Own, move |request| {
            Arc::clone(&scraped).scrape(request)
        })
        .post("/poll", Policy::Own, move |request| {
            Arc::clone(&polled).poll(request)
        })
        .post("/push", Policy::Own, move |request| {
            Arc::clone(&pushed).push(request)
        })
        .get("/clients", policy, move || async move { own.list() })
}

/// The password of basic authentication (RFC 7617), or a bearer token: that is how the user part of a
/// URL arrives.
fn token(headers: &HeaderMap, name: http::HeaderName) -> Option<Secret> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let value = headers.get(name)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Secret::new(rest.trim()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (_, password) = pair.split_once(':')?;
    Some(Secret::new(password))
}

#[cfg(test)]
mod tests;

//! Applications that nodes offer, for those who may use them: HTTP at `/apps/<app>/…` and at hosts of
//! their own, anything else through `landline forward`. Nobody is let in for their address alone.

mod admission;
mod body;
mod headers;
mod listener;
mod name;
mod open;
mod proxy;
mod tunnel;
mod upstream;
mod uses;
mod visit;

use std::fmt;
use std::sync::{Arc, OnceLock};

use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Response};
use base::http::{Policy, Routes};
use base::supervise::{BoxError, Criticality, Phase, Scope, Service, Supervisor};
use identity::Identity;
use identity::trust::Trust;
use tokio::sync::Semaphore;

pub use self::listener::ListenerMetrics;
pub use self::name::AppName;

use self::open::Open;
use self::upstream::Pool;
use self::uses::Uses;
use super::{Hub, Nodes};

/// Connections that changed their protocol, at once.
const TUNNELS_MAX: usize = 10_000;

/// Says whether a token is that of this machine's administrator.
pub type IsLocalAdmin = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What applications are served with.
#[derive(Clone)]
pub struct AppsSettings {
    /// Hosts below which each application has one of its own, in small letters, without ports.
    pub hosts: Vec<String>,
    /// The URL of the hub, as applications see it in assertions.
    pub issuer: String,
    /// Says whether a token is that of this machine's administrator.
    pub is_local_admin: IsLocalAdmin,
}

impl fmt::Debug for AppsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppsSettings")
            .field("hosts", &self.hosts)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// The door to applications.
pub struct Apps {
    settings: AppsSettings,
    identity: Identity,
    nodes: Arc<Nodes>,
    pool: Pool,
    uses: Uses,
    open: Open,
    tunnels: Arc<Semaphore>,
    /// Set while the service runs.
    scope: OnceLock<Scope>,
}

impl fmt::Debug for Apps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apps")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Apps {
    /// The applications of the nodes of `hub`.
    pub fn new(hub: &Hub, settings: AppsSettings, supervisor: &Supervisor) -> Arc<Self> {
        Arc::new(Self {
            settings,
            identity: hub.identity().clone(),
            nodes: hub.nodes(),
            pool: upstream::pool(hub.nodes(), supervisor.clone()),
            uses: Uses::default(),
            open: Open::default(),
            tunnels: Arc::new(Semaphore::new(TUNNELS_MAX)),
            scope: OnceLock::new(),
        })
    }

    /// The service in which connections live that changed their protocol, the one that ends what is
    /// open of those who get locked, and the one that records how often applications were used; these
    /// also while the process drains.
    pub fn services(self: &Arc<Self>) -> [Service; 3] {
        let apps = Arc::clone(self);
        // Without the applications themselves: with the last of those who serve them their kept
        // connections end, for which the drain of lines waits.
        let (open, trust) = (self.open.clone(), self.identity.trust());
        let (uses, identity) = (self.uses.clone(), self.identity.clone());
        [
            Service::new("apps", Criticality::Critical, move |scope| async move {
                apps.scope.get_or_init(|| scope.clone());
                scope.stopping().await;
                Ok(())
            }),
            Service::new(
                "apps.locks",
                Criticality::Critical,
                move |scope| async move { end_locked(&open, &trust, &scope).await },
            )
            .stops_at(Phase::Flush),
            Service::new("apps.uses", Criticality::Plain, move |scope| {
                uses.keep(identity, scope)
            })
            .stops_at(Phase::Flush),
        ]
    }

    /// The paths and hosts of applications.
    pub fn routes(self: &Arc<Self>) -> Routes {
        let (by_path, by_host) = (Arc::clone(self), Arc::clone(self));
        let (connecting, keys) = (Arc::clone(self), Arc::clone(self));
        let hosts = self.settings.hosts.clone();
        Routes::default()
            .any("/apps/{*path}", Policy::Own, move |request: Request| {
                Arc::clone(&by_path).by_path(request)
            })
            .host(
                "<app>.<public_addr>",
                Policy::Own,
                move |host| AppName::of_host(host, &hosts).is_some(),
                move |request: Request| Arc::clone(&by_host).by_host(request),
            )
            .post(
                "/v1/apps/{app}/connect",
                Policy::Own,
                move |Path(app): Path<String>, request: Request| {
                    Arc::clone(&connecting).connect(app, request)
                },
            )
            .get(
                "/.well-known/jwks.json",
                Policy::Public,
                move || async move { keys.keys().await },
            )
    }

    async fn keys(&self) -> Response {
        match self.identity.assertions().keys().await {
            Ok(keys) => axum::Json(keys).into_response(),
            Err(error) => admission::refused(&error),
        }
    }
}

async fn end_locked(open: &Open, trust: &Trust, scope: &Scope) -> Result<(), BoxError> {
    let mut changed = trust.watch();
    loop {
        changed.mark_unchanged();
        open.end_locked(trust);
        tokio::select! {
            outcome = changed.changed() => outcome?,
            () = scope.stopping() => return Ok(()),
        }
    }
}

//! Routes that can't exist without a policy: the table is the only way to a router, and a test can
//! walk it.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, delete, get, patch, post, put};
use http::HeaderMap;
use http::header::{HOST, WWW_AUTHENTICATE};
use tower::ServiceExt;

use super::{Peer, Policy, error_response};
use crate::error::Class;

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Route {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`; `ANY` for all methods; `HOST` for all paths of hosts that are taken;
    /// `PROXY` for what is asked of us as an HTTP proxy.
    pub method: &'static str,
    /// Path as axum writes it, such as `/metrics/{name}`.
    pub path: &'static str,
    /// Who may.
    pub policy: Policy,
    handler: MethodRouter,
}

/// The table of a listener's routes.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    table: Vec<Route>,
    hosts: Vec<Arc<HostRoute>>,
    proxied: Option<MethodRouter>,
}

/// What is looked at before any path.
#[derive(Clone)]
struct Diverted {
    hosts: Arc<[Arc<HostRoute>]>,
    proxied: Option<MethodRouter>,
}

/// Says whether a host, without its port, is taken.
type TakesHost = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// Whatever is asked of some hosts.
struct HostRoute {
    takes: TakesHost,
    handler: MethodRouter,
}

impl fmt::Debug for HostRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostRoute").finish_non_exhaustive()
    }
}

impl Routes {
    /// Adds a `GET` route.
    #[must_use]
    pub fn get<H, T>(self, path: &'static str, policy: Policy, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.add("GET", path, policy, get(handler))
    }

    /// Adds a `POST` route.
    #[must_use]
    pub fn post<H, T>(self, path: &'static str, policy: Policy, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.add("POST", path, policy, post(handler))
    }

    /// Adds a `PUT` route.
    #[must_use]
    pub fn put<H, T>(self, path: &'static str, policy: Policy, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.add("PUT", path, policy, put(handler))
    }

    /// Adds a `PATCH` route.
    #[must_use]
    pub fn patch<H, T>(self, path: &'static str, policy: Policy, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.add("PATCH", path, policy, patch(handler))
    }

    /// Adds a `DELETE` route.
    #[must_use]
    pub fn delete<H, T>(self, path: &'static str, policy: Policy, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.add("DELETE", path, policy, delete(handler))
    }

    /// Adds a route for every method.
    #[must_use]
    pub fn any<H, T>(self, path: &'static str, policy: Policy, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.add("ANY", path, policy, any(handler))
    }

    /// Gives everything that is asked of the hosts which `takes` names to `handler`, before any path
    /// is looked at. `shown` stands for them in the table.
    #[must_use]
    pub fn host<H, T>(
        mut self,
        shown: &'static str,
        policy: Policy,
        takes: impl Fn(&str) -> bool + Send + Sync + 'static,
        handler: H,
    ) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        let handler = any(handler).layer(from_fn_with_state(Arc::new(policy.clone()), enforce));
        self.hosts.push(Arc::new(HostRoute {
            takes: Box::new(takes),
            handler: handler.clone(),
        }));
        self.table.push(Route {
            method: "HOST",
            path: shown,
            policy,
            handler,
        });
        self
    }

    /// Gives everything that names another server in its request line (RFC 9112, 3.2.2 and 3.2.3) to
    /// `handler`: what clients send that take us for their HTTP proxy. Without one such requests are
    /// taken for our own, as a server has to. `shown` stands for them in the table.
    #[must_use]
    pub fn proxied<H, T>(mut self, shown: &'static str, policy: Policy, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        let handler = any(handler).layer(from_fn_with_state(Arc::new(policy.clone()), enforce));
        self.proxied = Some(handler.clone());
        self.table.push(Route {
            method: "PROXY",
            path: shown,
            policy,
            handler,
        });
        self
    }

    fn add(
        mut self,
        method: &'static str,
        path: &'static str,
        policy: Policy,
        handler: MethodRouter,
    ) -> Self {
        let handler = handler.layer(from_fn_with_state(Arc::new(policy.clone()), enforce));
        self.table.push(Route {
            method,
            path,
            policy,
            handler,
        });
        self
    }

    /// All rows of both tables.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.table.extend(other.table);
        self.hosts.extend(other.hosts);
        self.proxied = other.proxied.or(self.proxied);
        self
    }

    /// The rows, for the test that walks them and for help texts.
    pub fn rows(&self) -> &[Route] {
        &self.table
    }

    /// The router, with a 404 that names no internals.
    pub fn into_router(self) -> Router {
        let mut router = Router::new();
        for route in self
            .table
            .into_iter()
            .filter(|route| !matches!(route.method, "HOST" | "PROXY"))
        {
            router = router.route(route.path, route.handler);
        }
        let router = router.fallback(|| async {
            error_response(Class::NotFound, "there is nothing at this path")
        });
        if self.hosts.is_empty() && self.proxied.is_none() {
            return router;
        }
        let diverted = Diverted {
            hosts: self.hosts.into(),
            proxied: self.proxied,
        };
        router.layer(from_fn_with_state(diverted, divert))
    }
}

/// The host that a request is for, without its port.
pub fn host_of(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(HOST)?.to_str().ok()?;
    let without_port = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    Some(without_port.map_or(host, |(host, _)| host))
}

async fn divert(State(diverted): State<Diverted>, request: Request, next: Next) -> Response {
    let names_server = request.uri().authority().is_some();
    let proxied = diverted.proxied.filter(|_| names_server);
    let host = host_of(request.headers());
    let mut hosts = diverted.hosts.iter();
    let taken = host.and_then(|host| hosts.find(|route| (route.takes)(host)));
    let taken = proxied.or_else(|| taken.map(|route| route.handler.clone()));
    match taken {
        Some(handler) => match handler.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        None => next.run(request).await,
    }
}

async fn enforce(State(policy): State<Arc<Policy>>, request: Request, next: Next) -> Response {
    if let Policy::Judged(judge) = &*policy {
        let (head, body) = request.into_parts();
        return match (judge.judge)(head).await {
            Ok(head) => next.run(Request::from_parts(head, body)).await,
            Err(refusal) => refusal,
        };
    }
    let peer = request.extensions().get::<Peer>().copied();
    if peer.is_some_and(|peer| policy.permits(&peer, request.headers())) {
        return next.run(request).await;
    }
    let message = match &*policy {
        Policy::Local => "this path answers only on this machine",
        Policy::Public | Policy::Own | Policy::Granted(_) | Policy::Judged(_) => {
            "a bearer token is needed here, or an address that the configuration lets in: \
             see `access` in the configuration"
        }
    };
    if matches!(*policy, Policy::Local) {
        return error_response(Class::Forbidden, message);
    }
    let mut response = error_response(Class::Unauthenticated, message).into_response();
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
    response
}

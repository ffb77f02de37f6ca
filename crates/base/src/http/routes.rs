//! Routes that can't exist without a policy: the table is the only way to a router, and a test can
//! walk it.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, delete, get, post};
use http::HeaderMap;
use http::header::{HOST, WWW_AUTHENTICATE};
use tower::ServiceExt;

use super::{Peer, Policy, error_response};
use crate::error::Class;

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Route {
    /// `GET`, `POST` or `DELETE`; `ANY` for all methods; `HOST` for all paths of hosts that are taken.
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
    routes: Vec<Route>,
    hosts: Vec<Arc<HostRoute>>,
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
        self.routes.push(Route {
            method: "HOST",
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
        self.routes.push(Route {
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
        self.routes.extend(other.routes);
        self.hosts.extend(other.hosts);
        self
    }

    /// The rows, for the test that walks them and for help texts.
    pub fn rows(&self) -> &[Route] {
        &self.routes
    }

    /// The router, with a 404 that names no internals.
    pub fn into_router(self) -> Router {
        let mut router = Router::new();
        for route in self
            .routes
            .into_iter()
            .filter(|route| route.method != "HOST")
        {
            router = router.route(route.path, route.handler);
        }
        let router = router.fallback(|| async {
            error_response(Class::NotFound, "there is nothing at this path")
        });
        if self.hosts.is_empty() {
            return router;
        }
        let hosts: Arc<[Arc<HostRoute>]> = self.hosts.into();
        router.layer(from_fn_with_state(hosts, divert))
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

async fn divert(
    State(hosts): State<Arc<[Arc<HostRoute>]>>,
    request: Request,
    next: Next,
) -> Response {
    let host = host_of(request.headers());
    let taken = host.and_then(|host| hosts.iter().find(|route| (route.takes)(host)));
    match taken {
        Some(route) => match route.handler.clone().oneshot(request).await {
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

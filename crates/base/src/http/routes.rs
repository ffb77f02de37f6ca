//! Routes that can't exist without a policy: the table is the only way to a router, and a test can
//! walk it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http::header::WWW_AUTHENTICATE;

use super::{Peer, Policy, error_response};
use crate::error::Class;

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Route {
    /// `GET` or `POST`.
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
        self
    }

    /// The rows, for the test that walks them and for help texts.
    pub fn rows(&self) -> &[Route] {
        &self.routes
    }

    /// The router, with a 404 that names no internals.
    pub fn into_router(self) -> Router {
        let mut router = Router::new();
        for route in self.routes {
            router = router.route(route.path, route.handler);
        }
        router
            .fallback(|| async { error_response(Class::NotFound, "there is nothing at this path") })
    }
}

async fn enforce(State(policy): State<Arc<Policy>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    if peer.is_some_and(|peer| policy.permits(&peer, request.headers())) {
        return next.run(request).await;
    }
    let message = match &*policy {
        Policy::Local => "this path answers only on this machine",
        Policy::Public | Policy::Granted(_) => {
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

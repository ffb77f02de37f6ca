//! Connections that are bytes only: those that changed their protocol, and those of
//! `landline forward`, which ask for it with `Upgrade: landline-tcp`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use base::error::Class;
use base::http::{Peer, error_response};
use base::supervise::Scope;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::sync::OwnedSemaphorePermit;

use super::open::OpenUse;
use super::visit::Visit;
use super::{AppName, Apps, headers, upstream};
use crate::forward::PROTOCOL;
use crate::hub::ReachError;
use crate::hub::way::Reached;

/// The longest wait until a connection whose change was agreed on has changed.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);
/// The buffer of each direction.
const COPY_BUFFER: usize = 64 << 10;

impl Apps {
    /// `POST /v1/apps/<app>/connect`
    pub(super) async fn connect(
        self: Arc<Self>,
        name: String,
        mut request: Request<Body>,
    ) -> Response {
        let Some(name) = AppName::parse(&name) else {
            return error_response(
                Class::NotFound,
                "an application is `<app>` or `<app>@<node>`",
            );
        };
        let Some(peer) = request.extensions().get::<Peer>().copied() else {
            return error_response(Class::Internal, "the connection is not known");
        };
        let visit = Visit {
            peer: &peer,
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            is_at_host: false,
        };
        let admission = match self.admit(&name, &visit).await {
            Ok(admission) => admission,
            Err(refusal) => return refusal,
        };
        if headers::upgrade(request.headers()).is_none_or(|wanted| wanted != PROTOCOL) {
            let mut response = error_response(
                Class::Invalid,
                "send `Upgrade: landline-tcp` with this request",
            );
            *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
            let headers = response.headers_mut();
            headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
            return response;
        }
        let app = &admission.app;
        let mut wanted = upstream::open_request(&app.offered.name);
        wanted.client = Some(peer.address);
        wanted.user = Some(admission.user.clone());
        let stream = match self.nodes.reach(&app.node, &wanted).await {
            Ok(stream) => stream,
            Err(error) => {
                self.record(&admission, Some(&error.text)).await;
                return error_response(error.class, error.text);
            }
        };
        self.record(&admission, None).await;
        let client = hyper::upgrade::on(&mut request);
        if let Err(error) = self.attach(client, stream, admission.open) {
            return error_response(error.class, error.text);
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
        response
    }

    /// Joins a client and a connection to an application once the client has changed.
    fn attach(&self, client: OnUpgrade, stream: Reached, open: OpenUse) -> Result<(), ReachError> {
        let (scope, slot) = self.tunnel()?;
        let closing = scope.closing();
        scope.spawn("connection to an application", async move {
            let joined = async {
                if let Some(client) = changed(client).await
                    && let Err(error) = stream.join(TokioIo::new(client)).await
                {
                    tracing::debug!(%error, "a connection to an application broke");
                }
            };
            tokio::select! {
                () = joined => {}
                () = open.ended().cancelled_owned() => {}
                () = closing => {}
            }
            drop(slot);
        });
        Ok(())
    }

    /// Joins a client and an application that both change their protocol.
    pub(super) fn join(
        &self,
        client: OnUpgrade,
        app: OnUpgrade,
        open: OpenUse,
    ) -> Result<(), ReachError> {
        let (scope, slot) = self.tunnel()?;
        let closing = scope.closing();
        scope.spawn("upgraded connection to an application", async move {
            let joined = async {
                let (client, app) = tokio::join!(changed(client), changed(app));
                let (Some(client), Some(app)) = (client, app) else {
                    return;
                };
                let (mut client, mut app) = (TokioIo::new(client), TokioIo::new(app));
                let copied =
                    copy_bidirectional_with_sizes(&mut client, &mut app, COPY_BUFFER, COPY_BUFFER);
                if let Err(error) = copied.await {
                    tracing::debug!(%error, "an upgraded connection to an application broke");
                }
            };
            tokio::select! {
                () = joined => {}
                () = open.ended().cancelled_owned() => {}
                () = closing => {}
            }
            drop(slot);
        });
        Ok(())
    }

    /// Where such a connection lives, and its place among them.
    fn tunnel(&self) -> Result<(Scope, OwnedSemaphorePermit), ReachError> {
        let unavailable = |text: &str| ReachError {
            class: Class::Unavailable,
            text: text.to_owned(),
        };
        let scope = self.scope.get().cloned();
        let scope = scope.ok_or_else(|| unavailable("the hub is starting; try again"))?;
        let slot = Arc::clone(&self.tunnels).try_acquire_owned();
        let slot = slot.map_err(|_| {
            unavailable("the hub has as many connections to applications as it allows")
        })?;
        Ok((scope, slot))
    }
}

async fn changed(connection: OnUpgrade) -> Option<Upgraded> {
    match tokio::time::timeout(CHANGE_LIMIT, connection).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a connection did not change its protocol");
            None
        }
        Err(_) => {
            tracing::debug!("a connection did not change its protocol in time");
            None
        }
    }
}

//! The way of lines for what passes HTTP only: a WebSocket with the lane's own TLS inside. Whoever
//! asks for it proves itself in that inner handshake, so the path itself is open to all.

use std::sync::{Arc, OnceLock};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Peer, Policy, Routes, error_response};
use http::StatusCode;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Hub;
use crate::line::{ACCEPT_LIMIT, WEBSOCKET_PATH, websocket_answer, websocket_serve};

/// WebSockets at once whose inner handshake is not over: strangers can open them.
const UNPROVED_MAX: usize = 512;

pub(super) fn routes(hub: &Arc<Hub>) -> Routes {
    let hub = Arc::clone(hub);
    Routes::default().get(
        WEBSOCKET_PATH,
        Policy::Public,
        move |request: Request| async move {
            hub.upgrade(request)
                .unwrap_or_else(|(class, text)| error_response(class, text))
        },
    )
}

impl Hub {
    fn upgrade(self: Arc<Self>, mut request: Request) -> Result<Response, (Class, &'static str)> {
        let headers = websocket_answer(request.headers()).ok_or((
            Class::Invalid,
            "this path takes nodes that ask for a WebSocket, nothing else",
        ))?;
        let acceptor = self.acceptor.get();
        let acceptor =
            acceptor.ok_or((Class::Unavailable, "this hub is not ready for nodes yet"))?;
        let permit = unproved()
            .try_acquire_owned()
            .map_err(|_| (Class::Unavailable, "too many nodes come at once"))?;
        let peer = request.extensions().get::<Peer>().copied();
        let upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let (Some(peer), Some(upgrade)) = (peer, upgrade) else {
            return Err((Class::Invalid, "this connection can't be upgraded"));
        };
        let scope = acceptor.scope().clone();
        let hub = Arc::clone(&self);
        scope.spawn("websocket of a lane", async move {
            hub.take_upgraded(upgrade, peer, permit).await;
        });
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        response.headers_mut().extend(headers);
        Ok(response)
    }

    async fn take_upgraded(
        self: Arc<Self>,
        upgrade: OnUpgrade,
        peer: Peer,
        permit: OwnedSemaphorePermit,
    ) {
        let Some(acceptor) = self.acceptor.get() else {
            return;
        };
        let accepted = timeout(ACCEPT_LIMIT, async {
            let upgraded = upgrade.await.map_err(|error| error.to_string())?;
            let io = websocket_serve(Box::new(TokioIo::new(upgraded)));
            Ok::<_, String>(acceptor.accept(io, peer.address).await)
        });
        let accepted = accepted.await;
        drop(permit);
        match accepted {
            Ok(Ok(Ok(Some(line)))) => {
                // The line does not wait for the record of it.
                tokio::join!(self.note_downgraded(&line), self.hold(line.clone()));
            }
            Ok(Ok(Ok(None))) => {}
            Ok(Ok(Err(error))) => self.note_refused_lane(peer.address, &error).await,
            Ok(Err(error)) => {
                tracing::debug!(peer = %peer.address, error, "a WebSocket of a lane did not come");
            }
            Err(_) => tracing::debug!(peer = %peer.address, "a lane by WebSocket took too long"),
        }
    }
}

fn unproved() -> Arc<Semaphore> {
    static UNPROVED: OnceLock<Arc<Semaphore>> = OnceLock::new();
    Arc::clone(UNPROVED.get_or_init(|| Arc::new(Semaphore::new(UNPROVED_MAX))))
}

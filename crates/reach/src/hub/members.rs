//! The paths with which machines join and renew. Whoever calls them proves it with a token or a key.
#![expect(
    clippy::result_large_err,
    reason = "an answer instead of a value is rare and not passed far"
)]

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Peer, Policy, Routes, error_response, read_body};
use base::secret::Secret;
use http::header::RETRY_AFTER;
use identity::IdentityError;
use identity::members::JoinRequest;
use identity::members::renew::Renewal;
use serde::de::DeserializeOwned;

use super::Hub;
use crate::membership::{Join, Renew};

/// The largest request.
const BODY_BYTES_MAX: usize = 64 << 10;

pub(super) fn routes(hub: &Arc<Hub>) -> Routes {
    let (joining, renewing) = (Arc::clone(hub), Arc::clone(hub));
    Routes::default()
        .post(
            "/v1/join",
            Policy::Public,
            move |request: Request| async move {
                joining
                    .join(request)
                    .await
                    .unwrap_or_else(|refusal| refusal)
            },
        )
        .post(
            "/v1/renew",
            Policy::Public,
            move |request: Request| async move {
                renewing
                    .renew_member(request)
                    .await
                    .unwrap_or_else(|refusal| refusal)
            },
        )
}

impl Hub {
    async fn join(&self, request: Request) -> Result<Response, Response> {
        let address = self.admit_attempt(&request)?;
        let join: Join = read(request.into_body()).await?;
        let answer = self
            .identity
            .members()
            .join(&JoinRequest {
                token: Secret::new(join.token),
                request: join.request.into_bytes(),
                role: join.role,
                name: join.name,
                labels: join.labels,
                address: Some(address.ip()),
            })
            .await
            .map_err(|error| self.refuse(address, &error))?;
        Ok(axum::Json(answer).into_response())
    }

    async fn renew_member(&self, request: Request) -> Result<Response, Response> {
        let address = self.admit_attempt(&request)?;
        let renew: Renew = read(request.into_body()).await?;
        let renewal = Renewal {
            request: renew.request.as_bytes(),
            labels: Some(&renew.labels),
            web_names: &[],
            address: Some(address.ip()),
        };
        let answer = self
            .identity
            .members()
            .come_back(&renew.uuid, &renewal)
            .await;
        let answer = answer.map_err(|error| self.refuse(address, &error))?;
        Ok(axum::Json(answer).into_response())
    }

    /// Who asks, unless they were refused too often.
    fn admit_attempt(&self, request: &Request) -> Result<Peer, Response> {
        let peer = peer(request)?;
        match self.attempts.wait(peer.ip(), base::clock::now()) {
            None => Ok(peer),
            Some(wait) => {
                let text = format!("refused too often; try again in {} s", wait.as_secs() + 1);
                let mut answer = error_response(Class::TooMany, text);
                let seconds = (wait.as_secs() + 1).into();
                answer.headers_mut().insert(RETRY_AFTER, seconds);
                Err(answer)
            }
        }
    }

    fn refuse(&self, address: Peer, error: &IdentityError) -> Response {
        if matches!(error, IdentityError::Refused(_)) {
            self.attempts.refused(address.ip(), base::clock::now());
        }
        refuse(error)
    }
}

/// Secrets travel here: not without TLS, unless they stay on this machine.
fn peer(request: &Request) -> Result<Peer, Response> {
    let peer = request.extensions().get::<Peer>().copied();
    peer.filter(|peer| peer.is_tls || peer.is_loopback())
        .ok_or_else(|| error_response(Class::Forbidden, "this path is spoken to with TLS only"))
}

async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Response> {
    let body = read_body(body, BODY_BYTES_MAX).await;
    let body = body.map_err(|class| error_response(class, "the request can't be read"))?;
    serde_json::from_slice(&body).map_err(|error| {
        error_response(
            Class::Invalid,
            format!("the request can't be read: {error}"),
        )
    })
}

fn refuse(error: &IdentityError) -> Response {
    let class = error.class();
    if class == Class::Internal {
        tracing::error!(
            error = crate::line::chain(error),
            "a machine could not be let in"
        );
        return error_response(
            class,
            "the hub has a problem of its own; its log says which",
        );
    }
    error_response(class, error.to_string())
}

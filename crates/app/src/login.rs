//! Signing in from the command line: a session as an answer instead of a cookie, its end, and whose
//! it is.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::clock;
use base::error::Class;
use base::http::{Policy, Routes, error_response};
use base::secret::Secret;
use http::header::{CACHE_CONTROL, RETRY_AFTER, USER_AGENT};
use identity::sessions::SignIn;
use identity::{IdentityError, Refusal};
use serde::Deserialize;
use serde_json::json;

use crate::admin::{read, refuse};
use crate::askers::{Asker, Askers, is_attempt, peer_of};

/// What `landline login` sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    name: String,
    password: String,
    #[serde(default)]
    code: String,
}

/// Paths with which a person gets and ends a session.
pub(crate) fn routes(askers: &Arc<Askers>) -> Routes {
    let (beginning, ending, own) = (Arc::clone(askers), Arc::clone(askers), Arc::clone(askers));
    Routes::default()
        .post("/v1/login", Policy::Public, move |request: Request| async move {
            login(&beginning, request).await.into_response()
        })
        .post("/v1/logout", own.anybody(), move |asker: Extension<Asker>| async move {
            logout(&ending, &asker).await.into_response()
        })
        .get("/v1/me", own.anybody(), |asker: Extension<Asker>| async move {
            axum::Json(who(&asker)).into_response()
        })
}

async fn login(askers: &Askers, request: Request) -> Result<Response, Response> {
    let (head, body) = request.into_parts();
    let peer = peer_of(&head)?;
    if let Some(wait) = askers.attempts.wait(peer.ip(), clock::now()) {
        let seconds = wait.as_secs() + 1;
        let text = format!("refused too often; try again in {seconds} s");
        let mut answer = error_response(Class::TooMany, text);
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
        return Err(answer);
    }
    let client = head.headers.get(USER_AGENT);
    let client = client.and_then(|value| value.to_str().ok());
    let client = client.unwrap_or_default().to_owned();
    let wanted: Login = read(Request::from_parts(head, body)).await?;
    let sign_in = SignIn {
        name: wanted.name,
        password: Secret::new(wanted.password),
        code: (!wanted.code.is_empty()).then(|| Secret::new(wanted.code)),
        address: Some(peer.ip()),
        client,
    };
    match askers.identity.sessions().sign_in(&sign_in).await {
        Ok(session) => {
            let answer = json!({
                "token": session.secret.expose(),
                "user": session.user,
                "expires_at": session.expires_at,
            });
            Ok(([(CACHE_CONTROL, "no-store")], axum::Json(answer)).into_response())
        }
        Err(error) => {
            if is_attempt(&error) {
                askers.attempts.refused(peer.ip(), clock::now());
            }
            Err(not_signed_in(&error))
        }
    }
}

/// A script can tell that a code is missing.
fn not_signed_in(error: &IdentityError) -> Response {
    let IdentityError::Refused(refusal @ Refusal::SecondFactorNeeded) = error else {
        return refuse(error);
    };
    let envelope = json!({"error": {"code": refusal.code(), "message": refusal.to_string()}});
    (refusal.class().status(), axum::Json(envelope)).into_response()
}

async fn logout(askers: &Askers, asker: &Asker) -> Result<Response, Response> {
    let Some((user, id)) = asker.session() else {
        let text = "there is no session to end: remove a token with `landline tokens rm`";
        return Err(error_response(Class::Invalid, text));
    };
    let sessions = askers.identity.sessions();
    let ended = sessions.end(&asker.caller, user, id).await;
    ended.map_err(|error| refuse(&error))?;
    Ok(axum::Json(json!({"user": user})).into_response())
}

fn who(asker: &Asker) -> serde_json::Value {
    match &asker.principal {
        Some(principal) => {
            let roles: Vec<&str> = principal
                .roles
                .iter()
                .map(|role| role.name.as_str())
                .collect();
            json!({"user": principal.user, "roles": roles, "via": principal.via, "scopes": principal.scopes})
        }
        None => json!({"user": "local-admin", "roles": ["admin"]}),
    }
}

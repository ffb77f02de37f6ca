//! The paths with which an operator lets people and their scripts in: users, roles, API tokens.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Access, Policy, Routes, error_response};
use identity::Identity;
use identity::api_tokens::NewApiToken;
use identity::principal::Scope;
use identity::roles::Role;
use identity::users::NewUser;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::admin::{local_admin, read, refuse};

/// What `landline users add` asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddUser {
    /// Their name.
    pub(crate) name: String,
    /// What they may do.
    pub(crate) roles: Vec<String>,
}

/// What `landline tokens add --role api` asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddApiToken {
    /// Whose it is.
    pub(crate) user: String,
    /// How long, in seconds.
    pub(crate) ttl_seconds: u64,
    /// What it is limited to, such as `apps:use`.
    pub(crate) scopes: Vec<Scope>,
    /// What for.
    #[serde(default)]
    pub(crate) purpose: String,
}

/// Paths about people.
pub(crate) fn routes(identity: &Identity, access: &Arc<Access>) -> Routes {
    let policy = || Policy::Granted(Arc::clone(access));
    let own = || identity.clone();
    let (users, roles, tokens) = (own(), own(), own());
    let (add_users, add_roles, add_tokens) = (own(), own(), own());
    Routes::default()
        .get("/v1/users", policy(), move || async move {
            let all = users.users().list().await;
            answer(all.map(|users| json!({ "users": users })))
        })
        .post("/v1/users", policy(), move |request: Request| async move {
            add_user(&add_users, request).await.into_response()
        })
        .get("/v1/roles", policy(), move || async move {
            let all = roles.roles().list().await;
            answer(all.map(|roles| json!({ "roles": roles })))
        })
        .post("/v1/roles", policy(), move |request: Request| async move {
            put_role(&add_roles, request).await.into_response()
        })
        .get("/v1/api-tokens", policy(), move || async move {
            let all = tokens.api_tokens().list("").await;
            answer(all.map(|tokens| json!({ "tokens": tokens })))
        })
        .post(
            "/v1/api-tokens",
            policy(),
            move |request: Request| async move {
                add_token(&add_tokens, request).await.into_response()
            },
        )
}

fn answer(outcome: Result<serde_json::Value, identity::IdentityError>) -> Response {
    match outcome {
        Ok(value) => axum::Json(value).into_response(),
        Err(error) => refuse(&error),
    }
}

async fn add_user(identity: &Identity, request: Request) -> Result<Response, Response> {
    let caller = local_admin(&request);
    let wanted: AddUser = read(request).await?;
    let user = NewUser {
        name: wanted.name,
        roles: wanted.roles,
        logins: Vec::new(),
    };
    let added = identity.users().add(&caller, &user).await;
    // The invitation is not given out: there is no page yet on which it could be accepted.
    added.map_err(|error| refuse(&error))?;
    Ok(axum::Json(json!({"name": user.name, "roles": user.roles})).into_response())
}

async fn put_role(identity: &Identity, request: Request) -> Result<Response, Response> {
    let caller = local_admin(&request);
    let document: serde_json::Value = read(request).await?;
    let role = Role::parse(&document.to_string());
    let role = role.map_err(|error| error_response(Class::Invalid, error.to_string()))?;
    let put = identity.roles().put(&caller, &role).await;
    put.map_err(|error| refuse(&error))?;
    Ok(axum::Json(role).into_response())
}

async fn add_token(identity: &Identity, request: Request) -> Result<Response, Response> {
    let caller = local_admin(&request);
    let wanted: AddApiToken = read(request).await?;
    let token = NewApiToken {
        user: wanted.user,
        purpose: wanted.purpose,
        scopes: wanted.scopes,
        life: Duration::from_secs(wanted.ttl_seconds),
    };
    let issued = identity.api_tokens().add(&caller, &token).await;
    let issued = issued.map_err(|error| refuse(&error))?;
    let answer = json!({
        "id": issued.id,
        "token": issued.secret.expose(),
        "user": token.user,
        "expires_at": issued.expires_at,
    });
    Ok(axum::Json(answer).into_response())
}

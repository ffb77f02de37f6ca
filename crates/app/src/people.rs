//! The paths with which an operator lets people and their scripts in: users and their links, roles,
//! API tokens. Nobody gives away more than they have.
#![expect(
    clippy::result_large_err,
    reason = "an answer instead of a value is rare and not passed far"
)]

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Routes, error_response};
use identity::api_tokens::NewApiToken;
use identity::invitations::{INVITATION_LIFE, IssuedInvitation};
use identity::names::Labels;
use identity::principal::Scope;
use identity::roles::{Kind, Role, Verb};
use identity::users::NewUser;
use identity::{Identity, IdentityError, trust};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::admin::{asker, read, refuse};
use crate::askers::{Asker, Askers};
use crate::link::{self, Place};

/// What `landline users add` asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddUser {
    /// Their name.
    pub(crate) name: String,
    /// What they may do.
    pub(crate) roles: Vec<String>,
    /// How long their link is good, in seconds.
    #[serde(default = "usual_life")]
    pub(crate) ttl_seconds: u64,
}

/// What `landline users reset` asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    #[serde(default = "usual_life")]
    ttl_seconds: u64,
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

fn usual_life() -> u64 {
    INVITATION_LIFE.as_secs()
}

/// Paths about people. Links lead to `place`.
pub(crate) fn routes(askers: &Arc<Askers>, place: &Place) -> Routes {
    let own = || askers.identity.clone();
    let (users, roles, tokens) = (own(), own(), own());
    let (add_users, add_roles, add_tokens) = (own(), own(), own());
    let resetting = own();
    let (place, again) = (place.clone(), place.clone());
    Routes::default()
        .get("/v1/users", askers.right("users:read"), move || async move {
            let all = users.users().list().await;
            answer(all.map(|users| json!({ "users": users })))
        })
        .post("/v1/users", askers.right("users:create"), move |request: Request| async move {
            add_user(&add_users, &place, request).await.into_response()
        })
        .post(
            "/v1/users/{name}/invitation",
            askers.right("users:update"),
            move |Path(name): Path<String>, request: Request| async move {
                let reset = reset_user(&resetting, (&again, &name), request).await;
                reset.into_response()
            },
        )
        .get("/v1/roles", askers.right("cluster:read"), move || async move {
            let all = roles.roles().list().await;
            answer(all.map(|roles| json!({ "roles": roles })))
        })
        .post("/v1/roles", askers.right("cluster:update"), move |request: Request| async move {
            put_role(&add_roles, request).await.into_response()
        })
        .get("/v1/api-tokens", askers.right("tokens:read"), move || async move {
            let all = tokens.api_tokens().list("").await;
            answer(all.map(|tokens| json!({ "tokens": tokens })))
        })
        .post("/v1/api-tokens", askers.right("tokens:create"), move |request: Request| async move {
            add_token(&add_tokens, request).await.into_response()
        })
}

fn answer(outcome: Result<serde_json::Value, IdentityError>) -> Response {
    match outcome {
        Ok(value) => axum::Json(value).into_response(),
        Err(error) => refuse(&error),
    }
}

async fn add_user(
    identity: &Identity,
    place: &Place,
    request: Request,
) -> Result<Response, Response> {
    let asker = asker(&request)?;
    let wanted: AddUser = read(request).await?;
    asker.check_grant(&wanted.roles)?;
    let user = NewUser {
        name: wanted.name,
        roles: wanted.roles,
        logins: Vec::new(),
    };
    let life = Duration::from_secs(wanted.ttl_seconds);
    let added = identity.users().add_for(&asker.caller, &user, life).await;
    let invitation = added.map_err(|error| refuse(&error))?;
    invited((identity, place), &invitation, &user.roles)
}

async fn reset_user(
    identity: &Identity,
    (place, name): (&Place, &str),
    request: Request,
) -> Result<Response, Response> {
    let asker = asker(&request)?;
    let wanted: Reset = read(request).await?;
    let roles = roles_of(identity, name).await?;
    asker.check_grant(&roles)?;
    let life = Duration::from_secs(wanted.ttl_seconds);
    let invitations = identity.invitations();
    let invitation = invitations.add_for(&asker.caller, name, life).await;
    let invitation = invitation.map_err(|error| refuse(&error))?;
    invited((identity, place), &invitation, &roles)
}

fn invited(
    (identity, place): (&Identity, &Place),
    invitation: &IssuedInvitation,
    roles: &[String],
) -> Result<Response, Response> {
    let pins = trust::pins_of(&identity.trust().bundle());
    let pins = pins.map_err(|error| refuse(&error.into()))?;
    let answer = json!({
        "name": invitation.user,
        "roles": roles,
        "link": link::welcome(&place.base, &invitation.secret).expose(),
        "expires_at": invitation.expires_at,
        "proxy": place.proxy,
        "ca_pin": pins.join(","),
    });
    Ok(axum::Json(answer).into_response())
}

/// The roles of a user; none when there is no such user, of whom others will tell.
async fn roles_of(identity: &Identity, name: &str) -> Result<Vec<String>, Response> {
    let user = identity.users().get(name).await;
    let user = user.map_err(|error| refuse(&error))?;
    Ok(user.map(|user| user.roles).unwrap_or_default())
}

async fn put_role(identity: &Identity, request: Request) -> Result<Response, Response> {
    let asker = asker(&request)?;
    let document: serde_json::Value = read(request).await?;
    let role = Role::parse(&document.to_string());
    let role = role.map_err(|error| error_response(Class::Invalid, error.to_string()))?;
    let put = identity.roles().put(&asker.caller, &role).await;
    put.map_err(|error| refuse(&error))?;
    Ok(axum::Json(role).into_response())
}

async fn add_token(identity: &Identity, request: Request) -> Result<Response, Response> {
    let asker = asker(&request)?;
    let wanted: AddApiToken = read(request).await?;
    check_token(identity, &asker, &wanted).await?;
    let token = NewApiToken {
        user: wanted.user,
        purpose: wanted.purpose,
        scopes: wanted.scopes,
        life: Duration::from_secs(wanted.ttl_seconds),
    };
    let issued = identity.api_tokens().add(&asker.caller, &token).await;
    let issued = issued.map_err(|error| refuse(&error))?;
    let answer = json!({
        "id": issued.id,
        "token": issued.secret.expose(),
        "user": token.user,
        "expires_at": issued.expires_at,
    });
    Ok(axum::Json(answer).into_response())
}

/// A token acts as its user. For oneself it allows no more than the request that makes it, and one of
/// somebody else is as good as their password.
async fn check_token(
    identity: &Identity,
    asker: &Asker,
    wanted: &AddApiToken,
) -> Result<(), Response> {
    let Some(principal) = &asker.principal else {
        return Ok(());
    };
    if principal.user != wanted.user {
        if !asker.may(Kind::Users, Verb::Update, &Labels::new()) {
            let text =
                "a token of somebody else is for those who may change users (`users:update`)";
            return Err(error_response(Class::Forbidden, text));
        }
        asker.check_grant(&roles_of(identity, &wanted.user).await?)?;
    }
    if !principal.covers(&wanted.scopes) {
        let text = "a token can't have more scopes than the token that makes it";
        return Err(error_response(Class::Forbidden, text));
    }
    Ok(())
}

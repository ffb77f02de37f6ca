//! The paths with which an operator keeps the cluster's identity in order: locks, the rotation of
//! authorities, and removing what is not needed any more.
#![expect(
    clippy::result_large_err,
    reason = "an answer instead of a value is rare and not passed far"
)]

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Routes, error_response};
use identity::audit::Caller;
use identity::authorities::{AuthorityKind, Pace};
use identity::locks::LockTarget;
use identity::members::Member;
use identity::peer::MachineRole;
use identity::roles::{Kind, Verb};
use identity::rotation::Phase;
use identity::{Identity, IdentityError};
use reach::hub::Hub;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::admin::{asker, read, refuse};
use crate::askers::{Asker, Askers};

/// The word for the keys of assertions, which have no phases.
pub(crate) const JWT: &str = "jwt";

/// What `landline locks add` asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddLock {
    /// `user`, `node`, `proxy`, `token` or `role`.
    pub(crate) kind: String,
    /// The name; of a token its identifier.
    pub(crate) name: String,
    /// Why, for those who meet it.
    pub(crate) reason: String,
    /// How long, in seconds; for ever when nothing.
    #[serde(default)]
    pub(crate) ttl_seconds: Option<u64>,
}

/// What `landline authorities rotate` asks for. With nothing it is the next phase.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rotate {
    /// Which phase.
    pub(crate) to: Option<Phase>,
    /// All further phases follow by themselves.
    pub(crate) auto: bool,
    /// Whoever is cut off by it.
    pub(crate) force: bool,
}

/// Paths about locks and authorities, and the removal of users, roles and tokens.
pub(crate) fn routes(askers: &Arc<Askers>) -> Routes {
    let own = || askers.identity.clone();
    let (locks, authorities) = (own(), own());
    let (adding, unlocking, rotating) = (own(), own(), own());
    Routes::default()
        .get(
            "/v1/locks",
            askers.right("cluster:read"),
            move || async move { list_locks(&locks).await.into_response() },
        )
        .post(
            "/v1/locks",
            askers.right("cluster:update"),
            move |request: Request| async move { add_lock(&adding, request).await.into_response() },
        )
        .delete(
            "/v1/locks/{id}",
            askers.right("cluster:update"),
            move |asker: Extension<Asker>, Path(id): Path<String>| async move {
                done(unlocking.locks().remove(&asker.caller, &id).await)
            },
        )
        .get(
            "/v1/authorities",
            askers.right("cluster:read"),
            move || async move { list_authorities(&authorities).await.into_response() },
        )
        .post(
            "/v1/authorities/{kind}/rotate",
            askers.right("cluster:update"),
            move |Path(kind): Path<String>, request: Request| async move {
                rotate(&rotating, &kind, request).await.into_response()
            },
        )
        .merge(removals(askers))
}

/// The paths with which users, their second factors, roles and tokens are removed.
fn removals(askers: &Arc<Askers>) -> Routes {
    let own = || askers.identity.clone();
    let (users, factors, roles, tokens) = (own(), own(), own(), own());
    Routes::default()
        .delete(
            "/v1/users/{name}",
            askers.right("users:delete"),
            move |asker: Extension<Asker>, Path(name): Path<String>| async move {
                if let Err(refusal) = check_over(&users, &asker, &name).await {
                    return refusal;
                }
                done(users.users().remove(&asker.caller, &name).await)
            },
        )
        .delete(
            "/v1/users/{name}/second-factor",
            askers.right("users:update"),
            move |asker: Extension<Asker>, Path(name): Path<String>| async move {
                if let Err(refusal) = check_over(&factors, &asker, &name).await {
                    return refusal;
                }
                done(factors.users().remove_totp(&asker.caller, &name).await)
            },
        )
        .delete(
            "/v1/roles/{name}",
            askers.right("cluster:update"),
            move |asker: Extension<Asker>, Path(name): Path<String>| async move {
                done(roles.roles().remove(&asker.caller, &name).await)
            },
        )
        .delete(
            "/v1/tokens/{id}",
            askers.right("tokens:delete"),
            move |asker: Extension<Asker>, Path(id): Path<String>| async move {
                done(remove_token(&tokens, &asker.caller, &id).await)
            },
        )
}

/// The path with which a machine is removed.
pub(crate) fn node_routes(hub: &Arc<Hub>, askers: &Arc<Askers>) -> Routes {
    let hub = Arc::clone(hub);
    Routes::default().delete(
        "/v1/nodes/{name}",
        askers.right("nodes:delete"),
        move |asker: Extension<Asker>, Path(name): Path<String>| async move {
            remove_node(&hub, &asker, &name).await.into_response()
        },
    )
}

/// Refuses what is about a user with other roles than the asker's own.
async fn check_over(identity: &Identity, asker: &Asker, name: &str) -> Result<(), Response> {
    let user = identity.users().get(name).await;
    let user = user.map_err(|error| refuse(&error))?;
    user.map_or(Ok(()), |user| asker.check_grant(&user.roles))
}

fn done(outcome: Result<(), IdentityError>) -> Response {
    match outcome {
        Ok(()) => axum::Json(json!({})).into_response(),
        Err(error) => refuse(&error),
    }
}

async fn list_locks(identity: &Identity) -> Result<Response, Response> {
    let locks = identity.locks().list().await;
    let mut listed = Vec::new();
    for lock in locks.map_err(|error| refuse(&error))? {
        let mut name = lock.target.name().to_owned();
        if let LockTarget::Node(uuid) = &lock.target {
            let member = identity.members().get(uuid).await;
            let member = member.map_err(|error| refuse(&error))?;
            name = member.map_or(name, |member| member.name);
        }
        listed.push(json!({
            "id": lock.id,
            "kind": lock.target.kind(),
            "name": name,
            "target": lock.target.to_string(),
            "reason": lock.reason,
            "expires_at": lock.expires_at,
            "created_at": lock.created_at,
            "created_by": lock.created_by,
        }));
    }
    Ok(axum::Json(json!({ "locks": listed })).into_response())
}

async fn add_lock(identity: &Identity, request: Request) -> Result<Response, Response> {
    let caller = asker(&request)?.caller;
    let wanted: AddLock = read(request).await?;
    if wanted.reason.trim().is_empty() {
        let text = "a lock has a reason: it is what those hear who meet it";
        return Err(error_response(Class::Invalid, text));
    }
    if wanted.ttl_seconds == Some(0) {
        return Err(error_response(
            Class::Invalid,
            "a lock lasts for a second at least",
        ));
    }
    let target = target(identity, &wanted.kind, &wanted.name).await;
    let target = target.map_err(|error| refuse(&error))?;
    let life = wanted.ttl_seconds.map(Duration::from_secs);
    let added = identity
        .locks()
        .add(&caller, target.clone(), &wanted.reason, life)
        .await;
    let id = added.map_err(|error| refuse(&error))?;
    Ok(axum::Json(json!({"id": id, "target": target.to_string()})).into_response())
}

/// What is to be locked. A name that nobody has is a mistake that would look like a lock.
async fn target(identity: &Identity, kind: &str, name: &str) -> Result<LockTarget, IdentityError> {
    let missing = |what: &'static str| IdentityError::NotFound {
        what,
        name: name.chars().take(64).collect(),
    };
    let name = name.to_owned();
    match kind {
        "user" => {
            let user = identity.users().get(&name).await?;
            user.ok_or_else(|| missing("user"))?;
            Ok(LockTarget::User(name))
        }
        "node" => Ok(LockTarget::Node(
            member(identity, &name, "node").await?.uuid,
        )),
        "proxy" => {
            let member = member(identity, &name, "proxy").await?;
            if member.role != MachineRole::Proxy {
                return Err(missing("proxy"));
            }
            Ok(LockTarget::Node(member.uuid))
        }
        "token" => {
            let join = identity.tokens().list().await?;
            let is_join = join.iter().any(|token| token.id == name);
            if !is_join && !identity.api_tokens().exists(&name).await? {
                return Err(missing("token"));
            }
            Ok(LockTarget::Token(name))
        }
        "role" => {
            let roles = identity.roles().list().await?;
            let is_machine = MachineRole::parse(&name).is_some();
            if !is_machine && !roles.iter().any(|role| role.name == name) {
                return Err(missing("role"));
            }
            Ok(LockTarget::Role(name))
        }
        _ => Err(IdentityError::Invalid(
            "what is locked is a `user`, `node`, `proxy`, `token` or `role`".to_owned(),
        )),
    }
}

async fn member(
    identity: &Identity,
    name: &str,
    what: &'static str,
) -> Result<Member, IdentityError> {
    let member = identity.members().find(name).await?;
    member.ok_or_else(|| IdentityError::NotFound {
        what,
        name: name.chars().take(64).collect(),
    })
}

async fn list_authorities(identity: &Identity) -> Result<Response, Response> {
    let listed = authorities(identity).await;
    let listed = listed.map_err(|error| refuse(&error))?;
    Ok(axum::Json(json!({ "authorities": listed })).into_response())
}

async fn authorities(identity: &Identity) -> Result<Vec<Value>, IdentityError> {
    let all = identity.authorities().list().await?;
    let mut listed = Vec::new();
    for kind in AuthorityKind::ALL {
        let status = identity.authorities().rotation(kind).await?;
        let keys: Vec<_> = all.iter().filter(|one| one.kind == status.kind).collect();
        let public: Vec<_> = keys.iter().map(|one| one.public.clone()).collect();
        listed.push(json!({
            "kind": status.kind,
            "phase": status.phase,
            "next": status.next,
            "automatic": status.is_automatic,
            "changed_at": status.changed_at,
            "waits_for": status.waits_for,
            "public": public,
            "keys": keys,
        }));
    }
    let keys = identity.assertions().list().await?;
    let public: Vec<_> = keys.iter().map(|key| key.id.clone()).collect();
    listed.push(json!({
        "kind": JWT,
        "phase": Phase::Standby,
        "next": [],
        "automatic": false,
        "changed_at": keys.first().map_or(0, |key| key.created_at),
        "waits_for": [],
        "public": public,
        "keys": keys,
    }));
    Ok(listed)
}

async fn rotate(identity: &Identity, kind: &str, request: Request) -> Result<Response, Response> {
    let caller = asker(&request)?.caller;
    let wanted: Rotate = read(request).await?;
    let rotated = take_step(identity, &caller, kind, &wanted).await;
    rotated.map_err(|error| refuse(&error))?;
    list_authorities(identity).await
}

async fn take_step(
    identity: &Identity,
    caller: &Caller,
    kind: &str,
    wanted: &Rotate,
) -> Result<(), IdentityError> {
    if kind == JWT {
        if wanted.to.is_some() {
            let text = "the keys of assertions have no phases: a new one signs at once";
            return Err(IdentityError::Invalid(text.to_owned()));
        }
        return identity.assertions().rotate(caller).await;
    }
    let kind = AuthorityKind::parse(kind).ok_or_else(|| {
        IdentityError::Invalid(
            "an authority is one of `x509`, `ssh_user`, `ssh_host` and `jwt`".to_owned(),
        )
    })?;
    let authorities = identity.authorities();
    if wanted.auto && wanted.to.is_none() {
        return authorities.rotate_by_itself(caller, kind).await;
    }
    let to = match wanted.to {
        Some(to) => to,
        None => {
            let status = authorities.rotation(kind).await?;
            status.next.first().copied().unwrap_or(Phase::Standby)
        }
    };
    let pace = Pace {
        is_forced: wanted.force,
        is_automatic: wanted.auto,
    };
    authorities.rotate(caller, kind, to, pace).await
}

/// A join token or an API token: an operator has an identifier and no wish to know of which kind.
async fn remove_token(identity: &Identity, caller: &Caller, id: &str) -> Result<(), IdentityError> {
    match identity.tokens().remove(caller, id).await {
        Err(IdentityError::NotFound { .. }) => identity.api_tokens().remove(caller, id).await,
        other => other,
    }
}

async fn remove_node(hub: &Hub, asker: &Asker, name: &str) -> Result<Response, Response> {
    let identity = hub.identity();
    let member = match member(identity, name, "machine").await {
        Ok(member) => member,
        Err(error) => {
            // It may have been removed, and what it offered not been forgotten.
            if error.class() == Class::NotFound && asker.check_hub().is_ok() {
                forget(hub, name).await?;
            }
            return Err(refuse(&error));
        }
    };
    let mut labels = member.labels.clone();
    labels.insert("node".to_owned(), member.name.clone());
    if !asker.may(Kind::Nodes, Verb::Delete, &labels) {
        let text = "no role of yours allows to remove a machine with these labels";
        return Err(error_response(Class::Forbidden, text));
    }
    if member.role != MachineRole::Node {
        asker.check_hub()?;
    }
    let removed = identity.members().remove(&asker.caller, &member.uuid).await;
    removed.map_err(|error| refuse(&error))?;
    forget(hub, name).await?;
    Ok(axum::Json(json!({"uuid": member.uuid})).into_response())
}

/// Forgets what a machine that was removed offered.
async fn forget(hub: &Hub, name: &str) -> Result<(), Response> {
    hub.forget_node(name).await.map_err(|error| {
        let error = base::client::chain(&*error);
        tracing::error!(name, error, "what a node offered could not be forgotten");
        error_response(
            Class::Unavailable,
            "the machine is removed; what it offered could not be forgotten: try again",
        )
    })
}

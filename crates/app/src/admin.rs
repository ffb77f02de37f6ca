//! The paths with which an operator runs the cluster, and the token that lets the command line of
//! this machine use them: whoever may read the data directory may.
#![expect(
    clippy::result_large_err,
    reason = "an answer instead of a value is rare and not passed far"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::files;
use base::http::{Access, Policy, Routes, error_response, read_body};
use base::secret::SecretSource;
use base::supervise::BoxError;
use http::header::CONTENT_TYPE;
use identity::audit::Query;
use identity::names::Labels;
use identity::peer::MachineRole;
use identity::tokens::NewToken;
use identity::{Identity, IdentityError};
use reach::hub::Hub;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::askers::{Asker, Askers};
use crate::seen::Seen;

/// The file of the token, in the data directory.
pub(crate) const ADMIN_TOKEN_FILE: &str = "admin.token";
/// The largest request.
const BODY_BYTES_MAX: usize = 64 << 10;

/// What `landline tokens add` asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddToken {
    /// As what machines may join.
    pub(crate) roles: Vec<MachineRole>,
    /// How long, in seconds.
    pub(crate) ttl_seconds: u64,
    /// How many.
    pub(crate) uses: i64,
    /// Under which name only; empty for any.
    #[serde(default)]
    pub(crate) name: String,
    /// Labels that they get.
    #[serde(default)]
    pub(crate) labels: Labels,
}

/// Who may use these paths. The token is made anew at each start.
pub(crate) fn access(data_dir: &Path, token: &str) -> Result<Arc<Access>, BoxError> {
    let path = data_dir.join(ADMIN_TOKEN_FILE);
    files::write_whole(&path, token.as_bytes(), 0o600)?;
    let tokens = [SecretSource::File(path)];
    let access = Access::new(&tokens, Vec::new(), &std::collections::BTreeMap::new())?;
    Ok(Arc::new(access.and_of_loopback()))
}

/// Paths about the cluster.
pub(crate) fn routes(askers: &Arc<Askers>, public: &str) -> Routes {
    let own = || askers.identity.clone();
    let (adding, listing, reading) = (own(), own(), own());
    let public = public.to_owned();
    let authorities = askers.identity.trust();
    Routes::default()
        .get("/v1/ca.pem", Policy::Public, move || async move {
            let kind = [(CONTENT_TYPE, "application/x-pem-file")];
            (kind, authorities.bundle().authorities.concat())
        })
        .post("/v1/tokens", askers.right("tokens:create"), move |request: Request| async move {
            let added = add_token(&adding, &public, request).await;
            added.unwrap_or_else(|refusal| refusal)
        })
        .get("/v1/tokens", askers.right("tokens:read"), move || async move {
            let tokens = listing.tokens().list().await;
            tokens.map_or_else(|error| refuse(&error), |tokens| axum::Json(json!({"tokens": tokens})).into_response())
        })
        .get("/v1/audit", askers.right("audit:read"), move |query: axum::extract::Query<AuditQuery>| async move {
            audit(&reading, query.0).await
        })
}

/// Paths about the nodes and the proxies.
pub(crate) fn node_routes(hub: &Arc<Hub>, seen: &Arc<Seen>, askers: &Arc<Askers>) -> Routes {
    let (hub, nodes, apps) = (Arc::clone(hub), Arc::clone(seen), Arc::clone(seen));
    let list = |name: &'static str, all: Result<serde_json::Value, IdentityError>| {
        all.map_or_else(
            |error| refuse(&error),
            |all| axum::Json(json!({name: all})).into_response(),
        )
    };
    Routes::default()
        .get(
            "/v1/nodes",
            askers.right("nodes:read"),
            move |asker: Extension<Asker>| async move {
                let all = nodes.nodes(&asker).await;
                list("nodes", all.map(|all| json!(all)))
            },
        )
        .get(
            "/v1/apps",
            askers.right("apps:read"),
            move |asker: Extension<Asker>| async move {
                let all = apps.apps(&asker).await;
                list("apps", all.map(|all| json!(all)))
            },
        )
        .get(
            "/v1/proxies",
            askers.right("cluster:read"),
            move || async move { axum::Json(json!({"proxies": hub.list_proxies().await})) },
        )
}

/// What of the audit log is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AuditQuery {
    kind: String,
    actor: String,
    target: String,
    outcome: String,
    /// Not before, and before: RFC 3339.
    since: Option<String>,
    until: Option<String>,
    newest_first: bool,
    cursor: Option<i64>,
    limit: i64,
}

async fn audit(identity: &Identity, query: AuditQuery) -> Response {
    let (from, to) = match (moment(query.since), moment(query.until)) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(wrong), _) | (_, Err(wrong)) => {
            let text = format!("{wrong:?} is not a time such as 2026-11-21T16:50:00Z");
            return error_response(Class::Invalid, text);
        }
    };
    let query = Query {
        kind: query.kind,
        actor: query.actor,
        target: query.target,
        outcome: query.outcome,
        from,
        to,
        cursor: query.cursor,
        is_descending: query.newest_first,
        limit: query.limit,
    };
    match identity.audit().query(&query).await {
        Ok(events) => {
            let next = events.last().map(|event| event.seq);
            axum::Json(json!({"events": events, "next": next})).into_response()
        }
        Err(error) => refuse(&error),
    }
}

/// Unix milliseconds of a time, if there is one; the text that is none.
fn moment(text: Option<String>) -> Result<Option<i64>, String> {
    let Some(text) = text else {
        return Ok(None);
    };
    match OffsetDateTime::parse(&text, &Rfc3339) {
        Ok(time) => Ok(i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()),
        Err(_) => Err(text),
    }
}

async fn add_token(
    identity: &Identity,
    public: &str,
    request: Request,
) -> Result<Response, Response> {
    let asker = asker(&request)?;
    let caller = asker.caller.clone();
    let wanted: AddToken = read(request).await?;
    if wanted.roles.iter().any(|role| *role != MachineRole::Node) {
        // Such a machine is part of the hub and may reach everything.
        asker.check_hub()?;
    }
    let token = NewToken {
        roles: wanted.roles,
        name: wanted.name,
        labels: wanted.labels,
        uses: wanted.uses,
        life: Duration::from_secs(wanted.ttl_seconds),
    };
    let issued = identity.tokens().add(&caller, &token).await;
    let issued = issued.map_err(|error| refuse(&error))?;
    let answer = json!({
        "id": issued.id,
        "token": issued.secret.expose(),
        "expires_at": issued.expires_at,
        "ca_pin": issued.pins.join(","),
        "proxy": public,
    });
    Ok(axum::Json(answer).into_response())
}

/// Who asks. The policy of the path has found out.
pub(crate) fn asker(request: &Request) -> Result<Asker, Response> {
    let asker = request.extensions().get::<Asker>().cloned();
    asker.ok_or_else(|| error_response(Class::Internal, "who asks is not known"))
}

/// What was sent with it.
pub(crate) async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Response> {
    let body = read_body(request.into_body(), BODY_BYTES_MAX).await;
    let body = body.map_err(|class| error_response(class, "the request can't be read"))?;
    serde_json::from_slice(&body).map_err(|error| error_response(Class::Invalid, error.to_string()))
}

pub(crate) fn refuse(error: &IdentityError) -> Response {
    if error.class() == Class::Internal {
        tracing::error!(
            error = base::client::chain(error),
            "a request about the cluster failed"
        );
    }
    error_response(error.class(), error.to_string())
}

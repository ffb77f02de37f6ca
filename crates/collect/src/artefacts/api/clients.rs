//! Clients whose uploads are refused and that try them again.

use axum::Json;
use axum::extract::Request;
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::json;
use wire::s3::xml::timestamp;

use super::query::Query;
use super::{Answer, visitor};
use crate::artefacts::retries::{Refused, Upload};
use crate::artefacts::visitor::Act;
use crate::artefacts::{Shared, time};

#[derive(Serialize)]
struct ShownClient {
    address: Option<String>,
    user: Option<String>,
    key: String,
    status: u16,
    reason: &'static str,
    attempts: u64,
    first_at: String,
    last_at: String,
    is_retrying: bool,
}

fn shown((upload, refused): (Upload, Refused), now: i64) -> ShownClient {
    ShownClient {
        address: upload.address.map(|address| address.to_string()),
        user: upload.user,
        key: upload.key,
        status: refused.status,
        reason: refused.reason,
        attempts: refused.attempts,
        first_at: timestamp(refused.first_at),
        last_at: timestamp(refused.last_at),
        is_retrying: refused.is_retrying(now),
    }
}

pub(super) async fn list(shared: &Shared, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    let visitor = visitor(&head)?;
    Query::of(&head)?.finish()?;
    let now = time::now();
    let may_see = |(upload, _): &(Upload, Refused)| {
        let group = upload.key.split_once('/').map_or("", |(group, _)| group);
        visitor.may(group, Act::Read)
    };
    let clients = shared.retries.all().into_iter().filter(may_see);
    let clients: Vec<ShownClient> = clients.map(|client| shown(client, now)).collect();
    Ok(Json(json!({"clients": clients})).into_response())
}

//! The paths of krkn-telemetry, as krkn and people know them. Its client takes 200 only, and the body of
//! a link as it is.

mod fields;
mod parameters;
pub(super) mod recovery;
mod telemetry;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::http::{Policy, Routes};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;
use wire::auth::http_date;
use wire::s3::key::{Key, KeyError, percent_decode, percent_encode, query_pairs};

use self::telemetry::Converted;
pub(super) use self::telemetry::GROWTH_MAX;
use super::Shared;
use super::catalogue::{Shown, Window};
use super::error::Trouble;
use super::joined::archive;
use super::s3::{new_version, read_version};
use super::upload::SILENCE_LIMIT;
use super::visitor::{Act, Visitor};

/// The file of a run with its telemetry.
pub(super) const TELEMETRY_FILE: &str = "telemetry.json";
const JSON: &str = "application/json";
/// Entries of one answer, which has no pages.
const ENTRIES_MAX: usize = 100_000;
/// Entries that are read at a time.
const PAGE: usize = 10_000;
/// How long telemetry waits for others to be read.
const SLOT_WAIT: Duration = Duration::from_mins(1);
/// How long the body of telemetry may take: its largest, over a slow line.
const BODY_LIMIT: Duration = Duration::from_mins(5);

pub(super) fn routes(shared: &Arc<Shared>, policy: &impl Fn() -> Policy) -> Routes {
    let with = || Arc::clone(shared);
    let (one, two, three, four, five, six) = (with(), with(), with(), with(), with(), with());
    let telemetry = move |request: Request| async move { telemetry(&one, request).await };
    let link = move |request: Request| async move { settle(&two, presign(&two, request).await) };
    let navigate = |shared: Arc<Shared>| {
        move |request: Request| async move { settle(&shared, navigate(&shared, request).await) }
    };
    let fetch = move |request: Request| async move { settle(&five, fetch(&five, request)) };
    let download = move |request: Request| async move { settle(&six, lead(&six, request)) };
    let pages = || async { (StatusCode::FOUND, [(LOCATION, "/files/")]) };
    Routes::default()
        .post("/telemetry", policy(), telemetry)
        .get("/presigned-url", policy(), link)
        .get("/navigate", policy(), navigate(three))
        .get("/navigate/", policy(), navigate(with()))
        .get("/navigate/{*path}", policy(), navigate(four))
        .get("/download-url/{*path}", policy(), fetch)
        .get("/download", policy(), pages)
        .get("/download/", policy(), pages)
        .get("/download/{*path}", policy(), download)
}

fn settle(shared: &Shared, answer: Result<Response, Trouble>) -> Response {
    answer.unwrap_or_else(|trouble| {
        shared.metrics.count_refused(trouble.reason());
        trouble.plain()
    })
}

/// Who asks, as the policy found out.
pub(super) fn visitor(head: &Parts) -> Result<Visitor, Trouble> {
    let visitor = head.extensions.get::<Visitor>();
    visitor.cloned().ok_or(Trouble::Anonymous)
}

/// The decoded rest of a path behind the first segment.
pub(super) fn rest_of(head: &Parts, first: &str) -> Result<String, Trouble> {
    let path = head.uri.path();
    let rest = path.strip_prefix(first).unwrap_or_default();
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    percent_decode(rest).ok_or(Trouble::Key(KeyError::Encoding))
}

/// The parameters of a query that have to be there, the first that is missing is named.
fn required<const N: usize>(
    head: &Parts,
    names: [(&str, &str); N],
) -> Result<[String; N], Trouble> {
    let pairs = query_pairs(head.uri.query().unwrap_or_default());
    let pairs = pairs.ok_or_else(|| Trouble::Invalid("the query can't be read".to_owned()))?;
    let mut found = [const { String::new() }; N];
    for (slot, (name, message)) in found.iter_mut().zip(names) {
        let value = pairs.iter().find(|(known, _)| known == name);
        let (_, value) = value.ok_or_else(|| Trouble::Invalid(message.to_owned()))?;
        slot.clone_from(value);
    }
    Ok(found)
}

fn text(body: String) -> Response {
    let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::OK, kind, body).into_response()
}

async fn presign(shared: &Shared, request: Request) -> Result<Response, Trouble> {
    let (head, _) = request.into_parts();
    // The blanks are the original's.
    let [run, name] = required(
        &head,
        [
            ("request_id", "missing request_id query param"),
            ("remote_filename", "missing  remote_filename query param"),
        ],
    )?;
    let key = Key::of_run(&run, &name)?;
    Shared::check(&visitor(&head)?, &key, Act::Create)?;
    // Somebody who could not upload should know before they try.
    let room = shared.take_room(&key, 0).await;
    drop(room.inspect_err(|trouble| shared.note_refused((&head, &key), trouble))?);
    shared.catalogue.begin_run(&key).await?;
    let place = shared.places.for_links(&head).ok_or(Trouble::NoBucket)?;
    Ok(text(shared.link(&place, ("PUT", &key), None)))
}

fn fetch(shared: &Shared, request: Request) -> Result<Response, Trouble> {
    let (head, _) = request.into_parts();
    let link = link_to_fetch(shared, &head, "/download-url")?;
    Ok(Json(json!({ "download_link": link })).into_response())
}

fn lead(shared: &Arc<Shared>, request: Request) -> Result<Response, Trouble> {
    let (head, _) = request.into_parts();
    if head.uri.path().ends_with('/') {
        return whole(shared, &head);
    }
    let link = link_to_fetch(shared, &head, "/download")?;
    let location = HeaderValue::try_from(link).map_err(|_| Trouble::NoFile)?;
    Ok((StatusCode::FOUND, [(LOCATION, location)]).into_response())
}

/// All files of a run, or of a folder in it, as one archive.
fn whole(shared: &Arc<Shared>, head: &Parts) -> Result<Response, Trouble> {
    let key = Key::new(rest_of(head, "/download")?)?;
    let group = key.as_str().split('/').next().unwrap_or_default();
    if !visitor(head)?.may(group, Act::Read) {
        return Err(Trouble::Forbidden(group.to_owned()));
    }
    let folder = key.as_str().trim_end_matches('/');
    let name = folder.rsplit('/').next().unwrap_or_default();
    let name = percent_encode(name, false);
    let disposition = format!("attachment; filename*=UTF-8''{name}.tar");
    let disposition = HeaderValue::try_from(disposition).map_err(|_| Trouble::NoFile)?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/x-tar")),
        (CONTENT_DISPOSITION, disposition),
    ];
    let body = archive(shared, &format!("{folder}/"));
    Ok((StatusCode::OK, headers, body).into_response())
}

/// A link to a file, or to the `version` of it; whether that is there is not looked at, as in the
/// original.
fn link_to_fetch(shared: &Shared, head: &Parts, first: &str) -> Result<String, Trouble> {
    let key = Key::new(rest_of(head, first)?)?;
    Shared::check(&visitor(head)?, &key, Act::Read)?;
    let place = shared.places.for_links(head).ok_or(Trouble::NoBucket)?;
    let query = head.uri.query().unwrap_or_default();
    let pairs = query_pairs(query).unwrap_or_default();
    let version = pairs.iter().find(|(name, _)| name == "version");
    let version = read_version(version.map(|(_, id)| id.as_str()))?;
    Ok(shared.link(&place, ("GET", &key), version))
}

async fn navigate(shared: &Shared, request: Request) -> Result<Response, Trouble> {
    let (head, _) = request.into_parts();
    let path = rest_of(&head, "/navigate")?;
    let entries = entries(shared, &visitor(&head)?, &path).await?;
    let (files, folders): (Vec<&Shown>, Vec<&Shown>) = entries
        .iter()
        .partition(|entry| matches!(entry, Shown::File(_)));
    let all = files.into_iter().chain(folders).map(element);
    Ok(Json(Value::Array(all.collect())).into_response())
}

/// What is directly below a path: the top, a group, a run, or a folder in it.
pub(super) async fn entries(
    shared: &Shared,
    visitor: &Visitor,
    path: &str,
) -> Result<Vec<Shown>, Trouble> {
    let path = path.trim_end_matches('/');
    let prefix = if path.is_empty() {
        String::new()
    } else {
        let key = Key::new(path)?;
        let group = path.split('/').next().unwrap_or_default();
        if !visitor.may(group, Act::Read) {
            return Err(Trouble::Forbidden(group.to_owned()));
        }
        format!("{key}/")
    };
    let mut all: Vec<Shown> = Vec::new();
    loop {
        let after = all.last().map(|last| last.key().to_owned());
        let window = Window {
            prefix: &prefix,
            is_by_folder: true,
            after: after.as_deref().unwrap_or_default(),
            limit: PAGE,
        };
        let page = shared.catalogue.list(window).await?;
        let is_truncated = page.is_truncated;
        all.extend(page.entries);
        if !is_truncated || all.len() >= ENTRIES_MAX {
            break;
        }
    }
    let group_of = |key: &str| {
        key.split_once('/')
            .map_or("", |(group, _)| group)
            .to_owned()
    };
    all.retain(|entry| visitor.may(&group_of(entry.key()), Act::Read));
    Ok(all)
}

/// An entry as the original shows it.
fn element(entry: &Shown) -> Value {
    match entry {
        Shown::File(object) => {
            let name = object.key.rsplit('/').next().unwrap_or_default();
            let modified = http_date(object.modified.div_euclid(1000));
            json!({"type": "file", "path": name, "size": object.size, "modified": modified})
        }
        Shown::Folder(prefix) => {
            let name = prefix.trim_end_matches('/').rsplit('/').next();
            let name = format!("{}/", name.unwrap_or_default());
            json!({"type": "folder", "path": name, "size": 0, "modified": ""})
        }
    }
}

async fn telemetry(shared: &Shared, request: Request) -> Response {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(JSON) {
        shared.metrics.count_refused("UnsupportedMediaType");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return (status, "content type not supported").into_response();
    }
    settle(shared, keep_telemetry(shared, request).await)
}

/// A body that may take its time, as long as something comes.
async fn read_slowly(mut body: Body, limit: u64) -> Result<Bytes, Trouble> {
    let limit_bytes = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut whole = BytesMut::new();
    loop {
        let frame = timeout(SILENCE_LIMIT, body.frame()).await;
        let frame = frame.map_err(|_| Trouble::Silent(SILENCE_LIMIT.as_secs()))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| Trouble::Incomplete)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > limit_bytes.saturating_sub(whole.len()) {
            return Err(Trouble::TooLarge(base::config::format_bytes(limit)));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

async fn keep_telemetry(shared: &Shared, request: Request) -> Result<Response, Trouble> {
    let (head, body) = request.into_parts();
    let [run, group] = required(
        &head,
        [
            ("request_id", "missing request_id param"),
            ("telemetry_group", "missing telemetry_group param"),
        ],
    )?;
    let key = Key::of_run(&format!("{group}/{run}"), TELEMETRY_FILE)?;
    let visitor = visitor(&head)?;
    Shared::check(&visitor, &key, Act::Create)?;
    let kept = keep_document(shared, (&key, visitor.name()), body).await;
    kept.inspect_err(|trouble| shared.note_refused((&head, &key), trouble))?;
    Ok(text(format!("record {key} created")))
}

/// Keeps the telemetry of a run.
async fn keep_document(
    shared: &Shared,
    (key, created_by): (&Key, &str),
    body: Body,
) -> Result<(), Trouble> {
    let limit = shared.config.telemetry_limit;
    let slot = timeout(SLOT_WAIT, shared.telemetry.acquire()).await;
    let _slot = slot.ok().and_then(Result::ok).ok_or(Trouble::Busy)?;
    let body = timeout(BODY_LIMIT, read_slowly(body, limit)).await;
    let body = body.map_err(|_| Trouble::Slow(BODY_LIMIT.as_secs()))??;
    let raw = body.clone();
    let converted = tokio::task::spawn_blocking(move || telemetry::convert(&body, limit)).await;
    let converted = converted.map_err(|_| Trouble::Invalid("it can't be read".to_owned()))?;
    let Converted { json, facts } = converted.map_err(Trouble::Refused)?;
    let finished = shared.receive_bytes(key, json.into()).await?;
    let mut new = new_version(created_by, &finished);
    JSON.clone_into(&mut new.content_type);
    let recorded = (key, &new, finished.id.as_str());
    let catalogue = &shared.catalogue;
    Ok(catalogue.record_telemetry(recorded, &raw, &facts).await?)
}

//! `PutObject`, `GetObject`, `HeadObject`, `DeleteObject`.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use wire::s3::key::Key;

use super::Asked;
use crate::artefacts::Shared;
use crate::artefacts::catalogue::NewVersion;
use crate::artefacts::error::Trouble;
use crate::artefacts::objects::Finished;
use crate::artefacts::serve::{self, kept_headers};
use crate::artefacts::upload::Announced;
use crate::artefacts::visitor::Act;

pub(super) async fn perform(
    shared: &Shared,
    (asked, key): (Asked, Key),
    body: Body,
) -> Result<Response, Trouble> {
    // What is said of a file is not kept yet.
    if asked.has("tagging") || asked.head.headers.contains_key("x-amz-copy-source") {
        return Err(Trouble::NotImplemented);
    }
    if !matches!(*asked.method(), Method::GET | Method::HEAD) {
        refuse_conditions(&asked)?;
    }
    match *asked.method() {
        Method::PUT => put(shared, (asked, key), body).await,
        Method::GET | Method::HEAD => get(shared, &asked, &key).await,
        Method::DELETE => delete(shared, &asked, &key).await,
        _ => Err(Trouble::Method),
    }
}

/// Refuses writes under a condition: done without it, they would overwrite what they must not.
pub(super) fn refuse_conditions(asked: &Asked) -> Result<(), Trouble> {
    let headers = &asked.head.headers;
    if headers.contains_key(IF_MATCH) || headers.contains_key(IF_NONE_MATCH) {
        return Err(Trouble::NotImplemented);
    }
    Ok(())
}

async fn put(shared: &Shared, (asked, key): (Asked, Key), body: Body) -> Result<Response, Trouble> {
    asked.check(&key, Act::Create)?;
    let headers = &asked.head.headers;
    let (content_type, kept) = kept_headers(headers)?;
    let form = (asked.form.clone(), asked.chunk_key.clone());
    let announced = Announced::read(headers, form, asked.is_link)?;
    let finished = shared.receive(&key, announced, body).await?;
    let new = NewVersion {
        content_type,
        headers: kept,
        ..new_version(asked.name(), &finished)
    };
    let version = match shared.catalogue.record(&key, &new, &finished.id).await {
        Ok(version) => version,
        Err(error) => {
            // A commit whose answer was lost may have happened: what nobody knows is collected.
            return Err(error.into());
        }
    };
    let mut response = StatusCode::OK.into_response();
    put_headers(response.headers_mut(), &new);
    let id = HeaderName::from_static("x-amz-version-id");
    response.headers_mut().insert(id, version.into());
    Ok(response)
}

/// What is known of an object that came.
pub(in crate::artefacts) fn new_version<'a>(
    created_by: &'a str,
    finished: &Finished,
) -> NewVersion<'a> {
    let checksum = finished.checksum.as_ref();
    let checksum = checksum.map(|(algorithm, value)| format!("{}:{value}", algorithm.header()));
    NewVersion {
        created_by,
        bytes: finished.bytes,
        etag: finished
            .md5
            .clone()
            .unwrap_or_else(|| finished.sha256.clone()),
        sha256: finished.sha256.clone(),
        checksum: checksum.unwrap_or_default(),
        content_type: String::new(),
        headers: "{}".to_owned(),
    }
}

/// Tag and checksum of what came.
pub(super) fn put_headers(headers: &mut HeaderMap, new: &NewVersion<'_>) {
    if let Ok(etag) = HeaderValue::try_from(format!("\"{}\"", new.etag)) {
        headers.insert(ETAG, etag);
    }
    if let Some((name, value)) = new.checksum.split_once(':')
        && let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
    {
        headers.insert(name, value);
    }
}

/// The version that a request names. What can't be one of ours is no file: it does not stand for all.
pub(in crate::artefacts) fn read_version(text: Option<&str>) -> Result<Option<i64>, Trouble> {
    let version = text.map(|text| text.trim().parse());
    version.transpose().map_err(|_| Trouble::NoFile)
}

async fn get(shared: &Shared, asked: &Asked, key: &Key) -> Result<Response, Trouble> {
    asked.check(key, Act::Read)?;
    let wanted = read_version(asked.parameter("versionId"))?;
    let version = match shared.catalogue.find(key, wanted).await? {
        None if wanted.is_none() => shared.find_joined(key).await?,
        found => found,
    };
    let version = version.ok_or(Trouble::NoFile)?;
    let wanted = serve::Asked {
        headers: &asked.head.headers,
        parameters: &asked.parameters,
        is_head: asked.method() == Method::HEAD,
    };
    serve::answer(&shared.objects, version, &wanted).await
}

async fn delete(shared: &Shared, asked: &Asked, key: &Key) -> Result<Response, Trouble> {
    asked.check(key, Act::Delete)?;
    let objects = shared
        .catalogue
        .remove(key, read_version(asked.parameter("versionId"))?)
        .await?;
    shared.objects.remove(objects).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

//! `PutObject`, `GetObject`, `HeadObject`, `DeleteObject`.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::ETAG;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use wire::s3::key::Key;

use super::condition::{check_condition, condition_of};
use super::{Asked, copy, tags};
use crate::artefacts::Shared;
use crate::artefacts::catalogue::{Condition, NewVersion};
use crate::artefacts::error::Trouble;
use crate::artefacts::objects::{Finished, Segment};
use crate::artefacts::serve::{self, kept_headers};
use crate::artefacts::upload::Announced;
use crate::artefacts::visitor::Act;

pub(super) async fn perform(
    shared: &Shared,
    (asked, key): (Asked, Key),
    body: Body,
) -> Result<Response, Trouble> {
    if asked.has("tagging") {
        return tags::perform(shared, (asked, key), body).await;
    }
    match *asked.method() {
        Method::PUT if copy::is_copy(&asked) => copy::copy(shared, &asked, &key).await,
        Method::PUT => put(shared, (asked, key), body).await,
        Method::GET | Method::HEAD => get(shared, &asked, &key).await,
        Method::DELETE => delete(shared, &asked, &key).await,
        _ => Err(Trouble::Method),
    }
}

async fn put(shared: &Shared, (asked, key): (Asked, Key), body: Body) -> Result<Response, Trouble> {
    asked.check(&key, Act::Create)?;
    let condition = check_condition(shared, &asked, &key).await?;
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
    let object = [Segment {
        object: finished.id.clone(),
        bytes: finished.bytes,
    }];
    let recorded = shared.catalogue.record((&key, &condition), &new, &object);
    // A commit whose answer was lost may have happened: what nobody knows is collected.
    let Some(version) = recorded.await? else {
        shared.objects.remove(vec![finished.id]).await;
        return Err(Trouble::Unmet);
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
    if condition_of(&asked.head.headers)? != Condition::Any {
        return Err(Trouble::NotImplemented);
    }
    let version = read_version(asked.parameter("versionId"))?;
    let objects = shared.catalogue.remove(key, version).await?;
    if !objects.is_empty() {
        let removed = [(key.clone(), version)];
        shared.note_removed(asked.by(), &removed).await;
    }
    shared.objects.remove(objects).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

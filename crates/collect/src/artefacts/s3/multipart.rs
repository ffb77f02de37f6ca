//! Uploads in parts: begin, parts, complete, give up, and the list of parts.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, Method, StatusCode};
use md5::{Digest as _, Md5};
use wire::s3::key::Key;
use wire::s3::xml::{self, CompletedPart, Part, read_complete};

use super::bucket::read_document;
use super::condition::check_condition;
use super::object::{new_version, put_headers};
use super::{Asked, copy, document};
use crate::artefacts::Shared;
use crate::artefacts::catalogue::{Completed, NewPart, NewVersion, Upload};
use crate::artefacts::error::Trouble;
use crate::artefacts::objects::new_id;
use crate::artefacts::serve::kept_headers;
use crate::artefacts::upload::Announced;
use crate::artefacts::visitor::Act;

/// Parts of an upload, as S3 has it.
const PARTS_MAX: i64 = 10_000;
/// Parts of one page of a list.
const PAGE_MAX: i64 = 1_000;
/// The list of 10,000 parts with all their checksums.
const COMPLETE_BYTES_MAX: usize = 4 << 20;

pub(super) async fn perform(
    shared: &Shared,
    (asked, key): (Asked, Key),
    body: Body,
) -> Result<Response, Trouble> {
    if *asked.method() == Method::POST && asked.has("uploads") {
        return begin(shared, &asked, &key).await;
    }
    let id = asked.parameter("uploadId").ok_or(Trouble::NoUpload)?;
    let upload = match *asked.method() {
        Method::GET => {
            asked.check(&key, Act::Read)?;
            shared.catalogue.upload(&key, id).await?
        }
        _ => {
            asked.check(&key, Act::Create)?;
            shared.catalogue.upload(&key, id).await?
        }
    };
    let upload = upload.ok_or(Trouble::NoUpload)?;
    match *asked.method() {
        Method::PUT => part(shared, (asked, key, upload), body).await,
        Method::POST => complete(shared, (asked, key, upload), body).await,
        Method::GET => list(shared, &asked, (&key, &upload)).await,
        Method::DELETE => {
            let left = shared.catalogue.abort(&key, &upload.id).await?;
            shared.objects.remove(left.ok_or(Trouble::NoUpload)?).await;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Err(Trouble::Method),
    }
}

async fn begin(shared: &Shared, asked: &Asked, key: &Key) -> Result<Response, Trouble> {
    asked.check(key, Act::Create)?;
    // Said before the first part is sent.
    drop(shared.take_room(key, 0).await?);
    let (content_type, headers) = kept_headers(&asked.head.headers)?;
    let upload = Upload {
        id: new_id()?,
        content_type,
        headers,
    };
    shared
        .catalogue
        .begin_upload(key, &upload, asked.name())
        .await?;
    let bucket = &shared.config.bucket;
    Ok(document(xml::initiated(bucket, key.as_str(), &upload.id)))
}

async fn part(
    shared: &Shared,
    (asked, key, upload): (Asked, Key, Upload),
    body: Body,
) -> Result<Response, Trouble> {
    let number = asked.number("partNumber", 1..=PARTS_MAX)?;
    let (finished, copied) = if copy::is_copy(&asked) {
        let (finished, response) = copy::copy_part(shared, &asked, &key).await?;
        (finished, Some(response))
    } else {
        let form = (asked.form.clone(), asked.chunk_key.clone());
        let announced = Announced::read(&asked.head.headers, form, asked.is_link)?;
        (shared.receive(&key, announced, body).await?, None)
    };
    let new = new_version(asked.name(), &finished);
    let object = NewPart {
        number,
        object: &finished.id,
    };
    let recorded = shared
        .catalogue
        .record_part((&key, &upload.id), object, &new);
    let Some(left) = recorded.await? else {
        // It was completed or given up meanwhile.
        shared.objects.remove(vec![finished.id]).await;
        return Err(Trouble::NoUpload);
    };
    shared.objects.remove(left).await;
    if let Some(response) = copied {
        return Ok(response);
    }
    let mut response = StatusCode::OK.into_response();
    put_headers(response.headers_mut(), &new);
    Ok(response)
}

async fn complete(
    shared: &Shared,
    (asked, key, upload): (Asked, Key, Upload),
    body: Body,
) -> Result<Response, Trouble> {
    let condition = check_condition(shared, &asked, &key).await?;
    let bytes = read_document(&asked, body, COMPLETE_BYTES_MAX).await?;
    let named = read_complete(&bytes)?;
    let parts = shared.catalogue.parts(&upload.id, (0, PARTS_MAX)).await?;
    let chosen = choose(&named, &parts)?;
    let etag = etag_of(&chosen);
    let new = NewVersion {
        created_by: asked.name(),
        bytes: chosen.iter().map(|part| part.size).sum(),
        etag: etag.clone(),
        // Of the whole it could be known only by reading everything again.
        sha256: String::new(),
        checksum: String::new(),
        content_type: upload.content_type.clone(),
        headers: upload.headers.clone(),
    };
    let parts = (chosen.as_slice(), &condition);
    let completed = shared.catalogue.complete((&key, &upload.id), parts, &new);
    let (version, left) = match completed.await? {
        Completed::Version(version, left) => (version, left),
        Completed::Gone => return Err(Trouble::NoUpload),
        Completed::Unmet => return Err(Trouble::Unmet),
    };
    shared.objects.remove(left).await;
    let bucket = &shared.config.bucket;
    let path = format!("/{bucket}/{}", key.encode());
    let place = shared.places.for_links(&asked.head);
    let location = place.map_or_else(|| path.clone(), |place| place.url(&path));
    let text = xml::completed(bucket, key.as_str(), &etag, &location);
    let mut response = document(text);
    let id = HeaderName::from_static("x-amz-version-id");
    response.headers_mut().insert(id, version.into());
    Ok(response)
}

/// The parts that came, as they are named.
fn choose(named: &[CompletedPart], parts: &[Part]) -> Result<Vec<Part>, Trouble> {
    if !named.is_sorted_by(|one, next| one.number < next.number) {
        return Err(Trouble::InvalidPartOrder);
    }
    let mut came = parts.iter();
    let chosen = named.iter().map(|named| {
        let part = came.find(|part| part.number == named.number);
        let part = part.filter(|part| named.etag == part.etag);
        part.cloned().ok_or(Trouble::InvalidPart)
    });
    chosen.collect()
}

/// The tag of a file in parts: of the tags of its parts, with their number.
fn etag_of(parts: &[Part]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        // Tags are digests in hexadecimal digits.
        let digits = part.etag.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Vec<u8> = digits.filter_map(byte).collect();
        md5.update(&bytes);
    }
    format!("{}-{}", wire::auth::hex(&md5.finalize()), parts.len())
}

async fn list(
    shared: &Shared,
    asked: &Asked,
    (key, upload): (&Key, &Upload),
) -> Result<Response, Trouble> {
    let after = match asked.parameter("part-number-marker") {
        Some(_) => asked.number("part-number-marker", 0..=PARTS_MAX)?,
        None => 0,
    };
    let limit = match asked.parameter("max-parts") {
        Some(_) => asked
            .number("max-parts", 0..=i64::from(i32::MAX))?
            .min(PAGE_MAX),
        None => PAGE_MAX,
    };
    let mut parts = shared
        .catalogue
        .parts(&upload.id, (after, limit + 1))
        .await?;
    let limit = usize::try_from(limit).unwrap_or(0);
    let is_truncated = parts.len() > limit;
    parts.truncate(limit);
    let names = (
        shared.config.bucket.as_str(),
        key.as_str(),
        upload.id.as_str(),
    );
    Ok(document(xml::parts(names, &parts, is_truncated)))
}

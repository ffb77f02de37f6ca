//! What is asked of the bucket: lists, and the removal of several files.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::read_body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use wire::s3::key::Key;
use wire::s3::request::BodyForm;
use wire::s3::xml::{self, Listing, Removal, UnderWay, Uploads, read_delete};

use super::object::read_version;
use super::{Asked, document};
use crate::artefacts::Shared;
use crate::artefacts::catalogue::{Page, Shown, Window};
use crate::artefacts::error::Trouble;
use crate::artefacts::visitor::Act;

/// Entries of a page, as S3 has it.
const PAGE_MAX: usize = 1_000;
/// The list of what is to be removed.
const DELETE_BYTES_MAX: usize = 2 << 20;
/// Behind the id of any upload: those are hexadecimal digits.
const LAST_ID: &str = "g";
const VERSIONING: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
     <VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
     <Status>Enabled</Status></VersioningConfiguration>";

pub(super) async fn perform(
    shared: &Shared,
    asked: Asked,
    body: Body,
) -> Result<Response, Trouble> {
    match *asked.method() {
        Method::HEAD => Ok(StatusCode::OK.into_response()),
        // It is there; clients make sure of that before they upload.
        Method::PUT => Ok(StatusCode::OK.into_response()),
        Method::GET if asked.has("location") => Ok(document(xml::location())),
        Method::GET if asked.has("versioning") => Ok(document(VERSIONING.to_owned())),
        Method::GET if asked.has("versions") => versions(shared, &asked).await,
        Method::GET if asked.has("uploads") => uploads(shared, &asked).await,
        Method::GET => list(shared, &asked).await,
        Method::POST if asked.has("delete") => remove(shared, asked, body).await,
        _ => Err(Trouble::Method),
    }
}

/// What a list is asked with.
fn listing(shared: &Shared, asked: &Asked) -> Result<(Listing, usize), Trouble> {
    let text = |name| asked.parameter(name).unwrap_or_default().to_owned();
    let delimiter = text("delimiter");
    if !matches!(delimiter.as_str(), "" | "/") {
        return Err(Trouble::NotImplemented);
    }
    let limit = match asked.parameter("max-keys") {
        Some(_) => asked.number("max-keys", 0..=i64::from(i32::MAX))?,
        None => i64::try_from(PAGE_MAX).unwrap_or(i64::MAX),
    };
    let limit = usize::try_from(limit).unwrap_or(0).min(PAGE_MAX);
    let listing = Listing {
        bucket: shared.config.bucket.clone(),
        prefix: text("prefix"),
        delimiter,
        max_keys: u64::try_from(limit).unwrap_or(0),
        is_encoded: asked.parameter("encoding-type") == Some("url"),
        ..Listing::default()
    };
    Ok((listing, limit))
}

async fn list(shared: &Shared, asked: &Asked) -> Result<Response, Trouble> {
    let is_second = asked.parameter("list-type") == Some("2");
    let (mut listing, limit) = listing(shared, asked)?;
    let start = if is_second { "start-after" } else { "marker" };
    listing.start_after = asked.parameter(start).map(str::to_owned);
    listing.token = asked.parameter("continuation-token").map(str::to_owned);
    let after = match listing.token.as_ref().filter(|_| is_second) {
        Some(token) => decode_token(token)?,
        None => listing.start_after.clone().unwrap_or_default(),
    };
    let page = if limit == 0 {
        Page::default()
    } else {
        let window = Window {
            prefix: &listing.prefix,
            is_by_folder: !listing.delimiter.is_empty(),
            after: &after,
            limit,
        };
        let sees = |group: &str| asked.sees(group);
        shared.catalogue.list_seen(window, &sees).await?
    };
    let last = page.entries.last().map(|entry| entry.key().to_owned());
    let last = last.filter(|_| page.is_truncated);
    listing.next = last.as_ref().map(|key| URL_SAFE_NO_PAD.encode(key));
    for entry in page.entries {
        match entry {
            Shown::File(object) => listing.objects.push(object),
            Shown::Folder(prefix) => listing.prefixes.push(prefix),
        }
    }
    Ok(document(if is_second {
        listing.objects_v2()
    } else {
        listing.objects_v1(last.as_deref())
    }))
}

fn decode_token(token: &str) -> Result<String, Trouble> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| Trouble::Invalid("continuation-token is not one of ours".to_owned()))
}

async fn versions(shared: &Shared, asked: &Asked) -> Result<Response, Trouble> {
    let (mut listing, limit) = listing(shared, asked)?;
    if !listing.delimiter.is_empty() {
        return Err(Trouble::NotImplemented);
    }
    let key = asked.parameter("key-marker").unwrap_or_default();
    let version = match asked.parameter("version-id-marker") {
        Some(_) => asked.number("version-id-marker", 0..=i64::MAX)?,
        None => 0,
    };
    let sees = |group: &str| asked.sees(group);
    let wanted = if limit == 0 { 0 } else { limit + 1 };
    let found = shared
        .catalogue
        .versions(&listing.prefix, (key, version), (wanted, &sees));
    let mut found = found.await?;
    let is_truncated = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| is_truncated);
    let last = last.and_then(|last| Some((last.key.clone(), last.version.as_ref()?.0.clone())));
    listing.next = last.as_ref().map(|(key, _)| key.clone());
    listing.objects = found;
    let next = last
        .as_ref()
        .map(|(key, version)| (key.as_str(), version.as_str()));
    Ok(document(listing.versions(next)))
}

async fn uploads(shared: &Shared, asked: &Asked) -> Result<Response, Trouble> {
    let text = |name| asked.parameter(name).unwrap_or_default();
    if !text("delimiter").is_empty() {
        return Err(Trouble::NotImplemented);
    }
    let limit = match asked.parameter("max-uploads") {
        Some(_) => asked.number("max-uploads", 1..=i64::from(i32::MAX))?,
        None => i64::try_from(PAGE_MAX).unwrap_or(i64::MAX),
    };
    let limit = usize::try_from(limit).unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let (key, id) = (text("key-marker"), text("upload-id-marker"));
    // Without an id the list goes on behind the key.
    let id = if id.is_empty() { LAST_ID } else { id };
    let sees = |group: &str| asked.sees(group);
    let found = shared
        .catalogue
        .uploads(text("prefix"), (key, id), (limit + 1, &sees));
    let mut found = found.await?;
    let is_truncated = found.len() > limit;
    found.truncate(limit);
    let uploads = found.into_iter().map(|upload| UnderWay {
        key: upload.key,
        id: upload.id,
        begun: upload.begun,
    });
    let page = Uploads {
        bucket: shared.config.bucket.clone(),
        prefix: text("prefix").to_owned(),
        max_uploads: u64::try_from(limit).unwrap_or(u64::MAX),
        is_encoded: asked.parameter("encoding-type") == Some("url"),
        is_truncated,
        uploads: uploads.collect(),
    };
    Ok(document(page.document()))
}

/// A body that is a document, as its head announces it.
pub(super) async fn read_document(
    asked: &Asked,
    body: Body,
    limit: usize,
) -> Result<bytes::Bytes, Trouble> {
    let bytes = read_body(body, limit).await.map_err(|class| match class {
        Class::TooLarge => Trouble::TooLarge(base::config::format_bytes(limit as u64)),
        Class::Timeout => Trouble::Silent(base::http::BODY_TIMEOUT.as_secs()),
        _ => Trouble::Incomplete,
    })?;
    match &asked.form {
        BodyForm::Plain => Ok(bytes),
        BodyForm::Hashed(hash) if *hash == wire::sigv4::sha256_hex(&bytes) => Ok(bytes),
        BodyForm::Hashed(_) => Err(Trouble::BadDigest("x-amz-content-sha256")),
        BodyForm::SignedChunks { .. } | BodyForm::UnsignedChunks => Err(Trouble::NotImplemented),
    }
}

async fn remove(shared: &Shared, asked: Asked, body: Body) -> Result<Response, Trouble> {
    let bytes = read_document(&asked, body, DELETE_BYTES_MAX).await?;
    let (removals, is_quiet) = read_delete(&bytes)?;
    let (mut gone, mut failed, mut objects) = (Vec::new(), Vec::new(), Vec::new());
    let mut removed: BTreeMap<String, Vec<(Key, Option<i64>)>> = BTreeMap::new();
    for removal in removals {
        match remove_one(shared, &asked, &removal).await {
            Ok((key, version, left)) => {
                if !left.is_empty() {
                    let parts = key.parts();
                    let run = format!("{}/{}", parts.group, parts.run);
                    removed.entry(run).or_default().push((key, version));
                }
                objects.extend(left);
                gone.push(removal);
            }
            Err(trouble) => failed.push((removal, trouble.reason(), trouble.to_string())),
        }
    }
    for keys in removed.values() {
        shared.note_removed(asked.by(), keys).await;
    }
    shared.objects.remove(objects).await;
    if is_quiet {
        gone.clear();
    }
    Ok(document(xml::deleted(&gone, &failed)))
}

/// Removes a file, or the one version of it that is named; gives what that was, and the objects that are
/// left of it.
async fn remove_one(
    shared: &Shared,
    asked: &Asked,
    removal: &Removal,
) -> Result<(Key, Option<i64>, Vec<String>), Trouble> {
    let key = Key::new(removal.key.clone())?;
    asked.check(&key, Act::Delete)?;
    let version = read_version(removal.version.as_deref())?;
    let left = shared.catalogue.remove(&key, version).await?;
    Ok((key, version, left))
}

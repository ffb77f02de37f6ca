//! `GetObjectTagging`, `PutObjectTagging`, `DeleteObjectTagging`. Tags stand with the headers of a version.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use wire::s3::key::Key;
use wire::s3::xml::{self, read_tags};

use super::bucket::read_document;
use super::object::read_version;
use super::{Asked, document};
use crate::artefacts::Shared;
use crate::artefacts::error::Trouble;
use crate::artefacts::serve::{check_tags, tags_of, with_tags};
use crate::artefacts::visitor::Act;

/// Ten tags, escaped.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;

pub(super) async fn perform(
    shared: &Shared,
    (asked, key): (Asked, Key),
    body: Body,
) -> Result<Response, Trouble> {
    let act = match *asked.method() {
        Method::GET => Act::Read,
        Method::PUT | Method::DELETE => Act::Create,
        _ => return Err(Trouble::Method),
    };
    asked.check(&key, act)?;
    let wanted = read_version(asked.parameter("versionId"))?;
    let found = shared.catalogue.find(&key, wanted).await?;
    let version = found.ok_or(Trouble::NoFile)?;
    let (tags, status) = match *asked.method() {
        Method::GET => {
            let tags = tags_of(&version.headers);
            return Ok(document(xml::tagging(&tags)));
        }
        Method::PUT => {
            let bytes = read_document(&asked, body, DOCUMENT_BYTES_MAX).await?;
            (read_tags(&bytes)?, StatusCode::OK)
        }
        _ => (Vec::new(), StatusCode::NO_CONTENT),
    };
    check_tags(&tags)?;
    let headers = with_tags(&version.headers, &tags);
    let change = (version.headers.as_str(), headers.as_str());
    if !shared.catalogue.replace_headers(version.id, change).await? {
        // Somebody else was first, or it has gone.
        return Err(Trouble::Busy);
    }
    Ok(status.into_response())
}

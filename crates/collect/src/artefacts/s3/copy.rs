//! Copies within the store: `CopyObject` and `UploadPartCopy`. Nothing goes to the client and back.

use axum::response::Response;
use http::{HeaderName, HeaderValue};
use wire::s3::key::{Key, percent_decode};
use wire::s3::xml;

use super::condition::check_condition;
use super::object::{new_version, read_version};
use super::{Asked, document};
use crate::artefacts::Shared;
use crate::artefacts::catalogue::{NewVersion, Version};
use crate::artefacts::error::Trouble;
use crate::artefacts::objects::{Finished, Segment};
use crate::artefacts::serve::{self, kept_headers};
use crate::artefacts::time;
use crate::artefacts::upload::Announced;
use crate::artefacts::visitor::Act;

/// What is copied.
const SOURCE: &str = "x-amz-copy-source";
/// Which bytes of it.
const RANGE: &str = "x-amz-copy-source-range";
/// Whether type and headers come along.
const DIRECTIVE: &str = "x-amz-metadata-directive";
/// Whether tags do.
const TAGS_DIRECTIVE: &str = "x-amz-tagging-directive";

/// A file to be copied.
struct Source {
    key: Key,
    version: Version,
}

/// Whether a request is about a copy.
pub(super) fn is_copy(asked: &Asked) -> bool {
    asked.head.headers.contains_key(SOURCE)
}

/// `CopyObject`
pub(super) async fn copy(shared: &Shared, asked: &Asked, key: &Key) -> Result<Response, Trouble> {
    asked.check(key, Act::Create)?;
    let condition = check_condition(shared, asked, key).await?;
    let source = find(shared, asked).await?;
    let (content_type, headers) = headers_of(asked, &source, key)?;
    let _room = shared.take_room(key, source.version.bytes).await?;
    let _slot = shared.uploads.try_acquire().map_err(|_| Trouble::Busy)?;
    let mut copied = Vec::new();
    for segment in &source.version.segments {
        match shared.objects.copy(segment).await {
            Ok(segment) => copied.push(segment),
            Err(error) => {
                give_up(shared, copied).await;
                return Err(error.into());
            }
        }
    }
    let new = NewVersion {
        created_by: asked.name(),
        bytes: source.version.bytes,
        etag: source.version.etag.clone(),
        sha256: source.version.sha256.clone(),
        checksum: source.version.checksum.clone(),
        content_type,
        headers,
    };
    let recorded = shared.catalogue.record((key, &condition), &new, &copied);
    let Some(version) = recorded.await? else {
        give_up(shared, copied).await;
        return Err(Trouble::Unmet);
    };
    shared.metrics.copies.inc();
    let mut response = document(xml::copied("CopyObjectResult", &new.etag, time::now()));
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-amz-version-id"), version.into());
    name_source(&mut response, &source);
    Ok(response)
}

/// The bytes of an `UploadPartCopy` as an object, and the answer to it once that is recorded.
pub(super) async fn copy_part(
    shared: &Shared,
    asked: &Asked,
    key: &Key,
) -> Result<(Finished, Response), Trouble> {
    let source = find(shared, asked).await?;
    let bytes = source.version.bytes;
    let range = match asked.text(RANGE) {
        Some(text) => range_of(text, bytes)?,
        None => (0, bytes),
    };
    let segments = source.version.segments.clone();
    let body = shared.objects.read(segments, range).await?;
    let announced = Announced::copied(range.1);
    let finished = shared.receive(key, announced, body).await?;
    let new = new_version(asked.name(), &finished);
    let mut response = document(xml::copied("CopyPartResult", &new.etag, time::now()));
    name_source(&mut response, &source);
    Ok((finished, response))
}

async fn give_up(shared: &Shared, copied: Vec<Segment>) {
    let ids = copied.into_iter().map(|segment| segment.object);
    shared.objects.remove(ids.collect()).await;
}

/// The file that is to be copied, which the sender may read.
async fn find(shared: &Shared, asked: &Asked) -> Result<Source, Trouble> {
    if asked.visitor.is_none() {
        // A link of ours is about one key.
        return Err(Trouble::NotImplemented);
    }
    let text = asked.text(SOURCE).unwrap_or_default();
    let (path, version) = match text.split_once("?versionId=") {
        Some((path, version)) => (path, Some(version)),
        None => (text, None),
    };
    let path = percent_decode(path.trim_start_matches('/'));
    let path = path.ok_or_else(|| Trouble::Invalid(format!("{SOURCE} can't be read")))?;
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    if bucket != shared.config.bucket {
        return Err(Trouble::NoBucket);
    }
    let key = Key::new(key)?;
    asked.check(&key, Act::Read)?;
    let wanted = read_version(version)?;
    let version = match shared.catalogue.find(&key, wanted).await? {
        None if wanted.is_none() => shared.find_joined(&key).await?,
        found => found,
    };
    let version = version.ok_or(Trouble::NoFile)?;
    for name in ["-if-modified-since", "-if-unmodified-since"] {
        if asked.text(&format!("{SOURCE}{name}")).is_some() {
            return Err(Trouble::NotImplemented);
        }
    }
    let has = |name: &str| {
        let tags = asked.text(&format!("{SOURCE}{name}"))?;
        let mut tags = tags.split(',').map(|tag| tag.trim().trim_matches('"'));
        Some(tags.any(|tag| tag == "*" || tag == version.etag))
    };
    if has("-if-match") == Some(false) || has("-if-none-match") == Some(true) {
        return Err(Trouble::Unmet);
    }
    Ok(Source { key, version })
}

/// Type and headers of a copy: those of the source, unless the request brings its own.
fn headers_of(asked: &Asked, source: &Source, key: &Key) -> Result<(String, String), Trouble> {
    let replaces = |name| match asked.text(name) {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(_) => Err(Trouble::Invalid(format!("{name} is COPY or REPLACE"))),
    };
    let (is_new, has_new_tags) = (replaces(DIRECTIVE)?, replaces(TAGS_DIRECTIVE)?);
    if source.key == *key && !is_new && !has_new_tags && asked.text(SOURCE).is_some_and(is_newest) {
        return Err(Trouble::SameFile);
    }
    let (own_type, own) = kept_headers(&asked.head.headers)?;
    let (content_type, headers) = if is_new {
        (own_type, own.clone())
    } else {
        let version = &source.version;
        (version.content_type.clone(), version.headers.clone())
    };
    let tags = serve::tags_of(if has_new_tags {
        &own
    } else {
        &source.version.headers
    });
    Ok((content_type, serve::with_tags(&headers, &tags)))
}

/// Whether a source is named without a version.
fn is_newest(source: &str) -> bool {
    !source.contains("?versionId=")
}

/// First byte and length of `bytes=first-last`, both of which have to be there and within the file.
fn range_of(text: &str, bytes: u64) -> Result<(u64, u64), Trouble> {
    let ends = text
        .strip_prefix("bytes=")
        .and_then(|text| text.split_once('-'));
    let ends = ends.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let (first, last): (u64, u64) =
        ends.ok_or_else(|| Trouble::Invalid(format!("{RANGE} is bytes=first-last")))?;
    if first > last || last >= bytes {
        return Err(Trouble::Range(bytes));
    }
    Ok((first, last - first + 1))
}

fn name_source(response: &mut Response, source: &Source) {
    let name = HeaderName::from_static("x-amz-copy-source-version-id");
    if source.version.id > 0 {
        let id = HeaderValue::from(source.version.id);
        response.headers_mut().insert(name, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_within_the_source() {
        for (text, expected) in [
            ("bytes=0-9", Some((0, 10))),
            ("bytes=5-5", Some((5, 1))),
            ("bytes=0-10", None),
            ("bytes=6-5", None),
            ("bytes=5-", None),
            ("bytes=-5", None),
            ("0-5", None),
            ("bytes=0-18446744073709551615", None),
        ] {
            assert_eq!(range_of(text, 10).ok(), expected, "{text}");
        }
    }
}

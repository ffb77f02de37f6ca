//! Giving a file out: whole, a range of it, or the news that it has not changed. What strangers have
//! uploaded is never run by a browser as a page of ours.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, EXPIRES, IF_MATCH,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use wire::auth::http_date;
use wire::s3::checksum::Algorithm;
use wire::s3::key::{percent_encode, query_pairs};

use super::catalogue::Version;
use super::error::Trouble;
use super::objects::Objects;

/// The type of what nobody named.
pub(crate) const UNKNOWN_TYPE: &str = "binary/octet-stream";
/// Headers of an upload that are given back with the file, beside those of [`META`].
const KEPT: [HeaderName; 5] = [
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    EXPIRES,
];
/// What a client says of its file.
const META: &str = "x-amz-meta-";
/// What a client calls it, as the parameters of a query; only their number is given back with the file.
const TAGGING: &str = "x-amz-tagging";
/// Tags of a file, and the characters of their names and values, as S3 has it.
const TAGS_MAX: usize = 10;
const TAG_NAME_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;
/// Says that a checksum is wanted with a file.
const CHECKSUM_MODE: &str = "x-amz-checksum-mode";
/// All of these together, as S3 has it.
const META_BYTES_MAX: usize = 2 << 10;

/// What is asked of a file.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// The parameters `response-…`.
    pub(crate) parameters: &'a [(String, String)],
    /// No body is wanted.
    pub(crate) is_head: bool,
}

/// The type and the other headers of an upload, as they are kept.
pub(crate) fn kept_headers(headers: &HeaderMap) -> Result<(String, String), Trouble> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let mut kept = serde_json::Map::new();
    let mut bytes = 0;
    for (name, value) in headers {
        let Ok(value) = value.to_str() else { continue };
        let is_meta = name.as_str().starts_with(META);
        if is_meta {
            bytes += name.as_str().len() + value.len();
        }
        // How it came is not how it is.
        let value = if *name == CONTENT_ENCODING {
            value
                .trim_start_matches("aws-chunked")
                .trim_start_matches([',', ' '])
        } else {
            value
        };
        if *name == TAGGING {
            let tags = query_pairs(value).ok_or(Trouble::Tags("the tags can't be read"))?;
            check_tags(&tags)?;
        }
        if (is_meta || *name == TAGGING || KEPT.contains(name)) && !value.is_empty() {
            kept.insert(name.as_str().to_owned(), value.into());
        }
    }
    if bytes > META_BYTES_MAX {
        return Err(Trouble::Invalid(
            "x-amz-meta- headers are limited to 2KiB".to_owned(),
        ));
    }
    let kind = kind.unwrap_or(UNKNOWN_TYPE).to_owned();
    Ok((kind, serde_json::Value::Object(kept).to_string()))
}

/// Refuses tags that S3 would not take.
pub(crate) fn check_tags(tags: &[(String, String)]) -> Result<(), Trouble> {
    if tags.len() > TAGS_MAX {
        return Err(Trouble::Tags("a file has at most 10 tags"));
    }
    let names: BTreeSet<&str> = tags.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() < tags.len() {
        return Err(Trouble::Tags("two tags have the same name"));
    }
    let is_fit = |(name, value): &(String, String)| {
        !name.is_empty()
            && name.chars().count() <= TAG_NAME_MAX
            && value.chars().count() <= TAG_VALUE_MAX
    };
    if !tags.iter().all(is_fit) {
        let text = "a tag has a name of at most 128 characters and a value of at most 256";
        return Err(Trouble::Tags(text));
    }
    Ok(())
}

/// The tags among the kept headers of a version.
pub(crate) fn tags_of(headers: &str) -> Vec<(String, String)> {
    let kept = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(headers);
    let kept = kept.unwrap_or_default();
    let tags = kept.get(TAGGING).and_then(serde_json::Value::as_str);
    tags.and_then(query_pairs).unwrap_or_default()
}

/// The kept headers of a version with these tags instead of those that they have.
pub(crate) fn with_tags(headers: &str, tags: &[(String, String)]) -> String {
    let kept = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(headers);
    let mut kept = kept.unwrap_or_default();
    kept.remove(TAGGING);
    if !tags.is_empty() {
        let encode = |text: &str| percent_encode(text, false);
        let pairs = tags
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let text = pairs.collect::<Vec<_>>().join("&");
        kept.insert(TAGGING.to_owned(), text.into());
    }
    serde_json::Value::Object(kept).to_string()
}

/// The answer with a version of a file.
pub(crate) async fn answer(
    objects: &Objects,
    version: Version,
    asked: &Asked<'_>,
) -> Result<Response, Trouble> {
    let etag = format!("\"{}\"", version.etag);
    let has = |name: HeaderName| {
        let value = asked
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.map(|value| {
            let mut tags = value
                .split(',')
                .map(|tag| tag.trim().trim_start_matches("W/"));
            tags.any(|tag| tag == "*" || tag == etag || tag == version.etag)
        })
    };
    if has(IF_MATCH) == Some(false) {
        return Ok(StatusCode::PRECONDITION_FAILED.into_response());
    }
    let range = range_of(&version, &etag, asked)?;
    let (status, start, length) = match range {
        _ if has(IF_NONE_MATCH) == Some(true) => (StatusCode::NOT_MODIFIED, 0, 0),
        Some((start, length)) => (StatusCode::PARTIAL_CONTENT, start, length),
        None => (StatusCode::OK, 0, version.bytes),
    };
    let has_body = status != StatusCode::NOT_MODIFIED;
    let headers = headers_of(&version, &etag, asked);
    let checksum = version.checksum.split_once(':').and_then(|(name, value)| {
        let name = Algorithm::of_header(name)?.header();
        Some((HeaderName::from_static(name), value.to_owned()))
    });
    let total = version.bytes;
    let body = if asked.is_head || !has_body {
        Body::empty()
    } else {
        objects.read(version.segments, (start, length)).await?
    };
    let mut response = (status, body).into_response();
    *response.headers_mut() = headers;
    if has_body {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    // It is of the whole, and clients compare it with what they get.
    let wants_checksum = asked
        .headers
        .get(CHECKSUM_MODE)
        .is_some_and(|mode| mode == "ENABLED");
    if status == StatusCode::OK
        && wants_checksum
        && let Some((name, value)) = checksum
    {
        set(response.headers_mut(), name, &value);
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let end = start + length - 1;
        let range = format!("bytes {start}-{end}/{total}");
        set(response.headers_mut(), CONTENT_RANGE, &range);
    }
    Ok(response)
}

/// Which part is asked for, if one is.
fn range_of(
    version: &Version,
    etag: &str,
    asked: &Asked<'_>,
) -> Result<Option<(u64, u64)>, Trouble> {
    // Who has the beginning of another version wants the whole of this one. Dates are not compared: two
    // versions may have the same.
    let is_same = asked.headers.get(IF_RANGE).is_none_or(|tag| *tag == etag);
    let range = asked
        .headers
        .get(RANGE)
        .filter(|_| is_same)
        .and_then(|value| value.to_str().ok());
    match range.and_then(|text| parse_range(text, version.bytes)) {
        Some(Some(range)) => Ok(Some(range)),
        Some(None) => Err(Trouble::Range(version.bytes)),
        None => Ok(None),
    }
}

fn headers_of(version: &Version, etag: &str, asked: &Asked<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let kept = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&version.headers);
    for (name, value) in kept.unwrap_or_default() {
        if name == TAGGING {
            continue;
        }
        if let (Ok(name), Some(value)) = (HeaderName::try_from(name), value.as_str()) {
            set(&mut headers, name, value);
        }
    }
    let tags = tags_of(&version.headers).len();
    if tags > 0 {
        let name = HeaderName::from_static("x-amz-tagging-count");
        headers.insert(name, tags.into());
    }
    set(&mut headers, CONTENT_TYPE, &version.content_type);
    for (name, value) in asked.parameters {
        let name = name.strip_prefix("response-").map(HeaderName::try_from);
        if let Some(Ok(name)) = name
            && (name == CONTENT_TYPE || KEPT.contains(&name))
        {
            set(&mut headers, name, value);
        }
    }
    set(&mut headers, ETAG, etag);
    set(&mut headers, ACCEPT_RANGES, "bytes");
    let modified = http_date(version.modified.div_euclid(1000));
    set(&mut headers, LAST_MODIFIED, &modified);
    // A page among the artefacts must not act as one of ours.
    set(
        &mut headers,
        CONTENT_SECURITY_POLICY,
        "sandbox; default-src 'none'",
    );
    set(&mut headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    // What is joined of several has none.
    if version.id > 0 {
        let id = HeaderName::from_static("x-amz-version-id");
        set(&mut headers, id, &version.id.to_string());
    }
    if !version.sha256.is_empty() {
        let name = HeaderName::from_static("landline-sha256");
        set(&mut headers, name, &version.sha256);
    }
    headers
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // What was kept was a header once; what a parameter says need not be able to be one.
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// The first byte and the length of a range; `None` within when it is outside of the file, and without
/// when the whole file is meant: units or several ranges that are not known are left alone, as
/// RFC 9110 section 14.2 allows.
#[expect(
    clippy::option_option,
    reason = "whether there is one, and whether it can be given"
)]
fn parse_range(text: &str, bytes: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    if first.is_empty() {
        let length = number(last)?.min(bytes);
        let range = (length > 0).then(|| (bytes - length, length));
        return Some(range);
    }
    let first = number(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?
    };
    if last < first {
        return None;
    }
    let range = (first < bytes).then(|| (first, last.min(bytes - 1) - first + 1));
    Some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_file() {
        for (text, expected) in [
            ("bytes=10-19", Some(Some((10, 10)))),
            ("bytes=90-200", Some(Some((90, 10)))),
            ("bytes=90-", Some(Some((90, 10)))),
            ("bytes=-10", Some(Some((90, 10)))),
            ("bytes=-200", Some(Some((0, 100)))),
            ("bytes=-0", Some(None)),
            ("bytes=100-", Some(None)),
            ("bytes=5-4", None),
            ("bytes=1-2,4-5", None),
            ("lines=1-2", None),
            ("bytes=", None),
        ] {
            assert_eq!(parse_range(text, 100), expected, "{text}");
        }
        assert_eq!(parse_range("bytes=0-0", 0), Some(None));
    }
}

//! The web interface that was built into the program: one page for all its addresses, and what the page
//! loads. It holds no data; that comes from the API, with the rights of who asks.

mod encoding;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Policy, Routes, error_response};
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use encoding::{File, is_among};

/// The files below `web/dist`, as the build script found them.
const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));
/// What browsers may do with the pages: load from this host and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";
/// Names of assets change with their content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Others are asked for again, and sent only when they have changed.
const ASKED_AGAIN: &str = "no-cache";
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
/// What is shown by a program that was built without its pages.
const LEFT_OUT: File = File {
    name: "index.html",
    tag: "none",
    plain: b"<!doctype html>\n<html lang=\"en\">\n<title>Landline</title>\n\
     <p>This program was built without its pages: npm was not there. \
     <a href=\"/v1/records\">/v1/records</a> and <code>landline records</code> have everything that \
     they show.</p>\n</html>\n",
    gzip: None,
    brotli: None,
};

/// The first page, for somebody who is known; none in a program without its pages.
pub(crate) fn first_page(headers: &HeaderMap) -> Option<Response> {
    find("index.html").is_some().then(|| page(headers))
}

/// The paths of the pages and of what they load. The page leads from two of them, which are those of
/// Prometheus, to its own.
pub(crate) fn routes() -> Routes {
    let page = |headers: HeaderMap| async move { page(&headers) };
    let asset =
        |Path(name): Path<String>, headers: HeaderMap| async move { asset(&name, &headers) };
    Routes::default()
        .get("/explore", Policy::Public, page)
        .get("/graph", Policy::Public, page)
        .get("/query", Policy::Public, page)
        .get("/targets", Policy::Public, page)
        .get("/telemetryui", Policy::Public, page)
        .get("/telemetryui/", Policy::Public, page)
        .get("/telemetryui/{*path}", Policy::Public, page)
        .get("/runs", Policy::Public, page)
        .get("/runs/", Policy::Public, page)
        .get("/runs/{*path}", Policy::Public, page)
        .get("/ui/{*name}", Policy::Public, asset)
}

fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

fn page(headers: &HeaderMap) -> Response {
    let file = find("index.html").unwrap_or(&LEFT_OUT);
    answer(file, "text/html; charset=utf-8", ASKED_AGAIN, headers)
}

fn asset(name: &str, headers: &HeaderMap) -> Response {
    let Some(file) = find(name) else {
        return error_response(Class::NotFound, "there is nothing at this path");
    };
    let kind = match name.rsplit_once('.') {
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        Some((_, "html")) => "text/html; charset=utf-8",
        _ => "application/octet-stream",
    };
    let is_named_by_content = name.starts_with("assets/");
    let keep = if is_named_by_content {
        FOR_EVER
    } else {
        ASKED_AGAIN
    };
    answer(file, kind, keep, headers)
}

fn answer(
    file: &'static File,
    kind: &'static str,
    keep: &'static str,
    asked: &HeaderMap,
) -> Response {
    let chosen = file.chosen(&texts(asked, ACCEPT_ENCODING));
    let is_there = is_among(&texts(asked, IF_NONE_MATCH), &chosen.tag);
    let mut response = if is_there {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        chosen.content.into_response()
    };
    let headers = response.headers_mut();
    if let Some(coding) = chosen.coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    if let Ok(tag) = HeaderValue::from_str(&chosen.tag) {
        headers.insert(ETAG, tag);
    }
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, keep),
        (VARY, "accept-encoding"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (OPENER, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// All values of a header as one list.
fn texts(headers: &HeaderMap, name: HeaderName) -> String {
    let values = headers.get_all(name).iter();
    let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    texts.join(",")
}

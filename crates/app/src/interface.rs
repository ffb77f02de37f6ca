//! The web interface that was built into the program: one page for all its addresses, and what the page
//! loads. It holds no data; that comes from the API, with the rights of who asks.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Policy, Routes, error_response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue};

/// Name below `web/dist` and content, as the build script found them.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));
/// What browsers may do with the pages: load from this host and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";
/// Names of assets change with their content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const LEFT_OUT: &str = "<!doctype html>\n<html lang=\"en\">\n<title>Landline</title>\n\
     <p>This program was built without its pages: npm was not there. \
     <a href=\"/v1/records\">/v1/records</a> and <code>landline records</code> have everything that \
     they show.</p>\n</html>\n";

/// The paths of the pages and of what they load.
pub(crate) fn routes() -> Routes {
    let page = || async { page() };
    let asset = |Path(name): Path<String>| async move { asset(&name) };
    Routes::default()
        .get("/telemetryui", Policy::Public, page)
        .get("/telemetryui/", Policy::Public, page)
        .get("/telemetryui/{*path}", Policy::Public, page)
        .get("/ui/{*name}", Policy::Public, asset)
}

fn find(name: &str) -> Option<&'static [u8]> {
    let file = FILES.iter().find(|(found, _)| *found == name)?;
    Some(file.1)
}

fn page() -> Response {
    let content = find("index.html").unwrap_or(LEFT_OUT.as_bytes());
    answer(content, "text/html; charset=utf-8", "no-cache")
}

fn asset(name: &str) -> Response {
    let Some(content) = find(name) else {
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
        "no-cache"
    };
    answer(content, kind, keep)
}

fn answer(content: &'static [u8], kind: &'static str, keep: &'static str) -> Response {
    let mut response = content.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, keep),
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

//! The page of the machine's own metrics.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Policy, Routes, text_response};
use http::header::{CONTENT_TYPE, HeaderValue};

use super::Host;

/// Where the page is.
pub const PATH: &str = "/v1/host/metrics";
/// Bytes that are reserved for a page.
const PAGE_BYTES: usize = 64 << 10;

/// The path of the page.
pub fn routes(host: Host, read: Policy) -> Routes {
    let host = Arc::new(host);
    Routes::default().get(PATH, read, move || page(Arc::clone(&host)))
}

async fn page(host: Arc<Host>) -> Response {
    let collecting = tokio::task::spawn_blocking(move || {
        let mut text = String::with_capacity(PAGE_BYTES);
        host.collect(&mut text);
        text
    });
    let Ok(text) = collecting.await else {
        return text_response(Class::Internal, "collecting metrics failed", None);
    };
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

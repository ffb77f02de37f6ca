//! The request as a pushprox-client reads it: HTTP/1.1 with a whole URL, as to a proxy, and the
//! identifier under which the answer is awaited.

use base::http::remove_hop_by_hop;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, Request};

/// The header of the identifier.
pub(super) const ID: &str = "id";
/// How long the scraper waits, in seconds; the client gives up on a request without it.
pub(super) const TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";
/// What is left of that when a client answers.
const TIMEOUT_LEFT: &str = "x-prometheus-scrape-timeout";

/// What is between us and the client, or is written anew.
const NOT_PASSED_ON: [HeaderName; 5] = [
    CONTENT_LENGTH,
    HOST,
    HeaderName::from_static(ID),
    HeaderName::from_static(TIMEOUT),
    HeaderName::from_static(TIMEOUT_LEFT),
];

/// The request in bytes.
pub(super) fn serialise<B>(request: &Request<B>, id: &str, seconds: f64) -> Bytes {
    let uri = request.uri();
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut text = format!(
        "GET http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\nId: {id}\r\n\
         X-Prometheus-Scrape-Timeout-Seconds: {seconds:.3}\r\n"
    )
    .into_bytes();
    let mut headers = request.headers().clone();
    remove_what_stays(&mut headers);
    for (name, value) in &headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.into()
}

/// Removes what is for one hop only, or between us and the client.
pub(super) fn remove_what_stays(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    for name in &NOT_PASSED_ON {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_the_request_and_not_our_secrets() {
        let request = Request::get("http://db-1:9187/metrics?a=b")
            .header("host", "other")
            .header("proxy-authorization", "Basic c2VjcmV0")
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .header("id", "forged")
            .header("x-prometheus-scrape-timeout-seconds", "10")
            .header("accept", "text/plain")
            .body(())
            .unwrap();
        let text = serialise(&request, "7", 9.5);
        let expected = "GET http://db-1:9187/metrics?a=b HTTP/1.1\r\nHost: db-1:9187\r\nId: 7\r\n\
             X-Prometheus-Scrape-Timeout-Seconds: 9.500\r\naccept: text/plain\r\n\r\n";
        assert_eq!(text, expected);
    }
}

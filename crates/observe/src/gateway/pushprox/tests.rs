//! Who is let in from elsewhere, and what is reached: nothing that is no client's and no node's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use base::events::Topic;
use base::health::Health;
use base::http::{Peer, read_body};
use base::secret::SecretSource;
use base::supervise::Supervisor;
use base::telemetry::Metrics;
use http::Request;
use http::header::AUTHORIZATION;
use tower::ServiceExt;

use super::*;
use crate::gateway::GatewayParts;
use crate::gateway::config::GatewayConfig;

static READY: Topic<()> = Topic::new("test.targets");
const ELSEWHERE: &str = "192.0.2.7:4000";

#[test]
fn the_password_of_a_url_is_the_token() {
    let check = |value: &str, expected: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        let found = token(&headers, AUTHORIZATION);
        let found = found.as_ref().map(Secret::expose);
        assert_eq!(found, expected, "{value}");
    };
    check("Basic dXNlcjp0b2s6ZW4=", Some("tok:en"));
    check("basic OnRva2Vu", Some("token"));
    check("Bearer token", Some("token"));
    check("Basic dG9rZW4=", None);
    check("Basic !", None);
    check("Digest x", None);
}

/// Lets in whose token is the name.
#[derive(Debug)]
struct ByName;

impl Clientele for ByName {
    fn admit<'a>(&'a self, claim: &'a Claim<'a>) -> Asking<'a, Result<(), Denial>> {
        let token = claim.token.as_ref().map(Secret::expose);
        let is_theirs = claim.name.is_none() || token == claim.name;
        let class = Class::Forbidden;
        let text = "not yours".to_owned();
        Box::pin(async move { is_theirs.then_some(()).ok_or(Denial { class, text }) })
    }

    fn refuse_scraper<'a>(&'a self, _: IpAddr, _: &'a str) -> Asking<'a, ()> {
        Box::pin(async {})
    }
}

fn router() -> axum::Router {
    let mut config = GatewayConfig {
        pushprox: true,
        ..GatewayConfig::default()
    };
    config.access.tokens = vec![SecretSource::Inline(Secret::new("scraper"))];
    let parts = GatewayParts {
        supervisor: Supervisor::new(),
        metrics: Metrics::default(),
        name: "test",
        ready: &READY,
        component: Health::new(Duration::from_secs(1)).component("test"),
        environment: BTreeMap::new(),
        folder: "/".into(),
        data_dir: "/nonexistent".into(),
        nodes: None,
        clientele: Some(Arc::new(ByName)),
        is_replacement: false,
    };
    let gateway = Gateway::build(config, parts).unwrap();
    gateway.routes().into_router()
}

async fn ask(router: &axum::Router, peer: (&str, bool), request: Request<Body>) -> Response {
    let address: SocketAddr = peer.0.parse().unwrap();
    let is_tls = peer.1;
    let mut request = request;
    request.extensions_mut().insert(Peer { address, is_tls });
    router.clone().oneshot(request).await.unwrap()
}

fn get(url: &str, authorization: &str) -> Request<Body> {
    let request = Request::get(url).header("proxy-authorization", authorization);
    request.body(Body::empty()).unwrap()
}

/// `user:<password>`
fn basic(password: &str) -> String {
    use base64::Engine as _;
    let pair = format!("user:{password}");
    let pair = base64::engine::general_purpose::STANDARD.encode(pair);
    format!("Basic {pair}")
}

fn post(path: &str, password: &str, body: &str) -> Request<Body> {
    let request = Request::post(path).header(AUTHORIZATION, basic(password));
    request.body(Body::from(body.to_owned())).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_scraper_from_elsewhere_needs_a_token() {
    let router = router();
    let check = async |authorization: &str, expected: u16| {
        let request = get("http://db-1/metrics", authorization);
        let answer = ask(&router, (ELSEWHERE, true), request).await;
        assert_eq!(answer.status(), expected, "{authorization}");
        let asks = answer.headers().contains_key("proxy-authenticate");
        assert_eq!(asks, expected == 407);
    };
    check("", 407).await;
    check("Basic dXNlcjp3cm9uZw==", 407).await;
    check(&basic("scraper"), 404).await;
    check("Bearer scraper", 404).await;
    let clients = Request::get("/clients").body(Body::empty()).unwrap();
    let answer = ask(&router, (ELSEWHERE, true), clients).await;
    assert_eq!(answer.status(), 401);
}

#[tokio::test(start_paused = true)]
async fn it_is_no_open_proxy() {
    let router = router();
    let check = async |method: &str, url: &str, expected: u16| {
        let request = Request::builder().method(method).uri(url);
        let request = request.body(Body::empty()).unwrap();
        let answer = ask(&router, ("127.0.0.1:4000", false), request).await;
        assert_eq!(answer.status(), expected, "{method} {url}");
    };
    check("GET", "http://example.net/metrics", 404).await;
    check("GET", "http://127.0.0.1:9100/metrics", 404).await;
    check("GET", "http://localhost/v1/gateway/targets", 404).await;
    check("GET", "https://example.net/", 405).await;
    check("POST", "http://example.net/", 405).await;
    check("CONNECT", "example.net:443", 405).await;
}

#[tokio::test]
async fn a_client_answers_its_own_scrapes_only() {
    let router = router();
    let from = (ELSEWHERE, true);
    let refused = ask(&router, from, post("/poll", "db-2", "db-1")).await;
    assert_eq!(refused.status(), 403);
    let plain = ask(&router, (ELSEWHERE, false), post("/poll", "db-1", "db-1")).await;
    assert_eq!(plain.status(), 403, "tokens do not travel in the clear");
    let name = ask(&router, from, post("/poll", "a b", "a b")).await;
    assert_eq!(name.status(), 400);

    let polled = ask(&router, from, post("/poll", "db-1", "db-1\n"));
    let scrape = get("http://db-1:9187/metrics?a=b", &basic("scraper"));
    let scraped = ask(&router, from, scrape);
    let answered = async {
        let polled = polled.await;
        assert_eq!(polled.status(), 200);
        let request = read_body(polled.into_body(), 1 << 16).await.unwrap();
        let request = String::from_utf8(request.to_vec()).unwrap();
        assert!(
            request.starts_with("GET http://db-1:9187/metrics?a=b HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(!request.to_lowercase().contains("proxy-authorization"));
        let id = request.lines().find_map(|line| line.strip_prefix("Id: "));
        let page = format!(
            "HTTP/1.1 200 OK\r\nId: {}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nup 1\n\r\n0\r\n\r\n",
            id.unwrap()
        );
        let forged = ask(&router, from, post("/push", "db-2", &page)).await;
        assert_eq!(forged.status(), 403);
        let pushed = ask(&router, from, post("/push", "db-1", &page)).await;
        assert_eq!(pushed.status(), 200);
        let again = ask(&router, from, post("/push", "db-1", &page)).await;
        assert_eq!(again.status(), 404, "an answer counts once");
    };
    let read = async {
        let scraped = scraped.await;
        assert_eq!(scraped.status(), 200);
        assert!(!scraped.headers().contains_key("id"));
        read_body(scraped.into_body(), 1 << 16).await.unwrap()
    };
    let ((), page) = tokio::join!(answered, read);
    assert_eq!(page, "up 1\n");
}

/// A client that answers its scrape with these bytes behind the identifier: what it is told, and what
/// the scraper gets.
async fn answer_with(rest: &str) -> (u16, bool) {
    let router = router();
    let from = (ELSEWHERE, true);
    let answered = async {
        let polled = ask(&router, from, post("/poll", "db-1", "db-1")).await;
        let request = read_body(polled.into_body(), 1 << 16).await.unwrap();
        let request = String::from_utf8(request.to_vec()).unwrap();
        let id = request.lines().find_map(|line| line.strip_prefix("Id: "));
        let page = format!("HTTP/1.1 200 OK\r\nId: {}\r\n{rest}", id.unwrap());
        ask(&router, from, post("/push", "db-1", &page)).await
    };
    let scraped = async {
        let scrape = get("http://db-1/metrics", &basic("scraper"));
        let scraped = ask(&router, from, scrape).await;
        read_body(scraped.into_body(), 1 << 16).await.is_ok()
    };
    // The poll is first, so that the client is known.
    let (pushed, is_page) = tokio::join!(answered, scraped);
    (pushed.status().as_u16(), is_page)
}

#[tokio::test]
async fn a_page_that_is_cut_off_is_no_page() {
    let cut = "Transfer-Encoding: chunked\r\n\r\n5\r\nup 1\n\r\n";
    // A scraper must not take half a page for a whole one.
    assert_eq!(answer_with(cut).await, (400, false));
}

#[tokio::test]
async fn what_is_pushed_behind_a_page_is_refused_and_not_kept() {
    let behind = format!("Content-Length: 4\r\n\r\nup 1{}", "x".repeat(200 << 10));
    assert_eq!(answer_with(&behind).await.0, 400);
}

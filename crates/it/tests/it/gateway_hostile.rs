//! Hostile input, from both sides: names that scrapers send, and pages and logins that targets
//! send. Each gives a clear error, a counter, and no crash.

use std::time::Duration;

use it::exposition::{assert_families_whole, grown};
use it::program::Program;
use it::stubs::hostile;
use it::stubs::schemes;
use it::stubs::server::Server;
use it::stubs::whatsapp::{Login, WhatsApp};
use it::{client, configuration};
use serde_json::json;

/// The most memory the program may hold at any moment of this, KiB.
const RSS_KIB_MAX: u64 = 150 * 1024;

/// The peak counts, not what is left of it.
fn assert_small(program: &Program) {
    let peak = it::proc::status_kib(program.pid(), "VmHWM").unwrap();
    assert!(peak < RSS_KIB_MAX, "{peak} KiB resident at the peak");
}

/// A target per hostile page.
async fn start(stub: &Server) -> Program {
    let pages = [
        "endless",
        "large",
        "latin1",
        "binary",
        "duplicates",
        "html",
        "empty",
        "long_line",
    ];
    let pages = pages.iter().chain(&["bomb", "absent"]);
    let mut targets: Vec<_> = pages
        .map(|page| json!({"name": page, "url": stub.url(&format!("/{page}")), "limits": {"timeout": "20s"}}))
        .collect();
    let part = json!({"name": "list", "path": "/json_bomb", "convert": "json_map"});
    targets.push(json!({"name": "json_bomb", "base_url": stub.url(""), "parts": [part]}));
    Program::start(&configuration::targets(&json!(targets))).await
}

/// Pages that cannot be passed on are 502 with a reason and a counter.
#[tokio::test]
async fn broken_pages_are_refused_and_counted() {
    let stub = hostile::start().await;
    let program = start(&stub).await;
    for name in [
        "endless",
        "large",
        "latin1",
        "binary",
        "html",
        "bomb",
        "json_bomb",
        "absent",
    ] {
        let before = program.metrics().await;
        let reply = program.scrape(name).await;
        assert!(
            matches!(reply.status, 502 | 504),
            "{name}: {} {}",
            reply.status,
            reply.reason()
        );
        assert!(reply.reason().len() > 5, "{name}: {:?}", reply.reason());
        let after = program.metrics().await;
        assert!(
            !grown(&before, &after, "landline_gateway_parts_failed_total").is_empty(),
            "{name} is not counted"
        );
    }
    assert_small(&program);
    assert_eq!(program.generations(), [program.pid()]);
}

/// A page that never ends is cut at its limit, not at its deadline.
#[tokio::test]
async fn an_endless_page_ends_at_the_limit() {
    let stub = hostile::start().await;
    let target =
        json!([{"name": "endless", "url": stub.url("/endless"), "limits": {"body": "1MiB"}}]);
    let program = Program::start(&configuration::targets(&target)).await;
    let reply = program.scrape("endless").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert!(
        reply.elapsed < Duration::from_secs(5),
        "took {:?}",
        reply.elapsed
    );
}

/// A family that comes twice is made whole; a line of 4 MB is no crash; an empty page is a page.
#[tokio::test]
async fn odd_pages_are_made_whole() {
    let stub = hostile::start().await;
    let program = start(&stub).await;
    let reply = program.scrape("duplicates").await;
    match reply.status {
        200 => assert_families_whole(&reply.text()),
        status => assert_eq!(status, 502, "{}", reply.text()),
    }
    let long = program.scrape("long_line").await;
    assert!(
        matches!(long.status, 200 | 502),
        "{} {}",
        long.status,
        long.reason()
    );
    assert_eq!(program.scrape("empty").await.status, 200);
    assert_eq!(program.generations(), [program.pid()]);
}

/// Logins that answer with a page for people, with far too much, or lead elsewhere.
#[tokio::test]
async fn hostile_logins_are_refused() {
    let elsewhere = Server::plain(schemes::guard(|_| true)).await;
    let logins = [
        Login::Body("<html><body>Please sign in</body></html>".to_owned()),
        Login::Body(format!(
            "{{\"users\":[{{\"token\":\"{}\"}}]}}",
            "x".repeat(50_000_000)
        )),
        Login::Redirect(elsewhere.url("/v1/users/login")),
        Login::Redirect("file:///etc/passwd".to_owned()),
    ];
    for login in logins {
        let stub = WhatsApp::plain().await;
        stub.set(|state| state.login = login);
        let targets = json!([stub.target("cluster", &json!("secret"))]);
        let program = Program::start(&configuration::targets(&targets)).await;
        let before = program.metrics().await;
        let reply = program.scrape("cluster").await;
        assert!(
            matches!(reply.status, 502 | 503),
            "{} {}",
            reply.status,
            reply.reason()
        );
        assert!(reply.reason().len() > 5, "{}", reply.reason());
        let after = program.metrics().await;
        assert!(
            grown(&before, &after, "landline_gateway_logins_total")
                .iter()
                .any(|series| !series.contains("result=\"ok\"")),
            "not counted"
        );
        assert_small(&program);
        assert_eq!(program.generations(), [program.pid()]);
    }
    let told = elsewhere.seen();
    let carries = |seen: &it::stubs::server::Seen| seen.headers.contains_key("authorization");
    assert!(
        !told.iter().any(carries),
        "credentials went to another host"
    );
}

/// A page that redirects to another host does not take the token there.
#[tokio::test]
async fn credentials_never_follow_a_page_elsewhere() {
    let elsewhere = Server::plain(schemes::guard(|_| true)).await;
    let to = elsewhere.url("/metrics");
    let stub = Server::plain(it::stubs::server::handler(move |_| {
        let answer = it::stubs::server::answer(302, "");
        let answer = it::stubs::server::with_header(answer, "location", &to);
        async move { answer }
    }))
    .await;
    let target = |name: &str, auth: serde_json::Value| json!({"name": name, "url": stub.url("/metrics"), "auth": auth});
    let targets = json!([
        target(
            "basic",
            json!({"kind": "basic", "username": "u", "password": "hunter2"})
        ),
        target("bearer", json!({"kind": "bearer", "token": "hunter2"})),
        target(
            "query",
            json!({"kind": "query_key", "param": "k", "value": "hunter2"})
        ),
        target(
            "header",
            json!({"kind": "static_header", "name": "X-Key", "value": "hunter2"})
        ),
    ]);
    let program = Program::start(&configuration::targets(&targets)).await;
    for name in ["basic", "bearer", "query", "header"] {
        let reply = program.scrape(name).await;
        assert!(
            matches!(reply.status, 502 | 503),
            "{name}: {} {}",
            reply.status,
            reply.reason()
        );
        assert!(!reply.text().contains("hunter2"), "{}", reply.text());
    }
    for seen in elsewhere.seen() {
        let text = format!("{seen:?}");
        assert!(
            !text.contains("hunter2") && !text.contains("dTpodW50ZXIy"),
            "{text}"
        );
    }
}

/// Names and requests that no proper client sends.
#[tokio::test]
async fn hostile_requests_are_answered_or_cut() {
    let stub = hostile::start().await;
    let program = start(&stub).await;
    let end = "HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let names = [
        "..".to_owned(),
        "%2f".to_owned(),
        "@".to_owned(),
        "%".to_owned(),
        "%zz".to_owned(),
        "%ff%fe".to_owned(),
        "a".repeat(201),
        "a".repeat(64 * 1024),
        "%41".repeat(20_000),
        "a/../../v1".to_owned(),
    ];
    for name in names {
        let request = format!("GET /metrics/{name} {end}");
        let status = client::raw_status(program.gateway, request.as_bytes()).await;
        let shown: String = name.chars().take(20).collect();
        assert!(
            matches!(status, 400 | 404 | 414 | 431),
            "{shown}…: {status}"
        );
    }
    let requests: [&[u8]; 6] = [
        b"\0\0\0\0",
        b"GET http://169.254.169.254/latest HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
        b"POST /metrics/empty HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc",
        b"GET /metrics/empty HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"GET /metrics/empty HTTP/1.1\r\nhost: a\r\nx-prometheus-scrape-timeout-seconds: 1e999\r\nconnection: close\r\n\r\n",
    ];
    for request in requests {
        let status = client::raw_status(program.gateway, request).await;
        assert!(
            status < 500,
            "{}: {status}",
            String::from_utf8_lossy(request)
        );
    }
    for timeout in ["", "-1", "NaN", "inf", "1e999", "abc", "0", "5, 5"] {
        let headers = [("x-prometheus-scrape-timeout-seconds", timeout)];
        let status = program.get("/metrics/empty", &headers).await.status;
        assert!(matches!(status, 200 | 400), "{timeout:?}: {status}");
    }
    assert_eq!(program.scrape("empty").await.status, 200);
    assert_eq!(program.generations(), [program.pid()]);
}

/// A client that opens connections and says nothing does not keep others out.
#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let stub = hostile::start().await;
    let program = start(&stub).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(
            tokio::net::TcpStream::connect(program.gateway)
                .await
                .unwrap(),
        );
    }
    assert_eq!(program.scrape("empty").await.status, 200);
    drop(silent);
}

//! The profile `whatsapp` from end to end: one login, three parts and the health gauge on one page,
//! the rule of health, parts that fail, names that must not reach anyone.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use it::exposition::{assert_families_whole, value};
use it::program::{Launch, Program};
use it::stubs::pages::{Page, Pages};
use it::stubs::server::Seen;
use it::stubs::whatsapp::{APP, DB, METRICS, Part, WhatsApp};
use it::{client, configuration};
use serde_json::{Value, json};

pub(crate) const NUMBER: &str = "441234567890";
const GAUGE: &str = "whatsapp_cluster_health";

/// The program with one target, the stub.
pub(crate) async fn start(stub: &WhatsApp) -> Program {
    let target = stub.target(NUMBER, &json!("secret"));
    Program::start(&configuration::targets(&json!([target]))).await
}

/// Vector 1: exactly one login with the exact header, then three parts and the health; the second
/// scrape needs no login.
#[tokio::test]
async fn logs_in_once_and_fetches_every_part() {
    let stub = WhatsApp::plain().await;
    let long = "p".repeat(90);
    stub.set(|state| state.password.clone_from(&long));
    let target = stub.target(NUMBER, &json!(long));
    let program = Program::start(&configuration::targets(&json!([target]))).await;
    assert_eq!(stub.server.connections(), 0, "nobody has asked yet");

    assert_eq!(program.scrape(NUMBER).await.status, 200);
    let seen = stub.server.seen();
    let login = seen.first().unwrap();
    assert_eq!(
        (login.method.as_str(), login.target().as_str()),
        ("POST", "/v1/users/login")
    );
    let expected = format!("Basic {}", STANDARD.encode(format!("admin:{long}")));
    assert_eq!(login.header("authorization"), expected);
    assert!(login.body.is_empty(), "the login has no body");
    let mut rest: Vec<String> = seen.iter().skip(1).map(Seen::target).collect();
    rest.sort();
    let parts = [
        "/metrics?format=prometheus",
        "/v1/health",
        "/v1/stats/app?format=prometheus",
        "/v1/stats/db?format=prometheus",
    ];
    assert_eq!(rest, parts);
    let carries = |seen: &Seen| seen.header("authorization") == "Bearer token-1";
    assert!(seen.iter().skip(1).all(carries));

    assert_eq!(program.scrape(NUMBER).await.status, 200);
    assert_eq!(stub.logins(), 1);
    assert_eq!(stub.server.requests(), 9);
}

/// Vector 1: fifty scrapes at once share one login.
#[tokio::test]
async fn fifty_cold_scrapes_share_one_login() {
    let stub = WhatsApp::plain().await;
    let target = {
        let mut target = stub.target(NUMBER, &json!("secret"));
        target["limits"] = json!({"concurrency": 64});
        target
    };
    let program = Program::start(&configuration::targets(&json!([target]))).await;
    let replies = join_all((0..50).map(|_| program.scrape(NUMBER))).await;
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(stub.logins(), 1);
}

/// Vector 2: the parts in their order, then the gauge, in the right content type.
#[tokio::test]
async fn the_page_is_the_parts_in_order_and_the_gauge() {
    let stub = WhatsApp::plain().await;
    let program = start(&stub).await;
    let reply = program.scrape(NUMBER).await;
    let page = reply.text();
    assert_eq!(
        reply.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let order = ["web_uptime 12", "callback_queue_size 3", "db_contacts 7"];
    let places: Vec<Option<usize>> = order.iter().map(|line| page.find(line)).collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{page}"
    );
    assert!(page.contains(&format!("# HELP {GAUGE} ")), "{page}");
    assert!(page.contains(&format!("# TYPE {GAUGE} gauge\n")), "{page}");
    let line = format!("{GAUGE}{{customer=\"{NUMBER}\",customer_name=\"Test company\"}} 1\n");
    assert!(page.contains(&line), "{page}");
    assert!(
        page.find(GAUGE) > places.last().copied().flatten(),
        "{page}"
    );
    for part in ["metrics", "app", "db"] {
        assert_eq!(
            value(&page, "gateway_part_up", &[("part", part)]),
            Some(1.0),
            "{page}"
        );
    }
    assert_families_whole(&page);
}

/// Vector 2: a family that comes from two parts has one head, and odd names are escaped.
#[tokio::test]
async fn families_are_merged_and_labels_escaped() {
    let stub = WhatsApp::plain().await;
    let app = "# HELP shared Here\n# TYPE shared gauge\nshared{part=\"app\"} 1\n";
    let db = "# HELP shared There\n# TYPE shared gauge\nshared{part=\"db\"} 2\n";
    stub.set(|state| {
        state.app = Part::Text(format!("{app}{APP}"));
        state.db = Part::Text(db.to_owned());
    });
    let odd = "Quote \" back\\slash\nline";
    let mut target = stub.target(NUMBER, &json!("secret"));
    target["labels"]["customer_name"] = json!(odd);
    let program = Program::start(&configuration::targets(&json!([target]))).await;
    let page = program.scrape(NUMBER).await.text();
    assert_families_whole(&page);
    assert_eq!(value(&page, "shared", &[("part", "app")]), Some(1.0));
    assert_eq!(value(&page, "shared", &[("part", "db")]), Some(2.0));
    assert!(
        page.contains(r#"customer_name="Quote \" back\\slash\nline""#),
        "{page}"
    );
    assert_eq!(value(&page, GAUGE, &[("customer_name", odd)]), Some(1.0));
}

/// Vector 2: who asks for OpenMetrics gets it, with its end mark.
#[tokio::test]
async fn open_metrics_when_asked() {
    let stub = WhatsApp::plain().await;
    let program = start(&stub).await;
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let reply = program
        .get(&format!("/metrics/{NUMBER}"), &[("accept", accept)])
        .await;
    assert_eq!(reply.status, 200);
    let kind = reply.header("content-type");
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    assert!(reply.text().ends_with("# EOF\n"), "{}", reply.text());
}

/// One node of a health answer.
fn node(role: &str, status: &str) -> Value {
    json!({"gateway_status": status, "role": role})
}

/// Vector 3: the rule of health, case by case.
#[tokio::test]
async fn health_follows_the_rule() {
    let broken = json!({"gateway_status": "disconnected", "role": "coreapp", "errors": [
        {"code": 1011, "title": "Service not ready", "details": "Wacore is not instantiated"}]});
    let cases = [
        (
            1.0,
            json!({"a:m": node("primary_master", "disconnected"), "b:c": node("coreapp", "connected")}),
        ),
        (
            1.0,
            json!({
            "a:m": node("primary_master", "connected"), "b:c1": node("coreapp", "connected"),
            "b:c2": node("coreapp", "disconnected"), "b:c3": node("coreapp", "connected"),
            "b:c4": node("coreapp", "disconnected")}),
        ),
        (
            0.0,
            json!({"a:master": node("primary_master", "unregistered"), "b:core": broken}),
        ),
        (0.0, json!({"b:c": node("coreapp", "disconnected")})),
        (1.0, json!({"b:c": node("coreapp", "connected")})),
        (
            0.0,
            json!({"b:c1": node("coreapp", "connected"), "b:c2": node("coreapp", "connecting")}),
        ),
        (1.0, json!({"gateway_status": "connected"})),
        (0.0, json!({"gateway_status": "unregistered"})),
    ];
    let stub = WhatsApp::plain().await;
    let program = start(&stub).await;
    for (expected, health) in cases {
        stub.set(|state| state.health = json!({"health": health.clone()}));
        let page = program.scrape(NUMBER).await.text();
        let gauge = value(&page, GAUGE, &[("customer", NUMBER)]);
        assert_eq!(gauge, Some(expected), "{health}\n{page}");
    }
}

/// Vectors 3 and 10: `/health` has a row per node that is not well, with the vendor's words.
#[tokio::test]
async fn health_page_has_the_shape_of_the_original() {
    let stub = WhatsApp::plain().await;
    let program = start(&stub).await;
    assert_eq!(program.scrape(NUMBER).await.status, 200);
    let reply = program.get("/health", &[]).await;
    assert_eq!((reply.status, reply.text().trim()), (200, "[]"));
    assert!(reply.header("content-type").starts_with("application/json"));

    stub.set(|state| {
        state.health = json!({"health": {
            "h1:master": node("primary_master", "unregistered"),
            "h2:core": {"gateway_status": "disconnected", "role": "coreapp", "errors": [
                {"code": 1011, "title": "Service not ready", "details": "Wacore is absent"}]},
        }});
    });
    assert_eq!(program.scrape(NUMBER).await.status, 200);
    let mut rows = program
        .get("/health", &[])
        .await
        .json()
        .as_array()
        .cloned()
        .unwrap();
    rows.sort_by_key(ToString::to_string);
    let expected = [
        json!([
            NUMBER,
            "core",
            "Service not ready (1011) - Wacore is absent"
        ]),
        json!([NUMBER, "master", "unregistered"]),
    ];
    assert_eq!(rows, expected);
    stub.set(|state| state.health = json!({"health": {"gateway_status": "connected"}}));
    assert_eq!(program.scrape(NUMBER).await.status, 200);
    assert_eq!(program.get("/health", &[]).await.text().trim(), "[]");
}

/// Vector 7: a part that fails or is slow does not take the others with it.
#[tokio::test]
async fn a_failing_part_leaves_the_others() {
    let stub = WhatsApp::plain().await;
    let program = start(&stub).await;
    let path = format!("/metrics/{NUMBER}");
    let limit = [("x-prometheus-scrape-timeout-seconds", "2")];
    for part in [
        Part::Status(500),
        Part::Slow(Duration::from_secs(5), DB.to_owned()),
        Part::Hang,
    ] {
        stub.set(|state| state.db = part.clone());
        let reply = program.get(&path, &limit).await;
        assert_eq!(reply.status, 200, "{part:?}: {}", reply.text());
        assert!(
            reply.elapsed < Duration::from_secs(2),
            "{part:?} took {:?}",
            reply.elapsed
        );
        let page = reply.text();
        assert_eq!(
            value(&page, "gateway_part_up", &[("part", "db")]),
            Some(0.0),
            "{page}"
        );
        assert_eq!(
            value(&page, "gateway_part_up", &[("part", "app")]),
            Some(1.0),
            "{page}"
        );
        assert!(
            page.contains("web_uptime 12") && !page.contains("db_contacts"),
            "{page}"
        );
    }
    assert_eq!(program.target(NUMBER).await["state"], "degraded");
    stub.set(|state| state.db = Part::Text(DB.to_owned()));
    let page = program.scrape(NUMBER).await.text();
    assert_eq!(
        value(&page, "gateway_part_up", &[("part", "db")]),
        Some(1.0),
        "{page}"
    );
    assert_eq!(program.target(NUMBER).await["state"], "ok");
}

/// Vector 7: with `cache_ttl` the last good part is served, and its age is told; `every` fetches a
/// part rarely; a part that is not optional fails the scrape.
#[tokio::test]
async fn parts_are_cached_rare_and_optional_as_configured() {
    let pages = Pages::start(&[("/a", METRICS), ("/b", APP), ("/c", DB)]).await;
    let target = json!({"name": "site", "base_url": pages.server.url(""), "parts": [
        {"name": "a", "path": "/a"},
        {"name": "b", "path": "/b", "query": "format=prometheus", "optional": true, "cache_ttl": "10m"},
        {"name": "c", "path": "/c", "every": "5m"},
    ]});
    let program = Program::start(&configuration::targets(&json!([target]))).await;
    assert_eq!(program.scrape("site").await.status, 200);
    pages.set("/b", Page::Status(500, "no".to_owned()));
    for _ in 0..2 {
        let page = program.scrape("site").await.text();
        assert!(
            page.contains("callback_queue_size 3") && page.contains("db_contacts 7"),
            "{page}"
        );
        assert_eq!(
            value(&page, "gateway_part_up", &[("part", "b")]),
            Some(0.0),
            "{page}"
        );
        let age = value(&page, "gateway_part_age_seconds", &[("part", "b")]);
        assert!(age.is_some_and(|age| (0.0..60.0).contains(&age)), "{page}");
    }
    assert_eq!(
        pages.server.count("/c"),
        1,
        "fetched every five minutes only"
    );
    let asked = pages
        .server
        .seen()
        .into_iter()
        .find(|seen| seen.path == "/b")
        .unwrap();
    assert_eq!(asked.query, "format=prometheus");
    pages.set("/a", Page::Status(500, "no".to_owned()));
    let reply = program.scrape("site").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert!(
        reply.reason().contains('a'),
        "names the part: {}",
        reply.reason()
    );
}

/// The JSON form of metrics is read when a part says so: the bare map of the operator's page, and
/// the two wrappers that the vendor's documents show.
#[tokio::test]
async fn json_maps_are_converted() {
    let pages = Pages::start(&[]).await;
    let map = json!({"web_requests": {"type": "counter", "help": "Requests", "data": [
        {"labels": {"method": "GET", "path": "/a\"b"}, "value": 5}, {"labels": {}, "value": 1.5}]}});
    let bodies = [
        json!({"metrics": map.clone()}),
        json!({"stats": {"app": map.clone()}}),
        map.clone(),
    ];
    let target = json!({"name": "site", "base_url": pages.server.url(""), "parts": [
        {"name": "web", "path": "/json", "convert": "json_map"}]});
    let program = Program::start(&configuration::targets(&json!([target]))).await;
    for body in bodies {
        pages.set("/json", Page::Json(body.to_string()));
        let reply = program.scrape("site").await;
        let page = reply.text();
        assert_eq!(reply.status, 200, "{body}: {page}");
        assert!(page.contains("# TYPE web_requests counter"), "{page}");
        assert_eq!(
            value(&page, "web_requests", &[("path", "/a\"b")]),
            Some(5.0),
            "{page}"
        );
        assert!(
            page.contains("web_requests 1.5") || page.contains("web_requests{} 1.5"),
            "{page}"
        );
    }
}

/// Vector 8: what is not a configured name is 404 and reaches nobody.
#[tokio::test]
async fn unknown_names_reach_nobody() {
    let stub = WhatsApp::plain().await;
    let program = start(&stub).await;
    let names = [
        "441234567891",
        "..",
        "%2e%2e",
        "%2f",
        "..%2f..%2fetc%2fpasswd",
        "441234567890%2f",
        "a@b",
        "441234567890@evil.example",
        "127.0.0.1",
        "evil.example:80",
        "441234567890%00",
        "441234567890%0d%0aX:%20y",
        "441234567890%3fx",
        "441234567890/",
        "441234567890/display",
        "http:%2f%2f127.0.0.1",
    ];
    for name in names {
        let request =
            format!("GET /metrics/{name} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
        let status = client::raw_status(program.gateway, request.as_bytes()).await;
        assert_eq!(status, 404, "{name}");
    }
    assert_eq!(stub.server.connections(), 0);
    assert!(
        program
            .get("/health", &[])
            .await
            .json()
            .as_array()
            .unwrap()
            .is_empty()
    );
}

/// Vector 8: credentials that cannot be read make one target unconfigured, and it is healed when
/// they appear; the others go on.
#[tokio::test]
async fn missing_credentials_concern_one_target() {
    let (stub, other) = (WhatsApp::plain().await, WhatsApp::plain().await);
    let targets = json!([
        stub.target("broken", &json!({"file": "late.password"})),
        other.target("well", &json!({"env": "WA_PASSWORD"})),
    ]);
    let launch = Launch::new(&configuration::targets(&targets));
    let program = launch.variable("WA_PASSWORD", "secret").start().await;
    let reply = program.scrape("broken").await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(
        reply.reason().contains("unconfigured"),
        "{}",
        reply.reason()
    );
    assert_eq!(program.target("broken").await["state"], "unconfigured");
    assert_eq!(program.scrape("well").await.status, 200);
    assert_eq!(stub.server.connections(), 0);
    program.write("late.password", "secret\n");
    it::wait::until("the password file is read", it::wait::SOON, async || {
        Some(program.scrape("broken").await).filter(|reply| reply.status == 200)
    })
    .await;
}

/// A part that the account may not see leaves the page without it, and causes one more login, not
/// one a scrape.
#[tokio::test]
async fn a_forbidden_optional_part_leaves_the_rest() {
    let stub = WhatsApp::plain().await;
    stub.set(|state| state.db = Part::Status(403));
    let target = stub.target(NUMBER, &json!("secret"));
    let program = Program::start(&configuration::targets(&json!([target]))).await;
    for _ in 0..4 {
        let reply = program.scrape(NUMBER).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let page = reply.text();
        assert_eq!(
            value(&page, "gateway_part_up", &[("part", "db")]),
            Some(0.0),
            "{page}"
        );
        assert!(page.contains("web_uptime 12"), "{page}");
    }
    assert!(stub.logins() <= 2, "{} logins", stub.logins());
}

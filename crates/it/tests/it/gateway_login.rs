//! Logins that are refused, limited, broken or slow, sessions that end early, and the states that
//! the gateway shows for them.

use std::time::{Duration, Instant};

use it::program::{Launch, Program};
use it::stubs::whatsapp::{Login, Part, WhatsApp};
use it::wait::{self, SOON};
use it::{certificates, configuration};
use serde_json::{Value, json};

use crate::gateway_whatsapp::{NUMBER, start};

/// The scrape timeout that the tests send.
const TIMEOUT: (&str, &str) = ("x-prometheus-scrape-timeout-seconds", "2");

/// Vector 4: a token that was revoked costs exactly one more login, and the scraper sees nothing.
#[tokio::test]
async fn a_revoked_token_costs_one_login() {
    let stub = WhatsApp::plain().await;
    let program = start(&stub).await;
    assert_eq!(program.scrape(NUMBER).await.status, 200);
    for logins in 2..5 {
        stub.revoke();
        assert_eq!(program.scrape(NUMBER).await.status, 200);
        assert_eq!(stub.logins(), logins);
    }
}

/// Vector 4: a target that accepts the login and never the token gets one retry, then rest.
#[tokio::test]
async fn a_token_that_never_works_makes_no_storm() {
    let stub = WhatsApp::plain().await;
    stub.set(|state| state.is_revoked_for_ever = true);
    let program = start(&stub).await;
    let first = program.scrape(NUMBER).await;
    assert_eq!(first.status, 502, "{}", first.text());
    assert!(
        stub.logins() <= 2,
        "one login and one retry, not {}",
        stub.logins()
    );
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    while begun.elapsed() < Duration::from_mins(1) {
        ticks.tick().await;
        let reply = program.scrape(NUMBER).await;
        assert!(
            matches!(reply.status, 502 | 503),
            "{}: {}",
            reply.status,
            reply.text()
        );
    }
    assert!(stub.logins() <= 5, "{} logins in a minute", stub.logins());
}

/// Vector 5: a refused login is 503 with the reason; during the wait nobody is asked; a changed
/// password ends the wait at once.
#[tokio::test]
async fn a_refused_login_rests_until_the_password_changes() {
    let stub = WhatsApp::plain().await;
    let target = stub.target(NUMBER, &json!({"file": "wa.password"}));
    let launch = Launch::new(&configuration::targets(&json!([target])));
    let program = launch.file("wa.password", "wrong\n").start().await;
    let mut refused = 0;
    // Each refusal doubles the wait; after four of them it is long enough to look into.
    wait::until("four refused logins", Duration::from_secs(40), async || {
        let reply = program.scrape(NUMBER).await;
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert!(!reply.reason().is_empty());
        assert!(
            !reply.text().contains("wrong"),
            "the password is in {}",
            reply.text()
        );
        refused = stub.logins();
        (refused >= 4).then_some(())
    })
    .await;
    let before = stub.server.requests();
    for _ in 0..5 {
        let reply = program.scrape(NUMBER).await;
        assert_eq!(reply.status, 503);
        let after: u64 = reply.header("retry-after").parse().unwrap();
        assert!((1..=16).contains(&after), "retry-after {after}");
    }
    assert_eq!(stub.server.requests(), before, "asked during the wait");
    let target = program.target(NUMBER).await;
    assert_eq!(target["state"], "auth_failed", "{target}");
    program.write("wa.password", "secret\n");
    let begun = Instant::now();
    wait::until("the new password is used", SOON, async || {
        Some(program.scrape(NUMBER).await).filter(|reply| reply.status == 200)
    })
    .await;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "took {:?}",
        begun.elapsed()
    );
}

/// Vector 6: 429 is kept apart from a refusal, and `Retry-After` is kept to.
#[tokio::test]
async fn too_many_logins_rest_as_long_as_told() {
    let stub = WhatsApp::plain().await;
    stub.set(|state| state.login = Login::TooMany(30));
    let program = start(&stub).await;
    let reply = program.scrape(NUMBER).await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    let after: u64 = reply.header("retry-after").parse().unwrap();
    assert!((28..=33).contains(&after), "retry-after {after}");
    assert_eq!(program.target(NUMBER).await["state"], "rate_limited");
    stub.set(|state| state.login = Login::Check);
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    let pause = loop {
        ticks.tick().await;
        let status = program.scrape(NUMBER).await.status;
        if status == 200 {
            break begun.elapsed();
        }
        assert_eq!(status, 503);
        assert!(begun.elapsed() < Duration::from_secs(45), "still resting");
    };
    assert!(
        pause > Duration::from_secs(28),
        "logged in again after {pause:?}"
    );
    assert_eq!(stub.logins(), 2);
}

/// Vector 6: what goes wrong below and beside the login, each before the scraper gives up.
#[tokio::test]
async fn every_failure_has_its_answer_in_time() {
    let (broken, hanging) = (WhatsApp::plain().await, WhatsApp::plain().await);
    broken.set(|state| state.login = Login::Status(500));
    hanging.set(|state| state.login = Login::Hang);
    let slow_page = WhatsApp::plain().await;
    slow_page.set(|state| {
        for part in [&mut state.metrics, &mut state.app, &mut state.db] {
            *part = Part::Hang;
        }
    });
    let pair = certificates::self_signed(&["127.0.0.1"]);
    let untrusted = WhatsApp::tls(certificates::server_config(&pair, None)).await;
    let mut refused = broken.target("refused", &json!("secret"));
    refused["base_url"] = json!("http://127.0.0.1:1");
    let targets = json!([
        broken.target("broken", &json!("secret")),
        hanging.target("hanging", &json!("secret")),
        slow_page.target("slow_page", &json!("secret")),
        untrusted.target("untrusted", &json!("secret")),
        refused,
    ]);
    let program = Program::start(&configuration::targets(&targets)).await;
    let cases = [
        ("broken", 502, "unreachable degraded auth_failed"),
        ("refused", 502, "unreachable"),
        ("untrusted", 502, "tls_error"),
        ("hanging", 504, "timeout"),
        ("slow_page", 504, "timeout"),
    ];
    for (name, status, states) in cases {
        let reply = program.get(&format!("/metrics/{name}"), &[TIMEOUT]).await;
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        assert!(
            reply.elapsed < Duration::from_secs(2),
            "{name} took {:?}",
            reply.elapsed
        );
        assert!(
            reply.reason().len() > 5,
            "{name}: no reason in {:?}",
            reply.text()
        );
        let target = program.target(name).await;
        let state = target["state"].as_str().unwrap_or_default();
        assert!(
            states.split(' ').any(|word| word == state),
            "{name}: {target}"
        );
    }
    assert_eq!(
        untrusted.server.requests(),
        0,
        "nothing is sent to whom one does not trust"
    );
}

/// A hanging login is not started again by every scrape.
#[tokio::test]
async fn a_broken_login_is_not_tried_by_every_scrape() {
    let stub = WhatsApp::plain().await;
    stub.set(|state| state.login = Login::Status(500));
    let program = start(&stub).await;
    for _ in 0..20 {
        let status = program.scrape(NUMBER).await.status;
        assert!(matches!(status, 502 | 503), "{status}");
    }
    assert!(stub.logins() <= 3, "{} logins", stub.logins());
}

/// The least deadline is half a second, however hurried the scraper.
#[tokio::test]
async fn the_deadline_has_a_floor() {
    let stub = WhatsApp::plain().await;
    let slow = Part::Slow(Duration::from_millis(250), "a 1\n".to_owned());
    stub.set(|state| state.metrics = slow);
    let program = start(&stub).await;
    let hurried = [("x-prometheus-scrape-timeout-seconds", "0.2")];
    let reply = program.get(&format!("/metrics/{NUMBER}"), &hurried).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// `ttl_max` bounds the life of a token whatever the target promises; the change is not seen.
#[tokio::test]
async fn a_token_is_not_used_longer_than_allowed() {
    let stub = WhatsApp::plain().await;
    let mut target = stub.target(NUMBER, &json!("secret"));
    target["auth"]["ttl_max"] = json!("1s");
    let program = Program::start(&configuration::targets(&json!([target]))).await;
    wait::until("a third login", SOON, async || {
        let reply = program.scrape(NUMBER).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        (stub.logins() >= 3).then_some(())
    })
    .await;
    let scrapes = stub.server.count("/metrics");
    assert!(
        scrapes > stub.logins() * 3,
        "{scrapes} scrapes, {} logins",
        stub.logins()
    );
}

/// A login that answers nonsense is the target's fault: 502 with a reason.
#[tokio::test]
async fn login_answers_must_make_sense() {
    let bodies = [
        "<html><h1>Welcome</h1></html>".to_owned(),
        String::new(),
        json!({"users": []}).to_string(),
        json!({"users": [{"token": 7}]}).to_string(),
        json!({"users": [{"token": "line\nbreak"}]}).to_string(),
    ];
    for body in bodies {
        let stub = WhatsApp::plain().await;
        stub.set(|state| state.login = Login::Body(body.clone()));
        let program = start(&stub).await;
        let reply = program.scrape(NUMBER).await;
        assert_eq!(reply.status, 502, "{body:?}: {}", reply.text());
        assert_eq!(stub.server.requests(), 1, "{body:?}");
    }
}

/// Vector 10: the rich form tells state, since when, and when it is tried again or expires.
#[tokio::test]
async fn the_rich_form_tells_every_state() {
    let (well, limited, part) = (
        WhatsApp::plain().await,
        WhatsApp::plain().await,
        WhatsApp::plain().await,
    );
    limited.set(|state| state.login = Login::TooMany(60));
    part.set(|state| state.db = Part::Status(500));
    let targets = json!([
        well.target("ok", &json!("secret")),
        well.target("auth_failed", &json!("not this")),
        well.target("idle", &json!("secret")),
        well.target("unconfigured", &json!({"file": "absent"})),
        limited.target("rate_limited", &json!("secret")),
        part.target("degraded", &json!("secret")),
    ]);
    let program = Program::start(&configuration::targets(&targets)).await;
    let names = [
        "ok",
        "auth_failed",
        "unconfigured",
        "rate_limited",
        "degraded",
    ];
    for name in names {
        program.scrape(name).await;
    }
    for name in names.iter().chain(&["idle"]) {
        let target = program.target_state(name, name).await;
        assert!(!target["since"].is_null() || *name == "idle", "{target}");
        if matches!(*name, "auth_failed" | "rate_limited") {
            assert!(
                keyed(&target, "next").is_some(),
                "no next attempt: {target}"
            );
            assert!(
                target["reason"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{target}"
            );
        }
        if *name == "ok" {
            assert!(keyed(&target, "expir").is_some(), "no expiry: {target}");
        }
    }
    let rows = program.get("/health", &[]).await.json();
    let rows = rows.as_array().unwrap();
    let has = |name: &str| rows.iter().any(|row| row[0] == name);
    assert!(!has("ok") && !has("idle"), "{rows:?}");
    assert!(
        ["auth_failed", "unconfigured", "rate_limited", "degraded"]
            .into_iter()
            .all(has)
    );
    assert!(
        rows.iter()
            .all(|row| row.as_array().is_some_and(|row| row.len() == 3)),
        "{rows:?}"
    );
    let page = program.get("/v1/gateway/targets", &[]).await.text() + &program.stderr();
    assert!(!page.contains("not this"), "a password is shown");
}

/// The value of the first key that contains `word`, unless it is null.
fn keyed(target: &Value, word: &str) -> Option<Value> {
    let fields = target.as_object()?;
    let found = fields
        .iter()
        .find(|(key, value)| key.contains(word) && !value.is_null());
    found.map(|(_, value)| value.clone())
}

/// Nobody may ask from elsewhere without a token or a network; loopback may. The documented access
/// rules are checked on an address of this machine that is not loopback, when there is one.
#[tokio::test]
async fn access_from_elsewhere_needs_a_token() {
    let Some(address) = other_address().map(|address| address.to_string()) else {
        it::need::skip("this machine has no address but loopback");
        return;
    };
    let stub = it::stubs::schemes::header("authorization", "Bearer t").await;
    let targets = json!([{"name": "shop", "url": stub.url("/metrics"),
        "auth": {"kind": "bearer", "token": "t"}}]);
    let section = |access: Value| {
        configuration::gateway(json!({"listen": "0.0.0.0:0", "targets": targets, "access": access}))
    };
    let launch = Launch::new(&section(json!({"tokens": [{"file": "prometheus.token"}]})));
    let program = launch.file("prometheus.token", "letmein\n").start().await;
    let ask = async |program: &Program, host: &str, headers: &[(&str, &str)]| {
        let url = format!("http://{host}:{}/metrics/shop", program.gateway.port());
        it::client::get(&url, headers).await.unwrap().status
    };
    assert_eq!(ask(&program, &address, &[]).await, 401);
    assert_eq!(
        ask(&program, &address, &[("authorization", "Bearer wrong")]).await,
        401
    );
    assert_eq!(
        ask(&program, &address, &[("authorization", "Bearer letmein")]).await,
        200
    );
    assert_eq!(ask(&program, "127.0.0.1", &[]).await, 200);
    drop(program);
    let program = Program::start(&section(json!({"networks": [format!("{address}/32")]}))).await;
    assert_eq!(ask(&program, &address, &[]).await, 200);
    drop(program);
    let program = Program::start(&section(json!({}))).await;
    assert_eq!(ask(&program, &address, &[]).await, 401);
}

/// An address of this machine that is not loopback.
fn other_address() -> Option<std::net::Ipv4Addr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: connecting a datagram socket only chooses the route.
    socket.connect("192.0.2.1:9").ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(address) if !address.is_loopback() => Some(address),
        _ => None,
    }
}

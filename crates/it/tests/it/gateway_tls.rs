//! Vector 9: certificates are verified unless one target says otherwise, and that is visible.

use it::program::{Launch, Program};
use it::stubs::schemes;
use it::stubs::server::{Server, handler, json as json_answer};
use it::stubs::whatsapp::WhatsApp;
use it::{certificates, configuration};
use serde_json::{Value, json};

/// One wrong certificate, two targets: only the one that says so is served, and it is shown.
#[tokio::test]
async fn a_wrong_certificate_is_refused_unless_told() {
    let pair = certificates::self_signed(&["other.example.net"]);
    let stub = WhatsApp::tls(certificates::server_config(&pair, None)).await;
    let mut insecure = stub.target("insecure", &json!("secret"));
    insecure["tls"] = json!({"insecure": true});
    let targets = json!([stub.target("strict", &json!("secret")), insecure]);
    let program = Program::start(&configuration::targets(&targets)).await;
    let reply = program.scrape("strict").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert_eq!(stub.server.requests(), 0, "no credentials to a stranger");
    assert_eq!(program.target("strict").await["state"], "tls_error");
    assert_eq!(program.scrape("insecure").await.status, 200);

    let metric = "landline_gateway_target_insecure";
    let page = program.metrics().await;
    let shown = it::exposition::samples(&page);
    let shown: Vec<_> = shown
        .iter()
        .filter(|s| s.name == metric && s.value > 0.0)
        .collect();
    assert_eq!(shown.len(), 1, "{page}");
    assert!(
        shown
            .iter()
            .all(|s| s.labels.values().any(|value| value == "insecure")),
        "{shown:?}"
    );
    let target = program.target("insecure").await;
    let fields = target.as_object().unwrap();
    let tells = |(key, value): (&String, &serde_json::Value)| {
        (key.contains("insecure") || key.contains("unverified")) && value == true
    };
    assert!(fields.iter().any(tells), "{target}");
}

/// An authority of one's own, and a name that differs from the address.
#[tokio::test]
async fn an_own_authority_and_name_are_accepted() {
    let authority = certificates::Authority::new("own");
    let pair = authority.server(&["wa.internal"]);
    let stub = WhatsApp::tls(certificates::server_config(&pair, None)).await;
    let mut named = stub.target("named", &json!("secret"));
    named["tls"] = json!({"ca": "own.pem", "server_name": "wa.internal"});
    let mut unnamed = stub.target("unnamed", &json!("secret"));
    unnamed["tls"] = json!({"ca": "own.pem"});
    let launch = Launch::new(&configuration::targets(&json!([named, unnamed])));
    let program = launch.file("own.pem", &authority.cert).start().await;
    let reply = program.scrape("named").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(program.scrape("unnamed").await.status, 502);
}

/// A login on another host has TLS settings of its own; without them the reason names the remedy,
/// and the settings of the target do not reach there.
#[tokio::test]
async fn a_login_elsewhere_has_its_own_authority() {
    let authority = certificates::Authority::new("id");
    let pair = authority.server(&["localhost"]);
    let answer_token = |_| async { json_answer(200, &json!({"token": "t1"})) };
    let config = certificates::server_config(&pair, None);
    let id = Server::tls(handler(answer_token), config).await;
    let page = schemes::header("authorization", "Bearer t1").await;
    let login = format!("https://localhost:{}/login", id.address.port());
    let target = |name: &str, target_tls: Value, login_tls: Value| {
        json!({"name": name, "url": page.url("/metrics"), "tls": target_tls, "auth": {
            "kind": "login_token", "request": {"url": login}, "tls": login_tls,
            "extract": {"token": {"pointer": "/token"}}}})
    };
    let insecure = json!({"insecure": true});
    let targets = json!([
        target("own", json!({}), json!({"ca": "id.pem"})),
        target("none", insecure.clone(), Value::Null),
        target("unverified", json!({}), insecure),
    ]);
    let launch = Launch::new(&configuration::targets(&targets)).file("id.pem", &authority.cert);
    let program = launch.start().await;
    let reply = program.scrape("none").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    let remedy = "`auth.tls: {ca: …}`";
    assert!(reply.reason().contains(remedy), "{}", reply.reason());
    assert_eq!(id.requests(), 0, "no credentials to a stranger");
    for name in ["own", "unverified"] {
        let reply = program.scrape(name).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
    }
    assert_eq!(program.target("unverified").await["insecure"], true);
    assert_eq!(program.target("own").await["insecure"], false);
}

/// Connections are kept: many scrapes make few of them.
#[tokio::test]
async fn connections_are_kept() {
    let pair = certificates::self_signed(&["127.0.0.1"]);
    let stub = WhatsApp::tls(certificates::server_config(&pair, None)).await;
    let mut target = stub.target("cluster", &json!("secret"));
    target["tls"] = json!({"insecure": true});
    let program = Program::start(&configuration::targets(&json!([target]))).await;
    for _ in 0..10 {
        assert_eq!(program.scrape("cluster").await.status, 200);
    }
    assert!(
        stub.server.connections() <= 6,
        "{} connections",
        stub.server.connections()
    );
}

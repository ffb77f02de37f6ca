//! Pages of metrics that a node logs in for: the secrets stay with the node, the page is at the hub, and
//! what another node has opens none of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use it::certificates::{Pair, careless_client};
use it::client::{self, Connection, Reply};
use it::cluster;
use it::need::skip;
use it::program::Program;
use it::stubs::form::{self, Form};
use it::stubs::schemes;
use it::wait;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::records_rights::outer_address;

/// The token that the operator gives to who scrapes.
const SCRAPER: &str = "let-prometheus-in";
/// The password of the basic login; `c2NyYXBlcjpwYXNzLTcyOTE=` is `scraper:pass-7291`.
const PASSWORD: &str = "pass-7291";
const BASIC: &str = "Basic c2NyYXBlcjpwYXNzLTcyOTE=";
/// The longest until a page is there: a login that was refused is waited with.
const SCRAPED: Duration = Duration::from_secs(30);
/// The longest until a stranger has an answer.
const SOON: Duration = Duration::from_secs(15);

/// The targets of a node: behind a form, and behind a basic login.
fn targets(form: &Form, basic: &str) -> Value {
    let page = form.server.url("/login");
    let steps = json!([
        {"get": page, "csrf": {"css": "input[name=csrf_token]", "field": "csrf_token"}},
        {"post": page, "fields": {"user": "{username}", "password": "{password}"}},
    ]);
    json!([
        {"name": "printer", "url": form.server.url("/metrics"), "labels": {"site": "berlin"},
            "auth": {"kind": "form_cookie", "username": form::USER.0,
                "password": {"file": "printer.password"}, "steps": steps,
                "success": {"cookie": "session", "redirect_not": "/login"}}},
        {"name": "shop", "url": basic, "auth": {"kind": "basic", "username": "scraper",
            "password": {"file": "shop.password"}}},
    ])
}

/// A node `web-1` with these targets and their secrets beside its configuration.
async fn join_with_secrets(hub: &Program, targets: &Value) -> Program {
    let token = cluster::token(hub, json!({})).await;
    let section = json!({"name": "web-1", "metrics": targets});
    let at = format!("127.0.0.1:{}", hub.main.port());
    let launch = cluster::launch_node(&at, &token, &section)
        .file("printer.password", form::USER.1)
        .file("shop.password", PASSWORD);
    let node = launch.start().await;
    cluster::online(hub, "web-1").await;
    node
}

async fn scraped(hub: &Program, name: &str) {
    let page = wait::until(name, SCRAPED, async || {
        let url = format!("http://127.0.0.1:{}/metrics/{name}", hub.main.port());
        let reply = client::get(&url, &[]).await.ok()?;
        (reply.status == 200).then_some(reply)
    });
    assert_eq!(page.await.text(), schemes::PAGE);
}

/// The node makes the login, once for many scrapes and anew when its session ends; the hub has the page
/// and none of the secrets.
#[tokio::test]
async fn a_node_logs_in_itself() {
    let form = Form::start().await;
    let basic = schemes::header("authorization", BASIC).await;
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let node = join_with_secrets(&hub, &targets(&form, &basic.url("/metrics"))).await;
    for name in ["printer", "printer", "shop", "shop"] {
        scraped(&hub, name).await;
    }
    assert_eq!(form.logins(), 1);
    form.drop_sessions();
    scraped(&hub, "printer").await;
    assert_eq!(form.logins(), 2);
    let groups = hub.get("/v1/gateway/sd", &[]).await.json();
    let wanted = json!({"__metrics_path__": "/metrics/printer", "instance": "printer",
        "node": "web-1", "site": "berlin"});
    let groups = groups.as_array().unwrap();
    let mut labels = groups.iter().map(|group| &group["labels"]);
    assert!(labels.any(|labels| *labels == wanted), "{groups:?}");
    for secret in [form::USER.1, PASSWORD, BASIC] {
        let path = holds(hub.directory.path(), secret.as_bytes());
        assert!(path.is_none(), "{secret:?} is at the hub: {path:?}");
        assert!(!node.stderr().contains(secret), "{secret:?} is in a log");
    }
    // A secret that is wrong, and right again, is the node's business alone.
    node.write("printer.password", "not this");
    form.drop_sessions();
    let refused = wait::until("the refusal", SOON, async || {
        let reply = hub.scrape("printer").await;
        (reply.status != 200).then_some(reply)
    });
    let refused = refused.await;
    // Never 401 or 403: Prometheus would take them for its own.
    let is_told = [502, 503].contains(&refused.status) && refused.text().contains("login");
    assert!(is_told, "{} {}", refused.status, refused.text());
    assert!(!refused.text().contains("not this"), "{}", refused.text());
    node.write("printer.password", form::USER.1);
    scraped(&hub, "printer").await;
}

/// The file in a folder, or below it, that holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> Option<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths.find_map(|path| {
        if path.is_dir() {
            return holds(&path, bytes);
        }
        // A file of the database may go away meanwhile.
        let content = std::fs::read(&path).unwrap_or_default();
        let mut windows = content.windows(bytes.len());
        windows.any(|window| window == bytes).then_some(path)
    })
}

/// Another node's certificate and token, shown at the hub from elsewhere, show nothing of the target and
/// scrape nothing; nor do those of the node that has it. The token that the operator gave does.
#[tokio::test]
async fn what_another_node_has_opens_no_page() {
    let Some(outer) = outer_address() else {
        return skip("this machine has no address but its own");
    };
    let form = Form::start().await;
    let basic = schemes::header("authorization", BASIC).await;
    let gateway = json!({"pushprox": true, "access": {"tokens": [SCRAPER]}});
    let hub = Program::start(&cluster::hub(
        json!({"listen": "0.0.0.0:0", "gateway": gateway}),
    ))
    .await;
    let owner = join_with_secrets(&hub, &targets(&form, &basic.url("/metrics"))).await;
    scraped(&hub, "printer").await;
    let logins = form.logins();
    let token = cluster::token(&hub, json!({})).await;
    let at = format!("127.0.0.1:{}", hub.main.port());
    let launch = cluster::launch_node(&at, &token, &json!({"name": "web-2"}));
    let other = launch.start().await;
    cluster::online(&hub, "web-2").await;
    let outside = format!("{outer}:{}", hub.main.port());
    for (node, token) in [(&other, &token.text), (&owner, &join_token(&owner))] {
        let pair = cluster::own_pair(node);
        let forged = format!("Bearer {token}");
        for headers in [&[][..], &[("authorization", forged.as_str())]] {
            assert_closed(&outside, &pair, headers).await;
        }
        let certificate = pair.cert.replace('\n', " ");
        let claimed = [
            ("x-forwarded-for", "127.0.0.1"),
            ("client-cert", &certificate),
        ];
        assert_closed(&outside, &pair, &claimed).await;
        assert_no_peer(&hub, &pair).await;
    }
    assert_eq!(form.logins(), logins);
    let allowed = format!("Bearer {SCRAPER}");
    let headers = [("authorization", allowed.as_str())];
    let page = ask(&outside, None, "/metrics/printer", &headers).await;
    assert_eq!((page.status, page.text().as_str()), (200, schemes::PAGE));
    let groups = ask(&outside, None, "/v1/gateway/sd", &headers).await;
    assert_eq!(groups.status, 200, "{}", groups.text());
    let groups = groups.text();
    for word in ["/metrics/printer", "/metrics/shop", outside.as_str()] {
        assert!(groups.contains(word), "{word}: {groups}");
    }
}

/// The join token of a node, as it lies beside its configuration.
fn join_token(node: &Program) -> String {
    std::fs::read_to_string(node.path("join.token")).unwrap()
}

/// Every path on which a target could show is refused, and says nothing of it.
async fn assert_closed(outside: &str, pair: &Pair, headers: &[(&str, &str)]) {
    let paths = [
        ("/metrics/printer", 401),
        ("/metrics/shop", 401),
        ("/metrics/no-such-page", 401),
        ("/v1/gateway/sd", 401),
        ("/v1/gateway/targets", 401),
        ("/health", 401),
        ("/v1/nodes", 401),
        // As Prometheus asks a PushProx proxy.
        ("http://printer/metrics", 407),
    ];
    for (path, expected) in paths {
        let reply = ask(outside, Some(pair), path, headers).await;
        assert_eq!(reply.status, expected, "{path}: {}", reply.text());
        for word in ["berlin", "shop_orders_total", "web-1"] {
            assert!(!reply.text().contains(word), "{path}: {}", reply.text());
        }
    }
}

/// The protocol by which proxies pass scrapes on is not for nodes.
async fn assert_no_peer(hub: &Program, pair: &Pair) {
    let target = json!({"target": {"kind": "metrics", "name": "", "node": "web-1"}}).to_string();
    let length = u32::try_from(target.len()).unwrap();
    let words = [&length.to_be_bytes(), target.as_bytes()].concat();
    let client = careless_client(b"landline-peer/1", Some(pair));
    let at = format!("127.0.0.1:{}", hub.main.port());
    let stream = TcpStream::connect(at).await.unwrap();
    let mut heard = Vec::new();
    let exchange = async {
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect(name, stream).await?;
        stream.write_all(&words).await?;
        (&mut stream).take(64 << 10).read_to_end(&mut heard).await
    };
    // An alert or an end, but no word.
    drop(tokio::time::timeout(SOON, exchange).await.expect("cut off"));
    assert!(heard.is_empty(), "{}", String::from_utf8_lossy(&heard));
}

/// One request over TLS, with this certificate for the client.
async fn ask(at: &str, pair: Option<&Pair>, path: &str, headers: &[(&str, &str)]) -> Reply {
    let client = careless_client(b"http/1.1", pair);
    let stream = TcpStream::connect(at).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(client)).connect(name, stream);
    let stream = stream.await.unwrap();
    let mut connection = Connection::over(stream, at).await.unwrap();
    connection.send("GET", path, headers, "").await.unwrap()
}

//! PushProx's users: a real Prometheus with `proxy_url`, and pushprox-clients that poll and push.

use std::time::Duration;

use it::client;
use it::cluster;
use it::need::need;
use it::program::{Launch, Program};
use it::prometheus::Prometheus;
use it::stubs::page;
use it::stubs::pages::Pages;
use it::stubs::pushprox::PushproxClient;
use it::wait;
use serde_json::{Value, json};

/// The longest Prometheus may take to have scraped everything.
const SCRAPED: Duration = Duration::from_secs(30);
/// The longest until a client has polled.
const POLLED: Duration = Duration::from_secs(10);

async fn hub() -> Program {
    let more = json!({
        "gateway": {"pushprox": true, "access": {"tokens": ["scrapers-token"]}}});
    Launch::new(&cluster::hub(more)).start().await
}

/// The token that the command line makes for a client of this name.
fn token(hub: &Program, name: &str) -> String {
    let arguments = [
        "tokens", "add", "--role", "pushprox", "--name", name, "--ttl", "1d", "--json",
    ];
    let output = hub.command(&arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let issued: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{error}"));
    issued["token"].as_str().unwrap().to_owned()
}

async fn polls(hub: &Program, name: &str) {
    wait::until(&format!("{name} polls"), POLLED, async || {
        let clients = hub.main("GET", "/clients").await.json();
        let mut clients = clients.as_array()?.iter().cloned();
        clients.find(|group| group["targets"][0] == name)
    })
    .await;
}

/// Prometheus knows nothing but the proxy: it scrapes a node's page and a client's target.
#[tokio::test]
async fn a_prometheus_of_pushprox_scrapes_through_the_hub() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let target = Pages::start(&[("/metrics", &page(50))]).await;
    let hub = hub().await;
    let offered = json!({"metrics": [{"name": "web-1-app", "url": target.server.url("/metrics")}]});
    let _node = cluster::join(&hub, "web-1", offered).await;
    let text = token(&hub, "127.0.0.1,localhost");
    let main = hub.main.to_string();
    let _client = PushproxClient::start(&main, "127.0.0.1", &text);
    polls(&hub, "127.0.0.1").await;
    let authority = hub.main("GET", "/v1/ca.pem").await;
    hub.write("ca.pem", &authority.text());
    let proxy = format!(
        "https://prometheus:scrapers-token@localhost:{}",
        hub.main.port()
    );
    let job = |name: &str, target: String| {
        json!({"job_name": name, "proxy_url": proxy,
            "tls_config": {"ca_file": hub.path("ca.pem")},
            "params": {"_scheme": ["http"]},
            "static_configs": [{"targets": [target]}]})
    };
    let configuration = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            job("client", format!("127.0.0.1:{}", target.server.address.port())),
            job("node", "web-1-app:80".to_owned()),
            job("nobody", "example.net:80".to_owned()),
            {"job_name": "tunnelled", "scheme": "https", "proxy_url": proxy,
                "tls_config": {"ca_file": hub.path("ca.pem")},
                "static_configs": [{"targets": ["web-1-app:443"]}]},
        ],
    });
    let prometheus = Prometheus::start(&program, &configuration.to_string()).await;
    for job in ["client", "node"] {
        let series = format!("count({{job=\"{job}\",__name__=~\"stub_family_.*\"}}) == 50");
        wait::until(&format!("{job} is scraped"), SCRAPED, async || {
            prometheus.value(&series).await
        })
        .await;
    }
    for (job, word) in [("nobody", "404"), ("tunnelled", "CONNECT refused")] {
        wait::until(&format!("{job} is refused"), SCRAPED, async || {
            let targets = prometheus.targets().await;
            let target = targets
                .iter()
                .find(|target| target["labels"]["job"] == job)?;
            let error = target["lastError"].as_str()?.to_owned();
            error.contains(word).then_some(())
        })
        .await;
    }
    let pushed = hub
        .metric("landline_pushprox_pushes_total", &[("result", "success")])
        .await;
    assert!(pushed >= 1.0);
    let used = cluster::audit(&hub, "pushprox.client").await;
    assert_eq!(used.len(), 1, "once an hour: {used:?}");
    assert_eq!(used[0]["actor"], "user:pushprox-127.0.0.1");
    assert!(!hub.stderr().contains(&text), "a token in the log");
}

/// Several names, an end, and a name of somebody else.
#[tokio::test]
async fn a_token_is_bound_to_its_names() {
    let hub = hub().await;
    let text = token(&hub, "db-1,db-2");
    let main = hub.main.to_string();
    let first = PushproxClient::start(&main, "db-1", &text);
    let _second = PushproxClient::start(&main, "db-2", &text);
    polls(&hub, "db-1").await;
    polls(&hub, "db-2").await;
    let _other = PushproxClient::start(&main, "db-3", &text);
    wait::until("the other name is refused", POLLED, async || {
        let events = cluster::audit(&hub, "pushprox.client").await;
        let mut events = events.into_iter();
        events.find(|event| event["outcome"] == "refused" && event["target"] == "pushprox:db-3")
    })
    .await;
    let clients = hub.main("GET", "/clients").await.json();
    assert_eq!(clients.as_array().map(Vec::len), Some(2), "{clients}");

    // A client that went away is known still; who asks for it is told in time.
    drop(first);
    let request = "GET http://db-1:9100/metrics HTTP/1.1\r\nHost: db-1:9100\r\n\
         X-Prometheus-Scrape-Timeout-Seconds: 1\r\nConnection: close\r\n\r\n";
    let answer = client::raw(hub.main, request.as_bytes(), Duration::from_secs(5)).await;
    let answer = String::from_utf8(answer.unwrap()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert!(
        answer.contains("`db-1` gave no answer within 0.9 s"),
        "{answer}"
    );
}

/// Nothing of it is there unless the configuration says so, and it needs a hub.
#[tokio::test]
async fn it_is_off_by_default() {
    let hub = Launch::new(&cluster::hub(json!({}))).start().await;
    for (method, path) in [("POST", "/poll"), ("POST", "/push"), ("GET", "/clients")] {
        assert_eq!(hub.main(method, path).await.status, 404, "{path}");
    }
    let request = b"GET http://example.net/nothing HTTP/1.1\r\nHost: example.net\r\nConnection: close\r\n\r\n";
    assert_eq!(client::raw_status(hub.main, request).await, 404);
    hub.write(
        "other.yaml",
        "roles: [gateway]\ngateway: {pushprox: true}\n",
    );
    let output = hub.command(&["config", "check", "--config", "other.yaml"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("needs a hub in the same process"), "{text}");
}

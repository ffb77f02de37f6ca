//! A machine that can only dial out: it joins with a token, and what it offers is reached through its
//! line. Vector 14 of the gateway among it, with a real Prometheus.

use std::time::{Duration, Instant};

use it::cluster::{self, JOINED};
use it::namespace::{self, Namespace};
use it::need::{need, skip};
use it::program::{Launch, Program};
use it::prometheus::Prometheus;
use it::stubs::pages::Pages;
use it::stubs::{page, schemes};
use it::wait;
use rustix::process::Signal;
use serde_json::{Value, json};

/// The longest a caller waits for the word that a node is away.
const TOLD: Duration = Duration::from_secs(6);
/// The longest until a Prometheus that waits a second for its pages reads that a node is away: for ten
/// seconds the hub waits longer for it.
const MISSED: Duration = Duration::from_secs(20);
/// The longest until a node that came back is reached again.
const BACK: Duration = Duration::from_secs(5);

async fn start_hub() -> Program {
    Program::start(&cluster::hub(json!({}))).await
}

fn metrics(name: &str, url: &str) -> Value {
    json!({"metrics": [{"name": name, "url": url, "labels": {"tier": "front"}}]})
}

/// Vector 14: Prometheus scrapes a page that is on the loopback of a namespace which only dials out.
#[tokio::test]
async fn prometheus_scrapes_what_nobody_can_dial() {
    let Some(prometheus) = need("PROMETHEUS") else {
        return;
    };
    if !cluster::may_make_namespaces() {
        return skip("network namespaces need root and iproute2");
    }
    let namespace = Namespace::make();
    let [hub_side, _] = namespace::link(None, &namespace);
    let hub = Program::start(&cluster::hub(json!({"listen": "0.0.0.0:0"}))).await;
    let token = cluster::token(&hub, json!({})).await;
    let section = json!({"name": "web-1", "labels": {"env": "prod"},
        "metrics": [{"name": "web-1-app", "url": "http://127.0.0.1:9100/metrics"}]});
    let proxy = format!("{hub_side}:{}", hub.main.port());
    let mut whole: Value =
        serde_json::from_str(&cluster::node(&proxy, &token.pin, &section)).unwrap();
    whole["listen"] = json!("127.0.0.1:9100");
    let mut launch = Launch::new(&whole.to_string()).file("join.token", &token.text);
    launch.wrapper = namespace.wrapper();
    let mut node = launch.start().await;
    cluster::online(&hub, "web-1").await;
    assert!(
        std::net::TcpStream::connect("127.0.0.1:9100").is_err(),
        "its page is reached from here"
    );
    let configuration = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "nodes", "http_sd_configs": [
            {"url": format!("http://127.0.0.1:{}/v1/gateway/sd", hub.main.port()),
                "refresh_interval": "1s"}]}],
    });
    let prometheus = Prometheus::start(&prometheus, &configuration.to_string()).await;
    wait::until("the node's page is scraped", JOINED, async || {
        prometheus
            .value("up{instance=\"web-1-app\",node=\"web-1\"} == 1")
            .await
    })
    .await;
    let series = prometheus.value("count({node=\"web-1\"})").await;
    assert!(series > Some(5.0), "{series:?}");
    // It dies, and Prometheus reads a 503; it is back, and is scraped again in time.
    node.signal(Signal::KILL);
    node.wait_exit(TOLD).await;
    wait::until("Prometheus is told", MISSED, async || {
        let targets = prometheus.targets().await;
        let told = |target: &Value| target["lastError"].to_string().contains("503");
        targets.iter().any(told).then_some(())
    })
    .await;
    node.restart_wrapped();
    node.ready().await;
    let begun = Instant::now();
    wait::until("it is scraped again", BACK, async || {
        prometheus.value("up{instance=\"web-1-app\"} == 1").await
    })
    .await;
    assert!(begun.elapsed() < BACK, "{:?}", begun.elapsed());
    drop(node);
}

/// A node that is killed is missed at once, and reached again as soon as it is back.
#[tokio::test]
async fn a_node_that_comes_back_is_reached_again() {
    let stub = Pages::start(&[("/metrics", &page(20))]).await;
    let hub = start_hub().await;
    let token = cluster::token(&hub, json!({})).await;
    let mut section = metrics("app", &stub.server.url("/metrics"));
    section["name"] = json!("web-1");
    let mut node = cluster::launch_node(&hub.main.to_string(), &token, &section)
        .start()
        .await;
    cluster::online(&hub, "web-1").await;
    let first = wait::until("the page", JOINED, async || {
        Some(hub.scrape("app").await).filter(|reply| reply.status == 200)
    });
    assert!(first.await.text().contains("stub_family_0"));
    node.signal(Signal::KILL);
    node.wait_exit(TOLD).await;
    let begun = Instant::now();
    let away = wait::until("the word that it is away", TOLD, async || {
        Some(hub.scrape("app").await).filter(|reply| reply.status != 200)
    });
    let away = away.await;
    assert_eq!(away.status, 503, "{}", away.text());
    assert!(
        away.text().contains("web-1") || away.text().contains("no target"),
        "{}",
        away.text()
    );
    assert!(begun.elapsed() < TOLD);
    // The token is used up: it comes back with its key.
    node.restart();
    node.ready().await;
    let begun = Instant::now();
    wait::until("the page again", BACK, async || {
        Some(hub.scrape("app").await).filter(|reply| reply.status == 200)
    })
    .await;
    assert!(begun.elapsed() < BACK);
}

/// What one node offers is nobody else's: another node that offers the name gets nothing of it.
#[tokio::test]
async fn a_node_cannot_take_the_name_of_another() {
    let good = Pages::start(&[("/metrics", "good 1\n")]).await;
    let bad = Pages::start(&[("/metrics", "bad 1\n")]).await;
    let hub = start_hub().await;
    let one = cluster::join(&hub, "web-1", metrics("app", &good.server.url("/metrics"))).await;
    let other = cluster::join(&hub, "aaa", metrics("app", &bad.server.url("/metrics"))).await;
    let reply = hub.scrape("app").await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "good 1\n"));
    let groups = hub.get("/v1/gateway/sd", &[]).await.json();
    let groups = groups.as_array().cloned().unwrap_or_default();
    let is_taken = |group: &&Value| group["labels"]["__metrics_path__"] == "/metrics/app";
    assert_eq!(groups.iter().filter(is_taken).count(), 1, "{groups:?}");
    drop((one, other));
}

/// A gateway's target `via` a node: the login is made here, the connection there.
#[tokio::test]
async fn the_gateway_logs_in_through_the_line() {
    let stub = schemes::header("authorization", "Bearer secret").await;
    let address = stub.address.to_string();
    let target = json!({"name": "shop", "url": stub.url("/metrics"), "via": {"node": "web-1"},
        "auth": {"kind": "bearer", "token": "secret"}});
    let hidden =
        json!({"name": "hidden", "url": "http://127.0.0.1:1/metrics", "via": {"node": "web-1"}});
    let hub = Program::start(&cluster::hub(
        json!({"gateway": {"targets": [target, hidden]}}),
    ))
    .await;
    assert_eq!(hub.scrape("shop").await.status, 503);
    let node = cluster::join(
        &hub,
        "web-1",
        json!({"apps": [{"name": "shop", "tcp": address}]}),
    )
    .await;
    let reply = hub.scrape("shop").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let refused = hub.scrape("hidden").await;
    assert_eq!(refused.status, 503);
    assert!(
        refused.text().contains("node.metrics"),
        "{}",
        refused.text()
    );
    drop(node);
}

//! Vector 12: a real Prometheus that knows only the gateway's address scrapes every target, and
//! promtool finds nothing to complain about.

use std::time::Duration;

use it::configuration;
use it::need::need;
use it::program::Program;
use it::prometheus::{Prometheus, promtool_check};
use it::stubs::pages::Pages;
use it::stubs::{page, schemes, whatsapp::WhatsApp};
use it::wait;
use serde_json::{Value, json};

/// The longest Prometheus may take to have scraped everything.
const SCRAPED: Duration = Duration::from_secs(30);

/// Two clusters, a page with a fixed header, and one target that is down.
async fn start(stubs: &(WhatsApp, Pages)) -> Program {
    let mut other = stubs.0.target("441234567891", &json!("secret"));
    other["labels"] = json!({"customer": "second", "customer_name": "Quote \" and ü"});
    let targets = json!([
        stubs.0.target("441234567890", &json!("secret")),
        other,
        {"name": "shop", "url": stubs.1.server.url("/metrics"), "labels": {"customer": "shop"}},
        {"name": "down", "url": "http://127.0.0.1:1/metrics", "labels": {"customer": "down"}},
    ]);
    Program::start(&configuration::targets(&targets)).await
}

/// The stubs.
async fn stubs() -> (WhatsApp, Pages) {
    (
        WhatsApp::plain().await,
        Pages::start(&[("/metrics", &page(300))]).await,
    )
}

/// The answer of `http_sd` has the documented shape.
#[tokio::test]
async fn discovery_lists_one_target_each() {
    let stubs = stubs().await;
    let program = start(&stubs).await;
    let reply = program.get("/v1/gateway/sd", &[]).await;
    assert_eq!(reply.status, 200);
    assert!(reply.header("content-type").starts_with("application/json"));
    let groups = reply.json();
    let groups = groups.as_array().unwrap();
    assert_eq!(groups.len(), 4, "{groups:?}");
    for group in groups {
        assert_eq!(
            group["targets"].as_array().map(Vec::len),
            Some(1),
            "{group}"
        );
        let labels = group["labels"].as_object().unwrap();
        assert!(labels.values().all(Value::is_string), "{group}");
        assert!(
            labels["__metrics_path__"]
                .as_str()
                .unwrap()
                .starts_with("/metrics/"),
            "{group}"
        );
    }
    let first = groups
        .iter()
        .find(|group| group["labels"]["__metrics_path__"] == "/metrics/441234567890");
    let labels = &first.unwrap()["labels"];
    assert_eq!(labels["customer_name"], "Test company");
    assert_eq!(labels["customer"], "441234567890");
    assert_eq!(first.unwrap()["targets"][0], program.gateway.to_string());
}

/// Prometheus finds all, scrapes all, and sees which one is down.
#[tokio::test]
async fn prometheus_scrapes_all_by_discovery() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let stubs = stubs().await;
    let gateway = start(&stubs).await;
    let configuration = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {"job_name": "gateway", "http_sd_configs": [
                {"url": gateway.url("/v1/gateway/sd"), "refresh_interval": "1s"}]},
            {"job_name": "self", "static_configs": [{"targets": [gateway.main.to_string()]}]},
        ],
    });
    let prometheus = Prometheus::start(&program, &configuration.to_string()).await;
    wait::until("all targets have been scraped", SCRAPED, async || {
        let up = prometheus.value("count(up{job=\"gateway\"} == 1)").await;
        (up == Some(3.0)).then_some(())
    })
    .await;
    wait::until("the program's own page is scraped", SCRAPED, async || {
        prometheus.value("up{job=\"self\"} == 1").await
    })
    .await;
    wait::until("the one that is down was tried", SCRAPED, async || {
        prometheus.value("up{customer=\"down\"} == 0").await
    })
    .await;
    let health = prometheus.query("whatsapp_cluster_health == 1").await;
    assert_eq!(health.len(), 2, "{health:?}");
    let odd = prometheus
        .query("up{customer_name=\"Quote \\\" and ü\"} == 1")
        .await;
    assert_eq!(odd.len(), 1, "{odd:?}");
    let series = prometheus
        .value("count({customer=\"shop\",__name__=~\"stub_family_.*\"})")
        .await;
    assert_eq!(series, Some(300.0));
    for target in prometheus.targets().await {
        let is_down = target["labels"]["customer"] == "down";
        let error = target["lastError"].as_str().unwrap_or_default();
        assert_eq!(error.is_empty(), !is_down, "{target}");
        assert!(!error.contains("401") && !error.contains("403"), "{target}");
    }
    assert!(
        stubs.0.logins() <= 2,
        "one login per target, not {}",
        stubs.0.logins()
    );
}

/// promtool accepts the pages of targets and the program's own.
#[tokio::test]
async fn promtool_has_no_complaint() {
    let Some(promtool) = need("PROMTOOL") else {
        return;
    };
    let stubs = stubs().await;
    let program = start(&stubs).await;
    let cluster = program.scrape("441234567890").await.text();
    // The stub's own names are the vendor's; what the gateway adds must be clean.
    let added = cluster
        .lines()
        .skip_while(|line| !line.contains("whatsapp_cluster_health"));
    let added = added.collect::<Vec<_>>().join("\n") + "\n";
    for page in [
        cluster,
        added,
        program.scrape("shop").await.text(),
        program.metrics().await,
    ] {
        assert_eq!(promtool_check(&promtool, &page), "");
    }
}

/// A page behind a fixed header, scraped by a Prometheus that has no credentials at all.
#[tokio::test]
async fn prometheus_needs_no_credentials() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let stub = schemes::header("authorization", "Apikey k").await;
    let target = json!([{"name": "shop", "url": stub.url("/metrics"),
        "auth": {"kind": "static_header", "scheme": "Apikey", "value": "k"}}]);
    let gateway = Program::start(&configuration::targets(&target)).await;
    let configuration = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "shop", "metrics_path": "/metrics/shop",
            "static_configs": [{"targets": [gateway.gateway.to_string()]}]}],
    });
    let prometheus = Prometheus::start(&program, &configuration.to_string()).await;
    wait::until("the page is scraped", SCRAPED, async || {
        prometheus.value("shop_orders_total == 42").await
    })
    .await;
}

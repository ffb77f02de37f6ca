//! Where lines end: the hub's own certificate, its replacement under load, and the first minute.

use std::time::Duration;

use it::cluster::{self, JOINED};
use it::program::Program;
use it::stubs::page;
use it::stubs::pages::Pages;
use it::wait;
use rustix::process::Signal;
use serde_json::json;

/// A hub that is replaced keeps its nodes: scrapes through the line go on.
#[tokio::test]
async fn nodes_stay_through_a_replacement() {
    let stub = Pages::start(&[("/metrics", &page(20))]).await;
    let hub = Program::start(&cluster::hub(json!({"gateway": {"listen": "127.0.0.1:0"}}))).await;
    let section = json!({"metrics": [{"name": "app", "url": stub.server.url("/metrics")}]});
    let node = cluster::join(&hub, "web-1", section).await;
    wait::until("the page", JOINED, async || {
        (hub.scrape("app").await.status == 200).then_some(())
    })
    .await;
    let old = hub.serving_pid().await;
    hub.signal(Signal::HUP);
    wait::until(
        "the replacement serves",
        Duration::from_secs(30),
        async || {
            let now = hub.serving_pid().await;
            (now.is_some() && now != old).then_some(())
        },
    )
    .await;
    wait::until("the page again", JOINED, async || {
        (hub.scrape("app").await.status == 200).then_some(())
    })
    .await;
    drop(node);
}

/// Without a configuration the process is hub and node, joined through its own line.
#[tokio::test]
async fn the_first_minute_has_a_node() {
    let configuration =
        json!({"listen": "127.0.0.1:0", "data_dir": "./data", "node": {"name": "me"}});
    let program = Program::start(&configuration.to_string()).await;
    cluster::online(&program, "me").await;
    let node = cluster::node_view(&program, "me").await.unwrap();
    assert_eq!(node["lines"], 1, "{node}");
}

//! Peering: three proxies, nodes with a line to some of them only. Every page and application is
//! reached through each, also after one was killed.

use std::time::Duration;

use it::client;
use it::cluster;
use it::need::need;
use it::postgres::Database;
use it::program::{Launch, Program};
use it::stubs::apps::App;
use it::stubs::page;
use it::stubs::pages::Pages;
use it::wait;
use rustix::process::Signal;
use serde_json::{Value, json};

/// The longest until all know of all.
const FOUND: Duration = Duration::from_secs(15);
/// The longest until a proxy that was killed is replaced by another.
const RECOVERED: Duration = Duration::from_secs(30);
const NODES: [&str; 3] = ["web-1", "web-2", "web-3"];

/// Three hubs with one state, whose nodes keep `connections` lines.
async fn hubs(database: &Database, connections: u32) -> Vec<Program> {
    let mut hubs: Vec<Program> = Vec::new();
    for name in ["a", "b", "c"] {
        let strategy = json!({"peering": {"connections": connections}});
        let proxy = json!({"name": name, "strategy": strategy});
        let more = json!({"state": database.url, "proxy": proxy});
        let launch = Launch::new(&cluster::hub(more));
        if let Some(first) = hubs.first() {
            std::fs::create_dir(launch.path("data")).unwrap();
            let key = "data/identity.key";
            std::fs::copy(first.path(key), launch.path(key)).unwrap();
        }
        hubs.push(launch.start().await);
    }
    for hub in &hubs {
        wait::until("three proxies", FOUND, async || {
            let reply = cluster::admin(hub, "GET", "/v1/proxies", "").await.json();
            (reply["proxies"].as_array()?.len() == 3).then_some(())
        })
        .await;
    }
    hubs
}

/// Waits until a page and an application of every node are reached through the hub.
async fn reaches_all(hub: &Program, limit: Duration) {
    let token = std::fs::read_to_string(hub.path("data/admin.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    for node in NODES {
        wait::until(
            &format!("page and application of {node}"),
            limit,
            async || {
                let page = hub.scrape(&format!("{node}-page")).await;
                let url = format!("http://{}/apps/{node}-app/", hub.main);
                let app = client::get(&url, &[("authorization", &bearer)])
                    .await
                    .ok()?;
                (page.status == 200 && app.status == 200).then_some(())
            },
        )
        .await;
    }
}

/// How many of the hubs have a line to the node.
async fn lines(hubs: &[Program], node: &str) -> Option<u32> {
    let mut count = 0;
    for hub in hubs {
        let view = cluster::node_view(hub, node).await?;
        count += u32::from(view["lines"].as_u64()? > 0);
    }
    Some(count)
}

async fn peers(connections: u32) {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    let mut hubs = hubs(&database, connections).await;
    let pages = Pages::start(&[("/metrics", &page(10))]).await;
    let app = App::http().await;
    let mut nodes = Vec::new();
    for node in NODES {
        let section: Value = json!({
            "apps": [{"name": format!("{node}-app"), "url": format!("http://{}", app.address)}],
            "metrics": [{"name": format!("{node}-page"), "url": pages.server.url("/metrics")}],
        });
        nodes.push(cluster::join(&hubs[0], node, section).await);
    }
    for hub in &hubs {
        reaches_all(hub, FOUND).await;
    }
    for node in NODES {
        wait::until(&format!("the lines of {node}"), FOUND, async || {
            (lines(&hubs, node).await? == connections).then_some(())
        })
        .await;
    }
    // The one that has a line to the first node, whichever it is.
    let mut held = 0;
    for (at, hub) in hubs.iter().enumerate() {
        let view = cluster::node_view(hub, NODES[0]).await.unwrap();
        if view["lines"].as_u64().unwrap() > 0 {
            held = at;
        }
    }
    let mut killed = hubs.remove(held);
    killed.signal(Signal::KILL);
    killed.wait_exit(FOUND).await;
    for hub in &hubs {
        reaches_all(hub, RECOVERED).await;
    }
    killed.restart();
    killed.ready().await;
    reaches_all(&killed, RECOVERED).await;
    drop(nodes);
    database.remove().await;
}

#[tokio::test]
async fn one_line_is_enough_for_three_proxies() {
    peers(1).await;
}

#[tokio::test]
async fn two_lines_are_kept_of_three() {
    peers(2).await;
}

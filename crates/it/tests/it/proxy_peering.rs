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

use crate::locks;

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

/// Which hub has a line to the node.
async fn holder(hubs: &[Program], node: &str) -> usize {
    for (at, hub) in hubs.iter().enumerate() {
        let view = cluster::node_view(hub, node).await.unwrap();
        if view["lines"].as_u64().unwrap() > 0 {
            return at;
        }
    }
    panic!("no hub has a line to {node}");
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
    let held = holder(&hubs, NODES[0]).await;
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

/// A proxy that is locked loses also what others pass on for it: it may be in the wrong hands, so the
/// others see to that.
#[tokio::test]
async fn nothing_is_passed_on_for_a_locked_proxy() {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    let hubs = hubs(&database, 1).await;
    let echo = App::echo().await;
    let apps = json!([{"name": "db", "tcp": echo.address.to_string()}]);
    let node = cluster::join(&hubs[0], "web-1", json!({"apps": apps})).await;
    wait::until("a line", FOUND, async || {
        (lines(&hubs, "web-1").await? == 1).then_some(())
    })
    .await;
    let held = holder(&hubs, "web-1").await;
    let (asked, other) = ((held + 1) % 3, (held + 2) % 3);
    let connect = "POST /v1/apps/db/connect";
    let mut streams = Vec::new();
    for at in [asked, other] {
        let token = std::fs::read_to_string(hubs[at].path("data/admin.token")).unwrap();
        let found = wait::until("the application", FOUND, async || {
            let (stream, status) = locks::open(&hubs[at], connect, token.trim()).await;
            (status == "101").then_some(stream)
        });
        streams.push(found.await);
    }
    let name = ["a", "b", "c"][asked];
    let lock = [
        "locks",
        "add",
        "--proxy-name",
        name,
        "--reason",
        "taken over",
    ];
    cluster::run(&hubs[other], &lock);
    locks::ends(&mut streams[0], FOUND).await;
    locks::echoes(&mut streams[1]).await;
    drop(node);
    database.remove().await;
}

//! A hub and a node as real programs with a relay between them: the node knows the relay's address
//! only, and the hub tells it no other.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::client::Reply;
use crate::cluster::{self, JOINED};
use crate::proc;
use crate::program::Program;
use crate::relay::Relay;
use crate::stubs::pages::Pages;
use crate::wait;

/// The target that the node `web-1` offers.
pub const TARGET: &str = "web-1-app";

/// Hub, relay, node, and the page behind the node.
#[derive(Debug)]
pub struct Relayed {
    /// With the roles `auth`, `proxy` and `gateway`.
    pub hub: Program,
    /// Between them.
    pub relay: Relay,
    /// With the role `node`, called `web-1`.
    pub node: Program,
    /// What the node scrapes.
    pub pages: Pages,
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Open descriptors.
    pub descriptors: usize,
    /// Tasks.
    pub tasks: f64,
    /// Resident memory, KiB.
    pub rss_kib: u64,
}

impl Relayed {
    /// Starts all of it and waits until the hub serves the node's page.
    pub async fn start() -> Self {
        Self::start_with(json!({})).await
    }

    /// The same with further keys in the hub's configuration.
    pub async fn start_with(more: Value) -> Self {
        let pages = Pages::start(&[("/metrics", "web_up 1\n")]).await;
        let relay = Relay::start(&[]);
        let hub = start_hub_with(relay.address, more).await;
        relay.set_upstreams(vec![hub.main.to_string()]);
        let node = start_node(&hub, &relay, &pages).await;
        let relayed = Self {
            hub,
            relay,
            node,
            pages,
        };
        let served = wait::within(JOINED, async || {
            (relayed.scrape().await.status == 200).then_some(())
        });
        assert!(served.await.is_some(), "{}", relayed.logs());
        relayed
    }

    /// The node's page at the hub.
    pub async fn scrape(&self) -> Reply {
        self.hub.scrape(TARGET).await
    }

    /// What the hub and the node hold, in this order.
    pub async fn held(&self) -> [Held; 2] {
        [held(&self.hub).await, held(&self.node).await]
    }

    /// What both have said.
    pub fn logs(&self) -> String {
        format!("hub:\n{}\nnode:\n{}", self.hub.stderr(), self.node.stderr())
    }
}

async fn held(program: &Program) -> Held {
    Held {
        descriptors: proc::descriptors(program.pid()),
        tasks: program.metric("landline_tasks", &[]).await,
        rss_kib: program.rss_kib().unwrap_or_default(),
    }
}

/// A hub that nodes reach at `public`.
pub async fn start_hub(public: SocketAddr) -> Program {
    start_hub_with(public, json!({})).await
}

async fn start_hub_with(public: SocketAddr, mut more: Value) -> Program {
    more["gateway"] = json!({"listen": "127.0.0.1:0"});
    more["public_addr"] = json!(public.to_string());
    Program::start(&cluster::hub(more)).await
}

/// A node `web-1` that joins the hub through the relay.
pub async fn start_node(hub: &Program, relay: &Relay, pages: &Pages) -> Program {
    let token = cluster::token(hub, json!({})).await;
    let page = json!({"name": TARGET, "url": pages.server.url("/metrics")});
    let section = json!({"name": "web-1", "metrics": [page]});
    let launch = cluster::launch_node(&relay.address.to_string(), &token, &section);
    launch.start().await
}

/// Says what was measured, for who runs the tests with their output shown.
pub fn note(measured: &str) {
    println!("{measured}");
}

//! A hub and a node as real programs with a relay between them: the node knows the relay's address
//! only, and the hub tells it no other.

use std::net::SocketAddr;
use std::time::Duration;

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

/// The longest until what a fault needed is given back.
const RELEASE_LIMIT: Duration = Duration::from_secs(20);
/// Descriptors that may come and go: the eight connections that a client keeps to one server, a dial, a
/// connection of the test.
const SPARE_DESCRIPTORS: usize = 10;
/// Tasks that may: the streams of eight kept connections for each of two proxies, and a dial.
const SPARE_TASKS: f64 = 20.0;
/// What the allocator may keep.
const SPARE_KIB: u64 = 12 << 10;

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
        Self::start_all(json!({}), json!([])).await
    }

    /// The same with further keys in the hub's configuration.
    pub async fn start_with(more: Value) -> Self {
        Self::start_all(more, json!([])).await
    }

    /// The same with applications that the node offers.
    pub async fn start_with_apps(apps: Value) -> Self {
        Self::start_all(json!({}), apps).await
    }

    async fn start_all(more: Value, apps: Value) -> Self {
        let pages = Pages::start(&[("/metrics", "web_up 1\n")]).await;
        let relay = Relay::start(&[]);
        let hub = start_hub_with(relay.address, more).await;
        relay.set_upstreams(vec![hub.main.to_string()]);
        let node = start_node_with(&hub, &relay, &pages, apps).await;
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

    /// The hub and the node, in this order.
    pub fn programs(&self) -> [&Program; 2] {
        [&self.hub, &self.node]
    }

    /// What they hold.
    pub async fn held(&self) -> Vec<Held> {
        held(&self.programs()).await
    }

    /// Both hold about what they held before.
    pub async fn assert_released(&self, what: &str, before: &[Held]) {
        assert_released(what, &self.programs(), before).await;
    }

    /// What both have said.
    pub fn logs(&self) -> String {
        format!("hub:\n{}\nnode:\n{}", self.hub.stderr(), self.node.stderr())
    }
}

/// What programs hold now, each in the process that serves for it: another one after a replacement.
pub async fn held(programs: &[&Program]) -> Vec<Held> {
    let mut all = Vec::new();
    for program in programs {
        let pid = program.serving_pid().await.unwrap_or(program.pid());
        all.push(Held {
            descriptors: proc::descriptors(pid),
            tasks: program.metric("landline_tasks", &[]).await,
            rss_kib: proc::rss_kib(pid).unwrap_or_default(),
        });
    }
    all
}

/// Waits until programs hold about what they held before, each in one process.
pub async fn assert_released(what: &str, programs: &[&Program], before: &[Held]) {
    let mut after = Vec::new();
    let is_released = wait::within(RELEASE_LIMIT, async || {
        after = held(programs).await;
        let mut pairs = before.iter().zip(&after);
        let is_back = pairs.all(|(before, after)| {
            after.descriptors <= before.descriptors + SPARE_DESCRIPTORS
                && after.tasks <= before.tasks + SPARE_TASKS
                && after.rss_kib <= before.rss_kib + SPARE_KIB
        });
        let mut generations = programs.iter().map(|program| program.generations().len());
        (is_back && generations.all(|count| count == 1)).then_some(())
    });
    let is_released = is_released.await.is_some();
    note(&format!("{what}: held before {before:?}, after {after:?}"));
    assert!(is_released, "{what}: before {before:?}, after {after:?}");
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
    start_node_with(hub, relay, pages, json!([])).await
}

async fn start_node_with(hub: &Program, relay: &Relay, pages: &Pages, apps: Value) -> Program {
    let token = cluster::token(hub, json!({})).await;
    let page = json!({"name": TARGET, "url": pages.server.url("/metrics")});
    let section = json!({"name": "web-1", "metrics": [page], "apps": apps});
    let launch = cluster::launch_node(&relay.address.to_string(), &token, &section);
    launch.start().await
}

/// Says what was measured, for who runs the tests with their output shown.
pub fn note(measured: &str) {
    println!("{measured}");
}

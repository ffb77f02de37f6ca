//! A hub and a node as real programs with a relay between them: the node knows the relay's address
//! only, and the hub tells it no other.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::client::{self, Reply};
use crate::program::{Launch, Program};
use crate::relay::Relay;
use crate::stubs::pages::Pages;
use crate::wait;
use crate::{configuration, proc};

/// The longest that joining may take on a busy machine.
const JOIN_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

/// The target that the node offers.
pub const TARGET: &str = "web-1-app";

/// Hub, relay, node, and the page behind the node.
#[derive(Debug)]
pub struct Cluster {
    /// With the roles `auth`, `proxy` and `gateway`.
    pub hub: Program,
    /// Between them.
    pub relay: Relay,
    /// With the role `node`.
    pub node: Program,
    /// What the node scrapes.
    pub pages: Pages,
}

/// What both processes hold.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Open descriptors.
    pub descriptors: usize,
    /// Tasks.
    pub tasks: f64,
    /// Resident memory, KiB.
    pub rss_kib: u64,
}

impl Cluster {
    /// Starts all of it and waits until the hub serves the node's page.
    pub async fn start() -> Self {
        let pages = Pages::start(&[("/metrics", "web_up 1\n")]).await;
        let relay = Relay::start(&[]).await;
        let hub = start_hub(relay.address).await;
        relay.set_upstreams(vec![hub.main.to_string()]);
        let node = start_node(&hub, relay.address, &pages).await;
        let cluster = Self {
            hub,
            relay,
            node,
            pages,
        };
        cluster.until_served().await;
        cluster
    }

    /// Waits until the hub serves the node's page.
    pub async fn until_served(&self) {
        let served = wait::within(JOIN_LIMIT, async || {
            let reply = self.scrape().await;
            (reply.status == 200).then_some(())
        });
        if served.await.is_none() {
            panic!(
                "the node's page is not served\nhub:\n{}\nnode:\n{}",
                self.hub.stderr(),
                self.node.stderr()
            );
        }
    }

    /// The node's page at the hub.
    pub async fn scrape(&self) -> Reply {
        self.hub.scrape(TARGET).await
    }

    /// What the hub and the node hold, in this order.
    pub async fn held(&self) -> [Held; 2] {
        [held(&self.hub).await, held(&self.node).await]
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
    let top = json!({
        "cluster": "home",
        "roles": ["auth", "proxy", "gateway"],
        "public_addr": public.to_string(),
    });
    let text = configuration::with(top, json!({}));
    Launch::new(&text).start().await
}

/// A node `web-1` that joins the hub through `proxy`.
pub async fn start_node(hub: &Program, proxy: SocketAddr, pages: &Pages) -> Program {
    let (token, pin) = join_token(hub).await;
    let text = json!({
        "roles": ["node"],
        "listen": "127.0.0.1:0",
        "data_dir": "./data",
        "join": {
            "proxy": proxy.to_string(),
            "token": {"file": "join.token"},
            "ca_pin": pin,
        },
        "node": {
            "name": "web-1",
            "metrics": [{"name": TARGET, "url": pages.server.url("/metrics")}],
        },
    });
    let launch = Launch::new(&text.to_string()).file("join.token", &token);
    launch.start().await
}

/// A join token for one node, and the pin of the hub's authority.
pub async fn join_token(hub: &Program) -> (String, String) {
    let secret = std::fs::read_to_string(hub.path("data/admin.token")).unwrap();
    let bearer = format!("Bearer {}", secret.trim());
    let url = format!("http://{}/v1/tokens", hub.main);
    let body = json!({"roles": ["node"], "ttl_seconds": 3600, "uses": 1}).to_string();
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let reply = client::send("POST", &url, &headers, &body).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer: Value = reply.json();
    let word = |key: &str| answer[key].as_str().unwrap().to_owned();
    (word("token"), word("ca_pin"))
}

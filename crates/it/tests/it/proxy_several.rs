//! Several proxies that share one PostgreSQL: they find one another, nodes find all of them, and what
//! one of them does not hold it reaches over another.

use std::time::{Duration, Instant};

use it::cluster;
use it::gate::Gate;
use it::need::need;
use it::postgres::Database;
use it::program::{Launch, Program};
use it::stubs::page;
use it::stubs::pages::Pages;
use it::wait::{self, SOON};
use rustix::process::Signal;
use serde_json::{Value, json};

/// The longest until nodes and proxies know of a new proxy.
const FOUND: Duration = Duration::from_secs(10);
/// The longest until a proxy that was killed is out of every list.
const GONE: Duration = Duration::from_secs(10);
/// The longest a caller waits for the word that something is away.
const TOLD: Duration = Duration::from_secs(6);

/// Two hubs with one state and one key.
pub(crate) struct Pair {
    pub(crate) database: Database,
    /// What stands between the hubs and the server.
    gate: Gate,
    pub(crate) first: Program,
    pub(crate) second: Program,
}

impl Pair {
    /// None, and a skipped test, without a server.
    async fn start() -> Option<Self> {
        Self::start_with(&json!({"name": "second"})).await
    }

    /// The same with this section `proxy` of the second one.
    pub(crate) async fn start_with(second: &Value) -> Option<Self> {
        let database = Database::create(&need("POSTGRES_URL")?).await;
        let mut url = url::Url::parse(&database.url).unwrap();
        let address = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let gate = Gate::start(address.parse().unwrap()).await;
        url.set_port(Some(gate.address.port())).unwrap();
        let first = hub(&json!({"name": "first"}), url.as_str()).start().await;
        let second = hub(second, url.as_str());
        std::fs::create_dir(second.path("data")).unwrap();
        let key = "data/identity.key";
        std::fs::copy(first.path(key), second.path(key)).unwrap();
        let second = second.start().await;
        let pair = Self {
            database,
            gate,
            first,
            second,
        };
        for hub in [&pair.first, &pair.second] {
            listed(hub, &["first", "second"], FOUND).await;
        }
        Some(pair)
    }
}

fn hub(proxy: &Value, database: &str) -> Launch {
    let more = json!({"state": database, "proxy": proxy});
    Launch::new(&cluster::hub(more))
}

fn metrics(name: &str, url: &str) -> Value {
    json!({"metrics": [{"name": name, "url": url}]})
}

/// Waits until the hub lists exactly these proxies.
pub(crate) async fn listed(hub: &Program, names: &[&str], limit: Duration) {
    wait::until(&format!("the proxies are {names:?}"), limit, async || {
        let reply = cluster::admin(hub, "GET", "/v1/proxies", "").await.json();
        let proxies = reply["proxies"].as_array()?;
        let mut found: Vec<&str> = proxies
            .iter()
            .filter_map(|proxy| proxy["name"].as_str())
            .collect();
        found.sort_unstable();
        (found == names).then_some(())
    })
    .await;
}

/// A proxy as this hub lists it.
async fn proxy_view(hub: &Program, name: &str) -> Option<Value> {
    let reply = cluster::admin(hub, "GET", "/v1/proxies", "").await.json();
    let mut proxies = reply["proxies"].as_array()?.iter();
    proxies.find(|proxy| proxy["name"] == name).cloned()
}

/// Waits until a node has a line to this very hub.
pub(crate) async fn has_line(hub: &Program, node: &str) {
    wait::until(&format!("a line of {node}"), FOUND, async || {
        let node = cluster::node_view(hub, node).await?;
        (node["lines"].as_u64()? > 0).then_some(())
    })
    .await;
}

/// Waits until the page comes from this hub.
pub(crate) async fn serves(hub: &Program, name: &str) {
    wait::until(&format!("the page {name}"), FOUND, async || {
        let reply = hub.scrape(name).await;
        (reply.status == 200 && reply.text().contains("stub_family_0")).then_some(())
    })
    .await;
}

/// A node that joined one proxy is found at both, also when one is killed; and the killed one comes
/// back without anybody's help.
#[tokio::test]
async fn a_node_reaches_every_proxy_and_outlives_one() {
    let Some(mut pair) = Pair::start().await else {
        return;
    };
    let stub = Pages::start(&[("/metrics", &page(20))]).await;
    let section = metrics("app", &stub.server.url("/metrics"));
    let node = cluster::join(&pair.first, "web-1", section).await;
    for hub in [&pair.first, &pair.second] {
        has_line(hub, "web-1").await;
        serves(hub, "app").await;
    }
    for (name, is_own) in [("first", true), ("second", false)] {
        // Of the other one the state tells, a moment later.
        let view = wait::until("its line is known", FOUND, async || {
            let view = proxy_view(&pair.first, name).await?;
            (view["lines"] == 1).then_some(view)
        });
        let view = view.await;
        assert_eq!(view["is_own"], is_own, "{view}");
        assert_eq!(view["state"], "online", "{view}");
        let round_trip = view["round_trip_us"].as_u64();
        assert_eq!(round_trip.is_some_and(|trip| trip > 0), !is_own, "{view}");
        assert_eq!(view["last_error"], json!(null), "{view}");
    }
    pair.first.signal(Signal::KILL);
    let killed = Instant::now();
    pair.first.wait_exit(TOLD).await;
    serves(&pair.second, "app").await;
    listed(&pair.second, &["second"], GONE).await;
    assert!(killed.elapsed() < GONE, "{:?}", killed.elapsed());
    // The list of nodes is read anew right after that of proxies.
    wait::until("its lines went with it", SOON, async || {
        let view = cluster::node_view(&pair.second, "web-1").await?;
        (view["elsewhere"] == json!([])).then_some(())
    })
    .await;
    serves(&pair.second, "app").await;

    pair.first.restart();
    pair.first.ready().await;
    listed(&pair.second, &["first", "second"], FOUND).await;
    has_line(&pair.first, "web-1").await;
    assert_eq!(
        cluster::log(&node).matches("announcement refused").count(),
        0
    );
    drop(node);
    pair.database.remove().await;
}

/// A node that reaches one proxy only is scraped at the other all the same; what is refused at the end
/// of the way, and that the node is away, is told in time.
#[tokio::test]
async fn a_proxy_reaches_over_another_what_it_does_not_hold() {
    // Nobody listens where the second one says that it is.
    let second = json!({"name": "second", "addresses": ["127.0.0.1:1"], "generation": 1});
    let Some(pair) = Pair::start_with(&second).await else {
        return;
    };
    let stub = Pages::start(&[("/metrics", &page(20))]).await;
    let section = metrics("app", &stub.server.url("/metrics"));
    let mut node = cluster::join(&pair.first, "web-1", section).await;
    serves(&pair.second, "app").await;
    let view = cluster::node_view(&pair.second, "web-1").await.unwrap();
    assert_eq!(
        (&view["lines"], &view["state"], &view["elsewhere"]),
        (&json!(0), &json!("online"), &json!(["first"]))
    );
    for (hub, gauges) in [
        (&pair.first, ["lines 1", "elsewhere 0"]),
        (&pair.second, ["lines 0", "elsewhere 1"]),
    ] {
        let metrics = hub.metrics().await;
        for gauge in gauges.iter().chain(&["offline 0"]) {
            let line = format!("\nlandline_nodes_{gauge}");
            assert!(metrics.contains(&line), "{gauge}: {metrics}");
        }
    }
    let opened = "landline_nodes_opening_seconds_count";
    let opened = pair.second.metric(opened, &[("way", "proxy")]).await;
    assert!(opened >= 1.0, "{opened}");
    let view = proxy_view(&pair.first, "second").await.unwrap();
    assert_eq!(view["state"], "unreachable", "{view}");
    assert_eq!(view["generation"], 1, "{view}");
    let error = view["last_error"].as_str().unwrap();
    assert!(error.contains("127.0.0.1:1: "), "{error}");
    let listed = pair.first.command(&["proxies", "ls"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("unreachable") && listed.contains(error),
        "{listed}"
    );
    node.signal(Signal::KILL);
    node.wait_exit(TOLD).await;
    let away = wait::until("the word that it is away", TOLD, async || {
        let reply = pair.second.scrape("app").await;
        // What was under way on a kept connection when the node died is a broken answer of the peer.
        assert!([502, 503].contains(&reply.status), "{}", reply.text());
        (reply.status == 503).then_some(reply)
    });
    let away = away.await.text();
    assert!(away.contains("web-1"), "{away}");
    node.restart();
    node.ready().await;
    serves(&pair.second, "app").await;
    pair.database.remove().await;
}

/// While the database is away, lines go on and nobody is taken for gone; afterwards all is as before.
#[tokio::test]
async fn the_state_may_be_away_for_a_while() {
    let Some(pair) = Pair::start().await else {
        return;
    };
    let stub = Pages::start(&[("/metrics", &page(20))]).await;
    let section = metrics("app", &stub.server.url("/metrics"));
    let node = cluster::join(&pair.first, "web-1", section).await;
    for hub in [&pair.first, &pair.second] {
        has_line(hub, "web-1").await;
        serves(hub, "app").await;
    }
    pair.gate.set_open(false);
    let end = Instant::now() + Duration::from_secs(9);
    while Instant::now() < end {
        for hub in [&pair.first, &pair.second] {
            assert_eq!(hub.scrape("app").await.status, 200);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    pair.gate.set_open(true);
    tokio::time::sleep(Duration::from_secs(9)).await;
    for hub in [&pair.first, &pair.second] {
        listed(hub, &["first", "second"], FOUND).await;
        let view = cluster::node_view(hub, "web-1").await.unwrap();
        assert_eq!(view["elsewhere"].as_array().map(Vec::len), Some(1));
        let log = cluster::log(hub);
        assert!(!log.contains("gone without a word"), "{log}");
        assert!(!log.contains("line to a node ended"), "{log}");
    }
    drop(node);
    pair.database.remove().await;
}

/// A proxy that ends in order is out of the list at once.
#[tokio::test]
async fn a_proxy_that_leaves_says_so() {
    let Some(mut pair) = Pair::start().await else {
        return;
    };
    pair.second.signal(Signal::QUIT);
    listed(&pair.first, &["first"], Duration::from_secs(3)).await;
    assert_eq!(pair.second.wait_exit(TOLD * 2).await, 0);
    assert!(!cluster::log(&pair.first).contains("gone without a word"));
    pair.database.remove().await;
}

/// A fresh process knows what the nodes offer before one of them has a line: it answers 503, not 404.
#[tokio::test]
async fn a_restart_forgets_no_target() {
    let stub = Pages::start(&[("/metrics", &page(20))]).await;
    let mut hub = Program::start(&cluster::hub(json!({}))).await;
    let section = metrics("app", &stub.server.url("/metrics"));
    let mut node = cluster::join(&hub, "web-1", section).await;
    serves(&hub, "app").await;
    // What is new about a node is written a moment later.
    tokio::time::sleep(Duration::from_secs(1)).await;
    node.signal(Signal::KILL);
    node.wait_exit(TOLD).await;
    hub.signal(Signal::KILL);
    hub.wait_exit(TOLD).await;
    hub.restart();
    hub.ready().await;
    let reply = hub.scrape("app").await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.text().contains("web-1"), "{}", reply.text());
    let view = cluster::node_view(&hub, "web-1").await.unwrap();
    assert_eq!(view["state"], "offline");
    // Nor does a replacement, not even for a moment.
    let old = hub.serving_pid().await;
    hub.signal(Signal::HUP);
    wait::until("the replacement serves alone", FOUND * 3, async || {
        assert_eq!(hub.scrape("app").await.status, 503);
        let is_new = hub.serving_pid().await != old;
        (is_new && hub.generations().len() == 1).then_some(())
    })
    .await;
    assert_eq!(hub.scrape("app").await.status, 503);
    // The old process has signed off itself only.
    listed(&hub, &[&proxy_name(&hub).await], FOUND).await;
}

/// The name that the hub gave itself.
async fn proxy_name(hub: &Program) -> String {
    let reply = cluster::admin(hub, "GET", "/v1/proxies", "").await.json();
    reply["proxies"][0]["name"].as_str().unwrap().to_owned()
}

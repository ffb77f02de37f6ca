//! A machine that gets out only through an HTTP proxy that wants a login: a real one, on a machine between
//! it and the hub.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use it::cluster::{self, JOINED};
use it::namespace::{self, Namespace};
use it::need::{need, skip};
use it::program::{Launch, Program};
use it::prometheus::free_port;
use it::stubs::pages::Pages;
use it::tinyproxy::{IDLE_SECONDS, PASSWORD, Tinyproxy, USER};
use it::wait::{self, SOON};
use serde_json::json;

/// Where the proxy listens.
const PORT: u16 = 8888;
/// The longest until the line is back after the proxy is: dials are up to 8 s apart.
const BACK: Duration = Duration::from_secs(30);
/// What stands in the log of a node for each line.
const LINE: &str = "line to a proxy proxy=";

/// Three machines in a row: the hub's, which is this one; the proxy's; and the node's, which reaches the
/// proxy's alone.
struct Row {
    hub: Program,
    /// Where the hub is for both others.
    at: String,
    /// The address of the proxy's machine that the hub sees.
    seen: String,
    proxy: SocketAddr,
    program: String,
    // Last: what runs there has to end before.
    between: Namespace,
    inside: Namespace,
}

impl Row {
    /// None, and a skipped test, without what it needs.
    async fn start() -> Option<Self> {
        let program = need("TINYPROXY")?;
        if !cluster::may_make_namespaces() {
            skip("network namespaces need root and iproute2");
            return None;
        }
        let (between, inside) = (Namespace::make(), Namespace::make());
        let [near, seen] = namespace::link(None, &between);
        let [proxy, _] = namespace::link(Some(&between), &inside);
        let at = format!("{near}:{}", free_port());
        let (_, port) = at.split_once(':').unwrap();
        let more = json!({"listen": format!("0.0.0.0:{port}"), "public_addr": at});
        let hub = Program::start(&cluster::hub(more)).await;
        assert!(between.connect(&at).is_ok(), "the hub is not reached");
        assert!(inside.connect(&at).is_err(), "the hub is reached directly");
        Some(Self {
            hub,
            at,
            seen: seen.to_string(),
            proxy: SocketAddr::from((proxy, PORT)),
            program,
            between,
            inside,
        })
    }

    /// A proxy that lets clients connect to the port of the hub.
    async fn proxy(&self) -> Tinyproxy {
        let place = (&self.between, self.proxy);
        Tinyproxy::start(&self.program, place, self.hub.main.port(), &self.inside).await
    }

    /// The proxy's URL with this before the host.
    fn url(&self, login: &str) -> String {
        format!("http://{login}{}", self.proxy)
    }

    /// A node on a machine, with these values of `HTTPS_PROXY` and `NO_PROXY`.
    async fn launch(&self, machine: &Namespace, name: &str, egress: (&str, &str)) -> Launch {
        let token = cluster::token(&self.hub, json!({})).await;
        let page = json!({"name": format!("{name}-app"), "url": "http://127.0.0.1:9100/metrics"});
        let section = json!({"name": name, "metrics": [page]});
        let mut launch = cluster::launch_node(&self.at, &token, &section)
            .variable("HTTPS_PROXY", egress.0)
            .variable("NO_PROXY", egress.1);
        launch.wrapper = machine.wrapper();
        // Small letters would come first, and the environment of the tests may have them.
        let env = ["env", "-u", "https_proxy", "-u", "no_proxy"];
        launch.wrapper.extend(env.map(str::to_owned));
        launch
    }

    async fn scrapes(&self, name: &str, limit: Duration) {
        let target = format!("{name}-app");
        wait::until(&format!("the page of {name}"), limit, async || {
            let reply = self.hub.scrape(&target).await;
            (reply.status == 200 && reply.text() == "web_up 1\n").then_some(())
        })
        .await;
    }
}

/// Waits until the node has said all these words in one line of its log.
async fn says(node: &Program, words: &[&str]) {
    let said = wait::within(JOINED, async || {
        let log = node.stderr();
        let mut lines = log.lines();
        lines.find(|line| words.iter().all(|word| line.contains(word)))?;
        Some(())
    });
    assert!(said.await.is_some(), "{words:?}\n{}", node.stderr());
}

/// It joins and keeps its line through the proxy, also longer than the proxy bears silence, and is back
/// when the proxy is.
#[tokio::test]
async fn a_node_lives_behind_a_proxy_with_a_login() {
    let Some(row) = Row::start().await else {
        return;
    };
    let page = row.inside.listen("127.0.0.1:9100");
    let _page = Pages::start_on(page, &[("/metrics", "web_up 1\n")]);
    let proxy = row.proxy().await;
    let url = row.url(&format!("{USER}:{PASSWORD}@"));
    let launch = row.launch(&row.inside, "web-1", (&url, ""));
    let node = launch.await.start().await;
    cluster::online(&row.hub, "web-1").await;
    row.scrapes("web-1", JOINED).await;
    let view = cluster::node_view(&row.hub, "web-1").await.unwrap();
    let remote = view["remote"].as_str().unwrap();
    assert!(remote.starts_with(&format!("{}:", row.seen)), "{view}");
    // To join, and for each of the two lanes.
    assert!(proxy.asked(&row.at) >= 3, "{}", proxy.log());

    tokio::time::sleep(Duration::from_secs(IDLE_SECONDS + 6)).await;
    row.scrapes("web-1", SOON).await;
    let log = node.stderr();
    assert_eq!(log.matches(LINE).count(), 1, "{log}\n{}", proxy.log());

    drop(proxy);
    wait::until("the line is gone", SOON, async || {
        let view = cluster::node_view(&row.hub, "web-1").await?;
        (view["lines"] == 0).then_some(())
    })
    .await;
    let egress = format!("egress proxy {} to {}", row.proxy, row.at);
    says(&node, &["no line to a proxy", &egress, "refused"]).await;
    let _proxy = row.proxy().await;
    let begun = Instant::now();
    row.scrapes("web-1", BACK).await;
    it::relayed::note(&format!("back after {:?}", begun.elapsed()));
    assert!(!node.stderr().contains(PASSWORD), "{}", node.stderr());
}

/// Who has no login or a wrong one stays out, as does who wants to go where the proxy leads nobody; the
/// log says which it is, and never the password.
#[tokio::test]
async fn a_proxy_that_refuses_is_named() {
    let Some(row) = Row::start().await else {
        return;
    };
    let proxy = row.proxy().await;
    let other = SocketAddr::new(row.proxy.ip(), PORT + 1);
    let place = (&row.between, other);
    let elsewhere = Tinyproxy::start(&row.program, place, 1, &row.inside).await;
    let good = format!("{USER}:{PASSWORD}@");
    let cases = [
        ("web-1", row.url(""), "407"),
        ("web-2", row.url(&format!("{USER}:wrong-word@")), "401"),
        ("web-3", format!("http://{good}{other}"), "403"),
    ];
    for (name, url, status) in &cases {
        let node = row.launch(&row.inside, name, (url, "")).await.start().await;
        let at = url.rsplit_once(['@', '/']).unwrap().1;
        says(&node, &["egress proxy", at, &row.at, status]).await;
        let log = node.stderr();
        for secret in ["wrong-word", PASSWORD] {
            assert!(!log.contains(secret), "{log}");
        }
        assert!(!log.contains(LINE), "{log}");
        assert!(cluster::node_view(&row.hub, name).await.is_none());
    }
    assert!(proxy.asked(&row.at) >= 2, "{}", proxy.log());
    assert!(elsewhere.asked(&row.at) >= 1, "{}", elsewhere.log());
}

/// What `NO_PROXY` names is dialled straight: where that leads to the hub, and where it leads nowhere.
#[tokio::test]
async fn exceptions_go_straight() {
    let Some(row) = Row::start().await else {
        return;
    };
    let page = row.between.listen("127.0.0.1:9100");
    let _page = Pages::start_on(page, &[("/metrics", "web_up 1\n")]);
    let proxy = row.proxy().await;
    let (host, _) = row.at.split_once(':').unwrap();
    // Nothing listens there: only the exception leads out.
    let nowhere = "http://127.0.0.1:1";
    let network = format!("example.net, {host}/30");
    let launch = row.launch(&row.between, "web-1", (nowhere, &network));
    let straight = launch.await.start().await;
    cluster::online(&row.hub, "web-1").await;
    row.scrapes("web-1", JOINED).await;
    assert!(!straight.stderr().contains("egress proxy"));

    let url = row.url(&format!("{USER}:{PASSWORD}@"));
    let launch = row.launch(&row.inside, "web-2", (&url, host));
    let lost = launch.await.start().await;
    says(&lost, &[&format!("connect to {}", row.at)]).await;
    assert!(!lost.stderr().contains("egress proxy"), "{}", lost.stderr());
    assert_eq!(proxy.asked(&row.at), 0, "{}", proxy.log());
    assert!(cluster::node_view(&row.hub, "web-2").await.is_none());
}

//! Lines on a bad network: the real hub and the real node with the relay between them. Whatever the
//! network does, who scrapes gets an answer in time that says what is wrong, the lines come back when
//! the network does, and nothing is left over. The faults of one test run side by side, each with a
//! cluster of its own: most of the time is waiting.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use it::cluster;
use it::load::Load;
use it::need::need;
use it::postgres::Database;
use it::proc;
use it::program::{Launch, Program, send_signal};
use it::relay::{Mode, Relay};
use it::relayed::{self, Relayed, note};
use it::stubs::apps::App;
use it::stubs::pages::{Page, Pages};
use it::wait::{self, SOON};
use rustix::process::Signal;
use serde_json::json;

use crate::locks;

/// The longest until an answer, good or bad.
const ANSWER_LIMIT: Duration = Duration::from_secs(6);
/// The longest until a scrape is good again after the network is.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
/// How long a fault lasts after the first error: long enough for lines to be given up and dialled
/// in vain.
const FAULT: Duration = Duration::from_secs(7);
/// What to check, as errors say it.
const CHECKS: &[&str] = &[
    "check that machine's power and network",
    "check the machine's power and network",
];

/// A fault, and what an operator has to read of it.
struct Fault {
    mode: &'static str,
    /// One of these stands in every error.
    says: &'static [&'static str],
}

/// What a fault did.
#[derive(Debug)]
struct Seen {
    first_error: Duration,
    slowest: Duration,
    recovery: Duration,
    texts: Vec<String>,
}

/// Runs one fault from a good scrape to a good scrape.
async fn suffer(fault: &Fault) {
    let cluster = Relayed::start().await;
    let before = cluster.held().await;
    let seen = watch(&cluster, fault).await;
    note(&format!(
        "{}: first error after {:?}, slowest answer {:?}, good again after {:?}: {:#?}",
        fault.mode, seen.first_error, seen.slowest, seen.recovery, seen.texts
    ));
    assert!(
        seen.slowest <= ANSWER_LIMIT,
        "{}: {seen:?}\n{}",
        fault.mode,
        cluster.logs()
    );
    for text in &seen.texts {
        let is_told = fault.says.iter().any(|words| text.contains(words));
        assert!(is_told, "{}: {text:?}\n{}", fault.mode, cluster.logs());
    }
    cluster.assert_released(fault.mode, &before).await;
}

/// Scrapes while the fault lasts, heals, and scrapes until it is good.
async fn watch(cluster: &Relayed, fault: &Fault) -> Seen {
    let mut seen = Seen {
        first_error: Duration::ZERO,
        slowest: Duration::ZERO,
        recovery: Duration::ZERO,
        texts: Vec::new(),
    };
    cluster.relay.set(fault.mode.parse().unwrap());
    let begun = Instant::now();
    let mut first_error = None;
    while first_error.is_none_or(|at: Duration| begun.elapsed() < at + FAULT) {
        let reply = cluster.scrape().await;
        seen.slowest = seen.slowest.max(reply.elapsed);
        if reply.status == 200 {
            assert!(begun.elapsed() < ANSWER_LIMIT, "{}: no effect", fault.mode);
        } else {
            first_error.get_or_insert(begun.elapsed());
            assert!(reply.status >= 500, "{}: {}", reply.status, reply.reason());
            if !seen.texts.contains(&reply.reason()) {
                seen.texts.push(reply.reason());
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    seen.first_error = first_error.unwrap_or_default();
    cluster.relay.set(Mode::Pass);
    let healed = Instant::now();
    let what = format!("{}: good again: {:?}", fault.mode, seen.texts);
    wait::until(&what, RECOVERY_LIMIT, async || {
        let reply = cluster.scrape().await;
        seen.slowest = seen.slowest.max(reply.elapsed);
        (reply.status == 200).then_some(())
    })
    .await;
    seen.recovery = healed.elapsed();
    seen
}

/// Runs the faults side by side.
async fn suffer_all(faults: &[Fault]) {
    join_all(faults.iter().map(suffer)).await;
}

/// Connections are broken, and new ones as well.
#[tokio::test]
async fn cut_lines_are_told_and_come_back() {
    let says = CHECKS;
    suffer_all(&["reset", "finish", "refuse", "hang"].map(|mode| Fault { mode, says })).await;
}

/// Nothing arrives any more, and nobody is told.
#[tokio::test]
async fn silent_losses_are_told_and_come_back() {
    let says = CHECKS;
    suffer_all(&["black-hole", "lose-up", "lose-down", "drip=20"].map(|mode| Fault { mode, says }))
        .await;
}

/// Whoever waits for an answer already when the path falls silent is told as soon as whoever asks then.
/// A target that takes its time is waited for.
#[tokio::test]
async fn who_waits_already_is_told() {
    let modes = ["black-hole", "lose-up", "lose-down"];
    tokio::join!(
        join_all(modes.map(silence_under_way)),
        a_slow_target_is_waited_for()
    );
}

async fn silence_under_way(mode: &str) {
    let cluster = Relayed::start().await;
    let before = cluster.held().await;
    cluster.pages.set("/metrics", Page::Hang);
    let (reply, begun) = tokio::join!(cluster.scrape(), async {
        // The request is at the target, and the pings of its way there are answered.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        cluster.relay.set(mode.parse().unwrap());
        Instant::now()
    });
    let (waited, text) = (begun.elapsed(), reply.reason());
    note(&format!(
        "{mode} under way: {} after {waited:?}: {text}",
        reply.status
    ));
    assert!(
        waited <= ANSWER_LIMIT,
        "{mode}: {waited:?}\n{}",
        cluster.logs()
    );
    assert!(reply.status >= 500, "{mode}: {} {text}", reply.status);
    let is_told = CHECKS.iter().any(|words| text.contains(words));
    assert!(is_told, "{mode}: {text:?}\n{}", cluster.logs());
    cluster
        .pages
        .set("/metrics", Page::Text("web_up 1\n".to_owned()));
    cluster.relay.set(Mode::Pass);
    wait::until("good again", RECOVERY_LIMIT, async || {
        (cluster.scrape().await.status == 200).then_some(())
    })
    .await;
    cluster.assert_released(mode, &before).await;
}

async fn a_slow_target_is_waited_for() {
    let cluster = Relayed::start().await;
    let slow = Page::Slow(Duration::from_secs(8), "web_up 1\n".to_owned());
    cluster.pages.set("/metrics", slow);
    let reply = cluster.scrape().await;
    assert_eq!(reply.status, 200, "{}\n{}", reply.reason(), cluster.logs());
    assert_eq!(
        cluster
            .node
            .stderr()
            .matches("line to a proxy proxy=")
            .count(),
        1
    );
}

/// A load balancer that ends TLS leaves HTTP only: the lines go through it as WebSockets, and straight
/// again when it is gone.
#[tokio::test]
async fn stripped_alpn_is_gone_around() {
    let cluster = Relayed::start().await;
    let before = cluster.held().await;
    let downgraded = cluster::audit(&cluster.hub, "line.downgraded").await;
    assert!(downgraded.is_empty(), "{downgraded:?}");
    let lines = |via: &str| {
        let log = cluster.node.stderr();
        log.lines()
            .filter(|line| line.contains("line to a proxy") && line.contains(via))
            .count()
    };
    for (mode, via) in [(Mode::StripAlpn, "WebSocket"), (Mode::Pass, "Direct")] {
        let begun = Instant::now();
        let had = lines(via);
        cluster.relay.set(mode);
        cluster.relay.reset();
        wait::until(&format!("a line by {via}"), RECOVERY_LIMIT, async || {
            (lines(via) > had).then_some(())
        })
        .await;
        wait::until("a good scrape", RECOVERY_LIMIT, async || {
            let reply = cluster.scrape().await;
            assert!(reply.elapsed <= ANSWER_LIMIT, "{reply:?}");
            (reply.status == 200).then_some(())
        })
        .await;
        note(&format!(
            "{mode}: good by {via} after {:?}",
            begun.elapsed()
        ));
        assert!(begun.elapsed() <= RECOVERY_LIMIT);
    }
    let downgraded = cluster::audit(&cluster.hub, "line.downgraded").await;
    assert_eq!(downgraded[0]["outcome"], "refused");
    assert_eq!(downgraded[0]["target"], "node:web-1");
    cluster.assert_released("strip-alpn", &before).await;
}

/// Something that forgets idle connections never finds one: pings come more often. Where it forgets
/// even faster, what it cuts is told or made anew.
#[tokio::test]
async fn idle_cuts_do_no_harm() {
    tokio::join!(a_cut_above_the_pings(), a_cut_below_the_pings());
}

async fn a_cut_above_the_pings() {
    let cluster = Relayed::start().await;
    let dialled = cluster.relay.accepted();
    cluster.relay.set("idle-cut=12".parse().unwrap());
    tokio::time::sleep(Duration::from_secs(26)).await;
    assert_eq!(cluster.scrape().await.status, 200);
    assert_eq!(
        cluster.relay.accepted(),
        dialled,
        "{}",
        cluster.node.stderr()
    );
}

/// The same with the minute that most load balancers have: a line that nobody uses outlives it, and so
/// does a connection over a line.
#[tokio::test]
async fn an_idle_cut_of_a_minute_does_no_harm() {
    tokio::join!(outlive_a_minute(false), outlive_a_minute(true));
}

async fn outlive_a_minute(has_connection: bool) {
    const MINUTE: Duration = Duration::from_mins(1);
    let echo = App::echo().await;
    let apps = json!([{"name": "db", "tcp": echo.address.to_string()}]);
    let cluster = Relayed::start_with_apps(apps).await;
    let before = cluster.held().await;
    let mut connection = None;
    if has_connection {
        let token = std::fs::read_to_string(cluster.hub.path("data/admin.token")).unwrap();
        let connect = "POST /v1/apps/db/connect";
        let (mut stream, status) = locks::open(&cluster.hub, connect, token.trim()).await;
        assert_eq!(status, "101");
        locks::echoes(&mut stream).await;
        connection = Some(stream);
    }
    cluster.relay.set(Mode::IdleCut { after: MINUTE });
    tokio::time::sleep(MINUTE + Duration::from_secs(12)).await;
    let mut slowest = Duration::ZERO;
    wait::until("good again", RECOVERY_LIMIT, async || {
        let reply = cluster.scrape().await;
        slowest = slowest.max(reply.elapsed);
        (reply.status == 200).then_some(())
    })
    .await;
    assert!(slowest <= ANSWER_LIMIT, "{slowest:?}\n{}", cluster.logs());
    // It was kept, not made anew: what is open on it goes on.
    let lines = cluster.node.stderr();
    let lines = lines.matches("line to a proxy proxy=").count();
    assert_eq!(lines, 1, "{}", cluster.logs());
    if let Some(mut stream) = connection {
        let echoed = tokio::time::timeout(ANSWER_LIMIT, locks::echoes(&mut stream)).await;
        assert!(echoed.is_ok(), "{}", cluster.logs());
    }
    cluster.assert_released("idle-cut=60", &before).await;
}

async fn a_cut_below_the_pings() {
    let cluster = Relayed::start().await;
    let before = cluster.held().await;
    cluster.relay.set("idle-cut=2".parse().unwrap());
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        let reply = cluster.scrape().await;
        assert!(reply.elapsed <= ANSWER_LIMIT, "{reply:?}");
        let is_told = reply.status == 200 || reply.text().contains("node web-1");
        assert!(is_told, "{}", reply.text());
        note(&format!(
            "idle-cut=2: {} after {:?}",
            reply.status, reply.elapsed
        ));
    }
    cluster.relay.set(Mode::Pass);
    wait::until("good again", RECOVERY_LIMIT, async || {
        (cluster.scrape().await.status == 200).then_some(())
    })
    .await;
    cluster.assert_released("idle-cut=2", &before).await;
}

/// A hub is replaced while its nodes are scraped on kept and fresh connections: nobody notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_is_replaced_under_scrapes() {
    let cluster = Relayed::start().await;
    let hub = &cluster.hub;
    let before = cluster.held().await;
    let load = Load {
        address: hub.gateway,
        path: format!("/metrics/{}", relayed::TARGET),
        expected: "web_up 1".to_owned(),
        kept: 4,
        fresh: 4,
        interval: Duration::from_millis(200),
    };
    let running = load.start();
    let mut pid = hub.pid();
    for replacement in 1..=2 {
        let begun = Instant::now();
        send_signal(pid, Signal::HUP);
        wait::until("the old one has let go", RECOVERY_LIMIT, async || {
            (!proc::is_alive(pid)).then_some(())
        })
        .await;
        let log = cluster.node.stderr();
        let lines = log.matches("line to a proxy proxy=").count();
        assert_eq!(lines, 1 + replacement, "back before it lets go\n{log}");
        note(&format!("replaced after {:?}", begun.elapsed()));
        let new = wait::until("the new one answers", SOON, async || {
            hub.serving_pid().await
        });
        let new = new.await;
        assert_ne!(new, pid);
        pid = new;
    }
    let tally = running.finish().await;
    note(&format!("{tally:?}"));
    let logs = cluster.logs();
    assert!(
        tally.bad.is_empty() && tally.good > 100,
        "{tally:?}\n{logs}"
    );
    cluster.assert_released("replaced", &before).await;
}

/// Behind a balancer that leads every other connection to a hub of another cluster no line comes to
/// that one, dials that fail say why, and all is well once the balancer is put right.
#[tokio::test]
async fn a_hub_of_another_cluster_gets_no_line() {
    let pages = Pages::start(&[("/metrics", "web_up 1\n")]).await;
    let relay = Relay::start(&[]);
    let hubs = [
        relayed::start_hub(relay.address).await,
        relayed::start_hub(relay.address).await,
    ];
    relay.set_upstreams(vec![hubs[0].main.to_string()]);
    let node = relayed::start_node(&hubs[0], &relay, &pages).await;
    let good = async || hubs[0].scrape(relayed::TARGET).await.status == 200;
    wait::until("a line to the right hub", RECOVERY_LIMIT, async || {
        good().await.then_some(())
    })
    .await;
    let programs = [&hubs[0], &hubs[1], &node];
    let before = relayed::held(&programs).await;
    relay.set_upstreams(hubs.iter().map(|hub| hub.main.to_string()).collect());
    relay.reset();
    // Now and then all connections of a dial lead to the right one; what fails says why.
    let dialled = relay.accepted();
    wait::until("some dials", RECOVERY_LIMIT, async || {
        (relay.accepted() > dialled + 4).then_some(())
    })
    .await;
    let log = node.stderr();
    for line in log
        .lines()
        .filter(|line| line.contains("no line to a proxy"))
    {
        assert!(
            line.contains("tls with") || line.contains("hello"),
            "{line}"
        );
    }
    assert!(cluster::node_view(&hubs[1], "web-1").await.is_none());
    assert_eq!(hubs[1].scrape(relayed::TARGET).await.status, 404);
    relay.set_upstreams(vec![hubs[0].main.to_string()]);
    let healed = Instant::now();
    wait::until("the right hub again", RECOVERY_LIMIT, async || {
        good().await.then_some(())
    })
    .await;
    note(&format!("good again after {:?}", healed.elapsed()));
    relayed::assert_released("another cluster", &programs, &before).await;
}

/// Hubs of one cluster behind a balancer that is all the node can dial, and that takes strict turns:
/// with an even number of them the lanes of a line never meet by themselves.
#[tokio::test]
async fn round_robin_over_hubs_of_one_cluster() {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    tokio::join!(round_robin(&admin, 2), round_robin(&admin, 4));
}

async fn round_robin(admin: &str, count: usize) {
    let database = Database::create(admin).await;
    let pages = Pages::start(&[("/metrics", "web_up 1\n")]).await;
    let relay = Relay::start(&[]);
    let mut hubs: Vec<Program> = Vec::new();
    for number in 0..count {
        let more = json!({
            "state": database.url,
            "public_addr": relay.address.to_string(),
            "proxy": {"name": format!("proxy-{number}")},
        });
        let launch = Launch::new(&cluster::hub(more));
        if let Some(first) = hubs.first() {
            let key = "data/identity.key";
            std::fs::create_dir(launch.path("data")).unwrap();
            std::fs::copy(first.path(key), launch.path(key)).unwrap();
        }
        hubs.push(launch.start().await);
    }
    relay.set_upstreams(hubs.iter().map(|hub| hub.main.to_string()).collect());
    let node = relayed::start_node(&hubs[0], &relay, &pages).await;
    have_lines(&hubs, &node).await;
    let programs: Vec<&Program> = hubs.iter().chain([&node]).collect();
    let before = relayed::held(&programs).await;
    // Everything is drawn anew, and what was drawn in vain is given back.
    let ended = |hub: &Program| hub.stderr().matches("line to a node ended").count();
    for _ in 0..2 {
        let had: Vec<usize> = hubs.iter().map(ended).collect();
        relay.reset();
        for (hub, had) in hubs.iter().zip(had) {
            wait::until("the line has ended", SOON, async || {
                (ended(hub) > had).then_some(())
            })
            .await;
        }
        have_lines(&hubs, &node).await;
    }
    let what = format!("round robin over {count}");
    relayed::assert_released(&what, &programs, &before).await;
    drop((node, hubs));
    database.remove().await;
}

/// Waits until each hub has a line to the node and serves its page.
async fn have_lines(hubs: &[Program], node: &Program) {
    let begun = Instant::now();
    let count = hubs.len();
    for hub in hubs {
        let what = format!("a line to each of {count}\n{}", node.stderr());
        wait::until(&what, RECOVERY_LIMIT, async || {
            let view = cluster::node_view(hub, "web-1").await?;
            (view["lines"].as_u64()? > 0).then_some(())
        })
        .await;
        // What a node offers comes over its line, just after it.
        wait::until("the target is known", RECOVERY_LIMIT, async || {
            let reply = hub.scrape(relayed::TARGET).await;
            (reply.status == 200).then_some(())
        })
        .await;
    }
    note(&format!(
        "round robin over {count}: lines to all after {:?}",
        begun.elapsed()
    ));
}

//! Two proxies of one cluster that are replaced one after the other while their node is scraped: each by
//! its own next process, and each by another proxy beside it. A request that fails says why, in time.

use std::net::SocketAddr;
use std::time::Duration;

use it::cluster;
use it::load::{Load, Running, Tally};
use it::proc;
use it::program::{Launch, Program, send_signal};
use it::relay::Relay;
use it::relayed::{self, note};
use it::stubs::page;
use it::stubs::pages::Pages;
use it::wait::{self, SOON};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::proxy_several::{Pair, has_line, listed, serves};

/// The longest until an answer, good or bad.
const ANSWER_LIMIT: Duration = Duration::from_secs(6);
/// The longest until all is well after a change.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
/// The longest until a process has let go: it waits 30 s for what others keep open on its lines, such as
/// the connection of another proxy that had no line for a moment.
const LET_GO_LIMIT: Duration = Duration::from_secs(45);
/// How long nothing fails when all is well.
const STEADY: Duration = Duration::from_secs(2);
/// The page of the node.
const TARGET: &str = "app";

/// A load on the page.
fn load(address: SocketAddr, kept: usize) -> Running {
    let load = Load {
        address,
        path: format!("/metrics/{TARGET}"),
        expected: "stub_family_0".to_owned(),
        kept,
        fresh: 4,
        interval: Duration::from_millis(200),
    };
    load.start()
}

fn section(pages: &Pages) -> Value {
    json!({"metrics": [{"name": TARGET, "url": pages.server.url("/metrics")}]})
}

fn failures(tally: &Tally) -> usize {
    tally.bad.values().sum()
}

/// Waits until nothing fails any more.
async fn all_answer(loads: &[&Running]) {
    let count = || -> Vec<usize> {
        let tallies = loads.iter().map(|load| load.tally());
        tallies.map(|tally| failures(&tally)).collect()
    };
    wait::until("all requests are answered", RECOVERY_LIMIT, async || {
        let before = count();
        tokio::time::sleep(STEADY).await;
        (count() == before).then_some(())
    })
    .await;
}

/// Most requests were answered, and the others were told why, all of them in time.
async fn assert_told(what: &str, load: Running, logs: &[&Program]) {
    let tally = load.finish().await;
    note(&format!("{what}: {tally:?}"));
    let logs = || -> String {
        let logs = logs.iter().map(|program| program.stderr());
        logs.collect::<Vec<_>>().join("\n\n")
    };
    assert!(
        tally.slowest <= ANSWER_LIMIT,
        "{what}: {tally:?}\n{}",
        logs()
    );
    for failure in tally.bad.keys() {
        // A status of ours with a reason, and no connection that just broke.
        let told = failure.strip_prefix("wrong: 5");
        let reason = told.and_then(|told| Some(told.split_once(' ')?.1));
        let is_told = reason.is_some_and(|reason| reason.contains(TARGET));
        assert!(is_told, "{what}: {failure:?}\n{}", logs());
    }
    let is_mostly_good = tally.good > 100 && failures(&tally) * 4 < tally.good;
    assert!(is_mostly_good, "{what}: {tally:?}\n{}", logs());
}

/// Each by its next process, as an update of the program does it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn next_processes_take_over_one_by_one() {
    let Some(pair) = Pair::start_with(&json!({"name": "second"})).await else {
        return;
    };
    let pages = Pages::start(&[("/metrics", &page(20))]).await;
    let node = cluster::join(&pair.first, "web-1", section(&pages)).await;
    let hubs = [&pair.first, &pair.second];
    for hub in hubs {
        has_line(hub, "web-1").await;
        serves(hub, TARGET).await;
    }
    let programs = [&pair.first, &pair.second, &node];
    let before = relayed::held(&programs).await;
    let [first, second] = hubs.map(|hub| load(hub.main, 4));
    for hub in hubs {
        let old = hub.serving_pid().await.unwrap();
        send_signal(old, Signal::HUP);
        wait::until("the old process has let go", LET_GO_LIMIT, async || {
            (!proc::is_alive(old)).then_some(())
        })
        .await;
        let new = wait::until("the next one answers", SOON, async || {
            hub.serving_pid().await
        });
        assert_ne!(new.await, old);
    }
    all_answer(&[&first, &second]).await;
    for hub in hubs {
        listed(hub, &["first", "second"], RECOVERY_LIMIT).await;
        has_line(hub, "web-1").await;
    }
    for (what, load) in [("the first", first), ("the second", second)] {
        assert_told(what, load, &programs).await;
    }
    relayed::assert_released("next processes", &programs, &before).await;
    drop(node);
    pair.database.remove().await;
}

/// Each by another proxy on another port, behind a balancer that is told: nodes follow, and forget those
/// that are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_proxies_take_over_one_by_one() {
    let Some(mut pair) = Pair::start_with(&json!({"name": "second"})).await else {
        return;
    };
    let pages = Pages::start(&[("/metrics", &page(20))]).await;
    let node = cluster::join(&pair.first, "web-1", section(&pages)).await;
    for hub in [&pair.first, &pair.second] {
        has_line(hub, "web-1").await;
        serves(hub, TARGET).await;
    }
    let before = relayed::held(&[&node]).await;
    let balancer = Relay::start(&[pair.first.main, pair.second.main]);
    let load = load(balancer.address, 0);

    let third = join_them(&pair, "third", &["first", "second", "third"]).await;
    balance(&balancer, &[&pair.second, &third]).await;
    pair.first.signal(Signal::QUIT);
    assert_eq!(pair.first.wait_exit(RECOVERY_LIMIT).await, 0);
    listed(&third, &["second", "third"], SOON).await;

    let fourth = join_them(&pair, "fourth", &["fourth", "second", "third"]).await;
    balance(&balancer, &[&third, &fourth]).await;
    pair.second.signal(Signal::QUIT);
    assert_eq!(pair.second.wait_exit(RECOVERY_LIMIT).await, 0);
    for hub in [&third, &fourth] {
        listed(hub, &["fourth", "third"], SOON).await;
        has_line(hub, "web-1").await;
    }
    all_answer(&[&load]).await;
    assert_told("the balancer", load, &[&third, &fourth, &node]).await;
    // Those that are gone are dialled no more.
    let dials = || node.stderr().matches("no line to a proxy").count();
    wait::until("no dial fails any more", RECOVERY_LIMIT, async || {
        let before = dials();
        // Longer than the longest pause between two dials.
        tokio::time::sleep(Duration::from_secs(9)).await;
        (dials() == before).then_some(())
    })
    .await;
    relayed::assert_released("other proxies", &[&node], &before).await;
    drop(node);
    pair.database.remove().await;
}

/// Starts a further proxy, and waits until all know of it and the node has a line to it.
async fn join_them(pair: &Pair, name: &str, all: &[&str]) -> Program {
    let more = json!({"state": pair.database.url, "proxy": {"name": name}});
    let launch = Launch::new(&cluster::hub(more));
    let key = "data/identity.key";
    std::fs::create_dir(launch.path("data")).unwrap();
    // The first one may have ended; what it wrote is there.
    std::fs::copy(pair.first.path(key), launch.path(key)).unwrap();
    let program = launch.start().await;
    listed(&program, all, RECOVERY_LIMIT).await;
    has_line(&program, "web-1").await;
    serves(&program, TARGET).await;
    program
}

/// Leads new connections to these, and waits until nobody is at another one.
async fn balance(balancer: &Relay, hubs: &[&Program]) {
    balancer.set_upstreams(hubs.iter().map(|hub| hub.main.to_string()).collect());
    wait::until("what was under way is answered", SOON, async || {
        (balancer.open() == 0).then_some(())
    })
    .await;
}

//! Replacing the authorities while everything runs: nothing fails on the way, everybody ends with
//! certificates of the new one, and the old one opens nothing any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use it::cluster::{self, refused, run};
use it::curl::curl;
use it::need::need;
use it::postgres::Database;
use it::program::{Launch, Program};
use it::relay::Mode;
use it::relayed::Relayed;
use it::stubs::apps::App;
use it::stubs::page;
use it::stubs::pages::Pages;
use it::wait::{self, SOON};
use rustix::process::Signal;
use serde_json::{Value, json};

/// The longest a whole rotation takes with a few nodes: they renew within 5 s.
const ROTATED: Duration = Duration::from_secs(40);

/// What `landline authorities ls` says of one kind.
async fn authority(hub: &Program, kind: &str) -> Value {
    let reply = cluster::admin(hub, "GET", "/v1/authorities", "")
        .await
        .json();
    let mut all = reply["authorities"].as_array().unwrap().iter();
    all.find(|one| one["kind"] == kind).unwrap().clone()
}

async fn in_phase(hub: &Program, phase: &str, limit: Duration) {
    let reached = wait::within(limit, async || {
        (authority(hub, "x509").await["phase"] == phase).then_some(())
    });
    let is_reached = reached.await.is_some();
    let stands = authority(hub, "x509").await;
    assert!(is_reached, "not in {phase}: {stands}\n{}", hub.stderr());
}

/// Waits until nothing keeps the next phase.
async fn nobody_is_waited_for(hub: &Program) {
    wait::until("everybody knows", ROTATED, async || {
        (authority(hub, "x509").await["waits_for"] == json!([])).then_some(())
    })
    .await;
}

/// What a node keeps of its membership.
fn member(node: &Program) -> Value {
    let text = std::fs::read_to_string(node.path("data/node/member.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Requests that go on until they are told to stop: pages through the gateway and an application,
/// each over the line. Gives how many were good, and what was not.
async fn ask(hub: &Program, token: &str, stop: &AtomicBool) -> (usize, Vec<String>) {
    let good = AtomicUsize::new(0);
    let url = format!("http://{}/apps/api/", hub.main);
    let bearer = format!("Bearer {token}");
    let mut bad = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let headers = [("authorization", bearer.as_str())];
        let (page, app) = tokio::join!(hub.scrape("app"), it::client::get(&url, &headers));
        let app = app.unwrap();
        for reply in [page, app] {
            if reply.status == 200 {
                good.fetch_add(1, Ordering::Relaxed);
            } else {
                bad.push(format!("{} {}", reply.status, reply.text()));
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (good.into_inner(), bad)
}

/// The whole way, by itself: no request fails, the node has a certificate of the new authority, the
/// old one's certificate opens nothing, and the node stays a member with its old configuration.
#[tokio::test]
async fn an_authority_is_replaced_without_a_failed_request() {
    let stub = Pages::start(&[("/metrics", &page(5))]).await;
    let app = App::http().await;
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let section = json!({
        "metrics": [{"name": "app", "url": stub.server.url("/metrics")}],
        "apps": [{"name": "api", "url": format!("http://{}", app.address)}],
    });
    let mut node = cluster::join(&hub, "web-1", section).await;
    run(&hub, &["users", "add", "anna", "--role", "operator"]);
    let words = ["tokens", "add", "--role", "api", "--user", "anna", "--json"];
    let issued: Value = serde_json::from_str(&run(&hub, &words)).unwrap();
    let token = issued["token"].as_str().unwrap().to_owned();
    wait::until("the page", SOON, async || {
        (hub.scrape("app").await.status == 200).then_some(())
    })
    .await;
    let before = member(&node);
    let old = authority(&hub, "x509").await["public"].clone();
    let stop = Arc::new(AtomicBool::new(false));
    let rotating = async {
        run(&hub, &["authorities", "rotate", "--auto"]);
        in_phase(&hub, "standby", ROTATED).await;
        // With what was dialled meanwhile.
        tokio::time::sleep(Duration::from_secs(2)).await;
        stop.store(true, Ordering::Relaxed);
    };
    let ((good, bad), ()) = tokio::join!(ask(&hub, &token, &stop), rotating);
    assert!(
        bad.is_empty(),
        "{} failed: {:?}\n{}",
        bad.len(),
        bad.first(),
        hub.stderr()
    );
    assert!(good > 100, "{good} requests");
    it::relayed::note(&format!("{good} requests during a rotation, none failed"));
    let new = authority(&hub, "x509").await["public"].clone();
    assert_eq!(new.as_array().unwrap().len(), 1);
    assert_ne!(new, old);
    let after = member(&node);
    assert_ne!(after["certificate"], before["certificate"]);
    assert_eq!(after["trust"]["authorities"].as_array().unwrap().len(), 1);
    assert_ne!(
        after["trust"]["authorities"],
        before["trust"]["authorities"]
    );
    assert!(node.stderr().contains("way=\"line\""), "{}", node.stderr());
    let phases = cluster::audit(&hub, "authority.rotated").await;
    assert_eq!(phases.len(), 4, "{phases:?}");

    // Lines that were made with old certificates have gone on; new ones are made with the new.
    node.signal(Signal::KILL);
    node.wait_exit(SOON).await;
    node.restart();
    node.ready().await;
    wait::until("the page after a restart", SOON, async || {
        (hub.scrape("app").await.status == 200).then_some(())
    })
    .await;
    assert!(!node.stderr().contains("joining anew"), "{}", node.stderr());
    opens_only_with(&hub, &node, &before, &after).await;
}

/// Of two certificates of one key the hub's door takes the newer one only.
async fn opens_only_with(hub: &Program, node: &Program, before: &Value, after: &Value) {
    let Some(program) = need("CURL") else { return };
    let key = node.path("data/node/key.pem");
    let key = key.to_str().unwrap();
    let url = format!("https://127.0.0.1:{}/healthz", hub.main.port());
    for (member, status) in [(after, 200), (before, 0)] {
        node.write("client.pem", member["certificate"].as_str().unwrap());
        let certificate = node.path("client.pem");
        let words = [
            "-k",
            "--cert",
            certificate.to_str().unwrap(),
            "--key",
            key,
            &url,
        ];
        assert_eq!(curl(&program, &words).await.0, status);
    }
}

/// Step by step: a phase waits for a node that is away and names it, force goes over it, and back is
/// possible from every phase on the way.
#[tokio::test]
async fn a_rotation_waits_for_those_it_would_cut_off() {
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let mut node = cluster::join(&hub, "web-1", json!({})).await;
    let before = authority(&hub, "x509").await["public"].clone();
    node.signal(Signal::KILL);
    node.wait_exit(SOON).await;
    run(&hub, &["authorities", "rotate", "--to", "init"]);
    // The hub says for itself that it knows.
    wait::until("only the node is missing", SOON, async || {
        let waits = authority(&hub, "x509").await["waits_for"].clone();
        let text = waits[0].as_str()?;
        text.ends_with("yet: web-1").then_some(())
    })
    .await;
    let listed = run(&hub, &["authorities", "ls"]);
    assert!(
        listed.contains("init") && listed.contains("web-1"),
        "{listed}"
    );
    let next = ["authorities", "rotate", "--to", "update_clients"];
    let why = refused(&hub, &next);
    assert!(why.contains("web-1"), "{why}");
    let skipped = refused(&hub, &["authorities", "rotate", "--to", "standby"]);
    assert!(skipped.contains("the next steps are"), "{skipped}");
    node.restart();
    node.ready().await;
    nobody_is_waited_for(&hub).await;
    run(&hub, &next);
    // It has a certificate of the new authority when nothing but servers is left to change.
    run(&hub, &["authorities", "rotate"]);
    nobody_is_waited_for(&hub).await;
    run(&hub, &["authorities", "rotate", "--rollback"]);
    let rolled = authority(&hub, "x509").await;
    assert_eq!(rolled["phase"], "rollback");
    nobody_is_waited_for(&hub).await;
    run(&hub, &["authorities", "rotate", "--auto"]);
    in_phase(&hub, "standby", SOON).await;
    assert_eq!(authority(&hub, "x509").await["public"], before);
    cluster::online(&hub, "web-1").await;
}

/// The keys of assertions: a new one signs at once, the old one is still told.
#[tokio::test]
async fn keys_of_assertions_are_replaced() {
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let keys = async || {
        let url = format!("http://{}/.well-known/jwks.json", hub.main);
        let reply = it::client::get(&url, &[]).await.unwrap().json();
        let keys = reply["keys"].as_array().unwrap().clone();
        keys.into_iter()
            .map(|key| key["kid"].clone())
            .collect::<Vec<_>>()
    };
    let before = keys().await;
    assert_eq!(before.len(), 1);
    run(&hub, &["authorities", "rotate", "jwt"]);
    let after = keys().await;
    assert_eq!(after.len(), 2);
    assert_eq!(after[1], before[0]);
    assert_eq!(authority(&hub, "jwt").await["public"][0], after[0]);
    let why = refused(&hub, &["authorities", "rotate", "jwt", "--to", "init"]);
    assert!(why.contains("no phases"), "{why}");
}

/// Behind a front that ends TLS the node reaches its hub by WebSocket only, and renews over its line:
/// when the authority changes, and at half the life of its certificate.
#[tokio::test]
async fn certificates_are_renewed_over_a_line_through_a_front() {
    let identity = json!({"identity": {"certificate_life": "2m"}});
    let cluster = Relayed::start_with(identity).await;
    let renewals = || {
        let log = cluster.node.stderr();
        let lines = log.lines().filter(|line| line.contains("new certificate"));
        let (over, direct): (Vec<_>, Vec<_>) =
            lines.partition(|line| line.contains("way=\"line\""));
        (over.len(), direct.len())
    };
    cluster.relay.set(Mode::StripAlpn);
    cluster.relay.reset();
    wait::until("a line by WebSocket", ROTATED, async || {
        cluster.node.stderr().contains("WebSocket").then_some(())
    })
    .await;
    let hub = &cluster.hub;
    let had = renewals();
    run(hub, &["authorities", "rotate", "--auto"]);
    in_phase(hub, "standby", ROTATED).await;
    assert!(renewals().0 > had.0, "{}", cluster.logs());
    let first = member(&cluster.node)["certificate"].clone();
    wait::until("the renewal at half its life", ROTATED, async || {
        (member(&cluster.node)["certificate"] != first).then_some(())
    })
    .await;
    assert_eq!(renewals().1, had.1, "{}", cluster.logs());
    assert_eq!(cluster.scrape().await.status, 200);
}

/// Two hubs with one state: whichever is asked, both and their nodes follow, and pages come through
/// both all the time.
#[tokio::test]
async fn an_authority_is_replaced_at_two_hubs() {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    let key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let hub = |name: &str| {
        let identity = json!({"key": {"file": "sealing.key"}});
        let more = json!({"state": database.url, "identity": identity, "proxy": {"name": name}});
        Launch::new(&cluster::hub(more)).file("sealing.key", key)
    };
    let (first, second) = (hub("first").start().await, hub("second").start().await);
    let stub = Pages::start(&[("/metrics", &page(5))]).await;
    let section = json!({"metrics": [{"name": "app", "url": stub.server.url("/metrics")}]});
    let node = cluster::join(&first, "web-1", section).await;
    for hub in [&first, &second] {
        wait::until("a line, and the page", ROTATED, async || {
            let lines = cluster::node_view(hub, "web-1").await?["lines"].as_u64()?;
            (lines > 0 && hub.scrape("app").await.status == 200).then_some(())
        })
        .await;
    }
    let before = member(&node);
    let stop = AtomicBool::new(false);
    let scraping = async {
        let mut bad = Vec::new();
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            let (one, other) = tokio::join!(first.scrape("app"), second.scrape("app"));
            count += 2;
            let failed = [one, other].into_iter().filter(|reply| reply.status != 200);
            bad.extend(failed.map(|reply| reply.text()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (count, bad)
    };
    let rotating = async {
        run(&second, &["authorities", "rotate", "--auto"]);
        in_phase(&first, "standby", ROTATED).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        stop.store(true, Ordering::Relaxed);
    };
    let ((count, bad), ()) = tokio::join!(scraping, rotating);
    assert!(
        bad.is_empty(),
        "{} of {count} failed: {:?}",
        bad.len(),
        bad.first()
    );
    it::relayed::note(&format!(
        "{count} scrapes through two hubs during a rotation, none failed"
    ));
    assert_ne!(member(&node)["certificate"], before["certificate"]);
    assert_eq!(
        authority(&first, "x509").await["public"],
        authority(&second, "x509").await["public"]
    );
    // What is passed on between the two proxies uses their new certificates.
    for hub in [&first, &second] {
        assert!(hub.stderr().contains("this proxy has a new certificate"));
    }
    drop((node, first, second));
    database.remove().await;
}

/// A hub with another key than the one that sealed the state says what to do, and what it has is not
/// in its words.
#[tokio::test]
async fn a_wrong_sealing_key_is_told_with_its_remedy() {
    let mut hub = Program::start(&cluster::hub(json!({}))).await;
    let key = std::fs::read_to_string(hub.path("data/identity.key")).unwrap();
    hub.signal(Signal::TERM);
    hub.wait_exit(SOON).await;
    let other = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    hub.write("other.key", other);
    let more = json!({"identity": {"key": {"file": "other.key"}}});
    hub.write("landline.yaml", &cluster::hub(more));
    let shown = String::from_utf8(hub.command(&["config", "check"]).stdout).unwrap();
    assert!(
        shown.contains("other.key") && !shown.contains(other),
        "{shown}"
    );
    hub.restart();
    assert_ne!(hub.wait_exit(SOON).await, 0);
    let log = hub.stderr();
    assert!(
        log.contains("give this process the key of the one that created the cluster"),
        "{log}"
    );
    assert!(!log.contains(other.trim_end_matches('=')), "{log}");
    // The same key as a file of its own is the right one.
    hub.write("other.key", &key);
    std::fs::write(hub.path("data/listeners.json"), "").unwrap();
    hub.restart();
    hub.ready().await;
    assert_eq!(
        cluster::admin(&hub, "GET", "/v1/nodes", "").await.status,
        200
    );
}

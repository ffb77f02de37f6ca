//! An agent over real lines: proxies that come, announce one another, are killed and replaced.

use std::sync::Arc;
use std::time::Duration;

use base::supervise::{Criticality, Scope, Service, Supervisor};

use super::*;
use crate::line::tests::{Authority, PATIENCE, Proxy, request, scope, settings, targets, until};
use crate::line::{Connector, ConnectorSettings, Drain, Lane, Timing};
use crate::membership::ToHub;

fn verify() -> Verify {
    Arc::new(|_, signature| signature == "good")
}

/// The list of these proxies, as issued now.
fn list(proxies: &[(&str, &Proxy)]) -> crate::line::SignedAnnouncement {
    let announced = proxies.iter().map(|(name, proxy)| AnnouncedProxy {
        id: format!("id-{name}"),
        addresses: vec![proxy.address.to_string()],
        group: "all".to_owned(),
        generation: 1,
    });
    let now = base::clock::wall()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let announcement = announcement(u64::try_from(now.as_millis()).unwrap(), announced.collect());
    announcement
        .sign(|_| Ok::<_, serde_json::Error>("good".to_owned()))
        .unwrap()
}

/// A proxy whose lines are not given up because the machine is busy: here nothing is cut.
async fn proxy(authority: &Authority, name: &str, scope: &Scope) -> Proxy {
    Proxy::start_with(authority, name, scope, Timing::default(), true).await
}

fn start(authority: &Authority, seed: &Proxy, scope: &Scope) -> (Agent, Supervisor) {
    let pool = PoolSettings {
        agent: "web-1".to_owned(),
        strategy: Strategy::Mesh,
        seeds: vec![seed.address.to_string()],
        dials_max: DIALS_MAX,
        random_seed: 7,
    };
    let settings_of_agent = AgentSettings {
        pool,
        cluster: "home".to_owned(),
        verify: verify(),
        heard: Arc::new(|_, _| {}),
        report_pause: Duration::ZERO,
        drain_limit: Duration::from_secs(2),
    };
    let connector = Connector::new(ConnectorSettings {
        timing: Timing::default(),
        ..settings(authority)
    });
    let agent = Agent::new(settings_of_agent, connector, targets(scope));
    let supervisor = Supervisor::new();
    let running = agent.clone();
    let service = Service::new("agent", Criticality::Critical, |scope| running.run(scope));
    supervisor.register(service);
    supervisor.start();
    (agent, supervisor)
}

/// Waits until the agent has told this proxy that it does not believe what `p1` passed on.
async fn disbelieved(told: &mut Proxy, why: &str) {
    let note = tokio::time::timeout(PATIENCE, told.notes.recv()).await;
    let note = note.unwrap().unwrap();
    let ToHub::Disbelieved(said) = serde_json::from_str(&note).unwrap() else {
        panic!("{note}");
    };
    assert_eq!(said.proxy, "p1");
    assert!(said.reason.contains(why), "{}", said.reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_finds_all_proxies_and_follows_their_fate() {
    let authority = Authority::new();
    let (_supervisor, scope) = scope().await;
    let mut one = proxy(&authority, "p1", &scope).await;
    let mut two = proxy(&authority, "p2", &scope).await;
    let (agent, process) = start(&authority, &one, &scope);
    let first = one.line().await;
    let mut forged = list(&[("p1", &one), ("p9", &two)]);
    forged.signature = "forged".to_owned();
    assert!(first.announce(forged));
    disbelieved(&mut one, "signature").await;
    assert!(first.announce(list(&[("p1", &one), ("p2", &two)])));
    let second = two.line().await;
    until("both lines", || agent.status().lines.len() == 2).await;
    assert_eq!(agent.status().known, 2);
    // Whoever passes on what is not believed is not the one who is told, if there is another.
    let old = announcement(1, vec![announced("p9")]);
    let old = old.sign(|_| Ok::<_, serde_json::Error>("good".to_owned()));
    assert!(first.announce(old.unwrap()));
    disbelieved(&mut two, "ran out").await;
    assert_eq!(agent.status().known, 2);

    // A line that breaks is back.
    second.close("killed");
    let second = two.line().await;
    second
        .open(&request("echo"), Lane::Interactive, PATIENCE)
        .await
        .unwrap();
    let error = agent.status().last_error.unwrap();
    assert!(error.starts_with("p2: "), "{error}");

    // A proxy that is replaced: the new line comes while the old one still serves.
    let open = first
        .open(&request("echo"), Lane::Interactive, PATIENCE)
        .await
        .unwrap();
    let draining = first.clone();
    scope.spawn("drain", async move {
        let notice = Drain {
            reason: "upgrade".to_owned(),
            has_successor: true,
            spread_ms: 100,
        };
        draining.drain(notice, PATIENCE).await;
    });
    let replaced = one.line().await;
    assert!(!first.is_closed(), "a stream is open on it");
    drop(open);
    tokio::time::timeout(PATIENCE, first.closed())
        .await
        .unwrap();
    replaced
        .open(&request("echo"), Lane::Interactive, PATIENCE)
        .await
        .unwrap();
    until("two lines", || agent.status().lines.len() == 2).await;

    // The agent stops: streams may end, the proxies are told.
    drop(
        process
            .shutdown(base::supervise::Exit::Graceful { grace: PATIENCE })
            .await,
    );
    tokio::time::timeout(PATIENCE, replaced.closed())
        .await
        .unwrap();
    tokio::time::timeout(PATIENCE, second.closed())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_reaches_nobody_says_why() {
    let authority = Authority::new();
    let (_supervisor, scope) = scope().await;
    let foreign = Authority::new();
    let proxy = proxy(&foreign, "p1", &scope).await;
    let (agent, _process) = start(&authority, &proxy, &scope);
    until("an error", || agent.status().last_error.is_some()).await;
    let error = agent.status().last_error.unwrap();
    assert!(error.contains("invalid peer certificate"), "{error}");
}

//! Replacing the running program: nobody who asks meanwhile notices, and a replacement that fails
//! leaves the old one serving.

use std::time::Duration;

use futures_util::future::join_all;
use it::load::Load;
use it::program::{Launch, Program, program_path, replace_file, send_signal};
use it::stubs::pages::{Page, Pages};
use it::wait::{self, SOON};
use it::{client, configuration, proc};
use rustix::process::Signal;
use serde_json::json;

use crate::process::{pages, shop};

/// How many replacements are made under load.
const REPLACEMENTS: usize = 10;

/// The longest one replacement may take on a busy machine.
const REPLACED: Duration = Duration::from_secs(30);

/// Replaces the process `old` and gives the new one once the old has ended.
async fn replace(program: &Program, old: u32) -> u32 {
    send_signal(old, Signal::HUP);
    wait::until(&format!("{old} has handed over"), REPLACED, async || {
        // The first generation is a child of this test and stays a zombie until it is waited for.
        (!proc::is_alive(old)).then_some(())
    })
    .await;
    let new = wait::until("the new process answers", SOON, async || {
        program.serving_pid().await
    });
    let new = new.await;
    assert_ne!(new, old);
    new
}

/// 200 requests a second over kept and fresh connections during ten replacements: none refused,
/// none reset, none wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_ten_replacements() {
    let pages = pages().await;
    let program = Program::start(&shop(&pages)).await;
    let load = Load {
        address: program.gateway,
        path: "/metrics/shop".to_owned(),
        expected: "shop_up 1".to_owned(),
        kept: 10,
        fresh: 10,
        interval: Duration::from_millis(100),
    };
    let running = load.start();
    let mut pid = program.pid();
    let mut seen = vec![pid];
    for _ in 0..REPLACEMENTS {
        let before = running.tally().good;
        wait::until("the load is flowing", SOON, async || {
            (running.tally().good > before + 100).then_some(())
        })
        .await;
        pid = replace(&program, pid).await;
        assert!(!seen.contains(&pid), "{pid} again in {seen:?}");
        seen.push(pid);
    }
    let tally = running.finish().await;
    assert!(tally.bad.is_empty(), "{tally:?}\n{}", program.stderr());
    assert!(tally.good > 1000, "{tally:?}");
    assert_eq!(program.generations(), [pid]);
}

/// Descriptors do not pile up from generation to generation.
#[tokio::test]
async fn generations_leave_no_descriptors() {
    let pages = pages().await;
    let program = Program::start(&shop(&pages)).await;
    let mut pid = replace(&program, program.pid()).await;
    let first = proc::descriptors(pid);
    for _ in 0..3 {
        pid = replace(&program, pid).await;
    }
    let last = proc::descriptors(pid);
    assert!(
        last <= first + 1,
        "{first} descriptors after one replacement, {last} after four"
    );
}

/// A scrape that is under way finishes in the old process while the new one serves.
#[tokio::test]
async fn an_open_scrape_survives_the_replacement() {
    let pages = pages().await;
    pages.set(
        "/metrics",
        Page::Slow(Duration::from_secs(5), "shop_up 1\n".to_owned()),
    );
    let program = Program::start(&shop(&pages)).await;
    let url = program.url("/metrics/shop");
    let open = tokio::spawn(async move { client::get(&url, &[]).await.unwrap() });
    wait::until("the scrape is open", SOON, async || {
        (pages.server.requests() == 1).then_some(())
    })
    .await;
    program.signal(Signal::HUP);
    wait::until("the new process answers", REPLACED, async || {
        program
            .serving_pid()
            .await
            .filter(|pid| *pid != program.pid())
    })
    .await;
    assert_eq!(open.await.unwrap().status, 200);
    wait::until("the old one ends", REPLACED, async || {
        (!proc::is_alive(program.pid())).then_some(())
    })
    .await;
}

/// A program with a file in its place that the test can replace, and its own replacement limit.
async fn replaceable(pages: &Pages) -> Program {
    let text = configuration::with(
        json!({"process": {"replacement_timeout": "2s"}}),
        json!({"targets": [{"name": "shop", "url": pages.server.url("/metrics")}]}),
    );
    Launch::new(&text).own_copy().start().await
}

/// The old process alone is there and serves; with the program restored, replacement works again.
async fn assert_recovers(program: &Program) {
    let old = program.pid();
    wait::until("the failed replacement is gone", REPLACED, async || {
        (program.generations() == [old]).then_some(())
    })
    .await;
    assert_eq!(program.serving_pid().await, Some(old));
    assert_eq!(program.scrape("shop").await.status, 200);
    assert_eq!(program.main("GET", "/readyz").await.status, 200);
    let good = std::fs::read(program_path()).unwrap();
    replace_file(&program.path("landline"), &good);
    let new = replace(program, old).await;
    assert_eq!(program.scrape("shop").await.status, 200);
    assert_eq!(program.generations(), [new]);
}

/// A new program that crashes at once, or hangs until the limit, leaves the old one serving.
#[tokio::test]
async fn a_replacement_that_crashes_or_hangs_changes_nothing() {
    for end in ["exit 3", "kill -SEGV $$", "exec sleep 600"] {
        let pages = pages().await;
        let program = replaceable(&pages).await;
        let script = format!("#!/bin/sh\necho ran >>ran\n{end}\n");
        replace_file(&program.path("landline"), script.as_bytes());
        program.signal(Signal::HUP);
        wait::until("the replacement was tried", SOON, async || {
            program.path("ran").exists().then_some(())
        })
        .await;
        assert_eq!(
            program.scrape("shop").await.status,
            200,
            "{end}: while it is tried"
        );
        assert_recovers(&program).await;
    }
}

/// A configuration that is not valid any more leaves the old process serving, and is told.
#[tokio::test]
async fn a_bad_configuration_changes_nothing() {
    let pages = pages().await;
    let program = replaceable(&pages).await;
    let good = std::fs::read_to_string(program.path("landline.yaml")).unwrap();
    program.write("landline.yaml", "roles: [gateway]\ngatewayy: {}\n");
    program.signal(Signal::HUP);
    wait::until("the problem is told", SOON, async || {
        program.stderr().contains("gatewayy").then_some(())
    })
    .await;
    assert_eq!(program.scrape("shop").await.status, 200);
    program.write("landline.yaml", &good);
    assert_recovers(&program).await;
}

/// A replacement that serves and yet does not become ready leaves the pid file alone, says itself
/// what is missing, and the old process goes on.
#[tokio::test]
async fn a_replacement_that_is_not_ready_takes_nothing() {
    let pages = pages().await;
    // A database that takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mysql://reader@{}/shop", silent.local_addr().unwrap());
    let text = |sources: serde_json::Value| {
        configuration::with(
            json!({"pid_file": "./landline.pid", "process": {"replacement_timeout": "5s"}}),
            json!({"targets": [{"name": "shop", "url": pages.server.url("/metrics")}], "sources": sources}),
        )
    };
    let good = text(json!([]));
    let launch = Launch::new(&good).own_copy();
    let program = launch.variable("CREDENTIALS_URL", &url).start().await;
    let owner = || std::fs::read_to_string(program.path("landline.pid")).unwrap();
    let old = format!("{}\n", program.pid());
    let source = json!({"kind": "mysql", "url": {"env": "CREDENTIALS_URL"},
        "profile": "whatsapp", "base_url": pages.server.url("")});
    program.write("landline.yaml", &text(json!([source])));
    program.signal(Signal::HUP);
    wait::until("the replacement is tried", SOON, async || {
        (program.generations().len() == 2).then_some(())
    })
    .await;
    assert_eq!(owner(), old);
    wait::until("it says what is missing", REPLACED, async || {
        let serving = program.serving_pid().await;
        assert_eq!(serving, Some(program.pid()), "it has no targets to serve");
        // It names the source on its way out.
        let said = program.stderr();
        let names_it = |line: &str| line.contains("not ready") && line.contains("not read yet");
        let is_told = said.contains("still missing: gateway.targets");
        (is_told && said.lines().any(names_it)).then_some(())
    })
    .await;
    assert_eq!(owner(), old);
    program.write("landline.yaml", &good);
    assert_recovers(&program).await;
    assert_ne!(owner(), old);
}

/// After USR2 both serve until the operator ends the old one.
#[tokio::test]
async fn usr2_starts_a_second_one_beside() {
    let pages = pages().await;
    let mut program = Program::start(&shop(&pages)).await;
    let old = program.pid();
    program.signal(Signal::USR2);
    let mut seen = std::collections::BTreeSet::new();
    wait::until("both have answered", REPLACED, async || {
        let answers = join_all((0..20).map(|_| program.serving_pid())).await;
        seen.extend(answers.into_iter().flatten());
        (seen.len() == 2).then_some(())
    })
    .await;
    assert!(seen.contains(&old) && proc::is_alive(old), "{seen:?}");
    let load = Load {
        address: program.gateway,
        path: "/metrics/shop".to_owned(),
        expected: "shop_up 1".to_owned(),
        kept: 2,
        fresh: 2,
        interval: Duration::from_millis(20),
    };
    let running = load.start();
    program.signal(Signal::TERM);
    assert_eq!(program.wait_exit(SOON).await, 0);
    let before = running.tally().good;
    wait::until("the load goes on", SOON, async || {
        (running.tally().good > before + 100).then_some(())
    })
    .await;
    let tally = running.finish().await;
    assert!(tally.bad.is_empty(), "{tally:?}");
    assert_eq!(program.generations().len(), 1);
}

/// The pid file and `listeners.json` name the newest generation.
#[tokio::test]
async fn files_name_the_newest_generation() {
    let pages = pages().await;
    let text = configuration::with(
        json!({"pid_file": "./landline.pid"}),
        json!({"targets": [{"name": "shop", "url": pages.server.url("/metrics")}]}),
    );
    let program = Program::start(&text).await;
    let new = replace(&program, program.pid()).await;
    let pid = std::fs::read_to_string(program.path("landline.pid")).unwrap();
    assert_eq!(pid.trim(), new.to_string());
    let listeners = std::fs::read_to_string(program.path("data/listeners.json")).unwrap();
    assert!(listeners.contains(&program.main.to_string()), "{listeners}");
}

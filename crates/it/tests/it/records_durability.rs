//! What was acknowledged is there: the program is killed again and again in the middle of its work, and
//! the disk gets full.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use it::need::skip;
use it::program::{Launch, Program, send_signal};
use it::prometheus::free_port;
use it::telemetrics::{self, Collector, Form, Record, Store, exchange};
use it::wait;
use it::{client, relayed};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::timeout;

use crate::records_fleet::{Fleet, assert_kept};

/// The longest until clients are served again.
const SERVED: Duration = Duration::from_secs(30);

/// Kills the program so many times, after a few records each, and looks what is there.
async fn killed(store: Store, kills: usize) {
    let Some(mut collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let program = &mut collector.program;
    let fleet = Fleet::start(program.main);
    let begun = Instant::now();
    for kill in 0..kills {
        // Somewhere in the work of a batch, each time elsewhere.
        let wanted = fleet.count() + 1 + kill * 37 % 50;
        wait::until("records are acknowledged", SERVED, async || {
            (fleet.count() >= wanted).then_some(())
        })
        .await;
        program.signal(Signal::KILL);
        assert_eq!(program.wait_exit(wait::SOON).await, -9);
        program.restart();
        program.ready().await;
        fleet.redirect(program.main);
    }
    let took = begun.elapsed();
    let acknowledged = fleet.finish().await;
    assert_kept(collector.program.main, &acknowledged).await;
    relayed::note(&format!(
        "{kills} kills in {took:?}, {} records acknowledged",
        acknowledged.len()
    ));
    collector.remove().await;
}

#[tokio::test]
async fn no_kill_loses_a_record_on_sqlite() {
    killed(Store::Sqlite, 25).await;
}

#[tokio::test]
async fn no_kill_loses_a_record_on_postgresql() {
    killed(Store::Postgres, 25).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn no_kill_loses_a_record_on_sqlite_two_hundred_kills() {
    killed(Store::Sqlite, 200).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn no_kill_loses_a_record_on_postgresql_two_hundred_kills() {
    killed(Store::Postgres, 200).await;
}

/// An end in order answers who is being answered, and loses nothing.
#[tokio::test]
async fn an_end_in_order_loses_nothing() {
    let mut collector = Collector::start_small(json!({})).await;
    let program = &mut collector.program;
    let fleet = Fleet::start(program.main);
    for round in 1..=3 {
        wait::until("records are acknowledged", SERVED, async || {
            (fleet.count() >= round * 100).then_some(())
        })
        .await;
        program.signal(Signal::TERM);
        assert_eq!(program.wait_exit(wait::SOON).await, 0);
        program.restart();
        program.ready().await;
        fleet.redirect(program.main);
    }
    let acknowledged = fleet.finish().await;
    assert_kept(collector.program.main, &acknowledged).await;
}

/// Replacements take over under load: nobody is refused, and nothing is lost or there twice.
async fn replaced(roles: &[&str]) {
    let more = json!({"roles": roles});
    let program = Program::start(&telemetrics::configuration(&more, json!({}))).await;
    let fleet = Fleet::start(program.main);
    for round in 1..=3 {
        wait::until("records are acknowledged", SERVED, async || {
            (fleet.count() >= round * 100).then_some(())
        })
        .await;
        let old = program.serving_pid().await;
        // Only the first generation is our child.
        send_signal(old.unwrap(), Signal::HUP);
        let new = wait::within(SERVED, async || {
            let now = timeout(wait::SOON, program.serving_pid()).await.ok()?;
            (now.is_some() && now != old).then_some(())
        });
        assert!(new.await.is_some(), "round {round}: {}", program.stderr());
    }
    let answers = fleet.answers();
    let acknowledged = fleet.finish().await;
    let refused = answers.iter().find(|answer| answer.status != 201);
    assert!(refused.is_none(), "{refused:?}");
    assert_kept(program.main, &acknowledged).await;
}

#[tokio::test]
async fn a_replacement_loses_nothing() {
    replaced(&["collector"]).await;
}

#[tokio::test]
async fn a_replacement_beside_a_gateway_loses_nothing() {
    replaced(&["collector", "gateway"]).await;
}

/// A collector whose data is on a file system of its own of 64 MiB; none, and a skipped test, where that
/// can't be made.
async fn start_on_small_disk() -> Option<Program> {
    let private = ["unshare", "--mount", "--propagation", "private"];
    let probe = Command::new(private[0])
        .args(&private[1..])
        .arg("true")
        .output();
    if !probe.is_ok_and(|output| output.status.success()) {
        skip("a mount namespace can't be made");
        return None;
    }
    // What is mounted there is not seen from here, so the port has to be known.
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let listen = json!({"listen": address.to_string()});
    let mut launch = Launch::new(&telemetrics::configuration(&listen, json!({})));
    let script = "mkdir data && mount -t tmpfs -o size=64m tmpfs data && exec \"$0\" \"$@\"";
    launch.wrapper = private
        .into_iter()
        .chain(["sh", "-c", script])
        .map(str::to_owned)
        .collect();
    let mut program = launch.spawn();
    program.main = address;
    wait::until("the collector is ready", SERVED, async || {
        let reply = client::get(&format!("http://{address}/readyz"), &[])
            .await
            .ok()?;
        (reply.status == 200).then_some(())
    })
    .await;
    Some(program)
}

/// The data of a program as it sees it.
fn data(program: &Program) -> PathBuf {
    let directory = program.directory.path().display();
    PathBuf::from(format!("/proc/{}/root{directory}/data", program.pid()))
}

/// Fills the disk to the last byte.
fn fill(program: &Program) {
    let mut file = std::fs::File::create(data(program).join("filler")).unwrap();
    for size in [1 << 20, 4 << 10, 1] {
        let block = vec![b'x'; size];
        while file.write_all(&block).is_ok() {}
    }
}

/// With a full disk records are refused so that clients keep them, what is there is read, and all goes on
/// when there is room again.
#[tokio::test]
async fn a_full_disk_is_told_and_survived() {
    let Some(program) = start_on_small_disk().await else {
        return;
    };
    let fleet = Fleet::start(program.main);
    wait::until("records are acknowledged", SERVED, async || {
        (fleet.count() >= 300).then_some(())
    })
    .await;
    fill(&program);
    // The log of SQLite has pages to write over; large records are through with them soon.
    let large = || Record::new().payload("x".repeat(900 << 10));
    let begun = Instant::now();
    let mut refused = Vec::new();
    while refused.len() < 20 {
        let reply = exchange(program.main, &large().request(Form::Headers)).await;
        refused.extend((reply.status != 201).then_some(reply));
        assert!(
            begun.elapsed() < SERVED,
            "the disk is full and takes what comes"
        );
    }
    for path in [
        "/api/records?limit=10",
        "/v1/records",
        "/v1/records/counts",
        "/metrics",
    ] {
        let reply = program.main("GET", path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }
    let log = program.stderr();
    assert!(log.contains("full") || log.contains("No space"), "{log}");
    std::fs::remove_file(data(&program).join("filler")).unwrap();
    wait::until("records are taken again", SERVED, async || {
        let reply = exchange(
            program.main,
            &Record::new().set("severity", "1").request(Form::Json),
        )
        .await;
        (reply.status == 201).then_some(())
    })
    .await;
    let count = fleet.count();
    wait::until("the clients go on", SERVED, async || {
        (fleet.count() > count + 100).then_some(())
    })
    .await;
    let acknowledged = fleet.finish().await;
    for one in acknowledged.iter().filter(|one| !one.is_quarantined) {
        let path = format!("/v1/records/{}", one.id);
        let found = program.main("GET", &path).await.json();
        assert_eq!(found["event_id"], json!(one.event));
    }
    assert_eq!(program.generations(), [program.pid()], "it has not ended");
    let is_told = |reply: &client::Reply| reply.text().contains("the disk of the state is full");
    assert!(refused.iter().any(is_told), "{}", refused[0].text());
    for reply in refused {
        assert_eq!(reply.status, 503, "{}\n{log}", reply.text());
        assert!(!reply.header("retry-after").is_empty());
    }
}

//! A crowd of idle nodes on one hub: what each costs it in memory, what all of them cost it in processor
//! time, and how quickly they come back when it is started anew. The nodes are real ones, in a process
//! of their own.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::report::Verdict;
use super::tunnel::ways::Running;
use crate::cluster;
use crate::proc;
use crate::program::Program;
use crate::prometheus;
use crate::wait;

/// The longest until all have lines.
const JOINED: Duration = Duration::from_mins(6);
/// How long the idle hub is watched.
const WATCHED: Duration = Duration::from_secs(20);
/// How often it is looked who is there.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Until what their coming took has been given back.
const REST: Duration = Duration::from_secs(5);

/// Joins `count` nodes, so many a second, and looks at the hub before and after.
pub async fn measure(ends: &Path, count: usize, per_second: f64) -> Value {
    let public = json!({"public_addr": "127.0.0.1:1"});
    let mut configuration: Value = serde_json::from_str(&cluster::hub(public)).unwrap();
    configuration.as_object_mut().unwrap().remove("public_addr");
    // The same port after the restart.
    configuration["listen"] = json!(format!("127.0.0.1:{}", prometheus::free_port()));
    let mut hub = Program::start(&configuration.to_string()).await;
    let token = cluster::token(&hub, json!({"uses": count})).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = held(&hub);
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(ends);
    command
        .arg("nodes")
        .arg(directory.path())
        .args([&hub.main.to_string(), &token.pin])
        .args([count.to_string(), per_second.to_string(), token.text]);
    let (begun, cpu) = (Instant::now(), cpu_seconds(&hub));
    let crowd = Running::start(&mut command);
    let online = wait::within(JOINED, async || {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let lines = lines(&hub).await;
        eprintln!(
            "{lines:.0} lines after {:.0} s",
            begun.elapsed().as_secs_f64()
        );
        (lines >= count as f64).then_some(())
    });
    let is_complete = online.await.is_some();
    let joined = begun.elapsed().as_secs_f64();
    let joining_cpu = cpu_seconds(&hub) - cpu;
    tokio::time::sleep(REST).await;
    let after = held(&hub);
    let agents = lines(&hub).await;
    let cpu = cpu_seconds(&hub);
    tokio::time::sleep(WATCHED).await;
    let idle_cpu = (cpu_seconds(&hub) - cpu) / WATCHED.as_secs_f64();
    let each = |key: &str| (after[key].as_f64().unwrap() - before[key].as_f64().unwrap()) / agents;
    let restart = restart(&mut hub, count).await;
    let report = json!({
        "agents": agents,
        "restart": restart,
        "all_came": is_complete,
        "joined_seconds": joined.round(),
        "hub_cpu_ms_per_join": (joining_cpu / agents * 1e4).round() / 10.0,
        "hub_before": before,
        "hub_after": after,
        "kb_each": (each("rss_kib") * 10.24).round() / 10.0,
        "descriptors_each": (each("descriptors") * 100.0).round() / 100.0,
        "idle_cpu_percent_of_one_core": (idle_cpu * 1e4).round() / 100.0,
        "crowd_rss_kib": proc::rss_kib(crowd.pid()),
    });
    drop(crowd);
    report
}

/// Waits until all nodes have lines; false when some stay away.
async fn all_online(hub: &Program, count: usize) -> bool {
    let begun = Instant::now();
    let online = wait::within(JOINED, async || {
        tokio::time::sleep(LOOK_EVERY).await;
        let lines = lines(hub).await;
        eprintln!(
            "{lines:.0} lines after {:.0} s",
            begun.elapsed().as_secs_f64()
        );
        (lines >= count as f64).then_some(())
    });
    online.await.is_some()
}

/// Kills the hub and starts it again: how long until all are back, and what that costs it.
async fn restart(hub: &mut Program, count: usize) -> Value {
    hub.signal(Signal::KILL);
    hub.wait_exit(REST).await;
    hub.restart();
    let begun = Instant::now();
    hub.ready().await;
    let is_complete = all_online(hub, count).await;
    let cpu = cpu_seconds(hub);
    json!({
        "all_back": is_complete,
        "seconds": begun.elapsed().as_secs_f64().round(),
        "hub_cpu_seconds": cpu.round(),
        "hub_cpu_ms_each": (cpu / count as f64 * 1e4).round() / 10.0,
    })
}

fn held(hub: &Program) -> Value {
    json!({"rss_kib": hub.rss_kib(), "descriptors": proc::descriptors(hub.pid())})
}

fn cpu_seconds(hub: &Program) -> f64 {
    proc::cpu_seconds(hub.pid()).unwrap_or_default()
}

async fn lines(hub: &Program) -> f64 {
    let all = cluster::admin(hub, "GET", "/v1/nodes", "").await.json();
    let nodes = all["nodes"].as_array().into_iter().flatten();
    nodes.filter(|node| node["state"] == "online").count() as f64
}

/// Judges what was measured.
pub fn judge(report: &Value) -> Vec<Verdict> {
    let each = report["kb_each"].as_f64();
    let agents = report["agents"].as_f64();
    vec![
        Verdict {
            goal: "idle agents on one proxy, at least 5000",
            measured: agents.unwrap_or(f64::NAN),
            is_met: agents.map(|agents| agents >= 5_000.0),
        },
        Verdict {
            goal: "an idle agent, at most 40 kB on the proxy",
            measured: each.unwrap_or(f64::NAN),
            is_met: each.map(|each| each <= 40.0),
        },
    ]
}

/// Everything for people.
pub fn table(report: &Value) -> String {
    serde_json::to_string_pretty(report).unwrap() + "\n"
}

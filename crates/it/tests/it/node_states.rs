//! What `landline nodes ls` says of a line: its round trip while it is up, and what went wrong last.

use std::time::Duration;

use it::cluster;
use it::program::Program;
use it::prometheus::free_port;
use it::relay::Mode;
use it::relayed::Relayed;
use it::wait::{self, SOON};
use serde_json::{Value, json};

use crate::locks;

/// The longest until a line that is cut without a word is given up: a ping after 10 s, and 5 s for the
/// answer; the rest is for a busy machine.
const GIVEN_UP: Duration = Duration::from_secs(25);
/// The longest until a node is back after the network is.
const BACK: Duration = Duration::from_secs(30);

/// The node `web-1` as `landline nodes ls --json` shows it.
fn listed(hub: &Program) -> Value {
    let shown = cluster::run(hub, &["nodes", "ls", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let mut nodes = shown["nodes"].as_array().unwrap().iter();
    let node = nodes.find(|node| node["name"] == "web-1");
    node.unwrap_or_else(|| panic!("{shown}")).clone()
}

/// A cell of the row of `web-1` in what `landline nodes ls` shows: from where its column begins to where
/// the next one does.
fn cell(hub: &Program, column: &str) -> String {
    let shown = cluster::run(hub, &["nodes", "ls"]);
    let mut lines = shown.lines();
    let head = lines.next().unwrap();
    let row = lines.find(|line| line.starts_with("web-1 "));
    let row = row.unwrap_or_else(|| panic!("{shown}"));
    let begin = head.find(column).unwrap_or_else(|| panic!("{head}"));
    let mut names = head.split_whitespace();
    names.find(|name| *name == column);
    let end = names.next().and_then(|next| head.find(next));
    let letters = row.chars().take(end.unwrap_or(usize::MAX)).skip(begin);
    letters.collect::<String>().trim().to_owned()
}

/// Waits until the node has a line whose round trip was measured and on which nothing failed.
async fn is_well(hub: &Program) {
    let mut seen = Value::Null;
    let well = wait::within(BACK, async || {
        seen = listed(hub);
        let has_trip = seen["round_trip_us"].as_u64().is_some_and(|trip| trip > 0);
        let is_up = seen["state"] == "online" && seen["lines"].as_u64() > Some(0);
        (is_up && has_trip).then_some(())
    });
    assert!(well.await.is_some(), "{seen}");
    assert_eq!(seen["last_error"], Value::Null, "{seen}");
    let trip: u64 = cell(hub, "ROUND_TRIP_US").parse().unwrap();
    // A line on one machine: more would be another unit.
    assert!(trip > 0 && trip < 5_000_000, "{trip} us");
    assert_eq!(cell(hub, "STATE"), "online");
    assert_eq!(cell(hub, "LAST_ERROR"), "");
}

/// Waits until the node is away, and gives what the list says of it: the same with and without `--json`.
async fn last_error(hub: &Program, limit: Duration) -> String {
    let away = wait::until("web-1 is offline", limit, async || {
        Some(listed(hub)).filter(|node| node["state"] == "offline")
    });
    let away = away.await;
    assert_eq!(away["lines"], 0, "{away}");
    assert_eq!(away["round_trip_us"], Value::Null, "{away}");
    let error = away["last_error"].as_str().unwrap_or_default().to_owned();
    assert!(!error.is_empty(), "{away}");
    assert_eq!(cell(hub, "LAST_ERROR"), error);
    error
}

/// A path that is cut, silently and not, is named; what is back has nothing against it.
#[tokio::test]
async fn a_line_that_broke_says_how() {
    let cluster = Relayed::start().await;
    let (hub, relay) = (&cluster.hub, &cluster.relay);
    is_well(hub).await;
    relay.set(Mode::BlackHole);
    let error = last_error(hub, GIVEN_UP).await;
    for words in ["no answer to a ping within", "cut without a trace"] {
        assert!(error.contains(words), "{error}\n{}", cluster.logs());
    }
    relay.set(Mode::Pass);
    is_well(hub).await;
    relay.set(Mode::Refuse);
    let error = last_error(hub, SOON).await;
    let ends = ["reset by peer", "Broken pipe", "without a goodbye"];
    let is_told = ends.iter().any(|words| error.contains(words));
    let is_placed = error.contains("lane: ");
    assert!(is_told && is_placed, "{error}\n{}", cluster.logs());
    // Who scrapes meanwhile reads the same reason.
    let told = cluster.scrape().await;
    assert_eq!(told.status, 503, "{}", told.text());
    assert!(told.text().contains(&error), "{error}: {}", told.text());
    relay.set(Mode::Pass);
    is_well(hub).await;
}

/// An application that does not run is the node's last error, while the line is well.
#[tokio::test]
async fn what_could_not_be_opened_is_the_last_error() {
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let nowhere = format!("127.0.0.1:{}", free_port());
    let apps = json!([{"name": "db", "tcp": nowhere}]);
    let _node = cluster::join(&hub, "web-1", json!({"apps": apps})).await;
    is_well(&hub).await;
    let token = std::fs::read_to_string(hub.path("data/admin.token")).unwrap();
    let connect = "POST /v1/apps/db/connect";
    let (_, status) = locks::open(&hub, connect, token.trim()).await;
    assert_eq!(status, "502");
    let node = listed(&hub);
    let error = node["last_error"].as_str().unwrap_or_default();
    for words in [nowhere.as_str(), "web-1", "does it run there?"] {
        assert!(error.contains(words), "{words}: {node}");
    }
    assert_eq!(cell(&hub, "LAST_ERROR"), error);
    assert_eq!(node["state"], "online");
    assert!(node["round_trip_us"].as_u64() > Some(0), "{node}");
}

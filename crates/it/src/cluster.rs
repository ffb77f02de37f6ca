//! A hub and its nodes: the real program twice or more, joined by tokens.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::certificates::Pair;
use crate::client::{self, Reply};
use crate::program::{Launch, Program};
use crate::wait;

/// The longest until a node that has started has its line.
pub const JOINED: Duration = Duration::from_secs(15);

/// What `POST /v1/tokens` gave.
#[derive(Debug, Clone)]
pub struct Token {
    /// The text.
    pub text: String,
    /// The pin of the hub's authority.
    pub pin: String,
}

/// The configuration of a hub with these further keys.
pub fn hub(more: Value) -> String {
    let mut whole = json!({
        "cluster": "home",
        "roles": ["auth", "proxy", "gateway"],
        "listen": "127.0.0.1:0",
        "data_dir": "./data",
    });
    merge(&mut whole, more);
    whole.to_string()
}

/// The configuration of a node at `proxy`, with this section `node`.
pub fn node(proxy: &str, pin: &str, section: &Value) -> String {
    json!({
        "roles": ["node"],
        "listen": "127.0.0.1:0",
        "data_dir": "./data",
        "join": {"proxy": proxy, "token": {"file": "join.token"}, "ca_pin": pin},
        "node": section,
    })
    .to_string()
}

/// A launch of such a node.
pub fn launch_node(proxy: &str, token: &Token, section: &Value) -> Launch {
    Launch::new(&node(proxy, &token.pin, section)).file("join.token", &token.text)
}

/// A request to a hub's paths for operators.
pub async fn admin(hub: &Program, method: &str, path: &str, body: &str) -> Reply {
    let token = std::fs::read_to_string(hub.path("data/admin.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let url = format!("http://{}{path}", hub.main);
    let headers = [("authorization", bearer.as_str())];
    client::send(method, &url, &headers, body).await.unwrap()
}

/// A token that lets one node in.
pub async fn token(hub: &Program, more: Value) -> Token {
    let mut wanted = json!({"roles": ["node"], "ttl_seconds": 3600, "uses": 1});
    merge(&mut wanted, more);
    let reply = admin(hub, "POST", "/v1/tokens", &wanted.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let issued = reply.json();
    let text = |key: &str| issued[key].as_str().unwrap().to_owned();
    Token {
        text: text("token"),
        pin: text("ca_pin"),
    }
}

/// Starts a node of this name and waits for its line.
pub async fn join(hub: &Program, name: &str, mut section: Value) -> Program {
    let token = token(hub, json!({})).await;
    section["name"] = json!(name);
    let program = launch_node(&hub.main.to_string(), &token, &section)
        .start()
        .await;
    online(hub, name).await;
    program
}

/// Waits until a node has its line.
pub async fn online(hub: &Program, name: &str) {
    wait::until(&format!("node {name} is online"), JOINED, async || {
        let node = node_view(hub, name).await?;
        (node["state"] == "online").then_some(())
    })
    .await;
}

/// What the hub says of a node.
pub async fn node_view(hub: &Program, name: &str) -> Option<Value> {
    let all = admin(hub, "GET", "/v1/nodes", "").await.json();
    let mut nodes = all["nodes"].as_array()?.iter();
    nodes.find(|node| node["name"] == name).cloned()
}

/// The events of the audit log whose kind begins with `kind`.
pub async fn audit(hub: &Program, kind: &str) -> Vec<Value> {
    let reply = admin(hub, "GET", &format!("/v1/audit?kind={kind}"), "").await;
    reply.json()["events"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

/// Runs a command on the hub; gives what it printed.
pub fn run(hub: &Program, arguments: &[&str]) -> String {
    let output = hub.command(arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The same for one that has to fail; gives why it did.
pub fn refused(hub: &Program, arguments: &[&str]) -> String {
    let output = hub.command(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The key and certificate of a node that has joined.
pub fn own_pair(node: &Program) -> Pair {
    let read = |name: &str| std::fs::read_to_string(node.path(name)).unwrap();
    let member: Value = serde_json::from_str(&read("data/node/member.json")).unwrap();
    Pair {
        cert: member["certificate"].as_str().unwrap().to_owned(),
        key: read("data/node/key.pem"),
    }
}

/// Everything that a program has written into its log.
pub fn log(program: &Program) -> String {
    program.stderr()
}

/// Whether this process may make network namespaces: in a container root alone is not enough.
pub fn may_make_namespaces() -> bool {
    let name = format!("landline-probe-{}", std::process::id());
    let ip = |verb: &str| {
        let output = Command::new("ip").args(["netns", verb, &name]).output();
        output.is_ok_and(|output| output.status.success())
    };
    ip("add") && ip("del")
}

fn merge(whole: &mut Value, more: Value) {
    if let (Value::Object(whole), Value::Object(more)) = (whole, more) {
        whole.extend(more);
    }
}

//! The configuration of a first hub and a first node as the documentation gives it, to the letter: with
//! addresses of this machine put in, and unchanged on two machines of their own.

use std::net::Ipv4Addr;
use std::path::Path;

use it::client::{self, Connection};
use it::cluster::{self, JOINED};
use it::namespace::{self, Namespace};
use it::need::skip;
use it::program::{Launch, Program, program_path};
use it::prometheus::free_port;
use it::stubs::apps::App;
use it::stubs::pages::Pages;
use it::wait;
use serde_json::{Value, json};

use crate::locks;

/// The hub.
const HUB: &str = "\
cluster: home
roles: [auth, proxy, gateway]
public_addr: hub.example.net:3080
";

/// A machine behind NAT. The pin is the hub's.
const NODE: &str = "\
roles: [node]
join: {proxy: \"hub.example.net:3080\", token: {file: join.token}, ca_pin: \"sha256:…\"}
node:
  name: web-1
  labels: {env: prod}
  apps:
    - {name: api, url: \"http://127.0.0.1:8080\"}
    - {name: db, tcp: \"127.0.0.1:5432\"}
  metrics:
    - {name: web-1-app, url: \"http://127.0.0.1:9100/metrics\"}
";

/// The address in both.
const PLACE: &str = "hub.example.net:3080";
/// What stands for the pin.
const PIN: &str = "sha256:…";
const PAGE: &str = "web_up 1\n";

/// The command that makes the token.
const ADD_TOKEN: [&str; 6] = ["tokens", "add", "--role", "node", "--ttl", "1h"];

/// What the command printed: token, pin, and the address it tells the node to join at.
struct Printed {
    token: String,
    pin: String,
    text: String,
}

impl Printed {
    fn read(text: &str) -> Self {
        let word = |name: &str| {
            let mut lines = text.lines();
            let found = lines.find_map(|line| line.strip_prefix(name));
            found.unwrap_or_else(|| panic!("no {name}: {text}")).trim()
        };
        Self {
            token: word("token ").to_owned(),
            pin: word("ca_pin ").to_owned(),
            text: text.to_owned(),
        }
    }

    /// The line `join` of the node, as the command prints it.
    fn assert_prints_join(&self, node: &str) {
        let join = node.lines().find(|line| line.starts_with("join: "));
        let join = join.unwrap();
        let mut lines = self.text.lines().map(str::trim);
        assert!(lines.any(|line| line == join), "{join}\n{}", self.text);
    }
}

/// Replaces what must be there.
fn put(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in\n{text}");
    text.replace(from, to)
}

/// Both files are right as they are, and mean what they say.
#[tokio::test]
async fn the_example_is_accepted_as_it_is_written() {
    let pin = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let check = |text: &str| -> Value {
        let launch = Launch::new(text);
        let arguments = ["config", "check", "--json"];
        let output = it::program::command_in(launch.directory.path(), &arguments);
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{shown}");
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["problems"], json!([]), "{shown}");
        shown["config"].clone()
    };
    let hub = check(HUB);
    assert_eq!(hub["cluster"], "home");
    assert_eq!(hub["roles"], json!(["auth", "proxy", "gateway"]));
    assert_eq!(hub["public_addr"], PLACE);
    assert_eq!(hub["listen"], "0.0.0.0:3080");
    let node = check(&put(NODE, PIN, &pin));
    assert_eq!(node["roles"], json!(["node"]));
    assert_eq!(node["join"]["proxy"], PLACE);
    assert_eq!(node["join"]["ca_pins"], json!([pin]));
    assert_eq!(node["node"]["name"], "web-1");
    assert_eq!(node["node"]["labels"], json!({"env": "prod"}));
    let apps = &node["node"]["apps"];
    assert_eq!(apps[0]["url"], "http://127.0.0.1:8080/", "{apps}");
    assert_eq!(apps[1]["tcp"], "127.0.0.1:5432", "{apps}");
    assert_eq!(node["node_metrics"][0]["name"], "web-1-app", "{node}");
}

/// On this machine: ports that are free stand for those of the documentation.
#[tokio::test]
async fn the_example_works_on_one_machine() {
    let (api, db) = (App::http().await, App::echo().await);
    let page = Pages::start(&[("/metrics", PAGE)]).await;
    let place = format!("127.0.0.1:{}", free_port());
    let own = format!("listen: \"{place}\"\ndata_dir: ./data\n");
    let hub = Program::start(&(put(HUB, PLACE, &place) + &own)).await;
    let printed = Printed::read(&cluster::run(&hub, &ADD_TOKEN));
    let mut node = put(&put(NODE, PLACE, &place), PIN, &printed.pin);
    printed.assert_prints_join(&node);
    for (from, to) in [
        ("127.0.0.1:8080", api.address),
        ("127.0.0.1:5432", db.address),
        ("127.0.0.1:9100", page.server.address),
    ] {
        node = put(&node, from, &to.to_string());
    }
    let own = "listen: \"127.0.0.1:0\"\ndata_dir: ./data\n";
    let launch = Launch::new(&(node + own)).file("join.token", &printed.token);
    let _node = launch.start().await;
    cluster::online(&hub, "web-1").await;
    let connect = async || Ok(tokio::net::TcpStream::connect(hub.main).await?);
    assert_reached(&hub, &place, connect).await;
    assert_chosen_by_label(&hub).await;
}

/// On two machines of their own, with the documentation's ports and the documentation's name of the
/// hub: nothing is changed but the pin.
#[tokio::test]
async fn the_example_works_on_two_machines() {
    if !cluster::may_make_namespaces() {
        return skip("network namespaces need root and iproute2");
    }
    let (here, there) = (Namespace::make(), Namespace::make());
    let [address, far] = namespace::link(Some(&here), &there);
    let hub = on(&here, HUB, address).start().await;
    assert_eq!(hub.main.to_string(), "0.0.0.0:3080");
    let tell = |arguments: &[&str]| -> String {
        let mut command = here.command(&program_path());
        command.args(arguments).current_dir(hub.directory.path());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = Printed::read(&tell(&ADD_TOKEN));
    let text = put(NODE, PIN, &printed.pin);
    printed.assert_prints_join(&text);
    let _api = App::http_on(there.listen("127.0.0.1:8080"));
    let _db = App::echo_on(there.listen("127.0.0.1:5432"));
    let _page = Pages::start_on(there.listen("127.0.0.1:9100"), &[("/metrics", PAGE)]);
    let launch = on(&there, &text, address).file("join.token", &printed.token);
    let node = launch.start().await;
    wait::until("web-1 is online", JOINED, async || {
        let listed: Value = serde_json::from_str(&tell(&["nodes", "ls", "--json"])).unwrap();
        let node = &listed["nodes"][0];
        (node["name"] == "web-1" && node["state"] == "online").then_some(())
    })
    .await;
    let place = "127.0.0.1:3080";
    assert_reached(&hub, place, async || Ok(here.connect(place)?)).await;
    // Nothing of the node can be dialled from the hub's machine, not even its own listener.
    for port in [3080, 5432, 8080, 9100] {
        assert!(here.connect(&format!("{far}:{port}")).is_err(), "{port}");
    }
    drop(node);
}

/// A launch of this configuration on one machine, to which the hub's name is this address.
fn on(machine: &Namespace, text: &str, hub: Ipv4Addr) -> Launch {
    let hosts = format!("127.0.0.1 localhost\n{hub} hub.example.net\n");
    let mut launch = Launch::new(text).file("hosts", &hosts);
    // The harness looks for what the program writes in `data`.
    std::os::unix::fs::symlink("landline-data", launch.path("data")).unwrap();
    launch.wrapper = machine.wrapper_with_hosts(Path::new(&launch.path("hosts")));
    // What the environment says of this machine is not so there.
    launch.variable("https_proxy", "")
}

/// Everything that the node offers is reached at the hub, by who may.
async fn assert_reached(
    hub: &Program,
    place: &str,
    connect: impl AsyncFn() -> Result<tokio::net::TcpStream, client::Failure>,
) {
    let token = std::fs::read_to_string(hub.path("data/admin.token")).unwrap();
    let token = token.trim();
    let bearer = format!("Bearer {token}");
    let get = async |path: &str, headers: &[(&str, &str)]| {
        let mut connection = Connection::over(connect().await.unwrap(), place)
            .await
            .unwrap();
        connection.send("GET", path, headers, "").await.unwrap()
    };
    // What a node offers comes over its line, just after it.
    let page = wait::until("the page", JOINED, async || {
        let reply = get("/metrics/web-1-app", &[]).await;
        (reply.status == 200).then_some(reply)
    });
    assert_eq!(page.await.text(), PAGE);
    let groups = get("/v1/gateway/sd", &[]).await.json();
    let wanted = json!({
        "targets": [place],
        "labels": {"__metrics_path__": "/metrics/web-1-app", "instance": "web-1-app", "node": "web-1"},
    });
    let groups = groups.as_array().unwrap();
    assert!(groups.contains(&wanted), "{groups:?}");
    let told = get("/apps/api/orders?all", &[("authorization", &bearer)]).await;
    assert_eq!(told.status, 200, "{}", told.text());
    assert_eq!(told.json()["target"], "/orders?all");
    assert_eq!(get("/apps/api/", &[]).await.status, 401);
    let stream = connect().await.unwrap();
    let (mut stream, status) = locks::open_over(stream, "POST /v1/apps/db/connect", token).await;
    assert_eq!(status, "101");
    locks::echoes(&mut stream).await;
}

/// The node's labels decide about who sees it.
async fn assert_chosen_by_label(hub: &Program) {
    for (env, expected) in [("prod", json!(["web-1"])), ("test", json!([]))] {
        let rule = json!({"kinds": ["nodes"], "verbs": ["read"], "labels": {"env": env}});
        let role = json!({"name": env, "allow": [rule]}).to_string();
        let added = cluster::admin(hub, "POST", "/v1/roles", &role).await;
        assert_eq!(added.status, 200, "{}", added.text());
        cluster::run(hub, &["users", "add", env, "--role", env]);
        let (token, _) = locks::token(hub, env);
        let bearer = format!("Bearer {token}");
        let url = format!("http://{}/v1/nodes", hub.main);
        let reply = client::get(&url, &[("authorization", &bearer)]).await;
        let listed = reply.unwrap().json();
        let nodes = listed["nodes"].as_array().unwrap();
        let names: Vec<&Value> = nodes.iter().map(|node| &node["name"]).collect();
        assert_eq!(json!(names), expected, "{env}");
    }
}

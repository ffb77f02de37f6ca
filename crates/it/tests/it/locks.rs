//! Locks: what is open ends at once, what is new is refused with the reason, and both are recorded.

use std::time::{Duration, Instant};

use it::cluster::{self, refused, run};
use it::need::need;
use it::postgres::Database;
use it::program::{Launch, Program};
use it::stubs::apps::App;
use it::stubs::page;
use it::stubs::pages::Pages;
use it::wait::{self, SOON};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest until a lock has acted on the hub where it was made.
const HERE: Duration = Duration::from_secs(2);
/// The same on another hub.
const ELSEWHERE: Duration = Duration::from_secs(5);
/// The longest a replacement takes.
const REPLACED: Duration = Duration::from_secs(30);
/// The longest until a node is back after its lock is gone: the pool waits up to 8 s.
const BACK: Duration = Duration::from_secs(20);

async fn lines(hub: &Program, node: &str) -> u64 {
    let view = cluster::node_view(hub, node).await;
    view.and_then(|view| view["lines"].as_u64()).unwrap_or(0)
}

async fn loses_its_line(hub: &Program, node: &str, limit: Duration) {
    wait::until(&format!("{node} has no line"), limit, async || {
        (lines(hub, node).await == 0).then_some(())
    })
    .await;
}

fn metrics(stub: &Pages) -> Value {
    json!({"metrics": [{"name": "app", "url": stub.server.url("/metrics")}]})
}

/// The lines of a node that is locked end at once; it is told why, says so, and stays out until the
/// lock goes.
#[tokio::test]
async fn a_locked_node_is_cut_off_and_told_why() {
    let stub = Pages::start(&[("/metrics", &page(5))]).await;
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let node = cluster::join(&hub, "web-1", metrics(&stub)).await;
    wait::until("the page", SOON, async || {
        (hub.scrape("app").await.status == 200).then_some(())
    })
    .await;
    let lock = [
        "locks",
        "add",
        "--node",
        "web-1",
        "--reason",
        "stolen laptop",
    ];
    let begun = Instant::now();
    let id = run(&hub, &lock);
    loses_its_line(&hub, "web-1", HERE).await;
    assert!(begun.elapsed() <= HERE, "{:?}", begun.elapsed());
    let reply = hub.scrape("app").await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.text().contains("stolen laptop"), "{}", reply.text());
    // The end of its line, and each further attempt, say why.
    wait::until("the node says why", SOON, async || {
        let log = node.stderr();
        let is_told = log.contains("line ended") && log.contains("no line to a proxy");
        (is_told
            && log
                .matches("is locked by an operator: stolen laptop")
                .count()
                >= 2)
            .then_some(())
    })
    .await;
    wait::until("its status says why", SOON, async || {
        let status = node.command(&["status"]);
        let text = String::from_utf8_lossy(&status.stdout).into_owned();
        text.contains("stolen laptop").then_some(())
    })
    .await;
    assert_eq!(lines(&hub, "web-1").await, 0);
    let listed: Value = serde_json::from_str(&run(&hub, &["locks", "ls", "--json"])).unwrap();
    let listed = &listed["locks"][0];
    assert_eq!(
        (&listed["kind"], &listed["name"]),
        (&json!("node"), &json!("web-1"))
    );
    let created = cluster::audit(&hub, "lock.created").await;
    assert_eq!(created[0]["actor"], "user:local-admin", "{created:?}");
    let refusals = cluster::audit(&hub, "line.refused").await;
    assert!(
        refusals[0]["outcome"] == "refused" && refusals[0].to_string().contains("stolen laptop"),
        "{refusals:?}"
    );

    run(&hub, &["locks", "rm", &id]);
    wait::until("it is back", BACK, async || {
        (hub.scrape("app").await.status == 200).then_some(())
    })
    .await;
    wait::until("its status is well", BACK, async || {
        let status = node.command(&["status"]);
        (!String::from_utf8_lossy(&status.stdout).contains("degraded")).then_some(())
    })
    .await;
    assert_eq!(cluster::audit(&hub, "lock.removed").await.len(), 1);
    // One with an end needs nobody to remove it.
    run(&hub, &[&lock[..], &["--ttl", "3s"]].concat());
    loses_its_line(&hub, "web-1", HERE).await;
    wait::until("the lock has ended", BACK, async || {
        (lines(&hub, "web-1").await > 0).then_some(())
    })
    .await;
}

/// A user who may use the applications of the node.
fn user(hub: &Program, name: &str) -> (String, String) {
    run(hub, &["users", "add", name, "--role", "operator"]);
    token(hub, name)
}

/// A token of a user, and its identifier.
pub(crate) fn token(hub: &Program, name: &str) -> (String, String) {
    let words = ["tokens", "add", "--role", "api", "--user", name, "--json"];
    let issued: Value = serde_json::from_str(&run(hub, &words)).unwrap();
    let text = |key: &str| issued[key].as_str().unwrap().to_owned();
    (text("token"), text("id"))
}

/// Sends a head with a token; gives the connection after the head of the answer, and its status.
pub(crate) async fn open(hub: &Program, head: &str, token: &str) -> (TcpStream, String) {
    open_over(TcpStream::connect(hub.main).await.unwrap(), head, token).await
}

/// The same over a connection that is there already.
pub(crate) async fn open_over(
    mut stream: TcpStream,
    head: &str,
    token: &str,
) -> (TcpStream, String) {
    let head = format!("{head} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\n");
    let upgrade = "Connection: upgrade\r\nUpgrade: landline-tcp\r\nContent-Length: 0\r\n\r\n";
    stream
        .write_all(format!("{head}{upgrade}").as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().to_owned();
    (stream, status)
}

/// Waits until the other side has ended the connection.
pub(crate) async fn ends(stream: &mut TcpStream, limit: Duration) {
    let rest = async {
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    assert!(
        tokio::time::timeout(limit, rest).await.is_ok(),
        "a connection is open {limit:?} after the lock"
    );
}

pub(crate) async fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"hello");
}

/// What a user has open ends with the lock, what they send afterwards is refused; others go on.
#[tokio::test]
async fn a_locked_user_is_out_at_once() {
    let (tcp, http) = (App::echo().await, App::http().await);
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let apps = json!([
        {"name": "db", "tcp": tcp.address.to_string()},
        {"name": "api", "url": format!("http://{}", http.address)},
    ]);
    let node = cluster::join(&hub, "web-1", json!({"apps": apps})).await;
    let (anna, _) = user(&hub, "anna");
    let (ben, ben_id) = user(&hub, "ben");
    let (connect, stream) = ("POST /v1/apps/db/connect", "GET /apps/api/stream");
    let (mut forwarded, status) = open(&hub, connect, &anna).await;
    assert_eq!(status, "101");
    echoes(&mut forwarded).await;
    let (mut streamed, status) = open(&hub, stream, &anna).await;
    assert_eq!(status, "200");
    let (mut other, status) = open(&hub, connect, &ben).await;
    assert_eq!(status, "101");

    let id = run(
        &hub,
        &[
            "locks",
            "add",
            "--user",
            "anna",
            "--reason",
            "left the team",
        ],
    );
    tokio::join!(ends(&mut forwarded, HERE), ends(&mut streamed, HERE));
    echoes(&mut other).await;
    let bearer = format!("Bearer {anna}");
    let url = format!("http://{}/apps/api/", hub.main);
    let headers = [("authorization", bearer.as_str())];
    let reply = it::client::get(&url, &headers).await.unwrap();
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert!(reply.text().contains("left the team"), "{}", reply.text());
    run(&hub, &["locks", "rm", &id]);
    assert_eq!(it::client::get(&url, &headers).await.unwrap().status, 200);

    // A lock on one token leaves the user's others alone.
    let more = token(&hub, "ben").0;
    run(
        &hub,
        &[
            "locks",
            "add",
            "--token",
            &ben_id,
            "--reason",
            "in a public log",
        ],
    );
    ends(&mut other, HERE).await;
    assert_eq!(open(&hub, connect, &ben).await.1, "403");
    let (mut fresh, status) = open(&hub, connect, &more).await;
    assert_eq!(status, "101");
    run(
        &hub,
        &[
            "locks",
            "add",
            "--role",
            "operator",
            "--reason",
            "an incident",
        ],
    );
    ends(&mut fresh, HERE).await;
    drop(node);
}

/// What somebody has open ends when they or their token are removed. Another one of the same name is
/// somebody else, whom nothing keeps out.
#[tokio::test]
async fn what_the_removed_have_open_ends() {
    let tcp = App::echo().await;
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let apps = json!([{"name": "db", "tcp": tcp.address.to_string()}]);
    let node = cluster::join(&hub, "web-1", json!({"apps": apps})).await;
    let connect = "POST /v1/apps/db/connect";
    let (first, first_id) = user(&hub, "anna");
    let (second, _) = token(&hub, "anna");
    let (mut by_first, status) = open(&hub, connect, &first).await;
    assert_eq!(status, "101");
    let (mut by_second, status) = open(&hub, connect, &second).await;
    assert_eq!(status, "101");
    run(&hub, &["tokens", "rm", &first_id]);
    ends(&mut by_first, HERE).await;
    echoes(&mut by_second).await;
    run(&hub, &["users", "rm", "anna"]);
    ends(&mut by_second, HERE).await;
    assert_eq!(open(&hub, connect, &second).await.1, "401");
    let (other, _) = user(&hub, "anna");
    let (mut stream, status) = open(&hub, connect, &other).await;
    assert_eq!(status, "101");
    echoes(&mut stream).await;
    drop(node);
}

/// What goes on in a process that was replaced and drains ends with a lock all the same.
#[tokio::test]
async fn a_lock_acts_on_a_process_that_drains() {
    let tcp = App::echo().await;
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let apps = json!([{"name": "db", "tcp": tcp.address.to_string()}]);
    let node = cluster::join(&hub, "web-1", json!({"apps": apps})).await;
    let (anna, _) = user(&hub, "anna");
    let (mut forwarded, status) = open(&hub, "POST /v1/apps/db/connect", &anna).await;
    assert_eq!(status, "101");
    let old = hub.serving_pid().await;
    hub.signal(Signal::HUP);
    wait::until("the replacement serves", REPLACED, async || {
        let now = hub.serving_pid().await;
        (now.is_some() && now != old).then_some(())
    })
    .await;
    echoes(&mut forwarded).await;
    run(&hub, &["locks", "add", "--user", "anna", "--reason", "x"]);
    ends(&mut forwarded, ELSEWHERE).await;
    drop(node);
}

/// A lock names somebody who is there, and says why.
#[tokio::test]
async fn a_lock_that_would_lock_nobody_is_refused() {
    let hub = Program::start(&cluster::hub(json!({}))).await;
    for (option, name) in [
        ("--node", "web-9"),
        ("--proxy-name", "hub-9"),
        ("--user", "nobody"),
        ("--token", "0123456789abcdef"),
        ("--role", "no-role"),
    ] {
        let why = refused(&hub, &["locks", "add", option, name, "--reason", "x"]);
        assert!(why.contains(name), "{option}: {why}");
    }
    let two = [
        "locks", "add", "--node", "a", "--user", "b", "--reason", "x",
    ];
    assert!(refused(&hub, &two).contains("cannot be used with"));
    assert!(refused(&hub, &["locks", "add", "--node", "a"]).contains("--reason"));
    assert!(refused(&hub, &["locks", "rm", "no-lock"]).contains("no-lock"));
    let body = json!({"kind": "node", "name": "a", "reason": " "}).to_string();
    assert_eq!(
        cluster::admin(&hub, "POST", "/v1/locks", &body)
            .await
            .status,
        400
    );
    for (method, path) in [
        ("GET", "/v1/locks"),
        ("POST", "/v1/locks"),
        ("DELETE", "/v1/locks/x"),
        ("GET", "/v1/authorities"),
        ("POST", "/v1/authorities/x509/rotate"),
        ("DELETE", "/v1/nodes/web-1"),
    ] {
        assert_eq!(hub.main(method, path).await.status, 401, "{method} {path}");
    }
}

/// A lock that is made at one hub acts at the others; they share their sealing key by the
/// configuration. A proxy that is locked is left by its nodes.
#[tokio::test]
async fn a_lock_acts_on_every_hub() {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    let key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let hub = |name: &str| {
        let identity = json!({"key": {"env": "SEALING_KEY"}});
        let more = json!({"state": database.url, "identity": identity, "proxy": {"name": name}});
        Launch::new(&cluster::hub(more)).variable("SEALING_KEY", key)
    };
    let (first, second) = (hub("first").start().await, hub("second").start().await);
    assert!(!first.path("data/identity.key").exists());
    let node = cluster::join(&first, "web-1", json!({})).await;
    wait::until("a line to the second", BACK, async || {
        (lines(&second, "web-1").await > 0).then_some(())
    })
    .await;
    let begun = Instant::now();
    let id = run(
        &first,
        &["locks", "add", "--node", "web-1", "--reason", "stolen"],
    );
    loses_its_line(&first, "web-1", HERE).await;
    loses_its_line(&second, "web-1", ELSEWHERE).await;
    assert!(begun.elapsed() <= ELSEWHERE, "{:?}", begun.elapsed());
    run(&second, &["locks", "rm", &id]);
    for hub in [&first, &second] {
        wait::until("lines to both", BACK, async || {
            (lines(hub, "web-1").await > 0).then_some(())
        })
        .await;
    }
    run(
        &first,
        &[
            "locks",
            "add",
            "--proxy-name",
            "second",
            "--reason",
            "moved",
        ],
    );
    loses_its_line(&second, "web-1", ELSEWHERE).await;
    assert!(lines(&first, "web-1").await > 0);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(lines(&second, "web-1").await, 0, "{}", node.stderr());
    drop((node, first, second));
    database.remove().await;
}

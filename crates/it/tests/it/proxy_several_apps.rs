//! Applications of a node that has a line to another proxy: HTTP, WebSocket, forwards and ports go over
//! that proxy, and who asks is known at the end.

use std::process::Stdio;
use std::time::{Duration, Instant};

use it::client::{self, Reply};
use it::cluster;
use it::program::{Program, program_path};
use it::prometheus::free_port;
use it::stubs::apps::{App, STEP, masked};
use it::wait;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::proxy_several::Pair;

/// The longest until what a node offers is known everywhere.
const FOUND: Duration = Duration::from_secs(10);
/// The longest a caller waits for the word that something can't be reached.
const TOLD: Duration = Duration::from_secs(6);

fn token(hub: &Program) -> String {
    let token = std::fs::read_to_string(hub.path("data/admin.token")).unwrap();
    token.trim().to_owned()
}

async fn get(hub: &Program, path: &str) -> Reply {
    let bearer = format!("Bearer {}", token(hub));
    let url = format!("http://{}{path}", hub.main);
    client::get(&url, &[("authorization", &bearer)])
        .await
        .unwrap()
}

async fn websocket(hub: &Program) {
    let mut socket = TcpStream::connect(hub.main).await.unwrap();
    let head = format!(
        "GET /apps/api/ws HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {}\r\n\r\n",
        token(hub)
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    socket.write_all(&masked("over b")).await.unwrap();
    let mut frame = [0; 8];
    let read = tokio::time::timeout(STEP, socket.read_exact(&mut frame)).await;
    read.expect("an echo").unwrap();
    assert_eq!(&frame[2..], b"over b");
}

async fn forward(hub: &Program) {
    std::fs::write(hub.path("api.token"), token(hub)).unwrap();
    let mut child = tokio::process::Command::new(program_path())
        .args(["forward", "db", "127.0.0.1:0", "--token-file", "api.token"])
        .current_dir(hub.directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().expect("a line");
    echoes(line.split(' ').next().unwrap()).await;
}

/// Sends a word, ends, and reads it with what stands before it.
async fn echoes(address: &str) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut echoed = String::new();
    let read = tokio::time::timeout(STEP, stream.read_to_string(&mut echoed)).await;
    read.expect("the end is passed on").unwrap();
    assert!(
        echoed.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "),
        "{echoed}"
    );
    assert!(echoed.ends_with("\r\nhello"), "{echoed}");
}

#[tokio::test]
async fn applications_are_reached_over_another_proxy() {
    let port = free_port();
    // Nobody listens where the second one says that it is: the node has a line to the first only.
    let second = json!({"name": "second", "addresses": ["127.0.0.1:1"],
        "listeners": [{"listen": format!("127.0.0.1:{port}"), "app": "db"}]});
    let Some(pair) = Pair::start_with(&second).await else {
        return;
    };
    let (api, db) = (App::http().await, App::echo().await);
    let apps: Value = json!({"apps": [
        {"name": "api", "url": format!("http://{}", api.address)},
        {"name": "db", "tcp": db.address.to_string(), "proxy_protocol": "v1"},
        {"name": "down", "url": "http://127.0.0.1:1"},
    ]});
    let mut node = cluster::join(&pair.first, "web-1", apps).await;
    let reply = wait::until("the application", FOUND, async || {
        let reply = get(&pair.second, "/apps/api/x?y=z").await;
        (reply.status == 200).then_some(reply)
    });
    let told = reply.await.json();
    assert_eq!(told["target"], "/x?y=z");
    assert_eq!(told["headers"]["x-forwarded-for"], "127.0.0.1");
    let asserted = told["headers"]["landline-jwt-assertion"].as_str();
    assert!(asserted.is_some_and(|text| !text.is_empty()), "{told}");
    let view = cluster::node_view(&pair.second, "web-1").await.unwrap();
    assert_eq!(view["lines"], 0, "it is another proxy's node");
    websocket(&pair.second).await;
    forward(&pair.second).await;
    echoes(&format!("127.0.0.1:{port}")).await;
    let down = get(&pair.second, "/apps/down/").await;
    assert_eq!(down.status, 502, "{}", down.text());
    assert!(down.text().contains("127.0.0.1:1"), "{}", down.text());
    // Decided where it is asked, and written down there.
    let stranger = client::get(&format!("http://{}/apps/api/", pair.second.main), &[]).await;
    assert_eq!(stranger.unwrap().status, 401);

    // Many at once, then the node dies: every answer is 503 in time and names the node.
    for _ in 0..5 {
        assert_eq!(get(&pair.second, "/apps/api/").await.status, 200);
    }
    node.signal(Signal::KILL);
    node.wait_exit(TOLD).await;
    for hub in [&pair.second, &pair.first] {
        for _ in 0..3 {
            let begun = Instant::now();
            let away = get(hub, "/apps/api/").await;
            assert_eq!(away.status, 503, "{}", away.text());
            assert!(away.text().contains("web-1"), "{}", away.text());
            assert!(begun.elapsed() < TOLD, "{:?}", begun.elapsed());
        }
    }
    node.restart();
    node.ready().await;
    wait::until("the application is back", FOUND, async || {
        (get(&pair.second, "/apps/api/").await.status == 200).then_some(())
    })
    .await;
    pair.database.remove().await;
}

//! Strangers at the door of lines: every way in without the right certificate is refused, and the
//! audit log says so.

use std::sync::Arc;
use std::time::Duration;

use it::certificates::{Authority, Pair, careless_client, careless_client_of};
use it::cluster;
use it::program::Program;
use it::wait;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const CONTROL: &[u8] = b"landline-line-control/1";
const INTERACTIVE: &[u8] = b"landline-line-interactive/2";
const PEER: &[u8] = b"landline-peer/1";
const HTTP: &[u8] = b"http/1.1";
/// The beginning of HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest until a refusal is recorded, or a stranger is cut off.
const SOON: Duration = Duration::from_secs(15);

/// Knocks with this protocol and certificate, says `words`, and gives what came back before the end.
async fn knock(hub: &Program, alpn: &[u8], pair: Option<&Pair>, words: &[u8]) -> Vec<u8> {
    knock_as(hub, careless_client(alpn, pair), words).await
}

async fn knock_as(hub: &Program, client: ClientConfig, words: &[u8]) -> Vec<u8> {
    let connector = TlsConnector::from(Arc::new(client));
    let stream = TcpStream::connect(hub.main).await.unwrap();
    let mut heard = Vec::new();
    let exchange = async {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, stream).await?;
        stream.write_all(words).await?;
        stream.flush().await?;
        (&mut stream).take(64 << 10).read_buf(&mut heard).await
    };
    // A refusal comes as an alert, as an end or as an answer.
    let outcome = timeout(SOON, exchange).await.expect("cut off in time");
    drop(outcome);
    heard
}

/// Begins the handshake inside a WebSocket, and gives what came back.
async fn knock_inside(hub: &Program, client: ClientConfig) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    // A binary message whose length stands in two bytes, under a mask that changes nothing (RFC 6455, 5.2).
    let length = u16::try_from(hello.len()).unwrap().to_be_bytes();
    let message = [&[0x82, 0xfe][..], &length, &[0; 4], &hello].concat();
    let head = "GET /v1/line HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Protocol: landline\r\n\r\n";
    let mut stream = TcpStream::connect(hub.main).await.unwrap();
    let mut heard = Vec::new();
    let exchange = async {
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await?);
        }
        stream.write_all(&message).await?;
        (&mut stream).take(64 << 10).read_buf(&mut heard).await
    };
    timeout(SOON, exchange).await.expect("in time").unwrap();
    heard
}

/// What a machine of the cluster says first on this protocol, and has an answer to.
fn first_words(alpn: &[u8]) -> Vec<u8> {
    let words = if alpn == PEER {
        json!({"target": {"kind": "metrics", "name": "", "node": "web-1"}})
    } else {
        json!({"version": 3, "line": format!("{:032x}", 7)})
    };
    frame(&words)
}

fn frame(message: &Value) -> Vec<u8> {
    let message = message.to_string();
    let length = u32::try_from(message.len()).unwrap();
    [&length.to_be_bytes(), message.as_bytes()].concat()
}

/// Waits for a refusal of this kind whose reason contains `word`.
async fn recorded(hub: &Program, kind: &str, word: &str) -> Value {
    wait::until(&format!("{kind}: {word}"), SOON, async || {
        let mut events = cluster::audit(hub, kind).await.into_iter();
        events.find(|event| event["outcome"] == "refused" && event.to_string().contains(word))
    })
    .await
}

/// No certificate, and one of an authority that is not the cluster's.
#[tokio::test]
async fn a_line_needs_a_certificate_of_the_cluster() {
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let stranger = Authority::new("another cluster").client("web-1");
    for (at, alpn) in [CONTROL, INTERACTIVE, PEER].into_iter().enumerate() {
        let words = first_words(alpn);
        assert!(knock(&hub, alpn, None, &words).await.is_empty());
        assert!(knock(&hub, alpn, Some(&stranger), &words).await.is_empty());
        for reason in ["peer sent no certificates", "authority"] {
            wait::until(&format!("{reason} at {alpn:?}"), SOON, async || {
                let events = cluster::audit(&hub, "line.handshake").await.into_iter();
                let told = events.filter(|event| event.to_string().contains(reason));
                (told.count() == at + 1).then_some(())
            })
            .await;
        }
    }
    let event = recorded(&hub, "line.handshake", "authority").await;
    assert_eq!(event["actor"], "anonymous");
    assert_eq!(event["address"], "127.0.0.1");
    assert!(cluster::node_view(&hub, "web-1").await.is_none());
}

/// A node's certificate is good for a node's lines and nothing else.
#[tokio::test]
async fn a_node_is_not_taken_for_a_proxy() {
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let node = cluster::join(&hub, "web-1", json!({})).await;
    let pair = cluster::own_pair(&node);
    let words = first_words(PEER);
    assert!(knock(&hub, PEER, Some(&pair), &words).await.is_empty());
    // The same words on a lane of a node have an answer.
    let words = first_words(CONTROL);
    assert!(!knock(&hub, CONTROL, Some(&pair), &words).await.is_empty());
    recorded(&hub, "line.refused", "node").await;
    // Whoever takes the protocol's name out of the handshake talks to the door of browsers, where a
    // line can't begin.
    let answer = knock(&hub, HTTP, Some(&pair), PREFACE).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    let view = cluster::node_view(&hub, "web-1").await.unwrap();
    assert_eq!(view["state"], "online", "{view}");
}

/// Whoever may come in does so with TLS 1.3 only.
#[tokio::test]
async fn an_older_tls_is_refused() {
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let node = cluster::join(&hub, "web-1", json!({})).await;
    let pair = cluster::own_pair(&node);
    for (at, alpn) in [CONTROL, INTERACTIVE, PEER].into_iter().enumerate() {
        let old = careless_client_of(&[&rustls::version::TLS12], alpn, Some(&pair));
        assert!(knock_as(&hub, old, &first_words(alpn)).await.is_empty());
        wait::until(&format!("refusal of {alpn:?}"), SOON, async || {
            let events = cluster::audit(&hub, "line.handshake").await.into_iter();
            let told = events.filter(|event| {
                let details = &event["details"];
                details["reason"] == "protocol" && details["text"].to_string().contains("TLS 1.2")
            });
            (told.count() == at + 1).then_some(())
        })
        .await;
    }
    // Where something on the way takes the names of protocols out, too.
    let before = cluster::audit(&hub, "line.handshake").await.len();
    let old = careless_client_of(&[&rustls::version::TLS12], CONTROL, Some(&pair));
    let answer = knock_inside(&hub, old).await;
    // An alert that is fatal: the version of the protocol (RFC 5246, 7.2).
    assert!(answer.ends_with(&[21, 3, 3, 0, 2, 2, 70]), "{answer:?}");
    wait::until("refusal in a WebSocket", SOON, async || {
        let events = cluster::audit(&hub, "line.handshake").await;
        (events.len() > before).then_some(())
    })
    .await;
    // With the newer one the same words have an answer.
    let new = careless_client_of(&[&rustls::version::TLS13], CONTROL, Some(&pair));
    assert!(!knock_as(&hub, new, &first_words(CONTROL)).await.is_empty());
}

/// A node that is told of proxies by somebody who may not, or again what was true once, says so to its
/// hub. Spoken by hand: no proxy of ours would pass such a thing on.
#[tokio::test]
async fn what_a_node_does_not_believe_is_recorded() {
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let node = cluster::join(&hub, "web-1", json!({})).await;
    let pair = cluster::own_pair(&node);
    let mut lanes = Vec::new();
    for alpn in [CONTROL, INTERACTIVE] {
        let connector = TlsConnector::from(Arc::new(careless_client(alpn, Some(&pair))));
        let stream = TcpStream::connect(hub.main).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut lane = connector.connect(name, stream).await.unwrap();
        lane.write_all(&first_words(alpn)).await.unwrap();
        lane.flush().await.unwrap();
        // The line has to be there before its second lane comes.
        let mut answer = [0; 4];
        let answered = timeout(SOON, lane.read_exact(&mut answer)).await;
        answered.expect("an answer in time").unwrap();
        lanes.push(lane);
    }
    // One in a minute is enough, and nothing in it obeys the terminal of who reads it.
    for _ in 0..3 {
        let reason = "the signature\u{1b}[2J\ndoes not fit\u{0}";
        let said = json!({"disbelieved": {"proxy": "hub-2\n", "reason": reason}});
        let note = json!({"type": "member", "text": said.to_string()});
        lanes[0].write_all(&frame(&note)).await.unwrap();
        lanes[0].flush().await.unwrap();
    }
    let event = recorded(&hub, "line.announcement", "does not fit").await;
    assert_eq!(event["target"], "node:web-1");
    let details = json!({
        "node": "web-1",
        "proxy": "hub-2",
        "reason": "the signature[2Jdoes not fit",
    });
    assert_eq!(event["details"], details);
    let actor = event["actor"].as_str().unwrap();
    assert!(actor.starts_with("node:"), "{event}");
    // What it says after that was heard is there, and the others are not.
    assert_eq!(cluster::audit(&hub, "line.announcement").await.len(), 1);
}

/// A token for a proxy makes no node, and the other way round.
#[tokio::test]
async fn a_token_of_another_role_lets_nobody_in() {
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let token = cluster::token(&hub, json!({"roles": ["proxy"]})).await;
    let section = json!({"name": "web-1"});
    let launch = cluster::launch_node(&hub.main.to_string(), &token, &section);
    let node = launch.start().await;
    recorded(&hub, "node.join", "role").await;
    assert!(cluster::node_view(&hub, "web-1").await.is_none());
    assert!(
        !node.stderr().contains(&token.text),
        "the token is in a log"
    );
}

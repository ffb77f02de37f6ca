//! Ports of the hub that lead to TCP applications of nodes: for real clients, from where the operator
//! allows it, and over a replacement.

use std::process::Command;
use std::time::Duration;

use it::cluster;
use it::need::need;
use it::postgres::Database;
use it::program::{Launch, Program};
use it::prometheus::free_port;
use it::stubs::apps::{App, STEP};
use it::wait;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest a replacement takes.
const REPLACED: Duration = Duration::from_secs(30);

/// A hub with these listeners.
async fn hub(listeners: Value) -> Program {
    let more = json!({"proxy": {"listeners": listeners}});
    Launch::new(&cluster::hub(more)).start().await
}

/// Sends a word and reads what comes back until the end.
async fn echo(port: u16, word: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(word.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut echoed = String::new();
    let read = tokio::time::timeout(STEP, stream.read_to_string(&mut echoed)).await;
    drop(read.expect("an end in time"));
    echoed
}

/// psql reaches a server that only the node can dial.
#[tokio::test]
async fn psql_works_through_a_port_of_the_hub() {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    let mut url = url::Url::parse(&database.url).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let port = free_port();
    let hub = hub(json!([{"listen": format!("127.0.0.1:{port}"), "app": "db"}])).await;
    let apps = json!({"apps": [{"name": "db", "tcp": server}]});
    let _node = cluster::join(&hub, "web-1", apps).await;
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(port)).unwrap();
    let output = Command::new("psql")
        .args([
            url.as_str(),
            "-tAc",
            "SELECT count(*) FROM generate_series(1, 100000)",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.trim(), "100000", "{error}");
    let used = cluster::audit(&hub, "app.used").await;
    let details = &used[0]["details"];
    assert_eq!(details["listener"], format!("127.0.0.1:{port}"), "{used:?}");
    assert_eq!(used[0]["outcome"], "success");
    database.remove().await;
}

/// The application learns whose the connection is; who is not allowed, who comes beyond the bound, and
/// who wants what is not there gets nothing, and it is written down.
#[tokio::test]
async fn a_port_is_for_those_it_is_for() {
    let app = App::echo().await;
    let address = app.address.to_string();
    let ports: Vec<u16> = (0..4).map(|_| free_port()).collect();
    let listen = |at: usize| format!("127.0.0.1:{}", ports[at]);
    let hub = hub(json!([
        {"listen": listen(0), "app": "echo", "node": "web-1"},
        {"listen": listen(1), "app": "echo", "allow": ["10.0.0.0/8"]},
        {"listen": listen(2), "app": "nothing"},
        {"listen": listen(3), "app": "echo", "connections": 1},
    ]))
    .await;
    let apps = json!({"apps": [{"name": "echo", "tcp": address, "proxy_protocol": "v1"}]});
    let _node = cluster::join(&hub, "web-1", apps).await;
    let echoed = echo(ports[0], "hello").await;
    assert!(
        echoed.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "),
        "{echoed}"
    );
    assert!(echoed.ends_with("\r\nhello"), "{echoed}");
    assert_eq!(echo(ports[1], "hello").await, "");
    assert_eq!(echo(ports[2], "hello").await, "");
    let mut one = TcpStream::connect(("127.0.0.1", ports[3])).await.unwrap();
    one.write_all(b"x").await.unwrap();
    one.read_u8().await.unwrap();
    assert_eq!(echo(ports[3], "hello").await, "", "beyond the bound");
    let used = cluster::audit(&hub, "app.used").await;
    let of = |at: usize| {
        let mut events = used.iter();
        let event = events.find(|event| event["details"]["listener"] == listen(at));
        event
            .map(|event| event["outcome"].clone())
            .unwrap_or_default()
    };
    assert_eq!(
        [of(0), of(1), of(2)],
        [json!("success"), json!("refused"), json!("failed")]
    );
    for (at, result) in [
        (0, "success"),
        (1, "refused"),
        (2, "failed"),
        (3, "too_many"),
    ] {
        let labels = [("listener", listen(at)), ("result", result.to_owned())];
        let labels: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let counted = hub
            .metric("landline_app_listener_connections_total", &labels)
            .await;
        assert!(counted >= 1.0, "{labels:?}");
    }
}

/// A replacement takes the port over: what is open goes on, and nobody is refused.
#[tokio::test]
async fn a_port_outlives_a_replacement() {
    let app = App::echo().await;
    let port = free_port();
    let hub = hub(json!([{"listen": format!("127.0.0.1:{port}"), "app": "echo"}])).await;
    let apps = json!({"apps": [{"name": "echo", "tcp": app.address.to_string()}]});
    let _node = cluster::join(&hub, "web-1", apps).await;
    let mut open = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    open.write_all(b"a").await.unwrap();
    assert_eq!(open.read_u8().await.unwrap(), b'a');
    let old = hub.serving_pid().await;
    hub.signal(Signal::HUP);
    wait::until("the replacement serves", REPLACED, async || {
        assert_eq!(echo(port, "meanwhile").await, "meanwhile");
        let now = hub.serving_pid().await;
        (now.is_some() && now != old).then_some(())
    })
    .await;
    open.write_all(b"b").await.unwrap();
    assert_eq!(open.read_u8().await.unwrap(), b'b');
    assert_eq!(echo(port, "after").await, "after");
}

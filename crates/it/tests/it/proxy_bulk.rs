//! Applications whose connections travel on the bulk lane, because their node's configuration says so.

use std::time::{Duration, Instant};

use it::cluster;
use it::program::{Launch, Program};
use it::prometheus::free_port;
use it::relay::{Mode, Relay};
use it::stubs::apps::{App, STEP};
use it::wait;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::proxy_several::Pair;

/// How many bulk connections a node keeps ahead.
const AHEAD: u64 = 4;
/// The longest until what a node offers is known, and until the next connection is dialled ahead.
const FOUND: Duration = Duration::from_secs(10);
/// The longest until a path that is cut without a trace is noticed: 6 s, and a machine under load.
const NOTICED: Duration = Duration::from_secs(8);
/// The longest a caller waits for the word that something broke.
const TOLD: Duration = Duration::from_secs(6);

/// Connects, says a word first, and reads it again.
async fn echoing(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    echo(&mut stream, b"first word").await;
    stream
}

async fn echo(stream: &mut TcpStream, word: &[u8]) {
    let mut echoed = vec![0; word.len()];
    let (mut read, mut write) = stream.split();
    let both = async { tokio::join!(write.write_all(word), read.read_exact(&mut echoed)) };
    let (written, read) = tokio::time::timeout(STEP, both).await.expect("an echo");
    written.unwrap();
    read.unwrap();
    assert!(echoed == word, "other bytes");
}

/// Waits until the hub counts so many connections on the node's lanes: bulk in use, bulk ahead, and
/// streams on both.
async fn counted(hub: &Program, busy: u64, idle: u64, streams: u64) {
    let wanted = [busy, idle, streams].map(Value::from);
    wait::until(
        &format!("bulk in use and ahead, streams: {wanted:?}"),
        FOUND,
        async || {
            let view = cluster::node_view(hub, "web-1").await?;
            let found = ["bulk_busy", "bulk_idle", "streams"].map(|name| view[name].clone());
            (found == wanted).then_some(())
        },
    )
    .await;
}

fn listener(port: u16, app: &str) -> Value {
    json!({"listen": format!("127.0.0.1:{port}"), "app": app})
}

/// What is marked travels on connections of its own, from the first one on; what is not marked does not,
/// and who finds none dialled ahead goes over the interactive lane.
#[tokio::test]
async fn marked_applications_travel_on_the_bulk_lane() {
    let (echoes, api) = (App::echo().await, App::http().await);
    let (files, db) = (free_port(), free_port());
    let more = json!({"proxy": {"listeners": [listener(files, "files"), listener(db, "db")]}});
    let hub = Launch::new(&cluster::hub(more)).start().await;
    let apps = json!({"apps": [
        {"name": "files", "tcp": echoes.address.to_string(), "lane": "bulk"},
        {"name": "db", "tcp": echoes.address.to_string(), "lane": "interactive"},
        {"name": "downloads", "url": format!("http://{}", api.address), "lane": "bulk"},
    ]});
    let _node = cluster::join(&hub, "web-1", apps).await;
    counted(&hub, 0, AHEAD, 0).await;

    let mut large = echoing(files).await;
    counted(&hub, 1, AHEAD, 1).await;
    echo(&mut large, &vec![b'x'; 8 << 20]).await;
    let other = echoing(db).await;
    counted(&hub, 1, AHEAD, 2).await;
    let reply = cluster::admin(&hub, "GET", "/apps/downloads/x", "").await;
    assert_eq!(reply.json()["target"], "/x", "{}", reply.text());
    // The connection is kept for the next request.
    counted(&hub, 2, AHEAD, 3).await;

    // More at once than are dialled ahead: none is refused.
    let mut many = Vec::new();
    for _ in 0..3 * AHEAD {
        many.push(tokio::spawn(echoing(files)));
    }
    for one in many {
        drop(one.await.unwrap());
    }
    drop(other);
    counted(&hub, 2, AHEAD, 2).await;

    // Its end is the line's, not the node's, whose process goes on.
    cluster::run(
        &hub,
        &["locks", "add", "--node", "web-1", "--reason", "test"],
    );
    let ended = tokio::time::timeout(TOLD, large.read(&mut [0])).await;
    assert!(matches!(ended, Ok(Err(_) | Ok(0))), "{ended:?}");
}

/// An application that breaks off is to blame itself: it is not asked again, and the line is not doubted.
#[tokio::test]
async fn an_application_that_breaks_off_is_named() {
    let broken = App::resetting().await;
    let hub = Launch::new(&cluster::hub(json!({}))).start().await;
    let url = format!("http://{}", broken.address);
    let lanes = ["interactive", "bulk"];
    let apps = lanes.map(|lane| json!({"name": lane, "url": url, "lane": lane}));
    let _node = cluster::join(&hub, "web-1", json!({"apps": apps})).await;
    counted(&hub, 0, AHEAD, 0).await;
    for lane in lanes {
        let reply = cluster::admin(&hub, "GET", &format!("/apps/{lane}/"), "").await;
        assert_eq!(reply.status, 502, "{}", reply.text());
        let says = "check the application's log";
        assert!(reply.text().contains(says), "{lane}: {}", reply.text());
    }
}

/// A path that is cut without a trace is noticed as fast as with streams on the interactive lane.
#[tokio::test]
async fn a_cut_path_is_noticed_by_bulk_alone() {
    let echoes = App::echo().await;
    let port = free_port();
    let apps = json!([{"name": "files", "tcp": echoes.address.to_string(), "lane": "bulk"}]);
    let relay = Relay::start(&[]);
    let more = json!({
        "public_addr": relay.address.to_string(),
        "proxy": {"listeners": [listener(port, "files")]},
    });
    let hub = Launch::new(&cluster::hub(more)).start().await;
    relay.set_upstreams(vec![hub.main.to_string()]);
    let token = cluster::token(&hub, json!({})).await;
    let section = json!({"name": "web-1", "apps": apps});
    let launch = cluster::launch_node(&relay.address.to_string(), &token, &section);
    let _node = launch.start().await;
    counted(&hub, 0, AHEAD, 0).await;
    let mut stream = echoing(port).await;
    counted(&hub, 1, AHEAD, 1).await;
    relay.set(Mode::BlackHole);
    let begun = Instant::now();
    let ended = tokio::time::timeout(2 * TOLD, stream.read(&mut [0])).await;
    assert!(matches!(ended, Ok(Err(_) | Ok(0))), "{ended:?}");
    // With pings as rare as on an idle line it took up to 15 s.
    assert!(begun.elapsed() < NOTICED, "{:?}", begun.elapsed());
}

/// A client of a proxy without a line to the node gets there over the bulk lane of the one that has it.
#[tokio::test]
async fn the_bulk_lane_of_another_proxy_is_used() {
    let echoes = App::echo().await;
    let port = free_port();
    // Nobody listens where the second one says that it is: the node has a line to the first only.
    let second = json!({"name": "second", "addresses": ["127.0.0.1:1"],
        "listeners": [listener(port, "files")]});
    let Some(pair) = Pair::start_with(&second).await else {
        return;
    };
    let apps = json!({"apps": [
        {"name": "files", "tcp": echoes.address.to_string(), "lane": "bulk"},
    ]});
    let _node = cluster::join(&pair.first, "web-1", apps).await;
    counted(&pair.first, 0, AHEAD, 0).await;
    wait::until(
        "the second proxy knows the application",
        FOUND,
        async || {
            let view = cluster::node_view(&pair.second, "web-1").await?;
            let apps = view["offers"]["apps"].as_array()?;
            (apps.len() == 1).then_some(())
        },
    )
    .await;
    let view = cluster::node_view(&pair.second, "web-1").await.unwrap();
    assert_eq!(view["lines"], 0, "it is another proxy's node");
    let mut stream = echoing(port).await;
    counted(&pair.first, 1, AHEAD, 1).await;
    echo(&mut stream, &vec![b'y'; 1 << 20]).await;
    drop(stream);
    counted(&pair.first, 0, AHEAD, 0).await;
    pair.database.remove().await;
}

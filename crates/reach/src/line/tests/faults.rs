//! What happens when the path breaks, with a relay in between that does it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::line::message::VERSION;

/// A relay that can swallow what it carries, in each direction.
struct Relay {
    address: SocketAddr,
    swallows_up: Arc<AtomicBool>,
    swallows_down: Arc<AtomicBool>,
}

impl Relay {
    async fn start(target: SocketAddr, scope: &Scope) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            address: listener.local_addr().unwrap(),
            swallows_up: Arc::default(),
            swallows_down: Arc::default(),
        };
        let (up, down) = (
            Arc::clone(&relay.swallows_up),
            Arc::clone(&relay.swallows_down),
        );
        let outer = scope.clone();
        scope.spawn("relay", async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(target).await.unwrap();
                let (near_reader, near_writer) = near.into_split();
                let (far_reader, far_writer) = far.into_split();
                outer.spawn("relay up", carry(near_reader, far_writer, Arc::clone(&up)));
                outer.spawn(
                    "relay down",
                    carry(far_reader, near_writer, Arc::clone(&down)),
                );
            }
        });
        relay
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    swallows: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length) = from.read(&mut buffer).await {
        if swallows.load(Ordering::Relaxed) {
            if length == 0 {
                // Not even the end is told.
                std::future::pending::<()>().await;
            }
            continue;
        }
        if length == 0 || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

async fn relayed() -> (Rig, Relay) {
    relayed_with(QUICK).await
}

async fn relayed_with(timing: Timing) -> (Rig, Relay) {
    let authority = Authority::new();
    let (supervisor, scope) = scope().await;
    let mut proxy = Proxy::start_with(&authority, "p1", &scope, timing, false).await;
    let relay = Relay::start(proxy.address, &scope).await;
    let mut settings = settings(&authority);
    settings.timing = timing;
    let connector = Connector::new(settings);
    let address = relay.address.to_string();
    let agent = connector
        .connect(&address, targets(&scope), &scope)
        .await
        .unwrap();
    let line = proxy.line().await;
    line.want_bulk();
    until("bulk connections", || line.state().bulk_idle == 2).await;
    (
        Rig {
            supervisor,
            scope,
            proxy,
            line,
            agent,
        },
        relay,
    )
}

async fn dies_on_both_sides(up: bool, down: bool) {
    let (mut rig, relay) = relayed().await;
    relay.swallows_up.store(up, Ordering::Relaxed);
    relay.swallows_down.store(down, Ordering::Relaxed);
    let start = base::clock::now();
    let error = rig
        .line
        .open(&request("echo"), Lane::Interactive, PATIENCE)
        .await
        .unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
    assert!(
        matches!(error, OpenError::Timeout { .. } | OpenError::Gone { .. }),
        "{error}"
    );
    let at_proxy = tokio::time::timeout(PATIENCE, rig.line.closed())
        .await
        .unwrap();
    let event = tokio::time::timeout(PATIENCE, rig.agent.next())
        .await
        .unwrap();
    let AgentEvent::Ended { reason: at_agent } = event else {
        panic!("{event:?}");
    };
    // Whoever notices first closes, which the other may hear when one direction still works.
    let noticed = [&at_proxy, &at_agent].map(|reason| reason.contains("no answer to a ping"));
    assert!(noticed.contains(&true), "{at_proxy}; {at_agent}");
    assert!(
        !(up && down) || noticed == [true, true],
        "{at_proxy}; {at_agent}"
    );
    // Once pinged for the open request, and at most an interval and a limit later.
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_is_noticed_on_both_sides() {
    dies_on_both_sides(true, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_towards_the_proxy_is_noticed_on_both_sides() {
    dies_on_both_sides(true, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_towards_the_agent_is_noticed_on_both_sides() {
    dies_on_both_sides(false, true).await;
}

/// Slow pings and quick doubts: what is noticed in time is noticed because a stream is open.
const PATIENT: Timing = Timing {
    ping_interval: Duration::from_mins(1),
    pong_limit: Duration::from_mins(1),
    silence: Duration::from_millis(300),
    busy_limit: Duration::from_millis(900),
};

async fn whoever_waits_is_told(up: bool, down: bool) {
    let (mut rig, relay) = relayed_with(PATIENT).await;
    let mut stream = rig
        .line
        .open(&request("echo"), Lane::Interactive, PATIENCE)
        .await
        .unwrap();
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    // The pings of the writes above are answered.
    tokio::time::sleep(Duration::from_secs(2)).await;
    relay.swallows_up.store(up, Ordering::Relaxed);
    relay.swallows_down.store(down, Ordering::Relaxed);
    let start = base::clock::now();
    let read = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
    assert!(read.expect("it breaks in time").is_err());
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    drop(rig.agent.next().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_an_answer_is_told_that_the_path_is_cut() {
    tokio::join!(
        whoever_waits_is_told(true, true),
        whoever_waits_is_told(true, false),
        whoever_waits_is_told(false, true),
    );
}

/// Pings are answered, however long the target says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_silent_is_not_cut() {
    let (rig, _relay) = relayed_with(PATIENT).await;
    let mut stream = rig
        .line
        .open(&request("echo"), Lane::Interactive, PATIENCE)
        .await
        .unwrap();
    let silence = tokio::time::timeout(Duration::from_secs(5), stream.read_u8()).await;
    assert!(silence.is_err(), "{silence:?}");
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_agent_is_noticed_at_once() {
    let Rig { line, agent, .. } = rig().await;
    let start = base::clock::now();
    drop(agent);
    tokio::time::timeout(PATIENCE, line.closed()).await.unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_hangs_costs_a_bounded_time() {
    let authority = Authority::new();
    let (_supervisor, scope) = scope().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let start = base::clock::now();
    let connector = Connector::new(settings(&authority));
    let error = connector
        .connect(&address, targets(&scope), &scope)
        .await
        .unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(7),
        "{:?}",
        start.elapsed()
    );
    assert!(error.to_string().contains("tls handshake with"), "{error}");
}

/// A lane of the line with the number 7, with its hello sent.
async fn lane_by_hand(
    authority: &Authority,
    proxy: &Proxy,
    lane: Lane,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut tls = ClientConfig::clone(&authority.client("web-1"));
    tls.alpn_protocols = vec![lane.alpn().to_vec()];
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
    let mut stream = connector.connect(name, stream).await.unwrap();
    let hello = format!("{{\"version\":{VERSION},\"line\":\"{:032x}\"}}", 7);
    let length = u32::try_from(hello.len()).unwrap();
    stream.write_u32(length).await.unwrap();
    stream.write_all(hello.as_bytes()).await.unwrap();
    stream
}

/// A line that becomes complete when its proxy leaves already would never be told to go elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_complete_too_late_is_refused() {
    let authority = Authority::new();
    let (_supervisor, scope) = scope().await;
    let mut proxy = Proxy::start(&authority, "p1", &scope).await;
    let mut control = lane_by_hand(&authority, &proxy, Lane::Control).await;
    // The answer to the hello: the line has begun.
    assert!(control.read_u32().await.unwrap() > 0);
    tokio::time::sleep(Duration::from_millis(50)).await;
    proxy.acceptor.close("p1 is being replaced");
    let _interactive = lane_by_hand(&authority, &proxy, Lane::Interactive).await;
    let error = tokio::time::timeout(PATIENCE, proxy.errors.recv()).await;
    let error = error.unwrap().unwrap().to_string();
    assert!(error.contains("p1 is being replaced"), "{error}");
    assert!(proxy.acceptor.lines().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_without_a_line_is_refused() {
    let authority = Authority::new();
    let (_supervisor, scope) = scope().await;
    let mut proxy = Proxy::start_with(&authority, "p1", &scope, QUICK, false).await;
    let _lane = lane_by_hand(&authority, &proxy, Lane::Interactive).await;
    let error = tokio::time::timeout(PATIENCE, proxy.errors.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(
        error.to_string().contains("no line of yours waits"),
        "{error}"
    );
}

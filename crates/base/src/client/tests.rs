//! Kept connections against a real socket: reuse, closing by the peer, repeats and what is left.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::supervise::{Exit, Phase};

/// What a peer does with the requests of one connection, in their order; then it waits.
type Script = &'static [Step];

#[derive(Clone, Copy)]
enum Step {
    /// Sends these bytes.
    Answer(&'static str),
    /// Closes without a word.
    Close,
}

const GOOD: Step = Step::Answer("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood");
const CHUNKED: Step =
    Step::Answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n");
const EMPTY: Step = Step::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
const ENDLESS: Step = Step::Answer("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\ngood");

/// A peer, one script for each connection that it accepts.
struct PeerEnd {
    address: SocketAddr,
    supervisor: Supervisor,
    requests: Arc<AtomicUsize>,
    client: Client,
}

impl PeerEnd {
    async fn start(scripts: &'static [Script]) -> Self {
        let supervisor = Supervisor::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("address");
        let requests = Arc::new(AtomicUsize::new(0));
        let (seen, parent) = (Arc::clone(&requests), supervisor.clone());
        supervisor.spawn_background("peer", async move {
            for script in scripts {
                let (stream, _) = listener.accept().await.expect("accepted");
                parent.spawn_background("connection", follow(stream, script, Arc::clone(&seen)));
            }
            std::future::pending::<()>().await;
        });
        Self {
            address,
            requests,
            client: Client::new(ClientTls::default(), supervisor.clone()),
            supervisor,
        }
    }

    async fn send(&self, method: Method) -> Result<Response<Body>, ClientError> {
        let uri = format!("http://{}/page", self.address);
        let request = Request::builder().method(method).uri(uri);
        let request = request.body(Full::new(Bytes::new())).expect("request");
        self.client.send(request, soon()).await
    }

    async fn get(&self) -> Result<Bytes, ClientError> {
        read_body(self.send(Method::GET).await?.into_body(), 100, soon()).await
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn soon() -> Instant {
    clock::now() + Duration::from_secs(5)
}

async fn follow(mut stream: TcpStream, script: Script, seen: Arc<AtomicUsize>) {
    for step in script {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        seen.fetch_add(1, Ordering::Relaxed);
        match step {
            Step::Answer(bytes) => stream.write_all(bytes.as_bytes()).await.expect("written"),
            Step::Close => return,
        }
    }
    drop(stream.read_u8().await);
}

#[tokio::test]
async fn one_connection_serves_one_request_after_another() {
    let peer = PeerEnd::start(&[&[GOOD, CHUNKED, EMPTY, GOOD]]).await;
    for expected in ["good", "good", "", "good"] {
        assert_eq!(peer.get().await.expect("answer"), expected);
    }
    assert_eq!(peer.requests(), 4);
}

#[tokio::test]
async fn a_body_that_nobody_reads_keeps_its_connection_only_when_it_is_here() {
    let peer = PeerEnd::start(&[&[GOOD, ENDLESS], &[GOOD]]).await;
    drop(peer.send(Method::GET).await.expect("first"));
    drop(peer.send(Method::GET).await.expect("second, on the same"));
    assert_eq!(peer.get().await.expect("third, on another"), "good");
}

#[tokio::test]
async fn a_get_on_a_kept_connection_that_ends_is_sent_again_and_a_post_is_not() {
    let peer = PeerEnd::start(&[&[GOOD, Step::Close], &[GOOD, Step::Close], &[GOOD]]).await;
    peer.get().await.expect("first");
    peer.get().await.expect("cut, and sent again");
    let error = peer.send(Method::POST).await.expect_err("cut");
    assert!(matches!(error, ClientError::Protocol(_)), "{error}");
    assert_eq!(peer.requests(), 4);
}

#[tokio::test]
async fn a_request_is_sent_again_once_only() {
    let peer = PeerEnd::start(&[&[Step::Close], &[Step::Close], &[GOOD]]).await;
    peer.get().await.expect_err("cut twice");
    assert_eq!(peer.requests(), 2);
}

#[tokio::test]
async fn a_connection_that_the_peer_closed_meanwhile_is_not_used() {
    let closing = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ngood";
    let script: Script = Box::leak(Box::new([Step::Answer(closing)]));
    let scripts: &[Script] = Box::leak(Box::new([script, script]));
    let peer = PeerEnd::start(scripts).await;
    peer.get().await.expect("first");
    // A POST is never repeated, so it shows that the connection was not even tried.
    peer.send(Method::POST).await.expect("on a new one");
}

#[tokio::test]
async fn idle_connections_end_in_time() {
    let peer = PeerEnd::start(&[&[GOOD, GOOD], &[GOOD]]).await;
    peer.get().await.expect("first");
    let pool = &peer.client.pool;
    let now = clock::now();
    assert!(pool.clean(now), "young enough");
    peer.get().await.expect("on the same");
    assert!(!pool.clean(now + IDLE_TIMEOUT * 2), "nothing is left");
    peer.get().await.expect("on another");
}

/// One that the process has to itself would keep its listener from ending.
#[tokio::test]
async fn an_exit_closes_idle_connections_and_keeps_no_more() {
    let peer = PeerEnd::start(&[&[GOOD], &[GOOD]]).await;
    peer.get().await.expect("first");
    let pool = Arc::clone(&peer.client.pool);
    assert!(pool.clean(clock::now()), "kept");
    let client = peer.client.clone();
    let uri = format!("http://{}/page", peer.address);
    let (tell, told) = tokio::sync::oneshot::channel();
    peer.supervisor
        .on_exit(Phase::Drain, "listener", |_| async move {
            while pool.clean(clock::now()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let request = Request::get(uri).body(Full::new(Bytes::new()));
            let answer = client.send(request.expect("request"), soon()).await;
            let body = answer.expect("on another").into_body();
            read_body(body, 100, soon()).await.expect("body");
            tell.send(pool.clean(clock::now())).expect("waited for");
        });
    let report = peer.supervisor.shutdown(Exit::Fast).await;
    assert!(report.late.is_empty(), "{report:?}");
    assert_eq!(told.await, Ok(false), "kept after all");
    assert_eq!(peer.requests(), 2);
}

#[tokio::test]
async fn the_host_goes_into_its_header() {
    let cases = [
        ("http://a.example/p?q", "a.example", "/p?q"),
        ("http://a.example:80", "a.example", "/"),
        ("https://u:p@a.example:80/", "a.example:80", "/"),
        ("https://[::1]:443/", "[::1]", "/"),
    ];
    for (uri, host, path) in cases {
        let request = Request::get(uri).body(Full::default()).expect("request");
        let (_, request) = in_origin_form(request).expect("absolute");
        assert_eq!(request.headers()[HOST], host, "{uri}");
        assert_eq!(request.uri(), path, "{uri}");
    }
    let relative = Request::get("/p").body(Full::default()).expect("request");
    in_origin_form(relative).expect_err("no host");
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_wake_from_inside_drives_again_and_one_from_outside_wakes_the_task() {
    let woken = Arc::new(Woken::default());
    let task = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&task);
    let count = || woken.0.load(Ordering::Relaxed);
    let wakes = wakes::Wakes::new();
    let mut steps = 0;
    let mut outside = None;
    let outcome: Poll<()> = wakes.drive(&mut context, |context| {
        steps += 1;
        if steps < 3 {
            context.waker().wake_by_ref();
        }
        outside = Some(context.waker().clone());
        Poll::Pending
    });
    assert_eq!((outcome, steps, count()), (Poll::Pending, 3, 0));
    let outside = outside.expect("driven");
    outside.wake_by_ref();
    assert_eq!(count(), 1);
    wakes.forget();
    outside.wake();
    assert_eq!(count(), 1, "nobody waits");
    // As a task that has had its share of the runtime.
    let mut steps = 0;
    let endless: Poll<()> = wakes.drive(&mut context, |context| {
        steps += 1;
        context.waker().wake_by_ref();
        Poll::Pending
    });
    assert!(endless.is_pending() && steps < 100, "{steps}");
    assert_eq!(count(), 2);
}
